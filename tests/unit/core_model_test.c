/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The router against a model that is too simple to be wrong: fixed arrays, linear scans, no tries, heaps, caches or
 * pools. Random events go to both; what the core emitted must be, effect by effect, what the model says, and after
 * every event the counters must agree. Only the value of a token is the core's choice: the model notes what it was,
 * and wants it larger than the peer's last.
 *
 * Run with TROUPE_SEED=n to repeat, TROUPE_EVENTS=n for longer. */
#include "broker/core.h"
#include "tests/support/chance.h"
#include "tests/support/run.h"
#include "tests/support/sub_options.h"
#include "transports/envelope.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SEATS = 6, SUBS = 256, HELD = 1024, ASKS = 512, BACKLOG = 64, EFFECTS = 4096, SIDS = 6, ROUND = 10000, EVENTS = 200000 };

static const struct trp_core_opts opts = {
    .max_peers = 5, .max_subs = 4, .max_held = 3, .backlog_messages = 6, .backlog_bytes = 60000, .max_payload = 20000};

static const char *const patterns[] = {"a", "b", "a.b", "a.*", "*.b", "a.>", ">", "*", "a.b.c", "_r.x", "a..b", ""};
static const char *const topics[] = {"a", "b", "a.b", "a.c", "b.b", "a.b.c", "c", "a.b", "a.*", "x y"};
static const char *const names[] = {"g", "h"};

enum { PATTERNS = sizeof patterns / sizeof patterns[0], TOPICS = sizeof topics / sizeof topics[0], NAMES = 2 };
enum { FIRST_RESERVED = 9, FIRST_BAD_PATTERN = 10, FIRST_BAD_TOPIC = 8 };

/* ---- what the core emitted ---- */

enum kind { MSG, OK, ERR, WELCOME, PONG, CLOSE };

struct effect {
    enum kind kind;
    int seat;
    uint64_t id; /* OK ERR PONG; MSG: the sid */
    uint64_t n;  /* OK: the count; MSG: the token */
    char text[160];
};

static struct trp_core *core;
static struct effect effects[EFFECTS];
static size_t n_effects, checked;

static struct effect *note(enum kind kind, void *user, uint64_t id, uint64_t n) {
    struct effect *e = &effects[n_effects++];
    CHECK(n_effects < EFFECTS);
    *e = (struct effect){kind, (int)(intptr_t)user, id, n, ""};
    return e;
}

static void on_msg(void *ctx, void *user, uint64_t sid, uint64_t token, const struct trp_message *m) {
    (void)ctx;
    const uint8_t *p = m->payload.p;
    troupe_value v;
    CHECK(trp_unpack_value(&p, p + m->payload.n, &v) == TROUPE_OK);
    struct effect *e = note(MSG, user, sid, token);
    snprintf(e->text, sizeof e->text, "%.*s %.*s %.10s %zu", (int)m->topic.n, (const char *)m->topic.p, (int)m->reply.n,
             m->reply.n ? (const char *)m->reply.p : "", (const char *)v.data, m->raw.n);
}

static void on_ok(void *ctx, void *user, uint64_t id, uint64_t level, uint64_t count) {
    (void)ctx, (void)level;
    note(OK, user, id, count);
}

static void on_err(void *ctx, void *user, uint64_t id, const char *code, const char *text) {
    (void)ctx, (void)text;
    snprintf(note(ERR, user, id, 0)->text, 32, "%s", code);
}

static void on_welcome(void *ctx, void *user, uint64_t session, struct trp_slice inbox) {
    (void)ctx, (void)session, (void)inbox;
    note(WELCOME, user, 0, 0);
}

static void on_pong(void *ctx, void *user, uint64_t id) {
    (void)ctx;
    note(PONG, user, id, 0);
}

static void on_close(void *ctx, void *user, const char *code, const char *text) {
    (void)ctx, (void)text;
    snprintf(note(CLOSE, user, 0, 0)->text, 32, "%s", code);
}

static const struct trp_sink sink = {on_msg, on_ok, on_err, on_welcome, on_pong, on_close};

/* ---- the model's state ---- */

struct message {
    char text[160]; /* as an effect shows it */
    size_t size;
    int ask; /* -1: none */
};

struct m_peer {
    struct trp_peer *peer; /* NULL: the seat is empty */
    enum trp_peer_kind kind;
    bool closed, greeted;
    int life; /* counts the seat's peers */
    uint64_t last_token;
    char inbox[32], old_inbox[32];
};

struct m_sub {
    bool live;
    int seat;
    uint64_t sid;
    int pattern, group; /* group -1: plain */
    bool credited;
    uint64_t credit, served, serial; /* serial: of the SUB */
    int key;                         /* differs for every SUB, also after the end */
};

struct m_group {
    uint64_t clock, serial; /* serial: when it was last bound */
    struct message backlog[BACKLOG];
    size_t n;
};

struct m_held {
    int seat, key;
    uint64_t sid, token;
    int group;
    bool credited;
    struct message m;
};

struct m_ask {
    int seat, life;
    uint64_t id, shares;
    bool own, settled;
};

static struct m_peer peers[SEATS];
static struct m_sub subs[SUBS];
static struct m_group groups[PATTERNS * NAMES];
static struct m_held held[HELD]; /* oldest first */
static size_t n_held;
static struct m_ask asks[ASKS];
static int n_asks, n_keys;
static uint64_t serial;
static bool draining;
static struct trp_core_stats want;

/* ---- the model's effects ---- */

static const struct effect *expect(enum kind kind, int seat, uint64_t id, const char *text) {
    CHECK_MSG(checked < n_effects, "the core said too little: seat %d kind %d id %" PRIu64 " %s", seat, kind, id, text);
    const struct effect *e = &effects[checked++];
    CHECK_MSG(e->kind == kind && e->seat == seat && e->id == id && strcmp(e->text, text) == 0,
              "seat %d kind %d id %" PRIu64 " '%s', the model says seat %d kind %d id %" PRIu64 " '%s'", e->seat, e->kind,
              e->id, e->text, seat, kind, id, text);
    return e;
}

static bool hears(int seat) {
    return peers[seat].peer && !peers[seat].closed;
}

static void m_ok(int seat, uint64_t id, uint64_t count) {
    if (hears(seat) && id)
        CHECK(expect(OK, seat, id, "")->n == count);
}

static void m_err(int seat, uint64_t id, const char *code) {
    if (hears(seat) && id)
        expect(ERR, seat, id, code);
}

static void m_close(int seat, const char *code) {
    expect(CLOSE, seat, 0, code);
    peers[seat].closed = true;
}

static void m_fault(int seat, uint64_t id, const char *code) {
    want.protocol_errors++;
    if (id)
        m_err(seat, id, code);
    else
        m_close(seat, code);
}

/* The token, or 0. */
static uint64_t m_deliver(int seat, uint64_t sid, bool tracked, const struct message *m) {
    const struct effect *e = expect(MSG, seat, sid, m->text);
    want.delivered++;
    CHECK((e->n != 0) == tracked);
    if (tracked) {
        CHECK(e->n > peers[seat].last_token);
        peers[seat].last_token = e->n;
    }
    return e->n;
}

/* ---- asks ---- */

static bool asker_there(const struct m_ask *a) {
    return hears(a->seat) && peers[a->seat].life == a->life;
}

static void ask_settle(int i) {
    asks[i].settled = true;
    asks[i].shares--;
}

static bool ask_lose(int i, const char *code) {
    struct m_ask *a = &asks[i];
    bool last = a->shares == 1 && !a->settled;
    if (last && asker_there(a))
        m_err(a->seat, a->id, code);
    a->shares--;
    return last;
}

static int free_ask(void) {
    for (int i = 0; i < n_asks; i++)
        if (asks[i].shares == 0)
            return i;
    CHECK(n_asks < ASKS);
    return n_asks++;
}

static uint64_t outstanding(void) {
    uint64_t n = 0;
    for (int i = 0; i < n_asks; i++)
        n += asks[i].shares > 0 && !asks[i].settled && (!asks[i].own || asker_there(&asks[i]));
    return n;
}

/* ---- groups ---- */

static size_t members(int g) {
    size_t n = 0;
    for (int i = 0; i < SUBS; i++)
        n += subs[i].live && subs[i].group == g;
    return n;
}

static bool group_exists(int g) {
    for (size_t i = 0; i < n_held; i++)
        if (held[i].group == g)
            return true;
    return members(g) > 0;
}

static uint64_t holding(int key) {
    uint64_t n = 0;
    for (size_t i = 0; i < n_held; i++)
        n += held[i].key == key;
    return n;
}

static struct m_sub *choose(int g) {
    struct m_sub *best = NULL;
    uint64_t least = 0;
    for (int i = 0; i < SUBS; i++) {
        struct m_sub *s = &subs[i];
        if (!s->live || s->group != g || (s->credited && holding(s->key) >= s->credit))
            continue;
        uint64_t load = s->credited ? holding(s->key) : 0;
        if (!best || load < least || (load == least && s->served < best->served)) {
            best = s;
            least = load;
        }
    }
    return best;
}

static void held_remove(size_t i) {
    memmove(&held[i], &held[i + 1], (--n_held - i) * sizeof held[0]);
}

static void hold(struct m_sub *s, const struct message *m) {
    size_t without = 0, oldest = HELD;
    for (size_t i = 0; i < n_held; i++)
        if (held[i].seat == s->seat && !held[i].credited && without++ == 0)
            oldest = i;
    if (!s->credited && without >= opts.max_held) {
        ask_settle(held[oldest].m.ask);
        held_remove(oldest);
        want.forgotten++;
    }
    uint64_t token = m_deliver(s->seat, s->sid, true, m);
    held[n_held++] = (struct m_held){s->seat, s->key, s->sid, token, s->group, s->credited, *m};
}

static void give(struct m_sub *s, const struct message *m) {
    s->served = ++groups[s->group].clock;
    if (s->credited || m->ask >= 0)
        hold(s, m);
    else
        m_deliver(s->seat, s->sid, false, m);
}

static struct message backlog_pop(int g) {
    struct message m = groups[g].backlog[0];
    memmove(groups[g].backlog, groups[g].backlog + 1, --groups[g].n * sizeof m);
    return m;
}

static void dispatch(int g) {
    struct m_sub *s;
    while (groups[g].n > 0 && (s = choose(g))) {
        struct message m = backlog_pop(g);
        if (m.ask >= 0 && asks[m.ask].own && !asker_there(&asks[m.ask])) {
            ask_settle(m.ask);
            want.abandoned++;
        } else {
            give(s, &m);
        }
    }
}

static void give_up(const struct message *m) {
    if (m->ask < 0)
        want.dropped++;
    else if (ask_lose(m->ask, "NO_RESPONDERS"))
        want.no_responders++;
}

static void put_back(int g, const struct message *m) {
    if (members(g) == 0) {
        give_up(m);
        return;
    }
    memmove(groups[g].backlog + 1, groups[g].backlog, groups[g].n++ * sizeof *m);
    groups[g].backlog[0] = *m;
    CHECK(groups[g].n < BACKLOG);
    want.requeued++;
}

static bool group_put(int g, const struct message *m) {
    struct m_group *grp = &groups[g];
    struct m_sub *s = choose(g);
    if (s) {
        if (m->ask >= 0)
            asks[m->ask].shares++;
        give(s, m);
        return true;
    }
    size_t bytes = m->size;
    for (size_t i = 0; i < grp->n; i++)
        bytes += grp->backlog[i].size;
    if (grp->n >= opts.backlog_messages || bytes > opts.backlog_bytes)
        return false;
    if (m->ask >= 0)
        asks[m->ask].shares++;
    grp->backlog[grp->n++] = *m;
    return true;
}

/* ---- publish ---- */

static bool matches(const char *pattern, const char *topic) {
    for (;;) {
        if (pattern[0] == '>')
            return true;
        size_t p = strcspn(pattern, "."), t = strcspn(topic, ".");
        if (!(p == 1 && pattern[0] == '*') && (p != t || memcmp(pattern, topic, p)))
            return false;
        pattern += p;
        topic += t;
        if (!*pattern || !*topic)
            return !*pattern && !*topic;
        pattern++;
        topic++;
    }
}

struct target {
    int sub, group, pattern;
    uint64_t serial;
};

static int rank_of(char c) {
    return c == '>' ? 0 : c == '*' ? 2 : 1;
}

static int in_order(const void *x, const void *y) {
    const struct target *a = x, *b = y;
    for (const char *p = patterns[a->pattern], *q = patterns[b->pattern];; p++, q++) {
        if (*p == *q && *p)
            continue;
        if (*p == *q)
            return a->serial < b->serial ? -1 : 1;
        return rank_of(*p) - rank_of(*q);
    }
}

static size_t find_targets(const char *topic, struct target *t) {
    size_t n = 0;
    for (int i = 0; i < SUBS; i++)
        if (subs[i].live && subs[i].group < 0 && matches(patterns[subs[i].pattern], topic))
            t[n++] = (struct target){i, -1, subs[i].pattern, subs[i].serial};
    for (int g = 0; g < PATTERNS * NAMES; g++)
        if (members(g) > 0 && matches(patterns[g / NAMES], topic))
            t[n++] = (struct target){-1, g, g / NAMES, groups[g].serial};
    qsort(t, n, sizeof *t, in_order);
    return n;
}

static bool to_target(const struct target *t, const struct message *m) {
    if (t->group >= 0)
        return group_put(t->group, m);
    if (m->ask < 0) {
        m_deliver(subs[t->sub].seat, subs[t->sub].sid, false, m);
        return true;
    }
    asks[m->ask].shares++;
    hold(&subs[t->sub], m);
    return true;
}

static void route(int seat, uint64_t id, const char *topic, bool is_request, bool own, struct message *m) {
    struct target t[SUBS + PATTERNS * NAMES];
    size_t n = find_targets(topic, t), took = 0;
    if (n == 0 && is_request) {
        want.no_responders++;
        m_err(seat, id, "NO_RESPONDERS");
        return;
    }
    want.unrouted += n == 0;
    if (is_request) {
        m->ask = free_ask();
        asks[m->ask] = (struct m_ask){seat, peers[seat].life, id, 1, own, false};
    }
    for (size_t i = 0; i < n; i++)
        took += to_target(&t[i], m);
    want.busy += n - took;
    if (is_request ? took == 0 : took < n)
        m_err(seat, id, "BUSY");
    else if (!is_request)
        m_ok(seat, id, took);
    if (is_request)
        asks[m->ask].shares--;
}

static void to_inbox(int seat, uint64_t id, const char *topic, bool has_reply, const struct message *m) {
    want.published++;
    for (int i = 0; i < SEATS; i++)
        if (hears(i) && strlen(topic) > 26 && strncmp(topic, peers[i].inbox, 26) == 0) {
            m_deliver(i, 0, false, m);
            if (!has_reply)
                m_ok(seat, id, 1);
            return;
        }
    want.stale_replies++;
    m_err(seat, id, "NO_RESPONDERS");
}

/* ---- events, each to the core and to the model ---- */

static void leave(int seat);

static void tell(int seat, struct trp_envelope e) {
    n_effects = checked = 0;
    trp_core_feed(core, 0, peers[seat].peer, &e);
}

/* Nothing more was said, and the counters agree. */
static void settle_event(int seat) {
    if (peers[seat].peer && peers[seat].closed)
        leave(seat);
    CHECK_MSG(checked == n_effects, "the core said more: seat %d kind %d '%s'", effects[checked].seat, effects[checked].kind,
              effects[checked].text);
    want.peers = want.subs = want.groups = want.held = want.backlog = want.backlog_bytes = 0;
    for (int i = 0; i < SEATS; i++)
        want.peers += peers[i].peer != NULL;
    for (int i = 0; i < SUBS; i++)
        want.subs += subs[i].live;
    for (int g = 0; g < PATTERNS * NAMES; g++) {
        want.groups += group_exists(g);
        want.backlog += groups[g].n;
        for (size_t i = 0; i < groups[g].n; i++)
            want.backlog_bytes += groups[g].backlog[i].size;
    }
    want.held = n_held;
    const struct trp_core_stats *got = trp_core_stats(core);
    for (size_t i = 0; i < sizeof want / sizeof(uint64_t); i++)
        CHECK_MSG(((const uint64_t *)got)[i] == ((const uint64_t *)&want)[i], "counter %zu is %" PRIu64 ", not %" PRIu64, i,
                  ((const uint64_t *)got)[i], ((const uint64_t *)&want)[i]);
    CHECK(trp_core_outstanding(core) == outstanding());
}

static uint64_t some_id(void) {
    return roll(8) ? 1 + roll(1000) : 0;
}

static void do_attach(int seat) {
    struct m_peer *p = &peers[seat];
    uint8_t nonce[12];
    for (int i = 0; i < 12; i++)
        nonce[i] = (uint8_t)roll(256);
    uint32_t r = roll(12);
    enum trp_peer_kind kind = r == 0 ? TRP_PEER_ASK : r == 1 ? TRP_PEER_PUSH : TRP_PEER_FULL;
    n_effects = checked = 0;
    struct trp_peer *peer = NULL;
    troupe_status st = trp_core_attach(core, 0, kind, nonce, (void *)(intptr_t)seat, &peer);
    CHECK(st == (want.peers == opts.max_peers ? TROUPE_FULL : TROUPE_OK));
    if (st)
        return;
    *p = (struct m_peer){.peer = peer, .kind = kind, .life = p->life + 1};
    memcpy(p->old_inbox, p->inbox, sizeof p->inbox);
    struct trp_slice inbox = trp_peer_inbox(peer);
    memcpy(p->inbox, inbox.p, inbox.n);
}

static void do_detach(int seat) {
    n_effects = checked = 0;
    trp_core_detach(core, 0, peers[seat].peer);
    bool left = peers[seat].closed;
    peers[seat].closed = true;
    if (!left)
        leave(seat);
    peers[seat].peer = NULL;
    peers[seat].closed = false;
}

static struct m_sub *find_sub(int seat, uint64_t sid) {
    for (int i = 0; i < SUBS; i++)
        if (subs[i].live && subs[i].seat == seat && subs[i].sid == sid)
            return &subs[i];
    return NULL;
}

static void end_sub(struct m_sub *s) {
    s->live = false;
    if (s->group < 0 || members(s->group) > 0)
        return;
    while (groups[s->group].n > 0) {
        struct message m = backlog_pop(s->group);
        give_up(&m);
    }
}

static void leave(int seat) {
    for (;;) { /* subscriptions, the oldest first */
        struct m_sub *first = NULL;
        for (int i = 0; i < SUBS; i++)
            if (subs[i].live && subs[i].seat == seat && (!first || subs[i].serial < first->serial))
                first = &subs[i];
        if (!first)
            break;
        end_sub(first);
    }
    for (int credited = 1; credited >= 0; credited--) /* requests in hand, those on credit first */
        for (size_t i = 0; i < n_held; i++)
            if (held[i].seat == seat && held[i].credited == credited && held[i].m.ask >= 0) {
                want.worker_lost += ask_lose(held[i].m.ask, "WORKER_LOST");
                held_remove(i--);
            }
    int touched[PATTERNS * NAMES], n = 0; /* messages in hand, the newest first, each to the head */
    for (size_t i = n_held; i-- > 0;) {
        if (held[i].seat != seat)
            continue;
        struct m_held h = held[i];
        held_remove(i);
        bool known = members(h.group) == 0;
        for (int k = 0; k < n; k++)
            known |= touched[k] == h.group;
        if (!known)
            touched[n++] = h.group;
        put_back(h.group, &h.m);
    }
    while (n > 0)
        dispatch(touched[--n]);
}

static void m_subscribe(int seat, uint64_t id, uint64_t sid, int pattern, int group, uint64_t credit) {
    int free_sub = 0;
    while (subs[free_sub].live)
        free_sub++;
    CHECK(free_sub < SUBS);
    struct m_sub *s = &subs[free_sub];
    if (group >= 0) {
        if (!group_exists(group))
            groups[group].clock = 0;
        if (members(group) == 0)
            groups[group].serial = ++serial;
    }
    *s = (struct m_sub){true, seat, sid, pattern, group, credit > 0, credit, 0, ++serial, ++n_keys};
    if (group >= 0)
        s->served = ++groups[group].clock;
    m_ok(seat, id, 0);
    if (group >= 0)
        dispatch(group);
}

static void do_sub(int seat) {
    uint8_t buf[64];
    uint64_t id = some_id(), sid = roll(SIDS + 1);
    int pattern = (int)roll(roll(20) ? FIRST_RESERVED : PATTERNS), name = (int)roll(3) - 1;
    int64_t credit = roll(2) ? 1 + roll(3) : roll(50) ? 0 : 70000;
    if (name < 0 && roll(20))
        credit = 0;
    tell(seat, (struct trp_envelope){.op = TRP_SUB,
                                     .id = id,
                                     .sid = sid,
                                     .text = trp_slice_str(patterns[pattern]),
                                     .options = sub_options(buf, name >= 0 ? names[name] : NULL, credit)});
    size_t count = 0;
    for (int i = 0; i < SUBS; i++)
        count += subs[i].live && subs[i].seat == seat;
    if (peers[seat].kind != TRP_PEER_FULL)
        m_fault(seat, 0, "UNEXPECTED");
    else if (sid == 0)
        m_fault(seat, id, "INVALID");
    else if (pattern == FIRST_RESERVED)
        m_fault(seat, id, "RESERVED");
    else if (pattern >= FIRST_BAD_PATTERN)
        m_fault(seat, id, "BAD_TOPIC");
    else if (credit > 65535 || (credit && name < 0))
        m_fault(seat, id, "INVALID");
    else if (find_sub(seat, sid))
        m_fault(seat, id, "EXISTS");
    else if (count >= opts.max_subs)
        m_fault(seat, id, "LIMIT");
    else
        m_subscribe(seat, id, sid, pattern, name >= 0 ? pattern * NAMES + name : -1, (uint64_t)credit);
}

static void do_unsub(int seat) {
    uint64_t id = some_id(), sid = 1 + roll(SIDS);
    tell(seat, (struct trp_envelope){.op = TRP_UNSUB, .id = id, .sid = sid});
    struct m_sub *s = find_sub(seat, sid);
    if (peers[seat].kind != TRP_PEER_FULL)
        m_fault(seat, 0, "UNEXPECTED");
    else if (!s) {
        m_fault(seat, id, "NOT_FOUND");
    } else {
        end_sub(s);
        m_ok(seat, id, 0);
    }
}

static void do_credit(int seat) {
    uint64_t sid = 1 + roll(SIDS), n = roll(200) ? roll(4) : 65536;
    struct m_sub *s = find_sub(seat, sid);
    if (s && !s->credited && roll(10))
        return;
    tell(seat, (struct trp_envelope){.op = TRP_CREDIT, .sid = sid, .token = n});
    if (peers[seat].kind != TRP_PEER_FULL) {
        m_fault(seat, 0, "UNEXPECTED");
    } else if (n > 65535 || (s && !s->credited)) {
        m_fault(seat, 0, "INVALID");
    } else if (s) {
        s->credit = n;
        dispatch(s->group);
    }
}

static void m_nack(struct m_held h) {
    if (h.group >= 0) {
        put_back(h.group, &h.m);
        dispatch(h.group);
    } else if (ask_lose(h.m.ask, "NO_RESPONDERS")) {
        want.no_responders++;
    }
}

static void do_ack(int seat, enum trp_op op) {
    size_t i = n_held ? roll((uint32_t)n_held) : 0;
    for (size_t k = 0; k < n_held && held[i].seat != seat; k++)
        i = (i + 1) % n_held;
    bool mine = n_held && held[i].seat == seat && roll(20);
    uint64_t sid = mine ? held[i].sid : 1 + roll(SIDS), token = mine ? held[i].token : 1000000 + roll(16);
    tell(seat, (struct trp_envelope){.op = op, .sid = sid, .token = token});
    if (peers[seat].kind != TRP_PEER_FULL) {
        m_fault(seat, 0, "UNEXPECTED");
        return;
    }
    if (!mine) {
        want.stale_acks++;
        return;
    }
    struct m_held h = held[i];
    held_remove(i);
    if (op == TRP_NACK) {
        m_nack(h);
        return;
    }
    if (h.m.ask >= 0)
        ask_settle(h.m.ask);
    if (h.group >= 0)
        dispatch(h.group);
}

static void random_inbox(char *out) {
    int seat = (int)roll(SEATS);
    const char *prefix = roll(10) ? peers[seat].inbox : roll(2) ? peers[seat].old_inbox : "_r.zzz.";
    sprintf(out, "%s%s", *prefix ? prefix : "_r.", roll(20) ? "tok" : "");
}

static void random_topic(char *out) {
    if (roll(4) == 0)
        random_inbox(out);
    else
        sprintf(out, "%s", topics[roll(roll(30) ? FIRST_BAD_TOPIC : TOPICS)]);
}

static void random_reply(int seat, char *out) {
    uint32_t r = roll(10);
    if (r < 5)
        *out = 0;
    else if (r < 8)
        sprintf(out, "%s%u", peers[seat].inbox, roll(100));
    else if (r < 9)
        random_inbox(out);
    else
        sprintf(out, "results");
}

static size_t write_message(uint8_t *wire, const char *topic, const char *reply, size_t payload) {
    static uint64_t number;
    uint8_t *p = trp_pack_str(trp_pack_array(wire, 4), trp_slice_str(topic));
    p = trp_pack_str(p, trp_slice_str(reply));
    *p++ = 0xc0;
    p = trp_pack_str_head(p, (uint32_t)payload);
    memset(p, '.', payload);
    char digits[24];
    snprintf(digits, sizeof digits, "%010" PRIu64, ++number);
    memcpy(p, digits, 10);
    return (size_t)(p - wire) + payload;
}

static void do_pub(int seat) {
    static uint8_t wire[32768];
    char topic[64], reply[64];
    struct trp_envelope e = {.op = TRP_PUB, .id = some_id()};
    const char *why;
    random_topic(topic);
    random_reply(seat, reply);
    size_t payload = 10 + roll(40);
    if (roll(40) == 0)
        payload = 16000 + roll(4100);
    size_t n = write_message(wire, topic, reply, payload), used;
    CHECK(trp_message_read(wire, n, &e.msg, &used, &why) == TROUPE_OK);
    struct message m = {.size = n, .ask = -1};
    snprintf(m.text, sizeof m.text, "%s %s %.10s %zu", topic, reply, (const char *)wire + n - payload, n);
    tell(seat, e);
    bool has_reply = *reply, own = strlen(reply) > 26 && strncmp(reply, peers[seat].inbox, 26) == 0;
    memset(wire, 0xee, n);
    if ((peers[seat].kind == TRP_PEER_ASK && !has_reply) || (peers[seat].kind == TRP_PEER_PUSH && (has_reply || e.id))) {
        m_fault(seat, 0, "UNEXPECTED");
    } else if (e.msg.payload.n > opts.max_payload) {
        want.protocol_errors++;
        m_err(seat, e.id, "TOO_BIG");
    } else if (strncmp(topic, "_r.", 3) == 0) {
        to_inbox(seat, e.id, topic, has_reply, &m);
    } else if (draining) {
        m_err(seat, e.id, "SHUTDOWN");
    } else if (strchr(topic, '*') || strchr(topic, ' ')) {
        want.protocol_errors++;
        m_err(seat, e.id, "BAD_TOPIC");
    } else {
        want.published++;
        route(seat, e.id, topic, has_reply, own, &m);
    }
}

static void do_other(int seat) {
    static const enum trp_op ops[] = {TRP_PING, TRP_HELLO, TRP_PONG, TRP_QUEUE, TRP_CLOSE, TRP_AUTH, TRP_MSG, TRP_ERR};
    uint64_t id = some_id();
    enum trp_op op = ops[roll(roll(6) ? 2 : 8)];
    bool greeted = peers[seat].greeted;
    tell(seat, (struct trp_envelope){.op = op, .id = id});
    if (peers[seat].kind != TRP_PEER_FULL) {
        m_fault(seat, 0, "UNEXPECTED");
    } else if (op == TRP_PING) {
        expect(PONG, seat, id, "");
    } else if (op == TRP_HELLO && !greeted) {
        peers[seat].greeted = true;
        expect(WELCOME, seat, 0, "");
    } else if (op == TRP_QUEUE) {
        m_fault(seat, id, "UNSUPPORTED");
    } else if (op == TRP_CLOSE) {
        m_close(seat, "BYE");
    } else if (op != TRP_PONG) {
        m_fault(seat, 0, "UNEXPECTED");
    }
}

static void do_any(int seat) {
    uint32_t r = roll(100);
    if (r < 1)
        do_detach(seat);
    else if (r < 14)
        do_sub(seat);
    else if (r < 17)
        do_unsub(seat);
    else if (r < 23)
        do_credit(seat);
    else if (r < 27)
        do_ack(seat, TRP_NACK);
    else if (r < 55)
        do_ack(seat, TRP_ACK);
    else if (r < 57)
        do_other(seat);
    else
        do_pub(seat);
}

/* A closed peer is not heard until it is detached. */
static void do_closed(int seat) {
    if (roll(3)) {
        do_detach(seat);
        return;
    }
    tell(seat, (struct trp_envelope){.op = TRP_PING, .id = 1});
    CHECK(n_effects == 0);
}

static void event(void) {
    int seat = (int)roll(SEATS);
    n_effects = checked = 0;
    if (!peers[seat].peer)
        do_attach(seat);
    else if (peers[seat].closed)
        do_closed(seat);
    else
        do_any(seat);
    settle_event(seat);
}

static void one_round(uint64_t events) {
    memset(peers, 0, sizeof peers);
    memset(subs, 0, sizeof subs);
    memset(groups, 0, sizeof groups);
    memset(&want, 0, sizeof want);
    n_held = 0;
    n_asks = 0;
    draining = false;
    struct trp_core_opts o = opts;
    o.seed = random64();
    CHECK(trp_core_new(&core, &o, &sink, NULL) == TROUPE_OK);
    for (uint64_t i = 0; i < events; i++) {
        event();
        if (i == events / 10 * 9) {
            trp_core_drain(core);
            draining = true;
        }
    }
    for (int seat = 0; seat < SEATS; seat++)
        if (peers[seat].peer) {
            do_detach(seat);
            settle_event(seat);
        }
    trp_core_free(core);
}

START_TEST(the_core_does_what_the_model_does) {
    const char *events = getenv("TROUPE_EVENTS");
    uint64_t left = events ? strtoull(events, NULL, 0) : EVENTS;
    struct trp_core_stats sum = {0};
    chance_begin(seed_of_run());
    for (; left >= ROUND; left -= ROUND) {
        one_round(ROUND);
        for (size_t i = 0; i < sizeof sum / sizeof(uint64_t); i++)
            ((uint64_t *)&sum)[i] += ((uint64_t *)&want)[i];
    }
    /* The events are worth their name: everything has happened, and often. */
    ck_assert(sum.delivered > 20000 && sum.requeued > 500 && sum.worker_lost > 100 && sum.busy > 500);
    ck_assert(sum.no_responders > 500 && sum.forgotten > 100 && sum.abandoned > 100 && sum.dropped > 50);
    ck_assert(sum.stale_replies > 500 && sum.stale_acks > 500 && sum.protocol_errors > 500 && sum.unrouted > 500);
}
END_TEST

int main(void) {
    Suite *s = suite_create("core_model");
    TCase *t = tcase_create("model");
    tcase_set_timeout(t, 100);
    tcase_add_test(t, the_core_does_what_the_model_does);
    suite_add_tcase(s, t);
    return run_suite(s);
}
