/* model.c - the writes of a model and what became of them; see model.h. */
#include "test/sim/model.h"

#include "engine/entry.h"

#include <stdio.h>
#include <stdlib.h>

enum { CAPACITY_FIRST = 256, NAMESPACE_OTHER = 7, KEY_DIGITS = 6 };

static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

/* ---- life ---- */

void model_init(struct model *m, uint32_t key_count, uint64_t salt)
{
    *m = (struct model){.salt = salt, .key_count = key_count, .capacity = CAPACITY_FIRST, .flying_first = 1};
    m->writes = calloc(m->capacity, sizeof m->writes[0]);
    m->keys = calloc(key_count, sizeof m->keys[0]);
    ASSERT(m->writes && m->keys);
}

void model_deinit(struct model *m)
{
    free(m->writes);
    free(m->keys);
    *m = (struct model){0};
}

void model_copy(struct model *to, const struct model *from)
{
    *to = *from;
    to->writes = malloc(from->capacity * sizeof to->writes[0]);
    to->keys = malloc(from->key_count * sizeof to->keys[0]);
    ASSERT(to->writes && to->keys);
    memcpy(to->writes, from->writes, (from->count + 1) * sizeof to->writes[0]);
    memcpy(to->keys, from->keys, from->key_count * sizeof to->keys[0]);
}

/* ---- keys ---- */

/* Some keys are long, some begin others, some have bytes that sort keys must escape. */
static size_t key_bytes(uint32_t key, char *to)
{
    size_t bytes = (size_t)snprintf(to, MODEL_KEY_BYTES_MAX, "%s%06u%s", key % 7 ? "key" : "k", key,
                                    key % 11 ? "" : "-and-more");
    if (key % 13 == 5)
        to[bytes++] = '\0';
    if (key % 17 == 3)
        to[bytes++] = '\xff';
    if (key % 97 == 11) {
        size_t more = 100 + key % 900;
        memset(to + bytes, 'x', more);
        bytes += more;
    }
    return bytes;
}

struct record_key model_key(const struct model *m, uint32_t key, char memory[MODEL_KEY_BYTES_MAX])
{
    size_t bytes = key_bytes(key, memory);
    bool has_subkey = key % 5 == 0;
    return (struct record_key){
        .vnode = (uint16_t)(m->vnode_first + mix(key + 1) % m->vnode_count),
        .namespace_id = key % 3 == 0 ? NAMESPACE_OTHER : 0,
        .key = slice_of(memory, bytes),
        .subkey = has_subkey ? slice_of(memory, 4) : slice_of(NULL, 0),
    };
}

uint32_t model_key_number(const struct model *m, const struct record_key *key)
{
    uint32_t number = 0, digits = 0;
    for (size_t i = 0; i < key->key.bytes && digits < KEY_DIGITS; i++)
        if (key->key.data[i] >= '0' && key->key.data[i] <= '9') {
            number = number * 10 + (uint32_t)(key->key.data[i] - '0');
            digits++;
        }
    char memory[MODEL_KEY_BYTES_MAX];
    if (digits < KEY_DIGITS || number >= m->key_count)
        return m->key_count;
    struct record_key own = model_key(m, number, memory);
    return record_key_compare(&own, key) == 0 ? number : m->key_count;
}

/* ---- writes ---- */

/* Some values are zeros behind their first word. */
static uint64_t value_word(const struct model *m, uint64_t clock, uint32_t index)
{
    enum { ZEROS_EACH = 8 };
    return index > 0 && clock % ZEROS_EACH == 0 ? 0
                                                : mix(m->salt + clock * UINT64_C(0x9e3779b97f4a7c15) + index);
}

static void fill_value(const struct model *m, uint64_t clock, uint8_t *to, uint32_t bytes)
{
    for (uint32_t at = 0; at < bytes; at += 8) {
        uint64_t word = value_word(m, clock, at);
        memcpy(to + at, &word, bytes - at < 8 ? bytes - at : 8);
    }
}

static bool is_value(const struct model *m, uint64_t clock, struct slice value)
{
    for (size_t at = 0; at < value.bytes; at += 8) {
        uint64_t word = value_word(m, clock, (uint32_t)at);
        if (memcmp(value.data + at, &word, value.bytes - at < 8 ? value.bytes - at : 8) != 0)
            return false;
    }
    return true;
}

struct record model_record(struct model *m, const struct model_put *put, char memory[MODEL_KEY_BYTES_MAX],
                           uint8_t *value)
{
    m->clock_last++;
    if (m->clock_last < put->clock_floor)
        m->clock_last = put->clock_floor;
    fill_value(m, m->clock_last, value, put->value_bytes);
    struct record record = {
        .key = model_key(m, put->key, memory),
        .version = {.clock = m->clock_last, .node = 1},
        .flags = put->flags,
        .expiry_ms = put->expiry_ms,
        .value = slice_of(value, put->value_bytes),
    };
    record.checksum = entry_checksum(&record.key, record.value);
    return record;
}

uint32_t model_taken(struct model *m, const struct model_put *put)
{
    uint32_t number = ++m->count;
    if (number == m->capacity) {
        m->capacity *= 2;
        m->writes = realloc(m->writes, m->capacity * sizeof m->writes[0]);
        ASSERT(m->writes);
    }
    m->writes[number] = (struct model_write){
        .clock = m->clock_last,
        .expiry_ms = put->expiry_ms,
        .key = put->key,
        .previous = m->keys[put->key].last,
        .value_bytes = put->value_bytes,
        .life = m->life,
        .flags = put->flags,
        .state = WRITE_FLYING,
    };
    m->keys[put->key].last = number;
    return number;
}

static void raise_floor(struct model *m, uint32_t number)
{
    struct model_key *key = &m->keys[m->writes[number].key];
    if (key->floor < number)
        key->floor = number;
}

/* Where all writes put before a lie are answered, what the lie can have cost is put. */
static void end_lies(struct model *m)
{
    while (m->flying_first <= m->count && m->writes[m->flying_first].state != WRITE_FLYING)
        m->flying_first++;
    for (uint32_t i = 0; i < m->lie_count; i++)
        if (m->lies[i].count_until == UINT32_MAX && m->flying_first > m->lies[i].count_at)
            m->lies[i].count_until = m->count;
}

/* The log goes on behind what recovery took: what it did not take is dropped for good. */
static void settle_ruled_out(struct model *m, uint32_t number)
{
    if (m->acked_last && m->writes[m->acked_last].life == m->life)
        return;
    for (uint32_t i = number; i-- > 1 && m->writes[i].state != WRITE_ACKED;)
        if (m->writes[i].state == WRITE_RULED_OUT)
            m->writes[i].state = WRITE_GONE;
}

void model_answered(struct model *m, uint32_t number, int result, uint64_t sequence)
{
    struct model_write *w = &m->writes[number];
    ASSERT(number <= m->count && (w->state == WRITE_FLYING || w->state == WRITE_LATE));
    if (result == 0) {
        w->state = WRITE_ACKED;
        w->sequence = sequence;
        raise_floor(m, number);
        settle_ruled_out(m, number);
        m->acked_last = number;
    } else {
        w->state = result == TORC_E_TIMEOUT   ? WRITE_LATE
                   : result == TORC_E_UNKNOWN ? WRITE_FAILED
                                              : WRITE_GONE;
        w->may_have_failed = true; /* after a TIMEOUT nobody is told */
        w->is_nowhere = w->state == WRITE_GONE;
    }
    end_lies(m);
}

/* That the log went on elsewhere is said by the header of one file, which a lie may cost at any time. */
static void doubt_what_is_gone(struct model *m)
{
    for (uint32_t i = 1; i <= m->count; i++)
        if (m->writes[i].state == WRITE_GONE && !m->writes[i].is_nowhere)
            m->writes[i].state = WRITE_OPEN;
}

void model_end_life(struct model *m)
{
    uint32_t i = m->count;
    bool is_acked_behind = false;
    bool is_told = false; /* that the log has gone on; what a lie may have cost does not tell */
    for (; i > 0 && m->writes[i].life == m->life; i--) {
        struct model_write *w = &m->writes[i];
        is_acked_behind |= w->state == WRITE_ACKED;
        is_told |= w->state == WRITE_ACKED && !model_may_be_lost(m, i);
        if (w->state == WRITE_FAILED && is_told)
            w->state = WRITE_GONE;
        else if (w->state == WRITE_FAILED || w->state == WRITE_FLYING || w->state == WRITE_LATE)
            w->state = WRITE_OPEN;
    }
    for (; m->is_soft && !is_acked_behind && i > 0 && m->writes[i].state != WRITE_ACKED; i--)
        if (m->writes[i].state == WRITE_RULED_OUT)
            m->writes[i].state = WRITE_OPEN;
    if (m->lie_count > 0)
        doubt_what_is_gone(m);
    m->life++;
    end_lies(m);
}

void model_roll_back(struct model *m, const struct model *then)
{
    ASSERT(then->count <= m->count && then->key_count == m->key_count);
    memcpy(m->writes, then->writes, (then->count + 1) * sizeof m->writes[0]);
    for (uint32_t i = 1; i <= then->count; i++) {
        struct model_write *w = &m->writes[i];
        if (w->state == WRITE_FLYING || w->state == WRITE_LATE || w->state == WRITE_FAILED)
            w->state = WRITE_OPEN;
    }
    for (uint32_t i = then->count + 1; i <= m->count; i++) {
        m->writes[i].state = WRITE_GONE;
        m->writes[i].is_nowhere = true;
    }
    for (uint32_t i = 0; i < m->key_count; i++)
        m->keys[i].floor = then->keys[i].floor;
    m->acked_last = then->acked_last;
}

void model_wipe(struct model *m)
{
    for (uint32_t i = 1; i <= m->count; i++) {
        m->writes[i].state = WRITE_GONE;
        m->writes[i].is_nowhere = true;
    }
    for (uint32_t i = 0; i < m->key_count; i++)
        m->keys[i].floor = 0;
    m->acked_last = 0;
}

void model_give_up(struct model *m)
{
    for (uint32_t i = 1; i <= m->count; i++)
        if (!m->writes[i].is_nowhere) /* one that was dropped, too: what says so may be lost */
            m->writes[i].state = WRITE_OPEN;
    for (uint32_t i = 0; i < m->key_count; i++)
        m->keys[i].floor = 0;
    m->acked_last = 0;
}

void model_lied(struct model *m, uint64_t watermark)
{
    struct model_lie lie = {.watermark = watermark, .count_at = m->count, .count_until = UINT32_MAX};
    const struct model_lie *last = m->lie_count > 0 ? &m->lies[m->lie_count - 1] : NULL;
    if (last && last->watermark == watermark && last->count_at == m->count)
        return; /* of the same write, most likely */
    ASSERT(m->lie_count < MODEL_LIES_MAX);
    m->lies[m->lie_count++] = lie;
    doubt_what_is_gone(m);
    end_lies(m);
}

void model_wiped_log(struct model *m)
{
    model_lied(m, 0);
}

/* ---- answers ---- */

const char *model_verdict_words(enum model_verdict v)
{
    static const char *const words[] = {
#define MODEL_VERDICT_WORDS(name, is_good, text) text,
        MODEL_VERDICTS(MODEL_VERDICT_WORDS)
#undef MODEL_VERDICT_WORDS
    };
    return words[v];
}

bool model_verdict_is_good(enum model_verdict v)
{
    static const bool is_good[] = {
#define MODEL_VERDICT_GOOD(name, good, text) good,
        MODEL_VERDICTS(MODEL_VERDICT_GOOD)
#undef MODEL_VERDICT_GOOD
    };
    return is_good[v];
}

uint32_t model_floor(const struct model *m, uint32_t key)
{
    return m->keys[key].floor;
}

static bool can_be_there(const struct model_write *w)
{
    return w->state == WRITE_ACKED || w->state == WRITE_LATE || w->state == WRITE_OPEN ||
           w->state == WRITE_RECOVERED;
}

/* Absent, if it is the newest. */
static bool can_be_dead(const struct model_write *w, const struct model_question *q)
{
    return (w->flags & RECORD_TOMBSTONE) || ((w->flags & RECORD_EXPIRING) && w->expiry_ms <= q->dead_ms);
}

/* A write is lost without a word only when recovery cut the log at or before its record. It cuts where no
 * record behind says that the missing one was durable, and the first record that is sent after the
 * acknowledgement of the missing one says so. So the write lies in the missing record itself, or in one
 * that was sent before the missing one was acknowledged; and no later record covered it when the disk
 * lied, else that one would have spoken, unless it is the very one that the lie hit: hence the two. */
bool model_may_be_lost(const struct model *m, uint32_t number)
{
    const struct model_write *w = &m->writes[number];
    if (w->state == WRITE_RECOVERED || w->sequence == 0) /* seen, never answered: where is it in the log? */
        return m->lie_count > 0;
    for (uint32_t i = 0; i < m->lie_count; i++)
        if (w->sequence + 2 > m->lies[i].watermark && number <= m->lies[i].count_until)
            return true;
    return false;
}

/* The answer is older than the floor: `got`, or 0 for nothing. Was all between them lost with an excuse? */
static bool excuse(struct model *m, uint32_t key, uint32_t got, uint32_t *count)
{
    for (uint32_t i = m->keys[key].last; i > got; i = m->writes[i].previous) {
        enum write_state state = (enum write_state)m->writes[i].state;
        if ((state == WRITE_ACKED || state == WRITE_RECOVERED) && !model_may_be_lost(m, i))
            return false;
    }
    *count = 0;
    for (uint32_t i = m->keys[key].last; i > got; i = m->writes[i].previous) {
        struct model_write *w = &m->writes[i];
        *count += w->state == WRITE_ACKED || w->state == WRITE_RECOVERED;
        if (w->state == WRITE_ACKED || w->state == WRITE_RECOVERED || w->state == WRITE_OPEN)
            w->state = WRITE_GONE;
    }
    m->keys[key].floor = got;
    return true;
}

/* Writes of earlier lives above `newest`, which is what the key has, are not there. */
static void rule_out(struct model *m, uint32_t key, uint32_t newest)
{
    for (uint32_t i = m->keys[key].last; i > newest; i = m->writes[i].previous)
        if (m->writes[i].state == WRITE_OPEN)
            m->writes[i].state = WRITE_RULED_OUT;
}

static void see(struct model *m, uint32_t number)
{
    struct model_write *w = &m->writes[number];
    if (w->state == WRITE_OPEN)
        w->state = WRITE_RECOVERED;
    if (w->state == WRITE_LATE)
        w->state = WRITE_ACKED;
    raise_floor(m, number);
}

static bool is_write(const struct model *m, const struct model_write *w, const struct record *record)
{
    return record->version.node == 1 && record->flags == w->flags && record->expiry_ms == w->expiry_ms &&
           record->value.bytes == w->value_bytes && is_value(m, w->clock, record->value) &&
           entry_verify(record);
}

/* Returns: the write with this version, of any key; 0: none. */
static uint32_t find_write(const struct model *m, uint64_t clock)
{
    uint32_t low = 1, high = m->count + 1;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (m->writes[middle].clock < clock)
            low = middle + 1;
        else
            high = middle;
    }
    return low <= m->count && m->writes[low].clock == clock ? low : 0;
}

static enum model_verdict judge_state(const struct model_write *w)
{
    switch ((enum write_state)w->state) {
    case WRITE_FLYING:
        return MODEL_NOT_DURABLE;
    case WRITE_FAILED:
        return MODEL_FAILED_APPLIED;
    case WRITE_RULED_OUT:
    case WRITE_GONE:
        return MODEL_CAME_BACK;
    case WRITE_LATE:
    case WRITE_ACKED:
    case WRITE_OPEN:
    case WRITE_RECOVERED:
        break;
    }
    return MODEL_RIGHT;
}

static enum model_verdict judge_record(const struct model *m, const struct model_question *q,
                                       const struct record *record, uint32_t number)
{
    const struct model_write *w = &m->writes[number];
    if (number == 0)
        return MODEL_NEVER_WRITTEN;
    if (w->key != q->key || model_key_number(m, &record->key) != q->key)
        return MODEL_OTHER_KEY;
    if (!is_write(m, w, record))
        return MODEL_WRONG_BYTES;
    if (w->flags & RECORD_TOMBSTONE)
        return MODEL_DELETED;
    if ((w->flags & RECORD_EXPIRING) && w->expiry_ms <= q->now_ms)
        return MODEL_EXPIRED;
    enum model_verdict v = judge_state(w);
    return v == MODEL_RIGHT && number < q->floor ? MODEL_STALE : v;
}

static void judge_found(struct model *m, const struct model_question *q, const struct record *record,
                        struct model_finding *f)
{
    uint32_t number = find_write(m, record->version.clock);
    f->got = number;
    f->verdict = judge_record(m, q, record, number);
    if (f->verdict == MODEL_STALE && q->floor == m->keys[q->key].floor &&
        excuse(m, q->key, number, &f->excused))
        f->verdict = MODEL_EXCUSED;
    if (!model_verdict_is_good(f->verdict))
        return;
    rule_out(m, q->key, number);
    see(m, number);
}

/* Below the floor: the newest write that is there and dead, which is what absence may mean when what came
 * after it is lost; 0: none. */
static uint32_t newest_dead(const struct model *m, const struct model_question *q)
{
    for (uint32_t i = m->keys[q->key].last; i > 0; i = m->writes[i].previous)
        if (i < q->floor && can_be_there(&m->writes[i]) && can_be_dead(&m->writes[i], q))
            return i;
    return 0;
}

static void judge_absent(struct model *m, const struct model_question *q, struct model_finding *f)
{
    uint32_t newest = 0, oldest = 0, count = 0;
    for (uint32_t i = m->keys[q->key].last; i > 0 && i >= q->floor; i = m->writes[i].previous)
        if (can_be_there(&m->writes[i]) && can_be_dead(&m->writes[i], q)) {
            newest = newest ? newest : i;
            oldest = i;
            count++;
        }
    bool can_be_nothing = q->floor == 0;
    f->verdict = MODEL_RIGHT;
    if (count == 0 && !can_be_nothing) {
        uint32_t older = newest_dead(m, q);
        bool is_lost = q->floor == m->keys[q->key].floor && excuse(m, q->key, older, &f->excused);
        f->verdict = is_lost ? MODEL_EXCUSED : MODEL_MISSING;
    }
    if (f->verdict != MODEL_RIGHT)
        return;
    rule_out(m, q->key, newest);
    if (!can_be_nothing)
        raise_floor(m, oldest);
    if (count == 1 && !can_be_nothing)
        see(m, oldest);
}

struct model_finding model_judge(struct model *m, const struct model_question *q, const struct record *answer)
{
    struct model_finding f = {.expected = q->floor};
    ASSERT(q->key < m->key_count);
    if (answer)
        judge_found(m, q, answer, &f);
    else
        judge_absent(m, q, &f);
    return f;
}

bool model_is_prefix(const struct model *m, uint32_t *there, uint32_t *missing)
{
    *there = *missing = 0;
    for (uint32_t i = m->count; i > 0 && m->writes[i].life + 1 >= m->life; i--) {
        const struct model_write *w = &m->writes[i];
        if (w->life + 1 != m->life || w->may_have_failed)
            continue;
        if (w->state == WRITE_RECOVERED && *there == 0)
            *there = i;
        if (w->state == WRITE_RULED_OUT)
            *missing = i;
    }
    return *there == 0 || *missing == 0 || *there < *missing;
}
