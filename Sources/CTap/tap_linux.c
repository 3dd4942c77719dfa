/* The calls that only Linux has, where the program's code lies, and thread numbers. */
#ifdef __linux__
#include "tap_internal.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The linker puts these at both ends of the executable's code. */
extern const char __executable_start, etext;

bool tap_in_program(const void *code) {
    return (const char *)code >= &__executable_start && (const char *)code < &etext;
}

int tap_thread_id(void) { return (int)syscall(SYS_gettid); }

/* <sys/socket.h> and <unistd.h> declare these only with _GNU_SOURCE, which changes the types of the others. */
int accept4(int fd, struct sockaddr *address, socklen_t *length, int flags);
int dup3(int fd, int number, int flags);
int ppoll(struct pollfd *descriptors, nfds_t count, const struct timespec *timeout, const sigset_t *mask);
int close_range(unsigned first, unsigned last, int flags);
void closefrom(int first);
int fcntl64(int fd, int command, ...);

/* argument: flags */
int accept4(int fd, struct sockaddr *address, socklen_t *length, int flags) {
    if (!RECORDED) return REAL(accept4)(fd, address, length, flags);
    struct tap_span span = tap_begin(TAP_accept4, fd);
    span.record.argument[0] = flags;
    tap_enter(&span, 0);
    struct sockaddr_storage peer;
    socklen_t peer_length = sizeof peer;
    int result = -1;
    if (span.fault.error) errno = span.fault.error;
    else result = REAL(accept4)(fd, address, length, flags);
    if (result >= 0 && REAL(getpeername)(result, (struct sockaddr *)&peer, &peer_length) == 0)
        tap_address(&span, (struct sockaddr *)&peer, peer_length);
    tap_leave(&span, result);
    return result;
}

int dup3(int fd, int number, int flags) {
    if (tap_active && (tap_is_hidden(fd) || tap_is_hidden(number))) {
        errno = EBADF;
        return -1;
    }
    if (!RECORDED) return REAL(dup3)(fd, number, flags);
    return TAP_PLAIN(dup3, fd, number, flags, REAL(dup3)(fd, number, flags));
}

/* Closes what is the program's in the range, around the lab's own descriptors. */
int close_range(unsigned first, unsigned last, int flags) {
    if (!tap_active) return REAL(close_range)(first, last, flags);
    for (unsigned from = first; from <= last;) {
        unsigned next = last;
        bool found = false;
        for (unsigned fd = from; fd < 65536 && fd <= last && !found; fd++)
            if (tap_is_hidden((int)fd)) next = fd, found = true;
        if (!found) return REAL(close_range)(from, last, flags);
        if (next > from && REAL(close_range)(from, next - 1, flags) == -1) return -1;
        if (next == ~0u) break;
        from = next + 1;
    }
    return 0;
}

void closefrom(int first) { close_range((unsigned)first, ~0u, 0); }

ssize_t sendfile(int to, int from, off_t *offset, size_t size) {
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
    return TAP_PLAIN(ppoll, count == 1 ? descriptors[0].fd : -1, count, wait,
                     REAL(ppoll)(descriptors, count, timeout, mask));
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
    if (!RECORDED) return REAL(epoll_ctl)(epoll, operation, fd, event);
    return TAP_PLAIN(epoll_ctl, fd, operation, event ? event->events : 0, REAL(epoll_ctl)(epoll, operation, fd, event));
}

/* argument: room for events, timeout in ms */
int epoll_wait(int epoll, struct epoll_event *events, int room, int timeout) {
    if (!RECORDED) return REAL(epoll_wait)(epoll, events, room, timeout);
    return TAP_PLAIN(epoll_wait, epoll, room, timeout, REAL(epoll_wait)(epoll, events, room, timeout));
}

int epoll_pwait(int epoll, struct epoll_event *events, int room, int timeout, const sigset_t *mask) {
    if (!RECORDED) return REAL(epoll_pwait)(epoll, events, room, timeout, mask);
    return TAP_PLAIN(epoll_pwait, epoll, room, timeout, REAL(epoll_pwait)(epoll, events, room, timeout, mask));
}
#endif
