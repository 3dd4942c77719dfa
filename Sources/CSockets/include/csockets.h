/* What Swift cannot import from libc by itself: whole headers that the system module leaves out, and macros.
   Headers and one-line inline functions only; there is no logic here. Man pages: select(2), epoll(7), cmsg(3),
   waitpid(2), prctl(2). */
#ifndef CSOCKETS_H
#define CSOCKETS_H

#include <sys/select.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef __linux__
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#endif

/* fd_set, select(2). `fd` must be below FD_SETSIZE: past it these write outside the set. */
static inline void fdZero(fd_set *set) { FD_ZERO(set); }
static inline void fdSet(int fd, fd_set *set) { FD_SET(fd, set); }
static inline void fdClear(int fd, fd_set *set) { FD_CLR(fd, set); }
static inline int fdIsSet(int fd, const fd_set *set) { return FD_ISSET(fd, set); }

/* fork(2), which Swift marks unavailable because a child of a program with threads may only exec or _exit.
   The lesson on forking servers says when it is safe. */
static inline pid_t forkProcess(void) { return fork(); }

#ifdef __linux__
/* pipe2(2) and accept4(2), which need _GNU_SOURCE, and that would change the type of every sockaddr parameter. */
extern int pipe2(int ends[2], int flags);
extern int accept4(int listener, struct sockaddr *address, socklen_t *length, int flags);
#ifndef __USE_GNU
/* What SO_PEERCRED writes, unix(7): the same. */
struct ucred {
    pid_t pid;
    uid_t uid;
    gid_t gid;
};
#endif
/* sched_setaffinity(2), for the same reason. */
extern int sched_getaffinity(pid_t process, size_t size, cpu_set_t *set);
extern int sched_setaffinity(pid_t process, size_t size, const cpu_set_t *set);
#endif

#ifdef __linux__
/* From now on no other process of this user may trace this one, or write its memory: prctl(2), ptrace(2). */
static inline int processForbidTracing(void) { return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); }
#endif

/* What waitpid(2) reports. */
static inline int processExited(int status) { return WIFEXITED(status); }
static inline int processExitCode(int status) { return WEXITSTATUS(status); }
static inline int processWasSignaled(int status) { return WIFSIGNALED(status); }
static inline int processSignal(int status) { return WTERMSIG(status); }

/* Ancillary data, cmsg(3). */
static inline struct cmsghdr *controlFirst(const struct msghdr *message) { return CMSG_FIRSTHDR(message); }
static inline struct cmsghdr *controlNext(struct msghdr *message, struct cmsghdr *current) {
    return CMSG_NXTHDR(message, current);
}
static inline unsigned char *controlData(struct cmsghdr *header) { return CMSG_DATA(header); }
static inline size_t controlSpace(size_t length) { return CMSG_SPACE(length); }
static inline size_t controlLength(size_t length) { return CMSG_LEN(length); }

#endif
