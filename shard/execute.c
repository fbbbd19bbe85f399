/* execute.c - requests for a key: prepared and prefetched together, then run one by one.
 *
 * A get of a random key costs two cache misses, the slot of the hash table and the entry. So a batch of
 * requests first touches all slots, then all entries, and finds them in the cache when it executes. */
#include "reactor/base/crc16.h"
#include "shard/shard.h"

enum {
    TTL_MS_MAX = INT64_MAX / 4, /* an expiry beyond it would overflow; nothing lives that long */
    LARGE_VALUE_BYTES = 64 * 1024,
};

uint16_t shard_vnode_of_key(const struct shard *s, struct slice key)
{
    return (uint16_t)(key_slot(key) >> (SLOT_BITS - s->vnode_bits));
}

int shard_parse_extensions(struct slice bytes, struct frame_extensions *out)
{
    int rc = frame_extensions_parse(bytes, out);
    if (rc)
        return rc;
    bool is_default =
        out->namespace_name.bytes == 0 || slice_equal(out->namespace_name, slice_of_string("default"));
    return is_default ? 0 : TORC_E_NAMESPACE_UNKNOWN;
}

/* ---- prepare ---- */

static int check_limits(const struct shard *s, const struct frame *f)
{
    if (f->key.bytes == 0)
        return TORC_E_KEY_EMPTY;
    if (f->key.bytes > KEY_BYTES_MAX)
        return TORC_E_KEY_TOO_LONG;
    if (f->value.bytes > s->sizes.value_bytes_max)
        return TORC_E_VALUE_TOO_LARGE;
    return f->op == FRAME_PUT || f->value.bytes == 0 ? 0 : TORC_E_MALFORMED;
}

static bool is_write(const struct request *q)
{
    return q->frame.op == FRAME_PUT || q->frame.op == FRAME_DELETE;
}

/* A write needs no more than its key: the engine touches its memtable when it is durable. */
static int prepare(struct shard *s, struct request *q, uint16_t vnode)
{
    q->record_checksum = checksum_record(q->frame.key, q->frame.value);
    if (!frame_is_intact(&q->frame, q->record_checksum))
        return TORC_E_CHECKSUM;
    int rc = check_limits(s, &q->frame);
    if (rc)
        return rc;
    q->extensions.expiry_ms = 0;
    q->extensions.deadline_ms = 0;
    if (__builtin_expect(q->frame.extensions.bytes > 0, 0)) {
        rc = shard_parse_extensions(q->frame.extensions, &q->extensions);
        if (rc)
            return rc;
    }
    struct record_key key = {.vnode = vnode, .key = q->frame.key};
    if (is_write(q)) {
        q->key.key = key;
        return 0;
    }
    engine_key_init(s->engine, &q->key, &key);
    engine_prefetch_slot(s->engine, &q->key);
    return 0;
}

uint64_t request_deadline_ns(const struct shard *s, const struct request *q)
{
    uint64_t deadline_ns = shard_deadline_ns(s, q->arrival.at_ns, q->extensions.deadline_ms);
    uint64_t limit_ns = q->arrival.limit_ns;
    return limit_ns && (!deadline_ns || limit_ns < deadline_ns) ? limit_ns : deadline_ns;
}

void requests_add(struct shard *s, const struct reply *reply, const struct frame *frame,
                  const struct arrival *arrival)
{
    uint16_t vnode = frame->key.bytes ? shard_vnode_of_key(s, frame->key) : 0;
    unsigned core = frame->key.bytes ? shard_core_of_vnode(s, vnode) : s->core;
    if (core != s->core) {
        int rc = exchange_request(s, core, reply, frame, arrival);
        if (rc)
            shard_reply_code(s, reply, rc);
        else
            s->counters.crossed++;
        return;
    }
    struct request *q = &s->requests[s->request_count++];
    q->reply = *reply;
    q->frame = *frame;
    q->arrival = *arrival;
    q->error = prepare(s, q, vnode);
    if (__builtin_expect(arrival->sampled_ns != 0, 0))
        q->parsed_ns = reactor_clock_ns(s->reactor);
    if (s->request_count == REQUESTS_AT_ONCE)
        requests_run(s);
}

/* ---- execute ---- */

void shard_reply_record(struct shard *s, const struct reply *reply, uint8_t flags,
                        const struct record *record)
{
    struct answer answer = {.code = 0};
    if (__builtin_expect(reply->op == FRAME_GET, 1))
        answer =
            (struct answer){.is_record = true, .value = record->value, .record_checksum = record->checksum};
    uint8_t extensions[FRAME_EXTENSION_BYTES_MAX];
    if (__builtin_expect(flags & FRAME_WANT_VERSION, 0)) {
        struct frame_extensions e = {
            .has_version = true,
            .version_clock = record->version.clock,
            .version_node = record->version.node,
        };
        answer.extensions = slice_of(extensions, frame_extensions_encode(extensions, &e));
    }
    shard_reply(s, reply, &answer);
}

/* Returns: whether it is answered; else it waits for the disk. */
static bool execute_get(struct shard *s, struct request *q)
{
    struct record record;
    int answer = engine_get(s->engine, &q->key, reactor_wall_ms(s->reactor), &record);
    if (__builtin_expect(answer == ENGINE_FOUND, 1))
        shard_reply_record(s, &q->reply, q->frame.flags, &record);
    else if (answer == ENGINE_ABSENT)
        shard_reply_code(s, &q->reply, TORC_E_NOT_FOUND);
    else if (answer == ENGINE_WAITS)
        jobs_add(s, q);
    else
        shard_reply_code(s, &q->reply, answer);
    return answer != ENGINE_WAITS;
}

static int fill_record(struct shard *s, const struct request *q, struct record *out)
{
    uint64_t now_ms = reactor_wall_ms(s->reactor);
    *out = (struct record){.key = q->key.key, .value = q->frame.value, .checksum = q->record_checksum};
    if (q->frame.op == FRAME_DELETE)
        out->flags = RECORD_TOMBSTONE;
    if (q->extensions.expiry_ms) {
        if (q->extensions.expiry_ms > TTL_MS_MAX || q->frame.op == FRAME_DELETE)
            return TORC_E_MALFORMED;
        out->flags |= RECORD_EXPIRING;
        out->expiry_ms = now_ms + q->extensions.expiry_ms;
    }
    if (__builtin_expect(!moments_are_quiet(&s->moments), 0))
        moments_pass(s);
    out->version = hlc_stamp(&s->clock, now_ms);
    return 0;
}

static void execute_write(struct shard *s, struct request *q)
{
    struct record record;
    struct engine_ticket ticket = {.deadline_ns = request_deadline_ns(s, q)};
    int rc = fill_record(s, q, &record);
    if (__builtin_expect(q->arrival.sampled_ns != 0, 0)) {
        uint64_t now_ns = reactor_clock_ns(s->reactor);
        stages_record(&s->stages, STAGE_WRITE_PARSED, q->arrival.sampled_ns, q->parsed_ns);
        stages_record(&s->stages, STAGE_WRITE_EXECUTED, q->parsed_ns, now_ns);
        ticket.stamp_ns = stages_hold(&s->stages, now_ns);
    }
    memcpy(ticket.words, &q->reply, sizeof ticket.words);
    s->counters.large_values += q->frame.value.bytes > LARGE_VALUE_BYTES;
    if (rc == 0)
        rc = engine_put(s->engine, &record, &ticket);
    deadlines_note(&s->deadlines, ticket.deadline_ns);
    if (rc) {
        if (ticket.stamp_ns)
            stages_release(&s->stages, ticket.stamp_ns);
        shard_reply_code(s, &q->reply, rc);
    }
}

static void execute(struct shard *s, struct request *q)
{
    if (__builtin_expect(q->error != 0, 0)) {
        shard_reply_code(s, &q->reply, q->error);
        return;
    }
    if (is_write(q)) {
        execute_write(s, q);
        return;
    }
    bool is_answered = execute_get(s, q);
    if (__builtin_expect(q->arrival.sampled_ns != 0, 0)) {
        stages_record(&s->stages, STAGE_READ_PARSED, q->arrival.sampled_ns, q->parsed_ns);
        if (!is_answered)
            return; /* these stages are of reads from memory: the disk's time is in the latency */
        uint64_t now_ns = reactor_clock_ns(s->reactor);
        stages_record(&s->stages, STAGE_READ_EXECUTED, q->parsed_ns, now_ns);
        session_sample(s, &q->reply, now_ns);
    }
}

void requests_run(struct shard *s)
{
    unsigned count = s->request_count;
    for (unsigned i = 0; i < count; i++)
        if (s->requests[i].error == 0 && !is_write(&s->requests[i]))
            engine_prefetch_entry(s->engine, &s->requests[i].key);
    for (unsigned i = 0; i < count; i++)
        execute(s, &s->requests[i]);
    ASSERT(s->request_count == count);
    s->request_count = 0;
}

void shard_on_durable(void *context, const struct engine_ticket *ticket, int result,
                      const struct engine_write_times *times)
{
    struct shard *s = context;
    struct reply reply;
    uint64_t answered_from_ns = 0;
    memcpy(&reply, ticket->words, sizeof reply);
    if (__builtin_expect(ticket->stamp_ns != 0, 0)) {
        uint64_t executed_ns = stages_release(&s->stages, ticket->stamp_ns);
        if (times && result == 0) {
            stages_record(&s->stages, STAGE_WRITE_SUBMITTED, executed_ns, times->submitted_ns);
            stages_record(&s->stages, STAGE_WRITE_DURABLE, times->submitted_ns, times->durable_ns);
        }
        answered_from_ns = times ? times->durable_ns : 0;
    }
    shard_reply_code(s, &reply, result);
    if (__builtin_expect(answered_from_ns != 0, 0)) {
        uint64_t now_ns = reactor_clock_ns(s->reactor);
        stages_record(&s->stages, STAGE_WRITE_ANSWERED, answered_from_ns, now_ns);
        session_sample(s, &reply, now_ns);
    }
}
