/* test.h - how a test is written: a sentence for a name, CUnit's asserts in the body.
 *
 *   TEST(wal_stops_at_a_torn_record)
 *   {
 *       CU_ASSERT_EQUAL(...);
 *   }
 *   TEST_IN_REACTOR(file_write_is_read_back) { ... r ... }   a task on a one-core reactor: it may wait
 *
 * Tests register themselves; test/main.c runs them, one suite a file, all or those whose "suite.name"
 * contains the arguments. */
#ifndef TEST_TEST_H
#define TEST_TEST_H

#include <CUnit/CUnit.h>

#include "reactor/reactor.h"

void test_register(const char *file, const char *name, void (*run)(void));

/* Runs `body` as the main task of a one-core reactor and stops that reactor when it returns. */
void test_run_in_reactor(void (*body)(struct reactor *r));

/* A fresh empty directory under build/, removed with its content when the test run ends. The text is
 * static per test run and stays valid. Waits: in the body of a TEST_IN_REACTOR. */
const char *test_directory(void);

#define TEST(name)                                                                                           \
    static void name(void);                                                                                  \
    __attribute__((constructor)) static void name##_register(void)                                           \
    {                                                                                                        \
        test_register(__FILE__, #name, name);                                                                \
    }                                                                                                        \
    static void name(void)

#define TEST_IN_REACTOR(name)                                                                                \
    static void name##_body(struct reactor *r);                                                              \
    TEST(name)                                                                                               \
    {                                                                                                        \
        test_run_in_reactor(name##_body);                                                                    \
    }                                                                                                        \
    static void name##_body(struct reactor *r)

#endif
