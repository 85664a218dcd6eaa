/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * msgpack to JSON by hand, JSON to msgpack by jansson's parser and our writers.
 *
 * What is printed goes to terminals and into line protocols, so the text is one line of valid UTF-8 whatever a peer
 * sent: control characters (C1 too, terminals obey some of them) are escaped, broken bytes replaced. Its size is
 * bounded by a small multiple of the input: JSON has no keys but strings, so a map used as a key is printed as
 * quoted JSON, and if that were done again for a key inside this key, the backslashes would double with each level. */
#include "transports/json.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "transports/assert.h"
#include "transports/pack_wire.h"

/* --- UTF-8 --- */

static inline bool is_tail(uint8_t b) {
    return (b & 0xc0) == 0x80;
}

/* Length of the character at p, 0 if it is none: overlong, a surrogate, above U+10FFFF, cut. */
static size_t utf8_char(const uint8_t *p, const uint8_t *end) {
    size_t n = (size_t)(end - p);
    uint8_t b = *p;
    if (b < 0x80)
        return 1;
    if (b < 0xc2 || b > 0xf4)
        return 0;
    if (b < 0xe0)
        return n >= 2 && is_tail(p[1]) ? 2 : 0;
    if (n < 3 || !is_tail(p[1]) || !is_tail(p[2]))
        return 0;
    if (b < 0xf0)
        return (b == 0xe0 && p[1] < 0xa0) || (b == 0xed && p[1] > 0x9f) ? 0 : 3;
    if (n < 4 || !is_tail(p[3]))
        return 0;
    return (b == 0xf0 && p[1] < 0x90) || (b == 0xf4 && p[1] > 0x8f) ? 0 : 4;
}

bool trp_utf8_valid(const uint8_t *p, size_t n) {
    if (n == 0)
        return true;
    const uint8_t *end = p + n;
    while (p < end) {
        size_t len = utf8_char(p, end);
        if (len == 0)
            return false;
        p += len;
    }
    return true;
}

/* --- msgpack to JSON --- */

struct printer {
    struct trp_buf *out;
    const uint8_t *p, *end; /* what is left to print; scanned, so it is whole */
    bool quoted;            /* inside a key's quotes: what JSON needs to be quoted is quoted again */
    troupe_status st;       /* the first fault; nothing is printed after it */
};

static void emit(struct printer *w, const void *p, size_t n) {
    if (w->st == TROUPE_OK)
        w->st = trp_buf_put(w->out, p, n);
}

static void emit_str(struct printer *w, const char *s) {
    emit(w, s, strlen(s));
}

/* A piece of JSON's own syntax that has quotes or backslashes in it. */
static void emit_syntax(struct printer *w, const char *s) {
    for (; *s; s++) {
        if (w->quoted && (*s == '"' || *s == '\\'))
            emit(w, "\\", 1);
        emit(w, s, 1);
    }
}

/* Length of the character at p that stands for itself in a JSON string; 0: it must be escaped or replaced. */
static size_t plain_char(const uint8_t *p, const uint8_t *end) {
    if (*p < 0x20 || *p == '"' || *p == '\\' || *p == 0x7f)
        return 0;
    size_t n = utf8_char(p, end);
    return n == 2 && p[0] == 0xc2 && p[1] < 0xa0 ? 0 : n;
}

/* What plain_char does not take; returns the bytes used. */
static size_t print_odd_char(struct printer *w, const uint8_t *p, const uint8_t *end) {
    static const char shorts[] = "\"\"\\\\\nn\rr\tt\bb\ff";
    char text[8] = {'\\'};
    if (*p >= 0x80) {
        bool control = utf8_char(p, end) != 0;
        snprintf(text, sizeof text, "\\u%04x", control ? p[1] : 0u);
        emit_syntax(w, control ? text : "\xef\xbf\xbd");
        return control ? 2 : 1;
    }
    for (const char *s = shorts; *s; s += 2) {
        if (*s == (char)*p) {
            text[1] = s[1];
            emit_syntax(w, text);
            return 1;
        }
    }
    snprintf(text, sizeof text, "\\u%04x", *p);
    emit_syntax(w, text);
    return 1;
}

static void print_string(struct printer *w, const uint8_t *p, size_t n) {
    const uint8_t *end = n ? p + n : p;
    emit_syntax(w, "\"");
    while (p < end) {
        const uint8_t *run = p;
        size_t len;
        while (p < end && (len = plain_char(p, end)) != 0)
            p += len;
        if (p > run)
            emit(w, run, (size_t)(p - run));
        if (p < end)
            p += print_odd_char(w, p, end);
    }
    emit_syntax(w, "\"");
}

static void print_base64(struct printer *w, const uint8_t *p, size_t n) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    emit_syntax(w, "\"base64:");
    for (; n; p += 3) {
        unsigned take = n < 3 ? (unsigned)n : 3;
        uint32_t bits = (uint32_t)p[0] << 16 | (take > 1 ? (uint32_t)p[1] << 8 : 0) | (take > 2 ? p[2] : 0u);
        char four[4] = {digits[bits >> 18], digits[bits >> 12 & 63], take > 1 ? digits[bits >> 6 & 63] : '=',
                        take > 2 ? digits[bits & 63] : '='};
        emit(w, four, sizeof four);
        n -= take;
    }
    emit_syntax(w, "\"");
}

/* A locale's decimal separator may be anything, JSON's is a point; and a real stays one when it is read again. */
static void print_decimal(struct printer *w, const char *text) {
    bool real = false;
    while (*text) {
        size_t run = strspn(text, "0123456789+-e");
        real = real || memchr(text, 'e', run);
        emit(w, text, run);
        text += run;
        if (!*text)
            break;
        text += strcspn(text, "0123456789+-e");
        emit_str(w, ".");
        real = true;
    }
    if (!real)
        emit_str(w, ".0");
}

/* The fewest digits that read back as the same number. */
static void print_real(struct printer *w, double r, bool single) {
    char text[64];
    if (!isfinite(r)) {
        emit_str(w, "null");
        return;
    }
    for (int digits = single ? 6 : 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, r);
        if (single ? strtof(text, NULL) == (float)r : strtod(text, NULL) == r)
            break;
    }
    print_decimal(w, text);
}

static void print_value(struct printer *w);

static void print_array(struct printer *w) {
    uint32_t n = 0;
    bool whole = trp_wire_read_array(&w->p, w->end, &n);
    trp_assert(whole);
    emit_str(w, "[");
    for (uint32_t i = 0; i < n && w->st == TROUPE_OK; i++) {
        emit_str(w, i ? "," : "");
        print_value(w);
    }
    emit_str(w, "]");
}

static void print_ext(struct printer *w, const uint8_t *p, size_t n) {
    bool fixed = *p >= 0xd4;
    size_t head = 1 + (fixed ? 0 : 1u << (*p - 0xc7)); /* the type is behind it */
    char text[32];
    snprintf(text, sizeof text, "{\"ext\":%d,\"data\":", p[head] < 0x80 ? p[head] : p[head] - 0x100);
    emit_syntax(w, text);
    print_base64(w, p + head + 1, n - head - 1);
    emit_str(w, "}");
}

static bool is_string(const uint8_t *p) {
    return (*p & 0xe0) == 0xa0 || (*p >= 0xd9 && *p <= 0xdb) || (*p >= 0xc4 && *p <= 0xc6); /* or bin: printed as one */
}

static bool is_compound(const uint8_t *p) {
    return (*p >= 0x80 && *p <= 0x9f) || (*p >= 0xc7 && *p <= 0xc9) || (*p >= 0xd4 && *p <= 0xd8) || (*p >= 0xdc && *p <= 0xdf);
}

static void print_key(struct printer *w) {
    if (is_string(w->p)) {
        print_value(w);
    } else if (w->quoted && is_compound(w->p)) {
        size_t n = 0;
        if (trp_pack_scan(w->p, (size_t)(w->end - w->p), NULL, &n) == TROUPE_OK)
            print_base64(w, w->p, n);
        w->p += n;
    } else {
        bool outer = w->quoted;
        emit_syntax(w, "\"");
        w->quoted = true;
        print_value(w);
        w->quoted = outer;
        emit_syntax(w, "\"");
    }
}

static void print_map(struct printer *w) {
    uint32_t n = 0;
    bool whole = trp_wire_read_map(&w->p, w->end, &n);
    trp_assert(whole);
    emit_str(w, "{");
    for (uint32_t i = 0; i < n && w->st == TROUPE_OK; i++) {
        emit_str(w, i ? "," : "");
        print_key(w);
        emit_str(w, ":");
        print_value(w);
    }
    emit_str(w, "}");
}

static void print_scalar(struct printer *w, troupe_value v, bool single) {
    char text[32];
    switch (v.kind) {
    case TROUPE_NIL:
        emit_str(w, "null");
        break;
    case TROUPE_BOOL:
        emit_str(w, v.b ? "true" : "false");
        break;
    case TROUPE_INT:
        snprintf(text, sizeof text, "%" PRId64, v.i);
        emit_str(w, text);
        break;
    case TROUPE_UINT:
        snprintf(text, sizeof text, "%" PRIu64, v.u);
        emit_str(w, text);
        break;
    case TROUPE_REAL:
        print_real(w, v.r, single);
        break;
    case TROUPE_TEXT:
        print_string(w, v.data, v.size);
        break;
    case TROUPE_BYTES:
        print_base64(w, v.data, v.size);
        break;
    case TROUPE_PACKED:
        print_ext(w, v.data, v.size);
        break;
    }
}

/* Recursion ends where the scan's depth limit does. */
static void print_value(struct printer *w) {
    if (w->st != TROUPE_OK)
        return;
    uint8_t b = *w->p;
    troupe_value v;
    if ((b & 0xf0) == 0x90 || b == 0xdc || b == 0xdd)
        print_array(w);
    else if ((b & 0xf0) == 0x80 || b == 0xde || b == 0xdf)
        print_map(w);
    else if ((w->st = trp_unpack_value(&w->p, w->end, &v)) == TROUPE_OK)
        print_scalar(w, v, b == 0xca);
}

troupe_status trp_json_from_pack(struct trp_buf *out, const uint8_t *p, size_t n) {
    size_t len, before = out->n;
    troupe_status st = trp_pack_scan(p, n, NULL, &len);
    if (st != TROUPE_OK)
        return st;
    if (len != n)
        return TROUPE_PROTOCOL;
    struct printer w = {.out = out, .p = p, .end = p + n};
    print_value(&w);
    if (w.st != TROUPE_OK)
        out->n = before;
    return w.st;
}

/* --- JSON to msgpack --- */

static _Thread_local char json_why[256];

static troupe_status pack_json(struct trp_buf *b, const json_t *j, unsigned depth);

static troupe_status pack_head(struct trp_buf *b, uint8_t *head(uint8_t *, uint32_t), size_t n) {
    if (n > UINT32_MAX)
        return TROUPE_TOO_BIG;
    troupe_status st = trp_buf_room(b, TRP_PACK_MAX_HEAD);
    if (st == TROUPE_OK)
        b->n = (size_t)(head(b->p + b->n, (uint32_t)n) - b->p);
    return st;
}

static troupe_status pack_json_array(struct trp_buf *b, const json_t *j, unsigned depth) {
    size_t n = json_array_size(j);
    troupe_status st = pack_head(b, trp_pack_array, n);
    for (size_t i = 0; i < n && st == TROUPE_OK; i++)
        st = pack_json(b, json_array_get(j, i), depth - 1);
    return st;
}

static troupe_status pack_json_object(struct trp_buf *b, json_t *j, unsigned depth) {
    troupe_status st = pack_head(b, trp_pack_map, json_object_size(j));
    for (void *i = json_object_iter(j); i && st == TROUPE_OK; i = json_object_iter_next(j, i)) {
        st = trp_pack_value(b, troupe_textn(json_object_iter_key(i), json_object_iter_key_len(i)));
        if (st == TROUPE_OK)
            st = pack_json(b, json_object_iter_value(i), depth - 1);
    }
    return st;
}

static troupe_status pack_json(struct trp_buf *b, const json_t *j, unsigned depth) {
    if ((json_is_array(j) || json_is_object(j)) && depth == 0)
        return TROUPE_TOO_DEEP;
    switch (json_typeof(j)) {
    case JSON_OBJECT:
        return pack_json_object(b, (json_t *)(uintptr_t)j, depth); /* its iterators are not const */
    case JSON_ARRAY:
        return pack_json_array(b, j, depth);
    case JSON_STRING:
        return trp_pack_value(b, troupe_textn(json_string_value(j), json_string_length(j)));
    case JSON_INTEGER:
        return trp_pack_value(b, troupe_int(json_integer_value(j)));
    case JSON_REAL:
        return trp_pack_value(b, troupe_real(json_real_value(j)));
    case JSON_TRUE:
    case JSON_FALSE:
        return trp_pack_value(b, troupe_bool(json_is_true(j)));
    case JSON_NULL:
        break;
    }
    return trp_pack_value(b, troupe_nil());
}

static troupe_status parse_failed(const json_error_t *e) {
    if (json_error_code(e) == json_error_out_of_memory)
        return TROUPE_NO_MEMORY;
    bool range = json_error_code(e) == json_error_numeric_overflow;
    snprintf(json_why, sizeof json_why, "no JSON: %s (line %d, column %d)%s", e->text, e->line, e->column,
             range ? "; integers go from -2^63 to 2^63 - 1" : "");
    return TROUPE_INVALID;
}

troupe_status trp_json_to_pack(struct trp_buf *out, const char *text, size_t n, const char **why) {
    json_error_t error;
    size_t before = out->n;
    json_t *j = json_loadb(n ? text : "", n, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    snprintf(json_why, sizeof json_why, "out of memory");
    *why = json_why;
    if (!j)
        return parse_failed(&error);
    troupe_status st = pack_json(out, j, TRP_PACK_DEPTH);
    if (st == TROUPE_TOO_DEEP)
        snprintf(json_why, sizeof json_why, "the JSON is nested deeper than %d", TRP_PACK_DEPTH);
    else if (st == TROUPE_TOO_BIG)
        snprintf(json_why, sizeof json_why, "a part of the JSON is larger than 4 GiB");
    if (st != TROUPE_OK)
        out->n = before;
    json_decref(j);
    return st;
}
