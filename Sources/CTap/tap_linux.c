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

/* unix(7): neither end of a pair has a name, and its SO_PEERCRED is who made it. */
bool tap_is_own_pair(int descriptor) {
    struct sockaddr_storage name;
    socklen_t length = sizeof name;
    if (REAL(getsockname)(descriptor, (struct sockaddr *)&name, &length) == -1 || name.ss_family != AF_UNIX ||
        length > sizeof name.ss_family)
        return false;
    length = sizeof name;
    if (REAL(getpeername)(descriptor, (struct sockaddr *)&name, &length) == -1 || length > sizeof name.ss_family)
        return false;
    struct { pid_t process; uid_t user; gid_t group; } maker; /* struct ucred, which only _GNU_SOURCE declares */
    length = sizeof maker;
    if (REAL(getsockopt)(descriptor, SOL_SOCKET, SO_PEERCRED, &maker, &length) == -1) return false;
    return maker.process > 0 && !tap_is_protected(maker.process);
}

/* select(2) leaves in `timeout` what is left of it, also when it is interrupted. Who gives it that again does not wait
   too long, and must not with interruptions of ours. */
void tap_shorten_select(struct timeval *timeout) {
    REAL(nanosleep)(&(struct timespec){.tv_nsec = 1000000}, NULL);
    if (timeout->tv_usec >= 1000) timeout->tv_usec -= 1000;
    else if (timeout->tv_sec > 0) *timeout = (struct timeval){timeout->tv_sec - 1, timeout->tv_usec + 999000};
    else timeout->tv_usec = 0;
}
#endif
