/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * What others do with a supervisor: start it, and ask it to do things. */
#include "actors/plan.h"
#include "actors/supervisor.h"

/* Of an answer that is not the answer of a supervisor: it may be one that had no memory for it. */
static troupe_status error_of(const troupe_msg *answer) {
    const char *error = troupe_msg_error(answer);
    return error && strcmp(error, troupe_status_name(TROUPE_NO_MEMORY)) == 0 ? TROUPE_NO_MEMORY : TROUPE_INVALID;
}

/* Asks; the answer's head goes to `done`, and the answer to *rest, if that is wanted. */
static troupe_status ask(troupe_self *self, troupe_ref supervisor, struct trp_slice order, struct trp_done *done,
                         troupe_msg **rest) {
    troupe_msg *answer;
    troupe_status st = troupe_ask(self, supervisor, troupe_bytes(order.p, order.n), TROUPE_FOREVER, &answer);
    if (st != TROUPE_OK)
        return st;
    troupe_value v = troupe_msg_value(answer);
    *done = (struct trp_done){0};
    if (v.kind == TROUPE_BYTES && v.size >= sizeof *done && !troupe_msg_error(answer))
        memcpy(done, v.data, sizeof *done);
    st = done->magic == TRP_ORDER_MAGIC ? (troupe_status)done->status : error_of(answer);
    if (st == TROUPE_OK && rest)
        *rest = answer;
    else
        troupe_msg_free(&answer);
    return st;
}

static troupe_status ask_named(troupe_self *self, troupe_ref supervisor, enum trp_order_what what, const char *name,
                               struct trp_done *done, troupe_msg **rest) {
    struct trp_order o = {.magic = TRP_ORDER_MAGIC, .what = what};
    if (name)
        memcpy(o.name, name, strnlen(name, TRP_NAME_MAX));
    return ask(self, supervisor, (struct trp_slice){(const uint8_t *)&o, sizeof o}, done, rest);
}

troupe_status troupe_supervise(troupe_self *self, const troupe_spawn_opts *spawn, const troupe_supervisor_opts *opts,
                               troupe_ref *out) {
    struct trp_buf plan = {0};
    struct trp_done done;
    troupe_ref ref;
    troupe_status st = trp_plan_write(&plan, self, opts);
    if (st == TROUPE_OK)
        st = troupe_spawn(self, spawn, trp_supervisor_main, plan.p, plan.n, &ref);
    trp_buf_fini(&plan);
    if (st != TROUPE_OK)
        return st;
    st = ask_named(self, ref, TRP_ORDER_HELLO, NULL, &done, NULL);
    if (st == TROUPE_OK && out)
        *out = ref;
    return st == TROUPE_NOT_FOUND ? TROUPE_DIED : st;
}

troupe_status troupe_supervisor_add(troupe_self *self, troupe_ref supervisor, const troupe_child *child, troupe_ref *out) {
    struct trp_order o = {.magic = TRP_ORDER_MAGIC, .what = TRP_ORDER_ADD};
    struct trp_buf order = {0};
    struct trp_done done;
    if (!child->opts.name || !*child->opts.name)
        return TROUPE_INVALID; /* only a list as a whole makes names */
    troupe_status st = trp_buf_put(&order, &o, sizeof o);
    if (st == TROUPE_OK)
        st = trp_plan_write_child(&order, self, child, 0);
    if (st == TROUPE_OK)
        st = ask(self, supervisor, (struct trp_slice){order.p, order.n}, &done, NULL);
    trp_buf_fini(&order);
    if (st == TROUPE_OK && out)
        out->id = done.ref;
    return st;
}

troupe_status troupe_supervisor_remove(troupe_self *self, troupe_ref supervisor, const char *name) {
    struct trp_done done;
    return ask_named(self, supervisor, TRP_ORDER_REMOVE, name, &done, NULL);
}

troupe_status troupe_supervisor_restart(troupe_self *self, troupe_ref supervisor, const char *name, troupe_ref *out) {
    struct trp_done done;
    troupe_status st = ask_named(self, supervisor, TRP_ORDER_RESTART, name, &done, NULL);
    if (st == TROUPE_OK && out)
        out->id = done.ref;
    return st;
}

/* As many as there are behind the head, and are wanted. */
static troupe_status copy_infos(const troupe_msg *answer, const struct trp_done *done, troupe_child_info *out, size_t most) {
    troupe_value v = troupe_msg_value(answer);
    size_t n = done->count < most ? (size_t)done->count : most;
    if ((v.size - sizeof *done) / sizeof *out != done->count)
        return TROUPE_INVALID;
    if (n)
        memcpy(out, (const uint8_t *)v.data + sizeof *done, n * sizeof *out);
    return TROUPE_OK;
}

troupe_status troupe_supervisor_children(troupe_self *self, troupe_ref supervisor, troupe_child_info *out, size_t most,
                                         size_t *count) {
    struct trp_done done;
    troupe_msg *answer;
    troupe_status st = ask_named(self, supervisor, TRP_ORDER_LIST, NULL, &done, &answer);
    if (st != TROUPE_OK)
        return st;
    st = copy_infos(answer, &done, out, most);
    if (st == TROUPE_OK)
        *count = (size_t)done.count;
    troupe_msg_free(&answer);
    return st;
}
