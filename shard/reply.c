/* reply.c - an answer's way: to a connection of this core, into a batch, or to the core it came from. */
#include "shard/shard.h"

struct frame_parts shard_answer_parts(const struct reply *reply, const struct answer *answer)
{
    struct frame_parts parts = {
        .op = reply->op,
        .flags = error_to_status(answer->code),
        .is_response = true,
        .request_id = reply->request_id,
        .record_checksum = answer->record_checksum,
        .value = answer->value,
        .extensions = answer->extensions,
    };
    if (answer->code != 0)
        parts.value = slice_of_string(answer->code == TORC_E_NOT_FOUND ? "" : error_sentence(answer->code));
    if (!answer->is_record)
        parts.record_checksum =
            reply->op == FRAME_BATCH ? 0 : checksum_record(slice_of(NULL, 0), parts.value);
    return parts;
}

static void count_answer(struct shard *s, const struct reply *reply, int code)
{
    struct shard_counters *c = &s->counters;
    c->operations++;
    c->gets += reply->op == FRAME_GET;
    c->puts += reply->op == FRAME_PUT;
    c->deletes += reply->op == FRAME_DELETE;
    c->others += reply->op != FRAME_GET && reply->op != FRAME_PUT && reply->op != FRAME_DELETE;
    c->not_found += code == TORC_E_NOT_FOUND;
    c->timeouts += code == TORC_E_TIMEOUT;
    c->errors += code != 0 && code != TORC_E_NOT_FOUND;
}

void shard_reply(struct shard *s, const struct reply *reply, const struct answer *answer)
{
    if (__builtin_expect(reply->core != s->core, 0)) {
        exchange_answer(s, reply, answer);
        return;
    }
    if (reply->owner_kind == REPLY_TO_GATHER) {
        gather_reply(s, reply, answer);
        return;
    }
    if (reply->op != FRAME_BATCH)
        count_answer(s, reply, answer->code);
    if (reply->owner_kind == REPLY_TO_BATCH)
        batch_reply(s, reply, answer);
    else
        session_reply(s, reply, answer);
}
