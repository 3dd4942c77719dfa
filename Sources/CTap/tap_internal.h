/* What the tap's files share. */
#ifndef TAP_INTERNAL_H
#define TAP_INTERNAL_H

#include "ctap.h"
#include <stdbool.h>
#include <sys/socket.h>

/* real.c: the definition of `name` after ours in the order of the libraries: libc's (dlsym(3), RTLD_NEXT). */
void *tap_real(const char *name);
#define REAL(name)                                                                                                     \
    ({                                                                                                                 \
        static __typeof__(&name) real_##name;                                                                          \
        if (__builtin_expect(!real_##name, 0)) real_##name = (__typeof__(&name))tap_real(#name);                       \
        real_##name;                                                                                                   \
    })

/* tap_linux.c, tap_darwin.c */
bool tap_in_program(const void *code); /* does this address lie in the executable's own code? */
int tap_thread_id(void);

/* tap.c */
extern bool tap_active;
bool tap_is_hidden(int descriptor);

/* plan.c: what to do with the call that is about to be made. */
struct tap_fault {
    int error;       /* not 0: fail with this errno, without making the call */
    size_t most;     /* SIZE_MAX: no limit; else move at most so many bytes */
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

struct tap_span tap_begin(enum tap_call call, int descriptor);
void tap_data(struct tap_span *span, const void *data, size_t length);
void tap_data_vector(struct tap_span *span, const struct iovec *vector, size_t count, size_t length);
void tap_address(struct tap_span *span, const struct sockaddr *address, socklen_t length);
void tap_local_address(struct tap_span *span);
void tap_enter(struct tap_span *span, int flags); /* writes the record; fills span->fault */
void tap_leave(struct tap_span *span, int64_t result); /* keeps errno */

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

/* children.c */
bool tap_child_allowed(void);
void tap_child_started(int process);
void tap_children_start(void);

#endif
