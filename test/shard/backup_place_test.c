/* backup_place_test.c - which directories may have backups: by their names. */
#include "shard/backup_place.h"
#include "test/test.h"

TEST(a_place_is_named_from_the_root_without_dots)
{
    CU_ASSERT_TRUE(backup_place_is_plain("/backups"));
    CU_ASSERT_TRUE(backup_place_is_plain("/backups/.torc/..."));
    static const char *const others[] = {"",    "/",    "backups", "./b",   "/b/",
                                         "//b", "/a/.", "/a/../b", "/a/..", "/a//b"};
    for (size_t i = 0; i < ARRAY_COUNT(others); i++)
        CU_ASSERT_FALSE(backup_place_is_plain(others[i]));
}

TEST(a_place_is_below_another_by_whole_names)
{
    CU_ASSERT_TRUE(backup_place_is_below("/b", "/b"));
    CU_ASSERT_TRUE(backup_place_is_below("/b/c", "/b"));
    CU_ASSERT_FALSE(backup_place_is_below("/bc", "/b"));
    CU_ASSERT_FALSE(backup_place_is_below("/a/b", "/b"));
    CU_ASSERT_FALSE(backup_place_is_below("/b", "/b/c"));
}
