/* A limit on child processes. RLIMIT_NPROC counts a user's processes, not a program's, and does not bind root, so the
   tap keeps the children of a lesson process and of its children in a table that all of them share. A slot is free
   again when its process is gone; a zombie holds its slot, as it holds one in the kernel. */
#include "tap_internal.h"
#include <errno.h>
#include <signal.h>
#include <sys/mman.h>

enum { MOST_CHILDREN = 256 };
static int *children = 0;

void tap_children_start(void) {
    void *shared = mmap(0, MOST_CHILDREN * sizeof(int), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    children = shared == MAP_FAILED ? 0 : shared;
}

static bool is_gone(int process) { return process == 0 || (REAL(kill)(process, 0) == -1 && errno == ESRCH); }

bool tap_child_allowed(void) {
    if (!children) return true;
    for (int i = 0; i < MOST_CHILDREN; i++)
        if (is_gone(children[i])) return true;
    errno = EAGAIN;
    return false;
}

void tap_child_started(int process) {
    if (!children) return;
    for (int i = 0; i < MOST_CHILDREN; i++) {
        int old = children[i];
        if (is_gone(old) && __atomic_compare_exchange_n(&children[i], &old, process, false, __ATOMIC_RELAXED,
                                                        __ATOMIC_RELAXED))
            return;
    }
}
