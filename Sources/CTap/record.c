/* Records: begun, filled, written. A record goes out with one write to a pipe that never blocks; when the pipe is full
   the record is dropped and counted, so a program that spins can neither fill memory nor wait for its grader. */
#include "tap_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

bool tap_active = false;

static bool ends_at_listen = false;
static int pipe_descriptor = -1;
static int hidden[TAP_MOST_HIDDEN];
static int hidden_count = 0;
static _Thread_local int thread = 0;
static _Thread_local uint64_t calls = 0;

bool tap_is_hidden(int descriptor) {
    for (int i = 0; i < hidden_count; i++)
        if (hidden[i] == descriptor) return true;
    return false;
}

int tap_hidden_in_order(int found[TAP_MOST_HIDDEN]) {
    for (int i = 0; i < hidden_count; i++) {
        int at = i;
        for (; at > 0 && found[at - 1] > hidden[i]; at--) found[at] = found[at - 1];
        found[at] = hidden[i];
    }
    return hidden_count;
}

/* A forked child has one thread, with a number of its own. */
static void forget_thread(void) { thread = 0; }

int tap_start(int descriptor, const char *plan, const int *hide, int count) {
    if (tap_plan_read(plan) != 0) return -1;
    tap_find_real_calls();
    for (int i = 0; i < count && i < TAP_MOST_HIDDEN; i++) {
        hidden[i] = hide[i];
        REAL(fcntl)(hide[i], F_SETFD, FD_CLOEXEC); /* a program that this one starts must not get them */
    }
    hidden_count = count < TAP_MOST_HIDDEN ? count : TAP_MOST_HIDDEN;
    pipe_descriptor = descriptor;
    setvbuf(stdout, NULL, _IOLBF, 0); /* what the program printed before a crash is worth having */
    pthread_atfork(NULL, NULL, forget_thread);
    tap_active = true;
    return 0;
}

void tap_end_at_listen(void) { ends_at_listen = true; }

ssize_t tap_host_write(int descriptor, const void *buffer, size_t size) { return REAL(write)(descriptor, buffer, size); }
int tap_host_socket(int family, int type) { return REAL(socket)(family, type, 0); }
int tap_host_connect(int descriptor, const struct sockaddr *address, socklen_t length) {
    return REAL(connect)(descriptor, address, length);
}

ssize_t tap_host_receive(int descriptor, void *buffer, size_t size, int *passed, int room, int *passed_count) {
    union {
        struct cmsghdr header; /* for its alignment */
        char bytes[CMSG_SPACE(8 * sizeof(int))];
    } control;
    struct iovec part = {.iov_base = buffer, .iov_len = size};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    *passed_count = 0;
    ssize_t count = REAL(recvmsg)(descriptor, &message, 0);
    if (count <= 0) return count;
    for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
        size_t length = header->cmsg_len - CMSG_LEN(0);
        for (size_t i = 0; i < length / sizeof(int); i++) {
            int got;
            memcpy(&got, CMSG_DATA(header) + i * sizeof got, sizeof got);
            REAL(fcntl)(got, F_SETFD, FD_CLOEXEC);
            if (*passed_count < room) passed[(*passed_count)++] = got;
            else REAL(close)(got);
        }
    }
    return count;
}

static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

struct tap_span tap_begin(enum tap_call call, int descriptor) {
    struct tap_span span;
    memset(&span, 0, sizeof span);
    if (!thread) thread = tap_thread_id(); /* cannot fail, so errno stays as it is */
    span.record.call = (uint16_t)call;
    span.record.descriptor = descriptor;
    span.record.process = getpid();
    span.record.thread = thread;
    span.record.number = __atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED); /* a signal handler may make calls too */
    span.fault.most = SIZE_MAX;
    return span;
}

void tap_data(struct tap_span *span, const void *data, size_t length) {
    if (!data || length == 0) return;
    size_t kept = length < TAP_DATA ? length : TAP_DATA;
    memcpy(span->record.data, data, kept);
    span->record.data_length = (uint8_t)kept;
}

void tap_data_vector(struct tap_span *span, const struct iovec *vector, size_t count, size_t length) {
    size_t kept = 0;
    for (size_t i = 0; i < count && kept < TAP_DATA && kept < length; i++) {
        size_t part = vector[i].iov_len;
        if (part > TAP_DATA - kept) part = TAP_DATA - kept;
        if (part > length - kept) part = length - kept;
        if (part) memcpy(span->record.data + kept, vector[i].iov_base, part);
        kept += part;
    }
    span->record.data_length = (uint8_t)kept;
}

void tap_address(struct tap_span *span, const struct sockaddr *address, socklen_t length) {
    if (!address || length == 0) return;
    size_t kept = length < TAP_ADDRESS ? length : TAP_ADDRESS;
    memcpy(span->record.address, address, kept);
    span->record.address_length = (uint8_t)kept;
}

void tap_note_peer(struct tap_span *span, const struct tap_peer *peer, const struct sockaddr *given, socklen_t room,
                   const socklen_t *length) {
    if (given) tap_address(span, given, *length < room ? *length : room);
    else if (peer->storage.ss_family) tap_address(span, (const struct sockaddr *)&peer->storage, peer->length);
}

/* The port that the kernel chose is only known now. */
void tap_local_address(struct tap_span *span, int descriptor) {
    int saved = errno;
    struct tap_peer local = {.length = sizeof local.storage};
    if (REAL(getsockname)(descriptor, TAP_PEER(local), &local.length) == 0)
        tap_address(span, TAP_PEER(local), local.length);
    errno = saved;
}

static void put(struct tap_record *record) {
    record->time = now();
    record->dropped = tap_dropped();
    if (REAL(write)(pipe_descriptor, record, sizeof *record) != (ssize_t)sizeof *record) tap_count_dropped();
}

/* A wait for readiness whose timeout is 0: it looks, and does not wait. */
static bool only_looks(const struct tap_record *record) {
    switch (record->call) {
    case TAP_select: case TAP_pselect: case TAP_poll: case TAP_ppoll: case TAP_epoll_wait: case TAP_epoll_pwait:
        return record->argument[1] == 0;
    default: return false;
    }
}

void tap_enter(struct tap_span *span, int flags) {
    int saved = errno;
    if (only_looks(&span->record)) flags |= MSG_DONTWAIT;
    span->fault = tap_plan_next(span->record.call, span->record.descriptor, flags);
    span->record.perturbed |= span->fault.error != 0 || span->fault.most < span->record.length || span->fault.also[0];
    span->record.phase = TAP_ENTERED;
    put(&span->record);
    span->record.data_length = 0;
    span->record.address_length = 0;
    errno = saved;
}

struct tap_span tap_begin_wait(enum tap_call call, int descriptor, int64_t count, int64_t timeout) {
    struct tap_span span = tap_begin(call, descriptor);
    span.record.argument[0] = count;
    span.record.argument[1] = timeout;
    tap_enter(&span, 0);
    return span;
}

void tap_leave(struct tap_span *span, int64_t result) {
    int saved = errno;
    span->record.phase = TAP_RETURNED;
    span->record.result = result;
    span->record.error = result == -1 ? saved : 0;
    /* A maximum that was not reached has changed nothing. */
    if (span->fault.most != SIZE_MAX && !span->fault.error && result < (int64_t)span->fault.most)
        span->record.perturbed = 0;
    put(&span->record);
    if (ends_at_listen && span->record.call == TAP_listen && result == 0) tap_active = false;
    errno = saved;
}
