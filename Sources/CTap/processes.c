/* What a lesson process shares with its supervisor and with all processes that it forks: the table of children, whom
   they may not send signals to, and how many records were dropped.

   RLIMIT_NPROC counts a user's processes, not a program's, and does not bind root, so the tap counts children itself. A
   place is free again when its process is gone; a zombie holds its place, as it holds one in the kernel. */
#include "tap_internal.h"
#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

static struct {
    int children[TAP_MOST_CHILDREN]; /* process numbers; the negative of who is forking one just now; 0 */
    int protected[2];
    uint32_t dropped;
} *shared = 0;

bool tap_processes_share(void) {
    void *memory = mmap(0, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return false;
    shared = memory;
    return true;
}

static bool is_gone(int process) {
    if (process == 0) return true;
    return REAL(kill)(process > 0 ? process : -process, 0) == -1 && errno == ESRCH;
}

int *tap_child_reserve(void) {
    int saved = errno;
    for (int i = 0; i < TAP_MOST_CHILDREN; i++) {
        int old = __atomic_load_n(&shared->children[i], __ATOMIC_RELAXED);
        if (is_gone(old) && __atomic_compare_exchange_n(&shared->children[i], &old, -getpid(), false, __ATOMIC_RELAXED,
                                                        __ATOMIC_RELAXED)) {
            errno = saved;
            return &shared->children[i];
        }
    }
    errno = EAGAIN;
    return 0;
}

void tap_child_started(int *place, int process) {
    __atomic_store_n(place, process == -1 ? 0 : process, __ATOMIC_RELAXED);
}

int tap_child(int index) {
    int process = __atomic_load_n(&shared->children[index], __ATOMIC_RELAXED);
    return process > 0 ? process : 0;
}

void tap_protect(int process) { shared->protected[shared->protected[0] ? 1 : 0] = process; }

bool tap_is_protected(int process) {
    return process > 0 && (process == shared->protected[0] || process == shared->protected[1]);
}

bool tap_may_signal(int process) {
    if (process == -1) return false; /* every process of this user */
    for (int i = 0; i < 2; i++)
        if (shared->protected[i] &&
            (process == shared->protected[i] || (process < -1 && -process == getpgid(shared->protected[i]))))
            return false;
    return true;
}

void tap_count_dropped(void) { __atomic_add_fetch(&shared->dropped, 1, __ATOMIC_RELAXED); }
uint32_t tap_dropped(void) { return __atomic_load_n(&shared->dropped, __ATOMIC_RELAXED); }
