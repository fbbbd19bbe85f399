/* format.h - numbers for people. */
#ifndef BENCH_FORMAT_H
#define BENCH_FORMAT_H

#include <stdint.h>

enum { FORMAT_BYTES = 40 };

/* "1,234,567". Returns: `to`. */
const char *format_count(char to[FORMAT_BYTES], double value);
/* "812 ns", "61.2 us", "3.14 ms", "1.02 s". */
const char *format_duration(char to[FORMAT_BYTES], uint64_t ns);
/* Microseconds with as many decimals as are worth it: "0.81", "61.2", "3140". */
const char *format_us(char to[FORMAT_BYTES], double us);

#endif
