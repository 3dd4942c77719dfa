#include "yardstick.h"

#include <stdlib.h>
#include <string.h>

uint8_t *bytes_room(struct bytes *bytes, size_t count) {
    size_t needed = bytes->count + count;
    if (needed > bytes->capacity) {
        size_t capacity = bytes->capacity ? bytes->capacity : 1024;
        while (capacity < needed) capacity *= 2;
        bytes->start = realloc(bytes->start, capacity);
        if (!bytes->start) fail("realloc");
        bytes->capacity = capacity;
    }
    return bytes->start + bytes->count;
}

void bytes_append(struct bytes *bytes, const void *more, size_t count) {
    if (!count) return;
    memcpy(bytes_room(bytes, count), more, count);
    bytes->count += count;
}

void bytes_remove_first(struct bytes *bytes, size_t count) {
    if (!count) return;
    bytes->count -= count;
    memmove(bytes->start, bytes->start + count, bytes->count);
}

void bytes_free(struct bytes *bytes) {
    free(bytes->start);
    *bytes = (struct bytes){0};
}
