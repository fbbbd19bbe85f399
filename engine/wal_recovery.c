/* wal_recovery.c - reads the log at start, verifies its chain and replays it.
 *
 * Records are taken in order as long as each is whole, belongs to its segment's present use, has the next
 * sequence and names the checksum of the one before. Where that ends there are four cases:
 *
 *   1. the next segment says that it continues after the last record taken: go on there
 *   2. no record after this place says that the missing one was durable: a torn tail, never acknowledged; cut
 *   3. one says so, or a block cannot be read, or a file is missing that the manifest names: damage in what
 *      was acknowledged. What verifies by itself is saved, the stretch is counted and bounded, and the log
 *      goes on with the next whole record
 *   4. the missing record is in a later segment whose header is damaged: go on there, nothing is lost
 *
 *            a break, the missing record was durable                a break, it may be further on: case 4
 *   CHAINED -----------------------------------------> LOST       CHAINED ------------------------> SEEKING
 *      ^                                                |            ^                                  |
 *      +--- the next whole record, whichever it is -----+            +--- the very record missing ------+
 *
 * Where the walk ends LOST there is damage; where it ends SEEKING nobody was told of what is missing, and the
 * tail is cut. Nothing on disk is changed, but that the last records are written once more, with the same
 * bytes, where only the disk's cache may have them. */
#include "engine/wal_reader.h"
#include "engine/wal_survey.h"
#include "reactor/base/mark.h"

#include <errno.h>
#include <stdio.h>

/* Where a record was taken from. */
struct taken {
    uint32_t index;
    uint64_t offset;
    uint64_t bytes;
    uint64_t sequence;
};
enum { TAKEN_KEPT = WAL_WRITES_IN_FLIGHT_MAX + 1 }; /* no more are without a watermark */

struct walk {
    struct reactor *reactor;
    const struct wal_recovery_options *options;
    struct wal_recovery *out;
    struct wal_survey survey;
    struct wal_reader reader;
    uint32_t index; /* the segment that is open */
    uint64_t offset;
    uint64_t next;          /* the sequence looked for */
    uint64_t last_sequence; /* of the last record taken; before the first: start.sequence - 1 */
    uint64_t last_checksum; /* 0: none was taken */
    bool has_taken;
    bool is_lost;
    bool is_seeking;
    bool is_cut;
    bool has_first_file;   /* the file named by the start is there, or none was */
    uint64_t lost_segment; /* where the search began */
    uint64_t lost_offset;
    uint64_t lost_clock;            /* bound for what is missing if no record follows */
    uint64_t used_segment;          /* the last one that a record was taken from; 0: none */
    bool is_unreadable;             /* a block at or behind the place where the chain ended last */
    struct wal_lookahead ahead;     /* of the last look */
    uint64_t torn_bytes;            /* cut if the search for the missing record is in vain */
    struct taken taken[TAKEN_KEPT]; /* the last records; of record i in order: i % TAKEN_KEPT */
    uint64_t taken_count;
    bool is_enough; /* WAL_REPLAY_ENOUGH */
};

static struct wal_survey_segment *segment_of(struct walk *w)
{
    return &w->survey.segments[w->index];
}

/* Null: there is no file of that id. */
static const struct wal_survey_segment *find_segment(const struct walk *w, uint64_t id)
{
    for (uint32_t i = 0; i < w->survey.count; i++)
        if (w->survey.segments[i].id == id)
            return &w->survey.segments[i];
    return NULL;
}

/* ---- taking records ---- */

static int replay_payload(struct walk *w, const struct wal_record_header *h, const uint8_t *payload)
{
    struct slice rest = slice_of(payload, h->payload_bytes);
    uint32_t count = 0;
    while (rest.bytes > 0) {
        struct record record;
        size_t consumed;
        if (entry_decode(rest, &record, &consumed) != 0)
            break;
        int rc = w->options->replay(w->options->owner, &record, h->sequence);
        if (rc)
            return rc;
        count++;
        rest = slice_of(rest.data + consumed, rest.bytes - consumed);
        if (count % 64 == 0)
            task_yield_if_due(w->reactor);
    }
    w->out->entry_count += count;
    return rest.bytes == 0 && count == h->entry_count ? 0 : TORC_E_CORRUPT;
}

static void remember(struct walk *w, const struct wal_record_header *h)
{
    w->taken[w->taken_count++ % TAKEN_KEPT] = (struct taken){
        .index = w->index,
        .offset = w->offset,
        .bytes = wal_record_bytes(h->payload_bytes),
        .sequence = h->sequence,
    };
}

static void count_damage(struct walk *w, uint64_t clock_bound)
{
    struct wal_recovery *out = w->out;
    if (out->damaged_count++ == 0) {
        out->damaged_segment = w->lost_segment;
        out->damaged_offset = w->lost_offset;
    }
    if (clock_bound > out->missing_clock_bound)
        out->missing_clock_bound = clock_bound;
}

/* The first record asked for names the one before it. After a break that one is missing. */
static bool is_of_another_past(const struct walk *w, const struct wal_record_header *h)
{
    const struct wal_recovery_options *o = w->options;
    bool is_first = h->sequence >= o->start.sequence && w->out->record_count == 0 && !w->is_lost;
    return is_first && o->previous_checksum != 0 && h->previous_checksum != o->previous_checksum;
}

/* Does a later file say that the log goes on before the record that previous_checksum is of? */
static bool parts_before_start(const struct walk *w)
{
    const struct wal_recovery_options *o = w->options;
    const struct wal_survey_segment *s = find_segment(w, o->start.segment);
    return o->previous_checksum && s && s->drop_above < o->start.sequence - 1;
}

/* A whole record that is next, or the first one after a break. */
static int take(struct walk *w, const struct wal_record_header *h)
{
    struct wal_recovery *out = w->out;
    out->is_of_another_past = is_of_another_past(w, h);
    if (out->is_of_another_past)
        return TORC_E_CORRUPT;
    if (w->is_lost && h->sequence > w->next && h->sequence > w->options->start.sequence) {
        MARK(log_is_found_again_behind_damage);
        count_damage(w, h->clock_max);
    } else if (w->is_lost && w->has_taken && h->sequence == w->next &&
               h->previous_checksum != w->last_checksum) {
        /* It follows another one than the last that was taken, whose write had failed: the header that says
         * so is damaged. What should not have been taken is not newer than this one. */
        MARK(failed_log_write_was_taken_for_want_of_a_header);
        count_damage(w, h->clock_max);
    }
    w->is_lost = w->is_seeking = false;
    w->has_taken = true;
    w->last_sequence = h->sequence;
    w->last_checksum = h->checksum;
    w->next = h->sequence + 1;
    w->used_segment = segment_of(w)->id;
    if (segment_of(w)->first_accepted == 0)
        segment_of(w)->first_accepted = h->sequence;
    if (h->clock_max > out->clock_max)
        out->clock_max = h->clock_max;
    if (h->watermark > out->watermark)
        out->watermark = h->watermark;
    if (h->entry_count)
        out->entries_sequence = h->sequence;
    remember(w, h);
    const uint8_t *payload = w->reader.buffer + w->offset + WAL_RECORD_HEADER_BYTES;
    uint64_t bytes = wal_record_bytes(h->payload_bytes);
    w->lost_segment = segment_of(w)->id;
    w->lost_offset = w->offset;
    w->offset += bytes;
    if (h->sequence < w->options->start.sequence)
        return 0;
    out->record_count++;
    out->replayed_bytes += bytes;
    int rc = replay_payload(w, h, payload);
    if (rc == TORC_E_CORRUPT) { /* it was written so: nothing can be said of the rest of it */
        count_damage(w, h->clock_max);
        rc = 0;
    }
    w->is_enough = rc == WAL_REPLAY_ENOUGH;
    return w->is_enough ? 0 : rc;
}

/* ---- what lies at the present offset ---- */

enum found {
    FOUND_NOTHING, /* no header of this use of the segment */
    FOUND_BROKEN,  /* a whole header, its payload does not match */
    FOUND_WHOLE,   /* a log record; not necessarily the one looked for */
};

static enum found look(struct walk *w, struct wal_record_header *h)
{
    wal_reader_need(&w->reader, w->offset + WAL_BLOCK_BYTES);
    const uint8_t *record = w->reader.buffer + w->offset;
    if (!wal_record_header_decode(record, h) || !wal_survey_owns(&w->survey, segment_of(w), h))
        return FOUND_NOTHING;
    if (!wal_record_is_in_place(h, w->offset)) {
        MARK(log_record_written_elsewhere_is_not_taken);
        return FOUND_NOTHING;
    }
    uint64_t end = w->offset + wal_record_bytes(h->payload_bytes);
    if (end > w->reader.bytes)
        return FOUND_BROKEN;
    wal_reader_need(&w->reader, end);
    uint64_t checksum = wal_payload_checksum(record + WAL_RECORD_HEADER_BYTES, h->payload_bytes);
    return checksum == h->payload_checksum ? FOUND_WHOLE : FOUND_BROKEN;
}

static bool is_next(const struct walk *w, const struct wal_record_header *h)
{
    if (!w->has_taken)
        return h->sequence <= w->next;
    return h->sequence == w->next && h->previous_checksum == w->last_checksum;
}

/* Saves the entries of a damaged record that verify by themselves; ends where lengths cannot be trusted. */
static int salvage(struct walk *w, uint64_t end)
{
    wal_reader_need(&w->reader, end);
    uint64_t at = w->offset + WAL_RECORD_HEADER_BYTES;
    uint64_t start = w->options->start.sequence; /* what is before it is in tables, never in a memtable */
    while (at < end) {
        struct record record;
        size_t consumed;
        const uint8_t *entry = w->reader.buffer + at;
        if (entry_decode(slice_of(entry, end - at), &record, &consumed) != 0 || !entry_header_is_sound(entry))
            return 0;
        at += consumed;
        if (!entry_verify(&record)) {
            MARK(damaged_entry_of_a_damaged_record_is_left_out);
            continue;
        }
        MARK(whole_entry_of_a_damaged_record_is_saved);
        int rc = w->options->replay(w->options->owner, &record, w->next > start ? w->next : start);
        if (rc && rc != WAL_REPLAY_ENOUGH) /* one that is lost may be before that */
            return rc;
        w->out->salvaged_count++;
        if (record.version.clock > w->out->clock_max)
            w->out->clock_max = record.version.clock;
        task_yield_if_due(w->reactor);
    }
    return 0;
}

/* One step of the search: saves what can be saved at this block and goes behind it. A damaged header is known
 * as this use's by its epoch; the epoch is random, so stale bytes do not have it. Nothing is saved of what a
 * later file has dropped: its write had failed, and starts before this one did not show it. */
static int search_on(struct walk *w, enum found found, const struct wal_record_header *h)
{
    uint64_t drop_above = segment_of(w)->drop_above;
    bool is_needed = w->next >= w->options->start.sequence && w->next <= drop_above;
    uint64_t step = WAL_BLOCK_BYTES;
    uint64_t end = w->offset + WAL_BLOCK_BYTES;
    bool is_ours = found == FOUND_BROKEN;
    if (found != FOUND_NOTHING) {
        end = w->offset + wal_record_bytes(h->payload_bytes);
        is_needed =
            h->sequence >= w->options->start.sequence && h->sequence >= w->next && h->sequence <= drop_above;
        if (end <= w->reader.bytes)
            step = end - w->offset;
    } else if (segment_of(w)->has_header && h->epoch == segment_of(w)->header.epoch) {
        MARK(damaged_record_header_is_known_by_its_epoch);
        is_ours = true;
        end = w->reader.bytes;
    }
    if (end > w->reader.bytes)
        end = w->reader.bytes;
    int rc = w->is_lost && is_ours && is_needed ? salvage(w, end) : 0;
    w->offset += step;
    return rc;
}

/* ---- from segment to segment ---- */

/* A named file holds at least what every file is made with. */
static bool has_file(const struct walk *w, uint64_t id)
{
    const struct wal_survey_segment *s = find_segment(w, id);
    return s && s->bytes >= WAL_SEGMENT_BYTES_MIN;
}

/* The first named file that is not there and may hold what came after the last record taken; 0: none. */
static uint64_t missing_segment(const struct walk *w)
{
    const struct wal_named *named = &w->options->named;
    uint64_t first = 0;
    for (unsigned i = 0; i < WAL_NAMED_MAX; i++) {
        uint64_t id = named->ids[i];
        bool is_needed = id >= w->options->start.segment && id > w->used_segment;
        if (id != 0 && is_needed && !has_file(w, id) && (first == 0 || id < first))
            first = id;
    }
    return first;
}

static int open_segment(struct walk *w, uint32_t index)
{
    wal_reader_close(&w->reader);
    w->index = index;
    w->offset = WAL_BLOCK_BYTES;
    return wal_reader_open(&w->reader, wal_survey_path(&w->survey, index));
}

static bool is_continuation(const struct walk *w, const struct wal_survey_segment *s)
{
    return s->has_header && !s->is_dead && s->header.continues_sequence == w->last_sequence &&
           (s->header.continues_checksum == w->last_checksum || s->header.continues_checksum == 0 ||
            !w->has_taken);
}

/* Returns: the first segment from `from` that continues after the last record taken; or the count. */
static uint32_t find_continuation(const struct walk *w, uint32_t from)
{
    for (uint32_t i = from; i < w->survey.count; i++)
        if (w->survey.segments[i].is_needed && is_continuation(w, &w->survey.segments[i]))
            return i;
    return w->survey.count;
}

static int go_to_continuation(struct walk *w, uint32_t index)
{
    w->is_lost = w->is_seeking = false;
    w->next = w->survey.segments[index].header.first_sequence;
    return open_segment(w, index);
}

/* The next segment in which records may count. Returns: the count when there is none. */
static uint32_t find_following(const struct walk *w, uint32_t from)
{
    for (uint32_t i = from; i < w->survey.count; i++)
        if (w->survey.segments[i].is_needed && !w->survey.segments[i].is_dead)
            return i;
    return w->survey.count;
}

static void cut(struct walk *w)
{
    w->is_cut = true;
    w->out->torn_bytes = w->torn_bytes;
    if (w->torn_bytes > 0)
        MARK(torn_tail_of_the_log_is_cut);
}

/* Was nothing of this use of the file ever written at that block? What cannot be read may have been. */
static bool is_untouched(struct walk *w, uint32_t index, uint64_t offset)
{
    const struct wal_survey_segment *s = &w->survey.segments[index];
    struct wal_record_header h;
    struct file *file = NULL;
    if (offset + WAL_BLOCK_BYTES > s->bytes)
        return true;
    bool is_read =
        file_open(w->reactor, wal_survey_path(&w->survey, index), FILE_READ | FILE_DIRECT, &file) == 0 &&
        wal_read_blocks(w->reactor, file, w->survey.scratch, WAL_BLOCK_BYTES, offset) == 0;
    file_close(w->reactor, file);
    if (!is_read)
        return false;
    bool is_whole = wal_record_header_decode(w->survey.scratch, &h);
    if (s->has_header)
        return h.epoch != s->header.epoch;
    return offset == WAL_BLOCK_BYTES && !(is_whole && wal_survey_owns(&w->survey, s, &h));
}

/* Can the missing record have been where the disk cannot read? It begins at the present place or at the
 * beginning of a later file; when nothing was ever written there, the bad block holds none of the log. */
static bool may_be_unreadable(struct walk *w)
{
    if (!is_untouched(w, w->index, w->offset))
        return true;
    for (uint32_t i = w->index + 1; i < w->survey.count; i++)
        if (w->survey.segments[i].is_needed && !w->survey.segments[i].is_dead &&
            !is_untouched(w, i, WAL_BLOCK_BYTES))
            return true;
    MARK(bad_block_in_unused_log_is_no_damage);
    return false;
}

/* What follows the present place. As long as a record is missing that was durable by what an earlier look
 * has found, that look says it still: what it found is further on, since a record is above its own watermark.
 * So a log with damage in many places is looked through once and not from each of them. */
static int look_ahead(struct walk *w)
{
    struct wal_lookahead *ahead = &w->ahead;
    if (w->next > ahead->watermark) {
        *ahead = (struct wal_lookahead){.missing_sequence = w->next, .previous_checksum = w->last_checksum};
        return wal_survey_look_ahead(&w->survey, w->index, w->offset, ahead);
    }
    MARK(earlier_look_ahead_knows_what_was_durable);
    bool is_behind = ahead->bad_index == w->index ? ahead->bad_end > w->offset : ahead->bad_index > w->index;
    ahead->is_unreadable &= is_behind;
    return 0;
}

/* The chain ends at the present place. Decides which of the four cases it is. */
static int chain_ends(struct walk *w, bool is_after_header)
{
    uint32_t after = find_continuation(w, w->index + 1);
    if (after < w->survey.count) {
        MARK(log_goes_on_in_a_later_file);
        return go_to_continuation(w, after);
    }
    const struct wal_lookahead *found = &w->ahead;
    int rc = look_ahead(w);
    if (rc)
        return rc;
    w->is_unreadable = (found->is_unreadable || w->reader.unreadable_end > w->offset) && may_be_unreadable(w);
    if (w->is_unreadable)
        MARK(what_cannot_be_read_of_the_log_is_no_torn_tail);
    bool was_durable = found->was_durable || w->next < w->options->start.sequence ||
                       (!w->has_first_file && !w->has_taken) || missing_segment(w) != 0 || w->is_unreadable;
    w->torn_bytes = found->torn_bytes == 0 && is_after_header ? WAL_BLOCK_BYTES : found->torn_bytes;
    if (!was_durable && !found->continues) {
        cut(w);
        return 0;
    }
    if (was_durable)
        MARK(damage_in_acknowledged_log_is_found);
    else
        MARK(missing_record_is_sought_behind_a_damaged_header);
    w->is_lost = was_durable;
    w->is_seeking = !was_durable;
    w->lost_segment = segment_of(w)->id;
    w->lost_offset = w->offset;
    w->lost_clock = found->clock_max;
    return 0;
}

/* Looks at one place. Returns in *is_over whether the walk has come to its end. */
static int step(struct walk *w, bool *is_over)
{
    struct wal_record_header h = {0};
    enum found found = FOUND_NOTHING;
    bool is_inside = w->offset < w->reader.bytes;
    if (is_inside)
        found = look(w, &h);
    if (found == FOUND_WHOLE && h.sequence > segment_of(w)->drop_above) {
        MARK(log_write_that_had_failed_is_dropped);
        is_inside = false; /* what follows in this segment was never acknowledged and is dropped */
        found = FOUND_NOTHING;
    }
    if (found == FOUND_WHOLE && (is_next(w, &h) || (w->is_lost && h.sequence >= w->next)))
        return take(w, &h);
    if (!w->is_lost && !w->is_seeking) {
        int rc =
            chain_ends(w, is_inside && segment_of(w)->has_header && h.epoch == segment_of(w)->header.epoch);
        *is_over = w->is_cut;
        return rc;
    }
    if (is_inside)
        return search_on(w, found, &h);
    uint32_t following = find_following(w, w->index + 1);
    *is_over = following == w->survey.count;
    if (*is_over && w->is_seeking)
        cut(w);
    return *is_over ? 0 : open_segment(w, following);
}

/* The first segment sets what is looked for: its records before the start are verified and skipped. */
static int enter_first(struct walk *w, uint32_t first)
{
    const struct wal_survey_segment *s = &w->survey.segments[first];
    int rc = open_segment(w, first);
    if (rc || !s->has_header)
        return rc;
    if (s->header.first_sequence <= w->next || is_continuation(w, s))
        w->next = s->header.first_sequence;
    return 0;
}

static int walk_all(struct walk *w)
{
    uint32_t first = find_following(w, 0);
    if (first == w->survey.count) {
        w->is_lost = !w->has_first_file || missing_segment(w) != 0;
        if (w->is_lost)
            MARK(every_log_file_is_missing);
        w->lost_segment = w->options->start.segment;
        return 0;
    }
    int rc = enter_first(w, first);
    for (bool is_over = false; rc == 0 && !is_over && !w->is_enough;) {
        rc = step(w, &is_over);
        task_yield_if_due(w->reactor);
    }
    return rc;
}

/* ---- the end ---- */

/* Is it what was taken? The disk was asked once more, and what is written must be nothing else. */
static bool is_as_taken(const uint8_t *record, const struct taken *t)
{
    struct wal_record_header h;
    return wal_record_header_decode(record, &h) && h.sequence == t->sequence &&
           wal_record_bytes(h.payload_bytes) == t->bytes &&
           wal_payload_checksum(record + WAL_RECORD_HEADER_BYTES, h.payload_bytes) == h.payload_checksum;
}

/* Writes a record once more where it is, the segment's header with it if it is the first and the header is
 * whole. The bytes are the same, so a torn write changes nothing that was durable. */
static int write_again(struct walk *w, const struct taken *t)
{
    bool has_header = t->offset == WAL_BLOCK_BYTES && w->survey.segments[t->index].has_header;
    uint64_t offset = has_header ? 0 : t->offset;
    uint64_t bytes = t->offset + t->bytes - offset;
    uint8_t *copy = reactor_alloc_aligned(w->reactor, bytes, FILE_ALIGNMENT);
    if (!copy)
        return TORC_E_NO_MEMORY;
    struct file *file = NULL;
    struct wal_segment_header header;
    const char *path = wal_survey_path(&w->survey, t->index);
    int rc = file_open(w->reactor, path, FILE_READ | FILE_WRITE | FILE_DIRECT, &file);
    if (rc == 0) {
        uint64_t unreadable_end = wal_read_blocks(w->reactor, file, copy, bytes, offset);
        bool is_same = unreadable_end == 0 && is_as_taken(copy + (t->offset - offset), t) &&
                       (!has_header || wal_segment_header_decode(copy, &header) == WAL_HEADER_VALID);
        rc = is_same ? file_write(w->reactor, file, copy, bytes, offset, true) : TORC_E_STORAGE;
    }
    file_close(w->reactor, file);
    reactor_free(w->reactor, copy);
    return rc;
}

/* What was taken but is not known to be durable may be in the disk's cache only, and is about to be served. A
 * sync is not enough: it says nothing of a write that failed in the process before. */
static int write_taken_again(struct walk *w)
{
    int rc = 0;
    uint64_t first = w->taken_count > TAKEN_KEPT ? w->taken_count - TAKEN_KEPT : 0;
    for (uint64_t i = first; rc == 0 && i < w->taken_count; i++) {
        const struct taken *t = &w->taken[i % TAKEN_KEPT];
        if (t->sequence <= w->out->watermark)
            continue;
        MARK(log_record_not_known_to_be_durable_is_written_again);
        rc = write_again(w, t);
    }
    return rc;
}

/* A break after which no whole record came. What is missing is bounded by later headers, or else by the
 * present, and by what was seen: the clock may have been set back since. */
static void finish_lost(struct walk *w)
{
    enum { CLOCK_COUNTER_BITS = 16 };
    struct wal_recovery *out = w->out;
    out->missing_segment = missing_segment(w);
    bool is_before_start = w->has_first_file && w->next < w->options->start.sequence && w->lost_clock == 0;
    bool is_open = out->missing_segment || w->is_unreadable;
    if (!w->is_lost || (is_before_start && !is_open))
        return;
    MARK(log_ends_in_damage);
    uint64_t bound = w->lost_clock;
    if (out->missing_segment) {
        MARK(named_log_file_is_missing);
        w->lost_segment = out->missing_segment;
        w->lost_offset = 0;
    }
    if (is_open || bound == 0) {
        uint64_t now = reactor_wall_ms(w->reactor) << CLOCK_COUNTER_BITS | UINT16_MAX;
        bound = bound > now ? bound : now;
        bound = bound > out->clock_max ? bound : out->clock_max;
        out->is_end_lost = true;
    }
    count_damage(w, bound);
}

static bool is_named(const struct walk *w, uint64_t id)
{
    for (unsigned i = 0; i < WAL_NAMED_MAX; i++)
        if (w->options->named.ids[i] == id)
            return true;
    return false;
}

/* A file without records that nothing names may not have been synced by the process that made it. */
static int export_segments(struct walk *w)
{
    struct wal_recovery *out = w->out;
    uint32_t count = w->survey.count;
    if (count == 0)
        return 0;
    out->segments = reactor_alloc(w->reactor, count * sizeof out->segments[0]);
    if (!out->segments)
        return TORC_E_NO_MEMORY;
    for (uint32_t i = 0; i < count; i++) {
        const struct wal_survey_segment *s = &w->survey.segments[i];
        uint64_t first = s->has_header ? s->header.first_sequence : s->first_accepted;
        bool is_durable = first != 0 || is_named(w, s->id);
        out->segments[i] = (struct wal_segment_info){.id = s->id,
                                                     .bytes = is_durable ? s->bytes : 0,
                                                     .first_sequence = first};
    }
    out->segment_count = count;
    out->segment_id_max = w->survey.segments[count - 1].id;
    for (uint32_t i = 0; i < count; i++)
        if (out->segments[i].first_sequence != 0)
            out->used_segment = out->segments[i].id;
    return 0;
}

static int finish(struct walk *w)
{
    struct wal_recovery *out = w->out;
    finish_lost(w);
    uint64_t before_start = w->options->start.sequence - 1;
    bool is_before = w->last_sequence < before_start;
    out->last_sequence = is_before ? before_start : w->last_sequence;
    out->last_checksum = is_before ? 0 : w->last_checksum;
    out->sequence_seen_max = w->survey.sequence_seen_max;
    if (out->sequence_seen_max < out->last_sequence)
        out->sequence_seen_max = out->last_sequence;
    int rc = w->options->is_read_only ? 0 : write_taken_again(w);
    if (rc == 0)
        rc = export_segments(w);
    for (unsigned i = 0; i < WAL_NAMED_MAX; i++) /* a file that is gone keeps its id */
        if (w->options->named.ids[i] > out->segment_id_max)
            out->segment_id_max = w->options->named.ids[i];
    return rc;
}

static bool has_first_file(const struct walk *w)
{
    uint64_t id = w->options->start.segment;
    return id == 0 || find_segment(w, id);
}

int wal_recover(struct reactor *r, const struct wal_recovery_options *options, struct wal_recovery *out,
                char *why, size_t why_bytes)
{
    ASSERT(options->start.sequence >= 1 && why_bytes > 0);
    why[0] = '\0';
    *out = (struct wal_recovery){.start = options->start};
    struct walk *w = reactor_alloc_zeroed(r, sizeof *w);
    if (!w) {
        snprintf(why, why_bytes, "%s", error_sentence(TORC_E_NO_MEMORY));
        return TORC_E_NO_MEMORY;
    }
    w->reactor = r;
    w->options = options;
    w->out = out;
    w->next = options->start.sequence;
    w->last_sequence = options->start.sequence - 1;
    wal_reader_init(&w->reader, r);
    int rc = wal_survey_take(&w->survey, r, options, why, why_bytes);
    if (rc == 0 && parts_before_start(w)) {
        out->is_of_another_past = true;
        rc = TORC_E_CORRUPT;
    }
    if (rc == 0) {
        w->has_first_file = has_first_file(w);
        rc = walk_all(w);
        wal_reader_close(&w->reader);
    }
    if (rc == 0)
        rc = finish(w);
    if (rc && why[0] == '\0')
        snprintf(why, why_bytes, "%s: the log cannot be read: %s", options->directory, error_sentence(rc));
    wal_reader_deinit(&w->reader);
    wal_survey_deinit(&w->survey);
    reactor_free(r, w);
    return rc;
}

void wal_recovery_deinit(struct reactor *r, struct wal_recovery *recovery)
{
    reactor_free(r, recovery->segments);
    recovery->segments = NULL;
    recovery->segment_count = 0;
}
