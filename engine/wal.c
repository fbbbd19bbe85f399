/* wal.c - the shard's write-ahead log: gathering, submitting, acknowledging.
 *
 * Appends gather in memory; whatever has gathered goes out in one O_DIRECT write as soon as fewer than two
 * are in flight, so a busy log batches and an idle one does not wait. The second waits while it would be
 * padding to a good part. A record is acknowledged only when all before it are durable. The tail block is
 * never rewritten (but by a start, with the same bytes): a torn write cannot hurt what was acknowledged.
 *
 * A failed write is never tried again on its file. All writes in flight are awaited, the durable prefix is
 * acknowledged, the rest gets its tickets back with the error, and the log goes on in a new segment, whose
 * header says after which record it continues: recovery then drops what the failed writes may have left. Two
 * failures in a row and the shard takes no more writes. */
#include "engine/wal_internal.h"
#include "reactor/base/mark.h"

#include <errno.h>

enum {
    GATHER_BYTES_DEFAULT = 16 << 20,
    SEGMENT_BYTES_DEFAULT = 64 << 20,
    WRITES_IN_FLIGHT_DEFAULT = 2,
    PADDING_PARTS_DEFAULT = 16,
    DELIVER_ITEMS_DEFAULT = 128, /* applied in some 50 us */
    SPARES_DEFAULT = 2,
    SEGMENTS_MAX_DEFAULT = WAL_SEGMENTS_MAX - 256, /* each start makes one, and some may not go away */
    IDLE_NS_DEFAULT = 10 * 1000 * 1000,
    RETRY_NS_DEFAULT = 1000 * 1000 * 1000,
    HUNG_NS = 1000 * 1000 * 1000,   /* a batch that is younger says nothing of the disk */
    LET_GO_NS = 1000 * 1000 * 1000, /* for the copy of one piece to the archive */
    ITEMS_FIRST = 256,
    FAILURES_IN_ROW_MAX = 2,
};
static const uint64_t ARCHIVE_TELL_NS = UINT64_C(10) * 1000 * 1000 * 1000;

/* ---- small things ---- */

void wal_event(struct wal *wal, const char *event, const char *text)
{
    if (wal->options.on_event)
        wal->options.on_event(wal->options.owner, event, text);
}

void wal_room(struct wal *wal)
{
    if (wal->options.on_room)
        wal->options.on_room(wal->options.owner);
}

static struct wal_buffer *buffer_of(struct list *link)
{
    return CONTAINER_OF(link, struct wal_buffer, link);
}

uint64_t wal_sequence_durable(const struct wal *wal)
{
    return wal->durable_sequence;
}

uint64_t wal_gathered_bytes(const struct wal *wal)
{
    return wal->gathered_bytes;
}

uint64_t wal_bytes(const struct wal *wal)
{
    return wal->log_bytes;
}

int wal_refusal(const struct wal *wal)
{
    return wal->refusal;
}

bool wal_is_out_of_room(const struct wal *wal)
{
    return wal->refusal == TORC_E_DISK_FULL || (wal->next_error == TORC_E_DISK_FULL && !wal->next);
}

/* ---- buffers ---- */

static struct wal_buffer *buffer_make(struct wal *wal)
{
    struct wal_buffer *b = reactor_alloc_zeroed(wal->reactor, sizeof *b);
    if (!b)
        return NULL;
    uint64_t bytes = WAL_RECORD_AT + wal_record_bytes(wal->options.batch_bytes_max);
    b->memory = reactor_alloc_aligned(wal->reactor, bytes, FILE_ALIGNMENT);
    b->items = reactor_alloc(wal->reactor, ITEMS_FIRST * sizeof b->items[0]);
    if (!b->memory || !b->items) {
        reactor_free(wal->reactor, b->memory);
        reactor_free(wal->reactor, b->items);
        reactor_free(wal->reactor, b);
        return NULL;
    }
    b->item_capacity = ITEMS_FIRST;
    b->wal = wal;
    list_init(&b->link);
    wal->buffer_count++;
    wal->counters.buffer_bytes += bytes + sizeof *b + ITEMS_FIRST * sizeof b->items[0];
    return b;
}

/* Opens a new batch at the end of what gathers. The buffer used last comes first: the cache has it still. */
static struct wal_buffer *buffer_open(struct wal *wal)
{
    struct list *link = list_pop_front(&wal->free);
    struct wal_buffer *b = link ? buffer_of(link) : NULL;
    if (!b && wal->buffer_count < wal->buffer_count_max)
        b = buffer_make(wal);
    if (!b)
        return NULL;
    b->item_count = 0;
    b->payload_bytes = 0;
    b->hashed_bytes = 0;
    b->checksum = 0;
    b->is_done = false;
    b->has_late = false;
    b->opened_ns = reactor_now_ns(wal->reactor);
    b->deadline_ns = UINT64_MAX;
    b->segment = NULL;
    list_push_back(&wal->gathering, &b->link);
    return b;
}

void wal_buffer_release(struct wal *wal, struct wal_buffer *b)
{
    wal->late_count -= b->has_late;
    list_push_back(wal->free.next, &b->link); /* before the first: at the front */
    if (wal->has_refused) {
        wal->has_refused = false;
        wal_room(wal);
    }
}

static void buffers_free(struct wal *wal)
{
    for (struct list *link; (link = list_pop_front(&wal->free));) {
        struct wal_buffer *b = buffer_of(link);
        reactor_free(wal->reactor, b->memory);
        reactor_free(wal->reactor, b->items);
        reactor_free(wal->reactor, b);
    }
}

/* ---- append ---- */

static bool items_have_room(struct wal *wal, struct wal_buffer *b)
{
    if (b->item_count < b->item_capacity)
        return true;
    uint32_t capacity = b->item_capacity * 2; /* bounded by batch_bytes_max / ENTRY_BYTES_MIN, doubled */
    struct wal_item *items = reactor_realloc(wal->reactor, b->items, capacity * sizeof items[0]);
    if (!items)
        return false;
    wal->counters.buffer_bytes += (capacity - b->item_capacity) * sizeof items[0];
    b->items = items;
    b->item_capacity = capacity;
    return true;
}

static struct wal_buffer *gathering_with_room(struct wal *wal, size_t bytes)
{
    if (!list_is_empty(&wal->gathering)) {
        struct wal_buffer *last = buffer_of(wal->gathering.previous);
        if (last->payload_bytes + bytes <= wal->options.batch_bytes_max)
            return items_have_room(wal, last) ? last : NULL;
    }
    return buffer_open(wal);
}

static void hash_full_chunks(struct wal_buffer *b)
{
    const uint8_t *payload = b->memory + WAL_PAYLOAD_AT;
    for (; b->payload_bytes - b->hashed_bytes >= WAL_CHECKSUM_CHUNK_BYTES;
         b->hashed_bytes += WAL_CHECKSUM_CHUNK_BYTES)
        b->checksum = wal_checksum_chunk(b->checksum, payload + b->hashed_bytes, WAL_CHECKSUM_CHUNK_BYTES);
}

static uint64_t payload_checksum(const struct wal_buffer *b)
{
    const uint8_t *rest = b->memory + WAL_PAYLOAD_AT + b->hashed_bytes;
    return wal_checksum_chunk(b->checksum, rest, b->payload_bytes - b->hashed_bytes);
}

static int refusal_of(struct wal *wal, const struct record *record)
{
    if (__builtin_expect(wal->refusal == 0 && wal->next_error == 0, 1))
        return 0;
    if (wal->refusal == TORC_E_STORAGE) {
        MARK(put_is_refused_by_a_failed_log);
        return TORC_E_STORAGE;
    }
    if (!wal_is_out_of_room(wal))
        return 0;
    if (!wal->refusal && record->flags & RECORD_TOMBSTONE) {
        MARK(delete_is_taken_on_a_full_disk);
        return 0;
    }
    MARK(put_is_refused_on_a_full_disk);
    wal->counters.refusals++;
    return TORC_E_DISK_FULL;
}

int wal_append(struct wal *wal, const struct record *record, const struct engine_ticket *ticket)
{
    int refusal = refusal_of(wal, record);
    if (refusal)
        return refusal;
    size_t bytes = entry_bytes(record);
    ASSERT(bytes <= wal->options.batch_bytes_max);
    struct wal_buffer *b = NULL;
    if (wal->gathered_bytes + bytes <= wal->options.gather_bytes_max)
        b = gathering_with_room(wal, bytes);
    if (!b) {
        MARK(put_is_refused_while_the_log_buffer_is_full);
        wal->has_refused = true;
        return TORC_E_OVERLOADED;
    }
    size_t written = entry_encode(b->memory + WAL_PAYLOAD_AT + b->payload_bytes, record);
    ASSERT(written == bytes);
    b->items[b->item_count++] = (struct wal_item){.ticket = *ticket, .offset = b->payload_bytes};
    if (ticket->deadline_ns && ticket->deadline_ns < b->deadline_ns)
        b->deadline_ns = ticket->deadline_ns;
    b->payload_bytes += (uint32_t)bytes;
    hash_full_chunks(b);
    wal->gathered_bytes += bytes;
    wal->counters.entries++;
    if (record->version.clock > wal->clock_max)
        wal->clock_max = record->version.clock;
    return 0;
}

/* ---- deadlines ---- */

static void expire_items(struct wal *wal, struct wal_buffer *b, uint64_t now_ns)
{
    uint64_t earliest_ns = UINT64_MAX;
    for (uint32_t i = 0; i < b->item_count; i++) {
        struct wal_item *item = &b->items[i];
        uint64_t deadline_ns = item->ticket.deadline_ns;
        if (deadline_ns == 0 || item->is_answered)
            continue;
        if (deadline_ns > now_ns) {
            earliest_ns = deadline_ns < earliest_ns ? deadline_ns : earliest_ns;
            continue;
        }
        item->is_answered = true;
        wal->late_count += !b->has_late;
        b->has_late = true;
        struct engine_ticket ticket = item->ticket; /* items may move when on_late appends */
        wal->options.on_late(wal->options.owner, &ticket);
    }
    b->deadline_ns = earliest_ns;
}

bool wal_expire(struct wal *wal, uint64_t now_ns)
{
    struct list *lists[] = {&wal->in_flight, &wal->gathering};
    for (unsigned i = 0; i < ARRAY_COUNT(lists); i++)
        for (struct list *link = lists[i]->next; link != lists[i]; link = link->next)
            if (buffer_of(link)->deadline_ns <= now_ns) {
                expire_items(wal, buffer_of(link), now_ns);
                return true;
            }
    return false;
}

uint64_t wal_deadline_ns(const struct wal *wal)
{
    const struct list *lists[] = {&wal->in_flight, &wal->gathering};
    uint64_t earliest_ns = UINT64_MAX;
    for (unsigned i = 0; i < ARRAY_COUNT(lists); i++)
        for (struct list *link = lists[i]->next; link != lists[i]; link = link->next)
            if (buffer_of(link)->deadline_ns < earliest_ns)
                earliest_ns = buffer_of(link)->deadline_ns;
    return earliest_ns;
}

bool wal_is_late(const struct wal *wal)
{
    const struct list *lists[] = {&wal->in_flight, &wal->gathering};
    if (wal->late_count == 0)
        return false;
    for (unsigned i = 0; i < ARRAY_COUNT(lists); i++)
        for (struct list *link = lists[i]->next; link != lists[i]; link = link->next)
            if (buffer_of(link)->has_late) /* the oldest of them */
                return reactor_now_ns(wal->reactor) >= buffer_of(link)->opened_ns + HUNG_NS;
    return false;
}

/* ---- submit ---- */

static void write_over(struct file_operation *op);

static void fail_gathered(struct wal *wal)
{
    for (struct list *link; wal->refusal && (link = list_pop_front(&wal->gathering));) {
        struct wal_buffer *b = buffer_of(link);
        wal->gathered_bytes -= b->payload_bytes;
        MARK(gathered_records_fail_with_their_log);
        b->header.sequence = 0;
        wal_deliver(wal, b, wal->refusal);
    }
}

static void refuse(struct wal *wal, int error)
{
    ASSERT(error == TORC_E_DISK_FULL || error == TORC_E_STORAGE);
    if (wal->refusal == error)
        return;
    wal->refusal = error;
    wal_event(wal, error == TORC_E_DISK_FULL ? "log_disk_full" : "log_failed", error_sentence(error));
    wal_segments_wake(wal);
}

/* Makes the prepared segment the current one. The background task kept room for its info. */
static bool rotate(struct wal *wal, uint64_t first_sequence)
{
    if (!wal->next) {
        if (wal->next_error) {
            MARK(log_has_no_file_to_go_on_in);
            refuse(wal, wal->next_error);
        }
        return false;
    }
    ASSERT(wal->info_count < wal->info_capacity);
    if (wal->current)
        wal_segment_retire(wal, wal->current);
    wal->current = wal->next;
    wal->next = NULL;
    wal->infos[wal->info_count++] = (struct wal_segment_info){.id = wal->current->id,
                                                              .bytes = wal->current->bytes,
                                                              .first_sequence = first_sequence};
    wal_segments_wake(wal);
    return true;
}

/* Ends the record of `b` at the end of the chain: header before its payload, zeros after it. */
static void seal_record(struct wal *wal, struct wal_buffer *b, uint64_t record_bytes)
{
    /* The first one comes behind the header block. */
    uint64_t offset = wal->current->offset ? wal->current->offset : WAL_BLOCK_BYTES;
    uint8_t *record = b->memory + WAL_RECORD_AT;
    uint64_t used = WAL_RECORD_HEADER_BYTES + (uint64_t)b->payload_bytes;
    memset(record + used, 0, record_bytes - used);
    b->header = (struct wal_record_header){
        .entry_count = b->item_count,
        .payload_bytes = b->payload_bytes,
        .block = (uint32_t)(offset / WAL_BLOCK_BYTES),
        .segment_id = wal->current->id,
        .epoch = wal->current->epoch,
        .sequence = wal->next_sequence++,
        .watermark = wal->durable_sequence,
        .previous_checksum = wal->chain_checksum,
        .clock_max = wal->clock_max,
        .payload_checksum = payload_checksum(b),
    };
    wal_record_header_encode(record, &b->header);
}

/* Puts the header block of the current segment before its first record. */
static void put_segment_header(struct wal *wal, struct wal_buffer *b)
{
    struct wal_segment_header h = {
        .id = wal->current->id,
        .epoch = wal->current->epoch,
        .first_sequence = b->header.sequence,
        .continues_sequence = wal->chain_sequence,
        .continues_checksum = wal->chain_checksum,
    };
    memset(b->memory, 0, WAL_BLOCK_BYTES);
    wal_segment_header_encode(b->memory, &h);
}

static void write_record(struct wal *wal, struct wal_buffer *b, uint64_t record_bytes)
{
    struct wal_segment *s = wal->current;
    uint64_t offset = s->offset;
    uint64_t bytes = record_bytes;
    const uint8_t *from = b->memory + WAL_RECORD_AT;
    seal_record(wal, b, record_bytes);
    if (offset == 0) {
        put_segment_header(wal, b);
        from = b->memory;
        bytes += WAL_BLOCK_BYTES;
    }
    s->offset = offset + bytes;
    s->in_flight++;
    wal->chain_sequence = b->header.sequence;
    wal->chain_checksum = b->header.checksum;
    wal->log_bytes += bytes;
    wal->counters.writes++;
    wal->counters.watermarks += b->item_count == 0;
    wal->counters.bytes += bytes;
    b->segment = s;
    b->op.done = write_over;
    b->submitted_ns = reactor_clock_ns(wal->reactor);
    file_write_start(wal->reactor, s->file, &b->op, from, bytes, offset, true);
}

static bool submit_first(struct wal *wal)
{
    struct wal_buffer *b = buffer_of(wal->gathering.next);
    uint64_t record_bytes = wal_record_bytes(b->payload_bytes);
    struct wal_segment *s = wal->current;
    if (!s || s->offset + record_bytes > s->bytes)
        if (!rotate(wal, wal->next_sequence))
            return false;
    ASSERT(WAL_BLOCK_BYTES + record_bytes <= wal->current->bytes);
    list_remove(&b->link);
    wal->gathered_bytes -= b->payload_bytes;
    list_push_back(&wal->in_flight, &b->link);
    wal->in_flight_count++;
    write_record(wal, b, record_bytes);
    return true;
}

/* Beside a write that is in flight: what gathers until that is done fills the blocks better. */
static bool is_mostly_whole(const struct wal *wal, const struct wal_buffer *b)
{
    uint64_t bytes = wal_record_bytes(b->payload_bytes);
    return (bytes - WAL_RECORD_HEADER_BYTES - b->payload_bytes) * wal->options.padding_parts <= bytes;
}

static bool may_submit(const struct wal *wal)
{
    if (wal->is_failing || wal->refusal || list_is_empty(&wal->gathering))
        return false;
    if (wal->in_flight_count == 0)
        return true;
    return wal->in_flight_count < wal->options.writes_in_flight_max &&
           is_mostly_whole(wal, buffer_of(wal->gathering.next));
}

void wal_submit(struct wal *wal)
{
    while (may_submit(wal))
        if (!submit_first(wal))
            break;
    if (wal->refusal && wal->in_flight_count == 0)
        fail_gathered(wal);
}

/* ---- completion ---- */

static void idle_over(struct timer *t);

static bool watermark_is_owed(const struct wal *wal)
{
    return wal->entries_durable > wal->watermark_durable;
}

static void idle_start(struct wal *wal, uint64_t after_ns)
{
    if (watermark_is_owed(wal) && wal->idle.heap_index == 0 && !wal->is_stopping &&
        timer_start(wal->reactor, &wal->idle, after_ns, idle_over) != 0)
        wal_event(wal, "log_no_timer", "out of memory for a timer; the next write carries the watermark");
}

/* Nothing is on its way, but the last record is not yet covered by a watermark: if it rotted now, recovery
 * would take it for a torn one. An empty record carries the watermark. */
static void idle_over(struct timer *t)
{
    struct wal *wal = CONTAINER_OF(t, struct wal, idle);
    bool is_idle = wal->in_flight_count == 0 && list_is_empty(&wal->gathering) && !wal->is_failing;
    if (!watermark_is_owed(wal) || wal->refusal)
        return; /* a refusal that ends begins it again */
    if (!is_idle)
        idle_start(wal, wal->options.idle_ns);
    else if (!buffer_open(wal))
        idle_start(wal, wal->options.retry_ns);
}

void wal_look_when_idle(struct wal *wal)
{
    idle_start(wal, wal->options.idle_ns);
}

static void record_is_durable(struct wal *wal, struct wal_buffer *b)
{
    ASSERT(b->header.sequence > wal->durable_sequence);
    wal->durable_sequence = b->header.sequence;
    wal->durable_checksum = b->header.checksum;
    wal->watermark_durable = b->header.watermark;
    if (wal->end.segment != b->header.segment_id)
        wal_note_end(wal);
    wal->end = (struct wal_end){
        .segment = b->header.segment_id, /* the file may be closed: a later write was over before this one */
        .offset = (uint64_t)b->header.block * WAL_BLOCK_BYTES + wal_record_bytes(b->payload_bytes),
        .sequence = b->header.sequence,
        .checksum = b->header.checksum,
    };
    if (b->item_count)
        wal->entries_durable = b->header.sequence;
    wal->failures_in_row = 0;
    if (wal->is_end_open)
        wal_archive_wake(wal);
    wal->is_end_open = false;
    wal_deliver(wal, b, 0);
    wal_look_when_idle(wal);
}

/* All writes in flight are over and the first of them failed: none of them counts. The chain goes back to the
 * last durable record, sequences do not. Their bytes may be on the disk all the same, and should the log not
 * go on, the next start finds them there. */
static void fail_in_flight(struct wal *wal)
{
    int error = error_is_disk_full(wal->write_error) ? TORC_E_DISK_FULL : TORC_E_STORAGE;
    wal->is_failing = false;
    wal->is_end_open = true;
    wal->chain_sequence = wal->durable_sequence;
    wal->chain_checksum = wal->durable_checksum;
    wal_event(wal, "log_write_failed", error_sentence(wal->write_error));
    if (wal->current) {
        wal_segment_retire(wal, wal->current);
        wal->current = NULL;
    }
    wal->failures_in_row++;
    if (wal->failures_in_row >= FAILURES_IN_ROW_MAX) {
        MARK(log_takes_no_more_writes_after_two_failures);
        refuse(wal, error);
    } else {
        MARK(log_goes_on_in_a_new_file_after_a_failed_write);
        idle_start(wal, wal->options.retry_ns); /* not soon: two that fail are the end of the log */
    }
    struct list failed;
    list_init(&failed);
    for (struct list *link; (link = list_pop_front(&wal->in_flight));)
        list_push_back(&failed, link);
    wal->in_flight_count = 0;
    for (struct list *link; (link = list_pop_front(&failed));)
        wal_deliver(wal, buffer_of(link), TORC_E_UNKNOWN);
}

static void acknowledge(struct wal *wal)
{
    while (!list_is_empty(&wal->in_flight)) {
        struct wal_buffer *b = buffer_of(wal->in_flight.next);
        if (!b->is_done || b->op.result < 0)
            break;
        list_remove(&b->link);
        wal->in_flight_count--;
        record_is_durable(wal, b);
    }
    if (!wal->is_failing)
        return;
    for (struct list *link = wal->in_flight.next; link != &wal->in_flight; link = link->next)
        if (!buffer_of(link)->is_done) {
            MARK(failed_log_write_awaits_the_others_in_flight);
            return;
        }
    fail_in_flight(wal);
}

static void write_over(struct file_operation *op)
{
    struct wal_buffer *b = CONTAINER_OF(op, struct wal_buffer, op);
    struct wal *wal = b->wal;
    ASSERT(!b->is_done && b->segment->in_flight > 0);
    b->is_done = true;
    b->segment->in_flight--;
    if (b->segment != wal->current && b->segment->in_flight == 0)
        wal_segments_wake(wal);
    if (op->result < 0) {
        wal->counters.failed_writes++;
        if (!wal->is_failing)
            wal->write_error = (int)op->result;
        wal->is_failing = true;
    }
    acknowledge(wal);
    event_set(wal->reactor, &wal->progress, 0);
}

/* ---- open and close ---- */

static void options_complete(struct wal_options *o)
{
    if (!o->segment_bytes)
        o->segment_bytes = SEGMENT_BYTES_DEFAULT;
    if (!o->batch_bytes_max)
        o->batch_bytes_max = WAL_PAYLOAD_BYTES_MAX;
    if (!o->gather_bytes_max)
        o->gather_bytes_max = GATHER_BYTES_DEFAULT;
    if (!o->writes_in_flight_max)
        o->writes_in_flight_max = WRITES_IN_FLIGHT_DEFAULT;
    if (!o->padding_parts)
        o->padding_parts = PADDING_PARTS_DEFAULT;
    if (!o->deliver_items_max)
        o->deliver_items_max = DELIVER_ITEMS_DEFAULT;
    if (!o->spare_segments_max)
        o->spare_segments_max = SPARES_DEFAULT;
    if (!o->segments_max)
        o->segments_max = SEGMENTS_MAX_DEFAULT;
    if (!o->idle_ns)
        o->idle_ns = IDLE_NS_DEFAULT;
    if (!o->retry_ns)
        o->retry_ns = RETRY_NS_DEFAULT;
    ASSERT(o->segment_bytes % WAL_BLOCK_BYTES == 0 && o->segment_bytes >= WAL_SEGMENT_BYTES_MIN);
    ASSERT(o->writes_in_flight_max <= WAL_WRITES_IN_FLIGHT_MAX);
    ASSERT(o->segment_bytes <= WAL_SEGMENT_BYTES_MAX && o->spare_segments_max <= WAL_SPARES_MAX);
    ASSERT(o->batch_bytes_max <= WAL_PAYLOAD_BYTES_MAX && o->gather_bytes_max >= o->batch_bytes_max);
    ASSERT(WAL_BLOCK_BYTES + wal_record_bytes(o->batch_bytes_max) <= o->segment_bytes);
    ASSERT(o->on_durable && o->directory && strlen(o->directory) + WAL_NAME_BYTES < WAL_PATH_BYTES_MAX);
}

static void chain_init(struct wal *wal, const struct wal_recovery *recovery)
{
    uint64_t used = recovery->sequence_seen_max;
    if (used < recovery->last_sequence)
        used = recovery->last_sequence;
    wal->next_sequence = used + 1;
    wal->chain_sequence = wal->durable_sequence = wal->opened_sequence = recovery->last_sequence;
    wal->chain_checksum = wal->durable_checksum = recovery->last_checksum;
    wal->entries_durable = recovery->entries_sequence;
    wal->watermark_durable = recovery->watermark;
    wal->clock_max = recovery->clock_max;
    wal->log_bytes = recovery->replayed_bytes;
    /* Not the last file there: one that was prepared gets another id when it is used. */
    uint64_t last = recovery->used_segment;
    if (last < recovery->start.segment)
        last = recovery->start.segment;
    wal->end = (struct wal_end){
        .segment = last,
        .sequence = wal->durable_sequence,
        .checksum = wal->durable_checksum,
    };
}

/* Waits. Returns: whether the copying has ended, in time. */
static bool await_archive(struct wal *wal)
{
    uint64_t patience_ns = wal->options.archive_patience_ns;
    if (patience_ns)
        return event_wait(wal->reactor, &wal->archive_ended, patience_ns) == 0;
    if (event_wait(wal->reactor, &wal->archive_ended, ARCHIVE_TELL_NS) == 0)
        return true;
    wal_event(wal, "archive_awaited", "the rest of the log is not in the archive yet, and has to be");
    return event_wait(wal->reactor, &wal->archive_ended, EVENT_FOREVER) == 0;
}

/* Waits: until what is closed is archived, if it can be, and while there is patience. Then the copy under way
 * is cut short, which wants its file system to answer once more. */
static enum engine_archived stop_archive(struct wal *wal)
{
    if (!wal->archive)
        return ENGINE_ARCHIVED;
    wal->is_archive_stopping = true;
    wal_archive_wake(wal);
    if (await_archive(wal))
        return wal->is_archived ? ENGINE_ARCHIVED : ENGINE_ARCHIVE_BEHIND;
    wal->is_archive_given_up = true;
    wal_event(
        wal, "archive_late",
        "the archive did not take the rest of the log in time; nothing is lost: it stays where it is, and "
        "the next start goes on copying");
    bool is_over = event_wait(wal->reactor, &wal->archive_ended, LET_GO_NS) == 0;
    if (!is_over)
        MARK(copy_to_the_archive_hangs_at_the_end);
    return is_over ? ENGINE_ARCHIVE_BEHIND : ENGINE_ARCHIVE_HANGING;
}

static void wal_free(struct wal *wal)
{
    buffers_free(wal);
    reactor_free(wal->reactor, wal->infos);
    reactor_free(wal->reactor, wal->directory);
    reactor_free(wal->reactor, wal->archive);
    reactor_free(wal->reactor, wal);
}

static void lists_init(struct wal *wal)
{
    list_init(&wal->free);
    list_init(&wal->gathering);
    list_init(&wal->in_flight);
    list_init(&wal->delivering);
    list_init(&wal->retired);
    list_init(&wal->holds);
    event_init(&wal->work);
    event_init(&wal->ended);
    event_init(&wal->progress);
    event_init(&wal->archive_work);
    event_init(&wal->archive_ended);
}

static char *copy_text(struct reactor *r, const char *text)
{
    size_t bytes = strlen(text) + 1;
    char *copy = reactor_alloc(r, bytes);
    return copy ? memcpy(copy, text, bytes) : NULL;
}

static int copy_paths(struct wal *wal)
{
    wal->directory = copy_text(wal->reactor, wal->options.directory);
    wal->options.directory = wal->directory;
    if (wal->options.archive)
        wal->archive = copy_text(wal->reactor, wal->options.archive);
    bool is_whole = wal->directory && (wal->archive || !wal->options.archive);
    wal->options.archive = wal->archive;
    return is_whole ? 0 : TORC_E_NO_MEMORY;
}

/* The archiver first: without the other task nobody wakes it, and it can be told to end. */
static int start_tasks(struct wal *wal)
{
    int rc = wal->archive ? task_spawn(wal->reactor, wal_archive_run, wal) : 0;
    if (rc)
        return rc;
    rc = task_spawn(wal->reactor, wal_segments_run, wal);
    if (rc) {
        wal->is_archive_given_up = true; /* it has not begun yet, and so has nothing under way */
        (void)stop_archive(wal);
    }
    return rc;
}

int wal_open(struct reactor *r, const struct wal_options *options, struct wal_recovery *recovery,
             struct wal **out)
{
    struct wal *wal = reactor_alloc_zeroed(r, sizeof *wal);
    if (!wal)
        return TORC_E_NO_MEMORY;
    wal->reactor = r;
    wal->options = *options;
    options_complete(&wal->options);
    lists_init(wal);
    wal->buffer_count_max = wal->options.writes_in_flight_max + 2 +
                            wal->options.gather_bytes_max / wal->options.batch_bytes_max * 2;
    chain_init(wal, recovery);
    int rc = copy_paths(wal);
    if (rc == 0)
        rc = wal_segments_init(wal, recovery);
    if (rc == 0)
        rc = start_tasks(wal);
    if (rc) {
        wal_free(wal);
        return rc;
    }
    wal_recovery_deinit(r, recovery);
    wal_look_when_idle(wal); /* the last record replayed may not be covered by a watermark yet */
    *out = wal;
    return 0;
}

/* Waits: until nothing gathers, nothing is in flight, and all tickets are back. */
static void drain(struct wal *wal)
{
    while (true) {
        event_init(&wal->progress);
        wal_submit(wal);
        bool is_back = wal->in_flight_count == 0 && list_is_empty(&wal->delivering);
        if (is_back && list_is_empty(&wal->gathering))
            return;
        int rc = event_wait(wal->reactor, &wal->progress, EVENT_FOREVER);
        ASSERT(rc == 0);
    }
}

int wal_begin(struct wal *wal)
{
    while (wal->durable_sequence == wal->opened_sequence) {
        if (wal->refusal)
            return wal->refusal;
        bool is_idle = wal->in_flight_count == 0 && list_is_empty(&wal->gathering) && !wal->is_failing;
        if (is_idle && !buffer_open(wal))
            return TORC_E_NO_MEMORY;
        wal_submit(wal);
        task_sleep(wal->reactor, wal->options.idle_ns / 10);
    }
    return 0;
}

enum engine_archived wal_close(struct wal *wal)
{
    drain(wal);
    if (watermark_is_owed(wal) && !wal->refusal && buffer_open(wal))
        drain(wal);
    wal->is_stopping = true;
    timer_stop(wal->reactor, &wal->idle);
    wal_segments_wake(wal);
    int rc = event_wait(wal->reactor, &wal->ended, EVENT_FOREVER);
    ASSERT(rc == 0);
    enum engine_archived archived = stop_archive(wal);
    if (archived != ENGINE_ARCHIVE_HANGING)
        wal_free(wal);
    return archived;
}
