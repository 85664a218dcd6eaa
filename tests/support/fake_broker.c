/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Straightforward on purpose: sessions in a list, subscriptions in an array, every envelope composed in a buffer. What
 * can't happen in a test ends it. */
#include "tests/support/fake_broker.h"

#include <check.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "transports/json.h"

#define STR(s) (int)(s).n, (const char *)(s).p

/* --- the trace --- */

static void trace(struct fake_broker *b, const char *fmt, ...) TROUPE_PRINTF(2, 3);

static void trace(struct fake_broker *b, const char *fmt, ...) {
    char line[1024];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    ck_assert(n >= 0);
    if ((size_t)n >= sizeof line)
        n = sizeof line - 1;
    ck_assert_int_eq(trp_buf_put(&b->trace, line, (size_t)n), TROUPE_OK);
    ck_assert_int_eq(trp_buf_room(&b->trace, 1), TROUPE_OK);
    b->trace.p[b->trace.n] = 0;
}

const char *fake_trace(const struct fake_broker *b) {
    return b->trace.n ? (const char *)b->trace.p : "";
}

static void trace_sub(struct fake_broker *b, const struct trp_envelope *e) {
    struct trp_slice group;
    uint64_t credit;
    trace(b, "SUB %" PRIu64 " %" PRIu64 " %.*s", e->id, e->sid, STR(e->text));
    if (e->options.n && trp_map_str(e->options, "group", &group))
        trace(b, " group=%.*s", STR(group));
    if (e->options.n && trp_map_uint(e->options, "credit", &credit))
        trace(b, " credit=%" PRIu64, credit);
    trace(b, "\n");
}

static void trace_pub(struct fake_broker *b, const struct trp_envelope *e) {
    struct trp_buf json = {0};
    trace(b, "PUB %" PRIu64 " %.*s", e->id, STR(e->msg.topic));
    if (e->msg.reply.n)
        trace(b, " -> %.*s", STR(e->msg.reply));
    if (e->msg.headers.n) {
        ck_assert_int_eq(trp_json_from_pack(&json, e->msg.headers.p, e->msg.headers.n), TROUPE_OK);
        trace(b, " %.*s", STR(json));
        trp_buf_fini(&json);
    }
    ck_assert_int_eq(trp_json_from_pack(&json, e->msg.payload.p, e->msg.payload.n), TROUPE_OK);
    trace(b, " = %.*s\n", (int)(json.n < 100 ? json.n : 100), (const char *)json.p);
    trp_buf_fini(&json);
}

static void trace_envelope(struct fake_broker *b, const struct trp_envelope *e) {
    struct trp_slice name = {0};
    switch (e->op) {
    case TRP_HELLO:
        (void)trp_map_str(e->options, "name", &name);
        trace(b, "HELLO name=%.*s\n", STR(name));
        return;
    case TRP_SUB:
        trace_sub(b, e);
        return;
    case TRP_PUB:
        trace_pub(b, e);
        return;
    case TRP_UNSUB:
        trace(b, "UNSUB %" PRIu64 " %" PRIu64 "\n", e->id, e->sid);
        return;
    case TRP_ACK:
    case TRP_NACK:
        trace(b, "%s %" PRIu64 " %" PRIu64 "\n", e->op == TRP_ACK ? "ACK" : "NACK", e->sid, e->token);
        return;
    case TRP_PING:
    case TRP_PONG:
        trace(b, "%s %" PRIu64 "\n", e->op == TRP_PING ? "PING" : "PONG", e->id);
        return;
    case TRP_ERR:
        trace(b, "ERR %" PRIu64 " %.*s %.*s\n", e->id, STR(e->code), STR(e->text));
        return;
    case TRP_CLOSE:
        trace(b, "CLOSE %.*s\n", STR(e->code));
        return;
    default:
        trace(b, "OP %d\n", (int)e->op);
    }
}

/* --- saying --- */

void fake_send(struct fake_session *s, struct trp_buf *b) {
    if (b->n)
        trp_link_send(s->link, b->p, b->n);
    trp_buf_fini(b);
}

void fake_welcome(struct fake_session *s) {
    uint8_t map[128], *p = trp_pack_map(map, 4);
    char inbox[32];
    struct trp_buf b = {0};
    (void)snprintf(inbox, sizeof inbox, "_r.%u.", s->number);
    p = trp_pack_str(p, trp_slice_str("session"));
    p = trp_pack_uint(p, s->number);
    p = trp_pack_str(p, trp_slice_str("inbox"));
    p = trp_pack_str(p, trp_slice_str(inbox));
    p = trp_pack_str(p, trp_slice_str("max_payload"));
    p = trp_pack_uint(p, 1 << 20);
    p = trp_pack_str(p, trp_slice_str("version"));
    p = trp_pack_uint(p, 1);
    ck_assert_int_eq(trp_put_info(&b, TRP_WELCOME, (struct trp_slice){map, (size_t)(p - map)}), TROUPE_OK);
    fake_send(s, &b);
}

static void fake_count(struct fake_session *s, uint64_t id, uint64_t count) {
    struct trp_buf b = {0};
    if (id == 0)
        return;
    ck_assert_int_eq(trp_put_ok(&b, id, 0, count), TROUPE_OK);
    fake_send(s, &b);
}

void fake_ok(struct fake_session *s, uint64_t id) {
    fake_count(s, id, 1);
}

void fake_err(struct fake_session *s, uint64_t id, const char *code, const char *text) {
    struct trp_buf b = {0};
    ck_assert_int_eq(trp_put_err(&b, id, trp_slice_str(code), trp_slice_str(text)), TROUPE_OK);
    fake_send(s, &b);
}

void fake_close(struct fake_session *s, const char *code, const char *text) {
    struct trp_buf b = {0};
    ck_assert_int_eq(trp_put_close(&b, trp_slice_str(code), trp_slice_str(text)), TROUPE_OK);
    fake_send(s, &b);
    trp_link_close(s->link, 1000);
}

void fake_msg(struct fake_session *s, uint64_t sid, uint64_t token, const char *topic, const char *reply, troupe_value v) {
    struct trp_buf message = {0}, b = {0};
    ck_assert_int_eq(trp_put_message(&message, trp_slice_str(topic), trp_slice_str(reply), (struct trp_slice){0}, v),
                     TROUPE_OK);
    ck_assert_int_eq(trp_put_msg_raw(&b, sid, token, (struct trp_slice){message.p, message.n}), TROUPE_OK);
    trp_buf_fini(&message);
    fake_send(s, &b);
}

bool fake_answer(struct fake_broker *b, struct fake_session *s, const struct trp_envelope *e) {
    char reply[256] = {0};
    const uint8_t *p = e->msg.payload.p;
    troupe_value v;
    (void)b;
    if (e->op != TRP_PUB || e->msg.reply.n == 0)
        return false;
    memcpy(reply, e->msg.reply.p, e->msg.reply.n);
    ck_assert_int_eq(trp_unpack_value(&p, p + e->msg.payload.n, &v), TROUPE_OK);
    fake_msg(s, 0, 0, reply, "", v);
    return true;
}

/* --- being a broker --- */

static bool matches(const struct fake_sub *sub, struct trp_slice topic) {
    size_t n = strlen(sub->pattern);
    if (n && sub->pattern[n - 1] == '>')
        return topic.n > n - 1 && memcmp(topic.p, sub->pattern, n - 1) == 0;
    return topic.n == n && memcmp(topic.p, sub->pattern, n) == 0;
}

static void deliver(struct fake_session *to, uint64_t sid, uint64_t token, struct trp_slice raw) {
    struct trp_buf b = {0};
    ck_assert_int_eq(trp_put_msg_raw(&b, sid, token, raw), TROUPE_OK);
    fake_send(to, &b);
}

static unsigned deliver_all(struct fake_broker *b, const struct trp_message *m) {
    unsigned taken = 0;
    for (struct fake_session *s = b->sessions; s; s = s->next)
        for (unsigned i = 0; i < s->n_subs; i++)
            if (matches(&s->subs[i], m->topic)) {
                deliver(s, s->subs[i].sid, s->subs[i].tokens || m->reply.n ? ++b->token : 0, m->raw);
                taken++;
            }
    return taken;
}

/* "_r.7.12" goes to session 7. */
static void deliver_answer(struct fake_broker *b, const struct trp_message *m) {
    char topic[256] = {0};
    unsigned number = 0;
    memcpy(topic, m->topic.p, m->topic.n);
    ck_assert_int_eq(sscanf(topic, "_r.%u.", &number), 1);
    for (struct fake_session *s = b->sessions; s; s = s->next)
        if (s->number == number)
            deliver(s, 0, 0, m->raw);
}

static void on_pub(struct fake_broker *b, struct fake_session *s, const struct trp_envelope *e) {
    if (e->msg.topic.n > 3 && memcmp(e->msg.topic.p, "_r.", 3) == 0) {
        deliver_answer(b, &e->msg);
        return;
    }
    unsigned taken = deliver_all(b, &e->msg);
    if (e->msg.reply.n == 0)
        fake_count(s, e->id, taken);
    else if (taken == 0 && e->id)
        fake_err(s, e->id, "NO_RESPONDERS", "nobody listens to that topic");
}

static void on_sub(struct fake_session *s, const struct trp_envelope *e) {
    struct trp_slice group;
    ck_assert_uint_lt(s->n_subs, sizeof s->subs / sizeof *s->subs);
    struct fake_sub *sub = &s->subs[s->n_subs++];
    *sub = (struct fake_sub){.sid = e->sid, .tokens = e->options.n && trp_map_str(e->options, "group", &group)};
    memcpy(sub->pattern, e->text.p, e->text.n);
    fake_ok(s, e->id);
}

static void on_unsub(struct fake_session *s, const struct trp_envelope *e) {
    for (unsigned i = 0; i < s->n_subs; i++)
        if (s->subs[i].sid == e->sid) {
            s->subs[i] = s->subs[--s->n_subs];
            fake_ok(s, e->id);
            return;
        }
    fake_err(s, e->id, "NOT_FOUND", "no such subscription");
}

static void obey(struct fake_broker *b, struct fake_session *s, const struct trp_envelope *e) {
    struct trp_buf out = {0};
    if (e->op == TRP_HELLO)
        fake_welcome(s);
    else if (e->op == TRP_SUB)
        on_sub(s, e);
    else if (e->op == TRP_UNSUB)
        on_unsub(s, e);
    else if (e->op == TRP_PUB)
        on_pub(b, s, e);
    else if (e->op == TRP_CLOSE)
        trp_link_close(s->link, 0);
    else if (e->op == TRP_PING && trp_put_ping(&out, TRP_PONG, e->id) == TROUPE_OK)
        fake_send(s, &out);
}

/* --- links --- */

static void on_up(void *user, struct trp_link *l, uint16_t protocol) {
    struct fake_session *s = user;
    ck_assert_uint_eq(protocol, TRP_SP_PAIR0);
    trp_link_greet(l, s->broker->protocol ? s->broker->protocol : TRP_SP_PAIR0);
}

static void on_frame(void *user, struct trp_link *l, struct trp_slice body) {
    struct fake_session *s = user;
    struct fake_broker *b = s->broker;
    size_t used;
    (void)l;
    b->frames++;
    for (; body.n; body.p += used, body.n -= used) {
        struct trp_envelope e;
        const char *why = "";
        ck_assert_msg(trp_envelope_read(body.p, body.n, &e, &used, &why) == TROUPE_OK, "the client sent rubbish: %s", why);
        trace_envelope(b, &e);
        if (!b->hook || !b->hook(b, s, &e))
            obey(b, s, &e);
    }
}

static void on_down(void *user, struct trp_link *l, troupe_status st, const char *why) {
    struct fake_session *s = user, **at = &s->broker->sessions;
    (void)l, (void)st, (void)why;
    trace(s->broker, "DOWN %u\n", s->number);
    while (*at != s)
        at = &(*at)->next;
    *at = s->next;
    free(s);
}

static const struct trp_link_handler link_handler = {.up = on_up, .frame = on_frame, .down = on_down};

static void *on_accept(void *ctx, struct trp_link *l) {
    struct fake_broker *b = ctx;
    struct fake_session *s = calloc(1, sizeof *s);
    ck_assert_ptr_nonnull(s);
    s->broker = b;
    s->link = l;
    s->number = ++b->accepted;
    s->next = b->sessions;
    b->sessions = s;
    return s;
}

void fake_broker_listen(struct fake_broker *b) {
    const char *why = "";
    troupe_status st = trp_listen(&b->listener, b->loop, b->url, NULL, &link_handler, on_accept, b, &why);
    ck_assert_msg(st == TROUPE_OK, "%s: %s", b->url, why);
    (void)snprintf(b->url, sizeof b->url, "%s", trp_listener_url(b->listener));
}

void fake_broker_open(struct fake_broker *b, struct trp_loop *loop, const char *url) {
    b->loop = loop;
    (void)snprintf(b->url, sizeof b->url, "%s", url);
    fake_broker_listen(b);
}

void fake_broker_deaf(struct fake_broker *b) {
    if (b->listener)
        trp_listener_close(&b->listener);
}

void fake_broker_cut(struct fake_broker *b) {
    for (struct fake_session *s = b->sessions; s; s = s->next)
        trp_link_close(s->link, 0);
}

void fake_broker_close(struct fake_broker *b) {
    fake_broker_deaf(b);
    fake_broker_cut(b);
    while (b->sessions)
        trp_loop_once(b->loop, -1);
    trp_buf_fini(&b->trace);
}

/* --- on a thread --- */

/* Once a turn: a job, if there is one. */
static void thread_turn(void *ctx) {
    struct fake_thread *t = ctx;
    pthread_mutex_lock(&t->lock);
    if (t->job)
        t->job(&t->broker, t->job_arg);
    t->job = NULL;
    pthread_cond_broadcast(&t->changed);
    pthread_mutex_unlock(&t->lock);
}

/* After each turn, and before the first: what others may see. Links go down at the very end of a turn, behind its hook. */
static bool thread_goes_on(struct fake_thread *t) {
    size_t n = t->broker.trace.n, skip = n < sizeof t->seen ? 0 : n - (sizeof t->seen - 1);
    pthread_mutex_lock(&t->lock);
    (void)snprintf(t->seen, sizeof t->seen, "%s", fake_trace(&t->broker) + skip);
    t->ready = true;
    bool stop = t->stop;
    pthread_cond_broadcast(&t->changed);
    pthread_mutex_unlock(&t->lock);
    return !stop;
}

static void *thread_run(void *arg) {
    struct fake_thread *t = arg;
    while (thread_goes_on(t))
        trp_loop_once(&t->loop, -1);
    return NULL;
}

void fake_thread_start(struct fake_thread *t, const char *url, fake_hook *hook, void *ctx) {
    memset(t, 0, sizeof *t);
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->changed, NULL);
    ck_assert_int_eq(trp_loop_init(&t->loop), TROUPE_OK);
    t->loop.turn = thread_turn;
    t->loop.turn_ctx = t;
    t->broker.hook = hook;
    t->broker.ctx = ctx;
    fake_broker_open(&t->broker, &t->loop, url);
    ck_assert_int_eq(pthread_create(&t->thread, NULL, thread_run, t), 0);
    pthread_mutex_lock(&t->lock);
    while (!t->ready)
        pthread_cond_wait(&t->changed, &t->lock);
    pthread_mutex_unlock(&t->lock);
}

void fake_thread_stop(struct fake_thread *t) {
    pthread_mutex_lock(&t->lock);
    t->stop = true;
    pthread_mutex_unlock(&t->lock);
    trp_loop_wake(&t->loop);
    ck_assert_int_eq(pthread_join(t->thread, NULL), 0);
    t->loop.turn = NULL;
    fake_broker_close(&t->broker);
    trp_loop_fini(&t->loop);
    pthread_cond_destroy(&t->changed);
    pthread_mutex_destroy(&t->lock);
}

void fake_thread_do(struct fake_thread *t, void (*job)(struct fake_broker *b, void *arg), void *arg) {
    pthread_mutex_lock(&t->lock);
    t->job = job;
    t->job_arg = arg;
    trp_loop_wake(&t->loop);
    while (t->job)
        pthread_cond_wait(&t->changed, &t->lock);
    pthread_mutex_unlock(&t->lock);
}

void fake_thread_saw(struct fake_thread *t, const char *words) {
    struct timespec end;
    int err = 0;
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += 10;
    pthread_mutex_lock(&t->lock);
    while (!strstr(t->seen, words) && err == 0)
        err = pthread_cond_timedwait(&t->changed, &t->lock, &end);
    size_t n = strlen(t->seen);
    ck_assert_msg(err == 0, "no \"%s\" in:\n%s", words, t->seen + (n > 2000 ? n - 2000 : 0));
    pthread_mutex_unlock(&t->lock);
}
