#include "common/last_words.h"

#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <ucontext.h>
#include <unistd.h>

static const struct {
    int number;
    const char *name;
} signals[] = {
    { SIGSEGV, "SIGSEGV" }, { SIGBUS, "SIGBUS" },   { SIGILL, "SIGILL" },   { SIGFPE, "SIGFPE" },   { SIGABRT, "SIGABRT" },
        { SIGSYS, "SIGSYS" },
    { SIGTRAP, "SIGTRAP" }, { SIGXCPU, "SIGXCPU" }, { SIGXFSZ, "SIGXFSZ" }, { SIGQUIT, "SIGQUIT" }, { SIGALRM, "SIGALRM" },
        { SIGVTALRM, "SIGVTALRM" },
    { SIGPROF, "SIGPROF" }, { SIGUSR1, "SIGUSR1" }, { SIGUSR2, "SIGUSR2" }, { SIGPOLL, "SIGPOLL" }, { SIGSTKFLT, "SIGSTKFLT" },
        { SIGPWR, "SIGPWR" },
    { SIGTERM, "SIGTERM" }, { SIGINT, "SIGINT" },   { SIGHUP, "SIGHUP" }, /* before and after the loop, which handles them */
};

static const char *own_subsystem;
extern const char __ehdr_start[] __attribute__((visibility("hidden"))); /* where this program is loaded */

/* Only what is safe in a signal handler: no stdio. */
struct line {
    char text[256];
    size_t length;
};

static void put(struct line *l, const char *text)
{
    for (; *text && l->length < sizeof l->text - 1; text++)
        l->text[l->length++] = *text;
}

static void put_number(struct line *l, uint64_t n, unsigned base)
{
    char digits[24];
    size_t i = sizeof digits;
    digits[--i] = 0;
    do
        digits[--i] = "0123456789abcdef"[n % base];
    while (n /= base);
    put(l, digits + i);
}

static uint64_t program_counter(const ucontext_t *context)
{
#if defined __x86_64__
    return (uint64_t)context->uc_mcontext.gregs[REG_RIP];
#elif defined __aarch64__
    return context->uc_mcontext.pc;
#else
    (void)context;
    return 0;
#endif
}

static void put_cause(struct line *l, int number, const siginfo_t *info, const ucontext_t *context)
{
    if (info->si_code <= 0) { /* kill(2) and its kind */
        put(l, info->si_pid == getpid() ? ", sent by itself" : ", sent by process ");
        if (info->si_pid != getpid())
            put_number(l, (uint64_t)info->si_pid, 10);
        return;
    }
    if (number != SIGSEGV && number != SIGBUS && number != SIGILL && number != SIGFPE && number != SIGTRAP)
        return;
    put(l, ", address 0x");
    put_number(l, (uintptr_t)info->si_addr, 16);
    put(l, ", at 0x");
    put_number(l, program_counter(context) - (uintptr_t)__ehdr_start, 16);
    put(l, " of the program (addr2line -e finds the line)");
}

static void speak(int number, siginfo_t *info, void *context)
{
    struct line l = { .length = 0 };
    char thread[17] = "";
    put(&l, own_subsystem);
    put(&l, ": ended by signal ");
    put_number(&l, (uint64_t)number, 10);
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
        if (signals[i].number == number) {
            put(&l, " (");
            put(&l, signals[i].name);
            put(&l, ")");
        }
    prctl(PR_GET_NAME, thread);
    put(&l, " in thread ");
    put(&l, thread);
    put_cause(&l, number, info, context);
    l.text[l.length++] = '\n';
    if (write(STDERR_FILENO, l.text, l.length) < 0)
        l.length = 0; /* nowhere left to say it */
    raise(number); /* the default action is back, and takes place on return */
}

void last_words_prepare(const char *subsystem)
{
    static char stack[64 << 10]; /* a stack that overflowed is no place for a handler; of the main thread only */
    const stack_t other = { .ss_sp = stack, .ss_size = sizeof stack };
    stack_t present;
    struct sigaction speaking = { .sa_sigaction = speak, .sa_flags = SA_SIGINFO | SA_RESETHAND | SA_ONSTACK }, before;
    own_subsystem = subsystem;
    sigemptyset(&speaking.sa_mask);
    signal(SIGPIPE, SIG_IGN); /* a closed log is no reason to die */
    if (!sigaltstack(NULL, &present) && present.ss_flags & SS_DISABLE)
        sigaltstack(&other, NULL);
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
        if (!sigaction(signals[i].number, NULL, &before) && before.sa_handler == SIG_DFL) /* a sanitizer knows more to say */
            sigaction(signals[i].number, &speaking, NULL);
}
