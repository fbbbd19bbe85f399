/* load.c - the loop of one thread.
 *
 * A slot is free, or its request is with the driver. Free slots stand in a ring; whatever is to be sent takes
 * the first. In the closed loop something always is to be sent until the end, in the open loop when it is
 * due. */
#include "bench/load.h"

#include <stdlib.h>

#define MS_NS 1000000ull
#define SECOND_NS 1000000000ull

/* Shorter waits are spent asking, since a sleep would make the request late. */
#define SPIN_NS 80000ull

enum { VALUE_SLACK_BYTES = 8 };

/* Sixteen bits of thread and the rest a count: no two writes of a run carry the same version. */
enum { VERSION_COUNT_BITS = 48 };

int load_init(struct load *l, const struct load_plan *plan)
{
    ASSERT(plan->connections > 0 && plan->depth > 0 && plan->key_count > 0);
    ASSERT(plan->thread_index < plan->thread_count);
    *l = (struct load){.plan = *plan, .slot_count = plan->connections * plan->depth};
    l->slots = calloc(l->slot_count, sizeof l->slots[0]);
    l->free_slots = calloc(l->slot_count, sizeof l->free_slots[0]);
    l->inserts = calloc(1, sizeof *l->inserts);
    l->value = malloc((size_t)plan->keys.value_bytes_max + VALUE_SLACK_BYTES + 8);
    if (!l->slots || !l->free_slots || !l->inserts || !l->value) {
        load_deinit(l);
        return TORC_E_NO_MEMORY;
    }
    for (uint32_t i = 0; i < l->slot_count; i++)
        l->free_slots[i] = i % plan->connections * plan->depth + i / plan->connections;
    l->free_count = l->slot_count;
    workload_mix_init(&l->mix, &plan->workload);
    l->random = random_of_seed(plan->seed + (uint64_t)plan->thread_index * 1000003u + plan->is_loading);
    l->version = random_mix(plan->seed) ^ (uint64_t)plan->thread_index << VERSION_COUNT_BITS;
    l->interval_ns = plan->rate > 0.0 ? 1e9 / plan->rate : 0.0;
    l->limit = plan->operation_limit ? plan->operation_limit : UINT64_MAX;
    if (plan->is_loading) {
        l->begin_index = plan->key_count * plan->thread_index / plan->thread_count;
        l->limit = plan->key_count * (plan->thread_index + 1) / plan->thread_count - l->begin_index;
    }
    return 0;
}

void load_deinit(struct load *l)
{
    free(l->slots);
    free(l->free_slots);
    free(l->inserts);
    free(l->value);
    l->slots = NULL;
    l->free_slots = NULL;
    l->inserts = NULL;
    l->value = NULL;
}

/* ---- slots ---- */

static inline uint32_t take_slot(struct load *l)
{
    ASSERT(l->free_count > 0);
    uint32_t slot = l->free_slots[l->free_first];
    l->free_first = l->free_first + 1 == l->slot_count ? 0 : l->free_first + 1;
    l->free_count--;
    return slot;
}

static inline void give_slot(struct load *l, uint32_t slot)
{
    ASSERT(l->free_count < l->slot_count);
    uint32_t at = l->free_first + l->free_count;
    l->free_slots[at >= l->slot_count ? at - l->slot_count : at] = slot;
    l->free_count++;
}

/* ---- which request ---- */

static uint64_t inserted_key_index(const struct load *l, uint64_t number)
{
    return l->plan.key_count + number * l->plan.thread_count + l->plan.thread_index;
}

static uint64_t pick_key(struct load *l)
{
    uint64_t picked = distribution_next(&l->plan.distribution, &l->random);
    if (l->plan.workload.asks_absent)
        return l->plan.key_count + picked;
    if (l->plan.distribution.kind != DISTRIBUTION_LATEST)
        return picked;
    uint64_t inserted = l->inserts->acknowledged;
    return picked < inserted ? inserted_key_index(l, inserted - 1 - picked)
                             : l->plan.key_count - 1 - (picked - inserted) % l->plan.key_count;
}

static bool may_insert(const struct load *l)
{
    return insert_window_has_room(l->inserts) &&
           inserted_key_index(l, l->inserts->next) < keyspace_capacity(&l->plan.keys);
}

/* Decides what the slot does. An insert that has no room becomes a get. */
static void choose(struct load *l, struct load_slot *s)
{
    s->is_modified = false;
    s->retries = 0;
    if (l->plan.is_loading) {
        s->op = OPERATION_INSERT;
        s->index = l->begin_index + l->started;
        return;
    }
    enum operation op = workload_mix_next(&l->mix, &l->random);
    if (op == OPERATION_INSERT && !may_insert(l))
        op = OPERATION_GET;
    s->op = (uint8_t)op;
    if (op == OPERATION_INSERT) {
        s->insert_number = insert_window_begin(l->inserts);
        s->index = inserted_key_index(l, s->insert_number);
    } else {
        s->index = pick_key(l);
    }
}

static int send_slot(struct load *l, uint32_t slot)
{
    const struct load_slot *s = &l->slots[slot];
    struct driver_request q = {.op = (enum operation)s->op};
    if (s->op == OPERATION_MODIFY)
        q.op = s->is_modified ? OPERATION_PUT : OPERATION_GET;
    q.key = slice_of(l->key, keyspace_key(&l->plan.keys, s->index, l->key));
    if (q.op == OPERATION_PUT || q.op == OPERATION_INSERT)
        q.value = slice_of(l->value, keyspace_value(&l->plan.keys, s->index, l->version++, l->value));
    if (q.op == OPERATION_SCAN) {
        bool is_walk = l->plan.workload.walks_all;
        q.key.bytes = is_walk ? 0 : keyspace_prefix_bytes(&l->plan.keys);
        q.limit = is_walk ? UINT64_MAX : 1 + random_below(&l->random, WORKLOAD_SCAN_ENTRIES_MAX);
    }
    return driver_send(l->driver, slot, &q);
}

/* ---- begin and end of an operation ---- */

static void end_operation(struct load *l, uint32_t slot, int code, uint64_t now_ns)
{
    struct load_slot *s = &l->slots[slot];
    enum operation op = (enum operation)s->op;
    if (op == OPERATION_INSERT && !l->plan.is_loading)
        insert_window_answer(l->inserts, s->insert_number);
    if (code == 0) {
        recorder_done(&l->recorder, op, now_ns > s->start_ns ? now_ns - s->start_ns : 0);
    } else if (code == TORC_E_NOT_FOUND && op != OPERATION_PUT && op != OPERATION_INSERT) {
        recorder_done(&l->recorder, op, now_ns > s->start_ns ? now_ns - s->start_ns : 0);
        recorder_miss(&l->recorder);
    } else {
        recorder_error(&l->recorder, op, code);
    }
    give_slot(l, slot);
}

/* Returns: false when the driver takes no more for now. */
static bool begin_operation(struct load *l, uint64_t start_ns)
{
    uint32_t slot = take_slot(l);
    struct load_slot *s = &l->slots[slot];
    choose(l, s);
    l->started++;
    s->start_ns = start_ns;
    int rc = send_slot(l, slot);
    if (rc == 0)
        return true;
    end_operation(l, slot, rc, start_ns);
    return false;
}

/* The requests that are due by now; what finds no slot stays due. When a slot was free all along, nothing but
 * the client itself can be why a request is late. */
static void begin_due(struct load *l, uint64_t now_ns)
{
    bool may_blame_client = l->had_free_slot && !l->was_waiting_for_slot;
    while (l->next_due_ns <= now_ns && l->next_due_ns < l->end_ns && l->started < l->limit) {
        if (l->free_count == 0) {
            l->blocked_count += !l->was_waiting_for_slot;
            l->was_waiting_for_slot = true;
            return;
        }
        uint64_t late_ns = now_ns - l->next_due_ns;
        if (may_blame_client && late_ns > LOAD_LATE_NS)
            l->late_count++;
        if (may_blame_client && late_ns > l->late_max_ns)
            l->late_max_ns = late_ns;
        bool is_sent = begin_operation(l, l->next_due_ns);
        l->next_due_ns = l->start_ns + (uint64_t)((double)l->started * l->interval_ns);
        if (!is_sent)
            return;
    }
    l->was_waiting_for_slot = false;
}

static void begin_more(struct load *l, uint64_t now_ns)
{
    if (l->plan.rate > 0.0) {
        begin_due(l, now_ns);
        return;
    }
    while (l->free_count > 0 && l->started < l->limit && now_ns < l->end_ns)
        if (!begin_operation(l, now_ns))
            return;
}

static bool continue_operation(struct load *l, uint32_t slot, int code)
{
    struct load_slot *s = &l->slots[slot];
    if (s->op == OPERATION_MODIFY && !s->is_modified && (code == 0 || code == TORC_E_NOT_FOUND)) {
        s->is_modified = true;
        return true;
    }
    if (l->plan.is_loading && code == TORC_E_OVERLOADED && s->retries < LOAD_RETRIES_MAX) {
        s->retries++;
        l->recorder.second.retries++;
        return true;
    }
    return false;
}

void load_on_reply(void *owner, const struct driver_reply *reply)
{
    struct load *l = owner;
    ASSERT(reply->slot < l->slot_count);
    struct load_slot *s = &l->slots[reply->slot];
    int code = reply->code;
    bool is_get = s->op == OPERATION_GET || (s->op == OPERATION_MODIFY && !s->is_modified);
    if (is_get && code == 0 && l->plan.is_verifying &&
        !keyspace_value_belongs(&l->plan.keys, s->index, reply->value))
        code = DRIVER_E_VALUE;
    l->last_reply_ns = reply->now_ns;
    l->recorder.second.entries += reply->entries;
    if (continue_operation(l, reply->slot, code)) {
        code = send_slot(l, reply->slot);
        if (code == 0)
            return;
    }
    end_operation(l, reply->slot, code, reply->now_ns);
    if (!l->is_over)
        begin_more(l, reply->now_ns);
}

/* ---- the loop ---- */

static void turn_seconds(struct load *l, uint64_t now_ns)
{
    while (now_ns >= l->second_ns + SECOND_NS) {
        l->second_ns += SECOND_NS;
        if (l->on_second)
            l->on_second(l->owner, l, l->second_index);
        l->second_index++;
        recorder_turn(&l->recorder);
    }
}

static uint64_t poll_timeout_ns(const struct load *l, uint64_t now_ns)
{
    uint64_t longest = LOAD_POLL_MAX_MS * MS_NS;
    if (l->plan.rate > 0.0 && l->free_count > 0 && l->next_due_ns < l->end_ns && l->started < l->limit) {
        uint64_t until = l->next_due_ns > now_ns ? l->next_due_ns - now_ns : 0;
        uint64_t sleep = until > SPIN_NS ? until - SPIN_NS : 0;
        return sleep < longest ? sleep : longest;
    }
    if (l->free_count > 0 && l->free_count < l->slot_count)
        return MS_NS; /* a send was refused, or the end has come */
    return longest;
}

static bool has_more_to_begin(const struct load *l, uint64_t now_ns)
{
    if (l->started >= l->limit || (l->is_interrupted && *l->is_interrupted))
        return false;
    return l->plan.rate > 0.0 ? l->next_due_ns < l->end_ns : now_ns < l->end_ns;
}

uint32_t load_drain_ms(const struct workload *w)
{
    return w->walks_all ? LOAD_WALK_MS : LOAD_DRAIN_MS;
}

static uint64_t drain_end_ns(const struct load *l, uint64_t over_ns)
{
    uint64_t from = l->end_ns == UINT64_MAX ? over_ns : l->end_ns;
    return from + load_drain_ms(&l->plan.workload) * MS_NS;
}

/* Requests that were due but not sent when the time to drain had passed are told, or the omission would be
 * back. */
static void finish(struct load *l)
{
    l->unanswered_count = l->slot_count - l->free_count;
    for (uint64_t i = 0; i < l->unanswered_count; i++)
        recorder_error(&l->recorder, OPERATION_GET, TORC_E_TIMEOUT);
    if (l->plan.rate > 0.0 && l->end_ns != UINT64_MAX && l->next_due_ns < l->end_ns && l->started < l->limit)
        l->unsent_count = (uint64_t)((double)(l->end_ns - l->next_due_ns) / l->interval_ns) + 1;
    if (l->on_second &&
        recorder_done_count(&l->recorder.second) + recorder_error_count(&l->recorder.second) > 0)
        l->on_second(l->owner, l, l->second_index);
    recorder_turn(&l->recorder);
}

int load_run(struct load *l)
{
    uint64_t now_ns = driver_clock(l->driver);
    l->start_ns = l->second_ns = l->next_due_ns = l->last_reply_ns = now_ns;
    l->end_ns = l->plan.duration_ns && !l->plan.is_loading ? now_ns + l->plan.duration_ns : UINT64_MAX;
    uint64_t give_up_ns = UINT64_MAX;
    int rc = 0;
    while (rc == 0) {
        if (!l->is_over && has_more_to_begin(l, now_ns)) {
            begin_more(l, now_ns);
            if (l->plan.rate > 0.0 && l->end_ns != UINT64_MAX)
                give_up_ns = drain_end_ns(l, now_ns);
        } else if (!l->is_over) {
            l->is_over = true;
            give_up_ns = drain_end_ns(l, now_ns);
        }
        if ((l->is_over && l->free_count == l->slot_count) || now_ns >= give_up_ns)
            break;
        l->had_free_slot = l->free_count > 0;
        rc = driver_poll(l->driver, poll_timeout_ns(l, now_ns));
        now_ns = driver_clock(l->driver);
        turn_seconds(l, now_ns);
    }
    l->is_over = true;
    finish(l);
    return rc;
}
