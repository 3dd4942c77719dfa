/* What the machine gives the load: a CPU, descriptors, time. */
#ifdef __linux__
#define _GNU_SOURCE
#include "load.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

double own_cpu(void) {
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

double idle(int cpu) {
    char line[512];
    double user, nice, system, idle, waiting, seconds = -1;
    FILE *file = fopen("/proc/stat", "r");
    if (!file) return -1;
    while (fgets(line, sizeof line, file)) {
        int number;
        if (sscanf(line, "cpu%d %lf %lf %lf %lf %lf", &number, &user, &nice, &system, &idle, &waiting) == 6
            && number == cpu && line[3] != ' ') {
            seconds = (idle + waiting) / (double)sysconf(_SC_CLK_TCK);
        }
    }
    fclose(file);
    return seconds;
}

int chosen_cpu(int wanted) {
    cpu_set_t allowed, one;
    if (sched_getaffinity(0, sizeof allowed, &allowed) < 0) fail("sched_getaffinity: %s", strerror(errno));
    int cpu = wanted;
    for (int number = 0; wanted < 0 && number < CPU_SETSIZE; number++) if (CPU_ISSET(number, &allowed)) cpu = number;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    if (sched_setaffinity(0, sizeof one, &one) < 0) fail("sched_setaffinity: CPU %d: %s", cpu, strerror(errno));
    return cpu;
}

void raise_limit(int connections) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0) fail("getrlimit: %s", strerror(errno));
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0) fail("setrlimit: %s", strerror(errno));
    if (limit.rlim_max < (rlim_t)connections + 64) {
        fail(
            "%d connections need as many descriptors, and a process may have %llu here (ulimit -Hn)", connections,
            (unsigned long long)limit.rlim_max);
    }
}
#endif
