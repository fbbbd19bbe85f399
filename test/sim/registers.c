/* registers.c - what the keys of a server may answer; see registers.h. */
#include "test/sim/registers.h"

#include "reactor/base/assert.h"
#include "reactor/base/endian.h"
#include "reactor/base/error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WRITES_FIRST = 1024, TAG_EVERY = 3 };

void registers_init(struct registers *g, unsigned server, uint32_t key_count)
{
    *g = (struct registers){.server = server, .key_count = key_count, .reads_prove = true};
    g->keys = calloc(key_count, sizeof *g->keys);
    g->writes = calloc(WRITES_FIRST, sizeof *g->writes);
    ASSERT(g->keys && g->writes);
    g->capacity = WRITES_FIRST;
    g->count = 1;
}

void registers_deinit(struct registers *g)
{
    free(g->keys);
    free(g->writes);
    *g = (struct registers){0};
}

/* ---- keys and values ---- */

/* Some share a tag, and so a vnode. */
struct slice registers_key(const struct registers *g, uint32_t key, char to[REGISTER_KEY_BYTES_MAX])
{
    const char *form = key % TAG_EVERY == 0 ? "key-{tag}-%u-%03u" : "key-%u-%03u";
    int bytes = snprintf(to, REGISTER_KEY_BYTES_MAX, form, g->server, key);
    return slice_of(to, (size_t)bytes);
}

uint32_t registers_key_number(const struct registers *g, struct slice key)
{
    char own[REGISTER_KEY_BYTES_MAX];
    uint32_t number = 0;
    for (size_t i = key.bytes >= 3 ? key.bytes - 3 : 0; i < key.bytes; i++)
        number = number * 10 + (uint32_t)(key.data[i] - '0');
    if (number >= g->key_count || !slice_equal(registers_key(g, number, own), key))
        return g->key_count;
    return number;
}

/* Of some values zeros. */
static uint8_t filling(const struct registers *g, uint32_t number, uint32_t at)
{
    enum { ZEROS_EACH = 8 };
    return number % ZEROS_EACH == 0 ? 0 : (uint8_t)(number * 2654435761u + at * 40503u + g->server);
}

struct slice registers_value(const struct registers *g, uint32_t number, uint8_t *to)
{
    const struct register_write *w = &g->writes[number];
    ASSERT(w->bytes >= REGISTER_VALUE_BYTES_MIN);
    store_u64le(to, ((uint64_t)g->server << 32) | number);
    for (uint32_t i = REGISTER_VALUE_BYTES_MIN; i < w->bytes; i++)
        to[i] = filling(g, number, i);
    return slice_of(to, w->bytes);
}

/* Returns: the write whose value these bytes are, or 0. */
static uint32_t write_of_value(const struct registers *g, struct slice value)
{
    if (value.bytes < REGISTER_VALUE_BYTES_MIN)
        return 0;
    uint64_t word = load_u64le(value.data);
    uint32_t number = (uint32_t)word;
    if (word >> 32 != g->server || number == 0 || number >= g->count)
        return 0;
    const struct register_write *w = &g->writes[number];
    if (w->is_delete || w->bytes != value.bytes)
        return 0;
    for (uint32_t i = REGISTER_VALUE_BYTES_MIN; i < w->bytes; i++)
        if (value.data[i] != filling(g, number, i))
            return 0;
    return number;
}

/* ---- writes ---- */

static uint32_t add(struct registers *g, uint32_t key, uint64_t now_ns)
{
    if (g->count == g->capacity) {
        g->capacity *= 2;
        g->writes = realloc(g->writes, g->capacity * sizeof *g->writes);
        ASSERT(g->writes);
    }
    ASSERT(key < g->key_count);
    uint32_t number = g->count++;
    g->writes[number] = (struct register_write){
        .begin_ns = now_ns,
        .placed_ns = UINT64_MAX,
        .there_ns = UINT64_MAX,
        .key = key,
        .previous = g->keys[key].last,
    };
    g->keys[key].last = number;
    return number;
}

uint32_t registers_write(struct registers *g, uint32_t key, uint32_t bytes, uint64_t now_ns)
{
    ASSERT(bytes >= REGISTER_VALUE_BYTES_MIN);
    uint32_t number = add(g, key, now_ns);
    g->writes[number].bytes = bytes;
    return number;
}

uint32_t registers_delete(struct registers *g, uint32_t key, uint64_t now_ns)
{
    uint32_t number = add(g, key, now_ns);
    g->writes[number].is_delete = true;
    return number;
}

/* What the error codes promise. */
static enum register_state state_of_code(int code)
{
    switch (code) {
    case 0:
        return REGISTER_DONE;
    case TORC_E_TIMEOUT:
        return REGISTER_UNKNOWN;
    case TORC_E_UNKNOWN:
        return REGISTER_FAILED;
    default:
        return REGISTER_REFUSED;
    }
}

void registers_answered(struct registers *g, uint32_t number, int code, uint64_t now_ns, unsigned run)
{
    struct register_write *w = &g->writes[number];
    ASSERT(number > 0 && number < g->count && w->state == REGISTER_FLYING);
    w->state = state_of_code(code);
    w->failed_in = run;
    if (now_ns < w->placed_ns)
        w->placed_ns = now_ns;
    if (code == 0 && now_ns < w->there_ns)
        w->there_ns = now_ns;
}

void registers_lost(struct registers *g, uint32_t number)
{
    struct register_write *w = &g->writes[number];
    ASSERT(number > 0 && number < g->count && w->state == REGISTER_FLYING);
    w->state = REGISTER_LOST;
}

/* ---- answers ---- */

/* What began before it and was answered before that is overwritten for certain at `ns`. */
static uint64_t floor_ns(const struct registers *g, uint32_t key, uint64_t ns)
{
    uint64_t floor = 0;
    for (uint32_t i = g->keys[key].last; i; i = g->writes[i].previous)
        if (g->writes[i].there_ns < ns && g->writes[i].begin_ns > floor)
            floor = g->writes[i].begin_ns;
    return floor;
}

static bool can_be_there(const struct register_write *w, const struct register_answer *a)
{
    if (w->state == REGISTER_REFUSED || (w->state == REGISTER_FAILED && a->run <= w->failed_in))
        return false;
    return w->begin_ns <= a->end_ns;
}

/* Whether some write allows the answer: the emptiness at the beginning, a delete, or for presence a put. */
static bool is_possible(const struct registers *g, const struct register_answer *a, uint64_t floor)
{
    if (!a->is_found && floor == 0)
        return true;
    for (uint32_t i = g->keys[a->key].last; i; i = g->writes[i].previous) {
        const struct register_write *w = &g->writes[i];
        if (w->is_delete != a->is_found && can_be_there(w, a) && w->placed_ns >= floor)
            return true;
    }
    return false;
}

static const char *judge_version(struct registers *g, struct register_write *w,
                                 const struct register_answer *a)
{
    struct register_key *k = &g->keys[a->key];
    if (w->version && w->version != a->version)
        return "the version of this write was another one before";
    w->version = a->version;
    if (a->version < k->version_seen && k->version_seen_ns < a->begin_ns && g->reads_prove)
        return "its version is lower than one that was read before";
    if (a->version > k->version_seen) {
        k->version_seen = a->version;
        k->version_seen_ns = a->end_ns;
    }
    return NULL;
}

static const char *judge_write(struct registers *g, struct register_write *w, const struct register_answer *a,
                               uint64_t floor)
{
    if (w->key != a->key)
        return "it is the value of another key";
    if (w->begin_ns > a->end_ns)
        return "it is from the future";
    if (w->state == REGISTER_REFUSED)
        return "this write was answered as not done";
    if (!can_be_there(w, a))
        return "this write was answered as failed, and there was no start since";
    if (w->placed_ns < floor)
        return "a newer write had been acknowledged or read before";
    const char *wrong = a->version ? judge_version(g, w, a) : NULL;
    if (w->placed_ns > a->end_ns)
        w->placed_ns = a->end_ns;
    if (g->reads_prove && w->there_ns > a->end_ns)
        w->there_ns = a->end_ns;
    return wrong;
}

const char *registers_judge(struct registers *g, const struct register_answer *a, uint32_t *write)
{
    uint64_t floor = floor_ns(g, a->key, a->begin_ns);
    *write = 0;
    if (!a->is_found || !a->has_value) {
        if (is_possible(g, a, floor))
            return NULL;
        return a->is_found ? "there can be no such key"
                           : "the key is missing, a write of it had been acknowledged";
    }
    *write = write_of_value(g, a->value);
    if (*write == 0)
        return "these bytes were never written";
    return judge_write(g, &g->writes[*write], a, floor);
}
