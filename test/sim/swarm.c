/* swarm.c - draws the faults of a seed; see swarm.h. */
#include "test/sim/swarm.h"

#include <ctype.h>
#include <stdio.h>

enum {
    STREAM_MOOD = SIM_STREAMS + 100, /* of the seed as a whole */
    STREAM_CLASS = SIM_STREAMS + 101,
    PER_CENT = 10000, /* in millionths */
    CRASH_LIKELY = 60 * PER_CENT,
};

/* Without a crash a history shows little of a storage: most seeds have some. */
#define CRASHES                                                                                              \
    (FAULT_BIT(KILL) | FAULT_BIT(POWER_LOSS) | FAULT_BIT(DROPPED_WRITE) | FAULT_BIT(TORN_WRITE) |            \
     FAULT_BIT(DROPPED_NAME))

/* The rate of a class that is on: log-uniform between these, in millionths. */
static const struct range {
    uint32_t low;
    uint32_t high;
} ranges[SIM_FAULT_COUNT] = {
    [SIM_KILL] = {200000, 1000000},          [SIM_POWER_LOSS] = {200000, 1000000},
    [SIM_DROPPED_WRITE] = {50000, 900000},   [SIM_TORN_WRITE] = {50000, 900000},
    [SIM_DROPPED_NAME] = {50000, 900000},    [SIM_BIT_ROT] = {10000, 1000000},
    [SIM_LOST_WRITE] = {500, 20000},         [SIM_MISDIRECTED_WRITE] = {2000, 60000},
    [SIM_READ_ERROR] = {500, 30000},         [SIM_WRITE_ERROR] = {500, 20000},
    [SIM_SYNC_ERROR] = {2000, 200000},       [SIM_BAD_SECTOR] = {5000, 300000},
    [SIM_DISK_FULL] = {50000, 600000},       [SIM_SLOW_DISK] = {1000, 100000},
    [SIM_STUCK_DISK] = {200, 5000},          [SIM_NO_DESCRIPTORS] = {500, 60000},
    [SIM_DISK_ROLLBACK] = {50000, 400000},   [SIM_DISK_WIPE] = {50000, 300000},
    [SIM_CHANNEL_FULL] = {1000, 100000},     [SIM_CHANNEL_DELAY] = {1000, 100000},
    [SIM_NETWORK_SEGMENT] = {10000, 500000}, [SIM_NETWORK_DELAY] = {1000, 100000},
    [SIM_NETWORK_STALL] = {100, 3000},       [SIM_NETWORK_RESET] = {100, 5000},
    [SIM_NETWORK_REFUSE] = {1000, 200000},   [SIM_WALL_JUMP] = {20, 3000},
    [SIM_WALL_DRIFT] = {500000, 1000000},    [SIM_WALL_FREEZE] = {20, 3000},
    [SIM_TURN_DELAY] = {20, 3000},           [SIM_NO_READ_MEMORY] = {500, 30000},
};

/* How likely a class is on, in millionths: by the mood of the seed. */
static uint32_t draw_mood(uint64_t seed, bool *may_destroy)
{
    struct sim_dice d;
    sim_dice_init(&d, seed, STREAM_MOOD, 0);
    uint64_t mood = sim_dice_below(&d, 100);
    *may_destroy = sim_dice_below(&d, 100) < 45;
    if (mood < 8)
        return 0;
    if (mood < 45)
        return 15 * PER_CENT;
    if (mood < 80)
        return 35 * PER_CENT;
    return 70 * PER_CENT;
}

/* Uniform on a scale of powers of two. */
static uint32_t draw_rate(struct sim_dice *d, struct range range)
{
    uint64_t low = range.low, high = range.low;
    unsigned doublings = 0;
    for (; high * 2 <= range.high; high *= 2)
        doublings++;
    low <<= sim_dice_below(d, doublings + 1);
    high = low * 2 < range.high ? low * 2 : range.high;
    return (uint32_t)sim_dice_between(d, low, high);
}

static bool is_wanted(const struct fault_filter *filter, uint64_t bit)
{
    return (filter->only == 0 || (filter->only & bit)) && !(filter->without & bit);
}

void swarm_draw(uint64_t seed, uint64_t possible, const struct fault_filter *filter, struct sim_faults *out)
{
    bool may_destroy;
    uint32_t likely = draw_mood(seed, &may_destroy);
    *out = (struct sim_faults){0};
    for (unsigned i = 0; i < SIM_FAULT_COUNT; i++) {
        uint64_t bit = UINT64_C(1) << i;
        struct sim_dice d;
        sim_dice_init(&d, seed, STREAM_CLASS, i);
        bool is_crash = CRASHES & bit;
        bool is_on = sim_dice_hits(&d, likely && is_crash && likely < CRASH_LIKELY ? CRASH_LIKELY : likely);
        uint32_t rate = draw_rate(&d, ranges[i]);
        if ((possible & bit) && is_on && is_wanted(filter, bit) &&
            (may_destroy || !(bit & FAULTS_THAT_DESTROY)))
            out->per_million[i] = rate;
    }
}

/* ---- names ---- */

static const char *identifier(unsigned fault)
{
    static const char *const names[] = {
#define SWARM_NAME(name, words) #name,
        SIM_FAULT_LIST(SWARM_NAME)
#undef SWARM_NAME
    };
    return names[fault];
}

int fault_option_name(enum sim_fault fault, char *to, size_t bytes)
{
    int length = snprintf(to, bytes, "%s", identifier(fault));
    for (size_t i = 0; i + 1 < bytes && to[i]; i++)
        to[i] = to[i] == '_' ? '-' : (char)tolower((unsigned char)to[i]);
    return length;
}

unsigned fault_of_option_name(const char *name)
{
    char own[64];
    for (unsigned i = 0; i < SIM_FAULT_COUNT; i++) {
        fault_option_name((enum sim_fault)i, own, sizeof own);
        if (strcmp(own, name) == 0)
            return i;
    }
    return SIM_FAULT_COUNT;
}
