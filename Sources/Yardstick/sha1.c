#include "yardstick.h"

#include <string.h>

static uint32_t rotated(uint32_t word, int by) { return word << by | word >> (32 - by); }

static void add_block(uint32_t state[5], const uint8_t block[64]) {
    uint32_t words[80];
    for (int index = 0; index < 16; index++) {
        const uint8_t *at = block + index * 4;
        words[index] = (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
    }
    for (int index = 16; index < 80; index++) {
        words[index] = rotated(words[index - 3] ^ words[index - 8] ^ words[index - 14] ^ words[index - 16], 1);
    }
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
    for (int index = 0; index < 80; index++) {
        uint32_t mix = index < 20 ? ((b & c) | (~b & d)) + 0x5a827999
            : index < 40 ? (b ^ c ^ d) + 0x6ed9eba1
            : index < 60 ? ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdc
            : (b ^ c ^ d) + 0xca62c1d6;
        uint32_t next = rotated(a, 5) + mix + e + words[index];
        e = d;
        d = c;
        c = rotated(b, 30);
        b = a;
        a = next;
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
    state[4] += e;
}

void sha1(const uint8_t *message, size_t count, uint8_t digest[20]) {
    uint32_t state[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    uint64_t bits = (uint64_t)count * 8;
    for (; count >= 64; message += 64, count -= 64) add_block(state, message);
    uint8_t last[128] = {0};
    size_t size = count < 56 ? 64 : 128;
    memcpy(last, message, count);
    last[count] = 0x80;
    for (int index = 0; index < 8; index++) last[size - 1 - (size_t)index] = (uint8_t)(bits >> (8 * index));
    add_block(state, last);
    if (size == 128) add_block(state, last + 64);
    for (int index = 0; index < 20; index++) digest[index] = (uint8_t)(state[index / 4] >> (24 - 8 * (index % 4)));
}
