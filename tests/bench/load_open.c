/* Opens and closes files in a loop, as a program that knows nothing of the agent would, and says what one open costs.
 *
 * load_open DIR FILES OPERATIONS r|w|m|p [RATE]   r: read-only opens; w: opens for writing with one byte written; m: a fifth of them
 *                                                for writing; p: only makes the files; RATE: operations a second, 0 = as fast as it goes
 * Prints "us_per_open OPERATIONS_PER_SECOND OPERATIONS". */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static double now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void make_files(const char *dir, long n)
{
    char path[4096];
    mkdir(dir, 0755);
    for (long i = 0; i < n; i++) {
        snprintf(path, sizeof path, "%s/f%ld", dir, i);
        int fd = open(path, O_RDWR | O_CREAT, 0644);
        if (fd < 0) {
            perror(path);
            exit(1);
        }
        close(fd);
    }
}

static void wait_until(double at_us)
{
    while (now_us() < at_us)
        if (at_us - now_us() > 200)
            usleep(100);
}

int main(int argc, char **argv)
{
    if (argc < 5)
        return 2;
    long files = atol(argv[2]), operations = atol(argv[3]);
    double rate = argc > 5 ? atof(argv[5]) : 0;
    long each = argv[4][0] == 'w' ? 1 : argv[4][0] == 'm' ? 5 : 0; /* of so many opens the first is for writing */
    char path[4096];
    if (argv[4][0] == 'p') {
        make_files(argv[1], files);
        operations = 0;
    }
    double start = now_us();
    for (long i = 0; i < operations; i++) {
        if (rate > 0)
            wait_until(start + (double)i * 1e6 / rate);
        snprintf(path, sizeof path, "%s/f%ld", argv[1], i % files);
        int writing = each && i % each == 0;
        int fd = open(path, writing ? O_RDWR : O_RDONLY);
        if (fd < 0 || (writing && write(fd, "x", 1) != 1)) {
            perror(path);
            return 1;
        }
        close(fd);
    }
    double us = now_us() - start;
    printf("%.3f %.0f %ld\n", operations ? us / (double)operations : 0, (double)operations / us * 1e6, operations);
    return 0;
}
