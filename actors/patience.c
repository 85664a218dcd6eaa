/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * What one learns comes too late where others want the processor: who has used up its time waits longest for more. So nobody
 * spins while more want to run than can, and what one waits then says nothing of spinning. Who gives way to somebody that
 * computes gets the processor back a slice later, milliseconds; then to sleep is better by far, since who is woken comes first.
 * It happens once in a while to everybody, so it is not remembered as what giving way takes: each time there is a much longer
 * rest before the next try, and each good try makes it a quarter shorter. */
#include "actors/patience.h"

#include <sched.h>

#include "actors/cores.h"
#include "actors/deadline.h"
#include "transports/spin.h"

/* Given way in vain, which cost little: all the same it has to be worse than not to have. */
enum { LONG_NS = 200000, IN_VAIN_NS = 2000, FAR = 8 };

void trp_patience_init(struct trp_patience *p) {
    *p = (struct trp_patience){.processors = trp_cores()};
}

static bool is_quick(const struct trp_patience *p) {
    return p->spun_ns < TRP_PATIENCE_QUICK_NS && p->spun_ns <= p->slept_ns;
}

bool trp_patience_looks(struct trp_patience *p) {
    if (p->processors == 0)
        return false;
    /* Whoever is so quick runs now, on another processor: to look keeps nobody from running. */
    if (p->processors > 1 && is_quick(p))
        return true;
    if (p->rest > 0)
        return ++p->turn % p->rest == 0;
    return trp_spin_choose(p->slept_ns, p->spun_ns, TRP_PATIENCE_NS, &p->turn);
}

/* True: too late by far. */
static bool regrets(struct trp_patience *p, int64_t ns) {
    unsigned more = p->rest ? p->rest * FAR : FAR;
    bool late = ns / FAR > p->slept_ns;
    p->rest = !late ? p->rest - (p->rest + 3) / 4 : more < TRP_PATIENCE_RARELY ? more : TRP_PATIENCE_RARELY;
    p->turn = late ? 0 : p->turn;
    return late;
}

/* Something else takes the processor now and then: what is far from what was usual moves it by a quarter. */
static unsigned steady(unsigned lately, unsigned took) {
    unsigned most = lately + lately / 4, least = lately - lately / 4;
    if (lately == 0)
        return took;
    return took > most ? most : took < least ? least : trp_spin_learn(lately, took);
}

void trp_patience_learn(struct trp_patience *p, bool looked, int64_t ns) {
    unsigned *lately = looked ? &p->spun_ns : &p->slept_ns;
    if (p->processors != 1 || !looked || !regrets(p, ns))
        *lately = steady(*lately, (unsigned)(ns < LONG_NS ? ns : LONG_NS));
}

/* --- several processors --- */

static bool look(const struct trp_patient *how, void *who) {
    for (int i = 0; i < TRP_PATIENCE_LOOKS; i++) {
        if (how->come(who))
            return true;
        trp_spin_relax();
    }
    return false;
}

static bool spin(const struct trp_patient *how, void *who, int64_t until) {
    while (trp_now() < until) {
        if (look(how, who))
            return true;
    }
    return false;
}

static void spin_or_sleep(struct trp_patience *p, const struct trp_patient *how, void *who, int64_t deadline) {
    bool looks = trp_patience_looks(p);
    if (looks && trp_cores_seemed_free() && look(how, who)) {
        trp_patience_found(p);
        return;
    }
    int64_t began = trp_now(), most = deadline < began + TRP_PATIENCE_NS ? deadline : began + TRP_PATIENCE_NS;
    /* Where others want the processors it is slept, which says nothing of looking. */
    looks = trp_cores_are_free(began) && looks;
    if (!looks || !spin(how, who, most))
        how->sleep(who, deadline);
    trp_patience_learn(p, looks, trp_now() - began);
}

/* --- one --- */

static void give_way_or_sleep(struct trp_patience *p, const struct trp_patient *how, void *who, int64_t deadline) {
    int64_t began = trp_now();
    if (trp_patience_looks(p)) {
        sched_yield();
        bool come = how->come(who);
        int64_t now = trp_now();
        trp_patience_learn(p, true, now - began + (come ? 0 : IN_VAIN_NS));
        if (come)
            return;
        began = now;
    }
    how->sleep(who, deadline);
    trp_patience_learn(p, false, trp_now() - began);
}

void trp_patience_wait(struct trp_patience *p, const struct trp_patient *how, void *who, int64_t deadline) {
    if (p->processors > 1)
        spin_or_sleep(p, how, who, deadline);
    else if (p->processors == 1)
        give_way_or_sleep(p, how, who, deadline);
    else
        how->sleep(who, deadline);
}
