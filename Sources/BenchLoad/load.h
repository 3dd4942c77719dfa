/* The load of `lab bench`: one thread that keeps one request under way on each of its connections, looks at every byte of
   every answer (in the chat room, at every message of every member), and counts. It starts the server as its child on the same CPU, so that nobody waits for another core to
   wake up, and ends it. */
#ifndef LOAD_H
#define LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* A request, and the answer to it. */
struct exchange {
    uint8_t *request;
    size_t request_count;
    /* Of HTTP, the body only. */
    uint8_t *answer;
    size_t answer_count;
};

enum protocol { protocol_udp, protocol_tcp, protocol_websocket, protocol_http, protocol_chat };

struct plan {
    enum protocol protocol;
    int connections;
    /* Of a message. With `varied`, the most. */
    int size;
    bool varied;
    /* How long is counted; or, if it is 0, how many messages each connection sends. */
    double seconds;
    int messages;
    /* What the server is; what it prints is its address. With `nginx` the folder to serve. */
    char **server;
    const char *nginx;
};

struct server {
    pid_t process;
    uint16_t port;
};

/* Waits until the server has printed its address. */
struct server server_start(const struct plan *plan);
/* Seconds of CPU that all its threads have used. */
double server_cpu(const struct server *server);
/* The most memory that it ever had, in kB; 0 if nobody knows. */
long server_memory(const struct server *server);
void server_stop(const struct server *server);

/* Seconds of CPU that this process has used. */
double own_cpu(void);
/* Seconds for which that CPU had nothing to do; -1 if nobody knows. */
double idle(int cpu);
/* Stays on one CPU, and returns which. -1: the last that we may use, since interrupts go to the first ones, mostly. */
int chosen_cpu(int wanted);
/* Both sides need a descriptor for each connection. */
void raise_limit(int connections);

/* Different requests, so that an answer to another one is seen. */
enum { exchange_count = 251 };
void exchanges_make(struct exchange exchanges[exchange_count], const struct plan *plan);

/* What a member of the chat room has still to make of the bytes that came. */
struct chat_member {
    uint8_t *input;
    size_t count;
    /* Of the last message that it was sent; 0 before the first. */
    uint64_t last_id;
    /* How many messages of each member it has got. */
    uint32_t *heard;
    /* How many it has said. */
    uint32_t said;
};

/* On a blocking socket: returns when it is a member. */
void chat_login(struct chat_member *member, int number, int descriptor, const struct plan *plan);
/* The frame of the next thing that it says. */
size_t chat_next(struct chat_member *member, int number, uint8_t *frame, const struct plan *plan);
enum { chat_frame_room = 256 };
/* Takes what came. Each message is looked at: it is the next one of the room, and the next one of who said it. Returns how
   many messages there were; `is_back` becomes true if one was the member's own. */
int chat_take(
    struct chat_member *member, int number, const uint8_t *start, size_t count, const struct plan *plan, bool *is_back);

/* Log-linear: 32 steps between a power of two and the next, so a value is off by 3 % at most. */
struct histogram { uint64_t counts[64 * 32]; uint64_t total; };
void histogram_add(struct histogram *histogram, uint64_t value);
uint64_t histogram_percentile(const struct histogram *histogram, double part);

/* Prints why, ends the server, and ends. */
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
