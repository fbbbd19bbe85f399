/* format.c - numbers for people. */
#include "bench/format.h"

#include <stdio.h>
#include <string.h>

const char *format_count(char to[FORMAT_BYTES], double value)
{
    char digits[32];
    snprintf(digits, sizeof digits, "%.0f", value < 0.0 ? 0.0 : value > 1e18 ? 1e18 : value);
    size_t length = strlen(digits), at = 0;
    for (size_t i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0)
            to[at++] = ',';
        to[at++] = digits[i];
    }
    to[at] = 0;
    return to;
}

static void format_scaled(char to[FORMAT_BYTES], double value, const char *unit)
{
    int decimals = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
    snprintf(to, FORMAT_BYTES, "%.*f%s", decimals, value, unit);
}

const char *format_duration(char to[FORMAT_BYTES], uint64_t ns)
{
    if (ns < 1000)
        snprintf(to, FORMAT_BYTES, "%u ns", (unsigned)ns);
    else if (ns < 1000000)
        format_scaled(to, (double)ns / 1e3, " us");
    else if (ns < 1000000000)
        format_scaled(to, (double)ns / 1e6, " ms");
    else
        format_scaled(to, (double)ns / 1e9, " s");
    return to;
}

const char *format_us(char to[FORMAT_BYTES], double us)
{
    format_scaled(to, us, "");
    return to;
}
