/* crash_history.c - what was written, and what a recovery may show of it; see crash_history.h. */
#include "test/sim/crash_history.h"

#include "engine/entry.h"

#include <stdio.h>

static uint64_t mix(uint64_t x)
{
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

uint32_t crash_history_add(struct crash_history *h, const struct crash_write *write)
{
    ASSERT(h->count < CRASH_WRITES_MAX && write->key < CRASH_KEYS);
    ASSERT(write->value_bytes <= CRASH_VALUE_BYTES_MAX && !(write->is_delete && write->value_bytes));
    h->writes[h->count] = *write;
    h->writes[h->count].state = CRASH_SUBMITTED;
    return h->count++;
}

/* ---- bytes ---- */

struct record_key crash_key(uint32_t key, char to[CRASH_KEY_BYTES])
{
    int bytes = snprintf(to, CRASH_KEY_BYTES, "key-%02u", key);
    ASSERT(bytes > 0 && bytes < CRASH_KEY_BYTES);
    return (struct record_key){
        .vnode = (uint16_t)(CRASH_VNODE_FIRST + key % CRASH_VNODES),
        .key = slice_of(to, (size_t)bytes),
        .subkey = slice_of(NULL, 0),
    };
}

void crash_value(uint32_t number, uint32_t bytes, uint8_t *to)
{
    uint64_t base = mix(number);
    for (uint32_t i = 0; i < bytes; i += sizeof base) {
        uint64_t word = mix(base + i);
        uint32_t left = bytes - i;
        memcpy(to + i, &word, left < sizeof word ? left : sizeof word);
    }
}

static bool is_made_by(const struct crash_history *h, uint32_t number, const struct record *record)
{
    uint8_t value[CRASH_VALUE_BYTES_MAX];
    const struct crash_write *w = &h->writes[number];
    if (w->clock != record->version.clock || w->is_delete || record->value.bytes != w->value_bytes)
        return false;
    crash_value(number, w->value_bytes, value);
    return slice_equal(record->value, slice_of(value, w->value_bytes)) && entry_verify(record);
}

int crash_history_identify(const struct crash_history *h, uint32_t key, const struct record *record)
{
    char bytes[CRASH_KEY_BYTES];
    struct record_key wanted = crash_key(key, bytes);
    if (record_key_compare(&wanted, &record->key) != 0)
        return CRASH_FOREIGN;
    for (uint32_t i = 0; i < h->count; i++)
        if (h->writes[i].key == key && is_made_by(h, i, record))
            return (int)i;
    return CRASH_FOREIGN;
}

/* ---- cuts ---- */

/* Does the log, cut there, hold the write? What failed is held only while nothing comes after its group. */
static bool is_held(const struct crash_history *h, uint32_t number, uint32_t cut)
{
    const struct crash_write *w = &h->writes[number];
    if (number >= cut || w->state == CRASH_GONE)
        return false;
    for (uint32_t i = number + 1; w->state == CRASH_FAILED && i < cut; i++) {
        const struct crash_write *later = &h->writes[i];
        bool is_same_group = later->state == CRASH_FAILED && later->group == w->group;
        if (later->state != CRASH_GONE && !is_same_group)
            return false;
    }
    return true;
}

bool crash_history_view(const struct crash_history *h, uint32_t cut, struct crash_view *out)
{
    for (uint32_t key = 0; key < CRASH_KEYS; key++)
        out->shown[key] = CRASH_ABSENT;
    for (uint32_t i = 0; i < h->count; i++) {
        const struct crash_write *w = &h->writes[i];
        if (is_held(h, i, cut))
            out->shown[w->key] = w->is_delete ? CRASH_ABSENT : (int)i;
        else if (w->state == CRASH_ACKNOWLEDGED)
            return false;
    }
    return true;
}

/* Does the view show what is expected, but for what a damaged log may have taken? */
static bool shows(const struct crash_history *h, const struct crash_view *view,
                  const struct crash_view *expected)
{
    for (uint32_t key = 0; key < CRASH_KEYS; key++) {
        bool may_be_unknown = expected->shown[key] < (int)h->unknown_below && h->unknown_below > 0;
        if (view->shown[key] != expected->shown[key] &&
            !(view->shown[key] == CRASH_UNKNOWN && may_be_unknown))
            return false;
    }
    return true;
}

bool crash_history_allows(const struct crash_history *h, const struct crash_view *view, uint32_t *cut)
{
    struct crash_view expected;
    for (*cut = 0; *cut <= h->count; (*cut)++)
        if (crash_history_view(h, *cut, &expected) && shows(h, view, &expected))
            return true;
    return false;
}

void crash_history_settle(struct crash_history *h, uint32_t cut)
{
    bool held[CRASH_WRITES_MAX];
    for (uint32_t i = 0; i < h->count; i++)
        held[i] = is_held(h, i, cut);
    for (uint32_t i = 0; i < h->count; i++)
        h->writes[i].state = held[i] ? CRASH_ACKNOWLEDGED : CRASH_GONE;
}

/* ---- words ---- */

bool crash_view_equal(const struct crash_view *a, const struct crash_view *b)
{
    for (uint32_t key = 0; key < CRASH_KEYS; key++)
        if (a->shown[key] != b->shown[key])
            return false;
    return true;
}

void crash_view_text(const struct crash_view *view, char *to, size_t bytes)
{
    size_t used = 0;
    for (uint32_t key = 0; key < CRASH_KEYS && used < bytes; key++) {
        int shown = view->shown[key];
        const char *comma = key ? ", " : "";
        int length = shown >= 0 ? snprintf(to + used, bytes - used, "%skey %u: write %d", comma, key, shown)
                                : snprintf(to + used, bytes - used, "%skey %u: %s", comma, key,
                                           shown == CRASH_ABSENT    ? "nothing"
                                           : shown == CRASH_UNKNOWN ? "UNKNOWN"
                                                                    : "what was never written");
        used += length > 0 ? (size_t)length : 0;
    }
}

void crash_history_text(const struct crash_history *h, char *to, size_t bytes)
{
    static const char letters[] = "SAFG"; /* in the order of enum crash_write_state */
    size_t used = 0;
    for (; used < h->count && used + 1 < bytes; used++)
        to[used] = letters[h->writes[used].state];
    to[used] = '\0';
}
