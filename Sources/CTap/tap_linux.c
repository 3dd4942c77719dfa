/* Where the program's code lies, and thread numbers, on Linux. */
#ifdef __linux__
#include "tap_internal.h"
#include <sys/syscall.h>
#include <unistd.h>

/* The linker puts these at both ends of the executable's code. */
extern const char __executable_start, etext;

bool tap_in_program(const void *code) {
    return (const char *)code >= &__executable_start && (const char *)code < &etext;
}

int tap_thread_id(void) { return (int)syscall(SYS_gettid); }
#endif
