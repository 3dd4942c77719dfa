/* Fault plans: which calls fail or come back short. A plan is text, and deterministic by call number:

       receive:max=1              every receive gets at most one byte
       send#2-4:errno=4           the 2nd, 3rd and 4th send fail with EINTR, without being made
       accept%3:errno=103         every third accept fails with ECONNABORTED
       resolve:errno=-3           every getaddrinfo returns EAI_AGAIN: its codes are its own

   joined by ';'. A rule names a class of calls, since a student may write read for recv. A process counts the calls of
   each rule for itself; a forked child goes on from its parent's count. */
#include "tap_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

struct rule {
    uint64_t calls; /* a bit for each enum tap_call */
    unsigned long first, last, every;
    struct tap_fault fault;
    unsigned long seen;
};

static struct rule rules[16];
static int rule_count = 0;

#define BIT(name) (1ull << TAP_##name)
static const struct {
    const char *name;
    uint64_t calls;
} classes[] = {
    {"receive", BIT(recv) | BIT(recvfrom) | BIT(recvmsg) | BIT(read) | BIT(readv)},
    {"send", BIT(send) | BIT(sendto) | BIT(sendmsg) | BIT(write) | BIT(writev) | BIT(sendfile)},
    {"accept", BIT(accept) | BIT(accept4)},
    {"connect", BIT(connect)},
    {"wait-ready", BIT(select) | BIT(pselect) | BIT(poll) | BIT(ppoll) | BIT(epoll_wait) | BIT(epoll_pwait)},
    {"wait-child", BIT(waitpid) | BIT(wait)},
    {"socket", BIT(socket)},
    {"fork", BIT(fork)},
    {"resolve", BIT(getaddrinfo)},
};

/* Reads one rule that ends at ';' or the end; returns where it stopped, or NULL if it is not a rule. */
static const char *read_rule(const char *text, struct rule *rule) {
    size_t length = strcspn(text, "#%:;");
    rule->calls = 0;
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
        if (strlen(classes[i].name) == length && strncmp(classes[i].name, text, length) == 0)
            rule->calls = classes[i].calls;
    if (!rule->calls) return NULL;
    text += length;
    rule->first = 1, rule->last = (unsigned long)-1, rule->every = 1, rule->seen = 0;
    char *end = (char *)text;
    if (*text == '#') {
        rule->first = rule->last = strtoul(text + 1, &end, 10);
        if (*end == '-') rule->last = strtoul(end + 1, &end, 10);
    } else if (*text == '%') {
        rule->every = strtoul(text + 1, &end, 10);
        if (rule->every == 0) return NULL;
    }
    rule->fault = (struct tap_fault){.error = 0, .most = SIZE_MAX};
    if (strncmp(end, ":max=", 5) == 0) rule->fault.most = strtoul(end + 5, &end, 10);
    else if (strncmp(end, ":errno=", 7) == 0) rule->fault.error = (int)strtol(end + 7, &end, 10);
    else return NULL;
    if (rule->fault.most == 0) return NULL;
    return end;
}

int tap_plan_read(const char *plan) {
    rule_count = 0;
    while (*plan) {
        if (rule_count == sizeof rules / sizeof *rules) return -1;
        plan = read_rule(plan, &rules[rule_count]);
        if (!plan || (*plan && *plan != ';')) return -1;
        rule_count++;
        if (*plan == ';') plan++;
    }
    return 0;
}

static int socket_type(int descriptor) {
    int type = 0;
    socklen_t length = sizeof type;
    return REAL(getsockopt)(descriptor, SOL_SOCKET, SO_TYPE, &type, &length) == 0 ? type : 0;
}

static bool waits(int descriptor, int flags) {
    return !(flags & MSG_DONTWAIT) && !(REAL(fcntl)(descriptor, F_GETFL) & O_NONBLOCK);
}

struct tap_fault tap_plan_next(enum tap_call call, int descriptor, int flags) {
    struct tap_fault none = {.error = 0, .most = SIZE_MAX};
    for (int i = 0; i < rule_count; i++) {
        struct rule *rule = &rules[i];
        if (!(rule->calls & (1ull << call))) continue;
        /* Bytes are moved by sockets here: read and write on files and terminals are left alone. */
        bool moves = rule->calls == classes[0].calls || rule->calls == classes[1].calls;
        int type = moves ? socket_type(descriptor) : 0;
        if (moves && type == 0) continue;
        if (rule->fault.most != SIZE_MAX && type != SOCK_STREAM) continue; /* a datagram is whole or nothing */
        if (rule->fault.error == EAGAIN && waits(descriptor, flags)) continue; /* it would have waited */
        unsigned long number = __atomic_add_fetch(&rule->seen, 1, __ATOMIC_RELAXED);
        if (number < rule->first || number > rule->last || number % rule->every != 0) continue;
        return rule->fault;
    }
    return none;
}
