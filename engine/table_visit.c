/* table_visit.c - a table block after block; see table_visit.h. */
#include "engine/table_visit.h"

#include "engine/table_internal.h"

uint32_t table_visit_blocks(const struct table *t)
{
    return t->index.block_count;
}

uint32_t table_visit_find(const struct table *t, const struct record_key *key)
{
    return table_index_find(&t->index, key);
}

void table_visit_init(struct table_visit *v, struct table *t)
{
    *v = (struct table_visit){.table = t};
}

void table_visit_deinit(struct table_visit *v)
{
    reactor_free(v->table->r, v->buffer);
    v->buffer = NULL;
}

static int reserve(struct table_visit *v, size_t bytes)
{
    if (bytes <= v->capacity)
        return 0;
    reactor_free(v->table->r, v->buffer);
    v->capacity = 0;
    v->buffer = reactor_alloc_aligned(v->table->r, bytes, FILE_ALIGNMENT);
    if (!v->buffer)
        return TORC_E_NO_MEMORY;
    v->capacity = bytes;
    return 0;
}

int table_visit_block(struct table_visit *v, uint32_t block,
                      int (*each)(void *owner, const struct record *record, bool is_sound), void *owner)
{
    struct table *t = v->table;
    ASSERT(block < t->index.block_count);
    struct table_place place = table_place_at(t, block);
    uint32_t units = place.block.units;
    v->offset = (uint64_t)place.block.position * TABLE_UNIT_BYTES;
    v->bytes = (uint64_t)place.units * TABLE_UNIT_BYTES;
    int rc = reserve(v, (size_t)units * TABLE_UNIT_BYTES);
    if (rc == 0)
        rc = table_read_block(t, place, v->buffer);
    uint32_t count = rc == 0 ? table_block_count(v->buffer, units) : 0;
    for (uint32_t i = 0; rc == 0 && i < count; i++) {
        struct record record;
        struct slice entry;
        if (!table_block_entry(v->buffer, units, i, &record, &entry))
            return TORC_E_CORRUPT;
        bool is_sound = (record.flags & RECORD_SEPARATED) != 0 || entry_verify(&record);
        rc = each ? each(owner, &record, is_sound) : 0;
        task_yield_if_due(t->r);
    }
    return rc;
}
