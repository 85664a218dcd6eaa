/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Cutting and reading lines. A line that lies whole in one read is handed out in place; only one that is cut by the end
 * of a read is gathered, up to the limit. */
#include "broker/lines.h"

#include "transports/json.h"

void trp_lines_init(struct trp_lines *l, size_t max, bool chunk) {
    *l = (struct trp_lines){.max = max, .chunk = chunk};
}

void trp_lines_fini(struct trp_lines *l) {
    trp_buf_fini(&l->part);
}

/* The line is p[0..n) behind what has been gathered; gives it without its \r. */
static troupe_status finish(struct trp_lines *l, const uint8_t *p, size_t n, enum trp_lines_event *ev, struct trp_slice *line) {
    if (l->skipping) {
        l->skipping = false;
        *ev = TRP_LINES_MORE;
        return TROUPE_OK;
    }
    if (l->part.n + n > l->max + 1 || (l->part.n + n == l->max + 1 && (n ? p[n - 1] : l->part.p[l->part.n - 1]) != '\r')) {
        l->part.n = 0;
        *ev = TRP_LINES_TOO_LONG;
        return TROUPE_OK;
    }
    if (l->part.n > 0) {
        troupe_status st = trp_buf_put(&l->part, p, n);
        if (st != TROUPE_OK)
            return st;
        *line = (struct trp_slice){l->part.p, l->part.n};
        l->handed = true;
    } else {
        *line = (struct trp_slice){p, n};
    }
    if (line->n > 0 && line->p[line->n - 1] == '\r')
        line->n--;
    *ev = TRP_LINES_LINE;
    return TROUPE_OK;
}

/* The read ended inside a line. One byte over the limit is kept: it may be the \r of a line that just fits. */
static troupe_status gather(struct trp_lines *l, const uint8_t *p, size_t n, enum trp_lines_event *ev) {
    *ev = TRP_LINES_MORE;
    if (l->skipping)
        return TROUPE_OK;
    if (l->part.n + n <= l->max + 1)
        return trp_buf_put(&l->part, p, n);
    l->part.n = 0;
    l->skipping = true;
    *ev = TRP_LINES_TOO_LONG;
    return TROUPE_OK;
}

troupe_status trp_lines_next(struct trp_lines *l, const uint8_t **p, const uint8_t *end, bool last, enum trp_lines_event *ev,
                             struct trp_slice *line) {
    if (l->handed) {
        l->handed = false;
        l->part.n = 0;
        if (l->part.cap > 4096)
            trp_buf_fini(&l->part);
    }
    *ev = TRP_LINES_MORE;
    while (*p < end) {
        const uint8_t *from = *p, *nl = memchr(from, '\n', (size_t)(end - from));
        troupe_status st;
        if (nl) {
            *p = nl + 1;
            st = finish(l, from, (size_t)(nl - from), ev, line);
        } else {
            *p = end;
            st = l->chunk && last ? finish(l, from, (size_t)(end - from), ev, line) : gather(l, from, (size_t)(end - from), ev);
        }
        if (st != TROUPE_OK || *ev != TRP_LINES_MORE)
            return st;
    }
    return TROUPE_OK;
}

bool trp_lines_end(struct trp_lines *l, struct trp_slice *line) {
    if (l->handed || l->skipping || l->part.n == 0)
        return false;
    *line = (struct trp_slice){l->part.p, l->part.n};
    l->handed = true;
    if (line->p[line->n - 1] == '\r')
        line->n--;
    return true;
}

static struct trp_slice strip(struct trp_slice s) {
    while (s.n > 0 && (s.p[0] == ' ' || s.p[0] == '\t'))
        s.p++, s.n--;
    while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
        s.n--;
    return s;
}

/* 0: no integer; 1: one; -1: an integer that no 64 bits hold. */
static int parse_integer(struct trp_slice s, troupe_value *v) {
    bool negative = s.n > 0 && s.p[0] == '-';
    if (s.n > 0 && (s.p[0] == '-' || s.p[0] == '+'))
        s.p++, s.n--;
    if (s.n == 0)
        return 0;
    uint64_t u = 0;
    bool over = false;
    for (size_t i = 0; i < s.n; i++) {
        unsigned digit = (unsigned)s.p[i] - '0';
        if (digit > 9)
            return 0;
        over = over || u > (UINT64_MAX - digit) / 10;
        u = u * 10 + digit;
    }
    if (over || (negative && u > (uint64_t)INT64_MAX + 1))
        return -1;
    if (negative)
        *v = troupe_int(u > (uint64_t)INT64_MAX ? INT64_MIN : -(int64_t)u);
    else
        *v = u > INT64_MAX ? troupe_uint(u) : troupe_int((int64_t)u);
    return 1;
}

static struct trp_line bad(const char *why) {
    return (struct trp_line){.kind = TRP_LINE_BAD, .why = why};
}

static struct trp_line parse_payload(struct trp_slice text, struct trp_slice topic) {
    struct trp_line line = {.kind = TRP_LINE_REQUEST, .topic = topic};
    switch (parse_integer(strip(text), &line.value)) {
    case 1:
        return line;
    case -1:
        return bad("the number does not fit 64 bits");
    default:
        break;
    }
    for (size_t i = 0; i < text.n; i++)
        if ((text.p[i] < 0x20 && text.p[i] != '\t') || text.p[i] == 0x7f)
            return bad("the line holds control characters: send a number or text, /help for help");
    if (!trp_utf8_valid(text.p, text.n))
        return bad("the line is not UTF-8: send a number or text, /help for help");
    line.value = troupe_textn((const char *)text.p, text.n);
    return line;
}

static struct trp_line parse_command(struct trp_slice s) {
    struct trp_slice word = {s.p + 1, 0}, rest;
    while (word.n < s.n - 1 && word.p[word.n] != ' ' && word.p[word.n] != '\t')
        word.n++;
    rest = strip((struct trp_slice){word.p + word.n, s.n - 1 - word.n});
    if (trp_slice_eq(word, trp_slice_str("help")))
        return (struct trp_line){.kind = TRP_LINE_HELP};
    if (trp_slice_eq(word, trp_slice_str("quit")))
        return (struct trp_line){.kind = TRP_LINE_QUIT};
    if (word.n == 0)
        return bad("a topic must follow the slash: /topic text, or /help");
    return parse_payload(rest, word);
}

struct trp_line trp_line_parse(struct trp_slice line) {
    struct trp_slice s = strip(line);
    if (s.n == 0)
        return (struct trp_line){.kind = TRP_LINE_EMPTY, .why = "the line is empty: send a number or text, /help for help"};
    if (s.p[0] == '/')
        return parse_command(s);
    return parse_payload(line, (struct trp_slice){NULL, 0});
}

bool trp_line_is_http(struct trp_slice line) {
    static const char *const verbs[] = {"GET ",     "POST ",  "PUT ",     "HEAD ",  "DELETE ",
                                        "OPTIONS ", "PATCH ", "CONNECT ", "TRACE ", "PRI "};
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        size_t n = strlen(verbs[i]);
        if (line.n >= n && memcmp(line.p, verbs[i], n) == 0)
            return true;
    }
    return false;
}
