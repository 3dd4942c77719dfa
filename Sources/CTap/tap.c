/* The calls. Each is defined as libc declares it, records itself if the program made it, and calls the real one.
   Those that only Linux has are in tap_linux.c. */
#include "tap_internal.h"
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <fcntl.h>

/* The lab's own descriptors do not exist for the program, whoever calls. */
#define HIDDEN(fd) (__builtin_expect(tap_active, 0) && tap_is_hidden(fd))
#define REFUSE_HIDDEN(fd)                                                                                              \
    if (HIDDEN(fd)) {                                                                                                  \
        errno = EBADF;                                                                                                 \
        return -1;                                                                                                     \
    }

/* argument: family, type */
int socket(int family, int type, int protocol) {
    if (!RECORDED) return REAL(socket)(family, type, protocol);
    return TAP_PLAIN(socket, -1, family, type, REAL(socket)(family, type, protocol));
}

int socketpair(int family, int type, int protocol, int pair[2]) {
    if (!RECORDED) return REAL(socketpair)(family, type, protocol, pair);
    return TAP_PLAIN(socketpair, -1, family, type, REAL(socketpair)(family, type, protocol, pair));
}

int bind(int fd, const struct sockaddr *address, socklen_t length) {
    if (!RECORDED) return REAL(bind)(fd, address, length);
    struct tap_span span = tap_begin(TAP_bind, fd);
    span.record.length = length;
    tap_address(&span, address, length);
    tap_enter(&span, 0);
    int result = REAL(bind)(fd, address, length);
    if (result == 0) tap_local_address(&span);
    tap_leave(&span, result);
    return result;
}

/* argument: backlog */
int listen(int fd, int backlog) {
    if (!RECORDED) return REAL(listen)(fd, backlog);
    struct tap_span span = tap_begin(TAP_listen, fd);
    span.record.argument[0] = backlog;
    tap_enter(&span, 0);
    int result = REAL(listen)(fd, backlog);
    if (result == 0) tap_local_address(&span);
    tap_leave(&span, result);
    return result;
}

int accept(int fd, struct sockaddr *address, socklen_t *length) {
    if (!RECORDED) return REAL(accept)(fd, address, length);
    struct tap_span span = tap_begin(TAP_accept, fd);
    tap_enter(&span, 0);
    struct sockaddr_storage peer;
    socklen_t peer_length = sizeof peer;
    int result = -1;
    if (span.fault.error) errno = span.fault.error;
    else result = REAL(accept)(fd, address, length);
    if (result >= 0 && REAL(getpeername)(result, (struct sockaddr *)&peer, &peer_length) == 0)
        tap_address(&span, (struct sockaddr *)&peer, peer_length);
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
    if (!RECORDED) return REAL(connect)(fd, address, length);
    struct tap_span span = tap_begin(TAP_connect, fd);
    span.record.length = length;
    tap_address(&span, address, length);
    tap_enter(&span, 0);
    int result = -1;
    if (span.fault.error == EINTR) result = connect_interrupted(fd, address, length);
    else if (span.fault.error) errno = span.fault.error;
    else result = REAL(connect)(fd, address, length);
    if (result == 0) tap_local_address(&span);
    tap_leave(&span, result);
    return result;
}

static size_t at_most(size_t length, struct tap_fault fault) { return length < fault.most ? length : fault.most; }

/* argument: flags */
ssize_t recv(int fd, void *buffer, size_t size, int flags) {
    if (!RECORDED) return REAL(recv)(fd, buffer, size, flags);
    REFUSE_HIDDEN(fd);
    struct tap_span span = tap_begin(TAP_recv, fd);
    span.record.length = size;
    span.record.argument[0] = flags;
    tap_enter(&span, flags);
    ssize_t count = -1;
    if (span.fault.error) errno = span.fault.error;
    else count = REAL(recv)(fd, buffer, at_most(size, span.fault), flags);
    if (count > 0) tap_data(&span, buffer, (size_t)count < size ? (size_t)count : size);
    tap_leave(&span, count);
    return count;
}

/* argument: flags, the length of the room for the address (-1: none wanted) */
ssize_t recvfrom(int fd, void *buffer, size_t size, int flags, struct sockaddr *address, socklen_t *length) {
    if (!RECORDED) return REAL(recvfrom)(fd, buffer, size, flags, address, length);
    REFUSE_HIDDEN(fd);
    struct tap_span span = tap_begin(TAP_recvfrom, fd);
    span.record.length = size;
    span.record.argument[0] = flags;
    span.record.argument[1] = address && length ? (int64_t)*length : -1;
    tap_enter(&span, flags);
    ssize_t count = -1;
    /* Asked for even if the program does not want it, so that the timeline can name the peer. */
    struct sockaddr_storage peer = {0};
    socklen_t peer_length = sizeof peer;
    if (span.fault.error) errno = span.fault.error;
    else if (address) count = REAL(recvfrom)(fd, buffer, at_most(size, span.fault), flags, address, length);
    else count = REAL(recvfrom)(fd, buffer, at_most(size, span.fault), flags, (struct sockaddr *)&peer, &peer_length);
    if (count >= 0) {
        tap_data(&span, buffer, (size_t)count < size ? (size_t)count : size);
        if (address && length && span.record.argument[1] >= 0) {
            socklen_t room = (socklen_t)span.record.argument[1];
            tap_address(&span, address, *length < room ? *length : room);
        } else if (!address && peer.ss_family) tap_address(&span, (struct sockaddr *)&peer, peer_length);
    }
    tap_leave(&span, count);
    return count;
}

/* The same buffers, together at most `most` bytes long. */
static int shorten(const struct iovec *vector, int count, size_t most, struct iovec *shorter, int room) {
    int used = 0;
    for (int i = 0; i < count && i < room && most > 0; i++, used++) {
        shorter[i] = vector[i];
        if (shorter[i].iov_len > most) shorter[i].iov_len = most;
        most -= shorter[i].iov_len;
    }
    return used;
}

static size_t total(const struct iovec *vector, size_t count) {
    size_t sum = 0;
    for (size_t i = 0; i < count; i++) sum += vector[i].iov_len;
    return sum;
}

ssize_t recvmsg(int fd, struct msghdr *message, int flags) {
    if (!RECORDED) return REAL(recvmsg)(fd, message, flags);
    REFUSE_HIDDEN(fd);
    struct tap_span span = tap_begin(TAP_recvmsg, fd);
    span.record.length = total(message->msg_iov, message->msg_iovlen);
    span.record.argument[0] = flags;
    span.record.argument[1] = message->msg_name ? (int64_t)message->msg_namelen : -1;
    tap_enter(&span, flags);
    ssize_t count = -1;
    if (span.fault.error) errno = span.fault.error;
    else if (span.fault.most < span.record.length) {
        struct iovec shorter[64];
        struct msghdr copy = *message;
        copy.msg_iov = shorter;
        copy.msg_iovlen = (size_t)shorten(message->msg_iov, (int)message->msg_iovlen, span.fault.most, shorter, 64);
        count = REAL(recvmsg)(fd, &copy, flags);
        message->msg_namelen = copy.msg_namelen;
        message->msg_controllen = copy.msg_controllen;
        message->msg_flags = copy.msg_flags;
    } else count = REAL(recvmsg)(fd, message, flags);
    if (count >= 0) {
        tap_data_vector(&span, message->msg_iov, message->msg_iovlen, (size_t)count);
        tap_address(&span, message->msg_name, message->msg_namelen);
    }
    tap_leave(&span, count);
    return count;
}

/* read and write are recorded on sockets, pipes and event descriptors, not on files and what the student prints. */
static bool is_stream(int fd) { return fd != 1 && fd != 2 && REAL(lseek)(fd, 0, SEEK_CUR) == -1; }

ssize_t read(int fd, void *buffer, size_t size) {
    if (!RECORDED) return REAL(read)(fd, buffer, size);
    REFUSE_HIDDEN(fd);
    if (!is_stream(fd)) return REAL(read)(fd, buffer, size);
    struct tap_span span = tap_begin(TAP_read, fd);
    span.record.length = size;
    tap_enter(&span, 0);
    ssize_t count = -1;
    if (span.fault.error) errno = span.fault.error;
    else count = REAL(read)(fd, buffer, at_most(size, span.fault));
    if (count > 0) tap_data(&span, buffer, (size_t)count);
    tap_leave(&span, count);
    return count;
}

ssize_t readv(int fd, const struct iovec *vector, int vector_count) {
    if (!RECORDED) return REAL(readv)(fd, vector, vector_count);
    REFUSE_HIDDEN(fd);
    if (!is_stream(fd)) return REAL(readv)(fd, vector, vector_count);
    struct tap_span span = tap_begin(TAP_readv, fd);
    span.record.length = total(vector, (size_t)vector_count);
    tap_enter(&span, 0);
    ssize_t count = -1;
    struct iovec shorter[64];
    if (span.fault.error) errno = span.fault.error;
    else if (span.fault.most < span.record.length)
        count = REAL(readv)(fd, shorter, shorten(vector, vector_count, span.fault.most, shorter, 64));
    else count = REAL(readv)(fd, vector, vector_count);
    if (count > 0) tap_data_vector(&span, vector, (size_t)vector_count, (size_t)count);
    tap_leave(&span, count);
    return count;
}

/* argument: flags */
ssize_t send(int fd, const void *buffer, size_t size, int flags) {
    if (!RECORDED) return REAL(send)(fd, buffer, size, flags);
    REFUSE_HIDDEN(fd);
    struct tap_span span = tap_begin(TAP_send, fd);
    span.record.length = size;
    span.record.argument[0] = flags;
    tap_data(&span, buffer, size);
    tap_enter(&span, flags);
    ssize_t count = -1;
    if (span.fault.error) errno = span.fault.error;
    else count = REAL(send)(fd, buffer, at_most(size, span.fault), flags);
    tap_leave(&span, count);
    return count;
}

ssize_t sendto(int fd, const void *buffer, size_t size, int flags, const struct sockaddr *address, socklen_t length) {
    if (!RECORDED) return REAL(sendto)(fd, buffer, size, flags, address, length);
    REFUSE_HIDDEN(fd);
    struct tap_span span = tap_begin(TAP_sendto, fd);
    span.record.length = size;
    span.record.argument[0] = flags;
    tap_data(&span, buffer, size);
    tap_address(&span, address, length);
    tap_enter(&span, flags);
    ssize_t count = -1;
    if (span.fault.error) errno = span.fault.error;
    else count = REAL(sendto)(fd, buffer, at_most(size, span.fault), flags, address, length);
    tap_leave(&span, count);
    return count;
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
    if (!RECORDED) return REAL(sendmsg)(fd, message, flags);
    REFUSE_HIDDEN(fd);
    struct tap_span span = tap_begin(TAP_sendmsg, fd);
    span.record.length = total(message->msg_iov, message->msg_iovlen);
    span.record.argument[0] = flags;
    tap_data_vector(&span, message->msg_iov, message->msg_iovlen, span.record.length);
    tap_address(&span, message->msg_name, message->msg_namelen);
    tap_enter(&span, flags);
    ssize_t count = -1;
    if (span.fault.error) errno = span.fault.error;
    else if (span.fault.most < span.record.length) {
        struct iovec shorter[64];
        struct msghdr copy = *message;
        copy.msg_iov = shorter;
        copy.msg_iovlen = (size_t)shorten(message->msg_iov, (int)message->msg_iovlen, span.fault.most, shorter, 64);
        count = REAL(sendmsg)(fd, &copy, flags);
    } else count = REAL(sendmsg)(fd, message, flags);
    tap_leave(&span, count);
    return count;
}

ssize_t write(int fd, const void *buffer, size_t size) {
    if (!RECORDED) return REAL(write)(fd, buffer, size);
    REFUSE_HIDDEN(fd);
    if (!is_stream(fd)) return REAL(write)(fd, buffer, size);
    struct tap_span span = tap_begin(TAP_write, fd);
    span.record.length = size;
    tap_data(&span, buffer, size);
    tap_enter(&span, 0);
    ssize_t count = -1;
    if (span.fault.error) errno = span.fault.error;
    else count = REAL(write)(fd, buffer, at_most(size, span.fault));
    tap_leave(&span, count);
    return count;
}

ssize_t writev(int fd, const struct iovec *vector, int vector_count) {
    if (!RECORDED) return REAL(writev)(fd, vector, vector_count);
    REFUSE_HIDDEN(fd);
    if (!is_stream(fd)) return REAL(writev)(fd, vector, vector_count);
    struct tap_span span = tap_begin(TAP_writev, fd);
    span.record.length = total(vector, (size_t)vector_count);
    tap_data_vector(&span, vector, (size_t)vector_count, span.record.length);
    tap_enter(&span, 0);
    ssize_t count = -1;
    struct iovec shorter[64];
    if (span.fault.error) errno = span.fault.error;
    else if (span.fault.most < span.record.length)
        count = REAL(writev)(fd, shorter, shorten(vector, vector_count, span.fault.most, shorter, 64));
    else count = REAL(writev)(fd, vector, vector_count);
    tap_leave(&span, count);
    return count;
}

int close(int fd) {
    if (HIDDEN(fd)) {
        errno = EBADF;
        return -1;
    }
    if (!RECORDED) return REAL(close)(fd);
    return TAP_PLAIN(close, fd, 0, 0, REAL(close)(fd));
}

/* argument: how */
int shutdown(int fd, int how) {
    if (!RECORDED) return REAL(shutdown)(fd, how);
    REFUSE_HIDDEN(fd);
    return TAP_PLAIN(shutdown, fd, how, 0, REAL(shutdown)(fd, how));
}

/* argument: number of descriptors, timeout in ms (-1: for ever) */
int select(int count, fd_set *readable, fd_set *writable, fd_set *exceptional, struct timeval *timeout) {
    if (!RECORDED) return REAL(select)(count, readable, writable, exceptional, timeout);
    int64_t wait = timeout ? timeout->tv_sec * 1000 + timeout->tv_usec / 1000 : -1;
    return TAP_PLAIN(select, -1, count, wait, REAL(select)(count, readable, writable, exceptional, timeout));
}

int pselect(int count, fd_set *readable, fd_set *writable, fd_set *exceptional, const struct timespec *timeout,
            const sigset_t *mask) {
    if (!RECORDED) return REAL(pselect)(count, readable, writable, exceptional, timeout, mask);
    int64_t wait = timeout ? timeout->tv_sec * 1000 + timeout->tv_nsec / 1000000 : -1;
    return TAP_PLAIN(pselect, -1, count, wait, REAL(pselect)(count, readable, writable, exceptional, timeout, mask));
}

int poll(struct pollfd *descriptors, nfds_t count, int timeout) {
    if (!RECORDED) return REAL(poll)(descriptors, count, timeout);
    return TAP_PLAIN(poll, count == 1 ? descriptors[0].fd : -1, count, timeout, REAL(poll)(descriptors, count, timeout));
}

/* argument: level, option */
int setsockopt(int fd, int level, int option, const void *value, socklen_t length) {
    if (!RECORDED) return REAL(setsockopt)(fd, level, option, value, length);
    REFUSE_HIDDEN(fd);
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
    if (!RECORDED) return REAL(getsockopt)(fd, level, option, value, length);
    REFUSE_HIDDEN(fd);
    return TAP_PLAIN(getsockopt, fd, level, option, REAL(getsockopt)(fd, level, option, value, length));
}

int getsockname(int fd, struct sockaddr *address, socklen_t *length) {
    if (!RECORDED) return REAL(getsockname)(fd, address, length);
    return TAP_PLAIN(getsockname, fd, 0, 0, REAL(getsockname)(fd, address, length));
}

int getpeername(int fd, struct sockaddr *address, socklen_t *length) {
    if (!RECORDED) return REAL(getpeername)(fd, address, length);
    return TAP_PLAIN(getpeername, fd, 0, 0, REAL(getpeername)(fd, address, length));
}

/* argument: command, its argument */
int fcntl(int fd, int command, ...) {
    va_list arguments;
    va_start(arguments, command);
    long argument = va_arg(arguments, long);
    va_end(arguments);
    if (!RECORDED) return REAL(fcntl)(fd, command, argument);
    REFUSE_HIDDEN(fd);
    return TAP_PLAIN(fcntl, fd, command, argument, REAL(fcntl)(fd, command, argument));
}

/* argument: request */
int ioctl(int fd, unsigned long request, ...) {
    va_list arguments;
    va_start(arguments, request);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    if (!RECORDED) return REAL(ioctl)(fd, request, argument);
    REFUSE_HIDDEN(fd);
    return TAP_PLAIN(ioctl, fd, request, 0, REAL(ioctl)(fd, request, argument));
}

int dup(int fd) {
    if (!RECORDED) return REAL(dup)(fd);
    REFUSE_HIDDEN(fd);
    return TAP_PLAIN(dup, fd, 0, 0, REAL(dup)(fd));
}

/* argument: the new number */
int dup2(int fd, int number) {
    if (HIDDEN(number) || HIDDEN(fd)) {
        errno = EBADF;
        return -1;
    }
    if (!RECORDED) return REAL(dup2)(fd, number);
    return TAP_PLAIN(dup2, fd, number, 0, REAL(dup2)(fd, number));
}

pid_t fork(void) {
    if (!RECORDED) return REAL(fork)();
    struct tap_span span = tap_begin(TAP_fork, -1);
    tap_enter(&span, 0);
    pid_t process = -1;
    if (span.fault.error) errno = span.fault.error;
    else if (tap_child_allowed()) process = REAL(fork)();
    if (process == 0) return 0; /* the child's records begin with its own calls */
    if (process > 0) tap_child_started(process);
    tap_leave(&span, process);
    return process;
}

/* argument: which child, options */
pid_t waitpid(pid_t process, int *status, int options) {
    if (!RECORDED) return REAL(waitpid)(process, status, options);
    return TAP_PLAIN(waitpid, -1, process, options, REAL(waitpid)(process, status, options));
}

pid_t wait(int *status) {
    if (!RECORDED) return REAL(wait)(status);
    return TAP_PLAIN(wait, -1, 0, 0, REAL(wait)(status));
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

int getaddrinfo(const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
    if (!RECORDED) return REAL(getaddrinfo)(host, service, hints, found);
    struct tap_span span = tap_begin(TAP_getaddrinfo, -1);
    tap_enter(&span, 0);
    /* The result is the error: a plan's number is returned as it is. */
    int result = span.fault.error ? span.fault.error : REAL(getaddrinfo)(host, service, hints, found);
    tap_leave(&span, result);
    return result;
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*body)(void *), void *argument) {
    if (!RECORDED) return REAL(pthread_create)(thread, attributes, body, argument);
    return TAP_PLAIN(pthread_create, -1, 0, 0, REAL(pthread_create)(thread, attributes, body, argument));
}

/* argument: whom, signal */
int kill(pid_t process, int number) {
    if (!RECORDED) return REAL(kill)(process, number);
    return TAP_PLAIN(kill, -1, process, number, REAL(kill)(process, number));
}

/* argument: signal */
int sigaction(int number, const struct sigaction *action, struct sigaction *old) {
    if (!RECORDED) return REAL(sigaction)(number, action, old);
    return TAP_PLAIN(sigaction, -1, number, 0, REAL(sigaction)(number, action, old));
}

/* argument: signal, 1 if it is to be ignored */
__typeof__(signal(0, 0)) signal(int number, void (*handler)(int)) {
    if (!RECORDED) return REAL(signal)(number, handler);
    struct tap_span span = tap_begin(TAP_signal, -1);
    span.record.argument[0] = number;
    span.record.argument[1] = handler == SIG_IGN;
    tap_enter(&span, 0);
    __typeof__(signal(0, 0)) old = REAL(signal)(number, handler);
    tap_leave(&span, old == SIG_ERR ? -1 : 0);
    return old;
}
