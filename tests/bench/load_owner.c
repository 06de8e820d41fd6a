/* Short connections, each by a new process that was executed for it, and the truth about them.
 *
 *   load_owner COUNT PAUSE_US MIN_US MAX_US ADDRESS4 ADDRESS6 PORT FIRST_LPORT
 *
 * Starts COUNT programs, PAUSE_US apart. Each makes one connection, by turns TCP and UDP over IPv4, TCP and UDP over IPv6, lives between MIN_US and
 * MAX_US in all (evenly spread, seeded) from its execve(2) on, and ends. Local ports are FIRST_LPORT and up, so
 * that no two are one flow to conntrack. One line for each: PID PROTO LOCAL LPORT PEER PPORT LIVED_US. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void sleep_until(long us)
{
    struct timespec t = { us / 1000000, us % 1000000 * 1000 };
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
        ;
}

static int child(char **argv)
{
    long start = now_us();
    int udp = atoi(argv[2]), port = atoi(argv[4]);
    long life = atol(argv[5]);
    struct sockaddr_storage name = { 0 }, own = { 0 };
    struct sockaddr_in *in = (void *)&name;
    struct sockaddr_in6 *in6 = (void *)&name;
    int v6 = strchr(argv[3], ':') != NULL;
    socklen_t size = v6 ? sizeof *in6 : sizeof *in;
    name.ss_family = v6 ? AF_INET6 : AF_INET;
    inet_pton(name.ss_family, argv[3], v6 ? (void *)&in6->sin6_addr : (void *)&in->sin_addr);
    in->sin_port = htons((uint16_t)port); /* at the same place in sockaddr_in6 */
    own.ss_family = name.ss_family;
    ((struct sockaddr_in *)&own)->sin_port = htons((uint16_t)atoi(argv[6]));
    int s = socket(name.ss_family, udp ? SOCK_DGRAM : SOCK_STREAM, 0);
    if (s < 0 || bind(s, (void *)&own, size) || connect(s, (void *)&name, size) || (udp && send(s, "x", 1, 0) < 0))
        return 1;
    getsockname(s, (void *)&own, &size);
    sleep_until(start + life);
    char text[64], line[256];
    inet_ntop(own.ss_family, v6 ? (void *)&((struct sockaddr_in6 *)&own)->sin6_addr : (void *)&((struct sockaddr_in *)&own)->sin_addr, text, sizeof text);
    int n = snprintf(line, sizeof line, "%d %d %s %d %s %d %ld\n", getpid(), udp ? 17 : 6, text, ntohs(((struct sockaddr_in *)&own)->sin_port), argv[3],
                     port, now_us() - start);
    return write(1, line, (size_t)n) != n;
}

int main(int argc, char **argv)
{
    if (argc == 7 && !strcmp(argv[1], "child"))
        return child(argv);
    if (argc != 9)
        return 2;
    int count = atoi(argv[1]), failed = 0, status;
    long pause_us = atol(argv[2]), least = atol(argv[3]), most = atol(argv[4]), start = now_us();
    unsigned seed = 4;
    char udp[2] = "0", life[24], lport[12];
    for (int i = 0; i < count; i++) {
        sleep_until(start + i * pause_us);
        udp[0] = (char)('0' + (i & 1));
        snprintf(life, sizeof life, "%ld", least + (most > least ? rand_r(&seed) % (most - least) : 0));
        snprintf(lport, sizeof lport, "%d", atoi(argv[8]) + i);
        pid_t pid = fork();
        if (pid == 0) {
            execl("/proc/self/exe", "load_owner", "child", udp, argv[i & 2 ? 6 : 5], argv[7], life, lport, NULL);
            _exit(127);
        }
        while (waitpid(-1, &status, WNOHANG) > 0)
            failed += status != 0;
    }
    while (wait(&status) > 0)
        failed += status != 0;
    if (failed)
        fprintf(stderr, "%d failed\n", failed);
    return failed != 0;
}
