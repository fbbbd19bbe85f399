/* utf8.h - which bytes are a character of UTF-8: for text that others read back. */
#ifndef REACTOR_BASE_UTF8_H
#define REACTOR_BASE_UTF8_H

#include <stddef.h>
#include <stdint.h>

#define UTF8_REPLACEMENT "\xef\xbf\xbd" /* U+FFFD, for a byte that is of no character */

/* Returns: the bytes of the UTF-8 character at `p`, or 0 when there is none (RFC 3629, table 3-7 of Unicode).
 * Requires: left > 0. */
size_t utf8_bytes(const uint8_t *p, size_t left);

#endif
