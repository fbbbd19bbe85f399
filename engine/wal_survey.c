/* wal_survey.c - lists the segments, reads their headers, and looks ahead where the chain breaks; see
 * wal_survey.h.
 *
 * A record counts as evidence when its header is whole, names this segment and, if the segment's own header
 * is whole, this use of it. What an earlier use left behind has another epoch; that of another shard's record
 * says so. */
#include "engine/wal_survey.h"

#include "engine/wal_reader.h"

#include <errno.h>
#include <stdio.h>

enum { CAPACITY_FIRST = 64 };

const char *wal_survey_path(struct wal_survey *s, uint32_t index)
{
    char name[WAL_NAME_BYTES];
    wal_segment_name(name, s->segments[index].id);
    int length = snprintf(s->path, WAL_PATH_BYTES, "%s/%s", s->directory, name);
    ASSERT(length > 0 && length < WAL_PATH_BYTES);
    return s->path;
}

bool wal_survey_owns(const struct wal_survey *s, const struct wal_survey_segment *segment,
                     const struct wal_record_header *h)
{
    return h->segment_id == segment->id && wal_epoch_is_of(h->epoch, s->shard) &&
           (!segment->has_header ||
            (h->epoch == segment->header.epoch && h->sequence >= segment->header.first_sequence));
}

static int add_file(void *context, const char *name)
{
    struct wal_survey *s = context;
    uint64_t id;
    if (!wal_segment_name_parse(name, &id) || id < s->listed_from)
        return 0;
    if (s->count == s->segments_max)
        return TORC_E_CORRUPT;
    if (s->count == s->capacity) {
        uint32_t capacity = s->capacity ? s->capacity * 2 : CAPACITY_FIRST;
        struct wal_survey_segment *grown =
            reactor_realloc(s->reactor, s->segments, capacity * sizeof grown[0]);
        if (!grown)
            return TORC_E_NO_MEMORY;
        s->segments = grown;
        s->capacity = capacity;
    }
    ASSERT(s->count == 0 || s->segments[s->count - 1].id < id); /* names are listed in order */
    s->segments[s->count++] = (struct wal_survey_segment){.id = id, .drop_above = UINT64_MAX};
    return 0;
}

static int read_header(struct wal_survey *s, uint32_t index, char *why, size_t why_bytes)
{
    struct wal_survey_segment *segment = &s->segments[index];
    const char *path = wal_survey_path(s, index);
    struct file *file = NULL;
    int rc = file_open(s->reactor, path, FILE_READ | FILE_DIRECT, &file);
    if (rc == 0)
        rc = file_size(s->reactor, file, &segment->bytes);
    if (rc == 0 && segment->is_needed) {
        (void)wal_read_blocks(s->reactor, file, s->scratch, WAL_BLOCK_BYTES, 0); /* else: a damaged header */
        enum wal_header_state state = wal_segment_header_decode(s->scratch, &segment->header);
        bool is_own = state != WAL_HEADER_BAD && segment->header.id == segment->id;
        segment->has_header =
            is_own && state == WAL_HEADER_VALID && wal_epoch_is_of(segment->header.epoch, s->shard);
        if (is_own && state == WAL_HEADER_OTHER_VERSION)
            rc = TORC_E_DATA_FORMAT;
    }
    file_close(s->reactor, file);
    if (rc)
        snprintf(why, why_bytes, "%s: %s", path, error_sentence(rc));
    return rc;
}

/* From the last segment to the first: what each says where the chain continues bounds all before it. */
static void mark_dropped(struct wal_survey *s)
{
    uint64_t drop_above = UINT64_MAX;
    for (uint32_t i = s->count; i-- > 0;) {
        struct wal_survey_segment *segment = &s->segments[i];
        segment->drop_above = drop_above;
        if (!segment->has_header)
            continue;
        segment->is_dead = segment->header.first_sequence > drop_above;
        if (segment->header.continues_sequence < drop_above)
            drop_above = segment->header.continues_sequence;
        if (segment->header.first_sequence > s->sequence_seen_max)
            s->sequence_seen_max = segment->header.first_sequence;
    }
}

int wal_survey_take(struct wal_survey *s, struct reactor *r, const struct wal_recovery_options *options,
                    char *why, size_t why_bytes)
{
    bool is_copy = options->is_read_only; /* an archive, say, which has as many files as there is room for */
    *s = (struct wal_survey){
        .reactor = r,
        .directory = options->directory,
        .shard = options->shard,
        .listed_from = is_copy ? options->start.segment : 0,
        .segments_max = is_copy ? UINT32_MAX / 2 : WAL_SEGMENTS_MAX,
    };
    s->scratch = reactor_alloc_aligned(r, WAL_READ_BYTES, FILE_ALIGNMENT);
    s->path = reactor_alloc(r, WAL_PATH_BYTES);
    if (!s->scratch || !s->path) {
        snprintf(why, why_bytes, "%s", error_sentence(TORC_E_NO_MEMORY));
        return TORC_E_NO_MEMORY;
    }
    int rc = directory_list(r, s->directory, add_file, s);
    if (rc)
        snprintf(why, why_bytes, "%s: cannot list the log: %s", s->directory, error_sentence(rc));
    for (uint32_t i = 0; rc == 0 && i < s->count; i++) {
        s->segments[i].is_needed = s->segments[i].id >= options->start.segment;
        rc = read_header(s, i, why, why_bytes);
    }
    if (rc == 0)
        mark_dropped(s);
    return rc;
}

void wal_survey_deinit(struct wal_survey *s)
{
    reactor_free(s->reactor, s->segments);
    reactor_free(s->reactor, s->scratch);
    reactor_free(s->reactor, s->path);
}

/* Block `at` of the segment that the scratch begins with at `offset`. */
static void look_at(struct wal_survey *s, const struct wal_survey_segment *segment, uint64_t offset,
                    size_t at, struct wal_lookahead *look)
{
    struct wal_record_header h;
    if (!wal_record_header_decode(s->scratch + at, &h) || !wal_survey_owns(s, segment, &h))
        return;
    if (h.sequence > s->sequence_seen_max)
        s->sequence_seen_max = h.sequence;
    if (h.sequence < look->missing_sequence)
        return;
    if (h.watermark >= look->missing_sequence)
        look->was_durable = true;
    if (h.watermark > look->watermark)
        look->watermark = h.watermark;
    if (!wal_record_is_in_place(&h, offset + at))
        return; /* what it knows is true; where it stands it is a stranger */
    bool is_chained = look->previous_checksum == 0 || h.previous_checksum == look->previous_checksum;
    if (h.sequence == look->missing_sequence && is_chained && !segment->has_header)
        look->continues = true;
    if (h.clock_max > look->clock_max)
        look->clock_max = h.clock_max;
    look->torn_bytes += wal_record_bytes(h.payload_bytes);
}

static int look_through(struct wal_survey *s, uint32_t index, uint64_t offset, struct wal_lookahead *look)
{
    const struct wal_survey_segment *segment = &s->segments[index];
    uint64_t end = segment->bytes / WAL_BLOCK_BYTES * WAL_BLOCK_BYTES;
    struct file *file = NULL;
    int rc = file_open(s->reactor, wal_survey_path(s, index), FILE_READ | FILE_DIRECT, &file);
    while (rc == 0 && offset < end) {
        uint64_t left = end - offset;
        size_t piece = left < WAL_READ_BYTES ? (size_t)left : WAL_READ_BYTES;
        uint64_t bad_end = wal_read_blocks(s->reactor, file, s->scratch, piece, offset);
        if (bad_end) {
            look->is_unreadable = true;
            look->bad_index = index;
            look->bad_end = bad_end;
        }
        for (size_t at = 0; at < piece; at += WAL_BLOCK_BYTES)
            look_at(s, segment, offset, at, look);
        offset += piece;
        task_yield_if_due(s->reactor);
    }
    file_close(s->reactor, file);
    return rc;
}

int wal_survey_look_ahead(struct wal_survey *s, uint32_t index, uint64_t offset, struct wal_lookahead *look)
{
    int rc = 0;
    for (uint32_t i = index; rc == 0 && i < s->count; i++, offset = WAL_BLOCK_BYTES)
        if (s->segments[i].is_needed)
            rc = look_through(s, i, offset, look);
    return rc;
}
