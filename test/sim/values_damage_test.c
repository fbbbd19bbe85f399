/* values_damage_test.c - value logs on a medium with bad sectors: what cannot be read is no value. */
#include "engine/values_visit.h"
#include "test/sim/disk_rig.h"

#include <string.h>

enum { NUMBER = 7, VALUE_BYTES = 3 * VALUE_UNIT_BYTES };

/* One value of zeros over four units, and padding. */
static void write_zeros(struct reactor *r, struct rig *rig)
{
    struct value_pointer p = {.file = NUMBER, .bytes = VALUE_BYTES};
    struct file *f = must_open(r, "values", FILE_READ | FILE_WRITE | FILE_CREATE | FILE_DIRECT);
    uint64_t bytes = VALUE_BYTES + VALUE_UNIT_BYTES;
    memset(rig->bytes, VALUE_PADDING, bytes);
    memset(rig->bytes + VALUE_HEADER_BYTES, 0, VALUE_BYTES);
    value_header_encode(rig->bytes, &p, slice_of(rig->bytes + VALUE_HEADER_BYTES, VALUE_BYTES));
    CU_ASSERT_EQUAL(file_write(r, f, rig->bytes, bytes, 0, true), 0);
    file_close(r, f);
}

static void visit(struct reactor *r, struct rig *rig)
{
    struct values_visit v;
    bool *is_sound = rig->context;
    struct values_found found = {.is_sound = false};
    CU_ASSERT_EQUAL_FATAL(values_visit_open(&v, r, "values", NUMBER), 0);
    CU_ASSERT_EQUAL(values_visit_next(&v, &found), 1);
    *is_sound = found.is_sound;
    CU_ASSERT_EQUAL(values_visit_next(&v, &found), 0);
    values_visit_close(&v);
}

TEST(values_of_zeros_that_cannot_be_read_are_damaged)
{
    struct rig rig;
    bool is_sound = false;
    rig_open(&rig, 1);
    rig.context = &is_sound;
    rig_run_and_stop(&rig, write_zeros);
    rig_run_and_stop(&rig, visit);
    CU_ASSERT(is_sound);
    sim_disk_break_sector(rig.disk, rig.world, "values", 2 * VALUE_UNIT_BYTES);
    rig_run_and_stop(&rig, visit);
    CU_ASSERT_FALSE(is_sound);
    rig_close(&rig);
}
