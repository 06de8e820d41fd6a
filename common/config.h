/* /etc/ecsguard/ecsguard.yaml as a plain struct. Every option is one line of one table (config.c): parsing, defaults, ranges,
 * the printed configuration and the shipped default file all come from it. Nothing needs to be set. */
#ifndef ECSGUARD_CONFIG_H
#define ECSGUARD_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/limits.h"
#include "common/text.h"

#define CONFIG_PATH ECSGUARD_SYSCONFDIR "/ecsguard.yaml"

struct config_list {
    int n;
    char items[LIMIT_CONFIG_LIST][LIMIT_CONFIG_TEXT_BYTES];
};

struct config {
    struct {
        int level; /* enum log_level */
    } log;
    struct {
        char name[LIMIT_CONFIG_TEXT_BYTES]; /* "" = the host name at start */
    } host;
    struct {
        char path[LIMIT_CONFIG_TEXT_BYTES];
        uint64_t max_size_bytes;
        uint64_t events_age_ns, findings_age_ns;
    } storage;
    struct {
        bool exec, proc, file, flow, dns, listen, syscalls;
        uint64_t exec_full_rate; /* per second and exec reader */
    } sensors;
    struct {
        struct config_list layers;
        bool proc_opens;
    } files;
    struct {
        bool track_containers, track_host;
        uint64_t withdraw_percent, return_percent; /* of conntrack's limit */
        uint64_t update_interval_ns;
    } flows;
    struct {
        char socket[LIMIT_CONFIG_TEXT_BYTES]; /* "" = off */
    } docker;
    struct {
        char introspection_url[LIMIT_CONFIG_TEXT_BYTES]; /* "" = off */
    } ecs;
    struct {
        char shipped_dir[LIMIT_CONFIG_TEXT_BYTES], dir[LIMIT_CONFIG_TEXT_BYTES]; /* "" = off */
        uint64_t max_memory_bytes, check_interval_ns;
    } intel; /* and sources: agent/detect/intel_sources.h */
    struct {
        char shipped_dir[LIMIT_CONFIG_TEXT_BYTES], dir[LIMIT_CONFIG_TEXT_BYTES]; /* "" = off */
        char priority[LIMIT_CONFIG_TEXT_BYTES]; /* name, in lower case */
        bool first_match;
        uint64_t wait_ns;
    } rules;
    struct {
        char shipped[LIMIT_CONFIG_TEXT_BYTES], dir[LIMIT_CONFIG_TEXT_BYTES]; /* "" = none */
    } sequences;
    struct {
        uint64_t cpu_percent; /* of one CPU */
        uint64_t time_ns;
    } miner;
    struct {
        uint64_t scan_ports, scan_addresses;
        uint64_t data_volume_bytes;
        uint64_t listen_after_ns;
    } network;
    char run_dir[LIMIT_CONFIG_TEXT_BYTES];
    struct {
        bool enabled;
        char url[LIMIT_CONFIG_TEXT_BYTES];
        char ca_file[LIMIT_CONFIG_TEXT_BYTES]; /* "" = the system's */
        char client_cert[LIMIT_CONFIG_TEXT_BYTES], client_key[LIMIT_CONFIG_TEXT_BYTES];
        uint64_t interval_ns, backoff_min_ns, backoff_max_ns;
        uint64_t batch_max, batch_bytes;
        char state_dir[LIMIT_CONFIG_TEXT_BYTES];
        struct config_list headers; /* "Name: value", or "Name: @/path": the value is the first line of that file */
    } delivery;
};

void config_defaults(struct config *config);

/* The keys `suppress` and `intel.sources` are left to their own readers (agent/detect/suppress.h, agent/detect/intel_sources.h). */
/* Applies YAML text over `config`. 0, or -EINVAL with one line "name:line:column: what; what is allowed" in `error`; then
 * `config` is as it was. Texts of the file stand escaped in the message. */
int config_parse(struct config *config, const char *name, const char *data, size_t size, struct text_out *error);

/* Defaults, then the file at `path`. 0 (also when there is no such file), or a negative errno with a line in `error`. */
int config_load(struct config *config, const char *path, struct text_out *error);

/* The effective values with their explanation, as a file that config_load() takes back; values of headers are hidden (use
 * "@/path" to keep secrets out of the file). */
void config_print(const struct config *config, struct text_out *out);

/* The shipped file: the same, with every option commented out. */
void config_print_default(struct text_out *out);

/* Enough for either of the two. */
#define CONFIG_PRINT_BYTES (128u << 10)

#endif
