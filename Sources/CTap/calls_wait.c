/* Calls that wait, and only that; those for processes are in calls_process.c. */
#include "tap_internal.h"
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/select.h>
#include <time.h>
#include <unistd.h>

/* What select is asked about: the first 256 bits of the readable set, and of the writable one. Call.selected reads it. */
static void note_sets(struct tap_span *span, const fd_set *readable, const fd_set *writable) {
    enum { HALF = TAP_DATA / 2 };
    char sets[TAP_DATA] = {0};
    if (readable) memcpy(sets, readable, HALF);
    if (writable) memcpy(sets + HALF, writable, HALF);
    tap_data(span, sets, sizeof sets);
}

/* select without a wait, which leaves the sets alone if nothing is ready. */
static int look(int count, fd_set *readable, fd_set *writable, fd_set *exceptional) {
    if (count > FD_SETSIZE) return 0; /* sets larger than ours */
    fd_set *given[] = {readable, writable, exceptional}, copies[3];
    for (int i = 0; i < 3; i++)
        if (given[i]) copies[i] = *given[i];
    struct timeval none = {0};
    int found = REAL(select)(count, readable ? &copies[0] : NULL, writable ? &copies[1] : NULL,
                             exceptional ? &copies[2] : NULL, &none);
    for (int i = 0; i < 3 && found > 0; i++)
        if (given[i]) *given[i] = copies[i];
    return found;
}

/* argument: number of descriptors, timeout in ms (-1: for ever); descriptor: the only one that poll waits for */
int select(int count, fd_set *readable, fd_set *writable, fd_set *exceptional, struct timeval *timeout) {
    if (!RECORDED) return REAL(select)(count, readable, writable, exceptional, timeout);
    struct tap_span span = tap_begin(TAP_select, -1);
    span.record.argument[0] = count;
    span.record.argument[1] = timeout ? timeout->tv_sec * 1000 + timeout->tv_usec / 1000 : -1;
    note_sets(&span, readable, writable);
    tap_enter(&span, 0);
    int result = TAP_WAIT(span, look(count, readable, writable, exceptional),
                          REAL(select)(count, readable, writable, exceptional, timeout));
    if (span.record.perturbed && timeout) tap_shorten_select(timeout);
    tap_leave(&span, result);
    return result;
}

int pselect(int count, fd_set *readable, fd_set *writable, fd_set *exceptional, const struct timespec *timeout,
            const sigset_t *mask) {
    if (!RECORDED) return REAL(pselect)(count, readable, writable, exceptional, timeout, mask);
    struct tap_span span = tap_begin(TAP_pselect, -1);
    span.record.argument[0] = count;
    span.record.argument[1] = timeout ? timeout->tv_sec * 1000 + timeout->tv_nsec / 1000000 : -1;
    note_sets(&span, readable, writable);
    tap_enter(&span, 0);
    int result = TAP_WAIT(span, look(count, readable, writable, exceptional),
                          REAL(pselect)(count, readable, writable, exceptional, timeout, mask));
    tap_leave(&span, result);
    return result;
}

int poll(struct pollfd *descriptors, nfds_t count, int timeout) {
    if (!RECORDED) return REAL(poll)(descriptors, count, timeout);
    int only = count == 1 && descriptors ? descriptors[0].fd : -1;
    struct tap_span span = tap_begin_wait(TAP_poll, only, count, timeout);
    int result = TAP_WAIT(span, REAL(poll)(descriptors, count, 0), REAL(poll)(descriptors, count, timeout));
    tap_leave(&span, result);
    return result;
}

/* argument: ms */
unsigned sleep(unsigned seconds) {
    if (!RECORDED) return REAL(sleep)(seconds);
    struct tap_span span = tap_begin(TAP_sleep, -1);
    span.record.argument[0] = (int64_t)seconds * 1000;
    tap_enter(&span, 0);
    unsigned left = REAL(sleep)(seconds);
    tap_leave(&span, left);
    return left;
}

int usleep(useconds_t microseconds) {
    if (!RECORDED) return REAL(usleep)(microseconds);
    return TAP_PLAIN(usleep, -1, microseconds / 1000, 0, REAL(usleep)(microseconds));
}

int nanosleep(const struct timespec *time, struct timespec *left) {
    if (!RECORDED) return REAL(nanosleep)(time, left);
    int64_t wait = time ? time->tv_sec * 1000 + time->tv_nsec / 1000000 : 0;
    return TAP_PLAIN(nanosleep, -1, wait, 0, REAL(nanosleep)(time, left));
}

/* argument, once it has returned: where the list begins */
int getaddrinfo(const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
    if (!RECORDED) return REAL(getaddrinfo)(host, service, hints, found);
    struct tap_span span = tap_begin(TAP_getaddrinfo, -1);
    tap_enter(&span, 0);
    /* The result is the error: a plan's number is returned as it is. */
    int result = span.fault.error ? span.fault.error : REAL(getaddrinfo)(host, service, hints, found);
    for (int i = 1; i >= 0 && result == 0; i--) {
        struct addrinfo *also;
        if (!span.fault.also[i] || REAL(getaddrinfo)(span.fault.also[i], service, hints, &also) != 0) continue;
        /* Two lists in a row are one list to whoever follows ai_next, freeaddrinfo among them. */
        struct addrinfo *last = also;
        while (last->ai_next) last = last->ai_next;
        last->ai_next = *found;
        *found = also;
    }
    if (result == 0) span.record.argument[0] = (int64_t)(intptr_t)*found;
    tap_leave(&span, result);
    return result;
}

/* argument: the list that is given back */
void freeaddrinfo(struct addrinfo *list) {
    if (!RECORDED) {
        REAL(freeaddrinfo)(list);
        return;
    }
    struct tap_span span = tap_begin(TAP_freeaddrinfo, -1);
    span.record.argument[0] = (int64_t)(intptr_t)list;
    tap_enter(&span, 0);
    REAL(freeaddrinfo)(list);
    tap_leave(&span, 0);
}
