/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Troupe in the peers' harness (its common.h is the driver). Variants:
 *     lib   the client library
 *     raw   bare sockets and a minimal client of the wire, as the other peers' raw variants: it shows the broker */
#include "common.h"
#include <endian.h>
#include <troupe/client.h>

#define CK(x)                                                                                                                  \
    do {                                                                                                                       \
        troupe_status s_ = (x);                                                                                                \
        if (s_ != TROUPE_OK)                                                                                                   \
            die("%s: %s", #x, troupe_status_text(s_));                                                                         \
    } while (0)

/* ---------- the library ---------- */
static troupe_client *conn(void) {
    troupe_client *c;
    char url[64];
    snprintf(url, sizeof url, "tcp://127.0.0.1:%d", O.port);
    CK(troupe_client_open(&c, &(troupe_client_opts){.url = url, .max_queued = 1 << 30}));
    return c;
}
static void pub(void) {
    troupe_client *c = conn();
    static char b[65536];
    static const troupe_pub_opts more = {.more = true};
    uint64_t seq;
    int r;
    pub_begin();
    while ((r = pub_next(&seq)) != PUB_DONE) {
        if (r == PUB_STALL) {
            CK(troupe_client_flush(c));
            pub_stall();
            continue;
        }
        fill(b, seq);
        CK(troupe_client_publish(c, "bench", troupe_bytes(b, (size_t)O.size), &more));
    }
    CK(troupe_client_flush(c));
    pub_finished();
}
static void sub(int i) {
    troupe_client *c = conn();
    troupe_msg *m;
    CK(troupe_client_subscribe(c, "bench", NULL, NULL));
    role_ready();
    role_go();
    for (;;) {
        CK(troupe_client_receive(c, TROUPE_FOREVER, &m));
        troupe_value v = troupe_msg_value(m);
        bool last = sub_got(i, v.data, v.size);
        troupe_msg_free(&m);
        if (last)
            return;
    }
}
static void rep(void) {
    troupe_client *c = conn();
    troupe_msg *m;
    CK(troupe_client_subscribe(c, "rpc", NULL, NULL));
    role_ready();
    role_go();
    for (;;) {
        CK(troupe_client_receive(c, TROUPE_FOREVER, &m));
        CK(troupe_client_reply(c, m, troupe_msg_value(m)));
        troupe_msg_free(&m);
    }
}
static void req(void) {
    troupe_client *c = conn();
    troupe_msg *m;
    static char b[65536];
    uint64_t id;
    req_begin();
    int fl = 0;
    if (O.out == 1) {
        while (req_next(b)) {
            CK(troupe_client_request(c, "rpc", troupe_bytes(b, (size_t)O.size), 3000, &m));
            troupe_value v = troupe_msg_value(m);
            req_got(v.data, v.size);
            troupe_msg_free(&m);
        }
        req_finished();
        return;
    }
    while (fl < O.out && req_next(b)) {
        CK(troupe_client_submit(c, "rpc", troupe_bytes(b, (size_t)O.size), true, &id));
        fl++;
    }
    while (fl > 0) {
        CK(troupe_client_collect(c, 3000, &id, &m));
        troupe_value v = troupe_msg_value(m);
        req_got(v.data, v.size);
        troupe_msg_free(&m);
        if (req_next(b))
            CK(troupe_client_submit(c, "rpc", troupe_bytes(b, (size_t)O.size), true, &id));
        else
            fl--;
    }
    req_finished();
}

/* ---------- the wire by hand ---------- */
typedef struct {
    rio io;
    size_t left; /* of the frame being read */
    char payload[65536];
} wire;

static void wire_flush(wire *w) {
    if (w->io.wn == 8)
        return;
    uint64_t n = htobe64(w->io.wn - 8);
    memcpy(w->io.w, &n, 8);
    rio_flush(&w->io);
    w->io.wn = 8;
}
static void wire_open(wire *w) {
    static const char hi[8] = {0, 'S', 'P', 0, 0, 0x10, 0, 0};
    rio_open(&w->io, O.port);
    rio_put(&w->io, hi, 8);
    rio_flush(&w->io);
    if (memcmp(rio_take(&w->io, 8), hi, 8))
        die("greeting");
    w->io.wn = 8;
    w->left = 0;
}
static void wire_put(wire *w, const void *p, size_t n) {
    rio_put(&w->io, p, n);
    if (w->io.wn >= w->io.wcap)
        wire_flush(w);
}
/* Is another envelope in memory already? */
static bool wire_has(wire *w) {
    return w->left ? rio_avail(&w->io) > 0 : rio_avail(&w->io) > 8;
}
/* Bytes of the frame; frames end on envelope borders. */
static unsigned char *wire_take(wire *w, size_t n) {
    if (!w->left) {
        uint64_t l;
        memcpy(&l, rio_take(&w->io, 8), 8);
        w->left = be64toh(l);
    }
    w->left -= n;
    return (unsigned char *)rio_take(&w->io, n);
}
static uint64_t wire_uint(wire *w) {
    unsigned char c = *wire_take(w, 1);
    if (c < 0x80)
        return c;
    if (c < 0xcc || c > 0xcf)
        die("uint expected, got %02x", c);
    size_t n = (size_t)1 << (c - 0xcc);
    unsigned char *p = wire_take(w, n);
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++)
        v = v << 8 | p[i];
    return v;
}
/* The length of the str or bin whose first byte is c; -1: nil. */
static long wire_len(wire *w, unsigned char c) {
    unsigned char *p;
    if (c == 0xc0)
        return -1;
    if (c >= 0xa0 && c < 0xc0)
        return c & 31;
    if (c == 0xd9 || c == 0xc4)
        return *wire_take(w, 1);
    if (c == 0xda || c == 0xc5)
        return p = wire_take(w, 2), p[0] << 8 | p[1];
    die("str or bin expected, got %02x", c);
}
/* The next MSG's payload; topic, reply (length -1: nil) and token are copied where wanted. Answers to others are skipped. */
static char *wire_msg(wire *w, size_t *len, char *topic, char *reply, long *reply_n, uint64_t *token) {
    for (;;) {
        unsigned char arity = *wire_take(w, 1) & 15;
        uint64_t op = wire_uint(w);
        if (op == 15 && arity == 4) { /* OK */
            for (int i = 0; i < 3; i++)
                wire_uint(w);
            continue;
        }
        if (op == 16)
            die("ERR from the broker");
        if (op != 8)
            die("op %d", (int)op);
        wire_uint(w);
        uint64_t t = wire_uint(w);
        if (token)
            *token = t;
        wire_take(w, 1);
        long n = wire_len(w, *wire_take(w, 1));
        char *p = (char *)wire_take(w, (size_t)n);
        if (topic)
            memcpy(topic, p, (size_t)n), topic[n] = 0;
        n = wire_len(w, *wire_take(w, 1));
        if (n > 0) {
            p = (char *)wire_take(w, (size_t)n);
            if (reply)
                memcpy(reply, p, (size_t)n);
        }
        if (reply_n)
            *reply_n = n;
        unsigned char headers = *wire_take(w, 1);
        for (int pairs = headers == 0xc0 ? 0 : headers & 15; pairs > 0; pairs--) {
            wire_take(w, (size_t)wire_len(w, *wire_take(w, 1)));
            wire_uint(w);
        }
        n = wire_len(w, *wire_take(w, 1));
        *len = (size_t)n;
        char *d = (char *)wire_take(w, (size_t)n);
        if (arity == 5) { /* from a queue: a map of names and unsigned integers; the payload stays where it is meanwhile */
            char *keep = memcpy(w->payload, d, (size_t)n);
            for (int pairs = *wire_take(w, 1) & 15; pairs > 0; pairs--) {
                wire_take(w, (size_t)wire_len(w, *wire_take(w, 1)));
                wire_uint(w);
            }
            return keep;
        }
        return d;
    }
}
static size_t put_head(unsigned char *h, const char *topic, const char *reply, long reply_n, uint64_t id) {
    size_t n = 0;
    h[n++] = 0x93, h[n++] = 7;
    if (id < 0x80) {
        h[n++] = (unsigned char)id;
    } else {
        h[n++] = 0xcf;
        for (int i = 7; i >= 0; i--)
            h[n++] = (unsigned char)(id >> (8 * i));
    }
    h[n++] = 0x94;
    size_t t = strlen(topic);
    h[n++] = (unsigned char)(0xd9), h[n++] = (unsigned char)t;
    memcpy(h + n, topic, t), n += t;
    if (reply_n < 0) {
        h[n++] = 0xc0;
    } else {
        h[n++] = 0xd9, h[n++] = (unsigned char)reply_n;
        memcpy(h + n, reply, (size_t)reply_n), n += (size_t)reply_n;
    }
    h[n++] = 0xc0;
    if (O.size < 256) {
        h[n++] = 0xc4, h[n++] = (unsigned char)O.size;
    } else {
        h[n++] = 0xc5, h[n++] = (unsigned char)(O.size >> 8), h[n++] = (unsigned char)O.size;
    }
    return n;
}
static void raw_pub(void) {
    static wire w;
    wire_open(&w);
    static char b[65536];
    unsigned char h[512];
    size_t hn = put_head(h, "bench", 0, -1, 0);
    uint64_t seq;
    int r;
    pub_begin();
    while ((r = pub_next(&seq)) != PUB_DONE) {
        if (r == PUB_STALL) {
            wire_flush(&w);
            pub_stall();
            continue;
        }
        fill(b, seq);
        rio_put(&w.io, h, hn);
        wire_put(&w, b, (size_t)O.size);
    }
    wire_flush(&w);
    pub_finished();
}
static void raw_subscribe(wire *w, const char *topic) {
    unsigned char s[64] = {0x95, 5, 1, 1, (unsigned char)(0xa0 | strlen(topic))};
    memcpy(s + 5, topic, strlen(topic));
    s[5 + strlen(topic)] = 0x80;
    wire_put(w, s, 6 + strlen(topic));
    wire_flush(w);
    if (*wire_take(w, 1) != 0x94 || wire_uint(w) != 15)
        die("no OK for SUB");
    for (int i = 0; i < 3; i++)
        wire_uint(w);
}
static void raw_sub(int i) {
    static wire w;
    wire_open(&w);
    raw_subscribe(&w, "bench");
    role_ready();
    role_go();
    for (;;) {
        size_t n;
        char *d = wire_msg(&w, &n, 0, 0, 0, 0);
        if (sub_got(i, d, n))
            return;
    }
}
static void raw_rep(void) {
    static wire w;
    wire_open(&w);
    raw_subscribe(&w, "rpc");
    role_ready();
    role_go();
    for (;;) {
        size_t n;
        long rn;
        uint64_t token;
        char reply[256];
        unsigned char h[512];
        char *d = wire_msg(&w, &n, 0, reply, &rn, &token);
        reply[rn] = 0;
        size_t hn = put_head(h, reply, 0, -1, 0);
        rio_put(&w.io, h, hn);
        rio_put(&w.io, d, n);
        unsigned char ack[12] = {0x93, 9, 1, 0xcf};
        for (int i = 0; i < 8; i++)
            ack[4 + i] = (unsigned char)(token >> (56 - 8 * i));
        wire_put(&w, ack, 12);
        if (!wire_has(&w))
            wire_flush(&w);
    }
}
static void raw_req(void) {
    static wire w;
    wire_open(&w);
    static const unsigned char hello[] = {0x92, 1, 0x80};
    wire_put(&w, hello, 3);
    wire_flush(&w);
    while (!rio_avail(&w.io) || !memmem(w.io.r + w.io.rs, rio_avail(&w.io), "inbox", 5))
        rio_fill(&w.io);
    uint64_t fl8;
    memcpy(&fl8, rio_take(&w.io, 8), 8);
    size_t frame = be64toh(fl8);
    char *f = rio_take(&w.io, frame), *in = memmem(f, frame, "inbox", 5) + 5;
    size_t in_n = (unsigned char)*in == 0xd9 ? (unsigned char)in[1] : (unsigned char)*in & 31;
    char reply[256];
    memcpy(reply, in + ((unsigned char)*in == 0xd9 ? 2 : 1), in_n);
    reply[in_n++] = '1';
    static char b[65536];
    unsigned char h[512];
    size_t hn = put_head(h, "rpc", reply, (long)in_n, 1);
    req_begin();
    int fl = 0;
#define RAWREQ() (rio_put(&w.io, h, hn), wire_put(&w, b, (size_t)O.size))
    while (fl < O.out && req_next(b)) {
        RAWREQ();
        fl++;
    }
    wire_flush(&w);
    while (fl > 0) {
        size_t n;
        char *d = wire_msg(&w, &n, 0, 0, 0, 0);
        req_got(d, n);
        if (req_next(b))
            RAWREQ();
        else
            fl--;
        if (!wire_has(&w))
            wire_flush(&w);
    }
    req_finished();
}
/* ---------- queues: variant raw is in memory, synced and written are durable with that level ---------- */
static void raw_setup(void) {
    static wire w;
    bool durable = strcmp(O.variant, "raw") != 0;
    wire_open(&w);
    unsigned char d[96] = {0x95, 12, 1, 0xa7};
    memcpy(d + 4,
           "declare\xa4work\x81\xa7"
           "durable",
           21);
    d[25] = durable ? 0xc3 : 0xc2;
    wire_put(&w, d, 26);
    wire_flush(&w);
    if (*wire_take(&w, 1) != 0x94 || wire_uint(&w) != 15)
        die("no OK for declare");
    close(w.io.fd);
}
static int wire_oks(wire *w, int least) {
    int n = 0;
    while (n < least || wire_has(w)) {
        if (*wire_take(w, 1) != 0x94 || wire_uint(w) != 15)
            die("a put was refused");
        for (int i = 0; i < 3; i++)
            wire_uint(w);
        n++;
    }
    return n;
}
static void raw_prod(void) {
    static wire w;
    static char b[65536];
    unsigned char h[512];
    uint64_t seq;
    int r, out = 0, unfl = 0, half = O.confirm_window / 2 > 0 ? O.confirm_window / 2 : 1;
    size_t hn = put_head(h, "_q.work", 0, -1, 1);
    if (!strcmp(O.variant, "written")) { /* a header that demands no more than that */
        memcpy(h + hn - (O.size < 256 ? 3 : 4), "\x81\xa7t-level\x02", 10);
        hn += 9 - (size_t)(O.size < 256 ? 2 : 3);
        if (O.size < 256) {
            h[hn++] = 0xc4, h[hn++] = (unsigned char)O.size;
        } else {
            h[hn++] = 0xc5, h[hn++] = (unsigned char)(O.size >> 8), h[hn++] = (unsigned char)O.size;
        }
    }
    wire_open(&w);
    pub_begin();
    while ((r = pub_next(&seq)) != PUB_DONE) {
        if (r == PUB_STALL) {
            wire_flush(&w), unfl = 0;
            if (out)
                out -= wire_oks(&w, out);
            pub_stall();
            continue;
        }
        fill(b, seq);
        rio_put(&w.io, h, hn);
        wire_put(&w, b, (size_t)O.size);
        out++;
        if (++unfl > half / 2)
            wire_flush(&w), unfl = 0;
        if (out >= O.confirm_window) {
            wire_flush(&w), unfl = 0;
            out -= wire_oks(&w, out > half ? out - half : 1);
        }
    }
    wire_flush(&w);
    if (out)
        wire_oks(&w, out);
    pub_finished();
}
static void raw_cons(int i) {
    static wire w;
    int unacked = 0;
    wire_open(&w);
    unsigned char s[32] = {0x95, 5, 1, 1, 0xa7};
    memcpy(s + 5,
           "_q.work\x81\xa6"
           "credit",
           15);
    s[20] = (unsigned char)O.prefetch;
    wire_put(&w, s, 21);
    wire_flush(&w);
    wire_oks(&w, 1);
    role_ready();
    role_go();
    for (;;) {
        size_t n;
        uint64_t token;
        char *d = wire_msg(&w, &n, 0, 0, 0, &token);
        work_got(i, d, n);
        unsigned char ack[12] = {0x93, 9, 1, 0xcf};
        for (int k = 0; k < 8; k++)
            ack[4 + k] = (unsigned char)(token >> (56 - 8 * k));
        wire_put(&w, ack, 12);
        unacked++;
        if (!wire_has(&w)) {
            wire_flush(&w);
            work_acked(i, (uint64_t)unacked);
            unacked = 0;
        }
    }
}
static int idle(int i) {
    static wire w;
    char topic[32];
    wire_open(&w);
    snprintf(topic, sizeof topic, "idle.%d", i);
    raw_subscribe(&w, topic);
    free(w.io.w), free(w.io.r);
    return w.io.fd;
}
static peer_ops *ops(void) {
    static peer_ops lib = {.pub = pub, .sub = sub, .req = req, .rep = rep, .idle = idle};
    static peer_ops raw = {.pub = raw_pub,
                           .sub = raw_sub,
                           .req = raw_req,
                           .rep = raw_rep,
                           .prod = raw_prod,
                           .cons = raw_cons,
                           .idle = idle,
                           .setup = raw_setup};
    return strcmp(O.variant, "lib") ? &raw : &lib;
}
int main(int c, char **v) {
    return peers_main(c, v, "troupe", ops);
}
