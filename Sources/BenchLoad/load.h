/* The load of `lab bench`: one thread that keeps one request under way on each of its connections, looks at every byte of
   every answer, and counts. It starts the server as its child on the same CPU, so that nobody waits for another core to
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

enum protocol { protocol_udp, protocol_tcp, protocol_websocket, protocol_http };

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

/* Different requests, so that an answer to another one is seen. */
enum { exchange_count = 251 };
void exchanges_make(struct exchange exchanges[exchange_count], const struct plan *plan);

/* Log-linear: 32 steps between a power of two and the next, so a value is off by 3 % at most. */
struct histogram { uint64_t counts[64 * 32]; uint64_t total; };
void histogram_add(struct histogram *histogram, uint64_t value);
uint64_t histogram_percentile(const struct histogram *histogram, double part);

/* Prints why, ends the server, and ends. */
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
