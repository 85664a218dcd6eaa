/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A peer on libnng and msgpack-c, which shares no line with us: what a stranger would write to join.
 *
 *     nng_peer req URL TOPIC NUMBER...     asks through one REQ0 socket, prints an answer a line
 *     nng_peer push URL TOPIC NUMBER...    publishes each through one PUSH0 socket, and stays until its input ends
 */
#include <inttypes.h>
#include <msgpack.h>
#include <nng/nng.h>
#include <nng/protocol/pipeline0/push.h>
#include <nng/protocol/reqrep0/req.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OP_PUB = 7, OP_MSG = 8, OP_ERR = 16 };
enum { WAIT_MS = 20000 };

static void check(int rv, const char *what) {
    if (rv == 0)
        return;
    fprintf(stderr, "%s: %s\n", what, nng_strerror(rv));
    exit(1);
}

static void pack_text(msgpack_packer *pk, const char *s) {
    msgpack_pack_str(pk, strlen(s));
    msgpack_pack_str_body(pk, s, strlen(s));
}

/* [PUB, id, [topic, nil, nil, n]] */
static void pack_publish(msgpack_sbuffer *out, uint64_t id, const char *topic, int64_t n) {
    msgpack_packer pk;
    msgpack_sbuffer_clear(out);
    msgpack_packer_init(&pk, out, msgpack_sbuffer_write);
    msgpack_pack_array(&pk, 3);
    msgpack_pack_int(&pk, OP_PUB);
    msgpack_pack_uint64(&pk, id);
    msgpack_pack_array(&pk, 4);
    pack_text(&pk, topic);
    msgpack_pack_nil(&pk);
    msgpack_pack_nil(&pk);
    msgpack_pack_int64(&pk, n);
}

/* [MSG, 0, 0, [topic, reply, headers, payload]] or [ERR, id, code, text] */
static void print_answer(const void *p, size_t n) {
    msgpack_unpacked u;
    msgpack_unpacked_init(&u);
    if (msgpack_unpack_next(&u, p, n, NULL) != MSGPACK_UNPACK_SUCCESS || u.data.type != MSGPACK_OBJECT_ARRAY ||
        u.data.via.array.size < 4) {
        fprintf(stderr, "the answer is no envelope\n");
        exit(1);
    }
    const msgpack_object *field = u.data.via.array.ptr;
    if (field[0].via.u64 == OP_ERR)
        printf("ERR %.*s\n", (int)field[2].via.str.size, field[2].via.str.ptr);
    else if (field[0].via.u64 == OP_MSG)
        printf("%" PRId64 "\n", field[3].via.array.ptr[3].via.i64);
    msgpack_unpacked_destroy(&u);
}

static void ask(nng_socket s, const msgpack_sbuffer *question) {
    void *answer;
    size_t n;
    check(nng_send(s, question->data, question->size, 0), "send");
    check(nng_recv(s, &answer, &n, NNG_FLAG_ALLOC), "receive");
    print_answer(answer, n);
    nng_free(answer, n);
}

static nng_socket open_socket(bool asks, const char *url) {
    nng_socket s;
    check(asks ? nng_req0_open(&s) : nng_push0_open(&s), "open");
    check(nng_socket_set_ms(s, NNG_OPT_RECVTIMEO, WAIT_MS), "set the receive time-out");
    check(nng_socket_set_ms(s, NNG_OPT_SENDTIMEO, WAIT_MS), "set the send time-out");
    check(nng_dial(s, url, NULL, 0), url);
    return s;
}

int main(int argc, char **argv) {
    if (argc < 4 || (strcmp(argv[1], "req") != 0 && strcmp(argv[1], "push") != 0)) {
        fprintf(stderr, "usage: nng_peer req|push URL TOPIC NUMBER...\n");
        return 64;
    }
    bool asks = strcmp(argv[1], "req") == 0;
    nng_socket s = open_socket(asks, argv[2]);
    msgpack_sbuffer out;
    msgpack_sbuffer_init(&out);
    for (int i = 4; i < argc; i++) {
        pack_publish(&out, asks ? (uint64_t)i : 0, argv[3], strtoll(argv[i], NULL, 10));
        if (asks)
            ask(s, &out);
        else
            check(nng_send(s, out.data, out.size, 0), "send");
    }
    msgpack_sbuffer_destroy(&out);
    /* nng_close drops what is still queued, and 1.5 has no way to wait for it: who started us ends our input when all
     * has arrived. */
    if (!asks)
        while (getchar() != EOF)
            ;
    nng_close(s);
    return 0;
}
