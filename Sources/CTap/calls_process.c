/* Calls that start processes and threads, wait for them and signal them. */
#include "tap_internal.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* A place for a child. Where there is none, whoever asks again and again, as a fork bomb does, is held up a little. */
static int *reserve(void) {
    int *place = tap_child_reserve();
    if (place) return place;
    struct timespec pause = {.tv_nsec = 20000000};
    REAL(nanosleep)(&pause, NULL);
    errno = EAGAIN;
    return NULL;
}

pid_t fork(void) {
    if (!tap_active) return REAL(fork)();
    int *place = reserve(); /* whoever calls: a process is a process */
    if (!RECORDED) {
        pid_t process = place ? REAL(fork)() : -1;
        if (place && process != 0) tap_child_started(place, process);
        return process;
    }
    struct tap_span span = tap_begin(TAP_fork, -1);
    span.record.perturbed = !place;
    tap_enter(&span, 0);
    pid_t process = -1;
    if (!place) errno = EAGAIN;
    else if (span.fault.error) errno = span.fault.error;
    else process = REAL(fork)();
    if (process == 0) return 0; /* the child's records begin with its own calls */
    if (place) tap_child_started(place, process);
    tap_leave(&span, process);
    return process;
}

/* Not recorded: no lesson is about them. But the processes count. */
typedef int spawner(pid_t *, const char *, const posix_spawn_file_actions_t *, const posix_spawnattr_t *,
                    char *const[], char *const[]);
static int spawn_counted(spawner *spawn, pid_t *process, const char *path, const posix_spawn_file_actions_t *actions,
                         const posix_spawnattr_t *attributes, char *const arguments[], char *const environment[]) {
    if (!tap_active) return spawn(process, path, actions, attributes, arguments, environment);
    int *place = reserve();
    if (!place) return EAGAIN;
    pid_t started = -1;
    int error = spawn(&started, path, actions, attributes, arguments, environment);
    tap_child_started(place, error ? -1 : started);
    if (!error && process) *process = started;
    return error;
}

int posix_spawn(pid_t *process, const char *path, const posix_spawn_file_actions_t *actions,
                const posix_spawnattr_t *attributes, char *const arguments[], char *const environment[]) {
    return spawn_counted(REAL(posix_spawn), process, path, actions, attributes, arguments, environment);
}

int posix_spawnp(pid_t *process, const char *file, const posix_spawn_file_actions_t *actions,
                 const posix_spawnattr_t *attributes, char *const arguments[], char *const environment[]) {
    return spawn_counted(REAL(posix_spawnp), process, file, actions, attributes, arguments, environment);
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

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*body)(void *), void *argument) {
    if (!RECORDED) return REAL(pthread_create)(thread, attributes, body, argument);
    return TAP_PLAIN(pthread_create, -1, 0, 0, REAL(pthread_create)(thread, attributes, body, argument));
}

/* A program that signals everybody, or its parents, would end the lab, and on a machine of one's own more than that. */
#define REFUSE_SIGNAL(process)                                                                                         \
    if (__builtin_expect(tap_active, 0) && !tap_may_signal(process)) {                                                 \
        errno = EPERM;                                                                                                 \
        return -1;                                                                                                     \
    }

/* argument: whom, signal */
int kill(pid_t process, int number) {
    if (!RECORDED) {
        REFUSE_SIGNAL(process);
        return REAL(kill)(process, number);
    }
    struct tap_span span = tap_begin(TAP_kill, -1);
    bool may = tap_may_signal(process);
    span.record.argument[0] = process;
    span.record.argument[1] = number;
    span.record.perturbed = !may;
    tap_enter(&span, 0);
    int result = -1;
    if (may) result = REAL(kill)(process, number);
    else errno = EPERM;
    tap_leave(&span, result);
    return result;
}

int killpg(pid_t group, int number) {
    REFUSE_SIGNAL(group > 1 ? -group : group);
    return REAL(killpg)(group, number);
}

/* argument: signal, 1 if it is to be ignored */
int sigaction(int number, const struct sigaction *action, struct sigaction *old) {
    if (!RECORDED) return REAL(sigaction)(number, action, old);
    bool ignores = action && action->sa_handler == SIG_IGN;
    return TAP_PLAIN(sigaction, -1, number, ignores, REAL(sigaction)(number, action, old));
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
