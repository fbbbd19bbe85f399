/* stages.c - histograms of the steps of sampled requests. */
#include "shard/stages.h"

static_assert(STAGE_COUNT == 8, "stage_name knows every stage");

const char *stage_name(enum stage stage)
{
    switch (stage) {
    case STAGE_READ_PARSED:
        return "read: received to parsed";
    case STAGE_READ_EXECUTED:
        return "read: parsed to answered";
    case STAGE_WRITE_PARSED:
        return "write: received to parsed";
    case STAGE_WRITE_EXECUTED:
        return "write: parsed to executed";
    case STAGE_WRITE_SUBMITTED:
        return "write: executed to log submitted";
    case STAGE_WRITE_DURABLE:
        return "write: log submitted to durable";
    case STAGE_WRITE_ANSWERED:
        return "write: durable to answered";
    case STAGE_SENT:
        return "all: answered to sent";
    case STAGE_COUNT:
        break;
    }
    return "";
}

int stages_init(struct stages *st, struct reactor *r, uint32_t every)
{
    *st = (struct stages){.every = every, .until_next = every};
    st->histograms = reactor_alloc_zeroed(r, STAGE_COUNT * sizeof *st->histograms);
    if (!st->histograms)
        return TORC_E_NO_MEMORY;
    for (uint32_t i = 0; i < STAGE_SAMPLES_MAX; i++)
        st->samples[i].next_free = i + 1 < STAGE_SAMPLES_MAX ? i + 2 : 0;
    st->first_free = 1;
    return 0;
}

void stages_deinit(struct stages *st, struct reactor *r)
{
    reactor_free(r, st->histograms);
    st->histograms = NULL;
}

void stages_record(struct stages *st, enum stage stage, uint64_t from_ns, uint64_t to_ns)
{
    histogram_record(&st->histograms[stage], to_ns > from_ns ? to_ns - from_ns : 0);
}

uint64_t stages_hold(struct stages *st, uint64_t executed_ns)
{
    uint32_t place = st->first_free;
    if (place == 0)
        return 0;
    struct stage_sample *sample = &st->samples[place - 1];
    st->first_free = sample->next_free;
    sample->executed_ns = executed_ns;
    return place;
}

uint64_t stages_release(struct stages *st, uint64_t stamp)
{
    ASSERT(stamp >= 1 && stamp <= STAGE_SAMPLES_MAX);
    struct stage_sample *sample = &st->samples[stamp - 1];
    sample->next_free = st->first_free;
    st->first_free = (uint32_t)stamp;
    return sample->executed_ns;
}
