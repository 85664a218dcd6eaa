/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * What a text becomes can be told by looking at it: only digits with a sign before them make an integer, and only one
 * that fits; all else stays as it was typed. */
#include "clients/cli/payload.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "transports/json.h"

enum { STDIN_MOST = 64 << 20, STDIN_CHUNK = 64 * 1024 };

void cli_payload_fini(struct cli_payload *p) {
    trp_buf_fini(&p->bytes);
    p->value = troupe_nil();
}

/* Reads the digits at p[0..n). False: something else is there, or it does not fit. */
static bool digits(const char *p, size_t n, uint64_t *out) {
    uint64_t u = 0;
    for (size_t i = 0; i < n; i++) {
        if (p[i] < '0' || p[i] > '9' || u > (UINT64_MAX - (uint64_t)(p[i] - '0')) / 10)
            return false;
        u = u * 10 + (uint64_t)(p[i] - '0');
    }
    *out = u;
    return n > 0;
}

static bool integer(const char *p, size_t n, troupe_value *out) {
    bool negative = n && *p == '-', sign = n && (*p == '-' || *p == '+');
    uint64_t u;
    if (!digits(p + sign, n - sign, &u))
        return false;
    if (negative && u > (uint64_t)INT64_MAX + 1)
        return false;
    if (negative)
        *out = troupe_int(u ? -(int64_t)(u - 1) - 1 : 0);
    else
        *out = u <= INT64_MAX ? troupe_int((int64_t)u) : troupe_uint(u);
    return true;
}

troupe_status cli_payload_from(struct cli_payload *p, const char *text, size_t n, bool json, const char **why) {
    p->bytes.n = 0;
    *why = troupe_status_text(TROUPE_NO_MEMORY);
    troupe_status st = json ? trp_json_to_pack(&p->bytes, text, n, why) : trp_buf_put(&p->bytes, text, n);
    if (st != TROUPE_OK)
        return st;
    if (json)
        p->value = troupe_packed(p->bytes.p, p->bytes.n);
    else if (integer(text, n, &p->value))
        return TROUPE_OK;
    else if (trp_utf8_valid(p->bytes.p, p->bytes.n))
        p->value = troupe_textn((const char *)p->bytes.p, p->bytes.n);
    else
        p->value = troupe_bytes(p->bytes.p, p->bytes.n);
    return TROUPE_OK;
}

static void read_all(struct trp_buf *b) {
    ssize_t n = 1;
    while (n) {
        if (b->n > STDIN_MOST || trp_buf_room(b, STDIN_CHUNK) != TROUPE_OK) {
            (void)fprintf(stderr, "troupe: standard input is too large for one message\n");
            exit(EX_DATAERR);
        }
        n = read(STDIN_FILENO, b->p + b->n, STDIN_CHUNK);
        if (n < 0 && errno != EINTR) {
            (void)fprintf(stderr, "troupe: standard input: %s\n", strerror(errno));
            exit(EX_IOERR);
        }
        b->n += n > 0 ? (size_t)n : 0;
    }
    if (b->n && b->p[b->n - 1] == '\n')
        b->n--;
}

void cli_payload_read(const struct cli *cli, struct cli_payload *p, const char *arg, bool json) {
    struct trp_buf input = {0};
    const char *why = "", *text = arg ? arg : "";
    size_t n = strlen(text);
    p->value = troupe_nil();
    if (!arg)
        return;
    if (strcmp(arg, "-") == 0) {
        read_all(&input);
        text = input.n ? (const char *)input.p : "";
        n = input.n;
    }
    if (cli_payload_from(p, text, n, json, &why) != TROUPE_OK)
        cli_usage(cli, "%s", why);
    trp_buf_fini(&input);
}
