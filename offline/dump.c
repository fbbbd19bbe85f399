/* dump.c - `torc dump --raw FILE`: looks what kind of file it is and prints it.
 *
 * The name tells; where it tells nothing the first bytes do, or the last ones for a table. So a damaged file
 * under its own name is still taken for what it was. */
#include "offline/dump.h"

#include "engine/manifest_format.h"
#include "engine/table_format.h"
#include "engine/wal_format.h"
#include "offline/offline.h"
#include "offline/run.h"

#include <stdio.h>

enum kind { KIND_UNKNOWN, KIND_TABLE, KIND_LOG, KIND_MANIFEST, KIND_VALUES };

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

static const char *name_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static bool values_number(const char *path, uint64_t *number)
{
    unsigned long long found;
    bool is_found = sscanf(name_of(path), "values-%16llx.log", &found) == 1;
    *number = is_found ? found : 0;
    return is_found;
}

static enum kind kind_of_name(const char *path)
{
    const char *name = name_of(path);
    uint64_t id;
    if (begins(name, "MANIFEST-"))
        return KIND_MANIFEST;
    if (wal_segment_name_parse(name, &id))
        return KIND_LOG;
    if (values_number(path, &id))
        return KIND_VALUES;
    size_t bytes = strlen(name);
    return begins(name, "table-") && bytes > 4 && strcmp(name + bytes - 4, ".sst") == 0 ? KIND_TABLE
                                                                                        : KIND_UNKNOWN;
}

static enum kind kind_of_unit(const uint8_t *unit, bool is_last)
{
    if (is_last) {
        struct table_footer footer;
        int rc = table_footer_decode(unit, &footer);
        return rc == TORC_E_CORRUPT ? KIND_UNKNOWN : KIND_TABLE;
    }
    if (load_u32le(unit) == WAL_SEGMENT_MAGIC)
        return KIND_LOG;
    return load_u32le(unit) == MANIFEST_MAGIC ? KIND_MANIFEST : KIND_UNKNOWN;
}

int dump_read_unit(struct reactor *r, const char *path, bool is_last, uint8_t *unit)
{
    struct file *f = NULL;
    uint64_t bytes = 0;
    int rc = file_open(r, path, FILE_READ, &f);
    if (rc == 0)
        rc = file_size(r, f, &bytes);
    if (rc == 0 && bytes < TABLE_UNIT_BYTES)
        rc = TORC_E_CORRUPT;
    if (rc == 0) {
        int64_t got = file_read(r, f, unit, TABLE_UNIT_BYTES, is_last ? bytes - TABLE_UNIT_BYTES : 0);
        rc = got == TABLE_UNIT_BYTES ? 0 : got < 0 ? (int)got : TORC_E_CORRUPT;
    }
    file_close(r, f);
    return rc;
}

/* Looks into the file when its name says nothing. Returns: 0 or an error. */
static int find_kind(struct reactor *r, const char *path, enum kind *kind)
{
    *kind = kind_of_name(path);
    if (*kind != KIND_UNKNOWN)
        return 0;
    uint8_t *unit = reactor_alloc_aligned(r, TABLE_UNIT_BYTES, FILE_ALIGNMENT);
    int rc = unit ? 0 : TORC_E_NO_MEMORY;
    for (unsigned i = 0; rc == 0 && i < 2 && *kind == KIND_UNKNOWN; i++) {
        rc = dump_read_unit(r, path, i == 1, unit);
        if (rc == 0)
            *kind = kind_of_unit(unit, i == 1);
    }
    reactor_free(r, unit);
    return rc == TORC_E_CORRUPT ? 0 : rc;
}

static int dump(struct reactor *r, void *context)
{
    const char *path = context;
    enum kind kind;
    uint64_t number;
    values_number(path, &number);
    int rc = find_kind(r, path, &kind);
    if (rc)
        return offline_complain("%s: %s", path, error_sentence(rc));
    switch (kind) {
    case KIND_TABLE:
        return dump_table(r, path);
    case KIND_LOG:
        return dump_log(r, path);
    case KIND_MANIFEST:
        return dump_manifest(r, path);
    case KIND_VALUES:
        return dump_values(r, path, number);
    case KIND_UNKNOWN:
        break;
    }
    return offline_complain("%s is no table, no file of a log, no value log and no manifest of torc", path);
}

int offline_dump(const char *path)
{
    return offline_run(dump, (void *)(uintptr_t)path);
}
