/* `Yardstick udp|epoll|http|websocket|chat`: prints 127.0.0.1:PORT when it can be reached, and serves until it is killed. */
#define _GNU_SOURCE
#include "yardstick.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

_Noreturn void fail(const char *call) {
    fprintf(stderr, "Yardstick: %s: %s\n", call, strerror(errno));
    exit(1);
}

int bound_socket(int type) {
    int bound = socket(AF_INET, type, 0);
    if (bound < 0) fail("socket");
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int kind;
    socklen_t size = sizeof kind;
    if (bind(bound, (struct sockaddr *)&address, length) < 0) fail("bind");
    if (getsockopt(bound, SOL_SOCKET, SO_TYPE, &kind, &size) < 0) fail("getsockopt");
    if (kind == SOCK_STREAM && listen(bound, SOMAXCONN) < 0) fail("listen");
    if (getsockname(bound, (struct sockaddr *)&address, &length) < 0) fail("getsockname");
    printf("127.0.0.1:%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return bound;
}

int main(int count, char **arguments) {
#ifdef __linux__
    const char *name = count == 2 ? arguments[1] : "";
    if (strcmp(name, "udp") == 0) serve_datagrams();
    if (strcmp(name, "epoll") == 0) serve_streams(answer_uppercase);
    if (strcmp(name, "http") == 0) serve_streams(answer_http);
    if (strcmp(name, "websocket") == 0) serve_streams(answer_websocket);
    if (strcmp(name, "chat") == 0) serve_streams(answer_chat);
    fprintf(stderr, "usage: Yardstick udp|epoll|http|websocket|chat\n");
    return 2;
#else
    (void)count;
    (void)arguments;
    fprintf(stderr, "Yardstick needs epoll: Linux only.\n");
    return 2;
#endif
}
