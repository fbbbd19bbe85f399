/* codes.c - the codes of the public header are those of the rest of torc.
 *
 * torc.h stands alone in /usr/include, so it repeats the numbers of reactor/base/error.h. A code that is
 * missing there, or differs, does not compile here. */
#include "client/torc.h"
#include "reactor/base/error.h"
#include "wire/wire.h"

#define CODES_EQUAL(NAME, number, sentence)                                                                  \
    static_assert((int)TORC_##NAME == (int)TORC_E_##NAME, #NAME " differs");
TORC_ERROR_LIST(CODES_EQUAL)
#undef CODES_EQUAL

static_assert((int)TORC_KEY_BYTES_MAX == (int)FRAME_KEY_BYTES_MAX, "keys are as long as frames allow");
static_assert((int)TORC_VALUE_BYTES_MAX == (int)FRAME_VALUE_BYTES_MAX, "values are as large as frames allow");
static_assert((int)TORC_SCAN_LIMIT_MAX == (int)FRAME_SCAN_LIMIT_MAX, "pages are as long as frames allow");
static_assert((int)TORC_CURSOR_BYTES_MAX == (int)FRAME_CURSOR_BYTES_MAX,
              "cursors are as long as frames allow");
static_assert((int)TORC_WANT_VERSION == (int)FRAME_WANT_VERSION, "flags go into the frame as they are");
static_assert((int)TORC_KEYS_ONLY == (int)FRAME_KEYS_ONLY, "flags go into the frame as they are");
static_assert((int)TORC_REVERSE == (int)FRAME_REVERSE && (int)TORC_ORDERED == (int)FRAME_ORDERED &&
                  (int)TORC_SNAPSHOT == (int)FRAME_SNAPSHOT,
              "flags go into the frame as they are");

const char *torc_error_sentence(int code)
{
    return error_sentence(code);
}

const char *torc_error_name(int code)
{
    return error_name(code);
}
