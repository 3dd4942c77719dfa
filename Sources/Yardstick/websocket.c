/* RFC 6455 echo of messages in one frame, with its checks: masks, lengths, control frames, UTF-8, the closing handshake. */
#define _GNU_SOURCE
#include "yardstick.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { most_message = 1 << 20, most_head = 8192 };
enum { opcode_text = 1, opcode_binary = 2, opcode_close = 8, opcode_ping = 9, opcode_pong = 10 };

static void append_frame(struct bytes *answers, uint8_t opcode, const uint8_t *payload, size_t count) {
    uint8_t header[10] = {0x80 | opcode};
    size_t length = 2;
    if (count < 126) {
        header[1] = (uint8_t)count;
    } else if (count < 65536) {
        header[1] = 126;
        header[2] = (uint8_t)(count >> 8);
        header[3] = (uint8_t)count;
        length = 4;
    } else {
        header[1] = 127;
        for (int index = 0; index < 8; index++) header[2 + index] = (uint8_t)((uint64_t)count >> (56 - 8 * index));
        length = 10;
    }
    bytes_append(answers, header, length);
    bytes_append(answers, payload, count);
}

static void fail_connection(struct client *client, uint16_t code, struct bytes *answers) {
    uint8_t payload[2] = {(uint8_t)(code >> 8), (uint8_t)code};
    append_frame(answers, opcode_close, payload, 2);
    client->is_over = true;
}

/* RFC 3629. */
static bool is_utf8(const uint8_t *start, size_t count) {
    size_t index = 0;
    while (index < count) {
        uint8_t first = start[index++];
        if (first < 0x80) continue;
        size_t more = first >= 0xc2 && first <= 0xdf ? 1 : (first & 0xf0) == 0xe0 ? 2 : first >= 0xf0 && first <= 0xf4 ? 3 : 0;
        if (!more || more > count - index) return false;
        uint8_t low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
        uint8_t high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
        if (start[index] < low || start[index] > high) return false;
        for (size_t next = 1; next < more; next++) if ((start[index + next] & 0xc0) != 0x80) return false;
        index += more;
    }
    return true;
}

static void upgrade(struct client *client, const char *head, size_t count, struct bytes *answers) {
    static const char name[] = "Sec-WebSocket-Key:";
    for (const char *line = head; line && line < head + count; ) {
        const char *end = memmem(line, (size_t)(head + count - line), "\r\n", 2);
        if (!end) break;
        if ((size_t)(end - line) > sizeof name && strncasecmp(line, name, sizeof name - 1) == 0) {
            const char *key = line + sizeof name - 1;
            while (*key == ' ') key++;
            while (end > key && end[-1] == ' ') end--;
            if (end - key != 24) break;
            uint8_t text[24 + 36], digest[20];
            memcpy(text, key, 24);
            memcpy(text + 24, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11", 36);
            sha1(text, sizeof text, digest);
            static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
            char accept[29];
            for (int group = 0; group < 7; group++) {
                uint32_t bits = (uint32_t)digest[group * 3] << 16 | (uint32_t)digest[group * 3 + 1] << 8
                    | (group < 6 ? digest[group * 3 + 2] : 0);
                for (int digit = 0; digit < 4; digit++) accept[group * 4 + digit] = digits[bits >> (18 - 6 * digit) & 63];
            }
            accept[27] = '=';
            accept[28] = 0;
            char answer[160];
            int length = snprintf(
                answer, sizeof answer,
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                "Sec-WebSocket-Accept: %s\r\n\r\n", accept);
            bytes_append(answers, answer, (size_t)length);
            client->is_upgraded = true;
            return;
        }
        line = end + 2;
    }
    static const char refusal[] = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    bytes_append(answers, refusal, sizeof refusal - 1);
    client->is_over = true;
}

/* Returns how many bytes of the input it used: 0 if there is no whole frame. */
static size_t answer_frame(struct client *client, const uint8_t *start, size_t count, struct bytes *answers) {
    if (count < 2) return 0;
    uint8_t opcode = start[0] & 0x0f;
    bool is_masked = start[1] & 0x80;
    uint64_t length = start[1] & 0x7f;
    size_t used = 2;
    if (length >= 126) {
        size_t size = length == 126 ? 2 : 8;
        if (count < used + size) return 0;
        length = 0;
        for (size_t index = 0; index < size; index++) length = length << 8 | start[used + index];
        used += size;
    }
    bool is_known = opcode == opcode_text || opcode == opcode_binary || (opcode >= opcode_close && opcode <= opcode_pong);
    if ((start[0] & 0xf0) != 0x80 || !is_known || !is_masked || (opcode >= opcode_close && length > 125)) {
        fail_connection(client, 1002, answers);
        return count;
    }
    if (length > most_message) {
        fail_connection(client, 1009, answers);
        return count;
    }
    if (count < used + 4 + length) return 0;
    const uint8_t *mask = start + used;
    used += 4;
    static uint8_t payload[most_message];
    for (size_t index = 0; index < length; index++) payload[index] = start[used + index] ^ mask[index & 3];
    used += length;
    switch (opcode) {
    case opcode_text:
        if (!is_utf8(payload, length)) {
            fail_connection(client, 1007, answers);
            return count;
        }
        append_frame(answers, opcode, payload, length);
        break;
    case opcode_binary: append_frame(answers, opcode, payload, length); break;
    case opcode_ping: append_frame(answers, opcode_pong, payload, length); break;
    case opcode_close:
        append_frame(answers, opcode_close, payload, length);
        client->is_over = true;
        break;
    }
    return used;
}

void answer_websocket(struct client *client, const uint8_t *received, size_t count, struct bytes *answers) {
    const uint8_t *start = received;
    bool is_kept = client->input.count;
    if (is_kept) {
        bytes_append(&client->input, received, count);
        start = client->input.start;
        count = client->input.count;
    }
    size_t used = 0;
    while (!client->is_over && used < count) {
        size_t step;
        if (client->is_upgraded) {
            step = answer_frame(client, start + used, count - used, answers);
        } else {
            const uint8_t *end = memmem(start, count, "\r\n\r\n", 4);
            step = end ? (size_t)(end - start) + 4 : 0;
            if (end) upgrade(client, (const char *)start, step, answers);
            else if (count > most_head) client->is_broken = true;
        }
        if (!step) break;
        used += step;
    }
    if (is_kept) bytes_remove_first(&client->input, used);
    else bytes_append(&client->input, start + used, count - used);
}
