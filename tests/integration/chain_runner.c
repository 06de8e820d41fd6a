/* Makes process chains as a plan says, for the cases of rule-behaviour: copies of this program under wanted names, arguments and users,
 * each the child of the one before; the last one makes the case's system calls and ends. Static, so that it runs in an empty container and
 * ends as fast as a program can.
 *
 *   chain_runner run PLAN PAUSE-MS FIFO   all cases of the plan, each in a process called "chain_runner case ID", once FIFO is written to
 *
 * A plan has a block of lines for each case, its words separated by tabs; an empty line ends it:
 *   case ID                               first
 *   late                                  the case sleeps: it is started with the others that do, before the rest
 *   file PATH TEXT                        there before the case begins, and not empty
 *   gone PATH                             not there before the case begins
 *   proc NAME FILE UID ARGUMENT...        one process of the chain; FILE is executed ("memfd": a copy in memory); UID -1: as it was
 *   sleep SECONDS                         of the last process; so are all below
 *   open HOW PATH FLAGS MODE              and read from it; HOW: open, openat, openat2
 *   link HOW OLD NEW                      HOW: link, linkat
 *   symlink HOW TARGET PATH               HOW: symlink, symlinkat
 *
 * What could not be made is said as "case ID: reason" on standard output; nothing else is. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WORDS_MAX 40
#define CASE_BYTES 4096
#define DIRECTORY "/chain/" /* of links to this program, by the names that processes shall have */
#define REST "CHAIN_REST" /* environment: the lines of the case that are still to be done */
#define CASE_ID "CHAIN_CASE"

static void complain(const char *what)
{
    dprintf(1, "case %s: %s: %s\n", getenv(CASE_ID), what, strerror(errno));
    _exit(1);
}

static void sleep_ms(long ms)
{
    struct timespec t = { ms / 1000, ms % 1000 * 1000000 };
    while (nanosleep(&t, &t) && errno == EINTR)
        ;
}

/* Cuts the line at `text` into words; returns the text behind it. */
static char *cut_line(char *text, char **words, int *n)
{
    char *end = strchrnul(text, '\n'), *next = *end ? end + 1 : end;
    *end = 0;
    *n = 0;
    while (*n < WORDS_MAX && text) {
        words[(*n)++] = text;
        text = strchr(text, '\t');
        if (text)
            *text++ = 0;
    }
    words[*n] = NULL;
    return next;
}

static void make_directories(const char *path)
{
    char dir[512];
    snprintf(dir, sizeof dir, "%s", path);
    for (char *slash = strchr(dir + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        mkdir(dir, 0755);
        *slash = '/';
    }
}

/* The file may be there from the image or from a case before. New contents settle before the case begins: sensors look at a file's size a
 * little after the event. */
static void need_contents(const char *path, const char *text)
{
    struct stat st;
    if (stat(path, &st) == 0 && st.st_size)
        return;
    make_directories(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0 || write(fd, text, strlen(text)) < 0)
        complain(path);
    close(fd);
    sleep_ms(20);
}

/* ---- executing the next of the chain -------------------------------------------------------------------------------- */

static void copy_self(int to)
{
    char buf[65536];
    int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    for (ssize_t n; (n = read(from, buf, sizeof buf)) > 0;)
        if (write(to, buf, (size_t)n) != n)
            complain("copy");
    close(from);
}

/* The image has a link to this program for each name; any other file is brought by the case. */
static void need_file(const char *path)
{
    if (access(path, F_OK) == 0)
        return;
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
    if (fd < 0)
        complain(path);
    copy_self(fd);
    fchmod(fd, 0755);
    close(fd);
}

/* The user keeps the capabilities that the container has, as a privileged service does that runs as another user. */
static void become(uid_t uid)
{
    struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
    struct __user_cap_data_struct caps[2];
    prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0);
    if (setresgid(uid, uid, uid) || setresuid(uid, uid, uid) || syscall(SYS_capget, &header, caps))
        complain("setresuid");
    for (int i = 0; i < 2; i++)
        caps[i].effective = caps[i].inheritable = caps[i].permitted;
    if (syscall(SYS_capset, &header, caps))
        complain("capset");
    for (int i = 0; i < 64; i++)
        if (caps[i / 32].permitted & (1u << (i % 32)))
            prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, i, 0, 0);
}

static void exec_next(char **words, char *rest)
{
    const char *file = words[2];
    setenv(REST, rest, 1);
    int memory = -1;
    if (!strcmp(file, "memfd")) {
        memory = memfd_create(words[1], MFD_CLOEXEC);
        copy_self(memory);
    } else {
        need_file(file);
    }
    if (atoi(words[3]) >= 0)
        become((uid_t)atoi(words[3]));
    char **argv = words + 3;
    argv[0] = (char *)(strncmp(file, DIRECTORY, strlen(DIRECTORY)) && memory < 0 ? file : words[1]);
    if (memory >= 0)
        fexecve(memory, argv, environ);
    else
        execv(file, argv);
    complain(file);
}

/* ---- system calls of the last one ------------------------------------------------------------------------------------- */

static int open_how(char **w, int flags, unsigned mode)
{
    if (!strcmp(w[1], "openat2")) {
        struct open_how how = { .flags = (unsigned)flags, .mode = mode };
        return (int)syscall(SYS_openat2, AT_FDCWD, w[2], &how, sizeof how);
    }
#ifdef SYS_open
    if (!strcmp(w[1], "open"))
        return (int)syscall(SYS_open, w[2], flags, mode);
#endif
    return (int)syscall(SYS_openat, AT_FDCWD, w[2], flags, mode);
}

/* What is opened for reading is read, as whoever opens a file does: the opening alone says nothing if it is over at once. */
static int open_as(char **w)
{
    char byte;
    int flags = (int)strtol(w[3], NULL, 0), fd = open_how(w, flags, (unsigned)strtoul(w[4], NULL, 0));
    if (fd >= 0 && (flags & O_ACCMODE) == O_RDONLY && read(fd, &byte, 1) < 0)
        return -1;
    return fd;
}

static int link_as(char **w)
{
#ifdef SYS_link
    if (!strcmp(w[1], "link"))
        return (int)syscall(SYS_link, w[2], w[3]);
#endif
    return (int)syscall(SYS_linkat, AT_FDCWD, w[2], AT_FDCWD, w[3], 0);
}

static int symlink_as(char **w)
{
#ifdef SYS_symlink
    if (!strcmp(w[1], "symlink"))
        return (int)syscall(SYS_symlink, w[2], w[3]);
#endif
    return (int)syscall(SYS_symlinkat, w[2], AT_FDCWD, w[3]);
}

static void do_step(char **w)
{
    int r = 0;
    if (!strcmp(w[0], "sleep"))
        sleep_ms(1000 * atol(w[1]));
    else if (!strcmp(w[0], "open"))
        r = open_as(w);
    else if (!strcmp(w[0], "link"))
        r = link_as(w);
    else if (!strcmp(w[0], "symlink"))
        r = symlink_as(w);
    else
        r = -1, errno = EINVAL;
    if (r < 0)
        complain(w[0]);
}

/* ---- a case ---------------------------------------------------------------------------------------------------------- */

/* Does what is left of the case: this process is one of its chain. */
static int go_on(char *rest)
{
    char *words[WORDS_MAX + 1];
    int n;
    while (*rest) {
        rest = cut_line(rest, words, &n);
        if (!strcmp(words[0], "file")) {
            need_contents(words[1], words[2]);
        } else if (!strcmp(words[0], "gone")) {
            unlink(words[1]);
        } else if (!strcmp(words[0], "proc")) {
            pid_t child = fork();
            if (child == 0)
                exec_next(words, rest);
            waitpid(child, NULL, 0);
            return 0;
        } else if (strcmp(words[0], "late")) {
            do_step(words);
        }
    }
    return 0;
}

static pid_t start_case(const char *id, const char *rest)
{
    pid_t child = fork();
    if (child)
        return child;
    char *argv[] = { (char[]){ "chain_runner" }, (char[]){ "case" }, (char *)id, NULL };
    setenv(CASE_ID, id, 1);
    setenv(REST, rest, 1);
    execv(DIRECTORY "chain_runner", argv);
    complain("execv");
    return -1;
}

/* The sleepers go first and together; they end while the others run. */
static void run_plan(const char *plan, bool late, long pause_ms)
{
    char block[CASE_BYTES], id[64];
    while (sscanf(plan, "case\t%63s", id) == 1) {
        const char *body = strchr(plan, '\n') + 1, *end = strstr(body, "\n\n");
        size_t size = (size_t)(end + 1 - body);
        if (size >= sizeof block)
            exit(2);
        memcpy(block, body, size);
        block[size] = 0;
        bool is_late = !strncmp(block, "late\n", 5);
        if (is_late == late) {
            pid_t child = start_case(id, block);
            if (!late)
                waitpid(child, NULL, 0);
            sleep_ms(pause_ms);
        }
        plan = end + 2;
    }
}

static char *read_plan(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    char *plan = NULL;
    if (fd >= 0 && fstat(fd, &st) == 0)
        plan = calloc(1, (size_t)st.st_size + 1);
    if (plan && read(fd, plan, (size_t)st.st_size) != st.st_size)
        plan = NULL;
    return plan;
}

int main(int argc, char **argv)
{
    char *rest = getenv(REST);
    if (rest) {
        char mine[CASE_BYTES];
        snprintf(mine, sizeof mine, "%s", rest);
        return go_on(mine);
    }
    if (argc != 5 || strcmp(argv[1], "run"))
        return 2;
    char *plan = read_plan(argv[2]);
    int go = open(argv[4], O_RDONLY | O_CLOEXEC);
    if (!plan || go < 0)
        return 2;
    close(go);
    run_plan(plan, true, atol(argv[3]));
    run_plan(plan, false, atol(argv[3]));
    while (wait(NULL) > 0)
        ;
    return 0;
}
