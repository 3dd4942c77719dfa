/* The servers that `lab bench` compares the reference solutions with: plain C, one thread, no library but libc, doing the
   same work with the same care (short sends, back-pressure, hostile input), and nothing to look fast with. */
#ifndef YARDSTICK_H
#define YARDSTICK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes that grow at their end. */
struct bytes {
    uint8_t *start;
    size_t count;
    size_t capacity;
};

void bytes_append(struct bytes *bytes, const void *more, size_t count);
/* Makes room for `count` more and returns where they go; `bytes->count` is as before. */
uint8_t *bytes_room(struct bytes *bytes, size_t count);
void bytes_remove_first(struct bytes *bytes, size_t count);
void bytes_free(struct bytes *bytes);

/* A connection between two events. */
struct client {
    /* What arrived and is not a whole request yet. */
    struct bytes input;
    /* Answers that the kernel had no room for yet. */
    struct bytes pending;
    bool has_ended;
    bool is_broken;
    /* Nothing more is wanted from it: it is closed when the last answer is out. */
    bool is_over;
    /* The WebSocket handshake is done; or it is a member of the chat room, by this name. */
    bool is_upgraded;
    char name[32];
    int name_length;
    bool is_open;
    /* Something is to be sent to it at the end of this round of events. */
    bool is_due;
    uint32_t interest;
};

/* Takes what a client sent, and appends the answers to `answers`. */
typedef void handler(struct client *client, const uint8_t *received, size_t count, struct bytes *answers);

handler answer_uppercase, answer_http, answer_websocket, answer_chat;

/* All that are connected, one after the other; NULL behind the last. */
struct client *first_client(void);
struct client *next_client(struct client *client);
/* To any client, together with whatever else there is for it by the end of this round of events. */
void send_to(struct client *client, const uint8_t *start, size_t count);
/* Closes it, without a word, as soon as it is its turn. */
void drop(struct client *client);

/* Serves for ever: TCP on a free port of 127.0.0.1, which is printed; level-triggered epoll. */
_Noreturn void serve_streams(handler *answer);
/* Upper case over UDP, likewise. */
_Noreturn void serve_datagrams(void);

/* to[i] is from[i] with a..z turned into A..Z. They may be the same. */
void uppercase(uint8_t *to, const uint8_t *from, size_t count);
/* A socket bound to a free port of 127.0.0.1, its address printed. */
int bound_socket(int type);
_Noreturn void fail(const char *call);

/* FIPS 180-4, for Sec-WebSocket-Accept. */
void sha1(const uint8_t *message, size_t count, uint8_t digest[20]);

#endif
