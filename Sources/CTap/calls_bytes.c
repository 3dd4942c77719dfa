/* Calls that receive and send. */
#include "tap_internal.h"
#include <errno.h>
#include <sys/uio.h>
#include <unistd.h>

static size_t at_most(size_t length, struct tap_fault fault) { return length < fault.most ? length : fault.most; }

/* argument: flags */
ssize_t recv(int fd, void *buffer, size_t size, int flags) {
    REFUSE_HIDDEN(fd);
    if (!RECORDED) return REAL(recv)(fd, buffer, size, flags);
    struct tap_span span = tap_begin(TAP_recv, fd);
    span.record.length = size;
    span.record.argument[0] = flags;
    tap_enter(&span, flags);
    struct tap_peer peer = {.length = sizeof peer.storage};
    ssize_t count = -1;
    if (span.fault.error) errno = span.fault.error;
    else count = REAL(recvfrom)(fd, buffer, at_most(size, span.fault), flags, TAP_PEER(peer), &peer.length);
    if (count >= 0) {
        tap_data(&span, buffer, (size_t)count < size ? (size_t)count : size);
        tap_note_peer(&span, &peer, 0, 0, 0);
    }
    tap_leave(&span, count);
    return count;
}

/* argument: flags, the length of the room for the address (-1: none wanted) */
ssize_t recvfrom(int fd, void *buffer, size_t size, int flags, struct sockaddr *address, socklen_t *length) {
    REFUSE_HIDDEN(fd);
    if (!RECORDED) return REAL(recvfrom)(fd, buffer, size, flags, address, length);
    struct tap_span span = tap_begin(TAP_recvfrom, fd);
    span.record.length = size;
    span.record.argument[0] = flags;
    span.record.argument[1] = address && length ? (int64_t)*length : -1;
    tap_enter(&span, flags);
    struct tap_peer peer = {.length = sizeof peer.storage};
    socklen_t room = address && length ? *length : 0;
    ssize_t count = -1;
    if (span.fault.error) errno = span.fault.error;
    else if (address) count = REAL(recvfrom)(fd, buffer, at_most(size, span.fault), flags, address, length);
    else count = REAL(recvfrom)(fd, buffer, at_most(size, span.fault), flags, TAP_PEER(peer), &peer.length);
    if (count >= 0) {
        tap_data(&span, buffer, (size_t)count < size ? (size_t)count : size); /* MSG_TRUNC counts what did not fit */
        tap_note_peer(&span, &peer, address, room, length);
    }
    tap_leave(&span, count);
    return count;
}

enum { MOST_PARTS = 64 };

/* The same buffers, together at most `most` bytes long; returns how many of them there are. */
static size_t shorten(const struct iovec *vector, size_t count, size_t most, struct iovec shorter[MOST_PARTS]) {
    size_t used = 0;
    for (; used < count && used < MOST_PARTS && most > 0; used++) {
        shorter[used] = vector[used];
        if (shorter[used].iov_len > most) shorter[used].iov_len = most;
        most -= shorter[used].iov_len;
    }
    return used;
}

static size_t total(const struct iovec *vector, size_t count) {
    size_t sum = 0;
    for (size_t i = 0; vector && i < count; i++) sum += vector[i].iov_len;
    return sum;
}

ssize_t recvmsg(int fd, struct msghdr *message, int flags) {
    REFUSE_HIDDEN(fd);
    if (!RECORDED) return REAL(recvmsg)(fd, message, flags);
    if (!message) return TAP_PLAIN(recvmsg, fd, flags, -1, REAL(recvmsg)(fd, message, flags));
    struct tap_span span = tap_begin(TAP_recvmsg, fd);
    span.record.length = total(message->msg_iov, message->msg_iovlen);
    span.record.argument[0] = flags;
    span.record.argument[1] = message->msg_name ? (int64_t)message->msg_namelen : -1;
    tap_enter(&span, flags);
    struct msghdr asked = *message;
    struct tap_peer peer = {.length = 0};
    struct iovec shorter[MOST_PARTS];
    if (!message->msg_name) asked.msg_name = TAP_PEER(peer), asked.msg_namelen = sizeof peer.storage;
    if (span.fault.most < span.record.length) {
        asked.msg_iovlen = shorten(message->msg_iov, message->msg_iovlen, span.fault.most, shorter);
        asked.msg_iov = shorter;
    }
    ssize_t count = -1;
    if (span.fault.error) errno = span.fault.error;
    else count = REAL(recvmsg)(fd, &asked, flags);
    if (count >= 0) {
        if (message->msg_name) message->msg_namelen = asked.msg_namelen;
        else peer.length = asked.msg_namelen;
        message->msg_controllen = asked.msg_controllen;
        message->msg_flags = asked.msg_flags;
        tap_data_vector(&span, message->msg_iov, message->msg_iovlen, (size_t)count);
        tap_note_peer(&span, &peer, message->msg_name, (socklen_t)span.record.argument[1], &message->msg_namelen);
    }
    tap_leave(&span, count);
    return count;
}

/* read and write are recorded on sockets and pipes, not on files, on event descriptors (lseek(2) has no error for them,
   either), and on what the student prints. */
static bool is_stream(int fd) {
    int saved = errno;
    bool seeks = lseek(fd, 0, SEEK_CUR) != -1;
    errno = saved;
    return fd != 1 && fd != 2 && !seeks;
}

ssize_t read(int fd, void *buffer, size_t size) {
    REFUSE_HIDDEN(fd);
    if (!RECORDED) return REAL(read)(fd, buffer, size);
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
    REFUSE_HIDDEN(fd);
    if (!RECORDED) return REAL(readv)(fd, vector, vector_count);
    if (!is_stream(fd) || !vector || vector_count < 0) return REAL(readv)(fd, vector, vector_count);
    struct tap_span span = tap_begin(TAP_readv, fd);
    span.record.length = total(vector, (size_t)vector_count);
    tap_enter(&span, 0);
    ssize_t count = -1;
    struct iovec shorter[MOST_PARTS];
    if (span.fault.error) errno = span.fault.error;
    else if (span.fault.most < span.record.length)
        count = REAL(readv)(fd, shorter, (int)shorten(vector, (size_t)vector_count, span.fault.most, shorter));
    else count = REAL(readv)(fd, vector, vector_count);
    if (count > 0) tap_data_vector(&span, vector, (size_t)vector_count, (size_t)count);
    tap_leave(&span, count);
    return count;
}

/* argument: flags */
ssize_t send(int fd, const void *buffer, size_t size, int flags) {
    REFUSE_HIDDEN(fd);
    if (!RECORDED) return REAL(send)(fd, buffer, size, flags);
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
    REFUSE_HIDDEN(fd);
    if (!RECORDED) return REAL(sendto)(fd, buffer, size, flags, address, length);
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

/* argument: flags, the number of pieces */
ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
    REFUSE_HIDDEN(fd);
    if (!RECORDED) return REAL(sendmsg)(fd, message, flags);
    if (!message) return TAP_PLAIN(sendmsg, fd, flags, 0, REAL(sendmsg)(fd, message, flags));
    struct tap_span span = tap_begin(TAP_sendmsg, fd);
    span.record.length = total(message->msg_iov, message->msg_iovlen);
    span.record.argument[0] = flags;
    span.record.argument[1] = (int64_t)message->msg_iovlen;
    tap_data_vector(&span, message->msg_iov, message->msg_iovlen, span.record.length);
    tap_address(&span, message->msg_name, message->msg_namelen);
    tap_enter(&span, flags);
    ssize_t count = -1;
    if (span.fault.error) errno = span.fault.error;
    else if (span.fault.most < span.record.length) {
        struct iovec shorter[MOST_PARTS];
        struct msghdr copy = *message;
        copy.msg_iovlen = shorten(message->msg_iov, message->msg_iovlen, span.fault.most, shorter);
        copy.msg_iov = shorter;
        count = REAL(sendmsg)(fd, &copy, flags);
    } else count = REAL(sendmsg)(fd, message, flags);
    tap_leave(&span, count);
    return count;
}

ssize_t write(int fd, const void *buffer, size_t size) {
    REFUSE_HIDDEN(fd);
    if (!RECORDED) return REAL(write)(fd, buffer, size);
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

/* argument: nothing, the number of pieces */
ssize_t writev(int fd, const struct iovec *vector, int vector_count) {
    REFUSE_HIDDEN(fd);
    if (!RECORDED) return REAL(writev)(fd, vector, vector_count);
    if (!is_stream(fd) || !vector || vector_count < 0) return REAL(writev)(fd, vector, vector_count);
    struct tap_span span = tap_begin(TAP_writev, fd);
    span.record.length = total(vector, (size_t)vector_count);
    span.record.argument[1] = vector_count;
    tap_data_vector(&span, vector, (size_t)vector_count, span.record.length);
    tap_enter(&span, 0);
    ssize_t count = -1;
    struct iovec shorter[MOST_PARTS];
    if (span.fault.error) errno = span.fault.error;
    else if (span.fault.most < span.record.length)
        count = REAL(writev)(fd, shorter, (int)shorten(vector, (size_t)vector_count, span.fault.most, shorter));
    else count = REAL(writev)(fd, vector, vector_count);
    tap_leave(&span, count);
    return count;
}
