#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* xorshift64: the same bytes in every run. */
static uint64_t state = 0x9e3779b97f4a7c15;
static uint64_t random_number(void) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static void *room(size_t count) {
    void *start = malloc(count ? count : 1);
    if (!start) fail("no memory");
    return start;
}

/* Any bytes; the answer is the same with a..z turned into A..Z. */
static struct exchange uppercase_exchange(size_t count) {
    struct exchange exchange = {room(count), count, room(count), count};
    for (size_t index = 0; index < count; index++) {
        /* Half of it letters, so that there is something to do. */
        uint8_t byte = (uint8_t)random_number();
        if (index % 2) byte = 'a' + byte % 26;
        exchange.request[index] = byte;
        exchange.answer[index] = byte >= 'a' && byte <= 'z' ? byte - 32 : byte;
    }
    return exchange;
}

static size_t put_header(uint8_t *at, size_t count, bool is_masked) {
    at[0] = 0x81;
    uint8_t mask = is_masked ? 0x80 : 0;
    if (count < 126) {
        at[1] = mask | (uint8_t)count;
        return 2;
    }
    at[1] = mask | 126;
    at[2] = (uint8_t)(count >> 8);
    at[3] = (uint8_t)count;
    return 4;
}

/* A text message in one frame, masked; the answer is the same text, not masked. */
static struct exchange websocket_exchange(size_t count) {
    struct exchange exchange = {room(count + 8), 0, room(count + 4), 0};
    size_t head = put_header(exchange.request, count, true);
    size_t answer_head = put_header(exchange.answer, count, false);
    uint8_t mask[4];
    for (int index = 0; index < 4; index++) mask[index] = exchange.request[head++] = (uint8_t)random_number();
    for (size_t index = 0; index < count; index++) {
        uint8_t letter = ' ' + (uint8_t)(random_number() % 95);
        exchange.answer[answer_head + index] = letter;
        exchange.request[head + index] = letter ^ mask[index & 3];
    }
    exchange.request_count = head + count;
    exchange.answer_count = answer_head + count;
    return exchange;
}

static struct exchange http_exchange(size_t count) {
    static const char request[] = "GET /file HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: lab-bench\r\nAccept: */*\r\n\r\n";
    struct exchange exchange = {(uint8_t *)strdup(request), sizeof request - 1, room(count), count};
    memset(exchange.answer, 'x', count);
    return exchange;
}

void exchanges_make(struct exchange exchanges[exchange_count], const struct plan *plan) {
    for (int index = 0; index < exchange_count; index++) {
        size_t count = plan->varied ? 1 + random_number() % (size_t)plan->size : (size_t)plan->size;
        switch (plan->protocol) {
        case protocol_udp: case protocol_tcp: exchanges[index] = uppercase_exchange(count); break;
        case protocol_websocket: exchanges[index] = websocket_exchange(count); break;
        case protocol_http: exchanges[index] = http_exchange(count); break;
        case protocol_chat: break; /* what is said changes each time: chat_next */
        }
    }
}
