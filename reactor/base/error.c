/* error.c - the sentences of the error codes. */
#include "reactor/base/error.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

const char *error_sentence(int code)
{
    switch (code) {
    case 0:
        return "done";
#define CASE(name, number, sentence)                                                                         \
    case TORC_E_##name:                                                                                      \
        return sentence;
        TORC_ERROR_LIST(CASE)
#undef CASE
    }
    if (code == -EMFILE)
        return "too many open files: raise the limit (ulimit -n, LimitNOFILE=)";
    const char *text = code > -1000 && code < 0 ? strerrordesc_np(-code) : NULL;
    return text ? text : "an error without a name";
}

const char *error_name(int code)
{
    static const struct {
        int code;
        const char *name;
    } names[] = {
#define ROW(name, number, sentence) {TORC_E_##name, #name},
        TORC_ERROR_LIST(ROW)
#undef ROW
    };
    if (code == 0)
        return "OK";
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (names[i].code == code)
            return names[i].name;
    return "SYSTEM";
}

bool error_is_shortage(int code)
{
    return code == -EMFILE || code == -ENFILE || code == -ENOMEM || code == -ENOBUFS ||
           code == TORC_E_NO_MEMORY;
}

bool error_is_loss(int code)
{
    return code == TORC_E_CORRUPT || code == TORC_E_STORAGE || code == -EIO || code == -ENOENT;
}

bool error_is_disk_full(int code)
{
    return code == -ENOSPC || code == -EDQUOT || code == TORC_E_DISK_FULL;
}

uint8_t error_to_status(int code)
{
    if (code == 0)
        return 0;
    if (code <= -1001 && code >= -1255)
        return (uint8_t)(-code - 1000);
    return (uint8_t)(-TORC_E_STORAGE - 1000);
}

int error_of_status(uint8_t status)
{
    return status == 0 ? 0 : -1000 - (int)status;
}
