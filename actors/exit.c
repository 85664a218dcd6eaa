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

troupe_exit trp_exit_given(int code, const char *text) {
    troupe_exit e = {.how = code ? TROUPE_END_GIVEN : TROUPE_END_NORMAL, .code = code};
    snprintf(e.text, sizeof e.text, "%s", text ? text : "");
    return e;
}

troupe_exit trp_exit_linked(const troupe_exit *first) {
    troupe_exit e = *first;
    e.how = TROUPE_END_LINKED;
    return e;
}

troupe_exit trp_exit_shutdown(void) {
    return (troupe_exit){.how = TROUPE_END_SHUTDOWN, .text = "shut down by its supervisor"};
}

troupe_exit trp_exit_noproc(void) {
    return (troupe_exit){.how = TROUPE_END_NOPROC, .text = "no such actor"};
}

bool trp_exit_is_crash(const troupe_exit *exit) {
    switch (exit->how) {
    case TROUPE_END_EXIT:
    case TROUPE_END_SIGNAL:
    case TROUPE_END_LINKED:
    case TROUPE_END_GIVEN:
        return true;
    case TROUPE_END_NORMAL:
    case TROUPE_END_KILLED:
    case TROUPE_END_SHUTDOWN:
    case TROUPE_END_NOPROC:
    case TROUPE_END_NODE:
        break;
    }
    return false;
}

void trp_exit_hint(troupe_exit *exit, const char *hint) {
    size_t n = strlen(exit->text);
    snprintf(exit->text + n, sizeof exit->text - n, " (%s)", hint);
}

troupe_exit trp_exit_unborn(const char *why) {
    troupe_exit e = {.how = TROUPE_END_EXIT, .code = EX_OSERR};
    snprintf(e.text, sizeof e.text, "cannot be started: %s", why);
    return e;
}
