/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * What every transport does: greeting, frames both ways, order, back-pressure, the ways to end. */
#include "tests/support/link_rig.h"
#include "tests/support/run.h"
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static bool got_is(const struct end *e, const char *text) {
    return e->got.n == strlen(text) && memcmp(e->got.p, text, e->got.n) == 0;
}

/* --- a stream of numbers: order and completeness are seen at a glance --- */

static void check_numbers(struct end *e, struct trp_slice body) {
    bool ok = body.n % 8 == 0;
    for (size_t at = 0; ok && at < body.n; at += 8) {
        uint64_t number;
        memcpy(&number, body.p + at, 8);
        ok = number == e->next++;
    }
    ck_assert_msg(ok, "out of order before %llu", (unsigned long long)e->next);
}

static void send_number(struct trp_link *l, uint64_t number) {
    trp_link_send(l, &number, sizeof number);
}

static void send_numbers(struct trp_link *l, uint64_t from, uint64_t to) {
    while (from < to)
        send_number(l, from++);
}

/* --- greeting and frames --- */

START_TEST(exchanges_frames_both_ways) {
    rig_listen(_i);
    struct end *near = rig_pair(&far);
    ck_assert_uint_eq(near->protocol, TRP_SP_PAIR0);
    ck_assert_uint_eq(far.protocol, TRP_SP_PAIR0);
    trp_link_send(far.link, "ping", 4);
    RIG_WAIT(near->frames == 1);
    ck_assert(got_is(near, "ping"));
    trp_link_send(near->link, "pong", 4);
    RIG_WAIT(far.frames == 1);
    ck_assert(got_is(&far, "pong"));
}
END_TEST

START_TEST(protocol_numbers_are_told) {
    struct trp_link_opts opts = {.protocol = TRP_SP_REQ0};
    rig.near.answer = TRP_SP_REP0;
    rig_listen(_i);
    rig_dial_to(&far, rig.url, &opts);
    RIG_WAIT(far.ups == 1 && rig.accepted[0]->ups == 1);
    ck_assert_uint_eq(rig.accepted[0]->protocol, TRP_SP_REQ0);
    ck_assert_uint_eq(far.protocol, TRP_SP_REP0);
}
END_TEST

START_TEST(a_dialler_may_send_before_it_is_up) {
    rig_listen(_i);
    rig_dial(&far);
    trp_link_send(far.link, "early", 5);
    ck_assert_uint_gt(trp_link_pending(far.link), 5);
    RIG_WAIT(rig.accepts == 1 && rig.accepted[0]->frames == 1);
    ck_assert(got_is(rig.accepted[0], "early"));
}
END_TEST

START_TEST(one_turn_is_one_frame) {
    rig_listen(_i);
    struct end *near = rig_pair(&far);
    for (int i = 0; i < 100; i++)
        trp_link_send(far.link, "x", 1);
    RIG_WAIT(near->got.n == 100);
    ck_assert_int_eq(near->frames, 1);
}
END_TEST

START_TEST(many_small_messages_keep_their_order) {
    enum { MANY = 100000 };
    rig.near.on_frame = check_numbers;
    rig_listen(_i);
    struct end *near = rig_pair(&far);
    send_numbers(far.link, 0, MANY);
    RIG_WAIT(near->next == MANY);
    ck_assert_int_lt(near->frames, 20);
}
END_TEST

START_TEST(a_prefix_begins_every_frame) {
    rig_listen(_i);
    struct end *near = rig_pair(&far);
    trp_link_prefix(far.link, "\0\0\0\1", 4);
    trp_link_send(far.link, "one", 3);
    trp_link_begin(far.link, "own", 3);
    trp_link_send(far.link, "two", 3);
    trp_link_end(far.link);
    trp_link_send(far.link, "three", 5);
    RIG_WAIT(near->frames == 3);
    ck_assert_uint_eq(near->got.n, 4 + 3 + 3 + 3 + 4 + 5);
    ck_assert_mem_eq(near->got.p, "\0\0\0\1oneowntwo\0\0\0\1three", near->got.n);
}
END_TEST

START_TEST(blobs_and_copies_keep_their_order) {
    enum { N = 400, WORDS = 4000 };
    rig.near.on_frame = check_numbers;
    rig_listen(_i);
    struct end *near = rig_pair(&far);
    uint64_t words[WORDS + 1], number = 0;
    for (int i = 0; i < N; i++) {
        send_numbers(far.link, number, number + (uint64_t)i);
        number += (uint64_t)i;
        for (int k = 0; k <= WORDS; k++)
            words[k] = number + (uint64_t)k;
        struct trp_blob *b = trp_blob_new(words, sizeof words);
        trp_link_send_blob(far.link, words, 8, b, 8, WORDS * 8);
        trp_blob_unref(b);
        number += WORDS + 1;
    }
    RIG_WAIT(near->next == number);
    ck_assert_uint_eq(trp_link_pending(far.link), 0);
}
END_TEST

START_TEST(frames_survive_every_cut) {
    rig_listen(_i);
    int fd = raw_connect(rig.url);
    uint8_t bytes[64], *p = bytes;
    enum trp_framing kind = _i == RIG_IPC ? TRP_FRAMING_IPC : TRP_FRAMING_TCP;
    trp_greeting_write(p, TRP_SP_PAIR0);
    for (size_t n = 0; n < 3; n++) {
        p = trp_frame_head(n ? p : p + TRP_GREETING_SIZE, kind, n * 3);
        memcpy(p, "abcdef", n * 3);
        p += n * 3;
    }
    for (uint8_t *at = bytes; at < p; at++) {
        raw_write(fd, at, 1);
        trp_loop_once(&rig.loop, 1);
    }
    RIG_WAIT(rig.accepts == 1 && rig.accepted[0]->frames == 3);
    ck_assert(got_is(rig.accepted[0], "abcabcdef"));
    close(fd);
}
END_TEST

START_TEST(knows_both_ends) {
    rig_listen(_i);
    struct end *near = rig_pair(&far);
    if (_i == RIG_IPC) {
        char who[64];
        snprintf(who, sizeof who, "ipc://(pid %d, uid %d)", (int)getpid(), (int)getuid());
        ck_assert_str_eq(trp_link_peer(near->link), who);
        ck_assert_str_eq(trp_link_peer(far.link), who);
        return;
    }
    ck_assert_str_eq(trp_link_peer(far.link), rig.url);
    ck_assert_int_eq(strncmp(trp_link_peer(near->link), rig.url, _i == RIG_TCP4 ? 16 : 11), 0);
    ck_assert_str_ne(trp_link_peer(near->link), rig.url);
}
END_TEST

START_TEST(port_0_is_told) {
    rig_listen(_i);
    const char *shown[] = {"tcp://127.0.0.1:", "tcp://[::1]:", rig_url_for(RIG_IPC)};
    ck_assert_int_eq(strncmp(rig.url, shown[_i], strlen(shown[_i])), 0);
    if (_i != RIG_IPC)
        ck_assert_int_gt(atoi(rig.url + strlen(shown[_i])), 0);
}
END_TEST

START_TEST(tcp_sockets_are_tuned) {
    if (_i == RIG_IPC)
        return; /* nothing to tune */
    rig_listen(_i);
    struct trp_link *ends[] = {rig_pair(&far)->link, far.link};
    for (int i = 0; i < 2; i++) {
        static const struct {
            int level, name, value;
        } want[] = {{IPPROTO_TCP, TCP_NODELAY, 1},    {SOL_SOCKET, SO_KEEPALIVE, 1}, {IPPROTO_TCP, TCP_KEEPIDLE, 30},
                    {IPPROTO_TCP, TCP_KEEPINTVL, 10}, {IPPROTO_TCP, TCP_KEEPCNT, 3}, {IPPROTO_TCP, TCP_USER_TIMEOUT, 60000}};
        uv_os_fd_t fd;
        ck_assert_int_eq(uv_fileno((uv_handle_t *)trp_link_stream(ends[i]), &fd), 0);
        for (size_t k = 0; k < sizeof want / sizeof *want; k++) {
            int value = 0;
            socklen_t n = sizeof value;
            ck_assert_int_eq(getsockopt(fd, want[k].level, want[k].name, &value, &n), 0);
            ck_assert_int_eq(value, want[k].value);
        }
    }
}
END_TEST

/* --- many --- */

static int64_t all_up(struct end *many, int n) {
    int64_t up = 0;
    for (int i = 0; i < n; i++)
        up += many[i].ups;
    return up;
}

START_TEST(a_thousand_dial_at_once) {
    enum { MANY = 1000 };
    static struct end many[MANY];
    rig_listen(_i);
    for (int i = 0; i < MANY; i++)
        rig_dial(&many[i]);
    RIG_WAIT(all_up(many, MANY) == MANY);
    ck_assert_int_eq(rig.accepts, MANY);
    for (int i = 0; i < MANY; i++)
        trp_link_close(many[i].link, 0);
}
END_TEST

static long live_bytes, allocations;

static void *counting_realloc(void *ctx, void *old, size_t size) {
    (void)ctx;
    size_t *block = old ? (size_t *)old - 2 : NULL;
    size_t before = block ? *block : 0;
    block = realloc(block, size + 16);
    *block = size;
    live_bytes += (long)size - (long)before;
    allocations++;
    return block + 2;
}

static void counting_free(void *ctx, void *p) {
    (void)ctx;
    size_t *block = (size_t *)p - 2;
    live_bytes -= (long)*block;
    free(block);
}

static void count_memory(void) {
    static const troupe_allocator counting = {.realloc = counting_realloc, .free = counting_free};
    trp_loop_fini(&rig.loop); /* what it holds came from elsewhere */
    troupe_alloc_set(&counting);
    ck_assert_int_eq(trp_loop_init(&rig.loop), TROUPE_OK);
}

START_TEST(an_idle_link_is_small) {
    enum { MANY = 500 };
    static struct end many[MANY];
    count_memory();
    rig_listen(_i);
    long before = live_bytes;
    for (int i = 0; i < MANY; i++)
        rig_dial(&many[i]);
    RIG_WAIT(all_up(many, MANY) == MANY);
    for (int i = 0; i < MANY; i++)
        trp_link_send(many[i].link, "hello", 5);
    RIG_WAIT(rig.accepted[MANY - 1]->frames == 1);
    for (int i = 0; i < MANY; i++)
        trp_buf_fini(&rig.accepted[i]->got);
    /* What the loop keeps in its pool is not the links'. */
    trp_chunk_pool_fini(&rig.loop.pool);
    long each = (live_bytes - before) / (2 * MANY);
    ck_assert_int_lt(each, (long)sizeof(uv_pipe_t) + 1024);
    for (int i = 0; i < MANY; i++)
        trp_link_close(many[i].link, 0);
}
END_TEST

static void echo(struct end *e, struct trp_slice body) {
    trp_link_send(e->link, body.p, body.n);
}

static void echo_until(struct end *e, struct trp_slice body) {
    if (e->next-- > 0)
        trp_link_send(e->link, body.p, body.n);
}

START_TEST(a_message_takes_no_allocation) {
    count_memory();
    rig.near.on_frame = echo;
    far.on_frame = echo_until;
    far.next = UINT64_MAX;
    rig_listen(_i);
    rig_pair(&far);
    trp_link_send(far.link, "there and back", 14);
    RIG_WAIT(far.frames > 10);
    long before = allocations;
    RIG_WAIT(far.frames > 1000);
    ck_assert_int_eq(allocations, before);
}
END_TEST

/* --- back-pressure --- */

START_TEST(a_peer_that_does_not_read_is_waited_for) {
    rig.near.on_frame = check_numbers;
    rig_listen(_i);
    struct end *near = rig_pair(&far);
    trp_link_pause(near->link, true);
    uint64_t n = 0;
    while (trp_link_pending(far.link) < 4 * 1024 * 1024) {
        send_numbers(far.link, n, n + 10000);
        n += 10000;
        trp_loop_once(&rig.loop, 0);
    }
    ck_assert_int_eq(far.drains, 0);
    ck_assert_uint_eq(near->next, 0);
    trp_link_pause(near->link, false);
    RIG_WAIT(far.drains == 1);
    RIG_WAIT(near->next == n);
    send_numbers(far.link, n, n + 10);
    RIG_WAIT(near->next == n + 10);
    ck_assert_int_eq(far.drains, 1);
}
END_TEST

static void pause_after(struct end *e, struct trp_slice body) {
    check_numbers(e, body);
    if (e->next == 1)
        trp_link_pause(e->link, true);
}

START_TEST(pause_and_resume_in_a_handler) {
    rig.near.on_frame = pause_after;
    rig_listen(_i);
    struct end *near = rig_pair(&far);
    send_number(far.link, 0);
    RIG_WAIT(near->next == 1);
    send_number(far.link, 1);
    for (int i = 0; i < 20; i++)
        trp_loop_once(&rig.loop, 1);
    ck_assert_uint_eq(near->next, 1);
    trp_link_pause(near->link, false);
    RIG_WAIT(near->next == 2);
}
END_TEST

static void check_increasing(struct end *e, struct trp_slice body) {
    for (size_t at = 0; at + 8 <= body.n; at += 8) {
        uint64_t number;
        memcpy(&number, body.p + at, 8);
        if (number < e->next)
            ck_abort_msg("out of order");
        e->next = number + 1;
    }
    ck_assert_uint_eq(body.n % 8, 0);
}

START_TEST(discard_drops_whole_frames) {
    rig.near.on_frame = check_increasing;
    rig_listen(_i);
    struct end *near = rig_pair(&far);
    trp_link_pause(near->link, true);
    uint64_t n = 0;
    while (trp_link_pending(far.link) < 8 * 1024 * 1024) {
        send_numbers(far.link, n, n + 10000);
        n += 10000;
        trp_loop_once(&rig.loop, 0);
    }
    trp_link_discard(far.link);
    ck_assert_uint_le(trp_link_pending(far.link), TRP_FLIGHT + 2 * TRP_FRAME_SOFT);
    send_number(far.link, n + 1000);
    trp_link_pause(near->link, false);
    RIG_WAIT(near->next == n + 1001);
}
END_TEST

/* --- the end --- */

START_TEST(close_is_told_to_both_once) {
    rig_listen(_i);
    struct end *near = rig_pair(&far);
    trp_link_close(far.link, 0);
    trp_link_close(far.link, 0);
    ck_assert_int_eq(far.downs, 0);
    RIG_WAIT(far.downs == 1 && near->downs == 1);
    ck_assert_int_eq(far.status, TROUPE_CLOSED);
    ck_assert_int_eq(near->status, TROUPE_CLOSED);
    ck_assert_str_eq(far.why, "closed by this side");
    ck_assert_str_eq(near->why, "closed by the other side");
}
END_TEST

START_TEST(close_with_flush_delivers_everything) {
    enum { MANY = 2000000 };
    rig.near.on_frame = check_numbers;
    rig_listen(_i);
    struct end *near = rig_pair(&far);
    send_numbers(far.link, 0, MANY);
    trp_link_close(far.link, 20000);
    trp_link_send(far.link, "nothing", 7);
    trp_link_close(far.link, 1);
    RIG_WAIT(far.downs == 1 && near->downs == 1);
    ck_assert_uint_eq(near->next, MANY);
    ck_assert_int_eq(far.status, TROUPE_CLOSED);
    ck_assert_int_eq(near->status, TROUPE_CLOSED);
}
END_TEST

/* It goes on reading, to see the other side's end. */
START_TEST(a_paused_link_can_be_closed) {
    rig_listen(_i);
    struct end *near = rig_pair(&far);
    trp_link_pause(near->link, true);
    trp_link_send(far.link, "unheard", 7);
    trp_loop_once(&rig.loop, 0);
    trp_link_send(near->link, "last", 4);
    trp_link_close(near->link, 60000);
    RIG_WAIT(far.frames == 1 && far.downs == 1 && near->downs == 1);
    ck_assert_int_eq(near->status, TROUPE_CLOSED);
    ck_assert_int_eq(near->frames, 0);
}
END_TEST

START_TEST(a_flush_ends_in_time) {
    rig_listen(_i);
    struct end *near = rig_pair(&far);
    trp_link_pause(near->link, true);
    while (trp_link_pending(far.link) < 4 * 1024 * 1024) {
        send_numbers(far.link, 0, 10000);
        trp_loop_once(&rig.loop, 0);
    }
    trp_link_close(far.link, 50);
    RIG_WAIT(far.downs == 1);
    ck_assert_int_eq(far.status, TROUPE_TIMEOUT);
}
END_TEST

START_TEST(a_second_close_cuts_the_flush_short) {
    rig_listen(_i);
    struct end *near = rig_pair(&far);
    trp_link_pause(near->link, true);
    while (trp_link_pending(far.link) < 4 * 1024 * 1024) {
        send_numbers(far.link, 0, 10000);
        trp_loop_once(&rig.loop, 0);
    }
    trp_link_close(far.link, 60000);
    trp_loop_once(&rig.loop, 0);
    ck_assert_int_eq(far.downs, 0);
    trp_link_close(far.link, 0);
    RIG_WAIT(far.downs == 1);
    ck_assert_int_eq(far.status, TROUPE_CLOSED);
}
END_TEST

static void answer_much(struct end *e, struct trp_slice body) {
    (void)body;
    send_numbers(e->link, 0, 500000);
}

START_TEST(a_peer_that_has_ended_still_gets_its_answer) {
    rig.near.on_frame = answer_much;
    rig_listen(_i);
    int fd = raw_connect(rig.url);
    raw_greet(fd, TRP_SP_PAIR0);
    raw_frame(fd, _i, "x", 1);
    shutdown(fd, SHUT_WR);
    size_t n = 8 * 500000 + TRP_GREETING_SIZE;
    char *answer = malloc(n + 100000);
    size_t got = raw_read(fd, answer, n + 100000);
    ck_assert_uint_gt(got, n);
    ck_assert_uint_lt(got, n + 1000);
    RIG_WAIT(rig.accepted[0]->downs == 1);
    ck_assert_int_eq(rig.accepted[0]->status, TROUPE_CLOSED);
    free(answer);
    close(fd);
}
END_TEST

static struct trp_listener *second;

static troupe_status listen_again(const char *url) {
    const char *why = NULL;
    troupe_status st = trp_listen(&second, &rig.loop, url, NULL, &rig_handler, NULL, NULL, &why);
    ck_assert(st == TROUPE_OK || strlen(why) > 10);
    return st;
}

START_TEST(an_address_in_use_is_told) {
    rig_listen(_i);
    ck_assert_int_eq(listen_again(rig.url), TROUPE_ADDRESS_IN_USE);
    rig_dial(&far); /* the first goes on */
    RIG_WAIT(far.ups == 1);
}
END_TEST

START_TEST(an_address_is_free_at_once_after_close) {
    char url[128];
    rig_listen(_i);
    rig_pair(&far);
    snprintf(url, sizeof url, "%s", rig.url);
    trp_listener_close(&rig.listener);
    trp_loop_once(&rig.loop, 0);
    ck_assert_int_eq(listen_again(url), TROUPE_OK);
    trp_listener_close(&second);
}
END_TEST

START_TEST(links_outlive_their_listener) {
    rig_listen(_i);
    struct end *near = rig_pair(&far);
    trp_listener_close(&rig.listener);
    trp_link_send(far.link, "still", 5);
    RIG_WAIT(near->frames == 1);
}
END_TEST

START_TEST(a_refused_connection_is_closed) {
    rig.refuse = true;
    rig_listen(_i);
    rig_dial(&far);
    RIG_WAIT(far.downs == 1);
    ck_assert_int_eq(far.ups, 0);
}
END_TEST

START_TEST(nobody_listens) {
    char url[128];
    rig_listen(_i);
    snprintf(url, sizeof url, "%s", rig.url);
    trp_listener_close(&rig.listener);
    trp_loop_once(&rig.loop, 0);
    rig_dial_to(&far, url, NULL);
    ck_assert_int_eq(far.downs, 0);
    RIG_WAIT(far.downs == 1);
    ck_assert_int_eq(far.status, _i == RIG_IPC ? TROUPE_NOT_FOUND : TROUPE_REFUSED);
    ck_assert_int_eq(far.ups, 0);
}
END_TEST

START_TEST(closing_while_dialling) {
    rig_listen(_i);
    rig_dial(&far);
    trp_link_send(far.link, "lost", 4);
    trp_link_close(far.link, 1000);
    RIG_WAIT(far.downs == 1);
    ck_assert_int_eq(far.status, TROUPE_CLOSED);
}
END_TEST

/* --- closing from inside every handler --- */

static int64_t close_ms;
static struct end *other; /* closed along with the one whose handler runs */

static void close_both(struct end *e) {
    trp_link_send(e->link, "last", 4);
    trp_link_close(e->link, close_ms);
    if (other && other->link)
        trp_link_close(other->link, close_ms);
    trp_listener_close(&rig.listener);
}

static void close_in_frame(struct end *e, struct trp_slice body) {
    (void)body;
    close_both(e);
}

static void run_until_down(void) {
    send_numbers(far.link ? far.link : rig.accepted[0]->link, 0, 100000);
    RIG_WAIT(far.downs == 1 && rig.accepts > 0 && rig.accepted[0]->downs == 1);
}

START_TEST(closing_in_up) {
    close_ms = _i / RIG_TRANSPORTS ? 1000 : 0;
    rig.near.on_up = close_both;
    rig_listen(_i % RIG_TRANSPORTS);
    rig_dial(&far);
    RIG_WAIT(far.downs == 1 && rig.accepted[0]->downs == 1);
    ck_assert_int_eq(far.frames, close_ms > 0);
}
END_TEST

START_TEST(closing_in_a_diallers_up) {
    close_ms = _i / RIG_TRANSPORTS ? 1000 : 0;
    far.on_up = close_both;
    rig_listen(_i % RIG_TRANSPORTS);
    rig_dial(&far);
    RIG_WAIT(far.downs == 1 && rig.accepted[0]->downs == 1);
}
END_TEST

START_TEST(closing_in_frame) {
    close_ms = _i / RIG_TRANSPORTS ? 1000 : 0;
    rig.near.on_frame = close_in_frame;
    rig_listen(_i % RIG_TRANSPORTS);
    rig_pair(&far);
    other = &far;
    run_until_down();
    ck_assert_int_eq(rig.accepted[0]->frames, 1);
}
END_TEST

START_TEST(closing_in_drained) {
    close_ms = _i / RIG_TRANSPORTS ? 1000 : 0;
    far.on_drained = close_both;
    rig_listen(_i % RIG_TRANSPORTS);
    rig_pair(&far);
    send_numbers(far.link, 0, 1000000);
    RIG_WAIT(far.downs == 1 && rig.accepted[0]->downs == 1);
    ck_assert_int_eq(far.drains, 1);
}
END_TEST

static void touch_in_down(struct end *e) {
    ck_assert_ptr_nonnull(trp_link_peer(e->link));
    ck_assert_ptr_eq(trp_link_user(e->link), e);
    trp_link_send(e->link, "nobody", 6);
    trp_link_discard(e->link);
    trp_link_pause(e->link, true);
    trp_link_close(e->link, 1000);
    if (other && other->link)
        trp_link_close(other->link, close_ms);
}

START_TEST(everything_is_harmless_in_down) {
    static struct end third;
    close_ms = _i / RIG_TRANSPORTS ? 1000 : 0;
    far.on_down = touch_in_down;
    other = &third;
    rig_listen(_i % RIG_TRANSPORTS);
    rig_pair(&far);
    rig_pair(&third);
    trp_link_close(far.link, 0);
    RIG_WAIT(far.downs == 1 && third.downs == 1);
}
END_TEST

/* --- the loop --- */

static atomic_int turns;

static void on_turn(void *ctx) {
    (void)ctx;
    atomic_fetch_add(&turns, 1);
}

static void *waker(void *ctx) {
    (void)ctx;
    trp_loop_wake(&rig.loop);
    return NULL;
}

START_TEST(wake_comes_from_any_thread) {
    pthread_t t;
    rig.loop.turn = on_turn;
    ck_assert_int_eq(pthread_create(&t, NULL, waker, NULL), 0);
    trp_loop_once(&rig.loop, -1);
    ck_assert_int_ge(atomic_load(&turns), 1);
    pthread_join(t, NULL);
}
END_TEST

enum { WAKES = 20000 };
static atomic_int asked, heard;

/* The next wake comes as soon as the last one was heard: often while the other side is still about to sleep. */
static void *wake_again_and_again(void *ctx) {
    for (int i = 1; i <= WAKES; i++) {
        atomic_store(&asked, i);
        trp_loop_wake(&rig.loop);
        while (atomic_load(&heard) < i)
            sched_yield();
    }
    return ctx;
}

static void hear_what_is_asked(void *ctx) {
    (void)ctx;
    atomic_store(&heard, atomic_load(&asked));
}

/* A lost one hangs here until the test's deadline. */
START_TEST(no_wake_is_lost) {
    pthread_t t;
    rig.loop.turn = hear_what_is_asked;
    ck_assert_int_eq(pthread_create(&t, NULL, wake_again_and_again, NULL), 0);
    while (atomic_load(&heard) < WAKES)
        trp_loop_once(&rig.loop, -1);
    pthread_join(t, NULL);
}
END_TEST

START_TEST(once_waits_as_told) {
    uint64_t start = uv_hrtime();
    trp_loop_once(&rig.loop, 0);
    for (int i = 0; i < 50; i++)
        trp_loop_once(&rig.loop, 1);
    ck_assert_uint_ge(uv_hrtime() - start, 20 * 1000000);
    ck_assert_uint_lt(uv_hrtime() - start, 10 * UINT64_C(1000000000));
}
END_TEST

static int fired;

static void on_timer(uv_timer_t *timer) {
    fired++;
    uv_timer_stop(timer);
}

/* libuv alone would run the timer at the beginning of a turn and then wait for ever. */
START_TEST(a_turn_that_ran_a_timer_does_not_wait) {
    static uv_timer_t timer;
    uv_timer_init(&rig.loop.uv, &timer);
    for (int i = 0; i < 200; i++) {
        uv_timer_start(&timer, on_timer, (uint64_t)(i % 2), 0);
        if (i % 4 == 0)
            uv_sleep(2);
        while (fired <= i)
            trp_loop_once(&rig.loop, -1);
    }
    uv_close((uv_handle_t *)&timer, NULL);
}
END_TEST

START_TEST(every_descriptor_is_close_on_exec) {
    enum { MOST = 100 };
    bool before[MOST];
    for (int fd = 0; fd < MOST; fd++)
        before[fd] = fcntl(fd, F_GETFD) >= 0;
    rig_listen(_i);
    rig_pair(&far);
    for (int fd = 0; fd < MOST; fd++)
        ck_assert_msg(before[fd] || fcntl(fd, F_GETFD) != 0, "descriptor %d is inherited", fd);
}
END_TEST

int main(void) {
    Suite *s = suite_create("transport");
    const TTest *const normal[] = {
        exchanges_frames_both_ways,
        protocol_numbers_are_told,
        a_dialler_may_send_before_it_is_up,
        one_turn_is_one_frame,
        many_small_messages_keep_their_order,
        a_prefix_begins_every_frame,
        blobs_and_copies_keep_their_order,
        frames_survive_every_cut,
        knows_both_ends,
        port_0_is_told,
        tcp_sockets_are_tuned,
        a_thousand_dial_at_once,
        an_idle_link_is_small,
        a_message_takes_no_allocation,
        a_peer_that_does_not_read_is_waited_for,
        pause_and_resume_in_a_handler,
        discard_drops_whole_frames,
        close_is_told_to_both_once,
        close_with_flush_delivers_everything,
        a_paused_link_can_be_closed,
        a_flush_ends_in_time,
        a_second_close_cuts_the_flush_short,
        a_peer_that_has_ended_still_gets_its_answer,
        an_address_in_use_is_told,
        an_address_is_free_at_once_after_close,
        links_outlive_their_listener,
        a_refused_connection_is_closed,
        nobody_listens,
        closing_while_dialling,
        every_descriptor_is_close_on_exec,
    };
    const TTest *const closing[] = {closing_in_up, closing_in_a_diallers_up, closing_in_frame, closing_in_drained,
                                    everything_is_harmless_in_down};
    const TTest *const loop[] = {wake_comes_from_any_thread, no_wake_is_lost, once_waits_as_told,
                                 a_turn_that_ran_a_timer_does_not_wait};
    rig_case(s, "normal", normal, sizeof normal / sizeof *normal, RIG_TRANSPORTS);
    /* With and without a flush. */
    rig_case(s, "closing", closing, sizeof closing / sizeof *closing, 2 * RIG_TRANSPORTS);
    rig_case(s, "loop", loop, sizeof loop / sizeof *loop, 1);
    return run_suite(s);
}
