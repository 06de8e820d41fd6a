#include "agent/ctl/rule_loading.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

bool rule_paths_add(struct rule_paths *paths, const char *path)
{
    if (paths->n == CTL_RULE_PATHS)
        return false;
    paths->paths[paths->n++] = path;
    return true;
}

static void print_error(struct rule_files_listener *listener, const struct rule_message *message)
{
    char text[4096];
    struct text_out out;
    (void)listener;
    if (!rule_code_is_error(message->code))
        return;
    text_out_init(&out, text, sizeof text);
    rule_message_print(&out, message);
    fprintf(stderr, "%s\n", text);
}

static int load_path(struct ruleset *set, const char *path, struct rule_files_listener *listener, struct rule_files_result *result)
{
    struct stat st;
    if (!stat(path, &st) && S_ISDIR(st.st_mode))
        return rule_files_load(set, path, listener, result);
    int error = rule_file_load(set, path, listener, result);
    return error == -ENOMEM ? error : 0; /* the others were told, and are counted */
}

/* The directories of the configuration that exist. */
static int add_configured(struct ctl *ctl, struct rule_paths *paths)
{
    if (ctl_config_load(ctl))
        return CTL_FAILED;
    const char *const dirs[] = { ctl->config->rules.shipped_dir, ctl->config->rules.dir };
    struct stat st;
    if (rule_files_missing(dirs[0]))
        ctl_complain("%s does not exist: the shipped rules are missing here. Install the package, or name a configuration (--config FILE) whose "
                     "rules.shipped_dir has them", dirs[0]);
    for (int i = 0; i < 2; i++)
        if (dirs[i][0] && !stat(dirs[i], &st))
            rule_paths_add(paths, dirs[i]);
    return CTL_OK;
}

int ctl_ruleset_load(struct ctl *ctl, const struct rule_paths *paths, bool installed, struct rule_files_listener *listener,
                     struct ruleset **set, struct rule_files_result *result)
{
    struct rule_files_listener errors = { print_error };
    struct rule_paths all = { 0 };
    *result = (struct rule_files_result){ 0 };
    if ((installed || !paths->n) && add_configured(ctl, &all))
        return CTL_FAILED;
    for (int i = 0; i < paths->n; i++)
        if (!rule_paths_add(&all, paths->paths[i])) {
            ctl_complain("too many rules files are named: put them in a directory");
            return CTL_FAILED;
        }
    *set = ruleset_new();
    int error = *set ? 0 : -ENOMEM;
    for (int i = 0; i < all.n && !error; i++) {
        error = load_path(*set, all.paths[i], listener ? listener : &errors, result);
        if (error)
            ctl_complain("cannot read rules from %s: %s", all.paths[i], strerror(-error));
    }
    if (!error)
        return CTL_OK;
    ruleset_free(*set);
    *set = NULL;
    return CTL_FAILED;
}

int ctl_rules_load(struct ctl *ctl, const struct rule_paths *paths, bool installed, struct rules **rules)
{
    struct rules_options options = { .priority_max = PRIORITY_DEBUG, .wait_ns = 5000000000ull };
    struct rule_files_result result;
    struct ruleset *set;
    *rules = NULL;
    if (paths->n == 1 && !strcmp(paths->paths[0], "none"))
        return CTL_OK;
    int status = ctl_ruleset_load(ctl, paths, installed, NULL, &set, &result);
    if (status)
        return status;
    if (result.n_failed) {
        ruleset_free(set);
        return CTL_FAILED;
    }
    if (installed || !paths->n) { /* as the agent would run them */
        rule_priority_find(ctl->config->rules.priority, &options.priority_max);
        options.first_match = ctl->config->rules.first_match;
        options.wait_ns = ctl->config->rules.wait_ns;
    }
    *rules = rules_new(set, &options);
    if (!*rules)
        ctl_complain("not enough memory for the rules");
    return *rules ? CTL_OK : CTL_FAILED;
}
