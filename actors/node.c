/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The node of a system: an actor with a thread of its own that does what other nodes ask for, and goes on meanwhile
 * (errand.h). It never waits for another actor. */
#include "actors/node.h"

#include <stdlib.h>

#include "actors/errand.h"
#include "actors/self.h"
#include "actors/system.h"
#include "transports/alloc.h"
#include "transports/log.h"

enum { CREDIT = 65000, WATCH_MS = 60000 };

/* What has been asked for and is not answered. */
struct job {
    struct node *node;
    troupe_msg *m;
    bool asks;
    struct trp_errand *watch; /* NULL: it is none */
    int64_t until;            /* of a watch */
    struct job *next, **link; /* watches, oldest first */
};

struct node {
    troupe_self *self;
    const char *name;
    struct trp_errands errands;
    struct job *watches, **tail;
};

/* A request, read. Borrows from the message. */
struct request {
    struct trp_slice verb, name, value;
    uint64_t id;
};

/* --- answers --- */

static void refuse(struct node *n, troupe_msg *m, troupe_status st) {
    (void)!troupe_reply_error(n->self, m, troupe_status_name(st), troupe_status_text(st));
    troupe_msg_free(&m);
}

/* Takes b. */
static void give(struct node *n, troupe_msg *m, struct trp_buf *b, troupe_status st) {
    if (st == TROUPE_OK)
        st = troupe_reply(n->self, m, b->n ? trp_node_value(b) : troupe_nil());
    if (st != TROUPE_OK && st != TROUPE_DISCONNECTED && st != TROUPE_NOT_FOUND)
        (void)!troupe_reply_error(n->self, m, troupe_status_name(st), "the answer can't be sent");
    trp_buf_fini(b);
    troupe_msg_free(&m);
}

static void give_nil(struct node *n, troupe_msg *m) {
    give(n, m, &(struct trp_buf){0}, TROUPE_OK);
}

static troupe_status put_head(struct trp_buf *b, uint32_t count) {
    troupe_status st = trp_buf_room(b, TRP_PACK_MAX_HEAD);
    if (st == TROUPE_OK)
        b->n = (size_t)(trp_pack_array(b->p + b->n, count) - b->p);
    return st;
}

static void give_answer(struct node *n, troupe_msg *m, const troupe_msg *answer) {
    const char *error = troupe_msg_error(answer);
    struct trp_buf b = {0};
    size_t size;
    const void *value = troupe_msg_packed(answer, &size);
    troupe_status st = put_head(&b, error ? 3 : 2);
    if (st == TROUPE_OK)
        st = trp_node_uint(&b, error != NULL);
    if (st == TROUPE_OK && error)
        st = trp_node_text(&b, error);
    if (st == TROUPE_OK)
        st = trp_buf_put(&b, value, size);
    give(n, m, &b, st);
}

static void give_exit(struct node *n, troupe_msg *m, const troupe_exit *exit) {
    struct trp_buf b = {0};
    troupe_status st = put_head(&b, 3);
    if (st == TROUPE_OK)
        st = trp_node_uint(&b, (uint64_t)exit->how);
    if (st == TROUPE_OK)
        st = trp_pack_value(&b, troupe_int(exit->code));
    if (st == TROUPE_OK)
        st = trp_node_text(&b, exit->text);
    give(n, m, &b, st);
}

/* --- jobs --- */

static void job_unlink(struct job *j) {
    if (!j->link)
        return;
    *j->link = j->next;
    if (j->next)
        j->next->link = j->link;
    else
        j->node->tail = j->link;
    j->link = NULL;
}

/* Jobs are the names of their errands. */
static uint64_t job_name(const struct job *j) {
    return (uintptr_t)j;
}

static struct job *job_of(uint64_t name) {
    return (struct job *)(uintptr_t)name;
}

static void job_lost(uint64_t name) {
    trp_free(job_of(name));
}

static void done(struct trp_errands *all, uint64_t name, troupe_status st, const struct troupe_msg *answer,
                 const troupe_exit *exit) {
    struct job *j = job_of(name);
    struct node *n = j->node;
    (void)all;
    if (j->until)
        give_exit(n, j->m, exit ? exit : &(troupe_exit){.how = TROUPE_END_NOPROC, .text = "noproc"});
    else if (st != TROUPE_OK)
        refuse(n, j->m, st);
    else if (j->asks)
        give_answer(n, j->m, answer);
    else
        give_nil(n, j->m);
    job_unlink(j);
    trp_free(j);
}

static struct job *job_new(struct node *n, troupe_msg *m) {
    struct job *j = trp_calloc(1, sizeof *j);
    if (!j) {
        refuse(n, m, TROUPE_NO_MEMORY);
        return NULL;
    }
    j->node = n;
    j->m = m;
    return j;
}

static void on_message(struct node *n, troupe_msg *m, const struct request *r, bool asks) {
    struct job *j = job_new(n, m);
    struct troupe_msg *inner = NULL;
    if (!j)
        return;
    troupe_status st = trp_msg_from_value(&inner, troupe_packed(r->value.p, r->value.n), (struct trp_slice){0});
    j->asks = asks;
    if (st != TROUPE_OK) {
        done(&n->errands, job_name(j), st, NULL, NULL);
        return;
    }
    inner->from = trp_actor_id(n->self->actor);
    if (asks)
        trp_errand_ask(&n->errands, r->id, inner, job_name(j));
    else
        trp_errand_send(&n->errands, r->id, inner, true, job_name(j));
}

static void on_watch(struct node *n, troupe_msg *m, const struct request *r) {
    struct job *j = job_new(n, m);
    if (!j)
        return;
    j->until = trp_deadline(WATCH_MS);
    j->link = n->tail;
    *n->tail = j;
    n->tail = &j->next;
    struct trp_errand *watch = trp_errand_join(&n->errands, r->id, job_name(j));
    if (watch)
        j->watch = watch; /* else j is gone */
}

/* Who asked may be gone for long: it asks again if it isn't. */
static void watches_renew(struct node *n) {
    int64_t now = n->watches ? trp_now() : 0;
    while (n->watches && n->watches->until <= now) {
        struct job *j = n->watches;
        trp_errand_drop(j->watch);
        give_nil(n, j->m);
        job_unlink(j);
        trp_free(j);
    }
}

/* --- what is asked for --- */

static void on_find(struct node *n, troupe_msg *m, struct trp_slice name, bool by_all) {
    char text[TROUPE_ADDRESS_MAX + 1] = "";
    uint64_t id = 0;
    if (name.n && name.n < sizeof text)
        memcpy(text, name.p, name.n);
    troupe_ref ref;
    if (text[0] == '#') {
        char *end;
        id = strtoull(text + 1, &end, 10);
        struct trp_actor *a = *end ? NULL : trp_registry_get(&n->self->actor->sys->registry, id);
        id = a ? id : 0;
        if (a)
            trp_actor_unref(a);
    } else if (troupe_whereis(n->self, text, &ref) == TROUPE_OK) {
        id = ref.id;
    }
    if (!id && by_all) {
        troupe_msg_free(&m);
        return;
    }
    if (!id) {
        refuse(n, m, TROUPE_NOT_FOUND);
        return;
    }
    struct trp_buf b = {0};
    troupe_status st = put_head(&b, 2);
    if (st == TROUPE_OK)
        st = trp_node_uint(&b, id);
    if (st == TROUPE_OK)
        st = trp_node_text(&b, n->name);
    give(n, m, &b, st);
}

static void on_shut(struct node *n, troupe_msg *m, const struct request *r, bool kill) {
    troupe_ref ref = {r->id};
    troupe_status st = kill ? troupe_kill(n->self, ref) : troupe_close(n->self, ref);
    if (st == TROUPE_OK)
        give_nil(n, m);
    else
        refuse(n, m, st);
}

static void on_actors(struct node *n, troupe_msg *m, const struct request *r) {
    struct trp_buf b = {0};
    give(n, m, &b, trp_node_page(&b, n->self->actor->sys, r->id));
}

/* Whoever calls the roll waits for it at a topic of its own. */
static void on_roster(struct node *n, troupe_msg *m, struct trp_slice name) {
    char topic[TROUPE_ADDRESS_MAX + 1] = "";
    if (name.n < sizeof topic)
        memcpy(topic, name.p, name.n);
    if (strncmp(topic, "_n.roster.", strlen("_n.roster.")) == 0)
        (void)!troupe_publish(n->self, topic, troupe_text(n->name), 0);
    troupe_msg_free(&m);
}

static bool request_read(const troupe_msg *m, struct request *r) {
    size_t size;
    const uint8_t *p = troupe_msg_packed(m, &size), *end = p + size;
    uint32_t count;
    *r = (struct request){0};
    if (!trp_unpack_array(&p, end, &count) || count < 1 || count > 3 || !trp_unpack_str(&p, end, &r->verb))
        return false;
    if (count > 1 && !trp_unpack_uint(&p, end, &r->id) && !trp_unpack_str(&p, end, &r->name))
        return false;
    r->value = (struct trp_slice){p, (size_t)(end - p)};
    return (count == 3) == (r->value.n > 0);
}

static bool is(const struct request *r, const char *verb) {
    return trp_slice_eq(r->verb, trp_slice_str(verb));
}

static void handle(struct node *n, troupe_msg *m) {
    struct request r;
    bool by_all = strcmp(troupe_msg_topic(m), "_n") == 0;
    bool good = request_read(m, &r);
    if (good && by_all && is(&r, "roster"))
        on_roster(n, m, r.name);
    else if (good && is(&r, "find") && troupe_msg_wants_reply(m))
        on_find(n, m, r.name, by_all);
    else if (by_all)
        troupe_msg_free(&m);
    else if (!good || !troupe_msg_wants_reply(m))
        refuse(n, m, TROUPE_INVALID);
    else if (is(&r, "actors"))
        on_actors(n, m, &r);
    else if (is(&r, "hello"))
        give_nil(n, m);
    else if (is(&r, "send") || is(&r, "ask"))
        on_message(n, m, &r, is(&r, "ask"));
    else if (is(&r, "watch"))
        on_watch(n, m, &r);
    else if (is(&r, "close") || is(&r, "kill"))
        on_shut(n, m, &r, is(&r, "kill"));
    else
        refuse(n, m, TROUPE_INVALID);
}

/* --- a life --- */

static troupe_status subscribe(struct node *n) {
    char topic[TRP_NODE_TOPIC_MAX];
    trp_node_topic(topic, n->name);
    troupe_status st = troupe_subscribe(n->self, topic, &(troupe_sub_opts){.group = "node", .credit = CREDIT});
    return st == TROUPE_OK ? troupe_subscribe(n->self, "_n", NULL) : st;
}

/* One message, or a wait for it. False: the end. */
static bool step(struct node *n) {
    struct troupe_msg *m;
    trp_errands_finish(&n->errands);
    watches_renew(n);
    troupe_status st = trp_actor_take(n->self->actor, true, &m);
    if (st == TROUPE_OK) {
        trp_self_take_in_hand(n->self, m);
        handle(n, m);
    } else if (st == TROUPE_EMPTY) {
        trp_bus_push(n->self);
        st = trp_self_wait(n->self, n->watches ? n->watches->until : TRP_NEVER);
    }
    return st != TROUPE_CLOSED;
}

void trp_node_body(troupe_self *self, void *arg) {
    struct node n = {.self = self, .name = arg, .tail = &n.watches};
    trp_errands_init(&n.errands, self->actor, done);
    if (subscribe(&n) != TROUPE_OK)
        return;
    while (step(&n))
        ;
    trp_errands_finish(&n.errands); /* who ended before is known as that, not as lost with the node */
    /* Jobs that are left: their messages are in hand, and given up with the body. */
    trp_errands_abandon(&n.errands, job_lost);
}
