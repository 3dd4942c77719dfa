/* What the tap's files share. */
#ifndef TAP_INTERNAL_H
#define TAP_INTERNAL_H

#include "ctap.h"
#include "real.h"
#include <stdbool.h>
#include <sys/socket.h>

/* tap_linux.c, tap_darwin.c */
bool tap_in_program(const void *code); /* does this address lie in the executable's own code? */
int tap_thread_id(void);
bool tap_is_own_pair(int descriptor); /* a socketpair of the program's own, not one that it was lent */
void tap_shorten_select(struct timeval *timeout); /* as the system does when select is interrupted, after a millisecond */

/* record.c */
extern bool tap_active;
enum { TAP_MOST_HIDDEN = 4 };
bool tap_is_hidden(int descriptor);
int tap_hidden_in_order(int found[TAP_MOST_HIDDEN]); /* returns how many there are */

/* plan.c: what to do with the call that is about to be made. */
struct tap_fault {
    int error;   /* not 0: fail with this errno, without making the call */
    bool always; /* so does every call of its kind */
    size_t most; /* SIZE_MAX: no limit; else move at most so many bytes */
    const char *also[2]; /* addresses that getaddrinfo finds, too, up to the first NULL */
};
int tap_plan_read(const char *plan);
struct tap_fault tap_plan_next(enum tap_call call, int descriptor, int flags);

/* One call under way. */
struct tap_span {
    struct tap_record record;
    struct tap_fault fault;
};

/* Is a call from `caller` to be recorded? */
static inline bool tap_records(const void *caller) {
    return __builtin_expect(tap_active, 0) && tap_in_program(caller);
}
#define RECORDED tap_records(__builtin_return_address(0))

/* The lab's own descriptors do not exist for the program, whoever calls: a library's call may be the program's wish. */
#define HIDDEN(fd) (__builtin_expect(tap_active, 0) && tap_is_hidden(fd))
#define REFUSE_HIDDEN(fd)                                                                                              \
    if (HIDDEN(fd)) {                                                                                                  \
        errno = EBADF;                                                                                                 \
        return -1;                                                                                                     \
    }

struct tap_span tap_begin(enum tap_call call, int descriptor);
void tap_data(struct tap_span *span, const void *data, size_t length);
void tap_data_vector(struct tap_span *span, const struct iovec *vector, size_t count, size_t length);
void tap_address(struct tap_span *span, const struct sockaddr *address, socklen_t length);
void tap_local_address(struct tap_span *span, int descriptor); /* keeps errno */
struct tap_span tap_begin_wait(enum tap_call call, int descriptor, int64_t count, int64_t timeout); /* ms */
void tap_enter(struct tap_span *span, int flags);              /* writes the record; fills span->fault; keeps errno */
void tap_leave(struct tap_span *span, int64_t result);         /* keeps errno */

/* Room for a peer's address: it is asked for even if the program does not want it, so that the timeline can name it. */
struct tap_peer {
    struct sockaddr_storage storage;
    socklen_t length;
};
#define TAP_PEER(peer) ((struct sockaddr *)&(peer).storage)
/* Keeps the address that the call wrote into `given`, whose size was `room`, or else into `peer`. */
void tap_note_peer(struct tap_span *span, const struct tap_peer *peer, const struct sockaddr *given, socklen_t room,
                   const socklen_t *length);

/* For a call that gets no data and no address: records it around the real one. */
#define TAP_PLAIN(call, fd, argument0, argument1, real_call)                                                           \
    ({                                                                                                                 \
        struct tap_span span = tap_begin(TAP_##call, fd);                                                              \
        span.record.argument[0] = (int64_t)(argument0);                                                                \
        span.record.argument[1] = (int64_t)(argument1);                                                                \
        tap_enter(&span, 0);                                                                                           \
        __typeof__(real_call) result = -1;                                                                             \
        if (span.fault.error) errno = span.fault.error;                                                                \
        else result = (real_call);                                                                                     \
        tap_leave(&span, (int64_t)result);                                                                             \
        result;                                                                                                        \
    })

/* For a wait for readiness. poll(2), select(2) and epoll_wait(2) look at descriptors before they look at signals: where one
   is ready they are never interrupted. It matters where every wait is interrupted: a timer's descriptor would be hidden for
   ever. Elsewhere the next wait finds it. */
#define TAP_WAIT(span, look, real_call)                                                                                \
    ({                                                                                                                 \
        int found = -1;                                                                                                \
        if (!(span).fault.error) {                                                                                     \
            found = (real_call);                                                                                       \
        } else if ((span).fault.always && (found = (look)) > 0) {                                                      \
            (span).record.perturbed = 0;                                                                               \
        } else {                                                                                                       \
            found = -1;                                                                                                \
            errno = (span).fault.error;                                                                                \
        }                                                                                                              \
        found;                                                                                                         \
    })

/* processes.c: what a lesson process and the processes that it starts have in common. */
enum { TAP_MOST_CHILDREN = 256 };
bool tap_processes_share(void);        /* before the first fork; false if there is no memory */
int *tap_child_reserve(void);          /* a place for one more child, or NULL and EAGAIN */
void tap_child_started(int *place, int process); /* -1: it was not started after all */
int tap_child(int index);              /* a running child's number, or 0 */
void tap_protect(int process);         /* it may not be sent signals */
bool tap_is_protected(int process);
bool tap_may_signal(int process);      /* as the first argument of kill(2) */
void tap_count_dropped(void);
uint32_t tap_dropped(void);

#endif
