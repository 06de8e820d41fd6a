/* What our sensors can tell, as classes, and the names of events that each class answers to: the first is the one that outputs print. */
#include "agent/detect/rules/field.h"

#include <string.h>

#define EVENTS(...) (const char *const[]){ __VA_ARGS__, NULL }

const struct event_class_info event_classes[CLASS_MAX] = {
    [CLASS_EXEC] = { "exec", EVENTS("execve", "execveat"), FILL_EXEC, "a program was executed" },
    [CLASS_OPEN] = { "open", EVENTS("openat", "open", "openat2"), FILL_FILE,
                     "a file was opened: told at open on watched files, at close after writing elsewhere" },
    [CLASS_CREATE] = { "create", EVENTS("openat", "open", "openat2", "creat"), FILL_FILE, "a regular file was created" },
    [CLASS_MKDIR] = { "mkdir", EVENTS("mkdirat", "mkdir"), FILL_FILE, "a directory was made" },
    [CLASS_SYMLINK] = { "symlink", EVENTS("symlinkat", "symlink"), FILL_FILE, "a symbolic link was made" },
    [CLASS_LINK] = { "link", EVENTS("linkat", "link"), FILL_FILE, "a further hard link to a file was made" },
    [CLASS_UNLINK] = { "unlink", EVENTS("unlinkat", "unlink"), FILL_FILE, "a file was deleted" },
    [CLASS_RMDIR] = { "rmdir", EVENTS("rmdir", "unlinkat"), FILL_FILE, "a directory was deleted" },
    [CLASS_RENAME] = { "rename", EVENTS("renameat2", "renameat", "rename"), FILL_FILE, "a file or directory was renamed" },
    [CLASS_CHMOD] = { "chmod", EVENTS("fchmodat", "chmod", "fchmod", "fchmodat2"), FILL_FILE,
                      "attributes of a file changed; its mode is that after the change" },
    [CLASS_CONNECT] = { "connect", EVENTS("connect", "sendto", "sendmsg"), FILL_FLOW | FILL_OTHER,
                        "a flow or a connection to a unix socket began here" },
    [CLASS_ACCEPT] = { "accept", EVENTS("accept", "accept4", "recvfrom", "recvmsg"), FILL_FLOW, "a flow to here began" },
    [CLASS_LISTEN] = { "listen", EVENTS("listen"), FILL_LISTEN, "a socket began to listen; looked for in intervals" },
    [CLASS_FLOW_END] = { "flow_end", EVENTS("flow_end"), FILL_FLOW, "a flow ended, or a long one is told again: with what it carried so far" },
    [CLASS_DNS] = { "dns", EVENTS("dns"), FILL_DNS, "a DNS query or answer" },
    [CLASS_SETUID] = { "setuid", EVENTS("setuid", "setreuid", "setresuid"), FILL_PROC, "user ids of a process changed" },
    [CLASS_SETGID] = { "setgid", EVENTS("setgid", "setregid", "setresgid"), FILL_PROC, "group ids of a process changed" },
    [CLASS_SETSID] = { "setsid", EVENTS("setsid"), FILL_PROC, "a process began a session" },
    [CLASS_PTRACE] = { "ptrace", EVENTS("ptrace"), FILL_PROC | FILL_TRACEFS,
                       "a process was attached to; TRACEME with the system call sensor only" },
    [CLASS_DUP] = { "dup", EVENTS("dup2", "dup", "dup3"), FILL_EXEC,
                    "a program was executed with an inet socket as its standard input, output or error" },
    [CLASS_CLONE] = { "clone", EVENTS("clone", "clone3", "fork", "vfork"), FILL_PROC, "a process was forked" },
    [CLASS_EXIT] = { "exit", EVENTS("procexit", "exit", "exit_group"), FILL_PROC, "a process ended" },
    [CLASS_CONTAINER] = { "container", EVENTS("container"), FILL_CGROUP | FILL_FACTS,
                          "a container started, ended, or facts about it became known" },
    [CLASS_MOUNT] = { "mount", EVENTS("mount", "move_mount", "fsmount"), FILL_OTHER | FILL_TRACEFS, "a mount appeared in a container" },
    [CLASS_SETNS] = { "setns", EVENTS("setns"), FILL_TRACEFS, "a process entered another namespace" },
    [CLASS_UNSHARE] = { "unshare", EVENTS("unshare"), FILL_TRACEFS, "a process made namespaces for itself" },
    [CLASS_MEMFD_CREATE] = { "memfd_create", EVENTS("memfd_create"), FILL_TRACEFS, "a file in memory was made" },
    [CLASS_BPF] = { "bpf", EVENTS("bpf"), FILL_TRACEFS, "a BPF command was given" },
    [CLASS_MODULE] = { "module", EVENTS("finit_module", "init_module"), FILL_OTHER | FILL_TRACEFS, "a kernel module was loaded" },
    [CLASS_USERFAULTFD] = { "userfaultfd", EVENTS("userfaultfd"), FILL_TRACEFS, "a process asked to handle page faults itself" },
    [CLASS_VM_WRITE] = { "vm_write", EVENTS("process_vm_writev"), FILL_TRACEFS, "a process wrote into another one's memory" },
    [CLASS_SOCKET] = { "socket", EVENTS("socket"), FILL_LISTEN, "a packet socket was made; looked for in intervals" },
};

void event_class_names(enum event_class class, struct event_name_set *out)
{
    memset(out, 0, sizeof *out);
    for (const char *const *name = event_classes[class].events; *name; name++) {
        const int number = event_name_find(*name, strlen(*name));
        if (number >= 0)
            out->bits[number / 64] |= 1ull << (number % 64);
    }
}
