/* The option table, and libyaml's events read against it. A file is parsed into a copy, so that a refused one changes nothing. */
#include "common/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yaml.h>

#include "common/clock.h"
#include "common/log.h"

enum config_type { CONFIG_BOOL, CONFIG_INT, CONFIG_SIZE, CONFIG_DURATION, CONFIG_LEVEL, CONFIG_TEXT, CONFIG_LIST };

/* What a text, or each item of a list, must look like. */
struct config_form {
    bool (*valid)(const char *text);
    const char *allowed;
    bool secret; /* shown as "Name: ..." */
};

struct config_option {
    const char *key;
    enum config_type type;
    size_t offset;
    const char *value; /* the default as one would write it; items of a list separated by commas */
    uint64_t min, max;
    const struct config_form *form;
    const char *doc;
};

static bool is_path(const char *text)
{
    return text[0] == '/';
}

static bool is_path_or_none(const char *text)
{
    return !text[0] || is_path(text);
}

static bool has_host(const char *rest)
{
    return rest[0] && !strchr("/:?#", rest[0]) && !strpbrk(rest, " \"<>\\^`{|}");
}

static bool is_https_url_or_none(const char *text)
{
    return !text[0] || (text_has_prefix(text, "https://") && has_host(text + 8));
}

static bool is_http_url_or_none(const char *text)
{
    return is_https_url_or_none(text) || (text_has_prefix(text, "http://") && has_host(text + 7));
}

static bool is_host_or_none(const char *text)
{
    return strlen(text) <= 253 && !strpbrk(text, " /");
}

/* RFC 9110 field names are tokens. */
static bool is_header(const char *text)
{
    size_t n = strspn(text, "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");
    return n && text[n] == ':' && text[n + 1] == ' ' && text[n + 2] && (text[n + 2] != '@' || text[n + 3] == '/');
}

static bool is_priority(const char *text)
{
    static const char *const names[] = { "emergency", "alert", "critical", "error", "warning", "notice", "informational", "debug" };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (!strcmp(text, names[i]))
            return true;
    return false;
}

static const struct config_form priority = { is_priority, "emergency, alert, critical, error, warning, notice, informational or debug", false };
static const struct config_form path = { is_path, "an absolute path", false };
static const struct config_form path_or_none = { is_path_or_none, "an absolute path, or \"\" for none", false };
static const struct config_form http_url = { is_http_url_or_none, "an http:// or https:// URL, or \"\" for none", false };
static const struct config_form https_url = { is_https_url_or_none, "an https:// URL", false };
static const struct config_form host_name = { is_host_or_none, "a host name, or \"\" for the system's", false };
static const struct config_form header = { is_header, "\"Name: value\" or \"Name: @/path\"", true };

#define AT(field) offsetof(struct config, field)
#define KIB 1024ull
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define TIB (1024 * GIB)
#define MS NS_PER_MS
#define SEC NS_PER_SECOND
#define HOUR (3600 * SEC)
#define DAY (24 * HOUR)

/* Options of one section stand together. */
static const struct config_option options[] = {
    { "log.level", CONFIG_LEVEL, AT(log.level), "info", 0, 0, NULL, "How much is logged." },
    { "host.name", CONFIG_TEXT, AT(host.name), "", 0, 0, &host_name, "Name of this host in findings; empty: the system's host name at start." },
    { "storage.path", CONFIG_TEXT, AT(storage.path), "/var/lib/ecsguard/ecsguard.db", 0, 0, &path, "The database of events and findings." },
    { "storage.max_size", CONFIG_SIZE, AT(storage.max_size_bytes), "1GiB", 16 * MIB, TIB, NULL,
      "The database stays below this size: the oldest events leave first, findings last." },
    { "storage.events_age", CONFIG_DURATION, AT(storage.events_age_ns), "30d", HOUR, 3650 * DAY, NULL,
      "Events older than this leave the database." },
    { "storage.findings_age", CONFIG_DURATION, AT(storage.findings_age_ns), "365d", HOUR, 3650 * DAY, NULL,
      "Findings last seen longer ago than this leave the database." },
    { "sensors.exec", CONFIG_BOOL, AT(sensors.exec), "true", 0, 0, NULL, "Watch program starts with their arguments." },
    { "sensors.proc", CONFIG_BOOL, AT(sensors.proc), "true", 0, 0, NULL, "Watch forks, exits, changes of user and ptrace." },
    { "sensors.file", CONFIG_BOOL, AT(sensors.file), "true", 0, 0, NULL, "Watch files of containers." },
    { "sensors.flow", CONFIG_BOOL, AT(sensors.flow), "true", 0, 0, NULL, "Watch network flows." },
    { "sensors.dns", CONFIG_BOOL, AT(sensors.dns), "true", 0, 0, NULL, "Watch DNS queries and answers of containers." },
    { "sensors.listen", CONFIG_BOOL, AT(sensors.listen), "true", 0, 0, NULL, "Watch listening sockets and packet sockets." },
    { "sensors.syscalls", CONFIG_BOOL, AT(sensors.syscalls), "false", 0, 0, NULL,
      "Watch rare system calls (ptrace, mount and more, see ecsguardd(8)) through tracefs; makes every system call of the host some 40 ns slower." },
    { "sensors.exec_full_rate", CONFIG_INT, AT(sensors.exec_full_rate), "100", 1, 1000000, NULL,
      "Program starts per second, on each CPU, that are read in full; above this only arguments and executable are." },
    { "files.layers", CONFIG_LIST, AT(files.layers), "/var/lib/docker,/var/lib/containerd", 0, 0, &path,
      "Directories that hold the file systems of containers." },
    { "files.proc_opens", CONFIG_BOOL, AT(files.proc_opens), "true", 0, 0, NULL,
      "Tell when a container's process opens secrets in /proc (environ, mem, kcore, ...). Makes each open of any /proc file there 2 to 8 us slower." },
    { "flows.track_containers", CONFIG_BOOL, AT(flows.track_containers), "true", 0, 0, NULL,
      "Make the kernel track the connections of network namespaces of containers that are not seen otherwise (awsvpc tasks)." },
    { "flows.track_host", CONFIG_BOOL, AT(flows.track_host), "false", 0, 0, NULL,
      "The same for the host itself, should nothing there (NAT, a firewall, Docker's bridge) track already. Costs memory and time for each packet." },
    { "flows.withdraw_percent", CONFIG_INT, AT(flows.withdraw_percent), "80", 10, 95, NULL,
      "Our tracking ends in a namespace that holds this much of net.netfilter.nf_conntrack_max: at 100 the kernel would drop packets." },
    { "flows.return_percent", CONFIG_INT, AT(flows.return_percent), "60", 5, 90, NULL, "... and begins again below this." },
    { "flows.update_interval", CONFIG_DURATION, AT(flows.update_interval_ns), "3m", SEC, HOUR, NULL,
      "Bytes of long flows are told before their end: those that last are looked at this often." },
    { "docker.socket", CONFIG_TEXT, AT(docker.socket), "/var/run/docker.sock", 0, 0, &path_or_none,
      "Docker's socket, for names and images of containers; empty: do not ask Docker." },
    { "ecs.introspection_url", CONFIG_TEXT, AT(ecs.introspection_url), "http://127.0.0.1:51678", 0, 0, &http_url,
      "The ECS agent's introspection API, for tasks and the cluster; empty: do not ask." },
    { "intel.shipped_dir", CONFIG_TEXT, AT(intel.shipped_dir), "/usr/share/ecsguard/intel", 0, 0, &path_or_none,
      "Directory of the threat lists that come with ecsguard; empty: none of them." },
    { "intel.dir", CONFIG_TEXT, AT(intel.dir), "/etc/ecsguard/intel.d", 0, 0, &path_or_none,
      "Directory of your own threat lists and trusted lists, ecsguard-intel(5); empty: none." },
    { "intel.max_memory", CONFIG_SIZE, AT(intel.max_memory_bytes), "64MiB", MIB, LIMIT_INTEL_BYTES, NULL,
      "Memory of all lists, twice as much while they are renewed; what has no room is left out. Above 64MiB raise MemoryMax= of the unit too." },
    { "intel.check_interval", CONFIG_DURATION, AT(intel.check_interval_ns), "30s", SEC, DAY, NULL,
      "Changed list files are looked for this often; SIGHUP reads them at once." },
    { "rules.shipped_dir", CONFIG_TEXT, AT(rules.shipped_dir), "/usr/share/ecsguard/rules", 0, 0, &path_or_none,
      "Directory of the rules that come with ecsguard; empty: none of them." },
    { "rules.dir", CONFIG_TEXT, AT(rules.dir), "/etc/ecsguard/rules.d", 0, 0, &path_or_none,
      "Directory of your own rules, read after the shipped ones: they can append to and override them; empty: none." },
    { "rules.priority", CONFIG_TEXT, AT(rules.priority), "debug", 0, 0, &priority, "Rules of lesser priority than this are left out." },
    { "rules.first_match", CONFIG_BOOL, AT(rules.first_match), "false", 0, 0, NULL,
      "Only the first rule that matches an event reports it, as older Falco does; else every one does." },
    { "rules.wait", CONFIG_DURATION, AT(rules.wait_ns), "5s", 0, 60 * SEC, NULL,
      "Rules about a new container wait this long for its name, image and task, then are decided with what is known." },
    { "sequences.shipped", CONFIG_TEXT, AT(sequences.shipped), "/usr/share/ecsguard/sequences.yaml", 0, 0, &path_or_none,
      "Attack sequences that come with the package; empty: none." },
    { "sequences.dir", CONFIG_TEXT, AT(sequences.dir), "/etc/ecsguard/sequences.d", 0, 0, &path_or_none,
      "Directory of own attack sequences; empty: none." },
    { "miner.cpu_percent", CONFIG_INT, AT(miner.cpu_percent), "80", 10, 100000, NULL,
      "A container that uses this much of one CPU may be mining coins; more must speak for it." },
    { "miner.time", CONFIG_DURATION, AT(miner.time_ns), "5m", 30 * SEC, DAY, NULL, "... for this long without a pause." },
    { "network.scan_ports", CONFIG_INT, AT(network.scan_ports), "50", 10, 5000, NULL,
      "So many ports of one address tried within a minute, without answers, are a port scan; three times as many within 6 hours." },
    { "network.scan_addresses", CONFIG_INT, AT(network.scan_addresses), "100", 10, 5000, NULL,
      "So many addresses tried on one port within a minute, without answers, are a port scan; three times as many within 6 hours." },
    { "network.data_volume", CONFIG_SIZE, AT(network.data_volume_bytes), "100MiB", MIB, TIB, NULL,
      "Less than this sent to public addresses in an hour is never unusual, whatever the task's history." },
    { "network.listen_after", CONFIG_DURATION, AT(network.listen_after_ns), "1m", 0, DAY, NULL,
      "What begins to listen within this time of its container's start belongs to the service." },
    { "run_dir", CONFIG_TEXT, AT(run_dir), "/run/ecsguard", 0, 0, &path, "Directory of the running agent's lock and socket." },
    { "delivery.enabled", CONFIG_BOOL, AT(delivery.enabled), "false", 0, 0, NULL, "Send findings to delivery.url." },
    { "delivery.url", CONFIG_TEXT, AT(delivery.url), "", 0, 0, &https_url, "Where findings are POSTed as JSON." },
    { "delivery.ca_file", CONFIG_TEXT, AT(delivery.ca_file), "", 0, 0, &path_or_none,
      "PEM file of the authorities that may have signed the receiver's certificate; empty: the system's." },
    { "delivery.client_cert", CONFIG_TEXT, AT(delivery.client_cert), "", 0, 0, &path_or_none,
      "PEM file of our own certificate, if the receiver asks for one." },
    { "delivery.client_key", CONFIG_TEXT, AT(delivery.client_key), "", 0, 0, &path_or_none, "PEM file of the key of delivery.client_cert." },
    { "delivery.interval", CONFIG_DURATION, AT(delivery.interval_ns), "10s", 100 * MS, DAY, NULL, "New findings are looked for this often." },
    { "delivery.batch_max", CONFIG_INT, AT(delivery.batch_max), "100", 1, 1000, NULL, "Findings in one request, at most." },
    { "delivery.batch_bytes", CONFIG_SIZE, AT(delivery.batch_bytes), "256KiB", 4 * KIB, 16 * MIB, NULL,
      "Size of one request, at most; a single finding that is larger is sent alone." },
    { "delivery.backoff_min", CONFIG_DURATION, AT(delivery.backoff_min_ns), "1s", 100 * MS, HOUR, NULL, "Shortest pause after a failure." },
    { "delivery.backoff_max", CONFIG_DURATION, AT(delivery.backoff_max_ns), "5m", 100 * MS, DAY, NULL, "Longest pause after a failure." },
    { "delivery.state_dir", CONFIG_TEXT, AT(delivery.state_dir), "/var/lib/ecsguard-uploader", 0, 0, &path,
      "Directory of what has been acknowledged, and of the delivery status." },
    { "delivery.headers", CONFIG_LIST, AT(delivery.headers), "", 0, 0, &header,
      "Headers added to each request. Keep secrets in a file that only ecsguard-uploader can read: \"Authorization: @/path\"." },
};

#define N_OPTIONS (sizeof options / sizeof options[0])

static const struct {
    const char *name;
    enum log_level level;
} levels[] = {
    { "error", LOG_LEVEL_ERROR },
    { "warn", LOG_LEVEL_WARN },
    { "info", LOG_LEVEL_INFO },
    { "debug", LOG_LEVEL_DEBUG },
};

struct unit {
    const char *name;
    uint64_t factor;
};

/* Largest first: printing takes the first that divides. */
static const struct unit sizes[] = { { "TiB", TIB }, { "GiB", GIB }, { "MiB", MIB }, { "KiB", KIB }, { "B", 1 } };
static const struct unit durations[] = { { "d", DAY }, { "h", HOUR }, { "m", 60 * SEC }, { "s", SEC }, { "ms", MS } };
#define N_UNITS 5

/* ---- values ---- */

static const struct unit *units_of(enum config_type type)
{
    return type == CONFIG_SIZE ? sizes : durations;
}

static int parse_units(const struct unit *units, const char *text, uint64_t *value)
{
    size_t digits = strspn(text, "0123456789");
    if (text_to_u64(text, digits, value))
        return -EINVAL;
    for (int i = 0; i < N_UNITS; i++) {
        if (strcmp(text + digits, units[i].name))
            continue;
        return __builtin_mul_overflow(*value, units[i].factor, value) ? -EINVAL : 0;
    }
    return -EINVAL;
}

static void print_units(struct text_out *out, const struct unit *units, uint64_t value)
{
    for (int i = 0; i < N_UNITS; i++) {
        if (i < N_UNITS - 1 && value % units[i].factor)
            continue;
        text_out_printf(out, "%llu%s", (unsigned long long)(value / units[i].factor), units[i].name);
        return;
    }
}

static bool is_printable(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            return false;
    return true;
}

static int parse_text(const struct config_option *o, char *field, const char *text)
{
    if (strlen(text) >= LIMIT_CONFIG_TEXT_BYTES || !o->form->valid(text))
        return -EINVAL;
    memcpy(field, text, strlen(text) + 1);
    return 0;
}

static int parse_number(const struct config_option *o, uint64_t *field, const char *text)
{
    uint64_t value;
    int r = o->type == CONFIG_INT ? text_to_u64(text, strlen(text), &value) : parse_units(units_of(o->type), text, &value);
    if (r || value < o->min || value > o->max)
        return -EINVAL;
    *field = value;
    return 0;
}

static int parse_level(int *field, const char *text)
{
    for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++) {
        if (!strcmp(text, levels[i].name)) {
            *field = (int)levels[i].level;
            return 0;
        }
    }
    return -EINVAL;
}

/* One scalar: the value of an option, or one more item of a list. 0 or -EINVAL. */
static int parse_scalar(const struct config_option *o, void *field, const char *text)
{
    struct config_list *list = field;
    switch (o->type) {
    case CONFIG_BOOL:
        *(bool *)field = !strcmp(text, "true");
        return strcmp(text, "true") && strcmp(text, "false") ? -EINVAL : 0;
    case CONFIG_INT:
    case CONFIG_SIZE:
    case CONFIG_DURATION:
        return parse_number(o, field, text);
    case CONFIG_LEVEL:
        return parse_level(field, text);
    case CONFIG_TEXT:
        return parse_text(o, field, text);
    case CONFIG_LIST:
        if (list->n == LIMIT_CONFIG_LIST || parse_text(o, list->items[list->n], text))
            return -EINVAL;
        list->n++;
        return 0;
    }
    return -EINVAL;
}

static void print_allowed(struct text_out *out, const struct config_option *o)
{
    switch (o->type) {
    case CONFIG_BOOL:
        text_out_printf(out, "true or false");
        break;
    case CONFIG_INT:
        text_out_printf(out, "a number from %llu to %llu", (unsigned long long)o->min, (unsigned long long)o->max);
        break;
    case CONFIG_SIZE:
    case CONFIG_DURATION:
        text_out_printf(out, o->type == CONFIG_SIZE ? "a size from " : "a duration from ");
        print_units(out, units_of(o->type), o->min);
        text_out_printf(out, " to ");
        print_units(out, units_of(o->type), o->max);
        text_out_printf(out, o->type == CONFIG_SIZE ? " (units B, KiB, MiB, GiB, TiB)" : " (units ms, s, m, h, d)");
        break;
    case CONFIG_LEVEL:
        text_out_printf(out, "error, warn, info or debug");
        break;
    case CONFIG_TEXT:
        text_out_printf(out, "%s", o->form->allowed);
        break;
    case CONFIG_LIST:
        text_out_printf(out, "a list of at most %d, each %s", LIMIT_CONFIG_LIST, o->form->allowed);
        break;
    }
}

void config_defaults(struct config *config)
{
    memset(config, 0, sizeof *config);
    for (size_t i = 0; i < N_OPTIONS; i++) {
        void *field = (char *)config + options[i].offset;
        char value[LIMIT_CONFIG_TEXT_BYTES], *rest = value, *item;
        text_copy(value, sizeof value, options[i].value, sizeof value);
        if (options[i].type != CONFIG_LIST)
            parse_scalar(&options[i], field, value);
        else
            while ((item = strsep(&rest, ",")) && *item)
                parse_scalar(&options[i], field, item);
    }
}

/* ---- keys ---- */

static const struct config_option *option_find(const char *key)
{
    for (size_t i = 0; i < N_OPTIONS; i++)
        if (!strcmp(options[i].key, key))
            return &options[i];
    return NULL;
}

/* The first option of the section "storage", or NULL. */
static const struct config_option *section_find(const char *key)
{
    size_t n = strlen(key);
    for (size_t i = 0; i < N_OPTIONS; i++)
        if (!strncmp(options[i].key, key, n) && options[i].key[n] == '.')
            return &options[i];
    return NULL;
}

#define KEY_MAX 64

/* Levenshtein distance of two keys shorter than KEY_MAX. */
static unsigned key_distance(const char *a, const char *b)
{
    unsigned row[KEY_MAX + 1];
    size_t n = strlen(b);
    for (size_t j = 0; j <= n; j++)
        row[j] = (unsigned)j;
    for (size_t i = 1; a[i - 1]; i++) {
        unsigned diagonal = row[0];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= n; j++) {
            unsigned best = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            if (row[j] + 1 < best)
                best = row[j] + 1;
            row[j] = best;
        }
    }
    return row[n];
}

/* The known key that was probably meant, or NULL: few letters differ, or it stands in another section. */
static const char *key_hint(const char *key)
{
    const char *nearest = NULL, *dot = strrchr(key, '.');
    unsigned best = strlen(key) < 6 ? 2 : 4;
    for (size_t i = 0; i < N_OPTIONS; i++) {
        const char *last = strrchr(options[i].key, '.');
        bool elsewhere = last && !strcmp(last + 1, dot ? dot + 1 : key);
        unsigned distance = elsewhere ? 1 : key_distance(key, options[i].key);
        if (distance < best) {
            best = distance;
            nearest = options[i].key;
        }
    }
    return nearest;
}

/* ---- the file ---- */

struct reader {
    yaml_parser_t parser;
    yaml_event_t event; /* the current one */
    const char *name, *data;
    size_t size;
    struct config *config;
    struct text_out *error;
    bool option_seen[N_OPTIONS], section_seen[N_OPTIONS]; /* a section counts as its first option */
    yaml_mark_t option_mark[N_OPTIONS];
};

static void say_place(struct reader *r, yaml_mark_t mark)
{
    text_out_printf(r->error, "%s:%zu:%zu: ", r->name, mark.line + 1, mark.column + 1);
}

__attribute__((format(printf, 3, 4))) static int refuse(struct reader *r, yaml_mark_t mark, const char *format, ...)
{
    char what[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    say_place(r, mark);
    text_out_printf(r->error, "%s", what);
    return -EINVAL;
}

/* Reader errors (encoding, control characters) come with a byte offset only. */
static yaml_mark_t mark_of_offset(const struct reader *r, size_t offset)
{
    yaml_mark_t mark = { .index = offset };
    for (size_t i = 0; i < offset && i < r->size; i++) {
        mark.column++;
        if (r->data[i] == '\n') {
            mark.line++;
            mark.column = 0;
        }
    }
    return mark;
}

static int refuse_yaml(struct reader *r)
{
    const yaml_parser_t *p = &r->parser;
    const char *problem = p->problem ? p->problem : "out of memory";
    if (p->error == YAML_READER_ERROR)
        return refuse(r, mark_of_offset(r, p->problem_offset), "%s; plain UTF-8 text is allowed", problem);
    return refuse(r, p->problem_mark, "not valid YAML: %s%s%s", p->context ? p->context : "", p->context ? ": " : "", problem);
}

static int next(struct reader *r)
{
    yaml_event_delete(&r->event);
    return yaml_parser_parse(&r->parser, &r->event) ? 0 : refuse_yaml(r);
}

/* Anchors, aliases and tags could make a small file mean something large or something else than it shows. */
static int check_plain(struct reader *r)
{
    const yaml_event_t *e = &r->event;
    bool anchor = (e->type == YAML_SCALAR_EVENT && e->data.scalar.anchor) ||
                  (e->type == YAML_SEQUENCE_START_EVENT && e->data.sequence_start.anchor) ||
                  (e->type == YAML_MAPPING_START_EVENT && e->data.mapping_start.anchor);
    bool tag = (e->type == YAML_SCALAR_EVENT && e->data.scalar.tag) ||
               (e->type == YAML_SEQUENCE_START_EVENT && e->data.sequence_start.tag) ||
               (e->type == YAML_MAPPING_START_EVENT && e->data.mapping_start.tag);
    if (anchor || e->type == YAML_ALIAS_EVENT)
        return refuse(r, e->start_mark, "anchors and aliases are not supported; write the value itself");
    if (tag)
        return refuse(r, e->start_mark, "tags are not supported; write the plain value");
    return 0;
}

static int next_node(struct reader *r)
{
    int error = next(r);
    return error ? error : check_plain(r);
}

static bool is_null(const yaml_event_t *e)
{
    const char *text = (const char *)e->data.scalar.value;
    return e->type == YAML_SCALAR_EVENT && e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           (!*text || !strcmp(text, "~") || !strcmp(text, "null"));
}

static int refuse_value(struct reader *r, const struct config_option *o)
{
    const yaml_event_t *e = &r->event;
    char shown[128], allowed[256];
    struct text_out text, what;
    text_out_init(&text, shown, sizeof shown);
    text_out_init(&what, allowed, sizeof allowed);
    print_allowed(&what, o);
    if (is_null(e))
        return refuse(r, e->start_mark, "%s has no value; allowed is %s", o->key, allowed);
    if (e->type == YAML_MAPPING_START_EVENT)
        return refuse(r, e->start_mark, "%s cannot have keys below it; allowed is %s", o->key, allowed);
    if (e->type != YAML_SCALAR_EVENT)
        return refuse(r, e->start_mark, "%s cannot be a list; allowed is %s", o->key, allowed);
    if (o->form && o->form->secret)
        return refuse(r, e->start_mark, "%s: this item is not valid; allowed is %s", o->key, allowed);
    text_escape(&text, e->data.scalar.value, e->data.scalar.length);
    return refuse(r, e->start_mark, "%s: \"%s%s\" is not valid; allowed is %s", o->key, shown, text.cut ? "..." : "", allowed);
}

static int read_scalar(struct reader *r, const struct config_option *o)
{
    const yaml_event_t *e = &r->event;
    const char *text = (const char *)e->data.scalar.value;
    if (e->type != YAML_SCALAR_EVENT || is_null(e) || !is_printable(text, e->data.scalar.length) ||
        parse_scalar(o, (char *)r->config + o->offset, text))
        return refuse_value(r, o);
    return 0;
}

static int read_list(struct reader *r, const struct config_option *o)
{
    struct config_list *list = (struct config_list *)((char *)r->config + o->offset);
    if (r->event.type != YAML_SEQUENCE_START_EVENT)
        return refuse_value(r, o);
    list->n = 0;
    for (;;) {
        int error = next_node(r);
        if (error || r->event.type == YAML_SEQUENCE_END_EVENT)
            return error;
        if ((error = read_scalar(r, o)))
            return error;
    }
}

static int read_option(struct reader *r, const struct config_option *o, yaml_mark_t key_mark)
{
    size_t i = (size_t)(o - options);
    if (r->option_seen[i])
        return refuse(r, key_mark, "%s is set twice (first on line %zu); each key may stand once", o->key, r->option_mark[i].line + 1);
    r->option_seen[i] = true;
    r->option_mark[i] = key_mark;
    int error = next_node(r);
    if (error)
        return error;
    return o->type == CONFIG_LIST ? read_list(r, o) : read_scalar(r, o);
}

static int refuse_key(struct reader *r, const char *key, yaml_mark_t mark)
{
    char shown[2 * KEY_MAX];
    struct text_out text;
    const char *hint = key_hint(key);
    text_out_init(&text, shown, sizeof shown);
    text_escape(&text, key, strlen(key));
    if (hint)
        return refuse(r, mark, "unknown key \"%s\"; did you mean %s?", shown, hint);
    return refuse(r, mark, "unknown key \"%s\"; 'ecsguardctl config' prints all keys", shown);
}

/* The current event as a key below `section` ("" at the top). */
static int read_key(struct reader *r, const char *section, char key[KEY_MAX])
{
    const yaml_event_t *e = &r->event;
    if (e->type != YAML_SCALAR_EVENT)
        return refuse(r, e->start_mark, "a key must be one word; 'ecsguardctl config' prints all keys");
    const char *text = (const char *)e->data.scalar.value;
    int n = snprintf(key, KEY_MAX, "%s%s%s", section, *section ? "." : "", text);
    if (n >= KEY_MAX || !is_printable(text, e->data.scalar.length) || !*text)
        return refuse_key(r, key, e->start_mark);
    return 0;
}

/* The filters and the sources of threat lists: agent/detect/suppress.h and intel_sources.h read them. */
static int skip_value(struct reader *r)
{
    int depth = 0, error;
    do {
        if ((error = next_node(r)))
            return error;
        yaml_event_type_t type = r->event.type;
        depth += type == YAML_SEQUENCE_START_EVENT || type == YAML_MAPPING_START_EVENT;
        depth -= type == YAML_SEQUENCE_END_EVENT || type == YAML_MAPPING_END_EVENT;
    } while (depth);
    return 0;
}

static int read_section(struct reader *r, const char *section);

static int read_entry(struct reader *r, const char *section)
{
    char key[KEY_MAX];
    yaml_mark_t mark = r->event.start_mark;
    int error = read_key(r, section, key);
    if (error)
        return error;
    const struct config_option *o = option_find(key), *first = section_find(key);
    if (!strcmp(key, "suppress") || !strcmp(key, "intel.sources"))
        return skip_value(r);
    if (o)
        return read_option(r, o, mark);
    if (!first)
        return refuse_key(r, key, mark);
    if (r->section_seen[first - options])
        return refuse(r, mark, "section %s stands twice; put its options together", key);
    r->section_seen[first - options] = true;
    if ((error = next_node(r)))
        return error;
    if (is_null(&r->event)) /* all of its options are commented out */
        return 0;
    return read_section(r, key);
}

static int read_section(struct reader *r, const char *section)
{
    if (r->event.type != YAML_MAPPING_START_EVENT)
        return refuse(r, r->event.start_mark, "%s%sonly \"key: value\" lines are allowed here", section, *section ? ": " : "");
    for (;;) {
        int error = next_node(r);
        if (error || r->event.type == YAML_MAPPING_END_EVENT)
            return error;
        if ((error = read_entry(r, section)))
            return error;
    }
}

static int read_file(struct reader *r)
{
    int error = next(r); /* stream start */
    if (!error)
        error = next(r);
    if (error || r->event.type == YAML_STREAM_END_EVENT)
        return error;
    if ((error = next_node(r)))
        return error;
    if (!is_null(&r->event) && (error = read_section(r, "")))
        return error;
    if ((error = next(r)) || (error = next(r)))
        return error;
    if (r->event.type != YAML_STREAM_END_EVENT)
        return refuse(r, r->event.start_mark, "a second YAML document; one is allowed");
    return 0;
}

static int refuse_option(struct reader *r, const char *key, const char *what)
{
    const struct config_option *o = option_find(key);
    return refuse(r, r->option_mark[o - options], "%s %s", key, what);
}

/* What options say about each other. */
static int check_together(struct reader *r)
{
    const struct config *c = r->config;
    if (c->flows.return_percent >= c->flows.withdraw_percent) {
        bool return_set = r->option_seen[option_find("flows.return_percent") - options];
        return refuse_option(r, return_set ? "flows.return_percent" : "flows.withdraw_percent",
                             "lets tracking begin again where it has to end; flows.return_percent must be less than flows.withdraw_percent");
    }
    if (c->delivery.enabled && !c->delivery.url[0])
        return refuse_option(r, "delivery.enabled", "is true without delivery.url; set delivery.url to an https:// URL");
    if (c->delivery.client_cert[0] && !c->delivery.client_key[0])
        return refuse_option(r, "delivery.client_cert", "is set without delivery.client_key; set both or none");
    if (c->delivery.client_key[0] && !c->delivery.client_cert[0])
        return refuse_option(r, "delivery.client_key", "is set without delivery.client_cert; set both or none");
    if (c->delivery.backoff_min_ns > c->delivery.backoff_max_ns) {
        bool max_set = r->option_seen[option_find("delivery.backoff_max") - options];
        return refuse_option(r, max_set ? "delivery.backoff_max" : "delivery.backoff_min",
                             "makes the longest pause shorter than the shortest; delivery.backoff_min may be at most delivery.backoff_max");
    }
    return 0;
}

int config_parse(struct config *config, const char *name, const char *data, size_t size, struct text_out *error)
{
    struct config *copy = malloc(sizeof *copy);
    struct reader r = { .name = name, .data = data, .size = size, .config = copy, .error = error };
    if (!copy || !yaml_parser_initialize(&r.parser)) {
        free(copy);
        text_out_printf(error, "%s: out of memory", name);
        return -ENOMEM;
    }
    *copy = *config;
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)data, size);
    int result = read_file(&r);
    if (!result)
        result = check_together(&r);
    if (!result)
        *config = *copy;
    yaml_event_delete(&r.event);
    yaml_parser_delete(&r.parser);
    free(copy);
    return result;
}

/* Reads at most `size` bytes of a regular file. Returns the length or -errno. */
static ssize_t read_whole(const char *file, char *data, size_t size)
{
    struct stat st;
    size_t n = 0;
    ssize_t got = 1;
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY); /* non-blocking: it may turn out to be a fifo */
    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
        close(fd);
        return -EINVAL;
    }
    while (n < size && (got = read(fd, data + n, size - n)) > 0)
        n += (size_t)got;
    int error = errno;
    close(fd);
    return got < 0 ? -error : (ssize_t)n;
}

int config_load(struct config *config, const char *file, struct text_out *error)
{
    char *data = malloc(LIMIT_CONFIG_FILE_BYTES + 1);
    int result = 0;
    ssize_t n = data ? read_whole(file, data, LIMIT_CONFIG_FILE_BYTES + 1) : -ENOMEM;
    config_defaults(config);
    if (n == -EINVAL) {
        text_out_printf(error, "%s: not a regular file", file);
        result = -EINVAL;
    } else if (n < 0 && n != -ENOENT) {
        text_out_printf(error, "%s: %s", file, strerror((int)-n));
        result = (int)n;
    } else if (n > (ssize_t)LIMIT_CONFIG_FILE_BYTES) {
        text_out_printf(error, "%s: larger than %u KiB; that is no configuration of ours", file, LIMIT_CONFIG_FILE_BYTES >> 10);
        result = -EFBIG;
    } else if (n >= 0) {
        result = config_parse(config, file, data, (size_t)n, error);
    }
    free(data);
    return result;
}

/* ---- printing ---- */

static void print_text(struct text_out *out, const struct config_option *o, const char *text)
{
    const char *plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-";
    const char *value = strstr(text, ": ");
    if (text[0] == '/' && !text[strspn(text, plain)]) {
        text_out_printf(out, "%s", text);
        return;
    }
    text_out_printf(out, "\"");
    if (o->form->secret && value && value[2] != '@') {
        text_out_bytes(out, text, (size_t)(value - text));
        text_out_printf(out, ": (hidden)");
    } else {
        for (; *text; text++) {
            if (*text == '"' || *text == '\\')
                text_out_printf(out, "\\");
            text_out_bytes(out, text, 1);
        }
    }
    text_out_printf(out, "\"");
}

static void print_value(struct text_out *out, const struct config_option *o, const struct config *config)
{
    const void *field = (const char *)config + o->offset;
    const struct config_list *list = field;
    switch (o->type) {
    case CONFIG_BOOL:
        text_out_printf(out, *(const bool *)field ? "true" : "false");
        break;
    case CONFIG_INT:
        text_out_printf(out, "%llu", (unsigned long long)*(const uint64_t *)field);
        break;
    case CONFIG_SIZE:
    case CONFIG_DURATION:
        print_units(out, units_of(o->type), *(const uint64_t *)field);
        break;
    case CONFIG_LEVEL:
        for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++)
            if ((int)levels[i].level == *(const int *)field)
                text_out_printf(out, "%s", levels[i].name);
        break;
    case CONFIG_TEXT:
        print_text(out, o, field);
        break;
    case CONFIG_LIST:
        text_out_printf(out, "[");
        for (int i = 0; i < list->n; i++) {
            text_out_printf(out, i ? ", " : "");
            print_text(out, o, list->items[i]);
        }
        text_out_printf(out, "]");
        break;
    }
}

/* `mark` is put before each value: "" or "#". */
static void print_options(struct text_out *out, const struct config *config, const char *mark)
{
    char section[KEY_MAX] = "";
    for (size_t i = 0; i < N_OPTIONS; i++) {
        const struct config_option *o = &options[i];
        const char *dot = strchr(o->key, '.');
        size_t n = dot ? (size_t)(dot - o->key) : 0;
        if (n && (strlen(section) != n || strncmp(section, o->key, n)))
            text_out_printf(out, "\n%.*s:\n", (int)n, o->key);
        else if (!n)
            text_out_printf(out, "\n");
        text_copy(section, sizeof section, o->key, n);
        const char *indent = n ? "  " : "";
        text_out_printf(out, "%s# %s\n%s# Allowed: ", indent, o->doc, indent);
        print_allowed(out, o);
        text_out_printf(out, ".\n%s%s%s: ", indent, mark, dot ? dot + 1 : o->key);
        print_value(out, o, config);
        text_out_printf(out, "\n");
    }
}

void config_print(const struct config *config, struct text_out *out)
{
    text_out_printf(out, "# Effective configuration of ecsguard.\n");
    print_options(out, config, "");
}

void config_print_default(struct text_out *out)
{
    struct config *config = malloc(sizeof *config);
    if (!config)
        return;
    config_defaults(config);
    text_out_printf(out, "# Configuration of ecsguard. Nothing needs to be set: what stands here commented out are the defaults.\n"
                         "# After a change: systemctl restart ecsguard ecsguard-uploader\n"
                         "# 'ecsguardctl config' checks this file and prints the values in effect.\n");
    print_options(out, config, "#");
    text_out_printf(out, "\n# Filters: what one of them matches is stored, but not delivered; ecsguard.yaml(5).\n"
                         "#suppress:\n"
                         "#  - name: nightly scan\n"
                         "#    when: # all of these: COLUMN of findings, one of = != > >= < <= matches, VALUE (matches: * and ?)\n"
                         "#      - task_family = scanner\n"
                         "#      - exe matches /opt/scan/*\n");
    text_out_printf(out, "\n# Threat lists that ecsguard-uploader fetches, in the section intel; ecsguard-intel(5).\n"
                         "#intel:\n"
                         "#  sources:\n"
                         "#    - name: botnets\n"
                         "#      url: https://lists.example.com/botnets.csv\n"
                         "#      category: c2\n"
                         "#      interval: 6h\n"
                         "#      public_key: /etc/ecsguard/lists.pem # then https://lists.example.com/botnets.csv.sig is its signature\n");
    free(config);
}
