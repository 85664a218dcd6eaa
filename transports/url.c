/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Addresses, durations and sizes as people write them. Whoever gets one wrong is told how to write it right.
 *
 * A scheme that is not known here is no mistake of the address: it is parsed as far as its name, and the table of
 * transports says that there is no such transport. Nothing is %-decoded: paths and values mean what they say. */
#include "transports/url.h"

#include <stdarg.h>
#include <stdio.h>
#include <sys/un.h>

static _Thread_local char url_why[256];

static troupe_status TROUPE_PRINTF(1, 2) bad(const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    vsnprintf(url_why, sizeof url_why, fmt, args);
    va_end(args);
    return TROUPE_BAD_URL;
}

/* False: it does not fit, and out is "". */
static bool copy(char *out, size_t cap, const char *from, size_t n) {
    bool fits = n < cap;
    if (!cap)
        return false;
    if (fits)
        memcpy(out, from, n);
    out[fits ? n : 0] = '\0';
    return fits;
}

static bool all_in(const char *s, size_t n, bool good(char)) {
    for (size_t i = 0; i < n; i++) {
        if (!good(s[i]))
            return false;
    }
    return true;
}

/* ctype's answers depend on the locale; addresses do not. */
static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_name(char c) {
    return is_letter(c) || is_digit(c) || c == '.' || c == '-' || c == '_';
}

/* An IPv6 address with its scope ("fe80::1%eth0"). */
static bool is_ipv6(char c) {
    return is_name(c) || c == ':' || c == '%';
}

static bool is_scheme(char c) {
    return is_letter(c) || is_digit(c) || c == '+';
}

static bool is_printable(char c) {
    return (unsigned char)c >= 0x20 && c != 0x7f;
}

/* --- addresses --- */

static troupe_status parse_port(const char *s, size_t n, struct trp_url *u) {
    unsigned long port = 0;
    if (n == 0)
        return bad("the port is missing: write tcp://127.0.0.1:4747");
    for (size_t i = 0; i < n && port <= UINT16_MAX; i++) {
        if (!is_digit(s[i]))
            return bad("the port is not a number: write tcp://127.0.0.1:4747");
        port = port * 10 + (unsigned long)(s[i] - '0');
    }
    if (port > UINT16_MAX)
        return bad("the port is above 65535");
    snprintf(u->port, sizeof u->port, "%lu", port);
    return TROUPE_OK;
}

static troupe_status parse_ipv6(const char *s, size_t n, struct trp_url *u) {
    const char *close = memchr(s, ']', n);
    if (!close)
        return bad("a ']' is missing: write tcp://[::1]:4747");
    size_t host = (size_t)(close - s) - 1;
    if (!memchr(s + 1, ':', host) || !all_in(s + 1, host, is_ipv6) || !copy(u->host, sizeof u->host, s + 1, host))
        return bad("between '[' and ']' there is no IPv6 address: write tcp://[::1]:4747");
    const char *port = close + 1;
    size_t left = n - (size_t)(port - s);
    if (left == 0)
        return parse_port(port, 0, u);
    if (*port != ':')
        return bad("after ']' the port is missing: write tcp://[::1]:4747");
    return parse_port(port + 1, left - 1, u);
}

static troupe_status parse_host(const char *s, size_t n, struct trp_url *u) {
    if (n == 0)
        return bad("the host is missing: write tcp://127.0.0.1:4747, or tcp://*:4747 to listen on all interfaces");
    if (n == 1 && *s == '*') /* host is "" already */
        return TROUPE_OK;
    if (!all_in(s, n, is_name))
        return bad("there is a character in the host that no host name has");
    return copy(u->host, sizeof u->host, s, n) ? TROUPE_OK : bad("the host is longer than %zu characters", sizeof u->host - 1);
}

static troupe_status parse_authority(const char *s, size_t n, struct trp_url *u) {
    if (n && *s == '[')
        return parse_ipv6(s, n, u);
    const char *colon = memchr(s, ':', n);
    size_t host = colon ? (size_t)(colon - s) : n;
    if (colon && memchr(colon + 1, ':', n - host - 1))
        return bad("an IPv6 address goes in brackets: write tcp://[::1]:4747");
    troupe_status st = parse_host(s, host, u);
    if (st != TROUPE_OK)
        return st;
    return colon ? parse_port(colon + 1, n - host - 1, u) : parse_port(s, 0, u);
}

static troupe_status parse_tcp(const char *s, size_t n, struct trp_url *u) {
    const char *slash = memchr(s, '/', n);
    size_t authority = slash ? (size_t)(slash - s) : n;
    if (slash && !copy(u->path, sizeof u->path, slash + 1, n - authority - 1))
        return bad("the path is longer than %zu bytes", sizeof u->path - 1);
    return parse_authority(s, authority, u);
}

static troupe_status parse_ipc(const char *s, size_t n, struct trp_url *u) {
    /* Longer ones would be cut in silence on their way to the kernel. */
    enum { IPC_PATH_MAX = sizeof((struct sockaddr_un *)0)->sun_path - 1 };
    if (n == 0)
        return bad("the path is missing: write ipc:///run/troupe.sock");
    if (n > IPC_PATH_MAX)
        return bad("the path of a unix socket is at most %d bytes long", IPC_PATH_MAX);
    copy(u->path, sizeof u->path, s, n);
    return TROUPE_OK;
}

static troupe_status parse_rest(const char *s, struct trp_url *u) {
    size_t n = strcspn(s, "?");
    if (s[n] && !copy(u->query, sizeof u->query, s + n + 1, strlen(s + n + 1)))
        return bad("what follows the '?' is longer than %zu bytes", sizeof u->query - 1);
    if (strcmp(u->scheme, "tcp") == 0)
        return parse_tcp(s, n, u);
    if (strcmp(u->scheme, "ipc") == 0)
        return parse_ipc(s, n, u);
    return copy(u->path, sizeof u->path, s, n) ? TROUPE_OK : bad("the address is longer than %zu bytes", sizeof u->path - 1);
}

static troupe_status parse(const char *text, struct trp_url *u) {
    const char *colon = strstr(text, "://");
    if (!all_in(text, strlen(text), is_printable))
        return bad("there is a control character in the address");
    if (!colon)
        return bad("'%.64s' is no address: write tcp://127.0.0.1:4747 or ipc:///run/troupe.sock", text);
    size_t scheme = (size_t)(colon - text);
    if (scheme == 0 || !all_in(text, scheme, is_scheme) || !copy(u->scheme, sizeof u->scheme, text, scheme))
        return bad("before '://' there is no transport: write tcp://127.0.0.1:4747 or ipc:///run/troupe.sock");
    return parse_rest(colon + 3, u);
}

troupe_status trp_url_parse(const char *text, struct trp_url *u, const char **why) {
    struct trp_url parsed = {0};
    troupe_status st = parse(text, &parsed);
    if (st == TROUPE_OK)
        *u = parsed;
    else
        *why = url_why;
    return st;
}

/* --- queries --- */

/* The next "key=value" or "key" of the query from *pos on; empty ones between two '&' are skipped. */
static bool next_pair(const char *query, size_t *pos, struct trp_slice *key, struct trp_slice *value) {
    const char *s = query + *pos + strspn(query + *pos, "&");
    size_t n = strcspn(s, "&"), k = strcspn(s, "=&");
    if (n == 0)
        return false;
    *key = (struct trp_slice){(const uint8_t *)s, k};
    *value = k < n ? (struct trp_slice){(const uint8_t *)s + k + 1, n - k - 1} : (struct trp_slice){0};
    *pos = (size_t)(s + n - query);
    return true;
}

static bool copy_slice(char *out, size_t cap, struct trp_slice s) {
    return copy(out, cap, s.n ? (const char *)s.p : "", s.n);
}

bool trp_url_param(const struct trp_url *u, const char *key, char *out, size_t cap) {
    struct trp_slice k, v;
    size_t pos = 0;
    while (next_pair(u->query, &pos, &k, &v)) {
        if (trp_slice_eq(k, trp_slice_str(key)))
            return copy_slice(out, cap, v);
    }
    return false;
}

bool trp_url_next_param(const struct trp_url *u, size_t *pos, char *key, size_t key_cap, char *value, size_t value_cap) {
    struct trp_slice k, v;
    if (!next_pair(u->query, pos, &k, &v))
        return false;
    copy_slice(key, key_cap, k);
    copy_slice(value, value_cap, v);
    return true;
}

/* --- numbers with a unit --- */

/* Digits at *s. False: none, or above INT64_MAX. */
static bool parse_digits(const char **s, int64_t *v) {
    const char *p = *s;
    int64_t n = 0;
    for (; is_digit(*p); p++) {
        if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, *p - '0', &n))
            return false;
    }
    bool any = p > *s;
    *s = p;
    *v = n;
    return any;
}

/* The digits behind a point as so many of `scale`, which is a power of ten; those that do not matter are dropped. */
static bool parse_fraction(const char **s, int64_t scale, int64_t *v) {
    const char *p = *s;
    int64_t n = 0;
    for (; is_digit(*p); p++) {
        scale /= 10;
        n += (*p - '0') * scale;
    }
    bool any = p > *s;
    *s = p;
    *v = n;
    return any;
}

static int64_t duration_unit(const char *s) {
    static const struct {
        const char *name;
        int64_t ms;
    } units[] = {{"ms", 1}, {"", 1000}, {"s", 1000}, {"m", 60 * 1000}, {"h", 60 * 60 * 1000}};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (strcmp(s, units[i].name) == 0)
            return units[i].ms;
    }
    return 0;
}

bool trp_parse_duration(const char *text, int64_t *ms) {
    enum { SCALE = 1000000000 };
    int64_t whole, fraction = 0;
    if (!parse_digits(&text, &whole))
        return false;
    if (*text == '.') {
        text++;
        if (!parse_fraction(&text, SCALE, &fraction))
            return false;
    }
    int64_t unit = duration_unit(text), v;
    if (unit == 0 || __builtin_mul_overflow(whole, unit, &v) || __builtin_add_overflow(v, fraction * unit / SCALE, &v))
        return false;
    *ms = v;
    return true;
}

static unsigned size_shift(const char *s, bool *known) {
    *known = *s == '\0' || s[1] == '\0';
    switch (*s) {
    case '\0':
        return 0;
    case 'k':
    case 'K':
        return 10;
    case 'm':
    case 'M':
        return 20;
    case 'g':
    case 'G':
        return 30;
    default:
        *known = false;
        return 0;
    }
}

bool trp_parse_size(const char *text, uint64_t *bytes) {
    int64_t n;
    bool known;
    if (!parse_digits(&text, &n))
        return false;
    unsigned shift = size_shift(text, &known);
    if (!known || n > INT64_MAX >> shift)
        return false;
    *bytes = (uint64_t)n << shift;
    return true;
}
