/* check_log.c - the log of a shard, read as a start reads it, and nothing written. */
#include "engine/entry.h"
#include "engine/wal.h"
#include "offline/check.h"

#include <stdio.h>

enum { WHY_BYTES = 512 };

static int look_at_record(void *owner, const struct record *record, uint64_t sequence)
{
    struct check_shard *s = owner;
    s->check->log_records++;
    if (!entry_verify(record))
        check_problem(s->check, s->directory, UINT64_MAX,
                      "log record %llu: the checksum of an entry does not hold: its key answers CORRUPT",
                      (unsigned long long)sequence);
    if ((uint16_t)(record->key.vnode - s->shard.vnode_first) >= s->shard.vnode_count)
        check_problem(s->check, s->directory, UINT64_MAX,
                      "log record %llu: an entry is of vnode %u, of another shard: the shard does not start",
                      (unsigned long long)sequence, record->key.vnode);
    return 0;
}

int check_log(struct check_shard *s)
{
    struct wal_recovery found = {0};
    char why[WHY_BYTES] = "", path[CHECK_PATH_BYTES];
    struct wal_recovery_options options = {
        .directory = s->directory,
        .start = s->state->numbers.log_start,
        .replay = look_at_record,
        .owner = s,
        .named = s->state->numbers.log_files,
        .is_read_only = true,
        .shard = s->shard.vnode_first + 1u,
    };
    int rc = wal_recover(s->check->reactor, &options, &found, why, sizeof why);
    if (rc == TORC_E_DATA_FORMAT || rc == TORC_E_CORRUPT) {
        check_problem(s->check, s->directory, UINT64_MAX, "the log cannot be read: %s", why);
        return 0;
    }
    if (rc)
        return rc;
    s->check->log_bytes += found.replayed_bytes;
    snprintf(path, sizeof path, "%s/wal-%016llx.log", s->directory,
             (unsigned long long)(found.missing_segment ? found.missing_segment : found.damaged_segment));
    if (found.missing_segment)
        check_problem(s->check, path, UINT64_MAX,
                      "this file of the log is missing, and with it whatever was written last");
    else if (found.damaged_count)
        check_problem(
            s->check, path, found.damaged_offset,
            "%llu stretches of acknowledged log are damaged, this is the first; %llu entries of them "
            "can be saved; keys without a newer version will answer UNKNOWN",
            (unsigned long long)found.damaged_count, (unsigned long long)found.salvaged_count);
    wal_recovery_deinit(s->check->reactor, &found);
    return 0;
}
