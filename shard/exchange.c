/* exchange.c - blocks of requests and answers between cores; see exchange.h.
 *
 *   REQUESTS block:  {request header, frame} ...              the frame as it came from the connection
 *   ANSWERS block:   {reply, answer header, value, extensions} ...
 *
 * Blocks stay within the process, so structs are copied as they are. */
#include "shard/exchange.h"

#include "reactor/base/mark.h"

#include "shard/shard.h"

enum {
    BLOCKS_KEPT_MAX = 64,
    /* With more than this out at other cores, connections are not read until some of it has come back. */
    BYTES_OUT_MAX = 32 << 20,
};

struct request_header {
    struct reply reply;
    uint64_t at_ns;
    uint64_t limit_ns;
};
static_assert(sizeof(struct request_header) % 8 == 0, "frames begin at multiples of eight bytes");

struct answer_header {
    int32_t code;
    uint32_t value_bytes;
    uint32_t extension_bytes;
    uint32_t is_record;
    uint64_t record_checksum;
};

int exchange_init(struct shard *s)
{
    s->exchange = (struct exchange){0};
    buffer_pool_init(&s->exchange.blocks, s->reactor, sizeof(struct exchange_block) + EXCHANGE_BLOCK_BYTES,
                     BLOCKS_KEPT_MAX);
    s->exchange.lanes = reactor_alloc_zeroed(s->reactor, s->core_count * sizeof *s->exchange.lanes);
    return s->exchange.lanes ? 0 : TORC_E_NO_MEMORY;
}

bool exchange_is_settled(const struct shard *s)
{
    bool is_settled = s->exchange.bytes_out == 0;
    for (unsigned core = 0; core < s->core_count; core++) {
        const struct exchange_lane *lane = &s->exchange.lanes[core];
        is_settled = is_settled && !lane->requests && !lane->answers && lane->backlog_count == 0;
    }
    return is_settled;
}

void exchange_deinit(struct shard *s)
{
    ASSERT(exchange_is_settled(s));
    buffer_pool_deinit(&s->exchange.blocks);
    for (unsigned core = 0; core < s->core_count; core++)
        reactor_free(s->reactor, s->exchange.lanes[core].backlog);
    reactor_free(s->reactor, s->exchange.lanes);
}

bool exchange_is_congested(const struct shard *s)
{
    return s->exchange.bytes_out > BYTES_OUT_MAX;
}

/* ---- messages ---- */

static bool backlog_push(struct shard *s, struct exchange_lane *lane, const struct message *m)
{
    if (lane->backlog_count == lane->backlog_capacity) {
        uint32_t capacity = lane->backlog_capacity ? lane->backlog_capacity * 2 : 64;
        struct message *grown = reactor_alloc(s->reactor, capacity * sizeof *grown);
        if (!grown)
            return false;
        for (uint32_t i = 0; i < lane->backlog_count; i++)
            grown[i] = lane->backlog[(lane->backlog_first + i) % lane->backlog_capacity];
        reactor_free(s->reactor, lane->backlog);
        lane->backlog = grown;
        lane->backlog_first = 0;
        lane->backlog_capacity = capacity;
    }
    lane->backlog[(lane->backlog_first + lane->backlog_count) % lane->backlog_capacity] = *m;
    lane->backlog_count++;
    return true;
}

static void drain_backlog(struct shard *s, unsigned core)
{
    struct exchange_lane *lane = &s->exchange.lanes[core];
    while (lane->backlog_count > 0 && channel_send(s->reactor, core, &lane->backlog[lane->backlog_first])) {
        lane->backlog_first = (lane->backlog_first + 1) % lane->backlog_capacity;
        lane->backlog_count--;
    }
}

void exchange_send(struct shard *s, unsigned core, const struct message *m)
{
    ASSERT(core != s->core && core < s->core_count);
    struct exchange_lane *lane = &s->exchange.lanes[core];
    bool is_sent = lane->backlog_count == 0 && channel_send(s->reactor, core, m);
    /* A node that can neither send nor remember a message between its cores cannot go on. */
    if (!is_sent) {
        MARK(a_message_waits_for_room_in_its_channel);
        ASSERT(backlog_push(s, lane, m));
    }
}

/* ---- blocks ---- */

static struct exchange_block *acquire_block(struct shard *s, uint32_t kind, size_t bytes)
{
    size_t capacity = bytes > EXCHANGE_BLOCK_BYTES ? bytes : EXCHANGE_BLOCK_BYTES;
    struct exchange_block *block = capacity == EXCHANGE_BLOCK_BYTES
                                       ? buffer_pool_take(&s->exchange.blocks)
                                       : reactor_alloc(s->reactor, sizeof *block + capacity);
    if (!block)
        return NULL;
    block->capacity = (uint32_t)capacity;
    block->next = NULL;
    block->kind = kind;
    block->count = block->bytes = 0;
    return block;
}

static void release_block(struct shard *s, struct exchange_block *block)
{
    if (block->capacity == EXCHANGE_BLOCK_BYTES)
        buffer_pool_give(&s->exchange.blocks, block);
    else
        reactor_free(s->reactor, block);
}

static void send_block(struct shard *s, unsigned core, struct exchange_block **gathering)
{
    struct exchange_block *block = *gathering;
    if (!block)
        return;
    *gathering = NULL;
    s->exchange.bytes_out += block->capacity;
    block->clock = hlc_seen(&s->clock, reactor_wall_ms(s->reactor));
    exchange_send(s, core, &(struct message){.kind = block->kind, .payload = block});
}

/* Room for one item in the block that gathers for `core`. Items begin at multiples of eight bytes. */
static uint8_t *reserve(struct shard *s, unsigned core, uint32_t kind, size_t bytes)
{
    struct exchange_lane *lane = &s->exchange.lanes[core];
    struct exchange_block **gathering = kind == MESSAGE_REQUESTS ? &lane->requests : &lane->answers;
    size_t padded = (bytes + 7) & ~(size_t)7;
    if (*gathering && (*gathering)->capacity - (*gathering)->bytes < padded)
        send_block(s, core, gathering);
    if (!*gathering)
        *gathering = acquire_block(s, kind, padded);
    struct exchange_block *block = *gathering;
    if (!block)
        return NULL;
    uint8_t *to = block->data + block->bytes;
    block->bytes += (uint32_t)padded;
    block->count++;
    return to;
}

static uint8_t *put(uint8_t *to, const void *from, size_t bytes)
{
    if (bytes)
        memcpy(to, from, bytes);
    return to + bytes;
}

int exchange_request(struct shard *s, unsigned core, const struct reply *reply, const struct frame *frame,
                     const struct arrival *arrival)
{
    struct request_header header = {.reply = *reply, .at_ns = arrival->at_ns, .limit_ns = arrival->limit_ns};
    uint8_t *to = reserve(s, core, MESSAGE_REQUESTS, sizeof header + frame->length);
    if (!to)
        return TORC_E_NO_MEMORY;
    put(put(to, &header, sizeof header), frame->bytes, frame->length);
    return 0;
}

/* A read may be refused at any time. */
static void refuse(struct shard *s, struct answer *answer)
{
    s->memory.refusals++;
    *answer = (struct answer){.code = TORC_E_OVERLOADED};
}

/* Whether other cores have twice as much of this one's answers as makes its own connections wait. */
static bool has_no_room(const struct shard *s, const struct answer *answer)
{
    return answer->is_record &&
           s->exchange.bytes_out + answer->value.bytes > 2 * s->memory.plan.output_bytes_max;
}

void exchange_answer(struct shard *s, const struct reply *reply, const struct answer *answer)
{
    struct answer refused;
    if (has_no_room(s, answer)) {
        refuse(s, &refused);
        answer = &refused;
    }
    struct answer_header header = {
        .code = answer->code,
        .value_bytes = (uint32_t)answer->value.bytes,
        .extension_bytes = (uint32_t)answer->extensions.bytes,
        .is_record = answer->is_record,
        .record_checksum = answer->record_checksum,
    };
    size_t bytes = sizeof *reply + sizeof header + answer->value.bytes + answer->extensions.bytes;
    uint8_t *to = reserve(s, reply->core, MESSAGE_ANSWERS, bytes);
    if (!to) {
        /* No room for the value: the requester at least hears of it, or the node stops rather than leave
         * it waiting. */
        bool has_bytes = answer->value.bytes || answer->extensions.bytes; /* else its code says what it did */
        header = (struct answer_header){.code = has_bytes ? TORC_E_NO_MEMORY : answer->code};
        to = reserve(s, reply->core, MESSAGE_ANSWERS, sizeof *reply + sizeof header);
        ASSERT(to);
    }
    to = put(put(to, reply, sizeof *reply), &header, sizeof header);
    to = put(to, answer->value.data, header.value_bytes);
    put(to, answer->extensions.data, header.extension_bytes);
}

void exchange_flush(struct shard *s)
{
    for (unsigned core = 0; core < s->core_count; core++) {
        if (core == s->core)
            continue;
        struct exchange_lane *lane = &s->exchange.lanes[core];
        drain_backlog(s, core);
        send_block(s, core, &lane->requests);
        send_block(s, core, &lane->answers);
    }
}

void exchange_broadcast(struct shard *s, uint32_t kind, uint64_t word)
{
    exchange_flush(s);
    for (unsigned core = 0; core < s->core_count; core++)
        if (core != s->core)
            exchange_send(s, core, &(struct message){.kind = kind, .word = word});
}

/* ---- what comes in ---- */

static void run_requests(struct shard *s, const struct exchange_block *block)
{
    const uint8_t *at = block->data;
    for (uint32_t i = 0; i < block->count; i++) {
        struct request_header header;
        struct frame frame;
        size_t needed;
        memcpy(&header, at, sizeof header);
        at += sizeof header;
        int rc = frame_parse(slice_of(at, (size_t)(block->data + block->bytes - at)), FRAME_BYTES_MAX, &frame,
                             &needed);
        ASSERT(rc == 1); /* its first core has parsed it */
        struct arrival arrival = {.at_ns = header.at_ns, .limit_ns = header.limit_ns};
        shard_dispatch(s, &header.reply, &frame, &arrival);
        at += (frame.length + 7) & ~(size_t)7;
    }
    requests_run(s);
}

static void take_answers(struct shard *s, const struct exchange_block *block)
{
    const uint8_t *at = block->data;
    for (uint32_t i = 0; i < block->count; i++) {
        struct reply reply;
        struct answer_header header;
        memcpy(&reply, at, sizeof reply);
        memcpy(&header, at + sizeof reply, sizeof header);
        const uint8_t *value = at + sizeof reply + sizeof header;
        size_t bytes = sizeof reply + sizeof header + header.value_bytes + header.extension_bytes;
        struct answer answer = {
            .code = header.code,
            .is_record = header.is_record != 0,
            .record_checksum = header.record_checksum,
            .value = slice_of(value, header.value_bytes),
            .extensions = slice_of(value + header.value_bytes, header.extension_bytes),
        };
        if (answer.is_record && s->sessions.outputs.bytes_in_use > 2 * s->memory.plan.output_bytes_max)
            refuse(s, &answer);
        shard_reply(s, &reply, &answer);
        at += (bytes + 7) & ~(size_t)7;
    }
}

void exchange_receive(struct shard *s, const struct message *m)
{
    struct exchange_block *block = m->payload;
    if (m->kind == MESSAGE_RETURN) {
        ASSERT(s->exchange.bytes_out >= block->capacity);
        s->exchange.bytes_out -= block->capacity;
        release_block(s, block);
        return;
    }
    hlc_observe(&s->clock, block->clock);
    if (m->kind == MESSAGE_REQUESTS)
        run_requests(s, block);
    else
        take_answers(s, block);
    exchange_send(s, m->from, &(struct message){.kind = MESSAGE_RETURN, .payload = block});
}
