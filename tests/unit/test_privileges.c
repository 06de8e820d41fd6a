#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/privileges.h"

static char top[] = "/tmp/ecsguard-privileges-XXXXXX", run_dir[64], lock_path[128];

static int paths_make(void **state)
{
    (void)state;
    if (!mkdtemp(top))
        return -1;
    snprintf(run_dir, sizeof run_dir, "%s/run", top);
    snprintf(lock_path, sizeof lock_path, "%s/ecsguardd.lock", run_dir);
    return 0;
}

static int paths_remove(void **state)
{
    (void)state;
    unlink(lock_path);
    rmdir(run_dir);
    return rmdir(top);
}

static long file_pid(void)
{
    char text[32] = "";
    int fd = open(lock_path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_true(read(fd, text, sizeof text - 1) > 0);
    close(fd);
    return atol(text);
}

/* What privileges_lock() does and says in another process: its result through the exit code, its log text in `said`. */
static int other_process_locks(char *said, size_t size)
{
    int pipes[2];
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        dup2(pipes[1], STDERR_FILENO);
        int rc = privileges_lock(run_dir);
        _exit(rc >= 0 ? 0 : -rc);
    }
    close(pipes[1]);
    ssize_t n = read(pipes[0], said, size - 1);
    said[n > 0 ? n : 0] = 0;
    close(pipes[0]);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void second_instance_is_refused_with_the_pid_of_the_first(void **state)
{
    (void)state;
    char said[512], expected[64];
    mode_t mask = umask(0077);
    int fd = privileges_lock(run_dir);
    umask(mask);
    assert_true(fd >= 0);
    struct stat st;
    assert_int_equal(stat(run_dir, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0755);
    assert_int_equal(file_pid(), getpid());

    assert_int_equal(other_process_locks(said, sizeof said), EEXIST);
    snprintf(expected, sizeof expected, "running already (pid %d holds", (int)getpid());
    assert_non_null(strstr(said, expected));
    assert_int_equal(file_pid(), getpid());

    privileges_unlock(fd);
    assert_int_equal(other_process_locks(said, sizeof said), 0);
    assert_string_equal(said, "");
}

static void a_lock_left_by_a_dead_instance_is_taken(void **state)
{
    (void)state;
    FILE *file = fopen(lock_path, "w");
    assert_non_null(file);
    fputs("123456789012\n", file); /* longer than ours: nothing of it may stay */
    fclose(file);
    int fd = privileges_lock(run_dir);
    assert_true(fd >= 0);
    assert_int_equal(file_pid(), getpid());
    close(fd); /* as one that was killed: the next says so */
    char said[512];
    assert_int_equal(other_process_locks(said, sizeof said), 0);
    char expected[64];
    snprintf(expected, sizeof expected, "the agent before (pid %d) ended without stopping", (int)getpid());
    assert_non_null(strstr(said, expected));
}

static void a_lock_file_with_rubbish_is_not_repeated_in_the_log(void **state)
{
    (void)state;
    char said[512];
    int fd = privileges_lock(run_dir);
    assert_true(fd >= 0);
    assert_true(pwrite(fd, "\033[31mevil", 9, 0) == 9);
    assert_int_equal(other_process_locks(said, sizeof said), EEXIST);
    assert_non_null(strstr(said, "(pid unknown holds"));
    close(fd);
}

static void a_link_in_place_of_the_lock_is_not_followed(void **state)
{
    (void)state;
    char said[512], victim[128];
    snprintf(victim, sizeof victim, "%s/victim", top);
    unlink(lock_path);
    assert_int_equal(symlink(victim, lock_path), 0);
    assert_int_equal(other_process_locks(said, sizeof said), ELOOP);
    assert_int_equal(access(victim, F_OK), -1);
    unlink(lock_path);
}

static void every_kept_capability_has_its_kernel_name_and_a_reason(void **state)
{
    (void)state;
    for (const struct privilege *p = privileges_kept; p->name; p++) {
        char *name = cap_to_name(p->cap);
        assert_non_null(name);
        assert_int_equal(strcasecmp(name, p->name), 0);
        assert_true(strlen(p->reason) > 20);
        cap_free(name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(second_instance_is_refused_with_the_pid_of_the_first),
        cmocka_unit_test(a_lock_left_by_a_dead_instance_is_taken),
        cmocka_unit_test(a_lock_file_with_rubbish_is_not_repeated_in_the_log),
        cmocka_unit_test(a_link_in_place_of_the_lock_is_not_followed),
        cmocka_unit_test(every_kept_capability_has_its_kernel_name_and_a_reason),
    };
    return cmocka_run_group_tests(tests, paths_make, paths_remove);
}
