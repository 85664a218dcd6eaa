/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * What a note says is a struct troupe_down at the end of its payload, which is packed as a string of bytes, so that
 * whoever looks at it as at any message finds one.
 *
 * A note goes ahead of mail, but behind what its dead one had sent. The dead send nothing more, so it is enough to
 * count their messages once, when the note has become the first of its lane, and to count down as messages leave. */
#include "actors/note.h"

#include "transports/assert.h"

struct troupe_msg *trp_note_new(enum trp_note_kind kind) {
    static const uint8_t blank[sizeof(troupe_down)];
    struct troupe_msg *m;
    if (trp_msg_from_value(&m, troupe_bytes(blank, sizeof blank), (struct trp_slice){0}) != TROUPE_OK)
        return NULL;
    m->kind = kind;
    return m;
}

static uint8_t *content(const struct troupe_msg *note) {
    trp_assert(trp_is_note(note) && note->payload.n >= sizeof(troupe_down));
    return (uint8_t *)(uintptr_t)note->payload.p + note->payload.n - sizeof(troupe_down);
}

void trp_note_write(struct troupe_msg *note, const troupe_down *down) {
    memcpy(content(note), down, sizeof *down);
    note->from = down->ref.id;
}

void trp_note_read(const struct troupe_msg *note, troupe_down *out) {
    memcpy(out, content(note), sizeof *out);
}

static bool is(const troupe_msg *m, enum trp_note_kind kind, troupe_down *out) {
    if (m->kind != kind)
        return false;
    if (out)
        trp_note_read(m, out);
    return true;
}

bool troupe_msg_down(const troupe_msg *m, troupe_down *out) {
    return is(m, TRP_NOTE_DOWN, out);
}

bool troupe_msg_exit(const troupe_msg *m, troupe_down *out) {
    return is(m, TRP_NOTE_EXIT, out);
}

/* --- the lane --- */

void trp_notes_init(struct trp_notes *n) {
    *n = (struct trp_notes){.tail = &n->head};
}

void trp_notes_add(struct trp_notes *n, struct troupe_msg *note) {
    note->next = NULL;
    *n->tail = note;
    n->tail = &note->next;
}

static struct troupe_msg *unlink_at(struct trp_notes *n, struct troupe_msg **at) {
    struct troupe_msg *note = *at;
    *at = note->next;
    if (!note->next)
        n->tail = at;
    if (at == &n->head)
        n->counted = false;
    note->next = NULL;
    return note;
}

static void count(struct trp_notes *n, const struct troupe_msg *mail) {
    n->counted = true;
    n->behind = 0;
    for (const struct troupe_msg *m = mail; m; m = m->next)
        n->behind += m->from == n->head->from;
}

struct troupe_msg *trp_notes_take(struct trp_notes *n, const struct troupe_msg *mail) {
    if (!n->head)
        return NULL;
    if (!n->counted)
        count(n, mail);
    return n->behind ? NULL : unlink_at(n, &n->head);
}

void trp_notes_mail_left(struct trp_notes *n, const struct troupe_msg *m) {
    if (n->counted && n->behind && m->from == n->head->from)
        n->behind--;
}

struct troupe_msg *trp_notes_withdraw(struct trp_notes *n, enum trp_note_kind kind, uint64_t id) {
    for (struct troupe_msg **at = &n->head; *at; at = &(*at)->next) {
        troupe_down down;
        if ((*at)->kind != kind)
            continue;
        trp_note_read(*at, &down);
        if ((kind == TRP_NOTE_DOWN ? down.watch.id : down.ref.id) == id)
            return unlink_at(n, at);
    }
    return NULL;
}

void trp_notes_clear(struct trp_notes *n) {
    while (n->head)
        trp_msg_drop(unlink_at(n, &n->head));
}
