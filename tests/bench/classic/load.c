/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The classic client: connects, sends a number without a newline, waits for the answer, and so on; each client is a thread
 * with a connection of its own, and never has two requests under way.
 *
 *     load CLIENTS NUMBER SECONDS PORT...        one line of JSON: rate, each client's rate, p50_us
 *
 * Ports of 127.0.0.1 are dealt round robin. Half a second before is warming up. A client that has no answer by then is not
 * served: its rate is 0. A wrong answer ends the program with status 1. */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CLIENTS_MOST = 64, SAMPLES_MOST = 1 << 20 };
static const double warm_up = 0.5;

struct client {
    pthread_t thread;
    int port;
    double rate;
    size_t samples;
    float *us;
};

static struct client clients[CLIENTS_MOST];
static char request[24], expected[24];
static double begin, end; /* of what counts */

_Noreturn static void give_up(const char *what) {
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static uint64_t fib(int n) {
    uint64_t a = 1, b = 1;
    for (int i = 2; i < n; i++) {
        uint64_t c = a + b;
        a = b;
        b = c;
    }
    return b;
}

/* Gives up waiting when the time is over. */
static int dial(int port) {
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval patience = {.tv_sec = (time_t)(end - now()) + 1};
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) != 0)
        give_up("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    return fd;
}

/* False: nobody answers. */
static bool ask(int fd) {
    char answer[64];
    size_t have = 0;
    if (send(fd, request, strlen(request), MSG_NOSIGNAL) < 0)
        give_up("send");
    do {
        ssize_t n = recv(fd, answer + have, sizeof answer - 1 - have, 0);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return false;
        if (n <= 0)
            give_up("the connection");
        have += (size_t)n;
    } while (answer[have - 1] != '\n' && have < sizeof answer - 1);
    answer[have] = 0;
    if (strcmp(answer, expected) != 0)
        give_up("a wrong answer");
    return true;
}

static void *run(void *arg) {
    struct client *c = arg;
    int fd = dial(c->port);
    long count = 0;
    double from = now(), last = from;
    while (last < end && ask(fd)) {
        double t = now();
        if (last >= begin && t < end) {
            count++;
            if (c->samples < SAMPLES_MOST)
                c->us[c->samples++] = (float)((t - last) * 1e6);
        }
        last = t;
    }
    close(fd);
    c->rate = (double)count / (end - begin);
    return NULL;
}

static int by_size(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static double median_us(int count) {
    size_t n = 0;
    float *all = malloc((size_t)count * SAMPLES_MOST * sizeof *all);
    if (!all)
        give_up("memory");
    for (int i = 0; i < count; i++) {
        memcpy(all + n, clients[i].us, clients[i].samples * sizeof *all);
        n += clients[i].samples;
    }
    qsort(all, n, sizeof *all, by_size);
    double us = n ? (double)all[n / 2] : 0;
    free(all);
    return us;
}

static void start(int count, int nports, char **ports) {
    for (int i = 0; i < count; i++) {
        clients[i].port = atoi(ports[i % nports]);
        clients[i].us = malloc(SAMPLES_MOST * sizeof *clients[i].us);
        if (!clients[i].us || pthread_create(&clients[i].thread, NULL, run, &clients[i]) != 0)
            give_up("a thread");
    }
}

int main(int argc, char **argv) {
    int count = argc > 4 ? atoi(argv[1]) : 0, n = argc > 2 ? atoi(argv[2]) : 0;
    if (count < 1 || count > CLIENTS_MOST || n < 1 || n > 93) {
        fprintf(stderr, "usage: load CLIENTS NUMBER SECONDS PORT...\n");
        return 2;
    }
    snprintf(request, sizeof request, "%d", n);
    snprintf(expected, sizeof expected, "%" PRIu64 "\n", fib(n));
    begin = now() + warm_up;
    end = begin + atof(argv[3]);
    start(count, argc - 4, argv + 4);
    double rate = 0;
    for (int i = 0; i < count; i++) {
        pthread_join(clients[i].thread, NULL);
        rate += clients[i].rate;
    }
    printf("{\"rate\":%.1f,\"each\":[", rate);
    for (int i = 0; i < count; i++)
        printf("%s%.1f", i ? "," : "", clients[i].rate);
    printf("],\"p50_us\":%.1f}\n", median_us(count));
    return 0;
}
