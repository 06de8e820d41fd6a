/* ecsguardctl config */
#include <stdlib.h>

#include "agent/ctl/ctl.h"

static const struct option options[] = { CTL_OPTIONS, { NULL, 0, NULL, 0 } };

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
    return CTL_OK;
}
