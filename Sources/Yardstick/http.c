/* GET /file, answered from memory: 1 KiB of the letter x. No file system, no date: what no file server can be faster than. */
#define _GNU_SOURCE
#include "yardstick.h"

#include <stdio.h>
#include <string.h>

enum { most_head = 8192, body_size = 1024 };

static void answer_error(struct client *client, const char *status, struct bytes *answers) {
    char head[128];
    int count = snprintf(
        head, sizeof head, "HTTP/1.1 %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", status);
    bytes_append(answers, head, (size_t)count);
    client->is_over = true;
}

static void answer_file(struct bytes *answers) {
    static char answer[256 + body_size];
    static size_t count;
    if (!count) {
        count = (size_t)snprintf(
            answer, 256, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n", body_size);
        memset(answer + count, 'x', body_size);
        count += body_size;
    }
    bytes_append(answers, answer, count);
}

void answer_http(struct client *client, const uint8_t *received, size_t count, struct bytes *answers) {
    /* Mostly a segment is just one request, and nothing has to be kept. */
    const uint8_t *start = received;
    if (client->input.count) {
        bytes_append(&client->input, received, count);
        start = client->input.start;
        count = client->input.count;
    }
    const uint8_t *rest = start;
    while (!client->is_over) {
        size_t left = count - (size_t)(rest - start);
        const uint8_t *end = memmem(rest, left, "\r\n\r\n", 4);
        if (!end) {
            if (left > most_head) answer_error(client, "431 Request Header Fields Too Large", answers);
            break;
        }
        const char *line = "GET /file HTTP/1.1\r\n";
        if ((size_t)(end - rest) + 4 >= strlen(line) && memcmp(rest, line, strlen(line)) == 0) answer_file(answers);
        else answer_error(client, "404 Not Found", answers);
        rest = end + 4;
    }
    size_t left = count - (size_t)(rest - start);
    if (client->input.count) bytes_remove_first(&client->input, client->input.count - left);
    else bytes_append(&client->input, rest, left);
}
