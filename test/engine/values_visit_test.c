/* values_visit_test.c - a value log value after value: what is sound, what is damaged, and where it ends. */
#include "engine/values_visit.h"

#include "test/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    NUMBER = 7,
    VALUES = 3,
    VALUE_BYTES = 1000,
    STORED_BYTES = VALUE_BYTES + VALUE_HEADER_BYTES,
    FILE_BYTES = VALUE_UNIT_BYTES,
    PADDING_BYTES = FILE_BYTES - VALUES * STORED_BYTES,
};

/* A file of one unit: values, and padding behind them. */
static void fill(uint8_t file[FILE_BYTES])
{
    static const uint8_t value[VALUE_BYTES];
    memset(file, VALUE_PADDING, FILE_BYTES);
    for (uint32_t i = 0; i < VALUES; i++) {
        struct value_pointer p = {NUMBER, i * STORED_BYTES / VALUE_STEP_BYTES, VALUE_BYTES};
        value_header_encode(file + (size_t)i * STORED_BYTES, &p, slice_of(value, sizeof value));
        memcpy(file + (size_t)i * STORED_BYTES + VALUE_HEADER_BYTES, value, sizeof value);
    }
}

struct counted {
    uint32_t sound;
    uint32_t damaged;
    uint64_t damaged_bytes;
};

static struct counted visit(struct reactor *r, const uint8_t *file, uint64_t bytes)
{
    char path[256];
    struct file *f;
    struct values_visit v;
    struct values_found found;
    struct counted counted = {0};
    snprintf(path, sizeof path, "%s/values", test_directory());
    CU_ASSERT_EQUAL_FATAL(file_open(r, path, FILE_WRITE | FILE_CREATE, &f), 0);
    CU_ASSERT_EQUAL(file_write(r, f, file, bytes, 0, false), 0);
    file_close(r, f);
    CU_ASSERT_EQUAL(values_visit_open(&v, r, path, NUMBER), 0);
    while (values_visit_next(&v, &found) == 1) {
        counted.sound += found.is_sound;
        counted.damaged += !found.is_sound;
        counted.damaged_bytes += found.is_sound ? 0 : found.bytes;
        CU_ASSERT(found.is_sound || found.bytes <= VALUES_STRETCH_BYTES_MAX);
    }
    values_visit_close(&v);
    return counted;
}

TEST_IN_REACTOR(visit_of_a_value_log_ends_before_its_padding)
{
    uint8_t file[FILE_BYTES];
    fill(file);
    struct counted c = visit(r, file, FILE_BYTES);
    CU_ASSERT(c.sound == VALUES && c.damaged == 0);
}

TEST_IN_REACTOR(visit_of_a_value_log_goes_on_behind_a_damaged_value)
{
    uint8_t file[FILE_BYTES];
    fill(file);
    file[STORED_BYTES + VALUE_HEADER_BYTES + 5] ^= 1;
    struct counted c = visit(r, file, FILE_BYTES);
    CU_ASSERT(c.sound == VALUES - 1 && c.damaged == 1);
    CU_ASSERT_EQUAL(c.damaged_bytes, STORED_BYTES);
}

/* As when sectors of the last write are lost, or cannot be read. */
TEST_IN_REACTOR(zeros_at_the_end_of_a_value_log_are_damage)
{
    static const uint32_t lost_values[] = {0, 1, VALUES};
    uint8_t file[FILE_BYTES];
    for (size_t i = 0; i < ARRAY_COUNT(lost_values); i++) {
        uint32_t lost = lost_values[i] * STORED_BYTES + PADDING_BYTES;
        fill(file);
        memset(file + FILE_BYTES - lost, 0, lost);
        struct counted c = visit(r, file, FILE_BYTES);
        CU_ASSERT(c.sound == VALUES - lost_values[i] && c.damaged == 1);
        CU_ASSERT_EQUAL(c.damaged_bytes, lost);
    }
}

/* Looking for the next value takes a bounded time, whatever it is that rots. */
TEST_IN_REACTOR(a_long_damaged_stretch_of_a_value_log_is_given_out_in_parts)
{
    enum { UNITS = 3 * VALUES_STRETCH_BYTES_MAX / VALUE_UNIT_BYTES, BYTES = (UNITS + 1) * VALUE_UNIT_BYTES };
    uint8_t *file = calloc(1, BYTES);
    ASSERT(file);
    fill(file);
    struct counted c = visit(r, file, BYTES);
    CU_ASSERT(c.sound == VALUES && c.damaged == 4);
    CU_ASSERT_EQUAL(c.damaged_bytes, BYTES - VALUES * STORED_BYTES);
    free(file);
}
