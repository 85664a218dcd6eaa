/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * What the subcommands of `troupe` share: the options that all of them take, connecting, and how to end. Exit codes:
 * 0 done; 1 an error answer; 64 wrong usage; 69 no broker; 74 output failed; 75 no answer in time; 77 authentication
 * failed; 78 the authkey file cannot be used. */
#ifndef TRP_CLI_H
#define TRP_CLI_H

#include <argp.h>
#include <stdbool.h>
#include <stdint.h>
#include <troupe/client.h>

/* Given to every subcommand's parser as the input of its child `cli_common`. */
struct cli {
    const char *command; /* "pub" */
    const char *broker;  /* NULL: the library's default */
    const char *authkey; /* the file; NULL: the library's default */
    bool quiet, verbose;
};

enum {
    CLI_CONNECT_MS = 5000,
    CLI_MAX_PAYLOAD = 64 << 20, /* whatever a broker can be told to take */
};

/* --broker, --quiet, --verbose: also after the subcommand's name. */
extern const struct argp cli_common;

/* Parses a subcommand's own arguments; does not return when they are wrong, or for --help. */
void cli_parse(const struct argp *argp, struct cli *cli, int argc, char **argv, void *input);

/* One line that says what is wrong and what to do instead; ends with 64. */
_Noreturn void cli_usage(const struct cli *cli, const char *fmt, ...) TROUPE_PRINTF(2, 3);
/* One sentence on a status that ends the command, `CODE: sentence` if the broker's or a service's; gives the exit code. */
int cli_fail(troupe_status st, const char *why);
/* Ends the command when the URL or the topic is no good. */
void cli_check_topic(const struct cli *cli, const char *topic);
void cli_check_pattern(const struct cli *cli, const char *pattern);
int64_t cli_duration(const struct cli *cli, const char *flag, const char *text);
uint64_t cli_number(const struct cli *cli, const char *flag, const char *text, uint64_t least, uint64_t most);

/* The address, for messages. */
const char *cli_address(const struct cli *cli);
/* Ends the command over a troupe_client_open that failed. */
_Noreturn void cli_not_open(const struct cli *cli, troupe_status st);
/* Connects within five seconds, or ends the command with the right code. */
troupe_client *cli_open(const struct cli *cli);

/* Everything printed has gone where it should, or ends the command: quietly when the reader has gone, else with 74. */
void cli_flush(void);
/* The same for a command with something to put in order first. False: it has not; the command ends, by _Exit, with *code. */
bool cli_flushed(int *code);

int cli_pub(struct cli *cli, int argc, char **argv);
int cli_sub(struct cli *cli, int argc, char **argv);
int cli_request(struct cli *cli, int argc, char **argv);
int cli_queue(struct cli *cli, int argc, char **argv);
int cli_actors(struct cli *cli, int argc, char **argv);
int cli_bench(struct cli *cli, int argc, char **argv);

#endif
