/* Fault plans: which calls fail or come back short. A plan is text, and deterministic by call number:

       receive:max=1              every receive gets at most one byte
       send#2-4:errno=104         the 2nd, 3rd and 4th send fail with ECONNRESET, without being made
       accept%3:errno=103         every third accept fails with ECONNABORTED
       resolve:errno=-3           every getaddrinfo returns EAI_AGAIN: its codes are its own
       resolve:also=2001:db8::7   every getaddrinfo finds this address, too, before the others: a name with several;
                                  a second such rule adds one behind it

   joined by ';'. A rule names a class of calls, since a student may write read for recv. Each rule counts the calls that
   it could apply to, also those that another rule has changed; a forked child goes on from its parent's counts. Where
   several rules meet in a call, the first error holds, or else the smallest maximum.

   Only what could happen is made to happen. A rule passes over a call, and does not count it, if
   - the call moves bytes but not on a socket: files and terminals are left alone, and so are the ends of a socketpair that
     the program made itself, to wake a thread of its own: nothing lies between them that could break;
   - it would be cut short, and the socket's type keeps messages whole (a datagram is whole or nothing);
   - it would fail with EAGAIN, but would wait instead: the descriptor blocks;
   - it would fail with EINTR, but cannot wait: there is nothing to interrupt. (A wait for readiness with a timeout of 0 only
     looks.) Where every wait is interrupted, only those in which nothing is ready are: see TAP_WAIT;
   - every send would fail with EAGAIN, and poll says of this socket that there is room. A full one still takes a little, or
     not: Linux calls it writable only when a third of its buffer is free. So what is left to be sent stays left. */
#include "tap_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>

struct rule {
    uint64_t calls; /* a bit for each enum tap_call */
    uint64_t first, last, every;
    struct tap_fault fault;
    char also[64];
    uint64_t seen;
};

static struct rule rules[16];
static int rule_count = 0;

#define BIT(name) (1ull << TAP_##name)
_Static_assert(TAP_CALL_COUNT <= 64, "a bit for each call");

static const uint64_t receives = BIT(recv) | BIT(recvfrom) | BIT(recvmsg) | BIT(read) | BIT(readv);
static const uint64_t sends = BIT(send) | BIT(sendto) | BIT(sendmsg) | BIT(write) | BIT(writev) | BIT(sendfile);
static const uint64_t accepts = BIT(accept) | BIT(accept4);
static const uint64_t waits_ready =
    BIT(select) | BIT(pselect) | BIT(poll) | BIT(ppoll) | BIT(epoll_wait) | BIT(epoll_pwait);

static uint64_t class_named(const char *name, size_t length) {
    const struct {
        const char *name;
        uint64_t calls;
    } classes[] = {
        {"receive", receives},
        {"send", sends},
        {"accept", accepts},
        {"connect", BIT(connect)},
        {"listen", BIT(listen)},
        {"wait-ready", waits_ready},
        {"wait-child", BIT(waitpid) | BIT(wait)},
        {"socket", BIT(socket)},
        {"fork", BIT(fork)},
        {"resolve", BIT(getaddrinfo)},
    };
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
        if (strlen(classes[i].name) == length && memcmp(classes[i].name, name, length) == 0) return classes[i].calls;
    return 0;
}

/* Reads digits, from 1 to a thousand million, and steps over them; 0 if there is no such number. */
static uint64_t read_number(const char **text) {
    uint64_t number = 0;
    const char *start = *text;
    while (**text >= '0' && **text <= '9' && number <= 100000000) number = number * 10 + (uint64_t)(*(*text)++ - '0');
    return *text == start || (**text >= '0' && **text <= '9') ? 0 : number;
}

static bool step_over(const char **text, const char *word) {
    size_t length = strlen(word);
    if (strncmp(*text, word, length) != 0) return false;
    *text += length;
    return true;
}

/* Reads one rule; returns where it stopped, or NULL if it is not one. */
static const char *read_rule(const char *text, struct rule *rule) {
    size_t length = strcspn(text, "#%:;");
    *rule = (struct rule){.calls = class_named(text, length), .first = 1, .last = UINT64_MAX, .every = 1};
    rule->fault.most = SIZE_MAX;
    if (!rule->calls) return NULL;
    text += length;
    if (step_over(&text, "#")) {
        rule->first = rule->last = read_number(&text);
        if (step_over(&text, "-")) rule->last = read_number(&text);
        if (rule->first == 0 || rule->last < rule->first) return NULL;
    } else if (step_over(&text, "%")) {
        rule->every = read_number(&text);
        if (rule->every == 0) return NULL;
    }
    if (step_over(&text, ":max=")) {
        if (rule->calls != receives && rule->calls != sends) return NULL; /* what else has a size? */
        rule->fault.most = read_number(&text);
        return rule->fault.most ? text : NULL;
    }
    if (step_over(&text, ":also=")) {
        length = strcspn(text, ";");
        if (rule->calls != BIT(getaddrinfo) || length == 0 || length >= sizeof rule->also) return NULL;
        memcpy(rule->also, text, length);
        return text + length;
    }
    if (!step_over(&text, ":errno=")) return NULL;
    bool negative = rule->calls == BIT(getaddrinfo) && step_over(&text, "-");
    rule->fault.error = (int)read_number(&text);
    if (negative) rule->fault.error = -rule->fault.error;
    return rule->fault.error ? text : NULL;
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

static bool is_always(const struct rule *rule) {
    return rule->first == 1 && rule->last == UINT64_MAX && rule->every == 1;
}

/* One that is asked while it is full says when it has room again, to epoll's edges, too. */
static bool has_room(int descriptor) {
    struct pollfd entry = {.fd = descriptor, .events = POLLOUT};
    return REAL(poll)(&entry, 1, 0) != 0;
}

static bool could_happen(const struct rule *rule, int descriptor, int flags) {
    bool moves = rule->calls == receives || rule->calls == sends;
    if (moves || rule->calls == accepts || rule->calls == BIT(connect)) {
        int type = socket_type(descriptor);
        if (type == 0) return false;
        if (moves && tap_is_own_pair(descriptor)) return false; /* no network lies between its ends */
        if (rule->fault.most != SIZE_MAX && type != SOCK_STREAM) return false;
        if (rule->fault.error == EAGAIN && waits(descriptor, flags)) return false;
        if (rule->fault.error == EAGAIN && rule->calls == sends && is_always(rule) && has_room(descriptor)) return false;
        if (rule->fault.error == EINTR && !waits(descriptor, flags)) return false;
    }
    if (rule->calls == waits_ready && rule->fault.error == EINTR && (flags & MSG_DONTWAIT)) return false;
    return true;
}

struct tap_fault tap_plan_next(enum tap_call call, int descriptor, int flags) {
    struct tap_fault fault = {.error = 0, .most = SIZE_MAX};
    for (int i = 0; i < rule_count; i++) {
        struct rule *rule = &rules[i];
        if (!(rule->calls & (1ull << call)) || !could_happen(rule, descriptor, flags)) continue;
        uint64_t number = __atomic_add_fetch(&rule->seen, 1, __ATOMIC_RELAXED);
        if (number < rule->first || number > rule->last || number % rule->every != 0) continue;
        if (!fault.error) {
            fault.error = rule->fault.error;
            fault.always = is_always(rule);
        }
        if (rule->fault.most < fault.most) fault.most = rule->fault.most;
        if (rule->also[0]) fault.also[fault.also[0] != NULL] = rule->also;
    }
    return fault;
}
