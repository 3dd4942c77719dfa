/* `BenchLoad udp|tcp|websocket|http|chat [options] -- SERVER ARGUMENT...`: starts the server, drives it, prints one line of
   JSON. Ends with 1 if a byte is wrong, too many or missing, and says which.

     --connections N   how many at once (64)
     --size N          bytes of a message; of HTTP, of the file (64)
     --varied          messages of 1 to N bytes
     --seconds S       how long is counted (0.5)
     --messages N      instead: how many messages each connection sends, and then its end
                       In the chat room a message counts once for each member that gets it.
     --cpu N           where server and load run
     --nginx FOLDER    SERVER is nginx, and this is what it serves */
#ifdef __linux__
#define _GNU_SOURCE
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* How long an answer may take before it counts as lost. */
enum { patience = 10000 /* ms */ };

struct connection {
    int descriptor;
    uint32_t interest;
    /* Which exchange is under way, and how much of it is done. */
    int exchange;
    const uint8_t *request;
    size_t request_count;
    size_t sent;
    size_t received;
    uint64_t began;
    int finished;
    bool is_shut;
    /* HTTP: the head of the answer, until it is whole. */
    char head[1024];
    size_t head_count;
    bool has_head;
    struct chat_member member;
    uint8_t said[chat_frame_room];
};

static struct plan plan = {.connections = 64, .size = 64, .seconds = 0.5};
static struct server server;
static struct exchange exchanges[exchange_count];
static struct connection *connections;
static int poller;
/* Connections that are open, that have had their first answer, and that are over. */
static int opened, answered, over;
static uint64_t under_way;
static uint64_t counted, delivered;
static struct histogram histogram;
static bool is_counting, is_ending;

_Noreturn void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    server_stop(&server);
    exit(1);
}

static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static void watch(int operation, struct connection *connection, uint32_t interest) {
    if (operation == EPOLL_CTL_MOD && connection->interest == interest) return;
    struct epoll_event event = {.events = interest, .data.ptr = connection};
    if (epoll_ctl(poller, operation, connection->descriptor, &event) < 0) fail("epoll_ctl: %s", strerror(errno));
    connection->interest = interest;
}

static int number_of(const struct connection *connection) { return (int)(connection - connections); }

static void send_rest(struct connection *connection) {
    while (connection->sent < connection->request_count) {
        ssize_t count = send(
            connection->descriptor, connection->request + connection->sent, connection->request_count - connection->sent,
            MSG_NOSIGNAL);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0 && errno == EAGAIN) break;
        if (count < 0) fail("a connection broke while sending: %s", strerror(errno));
        connection->sent += (size_t)count;
    }
    watch(
        EPOLL_CTL_MOD, connection, EPOLLIN | (connection->sent < connection->request_count ? EPOLLOUT : 0));
}

static void begin(struct connection *connection, uint64_t time) {
    connection->exchange = (connection->exchange + 1) % exchange_count;
    connection->request = exchanges[connection->exchange].request;
    connection->request_count = exchanges[connection->exchange].request_count;
    if (plan.protocol == protocol_chat) {
        connection->request = connection->said;
        connection->request_count = chat_next(&connection->member, number_of(connection), connection->said, &plan);
    }
    connection->sent = connection->received = 0;
    connection->head_count = 0;
    connection->has_head = plan.protocol != protocol_http;
    connection->began = time;
    under_way++;
    send_rest(connection);
}

/* RFC 6455, 4.1, with the key of its example, so that the answer is known. */
static void shake_hands(int descriptor) {
    static const char request[] =
        "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    if (send(descriptor, request, sizeof request - 1, MSG_NOSIGNAL) != sizeof request - 1) fail("handshake: not sent");
    char head[2048];
    size_t count = 0;
    while (count < 4 || memcmp(head + count - 4, "\r\n\r\n", 4) != 0) {
        /* Byte by byte, so as not to take what comes after it. */
        ssize_t got = recv(descriptor, head + count, 1, 0);
        if (got < 0 && errno == EINTR) continue;
        if (got != 1 || ++count == sizeof head - 1) fail("handshake: no answer");
    }
    head[count] = 0;
    if (strncmp(head, "HTTP/1.1 101 ", 13) != 0 || !strstr(head, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")) {
        fail("handshake: the server answered\n%s", head);
    }
}

static void open_connection(struct connection *connection) {
    int type = plan.protocol == protocol_udp ? SOCK_DGRAM : SOCK_STREAM;
    int descriptor = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    if (descriptor < 0) fail("socket: %s", strerror(errno));
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(server.port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (connect(descriptor, (struct sockaddr *)&address, sizeof address) < 0) fail("connect: %s", strerror(errno));
    int on = 1;
    if (type == SOCK_STREAM) setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct timeval limit = {.tv_sec = patience / 1000};
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    if (plan.protocol == protocol_websocket) shake_hands(descriptor);
    *connection = (struct connection){.descriptor = descriptor, .exchange = number_of(connection) * 7 % exchange_count};
    if (plan.protocol == protocol_chat) chat_login(&connection->member, number_of(connection), descriptor, &plan);
    /* SO_RCVTIMEO counts for blocking calls only, and from here on there are none. */
    int flags = fcntl(descriptor, F_GETFL);
    if (fcntl(descriptor, F_SETFL, flags | O_NONBLOCK) < 0) fail("fcntl: %s", strerror(errno));
    watch(EPOLL_CTL_ADD, connection, EPOLLIN);
    opened++;
    begin(connection, now());
}

static void finish(struct connection *connection) {
    uint64_t time = now();
    under_way--;
    if (connection->finished++ == 0) answered++;
    if (is_counting) {
        if (plan.protocol != protocol_chat) counted++;
        histogram_add(&histogram, time - connection->began);
    }
    if (plan.seconds > 0 ? !is_ending : connection->finished < plan.messages) {
        begin(connection, time);
    } else if (plan.protocol == protocol_udp) {
        over++;
    } else {
        /* What was asked for has come. After our end nothing may come but the server's. */
        if (shutdown(connection->descriptor, SHUT_WR) < 0) fail("shutdown: %s", strerror(errno));
        connection->is_shut = true;
    }
}

/* Takes the head of an HTTP answer, and returns how many bytes of it were among these. */
static size_t take_head(struct connection *connection, const char *start, size_t count) {
    size_t before = connection->head_count;
    size_t room = sizeof connection->head - 1 - before;
    memcpy(connection->head + before, start, count < room ? count : room);
    connection->head_count += count < room ? count : room;
    char *end = memmem(connection->head, connection->head_count, "\r\n\r\n", 4);
    if (!end) {
        if (count >= room) fail("the head of an answer is longer than %zu bytes", sizeof connection->head - 1);
        return count;
    }
    *end = 0;
    if (strncmp(connection->head, "HTTP/1.1 200 ", 13) != 0) fail("the answer is not 200:\n%s", connection->head);
    char *length = strcasestr(connection->head, "\r\nContent-Length:");
    if (!length || atoi(length + 17) != plan.size) fail("the answer is not of %d bytes:\n%s", plan.size, connection->head);
    connection->has_head = true;
    return (size_t)(end + 4 - connection->head) - before;
}

static void take(struct connection *connection, const uint8_t *start, size_t count) {
    while (count > 0) {
        struct exchange *exchange = &exchanges[connection->exchange];
        if (connection->is_shut) fail("%zu bytes more than were asked for", count);
        if (!connection->has_head) {
            size_t used = take_head(connection, (const char *)start, count);
            start += used;
            count -= used;
            continue;
        }
        size_t left = exchange->answer_count - connection->received;
        size_t part = count < left ? count : left;
        if (memcmp(start, exchange->answer + connection->received, part) != 0) {
            size_t at = 0;
            while (start[at] == exchange->answer[connection->received + at]) at++;
            fail(
                "byte %zu of an answer is %02x, not %02x", connection->received + at, start[at],
                exchange->answer[connection->received + at]);
        }
        connection->received += part;
        start += part;
        count -= part;
        if (connection->received < exchange->answer_count) return;
        if (connection->sent < exchange->request_count) fail("the answer was whole before the request was");
        if (count > 0) fail("%zu bytes more than were asked for", count);
        finish(connection);
    }
}

/* A message of its own has come back, perhaps, and others' as well. */
static void take_chat(struct connection *connection, const uint8_t *start, size_t count) {
    bool is_back = false;
    int messages = chat_take(&connection->member, number_of(connection), start, count, &plan, &is_back);
    delivered += (uint64_t)messages;
    if (is_counting) counted += (uint64_t)messages;
    if (is_back) finish(connection);
}

static void receive(struct connection *connection) {
    static uint8_t buffer[65536];
    ssize_t count = recv(connection->descriptor, buffer, sizeof buffer, 0);
    if (count < 0 && (errno == EINTR || errno == EAGAIN)) return;
    if (count < 0) fail("a connection broke: %s", strerror(errno));
    if (plan.protocol == protocol_udp) {
        struct exchange *exchange = &exchanges[connection->exchange];
        if ((size_t)count != exchange->answer_count || memcmp(buffer, exchange->answer, (size_t)count) != 0) {
            fail("a datagram of %zd bytes is not the answer to the one of %zu", count, exchange->request_count);
        }
        finish(connection);
    } else if (count > 0 && plan.protocol == protocol_chat) {
        take_chat(connection, buffer, (size_t)count);
    } else if (count > 0) {
        take(connection, buffer, (size_t)count);
    } else {
        if (!connection->is_shut) {
            fail("the server closed a connection that waits for %s", connection->received ? "the rest of an answer" : "an answer");
        }
        close(connection->descriptor);
        over++;
    }
}

static void round_of_events(void) {
    /* Not more at once than a listener's queue has room for. */
    while (opened < plan.connections && opened - answered < 128) open_connection(&connections[opened]);
    struct epoll_event events[256];
    int count = epoll_wait(poller, events, 256, patience);
    if (count < 0 && errno != EINTR) fail("epoll_wait: %s", strerror(errno));
    if (count == 0) fail("%llu answers are missing after %d s", (unsigned long long)under_way, patience / 1000);
    for (int index = 0; index < count; index++) {
        struct connection *connection = events[index].data.ptr;
        if (events[index].events & EPOLLOUT) send_rest(connection);
        if (events[index].events & ~(uint32_t)EPOLLOUT) receive(connection);
    }
}

static void run(int cpu) {
    uint64_t began, ended;
    double load_before, server_before, idle_before;
    if (plan.seconds > 0) {
        while (answered < plan.connections) round_of_events();
        /* A tenth first, for caches and for the scheduler. */
        uint64_t warm = now() + (uint64_t)(plan.seconds * 1e8);
        while (now() < warm) round_of_events();
    }
    idle_before = idle(cpu);
    load_before = own_cpu();
    server_before = server_cpu(&server);
    began = now();
    is_counting = true;
    if (plan.seconds > 0) {
        uint64_t end = began + (uint64_t)(plan.seconds * 1e9);
        while (now() < end) round_of_events();
    } else {
        while (over < plan.connections) round_of_events();
    }
    is_counting = false;
    ended = now();
    double seconds = (double)(ended - began) / 1e9;
    double load_used = own_cpu() - load_before, server_used = server_cpu(&server) - server_before;
    double idle_after = idle(cpu);
    is_ending = true;
    while (over < plan.connections) round_of_events();
    uint64_t messages = delivered;
    for (int index = 0; index < plan.connections && plan.protocol != protocol_chat; index++) {
        messages += (uint64_t)connections[index].finished;
    }
    double idled = idle_before < 0 || idle_after < 0 ? 0 : idle_after - idle_before;
    double others = (seconds - load_used - server_used - idled) / seconds;
    printf(
        "{\"counted\":%llu,\"verified\":%llu,\"seconds\":%.6f,\"p50\":%llu,\"p99\":%llu,\"loadCPU\":%.6f,"
        "\"serverCPU\":%.6f,\"others\":%.3f,\"memory\":%ld}\n",
        (unsigned long long)counted, (unsigned long long)messages, seconds,
        (unsigned long long)histogram_percentile(&histogram, 0.5),
        (unsigned long long)histogram_percentile(&histogram, 0.99), load_used, server_used, others < 0 ? 0 : others,
        server_memory(&server));
}

/* Whatever hangs: nobody waits for it longer than this. The kernel ends the server with us. */
enum { most_seconds = 180 };

static void give_up(int number) {
    static const char text[] = "no end in 180 s\n";
    (void)number;
    if (write(STDERR_FILENO, text, sizeof text - 1) < 0) {}
    _exit(1);
}

static _Noreturn void wrong(const char *what) {
    fprintf(stderr, "BenchLoad: %s: see main.c\n", what);
    exit(2);
}

int main(int count, char **arguments) {
    static const char *names[] = {"udp", "tcp", "websocket", "http", "chat"};
    int cpu = -1, index = 2;
    if (count < 2) wrong("no protocol");
    for (plan.protocol = protocol_udp; strcmp(arguments[1], names[plan.protocol]) != 0; plan.protocol++) {
        if (plan.protocol == protocol_chat) wrong(arguments[1]);
    }
    for (; index < count && strcmp(arguments[index], "--") != 0; index++) {
        char *option = arguments[index];
        if (strcmp(option, "--varied") == 0) {
            plan.varied = true;
            continue;
        }
        char *value = ++index < count ? arguments[index] : "";
        if (strcmp(option, "--connections") == 0) plan.connections = atoi(value);
        else if (strcmp(option, "--size") == 0) plan.size = atoi(value);
        else if (strcmp(option, "--seconds") == 0) plan.seconds = atof(value);
        else if (strcmp(option, "--messages") == 0) plan.messages = atoi(value);
        else if (strcmp(option, "--cpu") == 0) cpu = atoi(value);
        else if (strcmp(option, "--nginx") == 0) plan.nginx = value;
        else wrong(option);
    }
    if (index + 1 >= count) wrong("no server");
    if (plan.messages > 0) plan.seconds = 0;
    if (plan.connections < 1 || plan.size < 1 || plan.size > 65000 || (plan.seconds <= 0 && plan.messages < 1)) {
        wrong("a number is out of range");
    }
    /* A frame must have room for what is said, and its JSON. */
    if (plan.protocol == protocol_chat && plan.size > 200) wrong("--size of chat is at most 200");
    plan.server = &arguments[index + 1];
    signal(SIGALRM, give_up);
    alarm(most_seconds);
    raise_limit(plan.connections);
    cpu = chosen_cpu(cpu);
    exchanges_make(exchanges, &plan);
    connections = calloc((size_t)plan.connections, sizeof *connections);
    poller = epoll_create1(EPOLL_CLOEXEC);
    if (!connections || poller < 0) fail("no memory");
    server = server_start(&plan);
    run(cpu);
    server_stop(&server);
    return 0;
}
#else
#include <stdio.h>

int main(void) {
    fprintf(stderr, "BenchLoad needs epoll: Linux only.\n");
    return 2;
}
#endif
