/* ecsguardctl config */
#include <stdlib.h>

#include "agent/ctl/ctl.h"
#include "agent/detect_files.h"

static const struct option options[] = { CTL_OPTIONS, { NULL, 0, NULL, 0 } };

/* The filters stand in the same file, and have their own reader. */
static int print_filters(const char *path)
{
    static struct suppress filters;
    char line[1400];
    struct text_out error;
    text_out_init(&error, line, sizeof line);
    if (suppress_file_load(&filters, path, &error)) {
        ctl_complain("%s", line);
        return CTL_FAILED;
    }
    if (filters.n_filters)
        printf("\n# suppress: %u filters of %s\n", filters.n_filters, path);
    for (uint32_t i = 0; i < filters.n_filters; i++)
        printf("#  - %s (%u conditions)\n", filters.filters[i].name, filters.filters[i].n);
    return CTL_OK;
}

/* And so have the sources of threat lists. */
static int print_sources(const char *path)
{
    static struct intel_sources sources;
    char line[1400];
    struct text_out error;
    text_out_init(&error, line, sizeof line);
    if (intel_sources_load(&sources, path, &error)) {
        ctl_complain("%s", line);
        return CTL_FAILED;
    }
    if (sources.n)
        printf("\n# intel.sources: %u threat lists are fetched\n", sources.n);
    for (uint32_t i = 0; i < sources.n; i++)
        printf("#  - %s%s (%s)\n", sources.list[i].name, sources.list[i].trusted ? ", trusted" : "",
               sources.list[i].public_key[0] ? "signature checked" : "not signed");
    return CTL_OK;
}

int ctl_config(struct ctl *ctl, int argc, char **argv)
{
    static char buf[CONFIG_PRINT_BYTES];
    struct text_out out;
    int status;
    if (ctl_getopt(ctl, "config", argc, argv, options, &status) == CTL_DONE)
        return status;
    if (optind < argc)
        return ctl_misuse("config", "takes no argument: '%s'", argv[optind]);
    if (ctl_config_load(ctl))
        return CTL_FAILED;
    text_out_init(&out, buf, sizeof buf);
    config_print(ctl->config, &out);
    fputs(buf, stdout);
    status = print_filters(ctl->config_path);
    return status ? status : print_sources(ctl->config_path);
}
