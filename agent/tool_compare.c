#include "agent/tool_compare.h"

#include <ctype.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/file_hash.h"
#include "agent/sensors/elf_note.h"
#include "common/limits.h"
#include "common/text.h"

static const char *const dirs[] = { "usr/bin", "bin", "usr/sbin", "sbin", "usr/local/bin" };

/* What attackers copy. Nothing that PyInstaller and its kind make: all their programs share one build id. Shells, interpreters, downloaders, tools of the network and against the host. */
static const char *const tools[] = {
    "sh", "bash", "dash", "ash", "zsh", "busybox", "toybox", "python", "python3", "python2", "perl", "ruby", "php", "lua", "awk", "gawk", "curl", "wget",
    "nc", "ncat", "netcat", "nc.openbsd", "nc.traditional", "socat", "telnet", "tftp", "ftp", "nmap", "masscan", "zmap", "hydra", "ssh", "scp", "sshpass",
    "chisel", "frpc", "ngrok", "proxychains4", "tcpdump", "tshark", "strace", "gdb", "openssl", "base64", "xxd", "nsenter", "unshare", "capsh", "chattr",
    "docker", "ctr", "crictl", "nerdctl", "kubectl", "xmrig", "xmr-stak", "minerd", "cpuminer", "ethminer", "t-rex",
};

/* ---- names -------------------------------------------------------------------------------------------------------- */

/* Without version and variant: up to the first digit, dot or dash, should anything be left. */
static size_t stem(const char *name)
{
    size_t n = strcspn(name, "0123456789.-");
    return n ? n : strlen(name);
}

static bool is_shell(const char *name)
{
    static const char *const shells[] = { "sh", "bash", "dash", "ash", "rbash" };
    for (size_t i = 0; i < sizeof shells / sizeof shells[0]; i++)
        if (stem(name) == strlen(shells[i]) && !strncmp(name, shells[i], stem(name)))
            return true;
    return false;
}

bool tool_names_agree(const char *a, const char *b)
{
    return (stem(a) == stem(b) && !strncmp(a, b, stem(a))) || (is_shell(a) && is_shell(b));
}

/* ---- the tools of one root ---------------------------------------------------------------------------------------- */

struct tool {
    dev_t dev;
    ino_t ino;
    off_t size;
    bool named_so; /* one of its names agrees with the executable's */
    char found_as[96]; /* in the root */
    char path[256];    /* where links led from there */
};

struct tools {
    struct tool list[LIMIT_TOOLS];
    int n;
};

/* Of a process of a container, or ours, which is the host's. */
static int open_root(int procdir, int32_t pid)
{
    char name[32];
    snprintf(name, sizeof name, "%d/root", pid);
    return openat(procdir, pid ? name : "self/root", O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/* Links lead nowhere out of the root, and in a container to no other file system (which might be a program's own: FUSE). Not opened yet: it may be
 * a device. */
static int find_tool(int root, bool is_host, const char *path)
{
    struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | (is_host ? 0 : RESOLVE_NO_XDEV) };
    return (int)syscall(SYS_openat2, root, path, &how, sizeof how);
}

/* Where the links led. */
static void real_path(int fd, char *out, size_t size)
{
    char link[40];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, out, size - 1);
    out[n > 0 ? n : 0] = 0;
}

static void add_tool(struct tools *t, int fd, const char *found_as, const char *own_name)
{
    struct stat st;
    if (fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_size <= 0)
        return;
    struct tool *tool = t->list;
    while (tool < t->list + t->n && (tool->ino != st.st_ino || tool->dev != st.st_dev))
        tool++;
    if (tool == t->list + t->n) {
        if (t->n == LIMIT_TOOLS)
            return;
        t->n++;
        *tool = (struct tool){ .dev = st.st_dev, .ino = st.st_ino, .size = st.st_size };
        text_copy(tool->found_as, sizeof tool->found_as, found_as, strlen(found_as));
        real_path(fd, tool->path, sizeof tool->path);
    }
    tool->named_so |= tool_names_agree(own_name, text_basename(found_as)) || tool_names_agree(own_name, text_basename(tool->path));
}

static void look_for(struct tools *t, int root, bool is_host, const char *name, const char *own_name)
{
    for (size_t i = 0; i < sizeof dirs / sizeof dirs[0]; i++) {
        char path[96];
        snprintf(path, sizeof path, "%s/%s", dirs[i], name);
        int fd = strlen(name) < sizeof path - strlen("usr/local/bin/") ? find_tool(root, is_host, path) : -1;
        if (fd < 0)
            continue;
        add_tool(t, fd, path, own_name);
        close(fd);
    }
}

/* ---- comparing ---------------------------------------------------------------------------------------------------- */

#define HEAD_BYTES 4096 /* headers and, as linkers lay them out, the notes */
#define NOTE_BYTES 1024

struct print {
    size_t id_length; /* 0 = no build id */
    uint8_t id[ELF_BUILD_ID_MAX];
    char sha256[65]; /* "" = not asked for yet, "-" = cannot be had */
};

static void read_build_id(int fd, struct print *p)
{
    uint8_t head[HEAD_BYTES], notes[NOTE_BYTES];
    struct elf_range ranges[ELF_NOTE_RANGES];
    ssize_t size = pread(fd, head, sizeof head, 0);
    int n = size > 0 ? elf_note_ranges(head, (size_t)size, ranges) : 0;
    for (int i = 0; i < n && !p->id_length; i++) {
        if (ranges[i].offset > LIMIT_HASH_FILE_BYTES)
            continue;
        size = pread(fd, notes, ranges[i].size < sizeof notes ? (size_t)ranges[i].size : sizeof notes, (off_t)ranges[i].offset);
        p->id_length = size > 0 ? elf_note_build_id(&ranges[i], notes, (size_t)size, p->id) : 0;
    }
}

static bool same_content(int fd, struct print *p, int other_fd)
{
    char other[65];
    if (!p->sha256[0] && file_hash(fd, LIMIT_TOOL_BYTES, p->sha256))
        strcpy(p->sha256, "-");
    return !file_hash(other_fd, LIMIT_TOOL_BYTES, other) && !strcmp(other, p->sha256);
}

enum verdict { OTHER, SAME_ID, SAME_CONTENT };

static enum verdict compare(int fd, const struct stat *st, struct print *p, int root, bool is_host, const struct tool *tool)
{
    struct stat now;
    struct print other = { 0 };
    enum verdict v = OTHER;
    char link[40];
    int found = find_tool(root, is_host, tool->found_as);
    snprintf(link, sizeof link, "/proc/self/fd/%d", found);
    int other_fd = found < 0 || fstat(found, &now) || !S_ISREG(now.st_mode) ? -1 : open(link, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (found >= 0)
        close(found);
    if (other_fd < 0)
        return OTHER;
    read_build_id(other_fd, &other);
    if (now.st_size == st->st_size && now.st_size <= (off_t)LIMIT_TOOL_BYTES && same_content(fd, p, other_fd))
        v = SAME_CONTENT;
    else if (p->id_length && p->id_length == other.id_length && !memcmp(p->id, other.id, p->id_length))
        v = SAME_ID;
    close(other_fd);
    return v;
}

/* True if nothing more is to be asked: it is a copy, or it is the tool itself. */
static bool compare_all(int fd, const struct stat *st, struct print *p, int root, bool is_host, const char *name, struct tool_copy *out)
{
    struct tools *t = calloc(1, sizeof *t);
    bool done = false;
    if (!t)
        return true;
    for (size_t i = 0; i < sizeof tools / sizeof tools[0]; i++)
        look_for(t, root, is_host, tools[i], name);
    look_for(t, root, is_host, name, name); /* an applet of busybox that has this name */
    for (int i = 0; i < t->n && !done; i++) {
        const struct tool *tool = &t->list[i];
        out->n_compared++;
        if (tool->dev == st->st_dev && tool->ino == st->st_ino) {
            done = true;
            continue;
        }
        enum verdict v = tool->named_so || !tool->path[0] ? OTHER : compare(fd, st, p, root, is_host, tool);
        if (v == OTHER)
            continue;
        memcpy(out->original, tool->path, sizeof out->original);
        out->on_host = is_host;
        out->same_content = v == SAME_CONTENT;
        done = true;
    }
    free(t);
    return done;
}

void tool_compare(int procdir, int32_t root_pid, int fd, const struct stat *st, const char *path, struct tool_copy *out)
{
    struct print p = { 0 };
    char name[256];
    size_t length = strlen(text_basename(path)), deleted = text_has_suffix(path, " (deleted)") ? strlen(" (deleted)") : 0;
    *out = (struct tool_copy){ 0 };
    text_copy(name, sizeof name, text_basename(path), length - deleted);
    read_build_id(fd, &p);
    const int32_t pids[] = { root_pid, 0 };
    for (int i = root_pid ? 0 : 1; i < 2; i++) {
        int root = open_root(procdir, pids[i]);
        bool done = root >= 0 && compare_all(fd, st, &p, root, i == 1, name, out);
        if (root >= 0)
            close(root);
        if (done)
            return;
    }
}
