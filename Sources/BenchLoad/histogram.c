#include "load.h"

static unsigned place(uint64_t value) {
    if (value < 32) return (unsigned)value;
    unsigned power = 63 - (unsigned)__builtin_clzll(value);
    return (power - 4) * 32 + (unsigned)(value >> (power - 5) & 31);
}

void histogram_add(struct histogram *histogram, uint64_t value) {
    histogram->counts[place(value)]++;
    histogram->total++;
}

uint64_t histogram_percentile(const struct histogram *histogram, double part) {
    uint64_t wanted = (uint64_t)((double)histogram->total * part), seen = 0;
    for (unsigned index = 0; index < 64 * 32; index++) {
        seen += histogram->counts[index];
        if (seen <= wanted) continue;
        if (index < 32) return index;
        return (uint64_t)(32 + index % 32) << (index / 32 - 1);
    }
    return 0;
}
