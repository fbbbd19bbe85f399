/* damage.c - what tests do to the files of an engine behind its back; see damage.h. */
#include "test/engine/damage.h"

#include "test/test.h"

void damage_flip(struct reactor *r, const char *path, uint64_t offset, uint8_t bits)
{
    struct file *f = NULL;
    uint8_t byte = 0;
    CU_ASSERT_EQUAL_FATAL(file_open(r, path, FILE_READ | FILE_WRITE, &f), 0);
    CU_ASSERT_EQUAL(file_read(r, f, &byte, 1, offset), 1);
    byte ^= bits;
    CU_ASSERT_EQUAL(file_write(r, f, &byte, 1, offset, true), 0);
    file_close(r, f);
}

void damage_overwrite(struct reactor *r, const char *path, uint64_t offset, struct slice with)
{
    struct file *f = NULL;
    CU_ASSERT_EQUAL_FATAL(file_open(r, path, FILE_WRITE, &f), 0);
    CU_ASSERT_EQUAL(file_write(r, f, with.data, with.bytes, offset, false), 0);
    file_close(r, f);
}
