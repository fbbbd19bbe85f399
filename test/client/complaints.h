/* complaints.h - what a command of torc, run within the test, says on standard error. */
#ifndef TEST_CLIENT_COMPLAINTS_H
#define TEST_CLIENT_COMPLAINTS_H

#include "test/test.h"

#include "client/cli/cli.h"

#include <stdio.h>
#include <unistd.h>

/* Returns: its exit code. */
static inline int run_complaining(int (*command)(struct cli *cli), struct cli *cli, char *errors,
                                  size_t capacity)
{
    FILE *file = tmpfile();
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    int old = dup(STDERR_FILENO);
    dup2(fileno(file), STDERR_FILENO);
    int code = command(cli);
    dup2(old, STDERR_FILENO);
    close(old);
    rewind(file);
    errors[fread(errors, 1, capacity - 1, file)] = 0;
    fclose(file);
    return code;
}

#endif
