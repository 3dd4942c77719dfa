/* The server as a child process: it inherits the CPU, and does not outlive the load. */
#ifdef __linux__
#define _GNU_SOURCE
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static pid_t start(char **words, int output) {
    pid_t parent = getpid();
    pid_t process = fork();
    if (process < 0) fail("fork: %s", strerror(errno));
    if (process > 0) return process;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(1);
    if (output >= 0) dup2(output, STDOUT_FILENO);
    for (int descriptor = 3; descriptor < 64; descriptor++) close(descriptor);
    execvp(words[0], words);
    fprintf(stderr, "%s: %s\n", words[0], strerror(errno));
    _exit(127);
}

/* Our own servers print 127.0.0.1:PORT once they can be reached. */
static struct server start_own(char **words) {
    int ends[2];
    if (pipe(ends) < 0) fail("pipe: %s", strerror(errno));
    struct server server = {.process = start(words, ends[1])};
    close(ends[1]);
    char line[128];
    size_t count = 0;
    while (count + 1 < sizeof line && !memchr(line, '\n', count)) {
        ssize_t got = read(ends[0], line + count, sizeof line - 1 - count);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) fail("%s ended without serving", words[0]);
        count += (size_t)got;
    }
    line[count] = 0;
    unsigned port;
    if (sscanf(line, "127.0.0.1:%u", &port) != 1 || port > 65535) fail("%s printed no address: %s", words[0], line);
    server.port = (uint16_t)port;
    return server;
}

/* A port that nobody has now. */
static struct sockaddr_in free_port(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int probe = socket(AF_INET, SOCK_STREAM, 0);
    if (probe < 0 || bind(probe, (struct sockaddr *)&address, length) < 0
        || getsockname(probe, (struct sockaddr *)&address, &length) < 0) {
        fail("a port for nginx: %s", strerror(errno));
    }
    close(probe);
    return address;
}

/* One process, nothing logged, `folder` served, each file looked up when it is asked for, as ours does. nginx cannot say
   which port it got, nor when it can be reached: so it is told a free one, and tried until it answers. (It could inherit our
   listener, in the variable NGINX, but 1.22 without a master process crashes then.) */
static struct server start_nginx(char *program, const char *folder) {
    struct sockaddr_in address = free_port();
    struct server server = {.port = ntohs(address.sin_port)};
    char path[4096];
    snprintf(path, sizeof path, "%s/nginx.conf", folder);
    FILE *file = fopen(path, "w");
    if (!file) fail("%s: %s", path, strerror(errno));
    fprintf(
        file,
        "daemon off;\nmaster_process off;\npid %s/nginx.pid;\nerror_log stderr error;\n"
        "events { worker_connections 4096; use epoll; }\n"
        "http {\n  access_log off;\n  sendfile on;\n  keepalive_requests 1000000000;\n"
        "  client_body_temp_path %s/1;\n  proxy_temp_path %s/2;\n  fastcgi_temp_path %s/3;\n  uwsgi_temp_path %s/4;\n"
        "  scgi_temp_path %s/5;\n  server { listen 127.0.0.1:%d; root %s; }\n}\n",
        folder, folder, folder, folder, folder, folder, server.port, folder);
    if (fclose(file) != 0) fail("%s: %s", path, strerror(errno));
    char *words[] = {program, "-e", "stderr", "-p", (char *)folder, "-c", path, NULL};
    server.process = start(words, -1);
    for (int attempt = 0; ; attempt++) {
        int trial = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        bool is_up = connect(trial, (struct sockaddr *)&address, sizeof address) == 0;
        close(trial);
        if (is_up) return server;
        if (waitpid(server.process, NULL, WNOHANG) == server.process) fail("nginx did not start");
        if (attempt == 5000) fail("nginx cannot be reached");
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    }
}

struct server server_start(const struct plan *plan) {
    return plan->nginx ? start_nginx(plan->server[0], plan->nginx) : start_own(plan->server);
}

double server_cpu(const struct server *server) {
    clockid_t clock;
    struct timespec time;
    if (clock_getcpuclockid(server->process, &clock) != 0 || clock_gettime(clock, &time) != 0) return 0;
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

long server_memory(const struct server *server) {
    char path[64], line[256];
    long memory = 0;
    snprintf(path, sizeof path, "/proc/%d/status", server->process);
    FILE *file = fopen(path, "r");
    if (!file) return 0;
    while (fgets(line, sizeof line, file)) if (sscanf(line, "VmHWM: %ld", &memory) == 1) break;
    fclose(file);
    return memory;
}

void server_stop(const struct server *server) {
    if (server->process <= 0) return;
    kill(server->process, SIGKILL);
    while (waitpid(server->process, NULL, 0) < 0 && errno == EINTR) {}
}
#endif
