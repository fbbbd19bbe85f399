/* dump_log.c - prints one file of the log: its header, its records, their entries.
 *
 * A block that begins no record of this use of the file is zeros, left from an earlier use, or damaged: only
 * the whole log can tell which (torc check). It is named and passed over. */
#include "engine/entry.h"
#include "engine/wal_reader.h"
#include "offline/dump.h"
#include "offline/offline.h"
#include "offline/run.h"

#include <stdio.h>

struct look {
    struct wal_reader reader;
    struct wal_segment_header header;
    bool has_header;
    uint64_t passed_begin; /* blocks without a record: where they begin */
    bool is_zeros;         /* all of them so far */
    bool is_damaged;
};

static bool is_zero_block(const uint8_t *block)
{
    for (size_t i = 0; i < WAL_BLOCK_BYTES; i += 8)
        if (load_u64le(block + i) != 0)
            return false;
    return true;
}

static void print_header(struct look *l, const char *path)
{
    wal_reader_need(&l->reader, WAL_BLOCK_BYTES);
    enum wal_header_state state = wal_segment_header_decode(l->reader.buffer, &l->header);
    l->has_header = state == WAL_HEADER_VALID;
    if (l->has_header) {
        printf("log: file %llx, epoch %llx, records from %llu, after record %llu\n",
               (unsigned long long)l->header.id, (unsigned long long)l->header.epoch,
               (unsigned long long)l->header.first_sequence,
               (unsigned long long)l->header.continues_sequence);
        return;
    }
    if (is_zero_block(l->reader.buffer)) {
        printf("log: not used yet\n");
        return;
    }
    printf("%s: 0: DAMAGED: the header %s\n", path,
           state == WAL_HEADER_OTHER_VERSION ? "is of another format version" : "is not whole");
    l->is_damaged = true;
}

static void end_passed(struct look *l, uint64_t offset)
{
    if (l->passed_begin < offset)
        printf("  %llu: %llu bytes %s\n", (unsigned long long)l->passed_begin,
               (unsigned long long)(offset - l->passed_begin),
               l->is_zeros ? "of zeros" : "without a record: of an earlier use, or damaged");
    l->is_zeros = true;
}

static void print_entries(struct look *l, uint64_t offset, uint32_t bytes)
{
    uint64_t at = offset + WAL_RECORD_HEADER_BYTES, end = at + bytes;
    while (at < end) {
        struct record record;
        size_t consumed;
        const uint8_t *entry = l->reader.buffer + at;
        if (entry_decode(slice_of(entry, end - at), &record, &consumed) != 0) {
            printf("  %llu: DAMAGED: no entry\n", (unsigned long long)at);
            l->is_damaged = true;
            return;
        }
        bool is_sound = entry_header_is_sound(entry) && entry_verify(&record);
        l->is_damaged |= !is_sound;
        offline_print_record(&record, at, is_sound);
        at += consumed;
    }
}

/* Returns: the bytes of the record at `offset`, printed; 0 when there is none. */
static uint64_t print_record(struct look *l, uint64_t offset)
{
    struct wal_record_header h;
    wal_reader_need(&l->reader, offset + WAL_BLOCK_BYTES);
    const uint8_t *at = l->reader.buffer + offset;
    if (!wal_record_header_decode(at, &h) || !wal_record_is_in_place(&h, offset) ||
        (l->has_header && (h.epoch != l->header.epoch || h.segment_id != l->header.id)))
        return 0;
    uint64_t bytes = wal_record_bytes(h.payload_bytes);
    bool is_whole = offset + bytes <= l->reader.bytes;
    if (is_whole)
        wal_reader_need(&l->reader, offset + bytes);
    is_whole =
        is_whole && wal_payload_checksum(at + WAL_RECORD_HEADER_BYTES, h.payload_bytes) == h.payload_checksum;
    end_passed(l, offset);
    printf(" record %llu at %llu: %u entries, %u bytes, durable before it %llu, highest clock %llx%s\n",
           (unsigned long long)h.sequence, (unsigned long long)offset, h.entry_count, h.payload_bytes,
           (unsigned long long)h.watermark, (unsigned long long)h.clock_max,
           is_whole ? "" : " DAMAGED: its checksum does not hold");
    l->is_damaged |= !is_whole;
    if (offset + bytes > l->reader.bytes)
        return l->reader.bytes - offset;
    print_entries(l, offset, h.payload_bytes);
    return bytes;
}

int dump_log(struct reactor *r, const char *path)
{
    struct look *l = reactor_alloc_zeroed(r, sizeof *l);
    if (!l)
        return offline_complain("%s", error_sentence(TORC_E_NO_MEMORY));
    wal_reader_init(&l->reader, r);
    int rc = wal_reader_open(&l->reader, path);
    int code = OFFLINE_FAILED;
    if (rc == 0 && l->reader.bytes > 0) {
        print_header(l, path);
        l->is_zeros = true;
        l->passed_begin = WAL_BLOCK_BYTES;
        for (uint64_t offset = WAL_BLOCK_BYTES; offset < l->reader.bytes;) {
            uint64_t bytes = print_record(l, offset);
            if (bytes > 0)
                l->passed_begin = offset + bytes;
            else
                l->is_zeros &= is_zero_block(l->reader.buffer + offset);
            offset += bytes ? bytes : WAL_BLOCK_BYTES;
        }
        end_passed(l, l->reader.bytes);
        code = l->is_damaged ? OFFLINE_DAMAGED : OFFLINE_GOOD;
    } else {
        offline_complain("%s: %s", path, rc ? error_sentence(rc) : "the file is empty");
    }
    wal_reader_close(&l->reader);
    wal_reader_deinit(&l->reader);
    reactor_free(r, l);
    return code;
}
