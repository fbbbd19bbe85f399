/* check_values.c - a value that a table points to: it is there, it is the one, and it is whole.
 *
 * Read past the page cache: what that has may be better than what the medium has now. */
#include "engine/entry.h"
#include "engine/values_read.h"
#include "offline/check.h"

#include <stdio.h>

/* The largest value, and what is in the units of its first and last byte beside it. */
enum { EXTENT_BYTES_MAX = VALUE_HEADER_BYTES + VALUE_BYTES_MAX + 2 * VALUE_UNIT_BYTES };

/* Makes `file` the value log that is open. Returns: 0 with s->values null when it cannot be opened. */
static int use_file(struct check_shard *s, uint64_t file)
{
    char path[CHECK_PATH_BYTES];
    if (!s->value)
        s->value = reactor_alloc_aligned(s->check->reactor, EXTENT_BYTES_MAX, FILE_ALIGNMENT);
    if (!s->value)
        return TORC_E_NO_MEMORY;
    if (s->values && s->values_number == file)
        return 0;
    file_close(s->check->reactor, s->values);
    s->values = NULL;
    s->values_number = file;
    snprintf(path, sizeof path, "%s/values-%016llx.log", s->directory, (unsigned long long)file);
    int rc = file_open(s->check->reactor, path, FILE_READ | FILE_DIRECT, &s->values);
    return error_is_loss(rc) ? 0 : rc;
}

/* Returns: 0 with *is_whole, or an error that says nothing of the value. */
static int look(struct check_shard *s, const struct value_pointer *p, const struct record *record,
                bool *is_whole)
{
    struct value_extent x = value_extent_of(p);
    uint64_t before = value_offset(p) - x.begin, bytes = VALUE_HEADER_BYTES + p->bytes;
    const uint8_t *stored = s->value + before;
    struct slice value = slice_of(stored + VALUE_HEADER_BYTES, p->bytes);
    ASSERT(x.end - x.begin <= EXTENT_BYTES_MAX);
    int64_t got = file_read(s->check->reactor, s->values, s->value, x.end - x.begin, x.begin);
    *is_whole = got >= (int64_t)(before + bytes) && value_header_is_sound(stored, value, p->file, p->place) &&
                entry_checksum(&record->key, value) == record->checksum;
    return got >= 0 || error_is_loss((int)got) ? 0 : (int)got;
}

int check_value(struct check_shard *s, const char *path, uint64_t offset, const struct record *record)
{
    struct value_pointer p;
    if (value_pointer_decode(record->value, &p) != 0) {
        check_problem(s->check, path, offset, "a pointer to a value cannot be read: its key answers CORRUPT");
        return 0;
    }
    bool is_whole = false;
    int rc = use_file(s, p.file);
    if (rc == 0 && s->values)
        rc = look(s, &p, record, &is_whole);
    if (rc)
        return rc;
    s->check->value_bytes += p.bytes;
    if (!s->values)
        check_problem(
            s->check, path, offset,
            "a value is in values-%016llx.log, which is missing or does not open: its key answers CORRUPT",
            (unsigned long long)p.file);
    else if (!is_whole)
        check_problem(s->check, path, offset,
                      "a value at byte %llu of values-%016llx.log is damaged: its key answers CORRUPT",
                      (unsigned long long)value_offset(&p), (unsigned long long)p.file);
    return 0;
}
