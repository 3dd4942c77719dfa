/* The calls of the executable that links this bind to these definitions, as they do to the tap's; each makes the real one.
   Nothing on the way of the data is touched. */
#ifdef __linux__
#define _GNU_SOURCE
#include "announce.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/socket.h>

static bool is_wanted;

void announce_servers(void) { is_wanted = true; }

static void announce(int bound) {
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    if (!is_wanted || getsockname(bound, (struct sockaddr *)&address, &length) < 0) return;
    is_wanted = false;
    char host[INET_ADDRSTRLEN];
    printf("%s:%d\n", inet_ntop(AF_INET, &address.sin_addr, host, sizeof host), ntohs(address.sin_port));
    fflush(stdout);
}

int listen(int listener, int backlog) {
    int (*real)(int, int) = (int (*)(int, int))dlsym(RTLD_NEXT, "listen");
    int result = real(listener, backlog);
    if (result == 0) announce(listener);
    return result;
}

int bind(int bound, const struct sockaddr *address, socklen_t length) {
    int (*real)(int, const struct sockaddr *, socklen_t) =
        (int (*)(int, const struct sockaddr *, socklen_t))dlsym(RTLD_NEXT, "bind");
    int result = real(bound, address, length), type;
    int saved = errno;
    socklen_t size = sizeof type;
    if (result == 0 && getsockopt(bound, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_DGRAM) announce(bound);
    errno = saved;
    return result;
}
#else
#include "announce.h"

void announce_servers(void) {}
#endif
