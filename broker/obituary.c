/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Orphans are a list: all wait equally long, so the first is the first to be given up. */
#include "broker/obituary.h"

#include "broker/core_state.h"
#include "transports/alloc.h"

/* A consumer whose session is gone. */
struct trp_orphan {
    struct trp_orphan *next;
    struct trp_consumer *consumer;
    uint64_t until_ns;
    uint8_t token[TRP_OBITUARY_TOKEN];
};

bool trp_obituary_token(struct trp_slice text, uint8_t token[TRP_OBITUARY_TOKEN]) {
    if (text.n == TRP_OBITUARY_TOKEN)
        memcpy(token, text.p, TRP_OBITUARY_TOKEN);
    return text.n == TRP_OBITUARY_TOKEN;
}

static bool is_token(const uint8_t a[TRP_OBITUARY_TOKEN], const uint8_t b[TRP_OBITUARY_TOKEN]) {
    return memcmp(a, b, TRP_OBITUARY_TOKEN) == 0;
}

/* What was said before the session ended. */
static bool was_said(const struct trp_obituaries *o, const struct trp_peer *p, int *signal) {
    uint32_t n = o->said < TRP_OBITUARIES_KEPT ? o->said : TRP_OBITUARIES_KEPT;
    for (uint32_t i = 0; p->missed && i < n; i++) {
        if (!is_token(o->kept[i].token, p->token))
            continue;
        *signal = o->kept[i].signal;
        return true;
    }
    return false;
}

/* NULL: it is not to be waited for. */
static struct trp_orphan *orphan_new(struct trp_core *c, const struct trp_peer *p, struct trp_consumer *consumer) {
    if (!p->missed || c->draining || c->obituaries.n_orphans == TRP_ORPHANS_MOST)
        return NULL;
    struct trp_orphan *orphan = trp_malloc(sizeof *orphan);
    if (!orphan || !trp_consumer_orphan(consumer)) {
        trp_free(orphan);
        return NULL;
    }
    *orphan = (struct trp_orphan){.consumer = consumer, .until_ns = c->when.mono_ns + (uint64_t)TRP_OBITUARY_MS * 1000000};
    memcpy(orphan->token, p->token, sizeof orphan->token);
    return orphan;
}

void trp_obituaries_await(struct trp_core *c, const struct trp_peer *p, struct trp_consumer **consumer) {
    struct trp_obituaries *o = &c->obituaries;
    int signal = 0;
    struct trp_orphan *orphan = was_said(o, p, &signal) ? NULL : orphan_new(c, p, *consumer);
    if (!orphan) {
        trp_consumer_detach(consumer, c->when, TRP_CONSUMER_CRASHED, signal);
        return;
    }
    *consumer = NULL;
    *(o->first ? o->last : &o->first) = orphan;
    o->last = &orphan->next;
    o->n_orphans++;
}

/* Takes the orphan out of the list and what it has out of its hand. */
static void bury(struct trp_core *c, struct trp_orphan **link, int signal) {
    struct trp_obituaries *o = &c->obituaries;
    struct trp_orphan *orphan = *link;
    *link = orphan->next;
    if (!orphan->next)
        o->last = link;
    o->n_orphans--;
    trp_consumer_detach(&orphan->consumer, c->when, TRP_CONSUMER_CRASHED, signal);
    trp_free(orphan);
}

uint64_t trp_obituaries_say(struct trp_core *c, const uint8_t token[TRP_OBITUARY_TOKEN], int signal) {
    struct trp_obituaries *o = &c->obituaries;
    uint32_t place = o->said++ % TRP_OBITUARIES_KEPT;
    uint64_t n = 0;
    memcpy(o->kept[place].token, token, TRP_OBITUARY_TOKEN);
    o->kept[place].signal = signal;
    for (struct trp_orphan **link = &o->first; *link;) {
        if (is_token((*link)->token, token)) {
            bury(c, link, signal);
            n++;
        } else {
            link = &(*link)->next;
        }
    }
    return n;
}

uint64_t trp_obituaries_deadline(const struct trp_core *c) {
    return c->obituaries.first ? c->obituaries.first->until_ns : TRP_QUEUE_NEVER;
}

void trp_obituaries_tick(struct trp_core *c) {
    while (trp_obituaries_deadline(c) <= c->when.mono_ns)
        bury(c, &c->obituaries.first, 0);
}

void trp_obituaries_end(struct trp_core *c) {
    while (c->obituaries.first)
        bury(c, &c->obituaries.first, 0);
}
