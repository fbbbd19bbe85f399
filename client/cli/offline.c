/* offline.c - the commands that need no server: they look at files on this machine. */
#include "offline/offline.h"
#include "client/cli/cli.h"

static_assert((int)OFFLINE_GOOD == (int)CLI_DONE && (int)OFFLINE_DAMAGED == (int)CLI_ERROR &&
                  (int)OFFLINE_FAILED == (int)CLI_USAGE,
              "their codes are exit codes of torc");

int cli_dump_raw(struct cli *cli)
{
    return offline_dump(cli->options->arguments[0]);
}
