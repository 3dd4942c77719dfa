/* The supervisor: a parent that outlives the student's code.

   The lesson process splits in two at its start. The child leads a process group and runs the student's code. The
   parent waits for one of three things: the child ends (it says how), it takes more than a program may, or the other end
   of its socket closes because the grader is gone, however that died. Then it ends everything that the child started,
   and itself. It is a subreaper (prctl(2)), so a descendant that left the group by setsid or a double fork comes back to
   it. The child in turn asks the kernel to be killed if the supervisor dies first. */
#ifdef __linux__
#include "tap_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

int close_range(unsigned first, unsigned last, int flags); /* calls_linux.c */

enum { SAMPLE_MS = 50, MOST_THREADS = 8000, MANY_CHILDREN = 32, LEAST_PRIORITY = 19 };

/* A file of /proc, as much as fits in; empty if the process is gone. */
static void read_file(const char *path, char *text, size_t size) {
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t count = file < 0 ? 0 : read(file, text, size - 1);
    text[count < 0 ? 0 : count] = 0;
    if (file >= 0) close(file);
}

struct use {
    uint64_t memory; /* resident, bytes */
    long threads;
};

static struct use use_of(pid_t process) {
    char path[64], text[1024];
    struct use use = {0};
    snprintf(path, sizeof path, "/proc/%d/stat", (int)process);
    read_file(path, text, sizeof text);
    /* The name is in parentheses and may hold anything. Behind it, num_threads is the 18th field and rss the 22nd. */
    char *name_end = strrchr(text, ')');
    long pages = 0;
    if (name_end && sscanf(name_end + 1,
                           " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %ld %*d %*u %*u %ld",
                           &use.threads, &pages) == 2)
        use.memory = (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
    return use;
}

/* What a process would free if it ended, with its share of what it has in common with others: forked processes share
   most of their memory. Slow, so asked only where the sum of the resident memory is too high. */
static uint64_t share_of(pid_t process) {
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)process);
    read_file(path, text, sizeof text);
    char *line = strstr(text, "\nPss:");
    return line ? strtoull(line + 5, 0, 10) * 1024 : use_of(process).memory;
}

/* Processes that are many and all busy take the machine from everybody, other programs under the same grader too: they
   give way. One that waits loses nothing by it. */
static void give_way(pid_t process) {
    setpriority(PRIO_PGRP, (id_t)process, LEAST_PRIORITY);
    for (int i = 0; i < TAP_MOST_CHILDREN; i++)
        if (tap_child(i)) setpriority(PRIO_PROCESS, (id_t)tap_child(i), LEAST_PRIORITY);
}

/* Which limit the process and its children have passed, together. */
static enum tap_limit passed_limit(pid_t process, uint64_t memory_limit) {
    struct use sum = use_of(process);
    int children = 0;
    for (int i = 0; i < TAP_MOST_CHILDREN; i++) {
        if (!tap_child(i)) continue;
        struct use use = use_of(tap_child(i));
        sum.memory += use.memory, sum.threads += use.threads;
        if (use.threads) children++;
    }
    if (children > MANY_CHILDREN) give_way(process);
    if (sum.threads > MOST_THREADS) return TAP_THREAD_LIMIT;
    if (sum.memory <= memory_limit) return TAP_NO_LIMIT;
    sum.memory = share_of(process);
    for (int i = 0; i < TAP_MOST_CHILDREN; i++)
        if (tap_child(i)) sum.memory += share_of(tap_child(i));
    return sum.memory > memory_limit ? TAP_MEMORY_LIMIT : TAP_NO_LIMIT;
}

/* Kills every child of this process, adopted ones too (proc(5)). */
static void kill_children(void) {
    static char text[65536];
    char path[64];
    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    read_file(path, text, sizeof text);
    for (char *at = text, *next; *at; at = next) {
        long process = strtol(at, &next, 10);
        if (next == at) break;
        if (process > 0) kill((pid_t)process, SIGKILL);
    }
}

/* The child must not have been waited for: its number is then still the group's, and nobody else's. */
static void end_everything(pid_t child, int *status, struct rusage *usage) {
    kill(-child, SIGKILL); /* the whole group at once: a fork bomb cannot outrun it */
    kill(child, SIGKILL);  /* it may have left its group */
    while (wait4(child, status, 0, usage) == -1 && errno == EINTR) continue;
    /* Whoever left the group comes to us when its parent has ended: until there is nobody. */
    for (;;) {
        kill_children();
        if (waitpid(-1, 0, 0) == -1 && errno == ECHILD) return;
    }
}

static uint64_t nanoseconds(struct timeval time) {
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_usec * 1000u;
}

static uint64_t milliseconds_now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000u + (uint64_t)time.tv_nsec / 1000000u;
}

/* Closes all descriptors from `first` on but two. */
static void close_others(int one, int other, unsigned first) {
    unsigned low = (unsigned)(one < other ? one : other);
    unsigned high = (unsigned)(one < other ? other : one);
    if (low > first) close_range(first, low - 1, 0);
    if (high > low + 1) close_range(low + 1, high - 1, 0);
    close_range(high + 1, ~0u, 0);
}

/* Has the child ended? It stays to be waited for. Others, which it abandoned, are waited for at once. */
static bool has_ended(pid_t child) {
    for (;;) {
        siginfo_t ended = {0};
        if (waitid(P_ALL, 0, &ended, WEXITED | WNOHANG | WNOWAIT) == -1 || ended.si_pid == 0) return false;
        if (ended.si_pid == child) return true;
        waitpid(ended.si_pid, 0, 0);
    }
}

/* A program that may trace its parents (ptrace(2), process_vm_writev(2), /proc/PID/mem) may write its own verdict. Who is
   no root is kept off by PR_SET_DUMPABLE in grader and supervisor; root may trace anybody by this capability, and without
   it nobody who has it (capabilities(7)). */
static void give_up_tracing(void) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3];
    prctl(PR_CAPBSET_DROP, CAP_SYS_PTRACE); /* programs that it starts do not get it back */
    if (syscall(SYS_capget, &header, sets) == -1) return;
    unsigned others = ~CAP_TO_MASK(CAP_SYS_PTRACE);
    struct __user_cap_data_struct *set = &sets[CAP_TO_INDEX(CAP_SYS_PTRACE)];
    set->effective &= others, set->permitted &= others, set->inheritable &= others;
    syscall(SYS_capset, &header, sets);
}

static void supervise(pid_t child, int descriptor, int signals, uint64_t memory_limit) {
    /* Nothing of the student's side may stay open here, or the grader would wait for its end in vain. */
    close_others(descriptor, signals, 0);
    struct tap_beginning beginning = {.process = child};
    struct tap_ending ending = {0};
    bool watched = write(descriptor, &beginning, sizeof beginning) == sizeof beginning;
    uint64_t next = 0;
    while (watched && !ending.limit) {
        uint64_t before = milliseconds_now();
        if (before >= next) {
            ending.limit = passed_limit(child, memory_limit);
            uint64_t after = milliseconds_now();
            /* Looking at many processes takes long: it may cost a tenth of a CPU. */
            next = after + SAMPLE_MS + 9 * (after - before);
            continue;
        }
        struct pollfd events[2] = {{.fd = descriptor, .events = POLLIN}, {.fd = signals, .events = POLLIN}};
        if (poll(events, 2, (int)(next - before)) == -1 && errno != EINTR) break;
        if (events[0].revents) watched = false; /* the grader is done with this process, or gone */
        if (events[1].revents) {
            struct signalfd_siginfo information;
            if (read(signals, &information, sizeof information) == -1 && errno != EAGAIN) break;
            if (has_ended(child)) break;
        }
    }
    struct rusage usage = {0};
    end_everything(child, &ending.status, &usage);
    ending.cpu = nanoseconds(usage.ru_utime) + nanoseconds(usage.ru_stime);
    ending.dropped = tap_dropped();
    if (watched && write(descriptor, &ending, sizeof ending) == -1) _exit(1); /* nobody is left to tell */
    _exit(0);
}

int tap_supervise(int descriptor, uint64_t memory_limit, const int kept[2]) {
    if (!tap_processes_share()) return -1;
    pid_t supervisor = getpid();
    tap_protect(supervisor);
    tap_protect(getppid());
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    sigset_t child_signal, all, old;
    sigemptyset(&child_signal);
    sigaddset(&child_signal, SIGCHLD);
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &old); /* Ctrl-C is for the grader, which then ends us by closing the socket */
    int signals = signalfd(-1, &child_signal, SFD_CLOEXEC | SFD_NONBLOCK);
    prctl(PR_SET_DUMPABLE, 0);
    pid_t child = signals == -1 ? -1 : fork();
    if (child == -1) return -1;
    if (child > 0) {
        setpgid(child, child);
        supervise(child, descriptor, signals, memory_limit);
    }
    prctl(PR_SET_DUMPABLE, 1); /* the supervisor reads its use, a crash its own stack (proc(5)) */
    give_up_tracing();
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != supervisor) _exit(0); /* it died before we asked */
    /* What a grader left open by mistake must not shift the program's descriptors, or keep a connection alive. */
    close_others(kept[0], kept[1], 3);
    sigprocmask(SIG_SETMASK, &old, 0);
    return 0;
}
#endif
