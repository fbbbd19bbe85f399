/* scan.c - `torc scan` and `torc dump`: a walk over the keys with a prefix or of a range, written as it
 * comes. */
#include "client/cli/cli.h"
#include "client/cli/json_bytes.h"

#include <stdlib.h>

enum { PAGE_ENTRIES = 1000 };

static int write_plain(struct cli *cli, const struct torc_entry *entry)
{
    int rc = cli_write(cli, entry->key.data, entry->key.bytes);
    if (rc == 0 && !cli->options->is_keys_only) {
        rc = cli_write_text(cli, "\t");
        rc = rc ? rc : cli_write(cli, entry->value.data, entry->value.bytes);
    }
    return rc ? rc : cli_write_text(cli, "\n");
}

static int write_json(struct cli *cli, const struct torc_entry *entry)
{
    size_t bytes = 0;
    char *line = cli_json_line(entry->key, cli->options->is_keys_only ? NULL : &entry->value, &bytes);
    if (!line)
        return cli_complain("out of memory");
    int rc = cli_write(cli, line, bytes);
    free(line);
    return rc;
}

static int walk(struct cli *cli, torc_scan *scan, bool is_json)
{
    uint64_t left = cli->options->limit ? cli->options->limit : UINT64_MAX;
    struct torc_entry entry;
    int rc = 0;
    while (left > 0 && !cli->is_output_gone && (rc = torc_scan_next(scan, &entry)) == 1) {
        int written = is_json ? write_json(cli, &entry) : write_plain(cli, &entry);
        if (written != 0)
            return written;
        left--;
    }
    return rc < 0 ? cli_fail(cli, rc, cli->options->command, torc_bytes_of(NULL, 0)) : CLI_DONE;
}

static torc_bytes bytes_of(const char *text)
{
    return text ? torc_string(text) : torc_bytes_of(NULL, 0);
}

static uint32_t scan_flags(const struct cli_options *o)
{
    return (o->is_keys_only ? (uint32_t)TORC_KEYS_ONLY : 0) | (o->is_reverse ? (uint32_t)TORC_REVERSE : 0) |
           (o->is_ordered ? (uint32_t)TORC_ORDERED : 0) | (o->is_snapshot ? (uint32_t)TORC_SNAPSHOT : 0);
}

static int scan_all(struct cli *cli, bool is_json)
{
    const struct cli_options *o = cli->options;
    struct torc_page page = {
        .prefix = bytes_of(o->argument_count > 0 ? o->arguments[0] : o->prefix),
        .from = bytes_of(o->from),
        .to = bytes_of(o->to),
        .limit = o->limit > 0 && o->limit < PAGE_ENTRIES ? (uint32_t)o->limit : PAGE_ENTRIES,
        .flags = scan_flags(o),
    };
    bool is_range = page.from.bytes > 0 || page.to.bytes > 0;
    if ((o->argument_count > 0 && o->prefix) || (is_range && page.prefix.bytes > 0)) {
        cli_complain("a scan is of one prefix, or of the keys from --from to --to");
        return CLI_USAGE;
    }
    torc_scan *scan;
    int rc = torc_scan_open(cli->client, &page, &scan);
    if (rc != 0)
        return cli_fail(cli, rc, o->command, page.prefix);
    int code = walk(cli, scan, is_json);
    torc_scan_close(scan);
    return code;
}

int cli_scan(struct cli *cli)
{
    return scan_all(cli, cli->options->is_json);
}

int cli_dump(struct cli *cli)
{
    return scan_all(cli, true);
}
