/* macOS has no subreaper and no parent-death signal: the supervisor there ends the process group only. Not run there
   yet. */
#ifdef __APPLE__
#include "tap_internal.h"
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

int tap_supervise(int descriptor, uint64_t memory_limit, const int kept[2]) {
    (void)memory_limit, (void)kept;
    if (!tap_processes_share()) return -1;
    tap_protect(getpid());
    tap_protect(getppid());
    pid_t child = fork();
    if (child == -1) return -1;
    if (child == 0) {
        setpgid(0, 0);
        close(descriptor);
        return 0;
    }
    setpgid(child, child);
    for (int fd = 0; fd < 1024; fd++)
        if (fd != descriptor) close(fd);
    struct tap_beginning beginning = {.process = child};
    struct tap_ending ending = {0};
    struct rusage usage;
    if (write(descriptor, &beginning, sizeof beginning) != sizeof beginning) kill(-child, SIGKILL);
    for (;;) {
        struct pollfd event = {.fd = descriptor, .events = POLLIN};
        if (poll(&event, 1, 20) == 1) break;
        if (wait4(child, &ending.status, WNOHANG, &usage) == child) {
            ending.cpu = ((uint64_t)usage.ru_utime.tv_sec + (uint64_t)usage.ru_stime.tv_sec) * 1000000000u;
            kill(-child, SIGKILL);
            write(descriptor, &ending, sizeof ending);
            _exit(0);
        }
    }
    kill(-child, SIGKILL);
    _exit(0);
}
#endif
