/* oracle.c - what a server may hold after a crash; see oracle.h. */
#include "test/process/oracle.h"

#include "reactor/base/endian.h"
#include "test/test.h"

#include <stdio.h>
#include <stdlib.h>

enum { VALUE_HEADER_BYTES = 12 };

static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    return x ^ (x >> 31);
}

void oracle_init(struct oracle *o, uint32_t key_count, uint64_t seed)
{
    *o = (struct oracle){.key_count = key_count, .next_number = 1, .random = seed};
    o->keys = calloc(key_count, sizeof *o->keys);
    ASSERT(o->keys);
    for (uint32_t i = 0; i < key_count; i++) {
        o->keys[i].writes[0].is_delete = true;
        o->keys[i].count = 1;
    }
}

void oracle_deinit(struct oracle *o)
{
    free(o->keys);
    o->keys = NULL;
}

uint64_t oracle_random(struct oracle *o)
{
    return mix(o->random += 0x9e3779b97f4a7c15);
}

void oracle_key_name(uint32_t key, char name[ORACLE_KEY_BYTES])
{
    snprintf(name, ORACLE_KEY_BYTES, "key-%08u", key);
}

size_t oracle_value(uint32_t key, uint64_t number, uint8_t value[ORACLE_VALUE_BYTES_MAX])
{
    uint64_t state = mix(number * 1000003 + key);
    size_t bytes = state % 8 == 0 ? state / 8 % ORACLE_VALUE_BYTES_MAX : state / 8 % 500;
    if (bytes < VALUE_HEADER_BYTES)
        bytes = VALUE_HEADER_BYTES;
    store_u32le(value, key);
    store_u64le(value + 4, number);
    for (size_t i = VALUE_HEADER_BYTES; i < bytes; i++)
        value[i] = (uint8_t)(state >> (i % 8 * 8)) ^ (uint8_t)(i / 8);
    return bytes;
}

/* ---- writes ---- */

static struct oracle_write *find(struct oracle_key *k, uint64_t number)
{
    for (uint32_t i = 0; i < k->count; i++)
        if (k->writes[i].number == number)
            return &k->writes[i];
    return NULL;
}

static void drop(struct oracle_key *k, struct oracle_write *w)
{
    *w = k->writes[--k->count];
}

uint64_t oracle_start(struct oracle *o, uint32_t key, bool is_delete)
{
    ASSERT(key < o->key_count);
    struct oracle_key *k = &o->keys[key];
    if (k->in_flight == ORACLE_IN_FLIGHT_MAX || k->count == ORACLE_WRITES_MAX)
        return 0;
    k->in_flight++;
    k->writes[k->count++] = (struct oracle_write){
        .number = o->next_number,
        .started = ++o->clock,
        .is_delete = is_delete,
        .is_in_flight = true,
    };
    return o->next_number++;
}

void oracle_acknowledge(struct oracle *o, uint32_t key, uint64_t number)
{
    struct oracle_key *k = &o->keys[key];
    struct oracle_write *w = find(k, number);
    ASSERT(w && w->is_in_flight);
    w->is_in_flight = false;
    w->acknowledged = ++o->clock;
    k->in_flight--;
    o->acknowledged_count++;
    uint64_t started = w->started;
    for (uint32_t i = k->count; i-- > 0;) {
        struct oracle_write *other = &k->writes[i];
        bool is_older = other->number == 0 || (other->acknowledged > 0 && other->acknowledged < started);
        if (is_older)
            drop(k, other);
    }
}

void oracle_refuse(struct oracle *o, uint32_t key, uint64_t number)
{
    struct oracle_key *k = &o->keys[key];
    struct oracle_write *w = find(k, number);
    ASSERT(w && w->is_in_flight);
    k->in_flight--;
    drop(k, w);
}

void oracle_lose(struct oracle *o, uint32_t key, uint64_t number)
{
    struct oracle_key *k = &o->keys[key];
    struct oracle_write *w = find(k, number);
    ASSERT(w && w->is_in_flight);
    k->in_flight--;
    w->is_in_flight = false;
}

/* ---- what is found ---- */

static bool wrong(struct oracle *o, uint32_t key, const char *what, uint64_t number)
{
    if (o->problem[0] == '\0')
        snprintf(o->problem, sizeof o->problem, "key %u: %s (write %llu)", key, what,
                 (unsigned long long)number);
    return false;
}

/* Which write a value is of. Returns: false when no write of this key has this value. */
static bool read_number(uint32_t key, struct slice value, uint64_t *number)
{
    uint8_t expected[ORACLE_VALUE_BYTES_MAX];
    if (value.bytes < VALUE_HEADER_BYTES || load_u32le(value.data) != key)
        return false;
    *number = load_u64le(value.data + 4);
    return slice_equal(value, slice_of(expected, oracle_value(key, *number, expected)));
}

static void settle(struct oracle_key *k, const struct oracle_write *w)
{
    struct oracle_write kept = *w;
    kept.acknowledged = kept.acknowledged ? kept.acknowledged : kept.started;
    k->writes[0] = kept;
    k->count = 1;
}

bool oracle_observe(struct oracle *o, uint32_t key, struct slice value)
{
    struct oracle_key *k = &o->keys[key];
    uint64_t number = 0;
    if (value.data && !read_number(key, value, &number))
        return wrong(o, key, "holds what was never written", number);
    const struct oracle_write *found = NULL;
    for (uint32_t i = 0; i < k->count && !found; i++)
        if (value.data ? k->writes[i].number == number && !k->writes[i].is_delete : k->writes[i].is_delete)
            found = &k->writes[i];
    if (!found && value.data)
        return wrong(o, key, "holds a write that an acknowledged one replaced, or that was refused", number);
    if (!found)
        return wrong(o, key, "is gone, though a write of it was acknowledged", k->writes[0].number);
    if (k->in_flight == 0)
        settle(k, found);
    return true;
}
