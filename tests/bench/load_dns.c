/* Makes DNS traffic in the network namespace where it runs: a client that asks at a rate and a server that answers each question, both on
 * 198.51.100.53. Names repeat after NAMES of them.
 *   load_dns QUESTIONS PER_SECOND NAMES     prints "asked N answered N seconds S"
 *   load_dns read       the floor: takes the packets as the agent gets them and does nothing with them, until standard input ends; prints
 *                       "packets N cpu_us U" */
#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "agent/sensors/nflog.h"
#include "agent/sensors/nflog_decode.h"
#include "common/clock.h"
#include "common/limits.h"

#define HEAD 12
#define BURST 64

static const struct sockaddr_in server_name = { .sin_family = AF_INET, .sin_port = 0x3500 };
static _Atomic uint64_t n_answered;
static _Atomic int stopping;

static int socket_at(struct sockaddr_in name)
{
    int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), bytes = 4 << 20;
    struct timeval wait = { .tv_usec = 100000 };
    setsockopt(s, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes);
    setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    inet_pton(AF_INET, "198.51.100.53", &name.sin_addr);
    if (bind(s, (void *)&name, sizeof name)) {
        perror("load_dns: bind");
        exit(1);
    }
    return s;
}

/* "n00001234.example.com A" */
static size_t question(uint8_t *to, int i, int names)
{
    static const char head[HEAD] = "\0\0\1\0\0\1\0\0\0\0\0\0", tail[] = "\7example\3com\0\0\1\0\1";
    memcpy(to, head, HEAD);
    to[0] = (uint8_t)(i >> 8);
    to[1] = (uint8_t)i;
    to[HEAD] = 9;
    snprintf((char *)to + HEAD + 1, 16, "n%08d", i % names);
    memcpy(to + HEAD + 10, tail, sizeof tail - 1);
    return HEAD + 10 + sizeof tail - 1;
}

/* The question as it came and one address. */
static void *serve(void *arg)
{
    static const char record[] = "\xc0\x0c\0\1\0\1\0\0\1\x2c\0\4\xcb\0\x71\7";
    int s = *(const int *)arg;
    uint8_t message[512];
    struct sockaddr_in from;
    while (!stopping) {
        socklen_t size = sizeof from;
        ssize_t n = recvfrom(s, message, sizeof message - sizeof record, 0, (void *)&from, &size);
        if (n < HEAD)
            continue;
        message[2] = 0x81;
        message[3] = 0x80;
        message[7] = 1;
        memcpy(message + n, record, sizeof record - 1);
        n += (ssize_t)sizeof record - 1;
        n_answered += sendto(s, message, (size_t)n, 0, (void *)&from, size) == n;
    }
    return NULL;
}

static void *take(void *arg)
{
    uint8_t message[512];
    while (!stopping)
        if (recv(*(const int *)arg, message, sizeof message, 0) < 0)
            continue;
    return NULL;
}

static int read_packets(void)
{
    static _Alignas(8) uint8_t data[LIMIT_DNS_DATAGRAM_BYTES];
    int fd = nflog_open();
    uint64_t n_packets = 0;
    struct pollfd in[2] = { { 0, POLLIN, 0 }, { fd, POLLIN, 0 } };
    if (fd < 0 || nflog_set_batch(fd, LIMIT_DNS_BATCH)) {
        fprintf(stderr, "load_dns: cannot read: %s\n", strerror(-fd));
        return 1;
    }
    puts("ready");
    fflush(stdout);
    uint64_t start = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    while (poll(in, 2, -1) > 0 && !in[0].revents) {
        ssize_t n = recv(fd, data, sizeof data, 0);
        struct bytes datagram = bytes_of(data, n > 0 ? (size_t)n : 0);
        struct nflog_packet packet;
        while (nflog_decode(&datagram, &packet) > 0)
            n_packets++;
    }
    printf("packets %lu cpu_us %.3f\n", n_packets, (double)(clock_ns(CLOCK_PROCESS_CPUTIME_ID) - start) / 1e3 / (double)(n_packets ? n_packets : 1));
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], "read"))
        return read_packets();
    int n = argc > 1 ? atoi(argv[1]) : 100000, rate = argc > 2 ? atoi(argv[2]) : 20000, names = argc > 3 ? atoi(argv[3]) : 1000, asked = 0;
    int server = socket_at(server_name), client = socket_at((struct sockaddr_in){ .sin_family = AF_INET });
    struct sockaddr_in to = server_name;
    inet_pton(AF_INET, "198.51.100.53", &to.sin_addr);
    pthread_t threads[2];
    pthread_create(&threads[0], NULL, serve, &server);
    pthread_create(&threads[1], NULL, take, &client);
    uint64_t start = clock_monotonic_ns();
    for (int i = 0; i < n; i++) {
        uint8_t message[64];
        size_t size = question(message, i, names);
        asked += sendto(client, message, size, 0, (void *)&to, sizeof to) == (ssize_t)size;
        uint64_t due = start + (uint64_t)i * NS_PER_SECOND / (uint64_t)rate, now = clock_monotonic_ns();
        if (i % BURST == 0 && due > now)
            nanosleep(&(struct timespec){ .tv_nsec = (long)(due - now) }, NULL);
    }
    double seconds = (double)(clock_monotonic_ns() - start) / 1e9;
    usleep(300000);
    stopping = 1;
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    printf("asked %d answered %lu seconds %.2f\n", asked, n_answered, seconds);
    return 0;
}
