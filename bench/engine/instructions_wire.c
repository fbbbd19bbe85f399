/* instructions_wire.c - the parser of frames. */
#include "bench/engine/instructions.h"
#include "wire/frame.h"

enum { FRAMES = 64, PASSES = 100 };

void prepare_frames(struct harness *h)
{
    struct sample sample = {.key_bytes = 20, .value_bytes = 100};
    h->bytes = reactor_alloc(h->rig.reactor, FRAMES * 256);
    h->memory = reactor_alloc(h->rig.reactor, sizeof *h->memory);
    ASSERT(h->bytes && h->memory);
    for (uint32_t i = 0; i < FRAMES; i++) {
        struct record record = sample_record(&sample, i, 1, h->memory);
        struct frame_parts parts = {
            .op = FRAME_PUT,
            .request_id = i,
            .record_checksum = record.checksum,
            .key = record.key.key,
            .value = record.value,
        };
        h->byte_count += frame_encode(h->bytes + h->byte_count, &parts);
    }
}

uint64_t run_parse(struct harness *h, uint32_t round)
{
    uint64_t done = 0;
    (void)round;
    for (uint32_t pass = 0; pass < PASSES; pass++)
        for (size_t at = 0; at < h->byte_count; done++) {
            struct frame f;
            size_t needed;
            int rc = frame_parse(slice_of(h->bytes + at, h->byte_count - at), FRAME_BYTES_MAX, &f, &needed);
            ASSERT(rc == 1 && frame_is_intact(&f, checksum_record(f.key, f.value)));
            at += f.length;
        }
    return done;
}
