/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Queues from the blocking client, against a scripted broker: what is said to it, in which order, and what becomes of what it
 * answers. The real broker's side of it is in tests/system/queue_test.py. */
#include <troupe/queue.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <troupe/alloc.h>
#include <unistd.h>
#include <uv.h>

#include "tests/support/fake_broker.h"
#include "tests/support/run.h"
#include "tests/support/scarce.h"
#include "transports/json.h"

static struct fake_thread t;
static troupe_client *c;

#define OK(expr)      ck_assert_int_eq(expr, TROUPE_OK)
#define STATUS(e, st) ck_assert_int_eq(e, TROUPE_##st)

/* --- a broker with one queue --- */

/* The broker thread's. */
static struct {
    const char *reply; /* messages ask for an answer there */
    const char *code;  /* every put, verb and acknowledgement is refused with it */
    bool missing;      /* there is no queue */
    bool silent;       /* gets are not answered */
    unsigned ready;    /* messages for gets */
    unsigned deliveries;
    unsigned pushed;
    uint64_t get, get_sid; /* the last get */
} q;

/* A line of the trace with what the broker's own trace leaves out. */
static void note(struct fake_broker *b, const char *fmt, ...) TROUPE_PRINTF(2, 3);

static void note(struct fake_broker *b, const char *fmt, ...) {
    char line[2048];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    ck_assert(n >= 0 && (size_t)n < sizeof line);
    ck_assert_int_eq(trp_buf_put(&b->trace, line, (size_t)n + 1), TROUPE_OK);
    b->trace.n--; /* the zero byte is not counted */
}

static const char *json_of(struct trp_slice packed) {
    static char text[1024];
    struct trp_buf json = {0};
    if (packed.n == 0)
        return "{}";
    OK(trp_json_from_pack(&json, packed.p, packed.n));
    (void)snprintf(text, sizeof text, "%.*s", (int)json.n, (const char *)json.p);
    trp_buf_fini(&json);
    return text;
}

static uint8_t *pair(uint8_t *p, const char *key, uint64_t v) {
    return trp_pack_uint(trp_pack_str(p, trp_slice_str(key)), v);
}

/* A message of the queue into b; get 0: not asked for. */
static void deliver(struct trp_buf *b, uint64_t sid, uint64_t token, int64_t n, uint64_t get) {
    uint8_t info[128], *p = trp_pack_map(info, get ? 3 : 2);
    struct trp_buf message = {0};
    size_t at = b->n;
    p = pair(pair(p, "t-deliveries", q.deliveries ? q.deliveries : 1), "t-first-seen", 1000);
    if (get)
        p = pair(p, "t-get", get);
    OK(trp_put_message(&message, trp_slice_str("_q.mail"), trp_slice_str(q.reply ? q.reply : ""), (struct trp_slice){0},
                       troupe_int(n)));
    OK(trp_put_msg_raw(b, sid, token, (struct trp_slice){message.p, message.n}));
    b->p[at]++; /* one more field */
    OK(trp_buf_put(b, info, (size_t)(p - info)));
    trp_buf_fini(&message);
}

static void on_get(struct fake_broker *b, struct fake_session *s, const struct trp_envelope *e) {
    struct trp_buf out = {0};
    q.get = e->id;
    ck_assert(trp_map_uint(e->options, "sid", &q.get_sid));
    if (q.silent)
        return;
    if (q.ready == 0) {
        fake_err(s, e->id, "EMPTY", "nothing came in time");
        return;
    }
    q.ready--;
    deliver(&out, q.get_sid, ++b->token, 7, e->id);
    fake_send(s, &out);
}

static void say_value(struct fake_session *s, uint64_t id, bool list) {
    uint8_t value[64], *p = list ? trp_pack_array(value, 1) : value;
    struct trp_buf out = {0};
    p = pair(trp_pack_map(p, 1), "ready", 7);
    OK(trp_put_answer(&out, id, 0, 1, (struct trp_slice){value, (size_t)(p - value)}));
    fake_send(s, &out);
}

static bool is(struct trp_slice s, const char *word) {
    return trp_slice_eq(s, trp_slice_str(word));
}

static void on_verb(struct fake_broker *b, struct fake_session *s, const struct trp_envelope *e) {
    struct trp_buf out = {0};
    uint64_t at = 0;
    note(b, "QUEUE %.*s %.*s %s\n", (int)e->code.n, (const char *)e->code.p, (int)e->text.n, (const char *)e->text.p,
         json_of(e->options));
    if (q.code) {
        fake_err(s, e->id, q.code, "as scripted");
    } else if (q.missing) {
        fake_err(s, e->id, "NOT_FOUND", "there is no such queue: declare it");
    } else if (is(e->code, "get")) {
        on_get(b, s, e);
    } else if (is(e->code, "peek") && trp_map_uint(e->options, "at", &at) && at > 0) {
        fake_err(s, e->id, "EMPTY", "there are not so many");
    } else if (is(e->code, "stat") || is(e->code, "peek") || is(e->code, "list")) {
        say_value(s, e->id, is(e->code, "list"));
    } else {
        OK(trp_put_ok(&out, e->id, 1, 5));
        fake_send(s, &out);
    }
}

static void on_put(struct fake_session *s, const struct trp_envelope *e) {
    struct trp_buf out = {0};
    if (q.code) {
        fake_err(s, e->id, q.code, "as scripted");
        return;
    }
    OK(trp_put_ok(&out, e->id, 3, 1));
    fake_send(s, &out);
}

static void on_ack(struct fake_broker *b, struct fake_session *s, const struct trp_envelope *e) {
    if (e->id == 0)
        return;
    note(b, "ACK with an id\n");
    if (q.code)
        fake_err(s, e->id, q.code, "that delivery is not yours any more");
    else
        fake_ok(s, e->id);
}

static bool broker_hook(struct fake_broker *b, struct fake_session *s, const struct trp_envelope *e) {
    bool to_queue = e->msg.topic.n > 3 && memcmp(e->msg.topic.p, "_q.", 3) == 0;
    if (e->op == TRP_QUEUE)
        on_verb(b, s, e);
    else if (e->op == TRP_PUB && to_queue)
        on_put(s, e);
    else if (e->op == TRP_ACK)
        on_ack(b, s, e);
    else if (e->op == TRP_NACK && e->options.n > 1)
        note(b, "NACK options %s\n", json_of(e->options));
    else if (e->op == TRP_CREDIT)
        note(b, "CREDIT %u %u\n", (unsigned)e->sid, (unsigned)e->token);
    else if (e->op == TRP_SUB && q.missing)
        fake_err(s, e->id, "NOT_FOUND", "there is no such queue: declare it");
    else
        return false;
    return true;
}

/* --- jobs for the broker --- */

static void cut(struct fake_broker *b, void *unused) {
    (void)unused;
    fake_broker_cut(b);
}

/* So many messages, in one frame, to the first subscription. */
static void push(struct fake_broker *b, void *count) {
    struct trp_buf out = {0};
    for (unsigned i = 0; i < *(unsigned *)count; i++)
        deliver(&out, b->sessions->subs[0].sid, ++b->token, q.pushed++, 0);
    fake_send(b->sessions, &out);
}

static void push_messages(unsigned n) {
    fake_thread_do(&t, push, &n);
}

static void unsubscribe_them(struct fake_broker *b, void *unused) {
    struct trp_buf out = {0};
    (void)unused;
    OK(trp_put_unsub(&out, 0, b->sessions->subs[0].sid));
    b->sessions->n_subs = 0;
    fake_send(b->sessions, &out);
}

/* The queue gets a message, for the get that waits. */
static void answer_get(struct fake_broker *b, void *unused) {
    struct trp_buf out = {0};
    (void)unused;
    deliver(&out, q.get_sid, ++b->token, 9, q.get);
    fake_send(b->sessions, &out);
}

static void count_frames(struct fake_broker *b, void *out) {
    *(unsigned *)out = b->frames;
}

static void never(struct fake_broker *b, void *words) {
    ck_assert_ptr_null(strstr(fake_trace(b), *(const char **)words));
}

/* Not until now. */
static void never_said(const char *words) {
    fake_thread_do(&t, never, &words);
}

/* The script belongs to the broker's thread. */
struct assignment {
    void *to;
    const void *from;
    size_t n;
};

static void assign(struct fake_broker *b, void *arg) {
    struct assignment *a = arg;
    (void)b;
    memcpy(a->to, a->from, a->n);
}

static void refuse_with(const char *code) {
    fake_thread_do(&t, assign, &(struct assignment){&q.code, &code, sizeof code});
}

static void ask_for_answers(const char *topic) {
    fake_thread_do(&t, assign, &(struct assignment){&q.reply, &topic, sizeof topic});
}

static void set_missing(bool missing) {
    fake_thread_do(&t, assign, &(struct assignment){&q.missing, &missing, sizeof missing});
}

static void set_silent(bool silent) {
    fake_thread_do(&t, assign, &(struct assignment){&q.silent, &silent, sizeof silent});
}

static void set_ready(unsigned n) {
    fake_thread_do(&t, assign, &(struct assignment){&q.ready, &n, sizeof n});
}

static void set_deliveries(unsigned n) {
    fake_thread_do(&t, assign, &(struct assignment){&q.deliveries, &n, sizeof n});
}

/* --- around each test --- */

static void open_client(void) {
    troupe_status st = troupe_client_open(&c, &(troupe_client_opts){.url = t.broker.url, .name = "test"});
    ck_assert_msg(st == TROUPE_OK, "%s: %s", troupe_status_name(st), troupe_client_why(NULL));
}

static void set_up(void) {
    memset(&q, 0, sizeof q);
    fake_thread_start(&t, "tcp://127.0.0.1:0", broker_hook, NULL);
    open_client();
}

static void tear_down(void) {
    troupe_client_close(&c);
    fake_thread_stop(&t);
}

static troupe_msg *receive(void) {
    troupe_msg *m;
    troupe_status st = troupe_client_receive(c, 5000, &m);
    ck_assert_msg(st == TROUPE_OK, "%s: %s", troupe_status_name(st), troupe_client_why(c));
    return m;
}

static void reconnect(void) {
    OK(troupe_client_publish(c, "again", troupe_nil(), &(troupe_pub_opts){.timeout_ms = 10000}));
}

static void is_int(const troupe_msg *m, int64_t n) {
    int64_t v = -1;
    ck_assert(troupe_msg_int(m, &v));
    ck_assert_int_eq(v, n);
}

/* --- declaring and looking --- */

START_TEST(declaring) {
    OK(troupe_queue_declare(c, "mail", NULL));
    fake_thread_saw(&t, "QUEUE declare mail {}\n");
    const char *bind[] = {"orders.>", "login", NULL};
    OK(troupe_queue_declare(c, "audit",
                            &(troupe_queue_opts){.durable = true,
                                                 .bind = bind,
                                                 .max_messages = 10,
                                                 .max_bytes = 4096,
                                                 .overflow = TROUPE_QUEUE_DROP_OLDEST,
                                                 .ttl_ms = 1,
                                                 .ack_timeout_ms = 2,
                                                 .max_deliveries = 3,
                                                 .max_crashes = 4,
                                                 .dead = "",
                                                 .dedup_window_ms = 5}));
    fake_thread_saw(&t,
                    "QUEUE declare audit {\"durable\":true,\"overflow\":\"drop-oldest\",\"dead\":\"\",\"bind\":[\"orders.>\","
                    "\"login\"],\"max_messages\":10,\"max_bytes\":4096,\"ttl\":1,\"ack_timeout\":2,\"max_deliveries\":3,"
                    "\"max_crashes\":4,\"dedup_window\":5}\n");
}
END_TEST

START_TEST(none_is_no_limit) {
    OK(troupe_queue_declare(c, "mail",
                            &(troupe_queue_opts){.max_messages = TROUPE_NONE,
                                                 .ttl_ms = TROUPE_NONE,
                                                 .ack_timeout_ms = TROUPE_NONE,
                                                 .max_deliveries = TROUPE_NONE,
                                                 .max_crashes = TROUPE_NONE,
                                                 .dedup_window_ms = TROUPE_NONE}));
    fake_thread_saw(&t,
                    "{\"max_messages\":18446744073709551615,\"ttl\":0,\"ack_timeout\":0,\"max_deliveries\":0,\"max_crashes\":0,"
                    "\"dedup_window\":0}\n");
}
END_TEST

START_TEST(what_the_broker_says_of_a_declaration) {
    refuse_with("CONFLICT");
    STATUS(troupe_queue_declare(c, "mail", NULL), REFUSED);
    ck_assert_str_eq(troupe_client_why(c), "CONFLICT: as scripted");
    refuse_with("INVALID");
    STATUS(troupe_queue_declare(c, "mail", NULL), INVALID);
    refuse_with("UNSUPPORTED");
    STATUS(troupe_queue_declare(c, "mail", NULL), REFUSED);
}
END_TEST

START_TEST(names) {
    char name[254];
    troupe_msg *m;
    memset(name, 'a', sizeof name);
    name[253] = 0;
    const char *const bad[] = {"", "a..b", "a.*", ">", "with blank", name};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        STATUS(troupe_queue_declare(c, bad[i], NULL), INVALID);
        STATUS(troupe_queue_put(c, bad[i], troupe_nil(), NULL, NULL), INVALID);
        STATUS(troupe_queue_get(c, bad[i], 0, &m), INVALID);
        STATUS(troupe_queue_consume(c, bad[i], 1, NULL), INVALID);
        STATUS(troupe_queue_stat(c, bad[i], &m), INVALID);
    }
    name[252] = 0;
    OK(troupe_queue_put(c, name, troupe_nil(), NULL, NULL));
}
END_TEST

START_TEST(too_many_patterns) {
    const char *bind[66];
    for (int i = 0; i < 65; i++)
        bind[i] = "a";
    bind[65] = NULL;
    STATUS(troupe_queue_declare(c, "mail", &(troupe_queue_opts){.bind = bind}), INVALID);
    bind[64] = NULL;
    OK(troupe_queue_declare(c, "mail", &(troupe_queue_opts){.bind = bind}));
}
END_TEST

static void has_json(troupe_msg *m, const char *json) {
    char *text = troupe_msg_json(m);
    ck_assert_str_eq(text, json);
    free(text);
    troupe_msg_free(&m);
}

START_TEST(looking) {
    troupe_msg *m;
    OK(troupe_queue_stat(c, "mail", &m));
    has_json(m, "{\"ready\":7}");
    OK(troupe_queue_list(c, NULL, 0, &m));
    has_json(m, "[{\"ready\":7}]");
    fake_thread_saw(&t, "QUEUE list  {}\n");
    OK(troupe_queue_list(c, "mail", 41, &m));
    has_json(m, "[{\"ready\":7}]");
    fake_thread_saw(&t, "QUEUE list mail {\"after\":41}\n");
    OK(troupe_queue_peek(c, "mail", NULL, 0, &m));
    has_json(m, "{\"ready\":7}");
    fake_thread_saw(&t, "QUEUE peek mail {\"state\":\"ready\",\"at\":0}\n");
    STATUS(troupe_queue_peek(c, "mail", "buried", 3, &m), EMPTY);
    fake_thread_saw(&t, "QUEUE peek mail {\"state\":\"buried\",\"at\":3}\n");
    OK(troupe_queue_browse(c, "mail", "ready", 0, 123, 50, &m));
    fake_thread_saw(&t, "QUEUE peek mail {\"state\":\"ready\",\"at\":0,\"after\":123,\"count\":50}\n");
    troupe_msg_free(&m);
    set_missing(true);
    STATUS(troupe_queue_stat(c, "mail", &m), NOT_FOUND);
    ck_assert_str_eq(troupe_client_why(c), "NOT_FOUND: there is no such queue: declare it");
}
END_TEST

START_TEST(changing) {
    uint64_t count = 0;
    OK(troupe_queue_purge(c, "mail", false, &count));
    ck_assert_uint_eq(count, 5);
    fake_thread_saw(&t, "QUEUE purge mail {}\n");
    OK(troupe_queue_purge(c, "mail", true, NULL));
    fake_thread_saw(&t, "QUEUE purge mail {\"all\":true}\n");
    OK(troupe_queue_retry(c, "mail", 0, &count));
    fake_thread_saw(&t, "QUEUE retry mail {}\n");
    OK(troupe_queue_retry(c, "mail", 12, &count));
    fake_thread_saw(&t, "QUEUE retry mail {\"count\":12}\n");
    OK(troupe_queue_pause(c, "mail", true));
    OK(troupe_queue_pause(c, "mail", false));
    OK(troupe_queue_delete(c, "mail"));
    fake_thread_saw(&t, "QUEUE pause mail {}\nOP 12\nQUEUE resume mail {}\nOP 12\nQUEUE delete mail {}\n");
}
END_TEST

/* --- putting --- */

START_TEST(a_put_is_a_publish_with_an_id) {
    troupe_level level = TROUPE_LEVEL_DEFAULT;
    OK(troupe_queue_put(c, "mail", troupe_int(1), NULL, &level));
    ck_assert_int_eq(level, TROUPE_LEVEL_SYNCED);
    fake_thread_saw(&t, "PUB 1 _q.mail = 1\n");
    OK(troupe_queue_put(
        c, "mail", troupe_int(2),
        &(troupe_put_opts){
            .delay_ms = 5, .priority = TROUPE_PRIORITY(0), .ttl_ms = 6, .id = "x", .level = TROUPE_LEVEL_WRITTEN},
        NULL));
    fake_thread_saw(&t, "_q.mail {\"t-delay\":5,\"t-priority\":0,\"t-ttl\":6,\"t-id\":\"x\",\"t-level\":2} = 2\n");
    OK(troupe_queue_put(c, "mail", troupe_int(3), &(troupe_put_opts){0}, NULL));
    fake_thread_saw(&t, "_q.mail {} = 3\n");
}
END_TEST

START_TEST(headers_of_ones_own) {
    uint8_t map[64], *p = trp_pack_map(map, 2);
    p = pair(pair(p, "a", 1), "t-priority", 9);
    troupe_put_opts o = {.priority = TROUPE_PRIORITY(2), .headers = troupe_packed(map, (size_t)(p - map))};
    OK(troupe_queue_put(c, "mail", troupe_int(1), &o, NULL));
    fake_thread_saw(&t, "_q.mail {\"t-priority\":2,\"a\":1,\"t-priority\":9} = 1\n"); /* the first of a key counts */
    o.headers = troupe_int(1);
    STATUS(troupe_queue_put(c, "mail", troupe_int(1), &o, NULL), INVALID);
    map[0] = 0x83; /* says three pairs, has two */
    o.headers = troupe_packed(map, (size_t)(p - map));
    STATUS(troupe_queue_put(c, "mail", troupe_int(1), &o, NULL), INVALID);
}
END_TEST

START_TEST(bad_puts) {
    char id[257];
    memset(id, 'i', sizeof id);
    id[256] = 0;
    const troupe_put_opts bad[] = {{.delay_ms = -1}, {.ttl_ms = -1}, {.priority = -1},          {.priority = 11},
                                   {.id = ""},       {.id = id},     {.level = (troupe_level)4}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        STATUS(troupe_queue_put(c, "mail", troupe_nil(), &bad[i], NULL), INVALID);
    id[255] = 0;
    OK(troupe_queue_put(c, "mail", troupe_nil(), &(troupe_put_opts){.id = id}, NULL));
}
END_TEST

START_TEST(refused_puts) {
    static const struct {
        const char *code;
        troupe_status st;
    } said[] = {{"FULL", TROUPE_FULL},     {"BUSY", TROUPE_BUSY},       {"NOT_FOUND", TROUPE_NOT_FOUND},
                {"LEVEL", TROUPE_REFUSED}, {"INVALID", TROUPE_INVALID}, {"SHUTDOWN", TROUPE_REFUSED}};
    for (size_t i = 0; i < sizeof said / sizeof *said; i++) {
        uint64_t number = 0, other = 1;
        troupe_msg *m;
        refuse_with(said[i].code);
        ck_assert_int_eq(troupe_queue_put(c, "mail", troupe_nil(), NULL, NULL), said[i].st);
        ck_assert_ptr_nonnull(strstr(troupe_client_why(c), said[i].code));
        OK(troupe_queue_submit(c, "mail", troupe_nil(), NULL, false, &number));
        ck_assert_int_eq(troupe_client_collect(c, 5000, &other, &m), said[i].st);
        ck_assert_uint_eq(number, other);
    }
}
END_TEST

START_TEST(many_puts_in_flight) {
    uint64_t number, first = 0;
    troupe_msg *m = (troupe_msg *)&number;
    unsigned before, after;
    fake_thread_do(&t, count_frames, &before);
    for (int i = 0; i < 200; i++) {
        OK(troupe_queue_submit(c, "mail", troupe_int(i), &(troupe_put_opts){.priority = 1}, true, &number));
        first = first ? first : number;
    }
    for (int i = 0; i < 200; i++) {
        OK(troupe_client_collect(c, 5000, &number, &m));
        ck_assert_uint_eq(number, first + (uint64_t)i);
        ck_assert_ptr_null(m);
    }
    fake_thread_do(&t, count_frames, &after);
    ck_assert_uint_le(after - before, 2);
    STATUS(troupe_client_collect(c, 0, &number, &m), EMPTY);
    ck_assert_uint_eq(number, 0);
}
END_TEST

static bool swallow_puts(struct fake_broker *b, struct fake_session *s, const struct trp_envelope *e) {
    (void)b, (void)s;
    return e->op == TRP_PUB;
}

static void swallow(struct fake_broker *b, void *unused) {
    (void)unused;
    b->hook = swallow_puts;
}

START_TEST(puts_in_flight_end_with_their_connection) {
    uint64_t number, other;
    troupe_msg *m;
    fake_thread_do(&t, swallow, NULL);
    OK(troupe_queue_submit(c, "mail", troupe_int(1), NULL, false, &number));
    STATUS(troupe_client_collect(c, 0, &other, &m), TIMEOUT);
    ck_assert_uint_eq(other, 0);
    fake_thread_do(&t, cut, NULL);
    STATUS(troupe_client_collect(c, 5000, &other, &m), DISCONNECTED);
    ck_assert_uint_eq(number, other);
    STATUS(troupe_queue_put(c, "mail", troupe_int(2), &(troupe_put_opts){.timeout_ms = 300}, NULL),
           TIMEOUT); /* in a new session */
}
END_TEST

/* --- getting --- */

START_TEST(a_get) {
    troupe_msg *m;
    troupe_value v;
    set_ready(2);
    set_deliveries(3);
    OK(troupe_queue_get(c, "mail", 500, &m));
    fake_thread_saw(&t, "SUB 1 1 _q.mail credit=0\nOP 12\nQUEUE get mail {\"sid\":1,\"timeout\":");
    is_int(m, 7);
    ck_assert_str_eq(troupe_msg_topic(m), "_q.mail");
    ck_assert_uint_eq(troupe_msg_deliveries(m), 3);
    ck_assert(troupe_msg_header(m, "t-first-seen", &v));
    ck_assert_int_eq(v.i, 1000);
    ck_assert(!troupe_msg_header(m, "other", &v));
    OK(troupe_queue_ack(c, &m));
    ck_assert_ptr_null(m);
    fake_thread_saw(&t, "ACK 1 1\n");
    OK(troupe_queue_get(c, "mail", 0, &m)); /* by the same subscription */
    fake_thread_saw(&t, "ACK 1 1\nOP 12\nQUEUE get mail {\"sid\":1,\"timeout\":0}\n");
    OK(troupe_queue_ack(c, &m));
    STATUS(troupe_queue_get(c, "mail", 0, &m), TIMEOUT);
    ck_assert_str_eq(troupe_client_why(c), "EMPTY: nothing came in time");
}
END_TEST

START_TEST(gets_of_several_queues) {
    static const char *const queues[] = {"a", "b", "c"};
    troupe_msg *m;
    set_ready(30);
    for (int i = 0; i < 30; i++) {
        OK(troupe_queue_get(c, queues[i % 3], 0, &m));
        OK(troupe_queue_ack(c, &m));
    }
    fake_thread_saw(&t, "SUB 5 3 _q.c credit=0\n");
    never_said("SUB 7");
}
END_TEST

START_TEST(a_get_for_ever_is_told_so) {
    troupe_msg *m;
    set_ready(1);
    OK(troupe_queue_get(c, "mail", TROUPE_FOREVER, &m));
    fake_thread_saw(&t, "\"timeout\":18446744073709551615}\n");
    troupe_msg_free(&m);
    fake_thread_saw(&t, "NACK 1 1\n");
}
END_TEST

START_TEST(a_get_from_nowhere) {
    troupe_msg *m;
    set_missing(true);
    STATUS(troupe_queue_get(c, "mail", 500, &m), NOT_FOUND);
    ck_assert_str_eq(troupe_client_why(c), "NOT_FOUND: there is no such queue: declare it");
    STATUS(troupe_queue_consume(c, "mail", 1, NULL), NOT_FOUND);
    set_missing(false);
    set_ready(1);
    OK(troupe_queue_get(c, "mail", 500, &m));
    OK(troupe_queue_ack(c, &m));
    STATUS(troupe_client_receive(c, 0, &m), TIMEOUT); /* nobody was told twice */
}
END_TEST

struct waiting {
    pthread_t thread;
    const char *words;
    void (*job)(struct fake_broker *b, void *arg);
};

static void *when_seen(void *arg) {
    struct waiting *w = arg;
    fake_thread_saw(&t, w->words);
    fake_thread_do(&t, w->job, NULL);
    return NULL;
}

static void loud_and_cut(struct fake_broker *b, void *unused) {
    (void)unused;
    q.silent = false;
    q.ready = 1;
    fake_broker_cut(b);
}

START_TEST(a_get_goes_on_in_the_next_session) {
    struct waiting w = {.words = "QUEUE get mail", .job = loud_and_cut};
    troupe_msg *m;
    set_silent(true);
    ck_assert_int_eq(pthread_create(&w.thread, NULL, when_seen, &w), 0);
    OK(troupe_queue_get(c, "mail", 10000, &m));
    ck_assert_int_eq(pthread_join(w.thread, NULL), 0);
    is_int(m, 7);
    fake_thread_saw(&t, "HELLO name=test\nSUB 3 1 _q.mail credit=0\nOP 12\nQUEUE get mail {\"sid\":1,\"timeout\":");
    OK(troupe_queue_ack(c, &m));
    fake_thread_saw(&t, "ACK 1 1\n");
}
END_TEST

START_TEST(a_get_waits_at_the_broker) {
    struct waiting w = {.words = "QUEUE get mail", .job = answer_get};
    troupe_msg *m;
    set_silent(true);
    ck_assert_int_eq(pthread_create(&w.thread, NULL, when_seen, &w), 0);
    OK(troupe_queue_get(c, "mail", 10000, &m));
    ck_assert_int_eq(pthread_join(w.thread, NULL), 0);
    is_int(m, 9);
    OK(troupe_queue_ack(c, &m));
}
END_TEST

/* The broker has lost its tongue: we give up, and take another subscription next time. What comes too late goes back. */
START_TEST(a_get_without_a_word) {
    troupe_msg *m, *held;
    set_ready(1);
    OK(troupe_queue_get(c, "mail", 0, &held));
    set_silent(true);
    STATUS(troupe_queue_get(c, "mail", 0, &m), TIMEOUT);
    fake_thread_do(&t, answer_get, NULL);
    STATUS(troupe_client_receive(c, 200, &m), TIMEOUT);
    fake_thread_saw(&t, "NACK 1 2\n");
    set_silent(false);
    set_ready(1);
    OK(troupe_queue_get(c, "mail", 0, &m));
    fake_thread_saw(&t, " 2 _q.mail credit=0\n");
    OK(troupe_queue_ack(c, &m));
    OK(troupe_queue_ack(c, &held)); /* what came by the old one can still be acknowledged, and then it ends */
    fake_thread_saw(&t, "ACK 1 1\nUNSUB");
}
END_TEST

START_TEST(a_deleted_queue_is_looked_for_again) {
    troupe_msg *m;
    set_ready(1);
    OK(troupe_queue_get(c, "mail", 0, &m));
    OK(troupe_queue_ack(c, &m));
    fake_thread_do(&t, unsubscribe_them, NULL);
    STATUS(troupe_client_receive(c, 200, &m), TIMEOUT); /* it is not a consumer's */
    set_ready(1);
    OK(troupe_queue_get(c, "mail", 100, &m));
    fake_thread_saw(&t, " 2 _q.mail credit=0\n");
    OK(troupe_queue_ack(c, &m));
}
END_TEST

/* --- consuming --- */

START_TEST(consuming) {
    troupe_sub sub;
    OK(troupe_queue_consume(c, "mail", 64, &sub));
    fake_thread_saw(&t, "SUB 1 1 _q.mail credit=64\n");
    push_messages(3);
    for (int i = 0; i < 3; i++) {
        troupe_msg *m = receive();
        is_int(m, i);
        OK(troupe_queue_ack(c, &m));
    }
    fake_thread_saw(&t, "ACK 1 1\nACK 1 2\nACK 1 3\n");
    STATUS(troupe_queue_consume(c, "mail", 0, NULL), INVALID);
    STATUS(troupe_queue_consume(c, "mail", 65536, NULL), INVALID);
}
END_TEST

START_TEST(subscribing_to_the_queues_topic) {
    OK(troupe_client_subscribe(c, "_q.mail", NULL, NULL));
    fake_thread_saw(&t, "SUB 1 1 _q.mail credit=1\n");
    OK(troupe_client_subscribe(c, "_q.mail", &(troupe_sub_opts){.credit = 5}, NULL));
    fake_thread_saw(&t, "_q.mail credit=5\n");
    STATUS(troupe_client_subscribe(c, "_q.mail", &(troupe_sub_opts){.group = "g", .credit = 5}, NULL), INVALID);
    STATUS(troupe_client_subscribe(c, "_q.*", NULL, NULL), INVALID);
}
END_TEST

START_TEST(ways_to_settle) {
    char long_reason[300];
    troupe_msg *m;
    OK(troupe_queue_consume(c, "mail", 64, NULL));
    push_messages(7);
    m = receive();
    troupe_msg_free(&m);
    m = receive();
    OK(troupe_queue_nack(c, &m, 0));
    m = receive();
    OK(troupe_queue_nack(c, &m, 250));
    m = receive();
    OK(troupe_queue_bury(c, &m, "no such address"));
    m = receive();
    OK(troupe_queue_bury(c, &m, NULL));
    m = receive();
    memset(long_reason, 'r', sizeof long_reason);
    memcpy(long_reason + 254, "\xc3\xa4", 2); /* a character across the limit goes as a whole */
    long_reason[299] = 0;
    OK(troupe_queue_bury(c, &m, long_reason));
    m = receive();
    OK(troupe_client_nack(c, &m));
    fake_thread_saw(&t, "NACK 1 1\nNACK 1 2\nNACK 1 3\nNACK options {\"delay\":250}\nNACK 1 4\nNACK options "
                        "{\"bury\":\"no such address\"}\nNACK 1 5\nNACK options {\"bury\":\"\"}\nNACK 1 6\n");
    long_reason[254] = 0;
    char line[400];
    (void)snprintf(line, sizeof line, "NACK options {\"bury\":\"%s\"}\nNACK 1 7\n", long_reason);
    fake_thread_saw(&t, line);
}
END_TEST

START_TEST(confirmed_acknowledgements) {
    troupe_msg *m;
    OK(troupe_queue_consume(c, "mail", 64, NULL));
    push_messages(2);
    m = receive();
    OK(troupe_queue_ack_confirm(c, &m, 5000));
    ck_assert_ptr_null(m);
    fake_thread_saw(&t, "ACK 1 1\nACK with an id\n");
    m = receive();
    refuse_with("NOT_FOUND");
    STATUS(troupe_queue_ack_confirm(c, &m, 5000), NOT_FOUND);
    ck_assert_ptr_null(m);
}
END_TEST

START_TEST(touching) {
    troupe_msg *m;
    OK(troupe_queue_consume(c, "mail", 64, NULL));
    push_messages(1);
    m = receive();
    OK(troupe_queue_touch(c, m));
    fake_thread_saw(&t, "QUEUE touch mail {\"sid\":1,\"token\":1}\n");
    refuse_with("NOT_FOUND");
    STATUS(troupe_queue_touch(c, m), NOT_FOUND);
    OK(troupe_queue_ack(c, &m));
}
END_TEST

START_TEST(an_answer_acknowledges) {
    troupe_msg *m;
    ask_for_answers("answers");
    OK(troupe_queue_consume(c, "mail", 64, NULL));
    push_messages(3);
    m = receive();
    OK(troupe_client_reply(c, m, troupe_int(1)));
    troupe_msg_free(&m);
    m = receive();
    OK(troupe_client_reply(c, m, troupe_int(2)));
    OK(troupe_queue_ack(c, &m)); /* it is already */
    m = receive();
    OK(troupe_client_reply(c, m, troupe_int(3)));
    OK(troupe_queue_ack_confirm(c, &m, 0));
    fake_thread_saw(&t, "PUB 0 answers = 1\nACK 1 1\nPUB 0 answers = 2\nACK 1 2\nPUB 0 answers = 3\nACK 1 3\n");
    never_said("NACK");
}
END_TEST

START_TEST(what_is_from_no_queue) {
    troupe_msg *m;
    OK(troupe_client_subscribe(c, "news", NULL, NULL));
    OK(troupe_client_publish(c, "news", troupe_int(1), NULL));
    m = receive();
    STATUS(troupe_queue_ack(c, &m), NOT_FOUND);
    STATUS(troupe_queue_ack_confirm(c, &m, 0), NOT_FOUND);
    STATUS(troupe_queue_nack(c, &m, 0), NOT_FOUND);
    STATUS(troupe_queue_bury(c, &m, "x"), NOT_FOUND);
    STATUS(troupe_queue_touch(c, m), NOT_FOUND);
    ck_assert_uint_eq(troupe_msg_deliveries(m), 0);
    ck_assert_ptr_nonnull(m);
    troupe_msg_free(&m);
}
END_TEST

START_TEST(acknowledgements_of_a_turn_leave_together) {
    troupe_msg *held[100];
    unsigned before, after;
    OK(troupe_queue_consume(c, "mail", 200, NULL));
    push_messages(100);
    for (int i = 0; i < 100; i++)
        held[i] = receive();
    push_messages(1);
    troupe_msg *m = receive();
    fake_thread_do(&t, count_frames, &before);
    OK(troupe_queue_ack(c, &m));
    fake_thread_saw(&t, "ACK 1 101\n");
    fake_thread_do(&t, count_frames, &after);
    ck_assert_uint_eq(after - before, 1); /* nothing else is here: at once */
    for (int i = 0; i < 100; i++)
        troupe_msg_free(&held[i]);
    push_messages(100);
    m = receive(); /* the frame is here as a whole: the other 99 are queued */
    fake_thread_do(&t, count_frames, &before);
    for (int i = 0; i < 99; i++) {
        OK(troupe_queue_ack(c, &m));
        m = receive();
    }
    OK(troupe_queue_ack(c, &m));
    fake_thread_saw(&t, "ACK 1 201\n");
    fake_thread_do(&t, count_frames, &after);
    ck_assert_uint_lt(after - before, 20); /* one, if the machine did not pause for 100 us in the midst of it */
}
END_TEST

START_TEST(after_a_reconnect) {
    troupe_msg *old, *m;
    OK(troupe_queue_consume(c, "mail", 64, NULL));
    push_messages(2);
    old = receive();
    m = receive();
    fake_thread_do(&t, cut, NULL);
    STATUS(troupe_queue_touch(c, m), DISCONNECTED);
    reconnect();
    fake_thread_saw(&t, "HELLO name=test\nSUB 3 1 _q.mail credit=64\n");
    STATUS(troupe_queue_ack(c, &old), DISCONNECTED);
    ck_assert_ptr_null(old);
    STATUS(troupe_queue_touch(c, m), DISCONNECTED);
    STATUS(troupe_queue_ack_confirm(c, &m, 1000), DISCONNECTED);
    ck_assert_ptr_null(m);
    push_messages(1);
    m = receive();
    OK(troupe_queue_ack(c, &m));
    fake_thread_saw(&t, "ACK 1 3\n");
    never_said("ACK 1 1\n");
    never_said("ACK 1 2\n");
}
END_TEST

START_TEST(a_deleted_queue_is_said_once) {
    troupe_msg *m, *held;
    OK(troupe_queue_consume(c, "mail", 64, NULL));
    push_messages(2);
    held = receive();
    fake_thread_do(&t, unsubscribe_them, NULL);
    m = receive(); /* what is here comes first */
    STATUS(troupe_client_receive(c, 5000, &(troupe_msg *){NULL}), NOT_FOUND);
    ck_assert_str_eq(troupe_client_why(c), "NOT_FOUND: the queue mail was deleted");
    STATUS(troupe_client_receive(c, 0, &(troupe_msg *){NULL}), TIMEOUT);
    troupe_msg_free(&held);
    OK(troupe_queue_ack(c, &m));
}
END_TEST

START_TEST(a_queue_that_did_not_survive_the_broker) {
    troupe_msg *m;
    OK(troupe_queue_consume(c, "mail", 64, NULL));
    set_missing(true);
    fake_thread_do(&t, cut, NULL);
    STATUS(troupe_client_receive(c, 5000, &m), NOT_FOUND);
    ck_assert_str_eq(troupe_client_why(c), "NOT_FOUND: there is no such queue: declare it");
}
END_TEST

/* --- the end --- */

/* A queue takes back what is in hand at UNSUB: that comes last. */
START_TEST(unsubscribing_waits_for_what_is_in_hand) {
    troupe_sub sub;
    troupe_msg *first, *second;
    OK(troupe_queue_consume(c, "mail", 64, &sub));
    push_messages(2);
    first = receive();
    OK(troupe_client_unsubscribe(c, sub));
    fake_thread_saw(&t, "CREDIT 1 0\nPING 2\n");
    STATUS(troupe_client_unsubscribe(c, sub), NOT_FOUND);
    second = receive();
    OK(troupe_queue_ack(c, &second));
    fake_thread_saw(&t, "ACK 1 2\n");
    never_said("UNSUB");
    OK(troupe_queue_ack(c, &first));
    fake_thread_saw(&t, "ACK 1 1\nUNSUB 3 1\n");
    STATUS(troupe_client_receive(c, 0, &first), TIMEOUT);
    OK(troupe_queue_consume(c, "mail", 64, &sub)); /* and again */
    OK(troupe_client_unsubscribe(c, sub));
    fake_thread_saw(&t, "CREDIT 2 0\nPING");
    fake_thread_saw(&t, "UNSUB 6 2\n");
}
END_TEST

START_TEST(unsubscribing_ends_with_the_session) {
    troupe_sub sub;
    troupe_msg *m;
    OK(troupe_queue_consume(c, "mail", 64, &sub));
    push_messages(1);
    m = receive();
    OK(troupe_client_unsubscribe(c, sub));
    fake_thread_do(&t, cut, NULL);
    STATUS(troupe_queue_touch(c, m), DISCONNECTED);
    reconnect();
    fake_thread_saw(&t, "HELLO name=test\nPUB 0 again = null\n"); /* it is not renewed */
    STATUS(troupe_queue_ack(c, &m), DISCONNECTED);
}
END_TEST

START_TEST(draining_hands_out_what_is_left) {
    troupe_msg *m;
    set_ready(1);
    OK(troupe_queue_consume(c, "mail", 64, NULL));
    push_messages(2);
    OK(troupe_queue_get(c, "mail", 0, &m));
    OK(troupe_queue_ack(c, &m));
    OK(troupe_client_drain(c, 5000));
    for (int i = 0; i < 2; i++) {
        m = receive();
        OK(troupe_queue_ack(c, &m));
    }
    STATUS(troupe_client_receive(c, 5000, &m), CLOSED);
    STATUS(troupe_queue_get(c, "mail", 0, &m), CLOSED);
    STATUS(troupe_queue_consume(c, "mail", 1, NULL), CLOSED);
    fake_thread_saw(&t, "ACK 1 1\nACK 1 2\nUNSUB");
}
END_TEST

START_TEST(closing_gives_back) {
    troupe_msg *m;
    OK(troupe_queue_consume(c, "mail", 64, NULL));
    push_messages(2);
    m = receive();
    troupe_client_close(&c);
    fake_thread_saw(&t, "NACK 1 2\nCLOSE BYE\n");
    is_int(m, 0);
    troupe_msg_free(&m);
    open_client();
    never_said("NACK 1 1\n");
}
END_TEST

START_TEST(a_message_of_another_client) {
    troupe_client *other;
    troupe_msg *m;
    OK(troupe_queue_consume(c, "mail", 64, NULL));
    push_messages(1);
    m = receive();
    OK(troupe_client_open(&other, &(troupe_client_opts){.url = t.broker.url}));
    STATUS(troupe_queue_ack(other, &m), DISCONNECTED);
    ck_assert_ptr_null(m);
    fake_thread_saw(&t, "NACK 1 1\n");
    troupe_client_close(&other);
}
END_TEST

static int in_child(void) {
    troupe_msg *m = NULL;
    uint64_t n;
    return troupe_queue_put(c, "mail", troupe_nil(), NULL, NULL) == TROUPE_INVALID &&
                   troupe_queue_submit(c, "mail", troupe_nil(), NULL, false, &n) == TROUPE_INVALID &&
                   troupe_queue_get(c, "mail", 0, &m) == TROUPE_INVALID && troupe_queue_stat(c, "mail", &m) == TROUPE_INVALID &&
                   troupe_queue_consume(c, "mail", 1, NULL) == TROUPE_INVALID &&
                   troupe_queue_declare(c, "mail", NULL) == TROUPE_INVALID
               ? 0
               : 1;
}

START_TEST(a_forked_child_keeps_its_hands_off) {
    int status = 0;
    pid_t pid = fork();
    if (pid == 0)
        _exit(in_child());
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    OK(troupe_queue_put(c, "mail", troupe_nil(), NULL, NULL));
}
END_TEST

/* --- memory --- */

static void set_up_scarce(void) {
    scarce_install();
    set_up();
}

static void one_of_each(void) {
    troupe_put_opts opts = {.id = "some id", .priority = 3};
    troupe_msg *m;
    uint64_t number;
    for (int i = 0; i < 20; i++)
        OK(troupe_queue_submit(c, "mail", troupe_text("some text"), i % 2 ? &opts : NULL, true, &number));
    for (int i = 0; i < 20; i++)
        OK(troupe_client_collect(c, 5000, &number, &m));
    OK(troupe_queue_get(c, "work", 100, &m));
    OK(troupe_queue_ack(c, &m));
    push_messages(20);
    for (int i = 0; i < 20; i++) {
        m = receive();
        OK(i % 2 ? troupe_queue_ack(c, &m) : troupe_queue_nack(c, &m, 1));
    }
}

START_TEST(the_steady_state_allocates_nothing) {
    set_ready(1000);
    OK(troupe_queue_consume(c, "mail", 64, NULL));
    for (int i = 0; i < 20; i++)
        one_of_each();
    scarce_at(0);
    for (int i = 0; i < 20; i++)
        one_of_each();
#if !defined(__SANITIZE_ADDRESS__) /* there, messages come fresh from the allocator: see msg.c */
    ck_assert_int_eq(scarce.calls, 0);
#endif
}
END_TEST

/* Declares, puts, gets, consumes; stops at what goes wrong first. */
static troupe_status a_short_life(void) {
    const char *bind[] = {"orders.>", NULL};
    troupe_client *other = NULL;
    troupe_msg *m = NULL;
    troupe_sub sub;
    uint64_t number;
    troupe_status st = troupe_client_open(&other, &(troupe_client_opts){.url = t.broker.url, .connect_timeout_ms = 200});
    if (st == TROUPE_OK)
        st = troupe_queue_declare(other, "mail", &(troupe_queue_opts){.bind = bind});
    if (st == TROUPE_OK)
        st = troupe_queue_put(other, "mail", troupe_int(1), &(troupe_put_opts){.id = "a"}, NULL);
    if (st == TROUPE_OK)
        st = troupe_queue_submit(other, "mail", troupe_int(1), NULL, false, &number);
    if (st == TROUPE_OK)
        st = troupe_client_collect(other, 200, &number, &m);
    if (st == TROUPE_OK)
        st = troupe_queue_get(other, "mail", 200, &m);
    if (st == TROUPE_OK)
        st = troupe_queue_ack_confirm(other, &m, 200);
    troupe_msg_free(&m);
    if (st == TROUPE_OK)
        st = troupe_queue_stat(other, "mail", &m);
    troupe_msg_free(&m);
    if (st == TROUPE_OK)
        st = troupe_queue_consume(other, "mail", 3, &sub);
    if (st == TROUPE_OK)
        st = troupe_client_unsubscribe(other, sub);
    troupe_client_close(&other);
    return st;
}

START_TEST(no_memory_at_any_moment) {
    troupe_status st = TROUPE_NO_MEMORY;
    set_ready(1 << 20);
    bool met = true;
    for (long n = 1; st != TROUPE_OK || met; n++) {
        scarce_at(n);
        st = a_short_life();
        met = scarce_met();
        ck_assert_int_lt(n, 1000);
        ck_assert_msg(st == TROUPE_OK || st == TROUPE_NO_MEMORY || st == TROUPE_TIMEOUT || st == TROUPE_DISCONNECTED,
                      "at %ld: %s", n, troupe_status_name(st));
    }
}
END_TEST

int main(void) {
    const TTest *const memory[] = {the_steady_state_allocates_nothing, no_memory_at_any_moment};
    const TTest *const verbs[] = {declaring, none_is_no_limit, what_the_broker_says_of_a_declaration, names, too_many_patterns,
                                  looking,   changing};
    const TTest *const puts_[] = {
        a_put_is_a_publish_with_an_id,           headers_of_ones_own, bad_puts, refused_puts, many_puts_in_flight,
        puts_in_flight_end_with_their_connection};
    const TTest *const gets_[] = {a_get,
                                  gets_of_several_queues,
                                  a_get_for_ever_is_told_so,
                                  a_get_from_nowhere,
                                  a_get_goes_on_in_the_next_session,
                                  a_get_waits_at_the_broker,
                                  a_get_without_a_word,
                                  a_deleted_queue_is_looked_for_again};
    const TTest *const consumers[] = {consuming,
                                      subscribing_to_the_queues_topic,
                                      ways_to_settle,
                                      confirmed_acknowledgements,
                                      touching,
                                      an_answer_acknowledges,
                                      what_is_from_no_queue,
                                      acknowledgements_of_a_turn_leave_together,
                                      after_a_reconnect,
                                      a_deleted_queue_is_said_once,
                                      a_queue_that_did_not_survive_the_broker};
    const TTest *const ends[] = {unsubscribing_waits_for_what_is_in_hand,
                                 unsubscribing_ends_with_the_session,
                                 draining_hands_out_what_is_left,
                                 closing_gives_back,
                                 a_message_of_another_client,
                                 a_forked_child_keeps_its_hands_off};
    const struct {
        const char *name;
        const TTest *const *tests;
        size_t n;
    } cases[] = {{"verbs", verbs, sizeof verbs / sizeof *verbs},
                 {"puts", puts_, sizeof puts_ / sizeof *puts_},
                 {"gets", gets_, sizeof gets_ / sizeof *gets_},
                 {"consumers", consumers, sizeof consumers / sizeof *consumers},
                 {"ends", ends, sizeof ends / sizeof *ends}};
    Suite *s = suite_create("client_queue");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        TCase *tc = run_case(s, cases[i].name, cases[i].tests, cases[i].n);
        tcase_add_checked_fixture(tc, set_up, tear_down);
        tcase_set_timeout(tc, 60);
    }
    TCase *tc = run_case(s, "memory", memory, sizeof memory / sizeof *memory);
    tcase_add_checked_fixture(tc, set_up_scarce, tear_down);
    tcase_set_timeout(tc, 60);
    return run_suite(s);
}
