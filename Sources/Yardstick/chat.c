/* A chat room in the protocol of lesson 14, as far as the load speaks it: login, chat, and what a room says to its members.
   JSON is read as that load writes it, without white space and escapes. */
#ifdef __linux__
#define _GNU_SOURCE
#include "yardstick.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* A member that does not read, and for which more than this waits, is dropped. */
enum { most_frame = 65536, most_waiting = 1 << 20 };

static uint64_t last_id;

/* To one client, or to all members. */
static void send_frame(struct client *client, const char *start, size_t count) {
    static struct bytes frame;
    uint8_t length[4] = {(uint8_t)(count >> 24), (uint8_t)(count >> 16), (uint8_t)(count >> 8), (uint8_t)count};
    frame.count = 0;
    bytes_append(&frame, length, 4);
    bytes_append(&frame, start, count);
    if (client) {
        send_to(client, frame.start, frame.count);
        return;
    }
    for (struct client *member = first_client(); member; member = next_client(member)) {
        if (!member->is_upgraded) continue;
        send_to(member, frame.start, frame.count);
        if (member->pending.count > most_waiting) drop(member);
    }
}

/* The text of this field, without its quotation marks; NULL if there is none. */
static const char *field(const uint8_t *frame, size_t count, const char *name, size_t *length) {
    char key[32];
    int size = snprintf(key, sizeof key, "\"%s\":\"", name);
    const char *start = memmem(frame, count, key, (size_t)size);
    if (!start) return NULL;
    start += size;
    const char *end = memchr(start, '"', count - (size_t)(start - (const char *)frame));
    if (!end) return NULL;
    *length = (size_t)(end - start);
    return start;
}

static void handle_frame(struct client *client, const uint8_t *frame, size_t count) {
    static char text[most_frame + 256];
    size_t type_length, length;
    const char *type = field(frame, count, "type", &type_length), *value;
    if (type && type_length == 5 && memcmp(type, "login", 5) == 0 && !client->is_upgraded
        && (value = field(frame, count, "username", &length)) && length <= sizeof client->name) {
        static const char welcome[] = "{\"type\":\"login_response\",\"success\":true}";
        send_frame(client, welcome, sizeof welcome - 1);
        int size = snprintf(text, sizeof text, "{\"type\":\"user_joined\",\"username\":\"%.*s\"}", (int)length, value);
        send_frame(NULL, text, (size_t)size);
        memcpy(client->name, value, length);
        client->name_length = (int)length;
        client->is_upgraded = true;
    } else if (type && type_length == 4 && memcmp(type, "chat", 4) == 0 && client->is_upgraded
        && (value = field(frame, count, "content", &length))) {
        struct timespec time;
        clock_gettime(CLOCK_REALTIME, &time);
        int size = snprintf(
            text, sizeof text,
            "{\"type\":\"chat_message\",\"id\":%llu,\"username\":\"%.*s\",\"content\":\"%.*s\",\"timestamp\":%lld.%06ld}",
            (unsigned long long)++last_id, client->name_length, client->name, (int)length, value, (long long)time.tv_sec,
            time.tv_nsec / 1000);
        send_frame(NULL, text, (size_t)size);
    } else {
        client->is_over = true;
    }
}

void answer_chat(struct client *client, const uint8_t *received, size_t count, struct bytes *answers) {
    (void)answers; /* Each frame is on its way at once. */
    bytes_append(&client->input, received, count);
    size_t start = 0;
    while (!client->is_over && client->input.count - start >= 4) {
        const uint8_t *head = client->input.start + start;
        size_t length = (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
        if (length > most_frame) {
            client->is_over = true;
            return;
        }
        if (client->input.count - start - 4 < length) break;
        handle_frame(client, head + 4, length);
        start += 4 + length;
    }
    bytes_remove_first(&client->input, start);
}
#endif
