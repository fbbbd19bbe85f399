/* draw.c - random draws that do not depend on each other.
 *
 * A draw is a hash of (seed, stream, entity, ordinal). The first three are mixed into a key once, so a draw
 * costs one finalizer of splitmix64 (https://prng.di.unimi.it/splitmix64.c). No generator has a state that
 * others advance: what one stream draws moves no other. */
#include "reactor/sim/world.h"

enum { PARTS_PER_MILLION = 1000 * 1000 };

static const uint64_t GOLDEN = 0x9e3779b97f4a7c15;

static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

void sim_dice_init(struct sim_dice *d, uint64_t seed, uint64_t stream, uint64_t entity)
{
    uint64_t key = mix(seed + GOLDEN);
    key = mix(key ^ (stream * GOLDEN + 1));
    key = mix(key ^ (entity * GOLDEN + 2));
    *d = (struct sim_dice){.key = key};
}

uint64_t sim_dice_next(struct sim_dice *d)
{
    return mix(d->key + ++d->ordinal * GOLDEN);
}

uint64_t sim_dice_below(struct sim_dice *d, uint64_t bound)
{
    ASSERT(bound > 0);
    return (uint64_t)(((unsigned __int128)sim_dice_next(d) * bound) >> 64);
}

bool sim_dice_hits(struct sim_dice *d, uint32_t per_million)
{
    return sim_dice_below(d, PARTS_PER_MILLION) < per_million;
}

uint64_t sim_dice_between(struct sim_dice *d, uint64_t low, uint64_t high)
{
    ASSERT(low <= high && high - low < UINT64_MAX);
    return low + sim_dice_below(d, high - low + 1);
}

void stream_dice_init(const struct sim_world *w, struct sim_dice *d, enum sim_stream stream, uint64_t entity)
{
    sim_dice_init(d, w->options.seed, SIM_STREAMS + (uint64_t)stream, entity);
}

void fault_dice_init(const struct sim_world *w, struct sim_dice *d, enum sim_fault fault, uint64_t entity)
{
    sim_dice_init(d, w->options.seed, fault, entity);
}

bool fault_hits(struct sim_world *w, enum sim_fault fault, struct sim_dice *d)
{
    uint32_t rate = w->options.faults.per_million[fault];
    if (rate == 0) {
        d->ordinal++;
        return false;
    }
    if (!sim_dice_hits(d, rate))
        return false;
    sim_fault_count(w, fault);
    return true;
}

const char *sim_fault_name(enum sim_fault fault)
{
    static const char *const names[SIM_FAULT_COUNT] = {
#define SIM_FAULT_WORDS(name, words) [SIM_##name] = words,
        SIM_FAULT_LIST(SIM_FAULT_WORDS)
#undef SIM_FAULT_WORDS
    };
    ASSERT(fault < SIM_FAULT_COUNT);
    return names[fault];
}
