#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/last_words.h"
#include "common/thread.h"

static char line[1024];

/* Runs it in a child that says its last words; returns how that ended. */
static int end_of(void (*deed)(void))
{
    int pipe_fds[2], status;
    size_t n = 0;
    assert_int_equal(pipe(pipe_fds), 0);
    pid_t child = fork();
    if (!child) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
        dup2(pipe_fds[1], STDERR_FILENO);
        close(pipe_fds[0]);
        close(pipe_fds[1]);
        for (int i = 1; i < 32; i++) /* cmocka handles some itself */
            signal(i, SIG_DFL);
        last_words_prepare("test");
        deed();
        _exit(0);
    }
    close(pipe_fds[1]);
    for (ssize_t got; n < sizeof line - 1 && (got = read(pipe_fds[0], line + n, sizeof line - 1 - n)) > 0;)
        n += (size_t)got;
    line[n] = 0;
    close(pipe_fds[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void ask_for_user_signal(void)
{
    kill(getpid(), SIGUSR1);
    for (;;)
        pause();
}

static void signal_from_outside(void)
{
    if (!fork()) {
        kill(getppid(), SIGTERM);
        _exit(0);
    }
    for (;;)
        pause();
}

__attribute__((no_sanitize("address", "undefined"))) static void write_nowhere(void)
{
    static int *volatile nowhere;
    *nowhere = 1;
}

static void *crash(void *unused)
{
    write_nowhere();
    return unused;
}

static void crash_in_a_thread(void)
{
    pthread_t thread;
    if (!thread_start(&thread, crash, NULL, "clumsy"))
        pthread_join(thread, NULL);
}

static void write_to_nobody(void)
{
    int fds[2];
    if (pipe(fds) || close(fds[0]) || write(fds[1], "x", 1) >= 0)
        abort();
}

static void it_says_which_signal(void **state)
{
    (void)state;
    int status = end_of(abort);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    assert_string_equal(line, "test: ended by signal 6 (SIGABRT) in thread test_last_words, sent by itself\n");
    status = end_of(ask_for_user_signal);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGUSR1);
    assert_non_null(strstr(line, "(SIGUSR1) in thread"));
    status = end_of(signal_from_outside);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    assert_non_null(strstr(line, "(SIGTERM) in thread test_last_words, sent by process "));
}

static void it_says_where(void **state)
{
    (void)state;
    int status = end_of(write_nowhere);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    assert_true(strstr(line, "(SIGSEGV) in thread test_last_words, address 0x0, at 0x") && strstr(line, " of the program"));
}

static void it_says_so_of_threads(void **state)
{
    (void)state;
    int status = end_of(crash_in_a_thread);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    assert_non_null(strstr(line, "(SIGSEGV) in thread clumsy, address 0x0"));
}

static void a_closed_pipe_is_no_end(void **state)
{
    (void)state;
    assert_int_equal(end_of(write_to_nobody), 0);
    assert_string_equal(line, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_says_which_signal),
        cmocka_unit_test(it_says_where),
        cmocka_unit_test(it_says_so_of_threads),
        cmocka_unit_test(a_closed_pipe_is_no_end),
    };
    return cmocka_run_group_tests_name("last_words", tests, NULL, NULL);
}
