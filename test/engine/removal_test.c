/* removal_test.c - files that go in steps, and what of them is seen by who has them open. */
#include "engine/removal.h"

#include "test/engine/engine_rig.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { STEP = 16 << 10, BYTES = 10 * STEP + 4096 };

struct doomed {
    struct engine_rig *rig;
    char path[256];
    char other[256];
    struct file *file;
};

static struct doomed begin(struct reactor *r)
{
    static uint8_t bytes[BYTES];
    struct doomed d = {.rig = engine_rig_make()};
    d.rig->options.removal_step_bytes = STEP;
    engine_rig_open(d.rig, r);
    memset(bytes, 'x', sizeof bytes);
    snprintf(d.path, sizeof d.path, "%s/doomed", test_directory());
    snprintf(d.other, sizeof d.other, "%s/other", test_directory());
    CU_ASSERT_EQUAL_FATAL(file_open(r, d.path, FILE_READ | FILE_WRITE | FILE_CREATE, &d.file), 0);
    CU_ASSERT_EQUAL(file_write(r, d.file, bytes, sizeof bytes, 0, false), 0);
    return d;
}

/* Returns: so many of its first bytes are as they were; what is behind them is gone. */
static int64_t bytes_left(const struct doomed *d)
{
    static uint8_t bytes[BYTES];
    int64_t left = 0, read = file_read(d->rig->reactor, d->file, bytes, sizeof bytes, 0);
    while (left < read && bytes[left] == 'x')
        left++;
    for (int64_t i = left; i < read; i++)
        CU_ASSERT_EQUAL_FATAL(bytes[i], 0);
    return left;
}

static void end(struct doomed *d)
{
    file_close(d->rig->reactor, d->file);
    engine_rig_close(d->rig);
    engine_rig_free(d->rig);
}

TEST_IN_REACTOR(a_large_file_goes_in_steps_from_its_end)
{
    struct doomed d = begin(r);
    CU_ASSERT_EQUAL(engine_remove_file(d.rig->engine, d.path), 0);
    CU_ASSERT_EQUAL(bytes_left(&d), STEP);
    CU_ASSERT_EQUAL(file_probe(r, d.path), -ENOENT);
    end(&d);
}

TEST_IN_REACTOR(a_file_with_another_name_stays_whole)
{
    struct doomed d = begin(r);
    CU_ASSERT_EQUAL(file_link(r, d.path, d.other), 0);
    CU_ASSERT_EQUAL(engine_remove_file(d.rig->engine, d.path), 0);
    CU_ASSERT_EQUAL(bytes_left(&d), BYTES);
    CU_ASSERT_EQUAL(file_probe(r, d.path), -ENOENT);
    CU_ASSERT_EQUAL(file_probe(r, d.other), 0);
    end(&d);
}

TEST_IN_REACTOR(a_file_goes_at_once_while_the_disk_is_full)
{
    struct doomed d = begin(r);
    d.rig->engine->is_out_of_room = true;
    CU_ASSERT_EQUAL(engine_remove_file(d.rig->engine, d.path), 0);
    CU_ASSERT_EQUAL(bytes_left(&d), BYTES); /* for who has it open */
    CU_ASSERT_EQUAL(file_probe(r, d.path), -ENOENT);
    d.rig->engine->is_out_of_room = false;
    end(&d);
}

TEST_IN_REACTOR(a_file_that_is_not_there_is_an_error)
{
    struct doomed d = begin(r);
    CU_ASSERT_EQUAL(engine_remove_file(d.rig->engine, d.other), -ENOENT);
    end(&d);
}
