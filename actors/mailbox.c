/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Messages are linked through themselves and parked senders through their operations: nothing here allocates, and
 * each call but drain and the dropping of many costs the same whatever is queued.
 *
 * Invariant: while senders are parked, whoever comes later is refused even if there is room for it: room belongs to
 * the first in line, or small messages would overtake a large one for ever. */
#include "actors/mailbox.h"

#include "transports/assert.h"

void trp_mailbox_init(struct trp_mailbox *mb, size_t max, size_t max_bytes, troupe_overflow overflow) {
    *mb = (struct trp_mailbox){.max = max, .max_bytes = max_bytes, .overflow = overflow};
    mb->tail = &mb->head;
    trp_waits_init(&mb->parked);
    trp_notes_init(&mb->notes);
}

static bool has_room(const struct trp_mailbox *mb, size_t size) {
    size_t count = mb->count + mb->lent, bytes = mb->bytes + mb->lent_bytes;
    return count == 0 || (count < mb->max && bytes <= mb->max_bytes && size <= mb->max_bytes - bytes);
}

static void append(struct trp_mailbox *mb, struct troupe_msg *m) {
    m->next = NULL;
    *mb->tail = m;
    mb->tail = &m->next;
    mb->count++;
    mb->bytes += m->size;
}

static struct troupe_msg *unlink_at(struct trp_mailbox *mb, struct troupe_msg **at) {
    struct troupe_msg *m = *at;
    *at = m->next;
    if (!m->next)
        mb->tail = at;
    m->next = NULL;
    mb->count--;
    mb->bytes -= m->size;
    trp_notes_mail_left(&mb->notes, m);
    return m;
}

/* What a broker counts against a credit stays: it is bounded by that, and only its receiver's thread may hand it back. */
static void drop_oldest(struct trp_mailbox *mb, size_t size, struct troupe_msg **dropped) {
    struct troupe_msg **at = &mb->head;
    while (*at && !has_room(mb, size)) {
        if ((*at)->origin.conn) {
            at = &(*at)->next;
            continue;
        }
        *dropped = unlink_at(mb, at);
        dropped = &(*dropped)->next;
    }
}

troupe_status trp_mailbox_put(struct trp_mailbox *mb, struct troupe_msg *m, struct troupe_msg **dropped) {
    *dropped = NULL;
    if (mb->parked.first)
        return TROUPE_FULL;
    if (!has_room(mb, m->size)) {
        if (mb->overflow != TROUPE_DROP_OLDEST)
            return TROUPE_FULL;
        drop_oldest(mb, m->size, dropped);
    }
    append(mb, m);
    return TROUPE_OK;
}

void trp_mailbox_force(struct trp_mailbox *mb, struct troupe_msg *m) {
    append(mb, m);
}

void trp_mailbox_park(struct trp_mailbox *mb, struct trp_send *s) {
    trp_waits_add(&mb->parked, &s->wait);
}

static struct troupe_msg *oldest(struct trp_mailbox *mb) {
    return mb->head ? unlink_at(mb, &mb->head) : NULL;
}

struct troupe_msg *trp_mailbox_take(struct trp_mailbox *mb) {
    struct troupe_msg *note = trp_notes_take(&mb->notes, mb->head);
    return note ? note : oldest(mb);
}

struct troupe_msg *trp_mailbox_lend(struct trp_mailbox *mb) {
    struct troupe_msg *m = oldest(mb);
    if (m) {
        mb->lent++;
        mb->lent_bytes += m->size;
    }
    return m;
}

bool trp_mailbox_settle(struct trp_mailbox *mb, size_t count, size_t bytes) {
    if (count > mb->lent || bytes > mb->lent_bytes)
        return false;
    mb->lent -= count;
    mb->lent_bytes -= bytes;
    return true;
}

void trp_mailbox_forget_lent(struct trp_mailbox *mb) {
    mb->lent = mb->lent_bytes = 0;
}

struct trp_send *trp_mailbox_admit(struct trp_mailbox *mb) {
    struct trp_send *s = (struct trp_send *)mb->parked.first;
    if (!s || !has_room(mb, s->msg->size))
        return NULL;
    trp_waits_remove(&mb->parked, &s->wait);
    append(mb, s->msg);
    s->msg = NULL;
    return s;
}

struct trp_send *trp_mailbox_expel(struct trp_mailbox *mb) {
    struct trp_send *s = (struct trp_send *)mb->parked.first;
    if (s)
        trp_waits_remove(&mb->parked, &s->wait);
    return s;
}

struct troupe_msg *trp_mailbox_drain(struct trp_mailbox *mb) {
    struct troupe_msg *all = mb->head;
    mb->head = NULL;
    mb->tail = &mb->head;
    mb->count = mb->bytes = 0;
    trp_notes_clear(&mb->notes);
    return all;
}
