/* The tap: what lies between a lesson's code and the socket calls of libc.

   It is linked into the program that runs a student's (or the reference's) code and defines the socket calls itself.
   Each definition calls the real one, and, when a grader listens, writes a record when the call is entered and another
   when it returns: a call that never returned is the most useful record. It can also make a call fail or come back
   short, as a fault plan says. Only calls made by the program itself count; what shared libraries call passes through.

   Owns: records, fault plans, the limit on child processes, the supervisor. Leaves to others: what a record means
   (Wire), when to ask for a fault (GraderKit). */
#ifndef CTAP_H
#define CTAP_H

#include "tap_record.h"
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

/* Starts recording to `pipe_descriptor` under `plan` ("" for none). `hidden` are descriptors of the lab: the program
   cannot close them, write to them or put another in their place (EBADF). Returns 0, or -1 if the plan is not one. */
int tap_start(int pipe_descriptor, const char *plan, const int *hidden, int hidden_count);

/* To be called before tap_start: the tap tells of the first listen that succeeds, and of nothing after it, as if it were
   not there. For measurements. */
void tap_end_at_listen(void);

/* The lab's own calls in this process, which are not the student's calls. */
ssize_t tap_host_write(int descriptor, const void *buffer, size_t size);
int tap_host_socket(int family, int type);
int tap_host_connect(int descriptor, const struct sockaddr *address, socklen_t length);
/* As read, from a Unix socket, with the descriptors that came along (SCM_RIGHTS, unix(7)): at most `room` of them,
   close-on-exec. */
ssize_t tap_host_receive(int descriptor, void *buffer, size_t size, int *passed, int room, int *passed_count);

/* Splits the process: the caller goes on as a child in a process group of its own; the parent stays as its supervisor
   and never returns. The child keeps descriptors 0, 1, 2, `kept` and nothing else. See supervisor_linux.c. Returns 0 in
   the child, -1 if it could not fork. */
int tap_supervise(int supervisor_descriptor, uint64_t memory_limit, const int kept[2]);

#endif
