/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A loop, a listener on it and both ends of its connections, which write down what they are told. Each suite on it is
 * run for every transport: the loop index of a test is an index into rig_transports. */
#ifndef TESTS_LINK_RIG_H
#define TESTS_LINK_RIG_H

#include "transports/alloc.h"
#include "transports/link.h"
#include "transports/link_private.h"
#include <check.h>

enum { RIG_TRANSPORTS = 3, RIG_TCP4 = 0, RIG_TCP6 = 1, RIG_IPC = 2, RIG_ACCEPTS = 4096 };

/* One end of a connection, as its handler sees it. The hooks may be NULL. */
struct end {
    struct trp_link *link; /* NULL: none yet, or down */
    int ups, downs, frames, drains, breaks;
    uint16_t protocol; /* the peer's */
    uint16_t answer;   /* a listener's end: what to greet with; 0: the peer's number */
    troupe_status status, broken_with;
    char why[128];
    struct trp_buf got; /* the bodies, one after another */
    void (*on_up)(struct end *e);
    void (*on_frame)(struct end *e, struct trp_slice body);
    void (*on_down)(struct end *e);
    void (*on_drained)(struct end *e);
    void (*on_broken)(struct end *e);
    uint64_t next; /* for the hooks */
};

struct rig {
    struct trp_loop loop;
    struct trp_listener *listener;
    const char *url;           /* the listener's */
    struct trp_link_opts opts; /* for the listener, to be set before rig_listen */
    struct end near;           /* the pattern for accepted ends: its hooks and its answer */
    struct end *accepted[RIG_ACCEPTS];
    int accepts;
    bool refuse;
    char folder[64];
    int descriptors; /* open before the test */
};

extern struct rig rig;
extern struct end far; /* the dialler's, for tests that need one: up in rig_pair(&far), closed by the teardown */
extern const struct trp_link_handler rig_handler;

/* Checked fixtures. The teardown closes everything and checks that no descriptor is left. */
void rig_setup(void);
void rig_teardown(void);
/* A case of them: each test is run for 0 to n - 1, the transports or more of them. */
TCase *rig_case(Suite *s, const char *name, const TTest *const *tests, size_t count, int n);

/* "tcp://127.0.0.1:0" and so on; ipc: a path in the rig's folder. */
const char *rig_url_for(int transport);
void rig_listen(int transport);
void rig_dial(struct end *e);
void rig_dial_to(struct end *e, const char *url, const struct trp_link_opts *opts);
/* Dials and waits until both ends are up; *e is the dialler's, the return value the listener's. */
struct end *rig_pair(struct end *e);

/* Asserts that the listener takes somebody in and hears him. */
void rig_still_listens(void);

/* Turns the loop until the condition holds; fails the test after 20 seconds. RIG_POLL is for a condition that comes true
 * outside the loop: it looks every millisecond. */
#define RIG_WAIT(condition) RIG_TURN(condition, 100)
#define RIG_POLL(condition) RIG_TURN(condition, 1)
#define RIG_TURN(condition, ms)                                                                                                \
    do {                                                                                                                       \
        int64_t rig_end = rig_deadline();                                                                                      \
        while (!(condition)) {                                                                                                 \
            if (rig_is_over(rig_end))                                                                                          \
                ck_abort_msg("waited too long for: %s", #condition);                                                           \
            trp_loop_once(&rig.loop, ms);                                                                                      \
        }                                                                                                                      \
    } while (0)
int64_t rig_deadline(void);
bool rig_is_over(int64_t deadline);

/* A plain blocking socket, connected to a listener's URL; and one that listens, at a URL for the rig to dial. */
int raw_connect(const char *url);
int raw_listen(int transport, char *url, size_t cap);
void raw_write(int fd, const void *p, size_t n);
void raw_greet(int fd, uint16_t protocol);
void raw_frame(int fd, int transport, const void *body, size_t n);
/* Turns the loop until n bytes are read or the stream ends; the number read. */
size_t raw_read(int fd, void *p, size_t n);
void raw_reset(int fd); /* closes with a reset where there is such a thing */

int count_descriptors(void);

#endif
