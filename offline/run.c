/* run.c - runs one task on a reactor of its own, and prints records; see run.h. */
#include "offline/run.h"

#include "offline/offline.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>

enum { TASK_STACK_BYTES = 256 << 10, WHY_BYTES = 512, VALUE_SHOWN_BYTES = 64 };

struct job {
    int (*run)(struct reactor *r, void *context);
    void *context;
    int code;
};

static int job_main(struct reactor *r, void *context)
{
    struct job *job = context;
    job->code = job->run(r, job->context);
    reactor_stop(r);
    return 0;
}

int offline_run(int (*run)(struct reactor *r, void *context), void *context)
{
    struct job job = {.run = run, .context = context, .code = OFFLINE_FAILED};
    struct reactor_options options = {
        .core_count = 1,
        .first_cpu = -1,
        .task_stack_bytes = TASK_STACK_BYTES,
        .receive_buffer_count = 16,
    };
    char why[WHY_BYTES] = "";
    reactor_raise_descriptors(); /* a shard has one open for each table and value log */
    int rc = reactor_run(&options, job_main, &job, why, sizeof why);
    if (rc)
        return offline_complain("%s: %s", error_sentence(rc), why);
    return job.code;
}

void offline_say(const char *format, va_list arguments)
{
    fputs("torc: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
}

int offline_complain(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    offline_say(format, arguments);
    va_end(arguments);
    return OFFLINE_FAILED;
}

void offline_print_bytes(struct slice bytes)
{
    putchar('"');
    for (size_t i = 0; i < bytes.bytes; i++) {
        if (bytes.data[i] == '"' || bytes.data[i] == '\\')
            printf("\\%c", bytes.data[i]);
        else if (bytes.data[i] < 0x7f && isprint(bytes.data[i]))
            putchar(bytes.data[i]);
        else
            printf("\\x%02x", bytes.data[i]);
    }
    putchar('"');
}

void offline_print_record(const struct record *record, uint64_t offset, bool is_sound)
{
    const struct record_key *k = &record->key;
    printf("  %llu: vnode %u namespace %u key ", (unsigned long long)offset, k->vnode, k->namespace_id);
    offline_print_bytes(k->key);
    if (k->subkey.bytes) {
        printf(" subkey ");
        offline_print_bytes(k->subkey);
    }
    printf(" version %llx.%u", (unsigned long long)record->version.clock, record->version.node);
    if (record->flags & RECORD_EXPIRING)
        printf(" expires %llu", (unsigned long long)record->expiry_ms);
    if (record->flags & RECORD_TOMBSTONE) {
        printf(" deleted");
    } else {
        bool is_cut = record->value.bytes > VALUE_SHOWN_BYTES;
        printf(record->flags & RECORD_SEPARATED ? " pointer %zu " : " value %zu ", record->value.bytes);
        offline_print_bytes(slice_of(record->value.data, is_cut ? VALUE_SHOWN_BYTES : record->value.bytes));
        fputs(is_cut ? "..." : "", stdout);
    }
    puts(is_sound ? "" : " DAMAGED: its checksum does not hold");
}
