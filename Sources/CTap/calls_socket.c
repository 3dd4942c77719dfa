/* Calls on sockets and descriptors that move no bytes. Each call here and in the other files calls_*.c is defined as
   libc declares it, records itself if the program made it, and calls the real one. Those that only Linux has are in
   calls_linux.c. */
#include "tap_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* argument: family, type */
int socket(int family, int type, int protocol) {
    if (!RECORDED) return REAL(socket)(family, type, protocol);
    return TAP_PLAIN(socket, -1, family, type, REAL(socket)(family, type, protocol));
}

int socketpair(int family, int type, int protocol, int pair[2]) {
    if (!RECORDED) return REAL(socketpair)(family, type, protocol, pair);
    return TAP_PLAIN(socketpair, -1, family, type, REAL(socketpair)(family, type, protocol, pair));
}

/* SOCK_STREAM, SOCK_DGRAM…; 0 if it is not a socket. */
static int type_of(int fd) {
    int saved = errno, type = 0;
    socklen_t length = sizeof type;
    if (REAL(getsockopt)(fd, SOL_SOCKET, SO_TYPE, &type, &length) == -1) type = 0;
    errno = saved;
    return type;
}

/* argument: the socket's type, whoever made it */
int bind(int fd, const struct sockaddr *address, socklen_t length) {
    REFUSE_HIDDEN(fd);
    if (!RECORDED) return REAL(bind)(fd, address, length);
    struct tap_span span = tap_begin(TAP_bind, fd);
    span.record.length = length;
    span.record.argument[0] = type_of(fd);
    tap_address(&span, address, length);
    tap_enter(&span, 0);
    int result = REAL(bind)(fd, address, length);
    if (result == 0) tap_local_address(&span, fd);
    tap_leave(&span, result);
    return result;
}

/* argument: backlog, the socket's type */
int listen(int fd, int backlog) {
    REFUSE_HIDDEN(fd);
    if (!RECORDED) return REAL(listen)(fd, backlog);
    struct tap_span span = tap_begin(TAP_listen, fd);
    span.record.argument[0] = backlog;
    span.record.argument[1] = type_of(fd);
    tap_enter(&span, 0);
    int result = -1;
    if (span.fault.error) errno = span.fault.error;
    else result = REAL(listen)(fd, backlog);
    if (result == 0) tap_local_address(&span, fd);
    tap_leave(&span, result);
    return result;
}

int accept(int fd, struct sockaddr *address, socklen_t *length) {
    REFUSE_HIDDEN(fd);
    if (!RECORDED) return REAL(accept)(fd, address, length);
    struct tap_span span = tap_begin(TAP_accept, fd);
    tap_enter(&span, 0);
    struct tap_peer peer = {.length = sizeof peer.storage};
    socklen_t room = address && length ? *length : 0;
    int result = -1;
    if (span.fault.error) errno = span.fault.error;
    else if (address) result = REAL(accept)(fd, address, length);
    else result = REAL(accept)(fd, TAP_PEER(peer), &peer.length);
    if (result >= 0) tap_note_peer(&span, &peer, address, room, length);
    tap_leave(&span, result);
    return result;
}

/* An interrupted connect goes on without its caller, unlike all other calls: so it is really begun. */
static int connect_interrupted(int fd, const struct sockaddr *address, socklen_t length) {
    int flags = REAL(fcntl)(fd, F_GETFL);
    if (flags == -1 || REAL(fcntl)(fd, F_SETFL, flags | O_NONBLOCK) == -1) return -1;
    int result = REAL(connect)(fd, address, length);
    int error = errno;
    REAL(fcntl)(fd, F_SETFL, flags);
    errno = result == -1 && error == EINPROGRESS ? EINTR : error;
    return result;
}

int connect(int fd, const struct sockaddr *address, socklen_t length) {
    REFUSE_HIDDEN(fd);
    if (!RECORDED) return REAL(connect)(fd, address, length);
    struct tap_span span = tap_begin(TAP_connect, fd);
    span.record.length = length;
    tap_address(&span, address, length);
    tap_enter(&span, 0);
    int result = -1;
    if (span.fault.error == EINTR) result = connect_interrupted(fd, address, length);
    else if (span.fault.error) errno = span.fault.error;
    else result = REAL(connect)(fd, address, length);
    /* Known from the first packet on, whatever becomes of it. */
    if (result == 0 || errno == EINPROGRESS || errno == EINTR) tap_local_address(&span, fd);
    tap_leave(&span, result);
    return result;
}

int close(int fd) {
    REFUSE_HIDDEN(fd);
    if (!RECORDED) return REAL(close)(fd);
    return TAP_PLAIN(close, fd, 0, 0, REAL(close)(fd));
}

/* argument: how */
int shutdown(int fd, int how) {
    REFUSE_HIDDEN(fd);
    if (!RECORDED) return REAL(shutdown)(fd, how);
    return TAP_PLAIN(shutdown, fd, how, 0, REAL(shutdown)(fd, how));
}

/* argument: level, option */
int setsockopt(int fd, int level, int option, const void *value, socklen_t length) {
    REFUSE_HIDDEN(fd);
    if (!RECORDED) return REAL(setsockopt)(fd, level, option, value, length);
    struct tap_span span = tap_begin(TAP_setsockopt, fd);
    span.record.argument[0] = level;
    span.record.argument[1] = option;
    span.record.length = length;
    tap_data(&span, value, length);
    tap_enter(&span, 0);
    int result = REAL(setsockopt)(fd, level, option, value, length);
    tap_leave(&span, result);
    return result;
}

int getsockopt(int fd, int level, int option, void *value, socklen_t *length) {
    REFUSE_HIDDEN(fd);
    if (!RECORDED) return REAL(getsockopt)(fd, level, option, value, length);
    struct tap_span span = tap_begin(TAP_getsockopt, fd);
    span.record.argument[0] = level;
    span.record.argument[1] = option;
    tap_enter(&span, 0);
    socklen_t room = length ? *length : 0;
    int result = -1;
    if (span.fault.error) errno = span.fault.error;
    else result = REAL(getsockopt)(fd, level, option, value, length);
    if (result == 0 && value && length) tap_data(&span, value, *length < room ? *length : room);
    tap_leave(&span, result);
    return result;
}

int getsockname(int fd, struct sockaddr *address, socklen_t *length) {
    REFUSE_HIDDEN(fd);
    if (!RECORDED) return REAL(getsockname)(fd, address, length);
    struct tap_span span = tap_begin(TAP_getsockname, fd);
    tap_enter(&span, 0);
    socklen_t room = length ? *length : 0;
    int result = REAL(getsockname)(fd, address, length);
    if (result == 0) tap_address(&span, address, *length < room ? *length : room);
    tap_leave(&span, result);
    return result;
}

int getpeername(int fd, struct sockaddr *address, socklen_t *length) {
    REFUSE_HIDDEN(fd);
    if (!RECORDED) return REAL(getpeername)(fd, address, length);
    struct tap_span span = tap_begin(TAP_getpeername, fd);
    tap_enter(&span, 0);
    socklen_t room = length ? *length : 0;
    int result = REAL(getpeername)(fd, address, length);
    if (result == 0) tap_address(&span, address, *length < room ? *length : room);
    tap_leave(&span, result);
    return result;
}

/* argument: command, its argument if that is a number */
int fcntl(int fd, int command, ...) {
    /* libc itself takes a long whether one was passed or not: it uses it only where the command has an argument. */
    va_list arguments;
    va_start(arguments, command);
    long argument = va_arg(arguments, long);
    va_end(arguments);
    REFUSE_HIDDEN(fd);
    if (!RECORDED) return REAL(fcntl)(fd, command, argument);
    bool takes_number = command == F_SETFL || command == F_SETFD || command == F_DUPFD || command == F_DUPFD_CLOEXEC;
    return TAP_PLAIN(fcntl, fd, command, takes_number ? (int)argument : 0, REAL(fcntl)(fd, command, argument));
}

/* argument: request */
int ioctl(int fd, unsigned long request, ...) {
    va_list arguments;
    va_start(arguments, request);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    REFUSE_HIDDEN(fd);
    if (!RECORDED) return REAL(ioctl)(fd, request, argument);
    return TAP_PLAIN(ioctl, fd, request, 0, REAL(ioctl)(fd, request, argument));
}

int dup(int fd) {
    REFUSE_HIDDEN(fd);
    if (!RECORDED) return REAL(dup)(fd);
    return TAP_PLAIN(dup, fd, 0, 0, REAL(dup)(fd));
}

/* argument: the new number */
int dup2(int fd, int number) {
    REFUSE_HIDDEN(fd);
    REFUSE_HIDDEN(number);
    if (!RECORDED) return REAL(dup2)(fd, number);
    return TAP_PLAIN(dup2, fd, number, 0, REAL(dup2)(fd, number));
}
