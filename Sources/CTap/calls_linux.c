/* The calls that only Linux has. */
#ifdef __linux__
#include "tap_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/epoll.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <unistd.h>

/* <sys/socket.h> and <unistd.h> declare these only with _GNU_SOURCE, which changes the types of the others. */
int accept4(int fd, struct sockaddr *address, socklen_t *length, int flags);
int dup3(int fd, int number, int flags);
int ppoll(struct pollfd *descriptors, nfds_t count, const struct timespec *timeout, const sigset_t *mask);
int close_range(unsigned first, unsigned last, int flags);
void closefrom(int first);
int fcntl64(int fd, int command, ...);

/* The same for programs that were compiled for large files: C code in libraries. */
int fcntl64(int fd, int command, ...) {
    va_list arguments;
    va_start(arguments, command);
    long argument = va_arg(arguments, long);
    va_end(arguments);
    REFUSE_HIDDEN(fd);
    return REAL(fcntl64)(fd, command, argument);
}

/* argument: flags */
int accept4(int fd, struct sockaddr *address, socklen_t *length, int flags) {
    REFUSE_HIDDEN(fd);
    if (!RECORDED) return REAL(accept4)(fd, address, length, flags);
    struct tap_span span = tap_begin(TAP_accept4, fd);
    span.record.argument[0] = flags;
    tap_enter(&span, 0);
    struct tap_peer peer = {.length = sizeof peer.storage};
    socklen_t room = address && length ? *length : 0;
    int result = -1;
    if (span.fault.error) errno = span.fault.error;
    else if (address) result = REAL(accept4)(fd, address, length, flags);
    else result = REAL(accept4)(fd, TAP_PEER(peer), &peer.length, flags);
    if (result >= 0) tap_note_peer(&span, &peer, address, room, length);
    tap_leave(&span, result);
    return result;
}

int dup3(int fd, int number, int flags) {
    REFUSE_HIDDEN(fd);
    REFUSE_HIDDEN(number);
    if (!RECORDED) return REAL(dup3)(fd, number, flags);
    return TAP_PLAIN(dup3, fd, number, flags, REAL(dup3)(fd, number, flags));
}

/* close_range(2), or what it does, where the kernel is older than 5.9. */
static int close_all(unsigned first, unsigned last, int flags) {
    if (syscall(SYS_close_range, first, last, flags) == 0) return 0;
    if (errno != ENOSYS) return -1;
    long size = sysconf(_SC_OPEN_MAX);
    for (unsigned fd = first; fd <= last && (long)fd < size; fd++) {
        if (flags & CLOSE_RANGE_CLOEXEC) REAL(fcntl)((int)fd, F_SETFD, FD_CLOEXEC);
        else REAL(close)((int)fd);
    }
    return 0;
}

/* Closes what is the program's in the range, around the lab's own descriptors. */
int close_range(unsigned first, unsigned last, int flags) {
    int hidden[TAP_MOST_HIDDEN];
    int count = __builtin_expect(tap_active, 0) ? tap_hidden_in_order(hidden) : 0;
    for (int i = 0; i < count && first <= last; i++) {
        unsigned next = (unsigned)hidden[i];
        if (next < first || next > last) continue;
        if (next > first && close_all(first, next - 1, flags) == -1) return -1;
        if (next == last) return 0;
        first = next + 1;
    }
    return close_all(first, last, flags);
}

void closefrom(int first) { close_range(first < 0 ? 0 : (unsigned)first, ~0u, 0); }

ssize_t sendfile(int to, int from, off_t *offset, size_t size) {
    REFUSE_HIDDEN(to);
    REFUSE_HIDDEN(from);
    if (!RECORDED) return REAL(sendfile)(to, from, offset, size);
    struct tap_span span = tap_begin(TAP_sendfile, to);
    span.record.length = size;
    tap_enter(&span, 0);
    ssize_t count = -1;
    if (span.fault.error) errno = span.fault.error;
    else count = REAL(sendfile)(to, from, offset, size < span.fault.most ? size : span.fault.most);
    tap_leave(&span, count);
    return count;
}

int ppoll(struct pollfd *descriptors, nfds_t count, const struct timespec *timeout, const sigset_t *mask) {
    if (!RECORDED) return REAL(ppoll)(descriptors, count, timeout, mask);
    int64_t wait = timeout ? timeout->tv_sec * 1000 + timeout->tv_nsec / 1000000 : -1;
    int only = count == 1 && descriptors ? descriptors[0].fd : -1;
    struct tap_span span = tap_begin_wait(TAP_ppoll, only, count, wait);
    int result = TAP_WAIT(span, REAL(poll)(descriptors, count, 0), REAL(ppoll)(descriptors, count, timeout, mask));
    tap_leave(&span, result);
    return result;
}

int epoll_create(int size) {
    if (!RECORDED) return REAL(epoll_create)(size);
    return TAP_PLAIN(epoll_create, -1, size, 0, REAL(epoll_create)(size));
}

int epoll_create1(int flags) {
    if (!RECORDED) return REAL(epoll_create1)(flags);
    return TAP_PLAIN(epoll_create1, -1, flags, 0, REAL(epoll_create1)(flags));
}

/* descriptor: the one that is watched; argument: operation, events */
int epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event) {
    REFUSE_HIDDEN(fd);
    if (!RECORDED) return REAL(epoll_ctl)(epoll, operation, fd, event);
    return TAP_PLAIN(epoll_ctl, fd, operation, event ? event->events : 0, REAL(epoll_ctl)(epoll, operation, fd, event));
}

/* The first of what is ready: pairs of events and what stands in data, which is the descriptor for most programs. */
static void note_ready(struct tap_span *span, const struct epoll_event *events, int count) {
    uint32_t pairs[TAP_DATA / 4] = {0};
    int kept = count < TAP_DATA / 8 ? count : TAP_DATA / 8;
    for (int i = 0; i < kept; i++) {
        pairs[2 * i] = events[i].events;
        pairs[2 * i + 1] = (uint32_t)events[i].data.u64;
    }
    if (kept > 0) tap_data(span, pairs, (size_t)kept * 8);
}

/* argument: room for events, timeout in ms */
int epoll_wait(int epoll, struct epoll_event *events, int room, int timeout) {
    if (!RECORDED) return REAL(epoll_wait)(epoll, events, room, timeout);
    struct tap_span span = tap_begin_wait(TAP_epoll_wait, epoll, room, timeout);
    int result = TAP_WAIT(span, REAL(epoll_wait)(epoll, events, room, 0),
                          REAL(epoll_wait)(epoll, events, room, timeout));
    note_ready(&span, events, result);
    tap_leave(&span, result);
    return result;
}

int epoll_pwait(int epoll, struct epoll_event *events, int room, int timeout, const sigset_t *mask) {
    if (!RECORDED) return REAL(epoll_pwait)(epoll, events, room, timeout, mask);
    struct tap_span span = tap_begin_wait(TAP_epoll_pwait, epoll, room, timeout);
    int result = TAP_WAIT(span, REAL(epoll_wait)(epoll, events, room, 0),
                          REAL(epoll_pwait)(epoll, events, room, timeout, mask));
    note_ready(&span, events, result);
    tap_leave(&span, result);
    return result;
}
#endif
