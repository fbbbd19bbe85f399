/* batch.c - the parts of a batch frame, run apart and answered together. */
#include "shard/batch.h"

#include "shard/shard.h"

enum { BATCHES_MIN = 16, BATCHES_MAX = 1 << 20 };

void batch_table_deinit(struct shard *s)
{
    for (uint32_t i = 0; i < s->batches.count; i++)
        ASSERT(!s->batches.batches[i].parts);
    reactor_free(s->reactor, s->batches.batches);
}

static int grow(struct shard *s)
{
    struct batch_table *t = &s->batches;
    uint32_t count = t->count ? t->count * 2 : BATCHES_MIN;
    if (count > BATCHES_MAX)
        return TORC_E_OVERLOADED;
    struct batch *batches = reactor_realloc(s->reactor, t->batches, count * sizeof *batches);
    if (!batches)
        return TORC_E_NO_MEMORY;
    for (uint32_t i = t->count; i < count; i++)
        batches[i] = (struct batch){.next_free = i + 1 < count ? i + 2 : 0};
    t->first_free = t->count + 1;
    t->batches = batches;
    t->count = count;
    return 0;
}

/* Returns: the index of a batch of `count` parts, or an error. */
static int64_t open_batch(struct shard *s, const struct reply *reply, uint32_t count)
{
    struct batch_table *t = &s->batches;
    int rc = t->first_free ? 0 : grow(s);
    if (rc)
        return rc;
    struct batch_part *parts = reactor_alloc_zeroed(s->reactor, (count ? count : 1) * sizeof *parts);
    if (!parts)
        return TORC_E_NO_MEMORY;
    uint32_t index = t->first_free - 1;
    struct batch *b = &t->batches[index];
    t->first_free = b->next_free;
    b->reply = *reply;
    b->count = b->missing = count;
    b->bytes = 0;
    b->has_writes = false;
    b->parts = parts;
    return index;
}

static void close_batch(struct shard *s, uint32_t index)
{
    struct batch *b = &s->batches.batches[index];
    for (uint32_t i = 0; i < b->count; i++)
        reactor_free(s->reactor, b->parts[i].frame);
    reactor_free(s->reactor, b->parts);
    b->parts = NULL;
    b->generation++;
    s->batches.bytes -= b->bytes;
    b->next_free = s->batches.first_free;
    s->batches.first_free = index + 1;
}

/* "Out of memory" says of a write that it did not happen: these may have. */
static int code_without_room(const struct batch *b)
{
    return b->has_writes ? TORC_E_UNKNOWN : TORC_E_NO_MEMORY;
}

/* All parts have answered: the run of their frames is the value of the answer. */
static void finish(struct shard *s, uint32_t index)
{
    struct batch *b = &s->batches.batches[index];
    struct answer answer = {.code = 0};
    uint8_t *value = reactor_alloc(s->reactor, b->bytes ? b->bytes : 1);
    size_t used = 0;
    for (uint32_t i = 0; i < b->count && value; i++) {
        if (b->parts[i].frame)
            memcpy(value + used, b->parts[i].frame, b->parts[i].bytes);
        else
            answer.code = code_without_room(b);
        used += b->parts[i].bytes;
    }
    answer.value = slice_of(value, used);
    if (!value)
        answer.code = code_without_room(b);
    struct reply reply = b->reply;
    close_batch(s, index);
    shard_reply(s, &reply, &answer);
    reactor_free(s->reactor, value);
}

bool batches_are_over_budget(const struct shard *s)
{
    return s->batches.bytes > s->memory.plan.output_bytes_max;
}

/* One batch alone may be as large as its frame; all together twice what makes others wait. */
static bool has_no_room(const struct shard *s, const struct batch *b, const struct answer *answer)
{
    uint64_t all = s->batches.bytes + answer->value.bytes;
    return answer->is_record && s->batches.bytes > b->bytes && all > 2 * s->memory.plan.output_bytes_max;
}

void batch_reply(struct shard *s, const struct reply *reply, const struct answer *answer)
{
    ASSERT(reply->owner < s->batches.count);
    struct batch *b = &s->batches.batches[reply->owner];
    ASSERT(b->parts && b->generation == reply->generation && reply->batch_place < b->count);
    struct batch_part *part = &b->parts[reply->batch_place];
    ASSERT(!part->frame && b->missing > 0);
    b->has_writes |= reply->op == FRAME_PUT || reply->op == FRAME_DELETE;
    struct answer too_large = {.code = TORC_E_FRAME_TOO_LARGE}, refused = {.code = TORC_E_OVERLOADED};
    if (has_no_room(s, b, answer)) {
        s->memory.refusals++;
        answer = &refused;
    }
    struct frame_parts parts = shard_answer_parts(reply, answer);
    /* Every part still to come must find room for an answer without a value. */
    uint64_t reserved = (uint64_t)b->missing * (FRAME_HEADER_BYTES + 256) + FRAME_HEADER_BYTES;
    if (b->bytes + frame_bytes(&parts) + reserved > FRAME_RESPONSE_BYTES_MAX)
        parts = shard_answer_parts(reply, &too_large);
    part->bytes = (uint32_t)frame_bytes(&parts);
    part->frame = reactor_alloc(s->reactor, part->bytes);
    if (part->frame)
        frame_encode(part->frame, &parts);
    b->bytes += part->bytes;
    s->batches.bytes += part->bytes;
    if (--b->missing == 0)
        finish(s, reply->owner);
}

/* Returns: the number of frames in the batch, or TORC_E_MALFORMED. */
static int64_t count_parts(struct slice frames)
{
    uint32_t count = 0;
    while (frames.bytes > 0) {
        struct frame f;
        size_t needed;
        if (frame_parse(frames, FRAME_BYTES_MAX, &f, &needed) != 1 || f.is_response ||
            count == FRAME_BATCH_COUNT_MAX)
            return TORC_E_MALFORMED;
        if (f.op != FRAME_GET && f.op != FRAME_PUT && f.op != FRAME_DELETE && f.op != FRAME_EXISTS)
            return TORC_E_MALFORMED;
        count++;
        frames = slice_of(frames.data + f.length, frames.bytes - f.length);
    }
    return count;
}

void batch_start(struct shard *s, const struct reply *reply, const struct frame *frame, uint64_t deadline_ns)
{
    int64_t count = frame->key.bytes ? TORC_E_MALFORMED : count_parts(frame->value);
    int64_t index = count < 0 ? count : open_batch(s, reply, (uint32_t)count);
    if (index < 0) {
        shard_reply_code(s, reply, (int)index);
        return;
    }
    struct reply part_reply = {
        .owner = (uint32_t)index,
        .generation = s->batches.batches[index].generation,
        .core = (uint16_t)s->core,
        .owner_kind = REPLY_TO_BATCH,
    };
    struct arrival arrival = {.at_ns = reactor_now_ns(s->reactor), .limit_ns = deadline_ns};
    struct slice rest = frame->value;
    for (uint32_t i = 0; i < count; i++) {
        struct frame part;
        size_t needed;
        int rc = frame_parse(rest, FRAME_BYTES_MAX, &part, &needed);
        ASSERT(rc == 1);
        part_reply.op = part.op;
        part_reply.request_id = part.request_id;
        part_reply.batch_place = i;
        requests_add(s, &part_reply, &part, &arrival);
        rest = slice_of(rest.data + part.length, rest.bytes - part.length);
    }
    if (count == 0)
        finish(s, (uint32_t)index);
}
