/* Where the program's code lies, and thread numbers, on macOS. Not run there yet. */
#ifdef __APPLE__
#include "tap_internal.h"
#include <mach-o/getsect.h>
#include <mach-o/ldsyms.h>
#include <pthread.h>

bool tap_in_program(const void *code) {
    unsigned long size = 0;
    const uint8_t *text = getsegmentdata(&_mh_execute_header, "__TEXT", &size);
    return text && (const uint8_t *)code >= text && (const uint8_t *)code < text + size;
}

int tap_thread_id(void) {
    uint64_t number = 0;
    pthread_threadid_np(0, &number);
    return (int)number;
}

/* Nobody says who made a pair: each counts as lent. */
bool tap_is_own_pair(int descriptor) {
    (void)descriptor;
    return false;
}

/* select(2) leaves `timeout` as it is. */
void tap_shorten_select(struct timeval *timeout) { (void)timeout; }
#endif
