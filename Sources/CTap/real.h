/* The real calls: libc's, found once and kept. */
#ifndef TAP_REAL_H
#define TAP_REAL_H

#include "tap_record.h"

/* Calls that are defined here to keep the program away from what is the lab's, and are not recorded. */
#define TAP_GUARDED(X) X(fcntl64) X(killpg) X(posix_spawn) X(posix_spawnp)

enum {
    tap_before_guarded = TAP_CALL_COUNT - 1,
#define X(name) TAP_##name,
    TAP_GUARDED(X)
#undef X
        TAP_REAL_COUNT
};

extern void *tap_real_calls[TAP_REAL_COUNT];
void *tap_real(int call);

/* dlsym takes locks, which a signal handler or a forked child must not wait for: so all calls are looked up before the
   program's own code runs. Those that this system does not have stay unknown. */
void tap_find_real_calls(void);

/* The definition of `name` after ours in the order of the libraries (dlsym(3), RTLD_NEXT). Looked up at the first call
   where that comes before tap_find_real_calls: libraries make calls while they are loaded. */
#define REAL(name)                                                                                                     \
    ({                                                                                                                 \
        void *real = __atomic_load_n(&tap_real_calls[TAP_##name], __ATOMIC_RELAXED);                                   \
        if (__builtin_expect(!real, 0)) real = tap_real(TAP_##name);                                                   \
        (__typeof__(&name))real;                                                                                       \
    })

#endif
