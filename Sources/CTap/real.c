/* libc's own definitions of the calls that this program defines too. Apart from the rest because RTLD_NEXT needs
   _GNU_SOURCE, which changes the types of the calls that the other files define. */
#define _GNU_SOURCE
#include "tap_record.h"
#include <dlfcn.h>
#include <stdlib.h>

#include "real.h"

#define X(name) #name,
static const char *const names[] = {TAP_CALLS(X) TAP_GUARDED(X)};
#undef X

void *tap_real_calls[TAP_REAL_COUNT];

void *tap_real(int call) {
    void *found = dlsym(RTLD_NEXT, names[call]);
    if (!found) abort(); /* called, and libc has no such call: nothing can go on */
    __atomic_store_n(&tap_real_calls[call], found, __ATOMIC_RELAXED);
    return found;
}

void tap_find_real_calls(void) {
    for (int call = 0; call < TAP_REAL_COUNT; call++)
        __atomic_store_n(&tap_real_calls[call], dlsym(RTLD_NEXT, names[call]), __ATOMIC_RELAXED);
}
