/* One thread, level-triggered epoll(7): what lesson 07 teaches, in C. */
#ifdef __linux__
#define _GNU_SOURCE
#include "yardstick.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* A client that sends and never reads gets no more memory than this. */
enum { most_pending = 65536 };

static struct client *clients;
static int client_room;
static int poller;
/* The descriptors of clients to which something is to be sent when this round of events is over. */
static struct bytes due;

static struct client *client_of(int descriptor) {
    if (descriptor >= client_room) {
        int room = client_room ? client_room : 64;
        while (room <= descriptor) room *= 2;
        clients = realloc(clients, (size_t)room * sizeof *clients);
        if (!clients) fail("realloc");
        for (int index = client_room; index < room; index++) clients[index] = (struct client){0};
        client_room = room;
    }
    return &clients[descriptor];
}

static void watch(int operation, int descriptor, uint32_t events) {
    struct epoll_event event = {.events = events, .data.fd = descriptor};
    if (epoll_ctl(poller, operation, descriptor, &event) < 0) fail("epoll_ctl");
}

static int descriptor_of(const struct client *client) { return (int)(client - clients); }

struct client *first_client(void) { return clients ? next_client(clients - 1) : NULL; }

struct client *next_client(struct client *client) {
    while (++client < clients + client_room) if (client->is_open) return client;
    return NULL;
}

/* Returns how many of the bytes the kernel took. */
static size_t send_some(int descriptor, struct client *client, const uint8_t *start, size_t count) {
    for (;;) {
        ssize_t sent = send(descriptor, start, count, MSG_NOSIGNAL);
        if (sent >= 0) return (size_t)sent;
        if (errno == EINTR) continue;
        if (errno != EAGAIN) client->is_broken = true;
        return 0;
    }
}

void send_to(struct client *client, const uint8_t *start, size_t count) {
    bytes_append(&client->pending, start, count);
    if (client->is_due) return;
    client->is_due = true;
    int descriptor = descriptor_of(client);
    bytes_append(&due, &descriptor, sizeof descriptor);
}

void drop(struct client *client) {
    client->is_broken = true;
    shutdown(descriptor_of(client), SHUT_RDWR);
}

static void receive(int descriptor, struct client *client, handler *answer) {
    static uint8_t buffer[16384];
    static struct bytes answers;
    ssize_t count = recv(descriptor, buffer, sizeof buffer, 0);
    if (count < 0) {
        if (errno != EINTR && errno != EAGAIN) client->is_broken = true;
        return;
    }
    if (count == 0) {
        client->has_ended = true;
        return;
    }
    answers.count = 0;
    answer(client, buffer, (size_t)count, &answers);
    /* Mostly there is room, and nothing has to be kept. */
    size_t sent = client->pending.count || !answers.count
        ? 0 : send_some(descriptor, client, answers.start, answers.count);
    bytes_append(&client->pending, answers.start + sent, answers.count - sent);
}

/* After whatever happened to it: closed if it is over, else waited for what it needs. */
static void settle(int descriptor, struct client *client) {
    bool reads = !client->has_ended && !client->is_over && client->pending.count < most_pending;
    if (client->is_broken || (!client->pending.count && (client->has_ended || client->is_over))) {
        bytes_free(&client->input);
        bytes_free(&client->pending);
        client->is_open = false;
        close(descriptor);
        return;
    }
    uint32_t interest = (reads ? EPOLLIN : 0) | (client->pending.count ? EPOLLOUT : 0);
    if (interest != client->interest) {
        client->interest = interest;
        watch(EPOLL_CTL_MOD, descriptor, interest);
    }
}

static void handle(int descriptor, uint32_t events, handler *answer) {
    struct client *client = client_of(descriptor);
    if (client->pending.count && events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) {
        bytes_remove_first(
            &client->pending, send_some(descriptor, client, client->pending.start, client->pending.count));
    }
    if (client->interest & EPOLLIN && events & (EPOLLIN | EPOLLERR | EPOLLHUP)) receive(descriptor, client, answer);
    if (!client->is_due) settle(descriptor, client);
}

/* One send for all that has come together for a client. */
static void send_due(void) {
    for (size_t index = 0; index < due.count / sizeof(int); index++) {
        int descriptor = ((int *)due.start)[index];
        struct client *client = client_of(descriptor);
        client->is_due = false;
        bytes_remove_first(
            &client->pending, send_some(descriptor, client, client->pending.start, client->pending.count));
        settle(descriptor, client);
    }
    due.count = 0;
}

/* False if there is no room for another client now. */
static bool accept_clients(int listener) {
    for (;;) {
        int descriptor = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (descriptor < 0) {
            switch (errno) {
            case EAGAIN: return true;
            case EINTR: case ECONNABORTED: case EPROTO: continue;
            case EMFILE: case ENFILE: case ENOBUFS: case ENOMEM: return false;
            default: fail("accept4");
            }
        }
        *client_of(descriptor) = (struct client){.interest = EPOLLIN, .is_open = true};
        watch(EPOLL_CTL_ADD, descriptor, EPOLLIN);
    }
}

_Noreturn void serve_streams(handler *answer) {
    int listener = bound_socket(SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC);
    poller = epoll_create1(EPOLL_CLOEXEC);
    if (poller < 0) fail("epoll_create1");
    watch(EPOLL_CTL_ADD, listener, EPOLLIN);
    bool has_room = true;
    for (;;) {
        struct epoll_event events[256];
        int count = epoll_wait(poller, events, 256, has_room ? -1 : 100);
        if (count < 0 && errno != EINTR) fail("epoll_wait");
        bool someone_waits = !has_room;
        for (int index = 0; index < count; index++) {
            if (events[index].data.fd == listener) someone_waits = true;
            else handle(events[index].data.fd, events[index].events, answer);
        }
        send_due();
        /* Last: a number that was just given back must not be a new client's while an event for the old one is left. */
        if (!someone_waits) continue;
        bool room = accept_clients(listener);
        if (room != has_room) watch(EPOLL_CTL_MOD, listener, room ? EPOLLIN : 0);
        has_room = room;
    }
}
#endif
