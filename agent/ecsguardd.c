/* ecsguardd: the agent. Its life: options, configuration, what needs privilege, less privilege, the loop, and back in reverse order. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/cleanup.h"
#include "agent/privileges.h"
#include "common/last_words.h"
#include "common/log.h"

static const char usage[] =
    "Usage: ecsguardd [OPTION]...\n"
    "Watches this host's containers and keeps events and findings in a local database.\n"
    "\n"
    "  -c, --config FILE   configuration (default " CONFIG_PATH "; it need not exist)\n"
    "  -t, --test-config   check the configuration and exit\n"
    "      --cleanup       remove what an agent that was killed left in the kernel, and exit\n"
    "  -d, --debug         log more\n"
    "  -h, --help          this text\n"
    "  -V, --version       version\n"
    "\n"
    "ecsguardctl status shows what is covered; ecsguardctl findings what was found.\n";

static const struct option options[] = {
    { "config", required_argument, NULL, 'c' }, { "test-config", no_argument, NULL, 't' }, { "debug", no_argument, NULL, 'd' },
    { "cleanup", no_argument, NULL, 'C' },      { "help", no_argument, NULL, 'h' },         { "version", no_argument, NULL, 'V' },     { 0 },
};

static struct config config;
static struct agent agent;

static int read_config(const char *path)
{
    char line[1024];
    struct text_out error;
    text_out_init(&error, line, sizeof line);
    if (config_load(&config, path, &error)) {
        log_error("config", "%s", line);
        return -1;
    }
    if (!config.host.name[0] && gethostname(config.host.name, sizeof config.host.name - 1))
        strcpy(config.host.name, "localhost");
    return 0;
}

/* Started with bad filters the agent runs without any and says so; nothing is hidden by mistake. */
static int check_filters(const char *path)
{
    static struct suppress filters;
    char line[1400];
    struct text_out error;
    text_out_init(&error, line, sizeof line);
    if (!suppress_file_load(&filters, path, &error))
        return 0;
    log_error("suppress", "%s", line);
    return -1;
}

int main(int argc, char **argv)
{
    const char *path = CONFIG_PATH;
    bool test = false, debug = false, clean = false;
    for (int o; (o = getopt_long(argc, argv, "c:tdhV", options, NULL)) != -1;) {
        switch (o) {
        case 'c':
            path = optarg;
            break;
        case 't':
            test = true;
            break;
        case 'C':
            clean = true;
            break;
        case 'd':
            debug = true;
            break;
        case 'h':
            fputs(usage, stdout);
            return 0;
        case 'V':
            puts("ecsguardd " PACKAGE_VERSION);
            return 0;
        default:
            fputs("Try 'ecsguardd --help'.\n", stderr);
            return 2;
        }
    }
    log_open(LOG_LEVEL_INFO);
    last_words_prepare("agent");
    if (optind < argc) {
        log_error("options", "unexpected argument '%s'; try 'ecsguardd --help'", argv[optind]);
        return 2;
    }
    if (clean)
        return privileges_require("ecsguardd") || cleanup_run() ? 1 : 0;
    if (read_config(path))
        return 2;
    log_open(debug ? LOG_LEVEL_DEBUG : (enum log_level)config.log.level);
    if (test) {
        if (check_filters(path))
            return 2;
        puts("The configuration is good.");
        return 0;
    }
    if (privileges_require("ecsguardd"))
        return 1;
    int lock = privileges_lock(config.run_dir);
    if (lock < 0)
        return 1;
    int error = privileges_drop();
    if (!error) {
        error = agent_open(&agent, &config, path);
        if (!error)
            agent_run(&agent);
        agent_close(&agent);
    }
    privileges_unlock(lock);
    log_info("agent", "stopped");
    return error ? 1 : 0;
}
