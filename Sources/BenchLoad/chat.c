/* Members of a chat room, in the protocol of lesson 14. Each says something, waits until it has come back to it, and says the
   next thing. What a member says begins with its number and counts up. */
#define _GNU_SOURCE
#include "load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { most_frame = 65536 };

static size_t put_frame(uint8_t *at, const char *text, size_t count) {
    for (int index = 0; index < 4; index++) at[index] = (uint8_t)(count >> (24 - 8 * index));
    memcpy(at + 4, text, count);
    return 4 + count;
}

static size_t frame_length(const uint8_t *head) {
    size_t length = (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
    if (length > most_frame) fail("a frame of %zu bytes: the protocol has %d", length, most_frame);
    return length;
}

/* Looks for `what`, and returns what is behind it. Servers write JSON in many ways: white space behind a colon is skipped. */
static const char *behind(const uint8_t *frame, size_t count, const char *what) {
    const char *found = memmem(frame, count, what, strlen(what)), *end = (const char *)frame + count;
    if (!found) return NULL;
    found += strlen(what);
    while (found < end && (*found == ' ' || *found == ':')) found++;
    return found < end ? found : NULL;
}

void chat_login(struct chat_member *member, int number, int descriptor, const struct plan *plan) {
    *member = (struct chat_member){
        .input = malloc(most_frame + 65536 + 4), .heard = calloc((size_t)plan->connections, sizeof(uint32_t))};
    if (!member->input || !member->heard) fail("no memory");
    char text[128];
    uint8_t frame[128 + 4];
    int size = snprintf(text, sizeof text, "{\"type\":\"login\",\"username\":\"member%d\"}", number);
    size_t count = put_frame(frame, text, (size_t)size);
    if (send(descriptor, frame, count, MSG_NOSIGNAL) != (ssize_t)count) fail("login: not sent");
    /* This frame and no more: what comes behind it is taken later. */
    size_t wanted = 4, got = 0;
    while (got < wanted) {
        ssize_t some = recv(descriptor, member->input + got, wanted - got, 0);
        if (some < 0 && errno == EINTR) continue;
        if (some <= 0) fail("login: no answer");
        got += (size_t)some;
        if (got == 4) wanted = 4 + frame_length(member->input);
    }
    if (!behind(member->input + 4, got - 4, "\"login_response\"") || !behind(member->input + 4, got - 4, "true")) {
        fail("login: the server answered %.*s", (int)(got - 4), member->input + 4);
    }
}

size_t chat_next(struct chat_member *member, int number, uint8_t *frame, const struct plan *plan) {
    char text[chat_frame_room];
    int size = snprintf(text, sizeof text, "{\"type\":\"chat\",\"content\":\"%d %u ", number, ++member->said);
    int content = size - (int)strlen("{\"type\":\"chat\",\"content\":\"");
    for (; content < plan->size && size < (int)sizeof text - 8; content++) text[size++] = 'x';
    memcpy(text + size, "\"}", 2);
    return put_frame(frame, text, (size_t)size + 2);
}

/* True if this is a message that somebody has said; `speaker` is who. */
static bool look(struct chat_member *member, const uint8_t *frame, size_t count, const struct plan *plan, int *speaker) {
    if (!memmem(frame, count, "\"chat_message\"", 14)) return false;
    const char *id = behind(frame, count, "\"id\""), *content = behind(frame, count, "\"content\"");
    unsigned long long number = id ? strtoull(id, NULL, 10) : 0;
    unsigned said;
    if (!number || !content || sscanf(content, "\"%d %u ", speaker, &said) != 2 || *speaker < 0 || *speaker >= plan->connections) {
        fail("this is no message of ours: %.*s", (int)count, frame);
    }
    if (member->last_id && number != member->last_id + 1) {
        fail("message %llu came behind message %llu", number, (unsigned long long)member->last_id);
    }
    member->last_id = number;
    uint32_t *heard = &member->heard[*speaker];
    /* Who logs in later misses the beginning, and never a message in between. */
    if (*heard ? said != *heard + 1 : said == 0) fail("%u of member %d came behind %u", said, *speaker, *heard);
    *heard = said;
    return true;
}

int chat_take(
    struct chat_member *member, int number, const uint8_t *start, size_t count, const struct plan *plan, bool *is_back) {
    /* At most 64 KiB come at a time, behind a part of a frame. */
    memcpy(member->input + member->count, start, count);
    member->count += count;
    size_t taken = 0;
    int messages = 0;
    while (member->count - taken >= 4) {
        size_t length = frame_length(member->input + taken);
        if (member->count - taken - 4 < length) break;
        int speaker;
        if (look(member, member->input + taken + 4, length, plan, &speaker)) {
            messages++;
            if (speaker == number && member->heard[number] == member->said) *is_back = true;
        }
        taken += 4 + length;
    }
    member->count -= taken;
    memmove(member->input, member->input + taken, member->count);
    return messages;
}
