/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * How an actor ended, in words. */
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <sysexits.h>

#include "actors/actor.h"

troupe_exit trp_exit_normal(void) {
    return (troupe_exit){.how = TROUPE_END_NORMAL, .text = "normal"};
}

troupe_exit trp_exit_killed(void) {
    return (troupe_exit){.how = TROUPE_END_KILLED, .text = "killed"};
}

static troupe_exit by_signal(int signal, bool core) {
    troupe_exit e = {.how = TROUPE_END_SIGNAL, .code = signal};
    const char *name = sigabbrev_np(signal);
    if (name)
        snprintf(e.text, sizeof e.text, "SIG%s%s", name, core ? " (core dumped)" : "");
    else
        snprintf(e.text, sizeof e.text, "signal %d", signal);
    return e;
}

troupe_exit trp_exit_status(int status) {
    if (WIFSIGNALED(status))
        return by_signal(WTERMSIG(status), WCOREDUMP(status));
    if (WEXITSTATUS(status) == 0)
        return trp_exit_normal();
    troupe_exit e = {.how = TROUPE_END_EXIT, .code = WEXITSTATUS(status)};
    snprintf(e.text, sizeof e.text, "exit status %d", e.code);
    return e;
}

troupe_exit trp_exit_unborn(const char *why) {
    troupe_exit e = {.how = TROUPE_END_EXIT, .code = EX_OSERR};
    snprintf(e.text, sizeof e.text, "cannot be started: %s", why);
    return e;
}
