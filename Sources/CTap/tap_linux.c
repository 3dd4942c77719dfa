/* Where the program's code lies, and thread numbers, on Linux. */
#ifdef __linux__
#include "tap_internal.h"
#include <sys/select.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* The linker puts these at both ends of the executable's code. */
extern const char __executable_start, etext;

bool tap_in_program(const void *code) {
    return (const char *)code >= &__executable_start && (const char *)code < &etext;
}

int tap_thread_id(void) { return (int)syscall(SYS_gettid); }

/* select(2) leaves in `timeout` what is left of it, also when it is interrupted. Who gives it that again does not wait
   too long, and must not with interruptions of ours. */
void tap_shorten_select(struct timeval *timeout) {
    REAL(nanosleep)(&(struct timespec){.tv_nsec = 1000000}, NULL);
    if (timeout->tv_usec >= 1000) timeout->tv_usec -= 1000;
    else if (timeout->tv_sec > 0) *timeout = (struct timeval){timeout->tv_sec - 1, timeout->tv_usec + 999000};
    else timeout->tv_usec = 0;
}
#endif
