/* dump_table.c - prints a table: its footer, then every block with its entries.
 *
 * Blocks are found by the index. Where footer or index are damaged nothing says where a block begins, and
 * that is told instead. */
#include "engine/table_format.h"
#include "engine/table_visit.h"
#include "offline/dump.h"
#include "offline/offline.h"
#include "offline/run.h"

#include <stdio.h>

static int read_footer(struct reactor *r, const char *path, struct table_footer *footer)
{
    uint8_t *unit = reactor_alloc_aligned(r, TABLE_UNIT_BYTES, FILE_ALIGNMENT);
    int rc = unit ? dump_read_unit(r, path, true, unit) : TORC_E_NO_MEMORY;
    if (rc == 0)
        rc = table_footer_decode(unit, footer);
    reactor_free(r, unit);
    return rc;
}

static void print_summary(const struct table_summary *s)
{
    printf("table: number %016llx, %llu bytes, %llu entries, %llu tombstones, %llu expiring, clocks %llx to "
           "%llx\n",
           (unsigned long long)s->number, (unsigned long long)s->bytes, (unsigned long long)s->entries,
           (unsigned long long)s->tombstones, (unsigned long long)s->expiring,
           (unsigned long long)s->clock_min, (unsigned long long)s->clock_max);
}

struct look {
    struct table_visit visit;
    bool is_damaged;
};

static int print_record(void *owner, const struct record *record, bool is_sound)
{
    struct look *l = owner;
    l->is_damaged |= !is_sound;
    offline_print_record(record, l->visit.offset, is_sound);
    return 0;
}

static int print_blocks(struct reactor *r, struct look *l, const char *path)
{
    uint32_t count = table_visit_blocks(l->visit.table);
    for (uint32_t i = 0; i < count; i++) {
        int rc = table_visit_block(&l->visit, i, print_record, l);
        if (rc == TORC_E_NO_MEMORY)
            return offline_complain("%s: %s", path, error_sentence(rc));
        if (rc) {
            printf("  %llu: DAMAGED: the block of %llu bytes: %s\n", (unsigned long long)l->visit.offset,
                   (unsigned long long)l->visit.bytes, error_sentence(rc));
            l->is_damaged = true;
        }
        task_yield_if_due(r);
    }
    return l->is_damaged ? OFFLINE_DAMAGED : OFFLINE_GOOD;
}

int dump_table(struct reactor *r, const char *path)
{
    struct table_footer footer;
    int rc = read_footer(r, path, &footer);
    if (rc == TORC_E_CORRUPT) {
        printf("%s: DAMAGED: the footer is not whole; without it no block can be found\n", path);
        return OFFLINE_DAMAGED;
    }
    if (rc)
        return offline_complain("%s: %s", path, error_sentence(rc));
    print_summary(&footer.summary);
    struct table *table = NULL;
    rc = table_open(r, NULL, path, footer.summary.number, &table);
    if (rc == TORC_E_CORRUPT) {
        printf("%s: DAMAGED: index or filter are not whole; without them no block can be found\n", path);
        return OFFLINE_DAMAGED;
    }
    if (rc)
        return offline_complain("%s: %s", path, error_sentence(rc));
    struct look look = {.is_damaged = false};
    table_visit_init(&look.visit, table);
    int code = print_blocks(r, &look, path);
    table_visit_deinit(&look.visit);
    table_close(table);
    return code;
}
