/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Messages are linked through themselves and parked senders through their operations: nothing here allocates, and
 * each call but drain and the dropping of many costs the same whatever is queued.
 *
 * Invariant: while senders are parked, whoever comes later is refused even if there is room for it: room belongs to
 * the first in line, or small messages would overtake a large one for ever.
 *
 * A sender that parks and a receiver that takes do not meet under a lock, so one could miss the other: the sender sees no room,
 * the receiver sees nobody in line. The sender therefore sets CROWDED, looks once more, and only then gets in line; the
 * receiver looks at `line` at each take, which may be a moment too early, and at CROWDED whenever it waits (await, fence): both
 * are changes of the same word, so one of them comes second and sees the other. Room is given away at the receiver's next call
 * at the latest. */
#include "actors/mailbox.h"

#include "transports/assert.h"

_Static_assert(sizeof(uint64_t) >= sizeof(uintptr_t), "a pointer fits the word");

void trp_mailbox_init(struct trp_mailbox *mb, size_t max, size_t max_bytes, troupe_overflow overflow, bool exact) {
    exact = exact || overflow == TROUPE_DROP_OLDEST;
    /* Counting small messages alike makes the mailbox full at most a sixteenth too early. */
    bool small = !exact && max_bytes / 16 / max >= TRP_MSG_TINY;
    mb->first = NULL;
    mb->fetched = 0;
    mb->exact = exact;
    mb->overflow = (uint8_t)overflow;
    mb->parked = (struct trp_waits){NULL};
    trp_notes_init(&mb->notes);
    atomic_store_explicit(&mb->look, 0, memory_order_relaxed);
    atomic_store_explicit(&mb->taken, 0, memory_order_relaxed);
    atomic_store_explicit(&mb->others, 0, memory_order_relaxed);
    atomic_store_explicit(&mb->beyond, 0, memory_order_relaxed);
    atomic_store_explicit(&mb->beyond_taken, 0, memory_order_relaxed);
    atomic_store_explicit(&mb->bytes, 0, memory_order_relaxed);
    atomic_store_explicit(&mb->small, small ? (uint32_t)TRP_MSG_TINY : 0, memory_order_relaxed);
    if (exact) {
        mb->count = mb->lent = mb->lent_bytes = 0;
    } else {
        mb->more = NULL;
        mb->more_end = &mb->more;
        mb->more_in = 0;
        atomic_store_explicit(&mb->more_out, 0, memory_order_relaxed);
    }
    atomic_store_explicit(&mb->quick, max < TRP_MAIL_MOST ? (uint32_t)max : TRP_MAIL_MOST, memory_order_relaxed);
    atomic_store_explicit(&mb->max, max, memory_order_relaxed);
    atomic_store_explicit(&mb->max_bytes, max_bytes, memory_order_relaxed);
    /* Last: until now it was shut, or nobody knew it. */
    atomic_store_explicit(&mb->head, 0, memory_order_release);
}

/* --- counting, under the lock --- */

static bool has_more(const struct trp_mailbox *mb) {
    return !mb->exact && mb->more;
}

static uint32_t beyond_now(struct trp_mailbox *mb) {
    return atomic_load_explicit(&mb->beyond, memory_order_relaxed) -
           atomic_load_explicit(&mb->beyond_taken, memory_order_relaxed);
}

/* That have come by the word. */
static size_t count_at(struct trp_mailbox *mb, uint64_t head) {
    size_t all = trp_mail_queued(head, atomic_load_explicit(&mb->taken, memory_order_relaxed)), beyond = beyond_now(mb);
    return all > beyond ? all - beyond : 0; /* the receiver may have taken some in between */
}

size_t trp_mailbox_count(struct trp_mailbox *mb) {
    if (mb->exact)
        return mb->count + mb->lent;
    uint32_t more = mb->more_in - atomic_load_explicit(&mb->more_out, memory_order_relaxed);
    return count_at(mb, atomic_load_explicit(&mb->head, memory_order_relaxed)) + more;
}

size_t trp_mailbox_bytes(struct trp_mailbox *mb) {
    /* Acquire pairs with the release in take. */
    size_t bytes = atomic_load_explicit(&mb->bytes, memory_order_acquire);
    return bytes + (mb->exact ? mb->lent_bytes : 0) + (mb->small ? trp_mailbox_count(mb) * mb->small : 0);
}

static bool has_room(struct trp_mailbox *mb, size_t size) {
    size_t count = trp_mailbox_count(mb), bytes = trp_mailbox_bytes(mb);
    if (size <= mb->small)
        size = mb->small;
    return count == 0 || (count < mb->max && bytes <= mb->max_bytes && size <= mb->max_bytes - bytes);
}

/* --- in --- */

/* Under the lock, beside others who post without it: the bound in number is looked at in the moment of the push. False: full.
 */
static bool push(struct trp_mailbox *mb, struct troupe_msg *m, bool bounded, uint64_t clear, uint64_t *wake) {
    uint64_t head = atomic_load_explicit(&mb->head, memory_order_relaxed), next;
    bool large = !m->beyond && m->size > mb->small;
    if (large)
        atomic_fetch_add_explicit(&mb->bytes, m->size, memory_order_relaxed);
    do {
        if (bounded && count_at(mb, head) >= mb->quick) {
            if (large)
                atomic_fetch_sub_explicit(&mb->bytes, m->size, memory_order_relaxed);
            return false;
        }
        m->next = trp_mail_message(head);
        next = ((head & ~(TRP_MAIL_MESSAGE | clear)) | (uintptr_t)m) + TRP_MAIL_ONE;
        /* As in trp_mailbox_post. */
    } while (!atomic_compare_exchange_weak_explicit(&mb->head, &head, next, memory_order_acq_rel, memory_order_relaxed));
    mb->count += mb->exact;
    *wake = head & clear;
    return true;
}

/* Behind all others, for whom there are not numbers enough. */
static void push_more(struct trp_mailbox *mb, struct troupe_msg *m, uint64_t clear, uint64_t *wake) {
    m->next = NULL;
    *mb->more_end = m;
    mb->more_end = &m->next;
    atomic_fetch_or_explicit(&mb->look, TRP_LOOK_MORE, memory_order_relaxed);
    uint64_t head = atomic_load_explicit(&mb->head, memory_order_relaxed);
    /* As in push. */
    while (!atomic_compare_exchange_weak_explicit(&mb->head, &head, (head & ~clear) | TRP_MAIL_CROWDED, memory_order_acq_rel,
                                                  memory_order_relaxed))
        ;
    *wake = head & clear;
}

/* There is room for it. False: not any more, others have been quicker. What a policy or the receiver's emptiness has decided is
 * not asked again. */
static bool push_within(struct trp_mailbox *mb, struct troupe_msg *m, uint64_t clear, uint64_t *wake) {
    if (mb->exact)
        return push(mb, m, false, clear, wake);
    if (!mb->more && push(mb, m, true, clear, wake))
        return true;
    if (mb->max <= TRP_MAIL_MOST && !mb->more)
        return false;
    m->beyond = TRP_MORE;
    mb->more_in++;
    if (m->size > mb->small)
        atomic_fetch_add_explicit(&mb->bytes, m->size, memory_order_relaxed);
    push_more(mb, m, clear, wake);
    return true;
}

static void uncount(struct trp_mailbox *mb, const struct troupe_msg *m) {
    mb->count--;
    atomic_fetch_sub_explicit(&mb->bytes, m->size, memory_order_relaxed);
}

/* What a broker counts against a credit stays: it is bounded by that, and only its receiver's thread may hand it back. */
static void drop_from(struct trp_mailbox *mb, struct troupe_msg **at, size_t size, struct troupe_msg ***dropped) {
    while (*at && !has_room(mb, size)) {
        struct troupe_msg *m = *at;
        if (m->origin.conn) {
            at = &m->next;
            continue;
        }
        *at = m->next;
        m->next = NULL;
        uncount(mb, m);
        trp_notes_mail_left(&mb->notes, m);
        **dropped = m;
        *dropped = &m->next;
    }
}

/* Under the lock, by the receiver, once it has gathered all others: what follows them. */
static struct troupe_msg *take_more(struct trp_mailbox *mb) {
    struct troupe_msg *all = mb->more;
    mb->more = NULL;
    mb->more_end = &mb->more;
    atomic_fetch_and_explicit(&mb->look, (unsigned char)~TRP_LOOK_MORE, memory_order_relaxed);
    if (all && !mb->parked.last)
        (void)trp_mailbox_admit(mb); /* takes CROWDED back */
    return all;
}

static struct troupe_msg **end_of(struct troupe_msg **list) {
    while (*list)
        list = &(*list)->next;
    return list;
}

/* Behind what the receiver has gathered already. */
static struct troupe_msg **gather_behind(struct trp_mailbox *mb) {
    struct troupe_msg *first = mb->first;
    mb->first = NULL;
    (void)trp_mailbox_gather(mb);
    struct troupe_msg *behind = mb->first, **end = first ? end_of(&first->next) : &mb->first;
    if (first)
        mb->first = first;
    *end = behind;
    if (has_more(mb))
        *end_of(end) = take_more(mb);
    return end;
}

static void drop_oldest(struct trp_mailbox *mb, size_t size, struct troupe_msg **dropped) {
    drop_from(mb, &mb->first, size, &dropped);
    if (!has_room(mb, size))
        drop_from(mb, gather_behind(mb), size, &dropped);
}

troupe_status trp_mailbox_put(struct trp_mailbox *mb, struct troupe_msg *m, struct troupe_msg **dropped, uint64_t *wake) {
    *dropped = NULL;
    if (mb->parked.last)
        return TROUPE_FULL;
    if (!has_room(mb, m->size)) {
        if (mb->overflow != TROUPE_DROP_OLDEST || mb->lent > 0) /* older than all that is here */
            return TROUPE_FULL;
        drop_oldest(mb, m->size, dropped);
    }
    return push_within(mb, m, TRP_MAIL_WAKE, wake) ? TROUPE_OK : TROUPE_FULL;
}

/* Of those that are not small. */
static size_t large_bytes(const struct trp_mailbox *mb, const struct troupe_msg *m, unsigned count) {
    size_t all = 0;
    for (; count > 0; count--, m = m->next)
        all += m->size > mb->small ? m->size : 0;
    return all;
}

/* As push does for one. */
static bool push_all(struct trp_mailbox *mb, struct troupe_msg *newest, struct troupe_msg *oldest, unsigned count,
                     uint64_t *wake) {
    uint64_t head = atomic_load_explicit(&mb->head, memory_order_relaxed), next;
    do {
        if (count_at(mb, head) + count > mb->quick)
            return false;
        oldest->next = trp_mail_message(head);
        next = ((head & ~(TRP_MAIL_MESSAGE | TRP_MAIL_WAKE)) | (uintptr_t)newest) + count * TRP_MAIL_ONE;
    } while (!atomic_compare_exchange_weak_explicit(&mb->head, &head, next, memory_order_acq_rel, memory_order_relaxed));
    *wake = head & TRP_MAIL_WAKE;
    return true;
}

bool trp_mailbox_put_all(struct trp_mailbox *mb, struct troupe_msg *newest, struct troupe_msg *oldest, unsigned count,
                         uint64_t *wake) {
    if (mb->exact || mb->parked.last || mb->more)
        return false;
    size_t large = large_bytes(mb, newest, count), bytes = trp_mailbox_bytes(mb) + large + (size_t)count * mb->small;
    if (bytes > mb->max_bytes)
        return false;
    /* Before they can be taken. */
    atomic_fetch_add_explicit(&mb->bytes, large, memory_order_relaxed);
    if (push_all(mb, newest, oldest, count, wake))
        return true;
    atomic_fetch_sub_explicit(&mb->bytes, large, memory_order_relaxed);
    return false;
}

void trp_mailbox_force(struct trp_mailbox *mb, struct troupe_msg *m, uint64_t *wake) {
    uint64_t head = atomic_load_explicit(&mb->head, memory_order_relaxed);
    if (!mb->exact) {
        if (mb->more || trp_mail_queued(head, atomic_load_explicit(&mb->taken, memory_order_relaxed)) >= TRP_MAIL_WINDOW) {
            m->beyond = TRP_BEYOND_MORE;
            push_more(mb, m, TRP_MAIL_WAKE, wake);
            return;
        }
        m->beyond = TRP_BEYOND;
        atomic_store_explicit(&mb->beyond, atomic_load_explicit(&mb->beyond, memory_order_relaxed) + 1, memory_order_relaxed);
    }
    (void)push(mb, m, false, TRP_MAIL_WAKE, wake);
}

bool trp_mailbox_keep(struct trp_mailbox *mb, struct troupe_msg *all) {
    if (mb->exact || !trp_mailbox_empty(mb) || (trp_mailbox_flags(mb) & TRP_MAIL_SHUT))
        return false;
    for (struct troupe_msg *m = all; m; m = m->next)
        m->beyond = TRP_BEYOND_MORE; /* not counted in `head`, either */
    mb->first = all;
    return true;
}

bool trp_mailbox_park(struct trp_mailbox *mb, struct trp_send *s) {
    if (!mb->parked.last) {
        /* Acquire pairs with the release in await and fence: what was taken before those can be seen. Relaxed: a hint. */
        atomic_fetch_or_explicit(&mb->head, TRP_MAIL_CROWDED, memory_order_acq_rel);
        atomic_fetch_or_explicit(&mb->look, TRP_LOOK_LINE, memory_order_relaxed);
        if (has_room(mb, s->msg->size)) {
            (void)trp_mailbox_admit(mb); /* takes CROWDED back */
            return false;
        }
    }
    trp_waits_add(&mb->parked, &s->wait);
    return true;
}

/* --- out --- */

bool trp_mailbox_gather_exact(struct trp_mailbox *mb) {
    /* Acquire pairs with the release of every push that is in the list: each was made upon the one before it. */
    uint64_t head = atomic_fetch_and_explicit(&mb->head, ~TRP_MAIL_MESSAGE, memory_order_acquire);
    struct troupe_msg *m = trp_mail_message(head), *first = NULL;
    while (m) {
        struct troupe_msg *older = m->next;
        m->next = first;
        first = m;
        m = older;
    }
    mb->first = first;
    return first != NULL;
}

static struct troupe_msg *take_exact(struct trp_mailbox *mb) {
    if (!mb->first && !trp_mailbox_gather(mb))
        return NULL;
    struct troupe_msg *m = mb->first;
    mb->first = m->next;
    m->next = NULL;
    uncount(mb, m);
    trp_mailbox_count_other(mb);
    return m;
}

void trp_mailbox_take_beyond(struct trp_mailbox *mb, const struct troupe_msg *m) {
    if (m->beyond != TRP_BEYOND) {
        trp_mailbox_count_other(mb);
        if (m->beyond == TRP_MORE) {
            atomic_store_explicit(&mb->more_out, atomic_load_explicit(&mb->more_out, memory_order_relaxed) + 1,
                                  memory_order_relaxed);
            if (m->size > atomic_load_explicit(&mb->small, memory_order_relaxed))
                /* As in take. */
                atomic_fetch_sub_explicit(&mb->bytes, m->size, memory_order_release);
        }
        return;
    }
    /* Relaxed, one writer, as in take; in this order: what is both queued and beyond is counted once too often rather than not
     * at all. */
    atomic_store_explicit(&mb->beyond_taken, atomic_load_explicit(&mb->beyond_taken, memory_order_relaxed) + 1,
                          memory_order_relaxed);
    atomic_store_explicit(&mb->taken, atomic_load_explicit(&mb->taken, memory_order_relaxed) + 1, memory_order_relaxed);
}

static struct troupe_msg *take_counted(struct trp_mailbox *mb) {
    struct troupe_msg *m = trp_mailbox_take(mb);
    if (m || !mb->more)
        return m;
    mb->first = take_more(mb);
    return trp_mailbox_take(mb);
}

struct troupe_msg *trp_mailbox_take_mail(struct trp_mailbox *mb) {
    struct troupe_msg *m = mb->exact ? take_exact(mb) : take_counted(mb);
    if (m)
        trp_notes_mail_left(&mb->notes, m);
    return m;
}

void trp_mailbox_note(struct trp_mailbox *mb, struct troupe_msg *note) {
    trp_notes_add(&mb->notes, note);
    atomic_fetch_or_explicit(&mb->look, TRP_LOOK_NOTES, memory_order_relaxed);
}

struct troupe_msg *trp_mailbox_take_note(struct trp_mailbox *mb) {
    if (!mb->notes.head) {
        atomic_fetch_and_explicit(&mb->look, (unsigned char)~TRP_LOOK_NOTES, memory_order_relaxed);
        return NULL;
    }
    (void)gather_behind(mb); /* all that the dead one has sent: it had been pushed when the note came */
    return trp_notes_take(&mb->notes, mb->first);
}

struct troupe_msg *trp_mailbox_lend(struct trp_mailbox *mb) {
    struct troupe_msg *m = trp_mailbox_take_mail(mb);
    if (m) {
        mb->lent++;
        mb->lent_bytes += m->size;
    }
    return m;
}

void trp_mailbox_recount(struct trp_mailbox *mb, const struct troupe_msg *m, bool lent) {
    mb->count++;
    atomic_fetch_add_explicit(&mb->bytes, m->size, memory_order_relaxed);
    if (lent) {
        mb->lent--;
        mb->lent_bytes -= m->size;
    }
}

bool trp_mailbox_settle(struct trp_mailbox *mb, size_t count, size_t bytes) {
    if (count > mb->lent || bytes > mb->lent_bytes)
        return false;
    mb->lent -= count;
    mb->lent_bytes -= bytes;
    return true;
}

void trp_mailbox_return(struct trp_mailbox *mb, struct troupe_msg *all, struct troupe_msg **end, size_t count, size_t bytes) {
    *end = mb->first;
    mb->first = all;
    mb->count += count;
    atomic_store_explicit(&mb->others, atomic_load_explicit(&mb->others, memory_order_relaxed) - count, memory_order_relaxed);
    atomic_fetch_add_explicit(&mb->bytes, bytes, memory_order_relaxed);
    mb->lent -= count;
    mb->lent_bytes -= bytes;
}

unsigned trp_mailbox_await(struct trp_mailbox *mb) {
    uint64_t head = atomic_load_explicit(&mb->head, memory_order_relaxed), next;
    do {
        bool idle = !trp_mail_new(mb, head) && !(head & TRP_MAIL_SHUT);
        next = idle ? head | TRP_MAIL_WAITING : head & ~(uint64_t)TRP_MAIL_WAITING;
        /* A change even where nothing changes: see park. */
    } while (!atomic_compare_exchange_weak_explicit(&mb->head, &head, next, memory_order_acq_rel, memory_order_relaxed));
    return (unsigned)(next & TRP_MAIL_FLAGS);
}

bool trp_mailbox_unlisten(struct trp_mailbox *mb) {
    uint64_t head = atomic_load(&mb->head); /* see trp_actor_listen */
    while (head & TRP_MAIL_LISTENING) {
        if (atomic_compare_exchange_weak(&mb->head, &head, head & ~TRP_MAIL_LISTENING))
            return true;
    }
    return false;
}

unsigned trp_mailbox_fence(struct trp_mailbox *mb) {
    return (unsigned)(atomic_fetch_or_explicit(&mb->head, 0, memory_order_acq_rel) & TRP_MAIL_FLAGS);
}

/* --- the line --- */

struct trp_send *trp_mailbox_admit(struct trp_mailbox *mb) {
    struct trp_send *s = (struct trp_send *)trp_waits_first(&mb->parked);
    if (!s) {
        atomic_fetch_and_explicit(&mb->look, (unsigned char)~TRP_LOOK_LINE, memory_order_relaxed);
        if (!has_more(mb))
            atomic_fetch_and_explicit(&mb->head, ~(uint64_t)TRP_MAIL_CROWDED, memory_order_relaxed);
        return NULL;
    }
    uint64_t wake;
    /* Only the receiver admits: it need not be woken, but will want to be by the next. */
    if (!has_room(mb, s->msg->size) || !push_within(mb, s->msg, 0, &wake))
        return NULL;
    trp_waits_remove(&mb->parked, &s->wait);
    s->msg = NULL;
    return s;
}

struct trp_send *trp_mailbox_expel(struct trp_mailbox *mb) {
    struct trp_send *s = (struct trp_send *)trp_waits_first(&mb->parked);
    if (s)
        trp_waits_remove(&mb->parked, &s->wait);
    return s;
}

/* --- the end --- */

void trp_mailbox_kill(struct trp_mailbox *mb) {
    atomic_fetch_or_explicit(&mb->look, TRP_LOOK_KILLED, memory_order_relaxed);
}

void trp_mailbox_shut(struct trp_mailbox *mb) {
    atomic_fetch_or_explicit(&mb->head, TRP_MAIL_SHUT, memory_order_acq_rel);
}

struct troupe_msg *trp_mailbox_drain(struct trp_mailbox *mb) {
    /* Acquire: it is shut, so what is not there now does not come. */
    if (trp_mail_message(atomic_load_explicit(&mb->head, memory_order_acquire)))
        (void)gather_behind(mb);
    struct troupe_msg *all = mb->first;
    mb->first = NULL;
    if (mb->exact)
        mb->count = 0;
    else
        atomic_store_explicit(&mb->more_out, mb->more_in, memory_order_relaxed);
    atomic_store_explicit(&mb->bytes, 0, memory_order_relaxed);
    atomic_store_explicit(&mb->taken, atomic_load_explicit(&mb->head, memory_order_relaxed) >> TRP_MAIL_COUNT,
                          memory_order_relaxed);
    atomic_store_explicit(&mb->beyond_taken, atomic_load_explicit(&mb->beyond, memory_order_relaxed), memory_order_relaxed);
    trp_notes_clear(&mb->notes);
    return all;
}
