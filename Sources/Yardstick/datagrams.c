/* Upper case over UDP: what lesson 03 teaches, in C. */
#ifdef __linux__
#define _GNU_SOURCE
#include "yardstick.h"

#include <errno.h>
#include <sys/socket.h>

_Noreturn void serve_datagrams(void) {
    int server = bound_socket(SOCK_DGRAM | SOCK_CLOEXEC);
    static uint8_t buffer[65535];
    for (;;) {
        struct sockaddr_storage sender;
        socklen_t length = sizeof sender;
        ssize_t count = recvfrom(server, buffer, sizeof buffer, 0, (struct sockaddr *)&sender, &length);
        if (count < 0) {
            if (errno == EINTR) continue;
            fail("recvfrom");
        }
        uppercase(buffer, buffer, (size_t)count);
        /* What cannot be sent is lost, as UDP may lose it anyway. */
        while (sendto(server, buffer, (size_t)count, 0, (struct sockaddr *)&sender, length) < 0 && errno == EINTR) {}
    }
}
#endif
