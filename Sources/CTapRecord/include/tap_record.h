/* The records of the tap: the format that both sides of its pipe share. The lesson process writes them (CTap), the grader
   reads them (Wire); apart from CTap, so that a grader does not link the tap itself. */
#ifndef TAP_RECORD_H
#define TAP_RECORD_H

#include <stdint.h>

/* Every call that is recorded. The order is the numbering of `tap_record.call`. */
#define TAP_CALLS(X)                                                                                                   \
    X(socket) X(socketpair) X(bind) X(listen) X(accept) X(accept4) X(connect) X(recv) X(recvfrom) X(recvmsg) X(read)   \
    X(readv) X(send) X(sendto) X(sendmsg) X(write) X(writev) X(sendfile) X(close) X(shutdown) X(select) X(pselect)     \
    X(poll) X(ppoll) X(epoll_create) X(epoll_create1) X(epoll_ctl) X(epoll_wait) X(epoll_pwait) X(kqueue) X(kevent)    \
    X(setsockopt) X(getsockopt) X(getsockname) X(getpeername) X(fcntl) X(ioctl) X(dup) X(dup2) X(dup3) X(fork)         \
    X(waitpid) X(wait) X(sleep) X(usleep) X(nanosleep) X(getaddrinfo) X(freeaddrinfo) X(pthread_create) X(kill)  \
    X(sigaction) X(signal)

enum tap_call {
#define X(name) TAP_##name,
    TAP_CALLS(X)
#undef X
    TAP_CALL_COUNT
};

enum { TAP_ENTERED = 0, TAP_RETURNED = 1 };
enum { TAP_DATA = 64, TAP_ADDRESS = 110 }; /* a whole sockaddr_un */

/* One record, the same on both sides of the pipe (same machine, same build). Shorter than PIPE_BUF, so each write to
   the pipe is whole (pipe(7)). */
struct tap_record {
    uint64_t time;       /* ns, CLOCK_MONOTONIC */
    uint64_t number;     /* of the call, within its thread */
    int64_t result;      /* returned only */
    int64_t argument[2]; /* what else the call was told: see calls_*.c of CTap at each call */
    uint64_t length;     /* bytes asked for */
    int32_t process, thread;
    int32_t descriptor;  /* -1: the call has none */
    int32_t error;       /* errno, if result is -1 */
    uint32_t dropped;    /* records lost so far because the pipe was full, of all processes of the program */
    uint16_t call;       /* enum tap_call */
    uint8_t phase;       /* TAP_ENTERED, TAP_RETURNED */
    uint8_t perturbed;   /* 1: the fault plan changed this call */
    uint8_t data_length, address_length;
    uint8_t data[TAP_DATA];       /* the first bytes sent (entered) or received (returned) */
    uint8_t address[TAP_ADDRESS]; /* entered: what bind, connect, sendto were given. Returned: whom accept and receives
                                     found at the other end; the true local address of bind, listen, connect; what
                                     getsockname and getpeername said */
};

const char *tap_call_name(int call);

/* What the supervisor writes to its descriptor: first this, when the lesson process has begun… */
struct tap_beginning {
    int32_t process;
};

/* …and then this, when it has ended. */
enum tap_limit { TAP_NO_LIMIT, TAP_MEMORY_LIMIT, TAP_THREAD_LIMIT };
struct tap_ending {
    int32_t status;   /* as waitpid(2) */
    int32_t limit;    /* enum tap_limit: which one it was killed for passing */
    uint64_t cpu;     /* ns, user and system, of the process and the children it waited for */
    uint64_t dropped; /* records, in the end */
};

#endif
