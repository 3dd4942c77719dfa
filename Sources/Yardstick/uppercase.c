#include "yardstick.h"

void uppercase(uint8_t *to, const uint8_t *from, size_t count) {
    for (size_t index = 0; index < count; index++) {
        uint8_t byte = from[index];
        to[index] = byte >= 'a' && byte <= 'z' ? byte - 32 : byte;
    }
}

void answer_uppercase(struct client *client, const uint8_t *received, size_t count, struct bytes *answers) {
    (void)client;
    uppercase(bytes_room(answers, count), received, count);
    answers->count += count;
}
