/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The arrows of a command actor: see command.h. */
#include <unistd.h>

#include "actors/command.h"
#include "actors/system.h"
#include "transports/assert.h"
#include "transports/json.h"

enum { GULP = 64 * 1024 };

/* --- mail into input --- */

static troupe_status put_value(struct trp_buf *out, const troupe_msg *m, bool *line) {
    troupe_value v = troupe_msg_value(m);
    if (v.kind == TROUPE_TEXT || v.kind == TROUPE_BYTES)
        return trp_buf_put(out, v.data, v.size);
    *line = true;
    return v.kind == TROUPE_NIL ? TROUPE_OK : trp_json_from_pack(out, m->payload.p, m->payload.n);
}

static troupe_status put_input(struct trp_command *c, const troupe_msg *m) {
    bool line = c->plan->output == TROUPE_LINES;
    troupe_status st = put_value(&c->input, m, &line);
    if (st == TROUPE_OK && line && !(c->plan->output == TROUPE_WHOLE && troupe_msg_value(m).kind == TROUPE_NIL))
        st = trp_buf_put(&c->input, "\n", 1);
    return st;
}

static void refuse(struct trp_command *c, troupe_msg *m, const char *code, const char *text) {
    if (troupe_msg_wants_reply(m))
        (void)(troupe_reply_error(c->self, m, code, text) == TROUPE_OK);
    troupe_msg_free(&m);
}

/* A question stays in hand until its answer has come. Whole: it is all that the program reads. */
static void ask_program(struct trp_command *c, troupe_msg *m) {
    if (trp_buf_put(&c->questions, &m, sizeof m) != TROUPE_OK)
        refuse(c, m, "NO_MEMORY", "out of memory");
    else if (c->plan->output == TROUPE_WHOLE)
        c->closing = true;
}

void trp_command_take_one(struct trp_command *c, troupe_msg *m) {
    size_t before = c->input.n;
    if (!c->in || c->closing) {
        refuse(c, m, "FINISHED", "the program reads no more");
    } else if (put_input(c, m) != TROUPE_OK) {
        c->input.n = before;
        refuse(c, m, "NO_MEMORY", "out of memory");
    } else if (troupe_msg_wants_reply(m)) {
        ask_program(c, m);
    } else {
        troupe_msg_free(&m);
    }
}

bool trp_command_take(struct trp_command *c) {
    troupe_msg *m;
    if (c->in && (c->written < c->input.n || c->closing))
        return false; /* the mailbox is the buffer, and bounded */
    troupe_status st = trp_self_poll(c->self, &m);
    if (st == TROUPE_OK)
        trp_command_take_one(c, m);
    else if (st == TROUPE_CLOSED && c->in && !c->closing)
        c->closing = true;
    else
        return false;
    return true;
}

/* --- input into the program --- */

bool trp_command_feed(struct trp_command *c) {
    size_t left = c->input.n - c->written, before = c->written;
    if (!c->in || c->in_blocked)
        return false;
    troupe_status st = left ? trp_stream_write_some(c->in, c->input.p + c->written, left, &c->written) : TROUPE_OK;
    c->in_blocked = st == TROUPE_AGAIN;
    if (c->written == c->input.n)
        c->input.n = c->written = 0;
    if ((st == TROUPE_OK && c->closing && !c->input.n) || (st != TROUPE_OK && st != TROUPE_AGAIN)) {
        troupe_stream_close(&c->in); /* it has read all, or wants no more */
        trp_buf_fini(&c->input);
        c->written = 0;
        return true;
    }
    return left && c->written != before;
}

/* --- what it says into text --- */

bool trp_command_fetch(struct trp_command *c, unsigned which) {
    struct trp_command_text *t = &c->text[which];
    size_t got;
    if (!t->from || t->blocked || t->bytes.n - t->given > c->plan->max_output)
        return false;
    if (t->given) {
        trp_buf_drop(&t->bytes, t->given);
        t->scanned -= t->given;
        t->given = 0;
    }
    if (trp_buf_room(&t->bytes, GULP) != TROUPE_OK) {
        t->lost = true;
        return false;
    }
    troupe_status st = trp_stream_read_some(t->from, t->bytes.p + t->bytes.n, GULP, &got);
    t->blocked = st == TROUPE_AGAIN;
    if (t->blocked)
        return false;
    if (st == TROUPE_OK)
        t->bytes.n += got;
    else
        troupe_stream_close(&t->from);
    return true;
}

/* --- text to who is to have it --- */

static troupe_value value_of(const uint8_t *p, size_t n) {
    return trp_utf8_valid(p, n) ? troupe_textn((const char *)p, n) : troupe_bytes(p, n);
}

static bool answer_oldest(struct trp_command *c, troupe_value v) {
    struct troupe_msg *m;
    if (c->answered == c->questions.n)
        return false;
    memcpy(&m, c->questions.p + c->answered, sizeof m);
    c->answered += sizeof m;
    if (c->answered == c->questions.n)
        c->questions.n = c->answered = 0;
    (void)(troupe_reply(c->self, m, v) == TROUPE_OK); /* or its asker has gone */
    troupe_msg_free(&m);
    return true;
}

static void line_leave(struct trp_command *c) {
    if (c->line)
        trp_actor_unref(c->line);
    c->line = NULL;
    trp_msg_drop(c->send.msg);
    c->send.msg = NULL;
}

/* Is a message in line still? */
static bool in_line(struct trp_command *c) {
    if (c->line && trp_wait_done(&c->send.wait))
        line_leave(c);
    return c->line != NULL;
}

static void post(struct trp_command *c, const struct trp_command_text *t, troupe_value v) {
    c->send = (struct trp_send){.wait = {.who = c->self->actor, .role = TRP_WAIT_SEND}};
    if (trp_msg_from_value(&c->send.msg, v, (struct trp_slice){0}) != TROUPE_OK)
        return;
    c->send.msg->from = trp_actor_id(c->self->actor);
    c->send.msg->topic = trp_slice_str(t->topic);
    c->line = trp_registry_get(&c->self->actor->sys->registry, c->plan->to);
    if (!c->line || trp_actor_send(c->line, &c->send, true) != TROUPE_AGAIN)
        line_leave(c);
}

static void give(struct trp_command *c, unsigned which, size_t size, size_t end) {
    struct trp_command_text *t = &c->text[which];
    troupe_value v = value_of(t->bytes.p + t->given, size - end);
    t->given += size;
    t->scanned = t->given;
    if (which != TRP_COMMAND_OUT || !answer_oldest(c, v))
        post(c, t, v);
    trp_self_spend(c->self);
}

/* The next line or piece of one. */
static bool give_line(struct trp_command *c, unsigned which) {
    struct trp_command_text *t = &c->text[which];
    size_t left = t->bytes.n - t->scanned, waiting = t->bytes.n - t->given;
    const uint8_t *end = left ? memchr(t->bytes.p + t->scanned, '\n', left) : NULL;
    size_t size = end ? (size_t)(end - (t->bytes.p + t->given)) + 1 : waiting;
    t->scanned = t->bytes.n;
    if (size > c->plan->max_line + (end != NULL))
        give(c, which, c->plan->max_line, 0);
    else if (end)
        give(c, which, size, 1);
    else if (waiting && !t->from)
        give(c, which, size, 0);
    else
        return false;
    return true;
}

bool trp_command_deliver(struct trp_command *c, unsigned which) {
    struct trp_command_text *t = &c->text[which];
    if (in_line(c))
        return false;
    if (c->plan->output == TROUPE_LINES)
        return give_line(c, which);
    bool due = which == TRP_COMMAND_OUT ? !c->whole : t->given < t->bytes.n;
    if (t->from || !c->ended || !due)
        return false;
    c->whole |= which == TRP_COMMAND_OUT;
    give(c, which, t->bytes.n - t->given, 0);
    return true;
}

bool trp_command_is_delivered(const struct trp_command *c) {
    for (unsigned i = 0; i < TRP_COMMAND_TEXTS; i++) {
        if (c->text[i].from || c->text[i].given < c->text[i].bytes.n)
            return false;
    }
    return !c->line && (c->whole || c->plan->output == TROUPE_LINES);
}

void trp_command_abandon(struct trp_command *c) {
    /* What has been received and not answered is in hand, and given up with the body. */
    trp_buf_fini(&c->questions);
    trp_buf_fini(&c->input);
    for (unsigned i = 0; i < TRP_COMMAND_TEXTS; i++)
        trp_buf_fini(&c->text[i].bytes);
    if (in_line(c) && !trp_wait_withdraw(c->line, &c->line->mailbox.parked, &c->send.wait))
        trp_assert(trp_wait_done(&c->send.wait));
    line_leave(c);
}
