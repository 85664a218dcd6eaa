/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The body of a supervisor. It is linked with its children from their birth and traps exits: a child's end is an EXIT
 * message. An EXIT of somebody else it is linked with (who has it spawned with .link, its own supervisor) that is not
 * normal ends it as it would end anybody, but not before its children.
 *
 * Children whose back-off runs have a time when they are due; the next one is the time-out of its receive. */
#include "actors/supervisor.h"

#include <stdio.h>

#include "actors/actor.h"
#include "actors/plan.h"
#include "actors/self.h"
#include "transports/alloc.h"
#include "transports/log.h"

enum { KILL_MS = 1000, GAVE_UP = 1 };

struct kid {
    struct trp_plan_child spec;
    troupe_child_state state;
    troupe_ref ref;     /* RUNNING */
    int64_t due;        /* WAITING */
    int64_t born;       /* the latest life began */
    int64_t backoff_ms; /* before it; 0: there was none */
    uint32_t restarts;
    uint8_t arg[];
};

struct supervisor {
    troupe_self *self;
    struct trp_plan plan;
    struct kid **kids;
    uint32_t count, room;
    int64_t *times; /* of the latest restarts, a ring of plan.restarts; NULL: no limit */
    uint32_t mended;
    bool over; /* it has given up, or been told by a link to end */
};

static const char *name_of(const struct supervisor *s) {
    return troupe_self_name(s->self);
}

/* --- the list --- */

static struct kid *kid_by_name(struct supervisor *s, const char *name) {
    for (uint32_t i = 0; i < s->count; i++) {
        if (strcmp(s->kids[i]->spec.birth.name, name) == 0)
            return s->kids[i];
    }
    return NULL;
}

static struct kid *kid_by_ref(struct supervisor *s, troupe_ref ref) {
    for (uint32_t i = 0; i < s->count; i++) {
        if (s->kids[i]->state == TROUPE_CHILD_RUNNING && s->kids[i]->ref.id == ref.id)
            return s->kids[i];
    }
    return NULL;
}

static uint32_t index_of(const struct supervisor *s, const struct kid *k) {
    uint32_t i = 0;
    while (s->kids[i] != k)
        i++;
    return i;
}

static bool make_room(struct supervisor *s) {
    uint32_t room = s->room ? s->room * 2 : 8;
    if (s->count < s->room)
        return true;
    struct kid **kids = trp_array((void *)s->kids, room, sizeof *kids);
    if (!kids)
        return false;
    s->kids = kids;
    s->room = room;
    return true;
}

static troupe_status kid_append(struct supervisor *s, const struct trp_plan_child *spec, struct trp_slice arg,
                                struct kid **out) {
    struct kid *k = make_room(s) ? trp_calloc(1, sizeof *k + arg.n) : NULL;
    if (!k)
        return TROUPE_NO_MEMORY;
    k->spec = *spec;
    k->state = TROUPE_CHILD_ENDED;
    if (arg.n)
        memcpy(k->arg, arg.p, arg.n);
    s->kids[s->count++] = k;
    *out = k;
    return TROUPE_OK;
}

static void kid_forget(struct supervisor *s, struct kid *k) {
    uint32_t i = index_of(s, k);
    s->count--;
    memmove((void *)&s->kids[i], (void *)&s->kids[i + 1], (s->count - i) * sizeof s->kids[0]);
    trp_free(k);
}

/* --- starting and ending one --- */

static troupe_status kid_birth(const struct kid *k, struct trp_birth **out) {
    troupe_spawn_opts opts = trp_birth_opts(&k->spec.birth);
    opts.restart = TROUPE_TEMPORARY; /* restarts are ours */
    opts.link = true;
    troupe_status st = trp_birth_new(out, &opts, k->spec.birth.body, k->arg, k->spec.birth.arg_size);
    if (st == TROUPE_OK) {
        (*out)->supervised = true;
        (*out)->restarts = k->restarts;
    }
    return st;
}

/* A supervisor is there when its children are. */
static troupe_status greet(struct supervisor *s, troupe_ref ref) {
    struct trp_order hello = {.magic = TRP_ORDER_MAGIC, .what = TRP_ORDER_HELLO};
    troupe_msg *answer;
    troupe_status st = troupe_ask(s->self, ref, troupe_bytes(&hello, sizeof hello), TROUPE_FOREVER, &answer);
    if (st == TROUPE_OK)
        troupe_msg_free(&answer);
    return st;
}

static troupe_status kid_start(struct supervisor *s, struct kid *k) {
    struct trp_birth *birth;
    troupe_status st = kid_birth(k, &birth);
    if (st != TROUPE_OK)
        return st;
    st = s->self->reach->spawn(s->self, &birth, &k->ref);
    trp_birth_free(birth);
    if (st != TROUPE_OK)
        return st;
    k->state = TROUPE_CHILD_RUNNING;
    k->born = trp_now();
    return k->spec.supervisor ? greet(s, k->ref) : TROUPE_OK;
}

/* Whatever it says from now on is not heard. */
static void kid_part(struct supervisor *s, struct kid *k) {
    (void)(troupe_unlink(s->self, k->ref) == TROUPE_OK);
    k->state = TROUPE_CHILD_ENDED;
    k->ref.id = 0;
}

/* Asks, waits, kills. */
static void kid_stop(struct supervisor *s, struct kid *k) {
    uint64_t unused;
    if (trp_actor_killed(s->self->actor))
        return; /* our end will be theirs */
    if (k->state != TROUPE_CHILD_RUNNING) {
        k->state = TROUPE_CHILD_ENDED;
        return;
    }
    (void)(s->self->reach->tie(s->self, TRP_TIE_SHUT, k->ref.id, NULL, &unused) == TROUPE_OK);
    if (troupe_join(s->self, k->ref, k->spec.shutdown_ms, NULL) == TROUPE_TIMEOUT) {
        trp_log(TROUPE_LOG_WARN, "supervisor.killing", "%s: %s has not ended in %lld ms", name_of(s), k->spec.birth.name,
                (long long)k->spec.shutdown_ms);
        (void)(troupe_kill(s->self, k->ref) == TROUPE_OK);
        if (troupe_join(s->self, k->ref, KILL_MS, NULL) == TROUPE_TIMEOUT)
            trp_log(TROUPE_LOG_ERROR, "supervisor.left", "%s: %s is killed, computes on and is left to itself", name_of(s),
                    k->spec.birth.name);
    }
    kid_part(s, k);
}

static void stop_all(struct supervisor *s) {
    for (uint32_t i = s->count; i > 0; i--)
        kid_stop(s, s->kids[i - 1]);
}

/* --- giving up --- */

static void end_with(struct supervisor *s, troupe_exit exit) {
    s->self->given = exit;
    s->over = true;
}

static void give_up(struct supervisor *s, const struct kid *k, const char *why) {
    char text[sizeof((troupe_exit *)0)->text];
    snprintf(text, sizeof text, "gave up: %.24s: %.28s", k->spec.birth.name, why);
    trp_log(TROUPE_LOG_ERROR, "supervisor.gave_up", "%s: %s: %s", name_of(s), k->spec.birth.name, why);
    end_with(s, trp_exit_given(GAVE_UP, text));
}

/* One more to mend. False: that are too many. */
static bool may_mend(struct supervisor *s) {
    if (!s->times)
        return true;
    int64_t now = trp_now(), *at = &s->times[s->mended % s->plan.restarts];
    bool full = s->mended >= s->plan.restarts;
    if (full && now - *at <= s->plan.period_ms * TRP_NS_PER_MS)
        return false;
    *at = now;
    /* It goes on counting from where the place in the ring and "full" stay the same. */
    s->mended = s->mended + 1 < s->plan.restarts * 2 ? s->mended + 1 : s->plan.restarts;
    return true;
}

/* --- mending --- */

/* Doubles from one end to the next, and begins anew after a life that was long enough. */
static int64_t next_backoff(struct kid *k) {
    const struct trp_birth *b = &k->spec.birth;
    bool anew = k->backoff_ms == 0 || trp_now() - k->born > b->backoff_max_ms * TRP_NS_PER_MS;
    int64_t ms = anew ? b->backoff_min_ms : k->backoff_ms * 2;
    k->backoff_ms = ms < b->backoff_max_ms ? ms : b->backoff_max_ms;
    return k->backoff_ms;
}

static bool wants_restart(const struct kid *k, const troupe_exit *exit) {
    switch (k->spec.birth.restart) {
    case TROUPE_TEMPORARY:
        return false;
    case TROUPE_TRANSIENT:
        return trp_exit_is_crash(exit) || exit->how == TROUPE_END_KILLED;
    case TROUPE_PERMANENT:
        break;
    }
    return true;
}

/* Where those begin and end who go with `k`. */
static void group_of(const struct supervisor *s, const struct kid *k, uint32_t *first, uint32_t *end) {
    *first = s->plan.strategy == TROUPE_ONE_FOR_ALL ? 0 : index_of(s, k);
    *end = s->plan.strategy == TROUPE_ONE_FOR_ONE ? *first + 1 : s->count;
}

/* Stops the others of its group, last first, and sets when all of them are started. Temporary ones do not come back. */
static void mend(struct supervisor *s, struct kid *k, int64_t ms) {
    uint32_t first, end;
    int64_t due = trp_deadline(ms);
    group_of(s, k, &first, &end);
    for (uint32_t i = end; i > first; i--) {
        struct kid *other = s->kids[i - 1];
        if (other != k)
            kid_stop(s, other);
        if (other != k && other->spec.birth.restart == TROUPE_TEMPORARY) {
            kid_forget(s, other);
            continue;
        }
        other->state = TROUPE_CHILD_WAITING;
        other->due = due;
    }
}

static void restart_later(struct supervisor *s, struct kid *k, const char *why) {
    if (!may_mend(s)) {
        give_up(s, k, why);
        return;
    }
    int64_t ms = next_backoff(k);
    trp_log(TROUPE_LOG_WARN, "supervisor.restarting", "%s: %s ended: %s; it is started again in %lld ms", name_of(s),
            k->spec.birth.name, why, (long long)ms);
    mend(s, k, ms);
}

static void kid_ended(struct supervisor *s, struct kid *k, const troupe_exit *exit) {
    k->state = TROUPE_CHILD_ENDED;
    k->ref.id = 0;
    if (wants_restart(k, exit))
        restart_later(s, k, exit->text);
    else if (k->spec.birth.restart == TROUPE_TEMPORARY)
        kid_forget(s, k);
}

/* DIED: a supervisor that could not start its own; its EXIT is here and will be looked at. CLOSED: the system starts nothing
 * any more, and will close us. */
static void kid_restart(struct supervisor *s, struct kid *k) {
    k->restarts++;
    troupe_status st = kid_start(s, k);
    if (st == TROUPE_OK || st == TROUPE_DIED || (st == TROUPE_NOT_FOUND && k->state == TROUPE_CHILD_RUNNING))
        return;
    if (k->state == TROUPE_CHILD_RUNNING)
        kid_stop(s, k);
    k->state = TROUPE_CHILD_ENDED;
    if (st != TROUPE_CLOSED)
        restart_later(s, k, troupe_status_text(st));
}

/* The first who is due, in the order of the list: a group has one time. */
static struct kid *next_due(const struct supervisor *s, int64_t now) {
    for (uint32_t i = 0; i < s->count; i++) {
        if (s->kids[i]->state == TROUPE_CHILD_WAITING && s->kids[i]->due <= now)
            return s->kids[i];
    }
    return NULL;
}

static void restart_due(struct supervisor *s) {
    struct kid *k;
    int64_t now = trp_now();
    while (!s->over && (k = next_due(s, now)))
        kid_restart(s, k);
}

/* Milliseconds until somebody is due. */
static int64_t patience(const struct supervisor *s) {
    int64_t first = TRP_NEVER, now = trp_now();
    for (uint32_t i = 0; i < s->count; i++) {
        if (s->kids[i]->state == TROUPE_CHILD_WAITING && s->kids[i]->due < first)
            first = s->kids[i]->due;
    }
    return trp_deadline_ms(first, now);
}

/* --- orders --- */

static troupe_status order_add(struct supervisor *s, struct trp_slice rest, uint64_t *ref) {
    struct trp_plan_child spec;
    struct trp_slice arg;
    struct kid *k;
    if (!trp_plan_read_child(&rest, &spec, &arg))
        return TROUPE_INVALID;
    if (kid_by_name(s, spec.birth.name))
        return TROUPE_EXISTS;
    troupe_status st = kid_append(s, &spec, arg, &k);
    if (st != TROUPE_OK)
        return st;
    st = kid_start(s, k);
    *ref = k->ref.id;
    if (st != TROUPE_OK) {
        kid_stop(s, k);
        kid_forget(s, k);
    }
    return st;
}

static troupe_status order_named(struct supervisor *s, const struct trp_order *o, uint64_t *ref) {
    struct kid *k = kid_by_name(s, o->name);
    if (!k)
        return TROUPE_NOT_FOUND;
    kid_stop(s, k);
    if (o->what == TRP_ORDER_REMOVE) {
        kid_forget(s, k);
        return TROUPE_OK;
    }
    k->restarts++;
    troupe_status st = kid_start(s, k);
    *ref = k->ref.id;
    if (st != TROUPE_OK)
        kid_stop(s, k);
    return st;
}

static troupe_status put_info(const struct kid *k, struct trp_buf *out) {
    troupe_child_info info = {.state = k->state,
                              .kind = k->spec.birth.kind,
                              .ref = k->ref,
                              .restarts = k->restarts,
                              .supervisor = k->spec.supervisor};
    memcpy(info.name, k->spec.birth.name, sizeof info.name);
    return trp_buf_put(out, &info, sizeof info);
}

static troupe_status order_list(const struct supervisor *s, struct trp_buf *out) {
    troupe_status st = TROUPE_OK;
    for (uint32_t i = 0; st == TROUPE_OK && i < s->count; i++)
        st = put_info(s->kids[i], out);
    return st;
}

static troupe_status obey(struct supervisor *s, const struct trp_order *o, struct trp_slice rest, struct trp_done *done,
                          struct trp_buf *list) {
    switch (o->what) {
    case TRP_ORDER_HELLO:
        return TROUPE_OK;
    case TRP_ORDER_ADD:
        return order_add(s, rest, &done->ref);
    case TRP_ORDER_REMOVE:
    case TRP_ORDER_RESTART:
        return order_named(s, o, &done->ref);
    case TRP_ORDER_LIST:
        done->count = s->count;
        return order_list(s, list);
    default:
        return TROUPE_INVALID;
    }
}

/* The answer has room for itself before what is listed behind it. */
static void answer(struct supervisor *s, troupe_msg *m, const struct trp_order *o, struct trp_slice rest) {
    struct trp_done done = {.magic = TRP_ORDER_MAGIC};
    struct trp_buf out = {0};
    done.status = trp_buf_put(&out, &done, sizeof done);
    if (done.status == TROUPE_OK)
        done.status = obey(s, o, rest, &done, &out);
    struct trp_slice said = {(const uint8_t *)&done, sizeof done};
    if (done.status == TROUPE_OK) {
        memcpy(out.p, &done, sizeof done);
        said = (struct trp_slice){out.p, out.n};
    }
    /* NOT_FOUND: whoever asked waits no more. Is there no memory for so few words either, freeing the question tells it so. */
    if (troupe_reply(s->self, m, troupe_bytes(said.p, said.n)) == TROUPE_NO_MEMORY)
        (void)!troupe_reply_error(s->self, m, troupe_status_name(TROUPE_NO_MEMORY), "");
    trp_buf_fini(&out);
}

static void on_message(struct supervisor *s, troupe_msg *m) {
    troupe_value v = troupe_msg_value(m);
    struct trp_order o;
    if (v.kind != TROUPE_BYTES || v.size < sizeof o)
        return;
    memcpy(&o, v.data, sizeof o);
    o.name[TRP_NAME_MAX] = 0;
    if (o.magic == TRP_ORDER_MAGIC)
        answer(s, m, &o, (struct trp_slice){(const uint8_t *)v.data + sizeof o, v.size - sizeof o});
}

static void on_exit_of(struct supervisor *s, const troupe_down *down) {
    struct kid *k = kid_by_ref(s, down->ref);
    if (k)
        kid_ended(s, k, &down->exit);
    else if (down->exit.how != TROUPE_END_NORMAL)
        end_with(s, trp_exit_linked(&down->exit));
}

/* --- its life --- */

static bool read_plan(struct supervisor *s, void *arg) {
    struct trp_slice in = {arg, s->self->actor->birth->arg_size}, kid_arg;
    struct trp_plan_child spec;
    struct kid *k;
    if (!trp_plan_read(&in, &s->plan))
        return false;
    if (s->plan.restarts != TROUPE_NO_LIMIT && !(s->times = trp_calloc(s->plan.restarts, sizeof *s->times)))
        return false;
    for (uint32_t i = 0; i < s->plan.count; i++) {
        if (!trp_plan_read_child(&in, &spec, &kid_arg) || kid_append(s, &spec, kid_arg, &k) != TROUPE_OK)
            return false;
    }
    return true;
}

static void start_all(struct supervisor *s) {
    for (uint32_t i = 0; i < s->count && !s->over; i++) {
        troupe_status st = kid_start(s, s->kids[i]);
        if (st != TROUPE_OK)
            give_up(s, s->kids[i], troupe_status_text(st));
    }
}

static void work(struct supervisor *s) {
    troupe_status st = TROUPE_OK;
    while (!s->over && (st == TROUPE_OK || st == TROUPE_TIMEOUT)) {
        troupe_msg *m = NULL;
        troupe_down down;
        st = troupe_receive(s->self, patience(s), &m);
        if (st == TROUPE_OK && troupe_msg_exit(m, &down))
            on_exit_of(s, &down);
        else if (st == TROUPE_OK)
            on_message(s, m);
        troupe_msg_free(&m);
        restart_due(s);
    }
}

static void supervisor_fini(struct supervisor *s) {
    for (uint32_t i = 0; i < s->count; i++)
        trp_free(s->kids[i]);
    trp_free((void *)s->kids);
    trp_free(s->times);
}

void trp_supervisor_main(troupe_self *self, void *arg) {
    struct supervisor s = {.self = self};
    if (troupe_trap_exits(self, true) == TROUPE_OK && read_plan(&s, arg)) {
        start_all(&s);
        work(&s);
        stop_all(&s);
    } else {
        end_with(&s, trp_exit_given(GAVE_UP, troupe_status_text(TROUPE_NO_MEMORY)));
    }
    supervisor_fini(&s);
}
