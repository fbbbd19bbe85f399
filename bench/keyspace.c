/* keyspace.c - keys and values from numbers.
 *
 * The permutation is two rounds of xor-shift and odd multiplication modulo 2^bits: each step can be undone,
 * so no two indexes share a key. Values are made of independent words, which a processor computes several at
 * a time. */
#include "bench/keyspace.h"

#include "bench/random.h"
#include "reactor/base/endian.h"

enum { PREFIX_BYTES = 4, BRACES_BYTES = 2, DIGITS_MAX = 19, VERSION_BYTES = 8 };

static_assert((int)KEYSPACE_KEY_BYTES_MIN > (int)PREFIX_BYTES, "a key has digits");

static unsigned bits_of_digits(unsigned digits)
{
    uint64_t limit = 1;
    for (unsigned i = 0; i < digits && i < DIGITS_MAX; i++)
        limit *= 10;
    return 63u - (unsigned)__builtin_clzll(limit);
}

bool keyspace_init(struct keyspace *k, struct byte_range key_bytes, struct byte_range value_bytes,
                   uint64_t key_count)
{
    ASSERT(key_bytes.min >= KEYSPACE_KEY_BYTES_MIN && key_bytes.max <= KEYSPACE_KEY_BYTES_MAX);
    ASSERT(key_bytes.min <= key_bytes.max && value_bytes.min <= value_bytes.max);
    ASSERT(value_bytes.max <= KEYSPACE_VALUE_BYTES_MAX);
    unsigned bits = bits_of_digits(key_bytes.min - PREFIX_BYTES);
    *k = (struct keyspace){
        .key_bytes_min = key_bytes.min,
        .key_bytes_max = key_bytes.max,
        .value_bytes_min = value_bytes.min,
        .value_bytes_max = value_bytes.max,
        .value_novel_256 = 256,
        .number_bits = bits,
        .number_mask = (1ull << bits) - 1,
    };
    return key_count <= keyspace_capacity(k) / 2;
}

bool keyspace_use_tags(struct keyspace *k, uint64_t key_count, uint64_t keys_per_tag)
{
    ASSERT(k->key_bytes_min == k->key_bytes_max);
    ASSERT(keys_per_tag > 0);
    if (k->key_bytes_min < KEYSPACE_KEY_BYTES_MIN + BRACES_BYTES)
        return false;
    uint32_t digits = k->key_bytes_min - PREFIX_BYTES - BRACES_BYTES;
    k->number_bits = bits_of_digits(digits);
    k->number_mask = (1ull << k->number_bits) - 1;
    k->tag_digits = digits > DIGITS_MAX ? digits - DIGITS_MAX + 1 : 1; /* those in front are zeros */
    for (uint64_t left = key_count / 10; left / 10 >= keys_per_tag && k->tag_digits + 1 < digits; left /= 10)
        k->tag_digits++;
    return key_count <= keyspace_capacity(k) / 2;
}

uint64_t keyspace_capacity(const struct keyspace *k)
{
    return k->number_mask + 1;
}

static uint64_t permute(const struct keyspace *k, uint64_t index)
{
    unsigned half = (k->number_bits + 1) / 2;
    uint64_t x = (index * RANDOM_GOLDEN) & k->number_mask;
    x ^= x >> half;
    x = (x * 0xd6e8feb86659fd93ull) & k->number_mask;
    x ^= x >> half;
    return (x * RANDOM_GOLDEN) & k->number_mask;
}

static uint32_t length_between(uint32_t min, uint32_t max, uint64_t hash)
{
    return min == max ? min : min + (uint32_t)random_scale(hash, (uint64_t)(max - min) + 1);
}

static const char two_digits[] =
    "00010203040506070809101112131415161718192021222324252627282930313233343536373839"
    "40414243444546474849505152535455565758596061626364656667686970717273747576777879"
    "8081828384858687888990919293949596979899";

/* Fills [first, end) with the decimal digits of `number`, zeros in front. */
static void put_digits(uint8_t *first, uint8_t *end, uint64_t number)
{
    for (; end - first >= 2 && number > 0; number /= 100) {
        end -= 2;
        memcpy(end, &two_digits[2 * (number % 100)], 2);
    }
    if (end > first && number > 0) {
        *--end = (uint8_t)('0' + number % 10);
        number /= 10;
    }
    ASSERT(number == 0);
    memset(first, '0', (size_t)(end - first));
}

uint32_t keyspace_key(const struct keyspace *k, uint64_t index, uint8_t *to)
{
    ASSERT(index <= k->number_mask);
    uint32_t bytes = length_between(k->key_bytes_min, k->key_bytes_max, random_mix(index));
    memcpy(to, "user", PREFIX_BYTES);
    if (k->tag_digits == 0) {
        put_digits(to + PREFIX_BYTES, to + bytes, permute(k, index));
        return bytes;
    }
    put_digits(to + PREFIX_BYTES + BRACES_BYTES, to + bytes, permute(k, index));
    to[PREFIX_BYTES] = '{';
    memmove(to + PREFIX_BYTES + 1, to + PREFIX_BYTES + BRACES_BYTES, k->tag_digits);
    to[PREFIX_BYTES + 1 + k->tag_digits] = '}';
    return bytes;
}

uint32_t keyspace_prefix_bytes(const struct keyspace *k)
{
    return k->tag_digits ? PREFIX_BYTES + BRACES_BYTES + k->tag_digits : PREFIX_BYTES;
}

/* One word of a value; cheaper than random_mix and good enough that no compressor finds anything in it. */
static inline uint64_t value_word(uint64_t base, uint64_t position)
{
    uint64_t x = (base + position) * RANDOM_GOLDEN;
    return (x ^ (x >> 29)) * 0xbf58476d1ce4e5b9ull;
}

static uint64_t value_base(uint64_t index, uint64_t version)
{
    return random_mix(random_mix(index) ^ version);
}

static uint32_t value_length(const struct keyspace *k, uint64_t base)
{
    return length_between(k->value_bytes_min, k->value_bytes_max, base);
}

/* Words repeat after so many bytes. Returns: whole words, one at least. */
static uint32_t period_of(const struct keyspace *k, uint32_t bytes)
{
    ASSERT(k->value_novel_256 > 0 && k->value_novel_256 <= 256);
    uint32_t novel = (uint32_t)((uint64_t)bytes * k->value_novel_256 / 256) & ~7u;
    return k->value_novel_256 == 256 ? UINT32_MAX : novel > 8 ? novel : 8;
}

uint32_t keyspace_value(const struct keyspace *k, uint64_t index, uint64_t version, uint8_t *to)
{
    uint64_t base = value_base(index, version);
    uint32_t bytes = value_length(k, base);
    uint32_t period = period_of(k, bytes), word = VERSION_BYTES;
    store_u64le(to, version);
    for (uint32_t at = VERSION_BYTES; at < bytes; at += 8, word += 8) {
        word = word < period ? word : 0;
        store_u64le(to + at, value_word(base, word));
    }
    return bytes;
}

bool keyspace_value_belongs(const struct keyspace *k, uint64_t index, struct slice value)
{
    ASSERT(k->value_bytes_min >= KEYSPACE_VERIFIABLE_BYTES_MIN);
    if (value.bytes < KEYSPACE_VERIFIABLE_BYTES_MIN)
        return false;
    uint64_t base = value_base(index, load_u64le(value.data));
    if (value.bytes != value_length(k, base))
        return false;
    uint32_t period = period_of(k, (uint32_t)value.bytes), word = VERSION_BYTES % period;
    size_t at = VERSION_BYTES;
    for (; at + 8 <= value.bytes; at += 8) {
        if (load_u64le(value.data + at) != value_word(base, word))
            return false;
        word = word + 8 < period ? word + 8 : 0;
    }
    uint8_t tail[8];
    store_u64le(tail, value_word(base, word));
    return memcmp(value.data + at, tail, value.bytes - at) == 0;
}
