/* mark_test.c - coverage marks count what is passed and are found by the linker. */
#define TORC_MARKS 1
#include "reactor/base/mark.h"

#include "test/test.h"

static void pass(unsigned times)
{
    for (unsigned i = 0; i < times; i++)
        MARK(this_mark_is_passed);
    if (times > 1000)
        MARK(this_mark_is_never_passed);
}

static const struct mark *find(const char *name)
{
    const struct mark *found = NULL;
    for (size_t i = 0; i < marks_count(); i++) {
        CU_ASSERT_FATAL(mark_at(i) != NULL);
        if (strcmp(mark_at(i)->name, name) == 0)
            found = mark_at(i);
    }
    CU_ASSERT_FATAL(found != NULL);
    return found;
}

TEST(mark_counts_how_often_it_is_passed)
{
    uint64_t before = find("this_mark_is_passed")->count;
    pass(3);
    CU_ASSERT_EQUAL(find("this_mark_is_passed")->count, before + 3);
    CU_ASSERT(strstr(find("this_mark_is_passed")->file, "mark_test.c") != NULL);
    CU_ASSERT(find("this_mark_is_passed")->line > 0);
}

TEST(mark_that_is_not_passed_is_listed_with_zero)
{
    pass(1);
    CU_ASSERT_EQUAL(find("this_mark_is_never_passed")->count, 0);
}
