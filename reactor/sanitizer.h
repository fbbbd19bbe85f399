/* sanitizer.h - which sanitizer this build has, for the few places that must tell it something. */
#ifndef REACTOR_SANITIZER_H
#define REACTOR_SANITIZER_H

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define REACTOR_HAS_ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#define REACTOR_HAS_TSAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) && !defined(REACTOR_HAS_ASAN)
#define REACTOR_HAS_ASAN 1
#endif
#if defined(__SANITIZE_THREAD__) && !defined(REACTOR_HAS_TSAN)
#define REACTOR_HAS_TSAN 1
#endif
#ifndef REACTOR_HAS_ASAN
#define REACTOR_HAS_ASAN 0
#endif
#ifndef REACTOR_HAS_TSAN
#define REACTOR_HAS_TSAN 0
#endif

#if REACTOR_HAS_ASAN
#include <sanitizer/asan_interface.h>
#define POISON(memory, bytes) ASAN_POISON_MEMORY_REGION(memory, bytes)
#define UNPOISON(memory, bytes) ASAN_UNPOISON_MEMORY_REGION(memory, bytes)
#else
#define POISON(memory, bytes) ((void)(memory), (void)(bytes))
#define UNPOISON(memory, bytes) ((void)(memory), (void)(bytes))
#endif

#endif
