/* The supervisor: a parent that outlives the student's code.

   The lesson process splits in two at its start. The child leads a process group and runs the student's code. The
   parent waits for one of two things: the child ends (it says how, and ends what the child left behind), or the other
   end of its socket closes because the grader is gone, however that died: then it ends everything and itself. It is a
   subreaper (prctl(2)), so a descendant that left the group by setsid or a double fork comes back to it. The child in
   turn asks the kernel to be killed if the supervisor dies first. */
#ifdef __linux__
#include "tap_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

int close_range(unsigned first, unsigned last, int flags);

enum { SAMPLE_MS = 50 };

static uint64_t resident_memory(pid_t process) {
    char path[64], text[128];
    snprintf(path, sizeof path, "/proc/%d/statm", (int)process);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return 0;
    ssize_t count = read(file, text, sizeof text - 1);
    close(file);
    if (count <= 0) return 0;
    text[count] = 0;
    unsigned long size = 0, resident = 0;
    sscanf(text, "%lu %lu", &size, &resident);
    return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Every child of this process, adopted ones too (proc(5)). */
static int kill_children(void) {
    char text[65536];
    char path[64];
    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return 0;
    ssize_t count = read(file, text, sizeof text - 1);
    close(file);
    if (count <= 0) return 0;
    text[count] = 0;
    int killed = 0;
    for (char *at = text, *next; *at; at = next) {
        long process = strtol(at, &next, 10);
        if (next == at) break;
        if (process > 0) kill((pid_t)process, SIGKILL), killed++;
    }
    return killed;
}

static void end_everything(pid_t group) {
    do {
        kill(-group, SIGKILL); /* at once for the whole group: a fork bomb cannot outrun it */
        kill_children();
        while (waitpid(-1, 0, WNOHANG) > 0) continue;
        struct pollfd none = {.fd = -1};
        if (kill_children() > 0) poll(&none, 1, 1);
    } while (waitpid(-1, 0, WNOHANG) != -1 || errno != ECHILD);
}

static uint64_t nanoseconds(struct timeval time) {
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_usec * 1000u;
}

/* Closes all descriptors from `first` on but two. */
static void close_others(int one, int other, unsigned first) {
    unsigned low = (unsigned)(one < other ? one : other);
    unsigned high = (unsigned)(one < other ? other : one);
    if (low > first) close_range(first, low - 1, 0);
    if (high > low + 1) close_range(low + 1, high - 1, 0);
    close_range(high + 1, ~0u, 0);
}

static void supervise(pid_t child, int descriptor, int signals, uint64_t memory_limit) {
    /* Nothing of the student's side may stay open here, or the grader would wait for its end in vain. */
    close_others(descriptor, signals, 0);
    struct tap_ending ending = {0};
    bool running = true;
    while (running) {
        struct pollfd events[2] = {{.fd = descriptor, .events = POLLIN}, {.fd = signals, .events = POLLIN}};
        if (poll(events, 2, SAMPLE_MS) == -1 && errno != EINTR) break;
        if (events[0].revents) break; /* the grader is done with this process, or gone */
        if (events[1].revents) {
            struct signalfd_siginfo information;
            if (read(signals, &information, sizeof information) == -1 && errno != EAGAIN) break;
            int status;
            struct rusage usage;
            pid_t ended;
            while ((ended = wait4(-1, &status, WNOHANG, &usage)) > 0) {
                if (ended != child) continue; /* one that the child abandoned */
                ending.status = status;
                ending.cpu = nanoseconds(usage.ru_utime) + nanoseconds(usage.ru_stime);
                running = false;
            }
        }
        if (running && resident_memory(child) > memory_limit) {
            ending.out_of_memory = 1;
            kill(-child, SIGKILL);
        }
    }
    end_everything(child);
    if (!running && write(descriptor, &ending, sizeof ending) == -1) _exit(1); /* nobody is left to tell */
    _exit(0);
}

int tap_supervise(int descriptor, uint64_t memory_limit, const int kept[2]) {
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    sigset_t child_signal, all, old;
    sigemptyset(&child_signal);
    sigaddset(&child_signal, SIGCHLD);
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &old); /* Ctrl-C is for the grader, which then ends us by closing the socket */
    pid_t child = fork();
    if (child == -1) return -1;
    if (child > 0) {
        setpgid(child, child);
        int signals = signalfd(-1, &child_signal, SFD_CLOEXEC | SFD_NONBLOCK);
        supervise(child, descriptor, signals, memory_limit);
    }
    setpgid(0, 0);
    prctl(PR_SET_CHILD_SUBREAPER, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() == 1) _exit(0); /* it died before we asked */
    /* What a grader left open by mistake must not shift the program's descriptors, or keep a connection alive. */
    close_others(kept[0], kept[1], 3);
    sigprocmask(SIG_SETMASK, &old, 0);
    return 0;
}
#endif
