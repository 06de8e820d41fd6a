/* Shows privileges from inside: "keep" prints the kept capabilities; "require" checks them; "drop" drops and prints /proc/self/status;
 * "threads" tries to drop while a second thread runs. Exit code 0, or the errno. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/privileges.h"

static int kept_print(void)
{
    for (const struct privilege *p = privileges_kept; p->name; p++)
        printf("%s %d\n", p->name, (int)p->cap);
    return 0;
}

static int drop_and_print(void)
{
    int rc = privileges_drop();
    FILE *status = fopen("/proc/self/status", "re");
    char line[256];
    while (status && fgets(line, sizeof line, status))
        fputs(line, stdout);
    if (status)
        fclose(status);
    return -rc;
}

static void *thread_wait(void *unused)
{
    pause();
    return unused;
}

static int drop_with_threads(void)
{
    pthread_t thread;
    int rc = pthread_create(&thread, NULL, thread_wait, NULL);
    return rc ? rc : -privileges_drop();
}

int main(int argc, char **argv)
{
    const char *command = argc > 1 ? argv[1] : "";
    if (!strcmp(command, "keep"))
        return kept_print();
    if (!strcmp(command, "require"))
        return -privileges_require("ecsguardd");
    if (!strcmp(command, "drop"))
        return drop_and_print();
    if (!strcmp(command, "threads"))
        return drop_with_threads();
    return 99;
}
