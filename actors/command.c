/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Spawning commands: all that the caller says goes into the argument of one body. */
#include "actors/command.h"

#include <stddef.h>

#include "actors/program.h"
#include "actors/system.h"
#include "transports/log.h"

enum { MAX_LINE = 64 * 1024, MAX_OUTPUT = 64 * 1024 * 1024 };

/* What is wrong with it; NULL: nothing. */
static const char *fault_of(const troupe_command_opts *o, const char *const *argv) {
    if (!argv || !argv[0] || !argv[0][0])
        return "no program is named: argv[0]";
    if ((unsigned)o->output > TROUPE_WHOLE)
        return "no such .output";
    if ((unsigned)o->errors > TROUPE_ERRORS_SEND)
        return "no such .errors";
    return o->timeout_ms < 0 ? ".timeout_ms is negative" : NULL;
}

troupe_status trp_command_pack(struct trp_buf *out, const troupe_self *self, const troupe_command_opts *o,
                               const char *const *argv, bool asked) {
    struct trp_command_plan plan;
    size_t at = out->n;
    const char *fault = fault_of(o, argv);
    if (fault) {
        trp_log(TROUPE_LOG_ERROR, "command.invalid", "%s: %s", argv && argv[0] ? argv[0] : "a command", fault);
        return TROUPE_INVALID;
    }
    if (self->reach == &trp_local_reach && self->actor->sys->nursery.fd < 0)
        return TROUPE_UNSUPPORTED;
    memset(&plan, 0, sizeof plan);
    plan.output = o->output;
    plan.errors = o->errors;
    plan.asked = asked;
    plan.to = o->to.id ? o->to.id : trp_actor_id(self->actor);
    plan.timeout_ms = o->timeout_ms;
    plan.max_line = o->max_line ? o->max_line : MAX_LINE;
    plan.max_output = o->max_output ? o->max_output : MAX_OUTPUT;
    troupe_status st = trp_buf_put(out, &plan, sizeof plan);
    if (st == TROUPE_OK)
        st = trp_program_pack(out, o->dir, argv, o->env, o->clear_env);
    if (st == TROUPE_OK) {
        plan.size = out->n - at - sizeof plan;
        memcpy(out->p + at, &plan, sizeof plan);
    }
    return st;
}

static troupe_status command_spawn(troupe_self *self, const troupe_command_opts *o, const char *const *argv, bool asked,
                                   troupe_ref *out) {
    struct trp_buf plan = {0};
    troupe_status st = trp_command_pack(&plan, self, o, argv, asked);
    if (st != TROUPE_OK) {
        trp_buf_fini(&plan);
        return st;
    }
    const char *slash = strrchr(argv[0], '/');
    troupe_spawn_opts spawn = {.kind = TROUPE_COROUTINE,
                               .name = o->name ? o->name
                                       : slash ? slash + 1
                                               : argv[0],
                               .mailbox = o->mailbox,
                               .mailbox_bytes = o->mailbox_bytes,
                               .restart = o->restart,
                               .backoff_min_ms = o->backoff_min_ms,
                               .backoff_max_ms = o->backoff_max_ms};
    st = troupe_spawn(self, &spawn, trp_command_body, plan.p, plan.n, out);
    trp_buf_fini(&plan);
    return st;
}

troupe_status troupe_command_spawn(troupe_self *self, const troupe_command_opts *opts, const char *const *argv,
                                   troupe_ref *out) {
    static const troupe_command_opts defaults;
    return command_spawn(self, opts ? opts : &defaults, argv, false, out);
}

/* Its output is the answer. */
static troupe_status ask(troupe_self *self, troupe_ref ref, troupe_value input, int64_t timeout_ms, troupe_msg **output) {
    troupe_msg *answer = NULL;
    troupe_status st = troupe_ask(self, ref, input, timeout_ms, &answer);
    if (st != TROUPE_OK)
        return st;
    if (output)
        *output = answer;
    else
        troupe_msg_free(&answer);
    return TROUPE_OK;
}

troupe_status troupe_command_run(troupe_self *self, const troupe_command_opts *opts, const char *const *argv,
                                 troupe_value input, int64_t timeout_ms, troupe_msg **output, troupe_exit *exit) {
    troupe_command_opts o = opts ? *opts : (troupe_command_opts){0};
    troupe_ref ref;
    if (o.restart != TROUPE_TEMPORARY)
        return TROUPE_INVALID;
    o.output = TROUPE_WHOLE;
    o.to = (troupe_ref){0};
    troupe_status st = command_spawn(self, &o, argv, true, &ref);
    if (st != TROUPE_OK)
        return st;
    st = ask(self, ref, input, timeout_ms, output);
    if (st == TROUPE_OK)
        return troupe_join(self, ref, TROUPE_FOREVER, exit);
    (void)(troupe_kill(self, ref) == TROUPE_OK);
    if (st == TROUPE_TIMEOUT)
        (void)(troupe_join(self, ref, TROUPE_FOREVER, NULL) == TROUPE_OK);
    return st;
}
