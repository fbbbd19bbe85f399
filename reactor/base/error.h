/* error.h - every error of torc's own, once: its name, its number and its sentence.
 *
 * Functions return 0 or a negative code. The system's are -errno (above -1000); ours are -(1000 + number).
 * The number alone, 1 to 255, is also the status byte of a native response, so a code goes over the wire
 * without a table. Numbers are never reused or changed. */
#ifndef REACTOR_BASE_ERROR_H
#define REACTOR_BASE_ERROR_H

#include <stdbool.h>
#include <stdint.h>

/* X(NAME, number, sentence) */
#define TORC_ERROR_LIST(X)                                                                                   \
    X(NOT_FOUND, 1, "there is no such key")                                                                  \
    X(KEY_EMPTY, 2, "the key is empty; a key has 1 to 1,024 bytes")                                          \
    X(KEY_TOO_LONG, 3, "the key is too long; a key has 1 to 1,024 bytes")                                    \
    X(VALUE_TOO_LARGE, 4, "the value is too large; a value has at most 1,048,576 bytes")                     \
    X(UNKNOWN_OPERATION, 5, "the operation is not known to this server")                                     \
    X(PROTOCOL_VERSION, 6, "the protocol version is not spoken by this server")                              \
    X(FRAME_LENGTH, 7, "the lengths in the frame contradict each other")                                     \
    X(FRAME_TOO_LARGE, 8, "the frame is larger than any request may be")                                     \
    X(CHECKSUM, 9, "the check of the frame does not match its bytes")                                        \
    X(HELLO_REQUIRED, 10, "the first frame of a connection must be a hello")                                 \
    X(MALFORMED, 11, "the request is malformed")                                                             \
    X(NAMESPACE_UNKNOWN, 12, "there is no such namespace")                                                   \
    X(TIMEOUT, 13, "the deadline passed; whether the operation took effect is unknown")                      \
    X(OVERLOADED, 14, "the server has no room for this request now; it did nothing, try again")              \
    X(DISK_FULL, 15, "the disk is full; writes are refused until there is room, reads go on")                \
    X(STORAGE, 16, "the storage failed; the shard takes no writes")                                          \
    X(CORRUPT, 17, "stored data failed its checksum and was not served")                                     \
    X(UNKNOWN, 18, "unknown: the log failed in this write, or what it has of this key may be damaged")       \
    X(SUPERSEDED, 19, "a newer version of the key is already held")                                          \
    X(SHUTTING_DOWN, 20, "the server is shutting down; the request did nothing")                             \
    X(FUTURE_VERSION, 21, "the version is too far in the future; check the clocks")                          \
    X(DISCONNECTED, 22, "the connection was lost; whether the operation took effect is unknown")             \
    X(CANNOT_CONNECT, 23, "cannot connect to the server")                                                    \
    X(NO_MEMORY, 24, "out of memory")                                                                        \
    X(DATA_FORMAT, 25, "the data directory is of another format version")                                    \
    X(IN_USE, 26, "the data directory is in use by another process")                                         \
    X(CANCELLED, 27, "the operation was cancelled")                                                          \
    X(CLOSED, 28, "the peer closed the connection")                                                          \
    X(UNSUPPORTED, 29, "this system lacks what torc needs")                                                  \
    X(CONFIGURATION, 30, "the configuration is wrong")                                                       \
    X(VIEW_ENDED, 31, "the snapshot of this scan has ended: unused, or too much in memory; begin it anew")   \
    X(SHARD_FULL, 32, "the shard has as many tables as it can name; merges may make room, or more cores")

enum torc_error {
#define TORC_ERROR_ENUM(name, number, sentence) TORC_E_##name = -(1000 + (number)),
    TORC_ERROR_LIST(TORC_ERROR_ENUM)
#undef TORC_ERROR_ENUM
};

/* The sentence of a code, ours or -errno; for 0 "done". Never null; the text is static or of the C
 * library. */
const char *error_sentence(int code);

/* The name of one of our codes as users see it in logs and JSON ("DISK_FULL"); "SYSTEM" for -errno, "OK"
 * for 0. */
const char *error_name(int code);

/* Whether the process or the system is out of descriptors or of memory, which comes and goes: it says nothing
 * of the disk. */
bool error_is_shortage(int code);

/* Whether a file that should be there is gone, or the disk does not give back what was written. All else, as
 * a want of memory, of descriptors or of rights, says nothing of the data: another try may find it whole. */
bool error_is_loss(int code);

/* Whether what was to be written found no room, the disk's or a quota's: it may later. */
bool error_is_disk_full(int code);

/* Between a code and the status byte of a response. A system's code, which no peer could read, becomes
 * STORAGE. */
uint8_t error_to_status(int code);
int error_of_status(uint8_t status);

#endif
