/* file_test.c - files and directories. */
#include "test/test.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char *path_in(char *buffer, const char *directory, const char *name)
{
    snprintf(buffer, 256, "%s/%s", directory, name);
    return buffer;
}

TEST_IN_REACTOR(file_write_is_read_back)
{
    char path[256], text[32] = "";
    struct file *f;
    uint64_t size = 0;
    path_in(path, test_directory(), "a");
    CU_ASSERT_EQUAL_FATAL(file_open(r, path, FILE_READ | FILE_WRITE | FILE_CREATE, &f), 0);
    CU_ASSERT_EQUAL(file_write(r, f, "hello, ", 7, 0, false), 0);
    CU_ASSERT_EQUAL(file_write(r, f, "world", 5, 7, true), 0);
    CU_ASSERT_EQUAL(file_sync(r, f), 0);
    CU_ASSERT_EQUAL(file_read(r, f, text, 12, 0), 12);
    CU_ASSERT_STRING_EQUAL(text, "hello, world");
    CU_ASSERT_EQUAL(file_size(r, f, &size), 0);
    CU_ASSERT_EQUAL(size, 12);
    CU_ASSERT_EQUAL(file_read(r, f, text, sizeof text, 7), 5);
    CU_ASSERT_EQUAL(file_read(r, f, text, sizeof text, 12), 0);
    CU_ASSERT_EQUAL(file_truncate(r, f, 5), 0);
    CU_ASSERT_EQUAL(file_allocate(r, f, 0, 8192), 0);
    CU_ASSERT_EQUAL(file_size(r, f, &size), 0);
    CU_ASSERT_EQUAL(size, 8192);
    file_close(r, f);
    file_close(r, NULL);
}

TEST_IN_REACTOR(file_direct_writes_whole_blocks_past_the_page_cache)
{
    char path[256];
    struct file *f;
    enum { BYTES = 1 << 20 };
    uint8_t *out = reactor_alloc_aligned(r, BYTES, FILE_ALIGNMENT),
            *in = reactor_alloc_aligned(r, BYTES, FILE_ALIGNMENT);
    for (size_t i = 0; i < BYTES; i++)
        out[i] = (uint8_t)(i * 31 >> 3);
    path_in(path, test_directory(), "direct");
    CU_ASSERT_EQUAL_FATAL(file_open(r, path, FILE_READ | FILE_WRITE | FILE_CREATE | FILE_DIRECT, &f), 0);
    CU_ASSERT_EQUAL(file_write(r, f, out, BYTES, 0, true), 0);
    CU_ASSERT_EQUAL(file_read(r, f, in, BYTES, 0), BYTES);
    CU_ASSERT(memcmp(in, out, BYTES) == 0);
    CU_ASSERT_EQUAL(file_read(r, f, in, BYTES, BYTES - 4096), 4096);
    CU_ASSERT_EQUAL(file_truncate(r, f, 5000), 0);
    CU_ASSERT_EQUAL(file_read(r, f, in, 8192, 0), 5000);
    file_close(r, f);
}

TEST_IN_REACTOR(the_end_of_a_file_is_given_back)
{
    enum { BYTES = 64 << 10, LEFT = 16 << 10 };
    char path[256];
    uint8_t *bytes = reactor_alloc(r, BYTES);
    struct file *f;
    memset(bytes, 'x', BYTES);
    path_in(path, test_directory(), "a");
    CU_ASSERT_EQUAL_FATAL(file_open(r, path, FILE_READ | FILE_WRITE | FILE_CREATE, &f), 0);
    CU_ASSERT_EQUAL(file_write(r, f, bytes, BYTES, 0, true), 0);
    CU_ASSERT_EQUAL(file_give_back(r, f, LEFT, BYTES - LEFT), 0);
    int64_t read = file_read(r, f, bytes, BYTES, 0);
    CU_ASSERT(read == LEFT || (read == BYTES && bytes[LEFT] == 0 && bytes[BYTES - 1] == 0));
    CU_ASSERT_EQUAL(bytes[LEFT - 1], 'x');
    file_close(r, f);
    reactor_free(r, bytes);
}

enum { OPERATIONS = 3000, BLOCK = 64 };

struct writes {
    struct reactor *reactor;
    struct file_operation operations[OPERATIONS];
    uint64_t blocks[OPERATIONS][BLOCK / 8];
    unsigned left;
    struct event done;
};

static struct writes *writes; /* one test at a time; the operation has no room for an owner */

static void on_written(struct file_operation *op)
{
    CU_ASSERT_EQUAL(op->result, BLOCK);
    CU_ASSERT_PTR_NULL(task_current(writes->reactor));
    if (--writes->left == 0)
        event_set(writes->reactor, &writes->done, 0);
}

TEST_IN_REACTOR(more_operations_than_the_ring_holds_are_all_done)
{
    char path[256];
    struct file *f;
    uint64_t block[BLOCK / 8];
    writes = reactor_alloc_zeroed(r, sizeof *writes);
    writes->reactor = r;
    path_in(path, test_directory(), "many");
    CU_ASSERT_EQUAL_FATAL(file_open(r, path, FILE_READ | FILE_WRITE | FILE_CREATE, &f), 0);
    writes->left = OPERATIONS;
    for (unsigned i = 0; i < OPERATIONS; i++) {
        writes->blocks[i][3] = i;
        writes->operations[i].done = on_written;
        file_write_start(r, f, &writes->operations[i], writes->blocks[i], BLOCK, i * BLOCK, false);
    }
    CU_ASSERT_EQUAL(event_wait(r, &writes->done, EVENT_FOREVER), 0);
    if (reactor_counters(r).kernel_enters > 0) /* a ring, not a simulated disk */
        CU_ASSERT(reactor_counters(r).early_submits >= 1);
    for (unsigned i = 0; i < OPERATIONS; i += 97) {
        CU_ASSERT_EQUAL(file_read(r, f, block, BLOCK, i * BLOCK), BLOCK);
        CU_ASSERT_EQUAL(block[3], i);
    }
    file_close(r, f);
}

TEST_IN_REACTOR(file_errors_are_those_of_the_system)
{
    char path[256];
    struct file *f, *second;
    const char *directory = test_directory();
    path_in(path, directory, "missing");
    CU_ASSERT_EQUAL(file_open(r, path, FILE_READ, &f), -ENOENT);
    CU_ASSERT_EQUAL(file_remove(r, path), -ENOENT);
    CU_ASSERT_EQUAL_FATAL(file_open(r, path, FILE_WRITE | FILE_CREATE | FILE_EXCLUSIVE, &f), 0);
    CU_ASSERT_EQUAL(file_open(r, path, FILE_WRITE | FILE_CREATE | FILE_EXCLUSIVE, &second), -EEXIST);
    CU_ASSERT_PTR_NULL(second);
    CU_ASSERT_EQUAL(file_read(r, f, &second, sizeof second, 0), -EBADF);
    CU_ASSERT_EQUAL(directory_create(r, directory), -EEXIST);
    file_close(r, f);
}

static int append_name(void *context, const char *name)
{
    char *text = context;
    size_t used = strlen(text);
    snprintf(text + used, 256 - used, "%s;", name);
    return strcmp(name, "stop") == 0 ? 99 : 0;
}

TEST_IN_REACTOR(directory_is_listed_in_byte_order)
{
    static const char *const names[] = {"b", "a10", "a9", "B", "zz"};
    char path[256], other[256], text[256] = "";
    const char *directory = test_directory();
    struct file *f;
    CU_ASSERT_EQUAL(directory_list(r, directory, append_name, text), 0);
    CU_ASSERT_STRING_EQUAL(text, "");
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        CU_ASSERT_EQUAL(file_open(r, path_in(path, directory, names[i]), FILE_WRITE | FILE_CREATE, &f), 0);
        file_close(r, f);
    }
    CU_ASSERT_EQUAL(directory_create(r, path_in(path, directory, "stop")), 0);
    CU_ASSERT_EQUAL(directory_list(r, directory, append_name, text), 99);
    CU_ASSERT_STRING_EQUAL(text, "B;a10;a9;b;stop;");
    CU_ASSERT_EQUAL(file_rename(r, path_in(path, directory, "zz"), path_in(other, directory, "aa")), 0);
    CU_ASSERT_EQUAL(file_link(r, path_in(path, directory, "b"), path_in(other, directory, "c")), 0);
    CU_ASSERT_EQUAL(file_remove(r, path_in(path, directory, "B")), 0);
    CU_ASSERT_EQUAL(directory_sync(r, directory), 0);
    text[0] = 0;
    CU_ASSERT_EQUAL(directory_list(r, directory, append_name, text), 99);
    CU_ASSERT_STRING_EQUAL(text, "a10;a9;aa;b;c;stop;");
    CU_ASSERT_EQUAL(directory_list(r, path_in(path, directory, "none"), append_name, text), -ENOENT);
}

TEST_IN_REACTOR(a_linked_file_has_two_names_and_stays_while_one_is_left)
{
    char path[256], other[256], byte = 'x';
    const char *directory = test_directory();
    struct file *f;
    uint64_t names;
    CU_ASSERT_EQUAL(directory_create(r, path_in(path, directory, "d")), 0);
    CU_ASSERT_EQUAL(file_open(r, path_in(path, directory, "a"), FILE_WRITE | FILE_CREATE, &f), 0);
    CU_ASSERT_EQUAL(file_write(r, f, &byte, 1, 0, true), 0);
    CU_ASSERT(file_names(r, f, &names) == 0 && names == 1);
    CU_ASSERT_EQUAL(file_link(r, path, path_in(other, directory, "d/b")), 0);
    CU_ASSERT(file_names(r, f, &names) == 0 && names == 2);
    file_close(r, f);
    CU_ASSERT_EQUAL(file_link(r, path, other), -EEXIST);
    CU_ASSERT_EQUAL(file_remove(r, path), 0);
    CU_ASSERT_EQUAL(file_link(r, path, path_in(other, directory, "d/c")), -ENOENT);
    CU_ASSERT_EQUAL(file_open(r, path_in(other, directory, "d/b"), FILE_READ, &f), 0);
    CU_ASSERT_EQUAL(file_read(r, f, &byte, 1, 0), 1);
    CU_ASSERT_EQUAL(byte, 'x');
    file_close(r, f);
}

TEST_IN_REACTOR(a_directory_is_removed_with_all_that_is_in_it)
{
    static const char *const names[] = {"tree", "tree/a", "tree/a/b", "tree/c"};
    static const char *const files[] = {"tree/1", "tree/a/2", "tree/a/b/3", "tree/a/b/4"};
    char path[256];
    const char *directory = test_directory();
    struct file *f;
    for (size_t i = 0; i < ARRAY_COUNT(names); i++)
        CU_ASSERT_EQUAL(directory_create(r, path_in(path, directory, names[i])), 0);
    for (size_t i = 0; i < ARRAY_COUNT(files); i++) {
        CU_ASSERT_EQUAL(file_open(r, path_in(path, directory, files[i]), FILE_WRITE | FILE_CREATE, &f), 0);
        file_close(r, f);
    }
    CU_ASSERT_EQUAL(directory_remove(r, path_in(path, directory, "tree")), -ENOTEMPTY);
    CU_ASSERT_EQUAL(directory_remove(r, path_in(path, directory, "tree/1")), -ENOTDIR);
    CU_ASSERT_EQUAL(directory_remove(r, path_in(path, directory, "none")), -ENOENT);
    CU_ASSERT_EQUAL(directory_remove_all(r, path_in(path, directory, "tree"), NULL), 0);
    CU_ASSERT_EQUAL(directory_remove_all(r, path_in(path, directory, "tree"), NULL), 0);
    CU_ASSERT_EQUAL(directory_create(r, path_in(path, directory, "tree")), 0);
    CU_ASSERT_EQUAL(directory_remove(r, path_in(path, directory, "tree")), 0);
}

static bool pause_never(void *context, uint64_t gone, uint64_t left)
{
    (void)left;
    *(uint64_t *)context += gone;
    return true;
}

TEST_IN_REACTOR(a_directory_that_goes_in_steps_leaves_files_whole_that_have_another_name)
{
    enum { STEP = 4096, BYTES = 3 * STEP };
    static char bytes[BYTES], found[BYTES];
    char path[256], kept[256];
    const char *directory = test_directory();
    uint64_t gone = 0;
    const struct removal_pace pace = {STEP, pause_never, &gone};
    struct file *f;
    memset(bytes, 'x', sizeof bytes);
    CU_ASSERT_EQUAL(directory_create(r, path_in(path, directory, "tree")), 0);
    CU_ASSERT_EQUAL(directory_create(r, path_in(path, directory, "tree/a")), 0);
    for (unsigned i = 0; i < 2; i++) {
        path_in(path, directory, i ? "tree/a/1" : "kept");
        CU_ASSERT_EQUAL_FATAL(file_open(r, path, FILE_WRITE | FILE_CREATE, &f), 0);
        CU_ASSERT_EQUAL(file_write(r, f, bytes, sizeof bytes, 0, false), 0);
        file_close(r, f);
    }
    path_in(kept, directory, "kept");
    CU_ASSERT_EQUAL(file_link(r, kept, path_in(path, directory, "tree/a/2")), 0);
    CU_ASSERT_EQUAL(directory_remove_all(r, path_in(path, directory, "tree"), &pace), 0);
    CU_ASSERT_EQUAL(gone, BYTES);
    CU_ASSERT_EQUAL(directory_has_names(r, path), -ENOENT);
    CU_ASSERT_EQUAL_FATAL(file_open(r, kept, FILE_READ, &f), 0);
    CU_ASSERT_EQUAL(file_read(r, f, found, sizeof found, 0), BYTES);
    CU_ASSERT_EQUAL(memcmp(found, bytes, BYTES), 0);
    file_close(r, f);
}

TEST_IN_REACTOR(a_locked_directory_is_refused_to_the_next)
{
    const char *directory = test_directory();
    uint64_t bytes = 0;
    CU_ASSERT_EQUAL(directory_lock(r, directory), 0);
    CU_ASSERT_EQUAL(directory_lock(r, directory), -EWOULDBLOCK);
    CU_ASSERT_EQUAL(directory_lock(r, "build/there is no such directory"), -ENOENT);
    CU_ASSERT_EQUAL(directory_free_bytes(r, directory, &bytes), 0);
    CU_ASSERT(bytes > 0);
}
