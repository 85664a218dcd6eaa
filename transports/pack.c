/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * msgpack for the wire. Everything that a peer says passes trp_pack_scan first, which is why it is written so that
 * there is nothing to break: one pass, no recursion, no memory, and each length is compared with the bytes that are
 * really there before it is used. A container's count is compared too, since every element takes at least one byte:
 * a five-byte array of four billion elements is TRUNCATED before anybody believes it. */
#include "transports/pack.h"

#include "transports/pack_wire.h"

enum { ELEMENTS_DEFAULT = 1 << 20 };

/* --- scanning --- */

enum shape { SHAPE_LEAF, SHAPE_ARRAY, SHAPE_MAP, SHAPE_BAD };

/* What follows the first bytes 0xc0..0xdf: a length in `prefix` bytes (0: none), `fixed` bytes besides, then that
 * length of bytes or elements. The other first bytes carry their length inside. */
static const struct layout {
    uint8_t prefix, fixed, shape;
} layouts[32] = {
    [0x00] = {0, 0, SHAPE_LEAF},                                                            /* nil */
    [0x01] = {0, 0, SHAPE_BAD},                                                             /* never used */
    [0x02] = {0, 0, SHAPE_LEAF},                                                            /* false */
    [0x03] = {0, 0, SHAPE_LEAF},                                                            /* true */
    [0x04] = {1, 0, SHAPE_LEAF},                                                            /* bin 8, 16, 32 */
    [0x05] = {2, 0, SHAPE_LEAF},  [0x06] = {4, 0, SHAPE_LEAF}, [0x07] = {1, 1, SHAPE_LEAF}, /* ext 8, 16, 32: a type byte */
    [0x08] = {2, 1, SHAPE_LEAF},  [0x09] = {4, 1, SHAPE_LEAF}, [0x0a] = {0, 4, SHAPE_LEAF}, /* float 32, 64 */
    [0x0b] = {0, 8, SHAPE_LEAF},  [0x0c] = {0, 1, SHAPE_LEAF},                              /* uint 8, 16, 32, 64 */
    [0x0d] = {0, 2, SHAPE_LEAF},  [0x0e] = {0, 4, SHAPE_LEAF}, [0x0f] = {0, 8, SHAPE_LEAF},
    [0x10] = {0, 1, SHAPE_LEAF}, /* int 8, 16, 32, 64 */
    [0x11] = {0, 2, SHAPE_LEAF},  [0x12] = {0, 4, SHAPE_LEAF}, [0x13] = {0, 8, SHAPE_LEAF},
    [0x14] = {0, 2, SHAPE_LEAF}, /* fixext 1, 2, 4, 8, 16 */
    [0x15] = {0, 3, SHAPE_LEAF},  [0x16] = {0, 5, SHAPE_LEAF}, [0x17] = {0, 9, SHAPE_LEAF},
    [0x18] = {0, 17, SHAPE_LEAF}, [0x19] = {1, 0, SHAPE_LEAF},                               /* str 8, 16, 32 */
    [0x1a] = {2, 0, SHAPE_LEAF},  [0x1b] = {4, 0, SHAPE_LEAF}, [0x1c] = {2, 0, SHAPE_ARRAY}, /* array 16, 32 */
    [0x1d] = {4, 0, SHAPE_ARRAY}, [0x1e] = {2, 0, SHAPE_MAP},                                /* map 16, 32 */
    [0x1f] = {4, 0, SHAPE_MAP},
};

/* A value without what is inside it: a leaf whole, a container's head. */
struct node {
    uint64_t children; /* values directly inside */
    size_t size;
    enum shape shape;
};

static inline troupe_status node_wide(const uint8_t *p, size_t n, struct node *node) {
    const struct layout *l = &layouts[*p - 0xc0];
    size_t head = 1u + l->prefix;
    if (l->shape == SHAPE_BAD)
        return TROUPE_PROTOCOL;
    if (n < head)
        return TROUPE_TRUNCATED;
    uint64_t length = l->prefix ? trp_wire_get(p + 1, l->prefix) : 0;
    node->shape = l->shape;
    node->children = 0;
    node->size = head;
    if (l->shape != SHAPE_LEAF) {
        node->children = l->shape == SHAPE_MAP ? length * 2 : length;
        return TROUPE_OK;
    }
    length += l->fixed;
    if (length > n - head)
        return TROUPE_TRUNCATED;
    node->size += (size_t)length;
    return TROUPE_OK;
}

static inline troupe_status node_read(const uint8_t *p, size_t n, struct node *node) {
    if (n == 0)
        return TROUPE_TRUNCATED;
    uint8_t b = *p;
    *node = (struct node){.size = 1, .shape = SHAPE_LEAF};
    if (b < 0x80 || b >= 0xe0)
        return TROUPE_OK;
    if (b >= 0xc0)
        return node_wide(p, n, node);
    if (b >= 0xa0) {
        node->size += b & 0x1fu;
        return node->size <= n ? TROUPE_OK : TROUPE_TRUNCATED;
    }
    node->shape = b >= 0x90 ? SHAPE_ARRAY : SHAPE_MAP;
    node->children = b >= 0x90 ? b & 0x0fu : (b & 0x0fu) * 2u;
    return TROUPE_OK;
}

/* How far a scan of nested values is. */
struct scan {
    uint64_t budget;                  /* elements still allowed */
    uint32_t most, open;              /* containers: may be open, are open */
    uint64_t missing[TRP_PACK_DEPTH]; /* of each open one: values still to come */
};

static void scan_init(struct scan *s, const struct trp_pack_limits *lim) {
    uint32_t depth = lim ? lim->depth : 0, elements = lim ? lim->elements : 0;
    s->most = depth && depth < TRP_PACK_DEPTH ? depth : TRP_PACK_DEPTH;
    s->budget = (elements ? elements : ELEMENTS_DEFAULT) - 1u; /* the outermost value is one */
    s->open = 0;
}

static troupe_status scan_enter(struct scan *s, uint64_t children, size_t bytes_left) {
    if (s->open >= s->most)
        return TROUPE_TOO_DEEP;
    if (children > bytes_left)
        return TROUPE_TRUNCATED;
    if (children > s->budget)
        return TROUPE_TOO_BIG;
    s->budget -= children;
    if (children)
        s->missing[s->open++] = children;
    return TROUPE_OK;
}

/* A value has ended, and with it each container of which it was the last. */
static inline void scan_leave(struct scan *s) {
    while (s->open && --s->missing[s->open - 1] == 0)
        s->open--;
}

static troupe_status scan_nested(const uint8_t *p, size_t n, const struct trp_pack_limits *lim, size_t *len) {
    struct scan s;
    struct node node;
    size_t at = 0;
    scan_init(&s, lim);
    do {
        troupe_status st = node_read(p + at, n - at, &node);
        if (st != TROUPE_OK)
            return st;
        at += node.size;
        if (node.shape != SHAPE_LEAF && (st = scan_enter(&s, node.children, n - at)) != TROUPE_OK)
            return st;
        if (node.children == 0)
            scan_leave(&s);
    } while (s.open);
    *len = at;
    return TROUPE_OK;
}

troupe_status trp_pack_scan(const uint8_t *p, size_t n, const struct trp_pack_limits *lim, size_t *len) {
    struct node node;
    troupe_status st = node_read(p, n, &node);
    if (st != TROUPE_OK)
        return st;
    if (node.shape != SHAPE_LEAF)
        return scan_nested(p, n, lim, len);
    *len = node.size;
    return TROUPE_OK;
}

/* --- readers --- */

bool trp_unpack_uint(const uint8_t **p, const uint8_t *end, uint64_t *v) {
    return trp_wire_read_uint(p, end, v);
}

bool trp_unpack_str(const uint8_t **p, const uint8_t *end, struct trp_slice *s) {
    return trp_wire_read_str(p, end, s);
}

bool trp_unpack_nil(const uint8_t **p, const uint8_t *end) {
    return trp_wire_read_nil(p, end);
}

bool trp_unpack_array(const uint8_t **p, const uint8_t *end, uint32_t *count) {
    return trp_wire_read_array(p, end, count);
}

bool trp_unpack_map(const uint8_t **p, const uint8_t *end, uint32_t *count) {
    return trp_wire_read_map(p, end, count);
}

static troupe_value value_unsigned(uint64_t u) {
    return u <= INT64_MAX ? troupe_int((int64_t)u) : troupe_uint(u);
}

/* Two's complement of `size` bytes, without relying on what a shift of a negative number does. */
static troupe_value value_signed(uint64_t u, unsigned size) {
    uint64_t sign = UINT64_C(1) << (size * 8 - 1);
    if (!(u & sign))
        return troupe_int((int64_t)u);
    uint64_t magnitude = sign - 1 - (u & (sign - 1)); /* of -v - 1 */
    return troupe_int(-1 - (int64_t)magnitude);
}

static troupe_value value_real32(const uint8_t *p) {
    uint32_t bits = trp_wire_get32(p);
    float f;
    memcpy(&f, &bits, sizeof f);
    return troupe_real(f);
}

static troupe_value value_real64(const uint8_t *p) {
    uint64_t bits = trp_wire_get64(p);
    double d;
    memcpy(&d, &bits, sizeof d);
    return troupe_real(d);
}

/* A scanned value of n bytes whose first is 0xc0..0xdf. */
static troupe_value value_wide(const uint8_t *p, size_t n) {
    uint8_t b = *p;
    if (b == 0xc0)
        return troupe_nil();
    if (b == 0xc2 || b == 0xc3)
        return troupe_bool(b == 0xc3);
    if (b >= 0xc4 && b <= 0xc6) {
        size_t head = 1u + layouts[b - 0xc0].prefix;
        return troupe_bytes(p + head, n - head);
    }
    if (b == 0xca)
        return value_real32(p + 1);
    if (b == 0xcb)
        return value_real64(p + 1);
    if (b >= 0xcc && b <= 0xcf)
        return value_unsigned(trp_wire_get(p + 1, 1u << (b & 3)));
    if (b >= 0xd0 && b <= 0xd3)
        return value_signed(trp_wire_get(p + 1, 1u << (b & 3)), 1u << (b & 3));
    if (b >= 0xd9 && b <= 0xdb) {
        size_t head = 1u + layouts[b - 0xc0].prefix;
        return troupe_textn((const char *)p + head, n - head);
    }
    return troupe_packed(p, n);
}

static troupe_value value_read(const uint8_t *p, size_t n) {
    uint8_t b = *p;
    if (b < 0x80)
        return troupe_int(b);
    if (b >= 0xe0)
        return troupe_int((int64_t)b - 0x100);
    if (b >= 0xc0)
        return value_wide(p, n);
    if (b >= 0xa0)
        return troupe_textn((const char *)p + 1, n - 1);
    return troupe_packed(p, n);
}

troupe_status trp_unpack_value(const uint8_t **p, const uint8_t *end, troupe_value *v) {
    size_t n;
    troupe_status st = trp_pack_scan(*p, (size_t)(end - *p), NULL, &n);
    if (st != TROUPE_OK)
        return st;
    *v = value_read(*p, n);
    *p += n;
    return TROUPE_OK;
}

/* --- writers --- */

uint8_t *trp_pack_uint(uint8_t *p, uint64_t v) {
    return trp_wire_uint(p, v);
}

uint8_t *trp_pack_int(uint8_t *p, int64_t v) {
    if (v >= 0)
        return trp_wire_uint(p, (uint64_t)v);
    if (v >= -32) {
        *p++ = (uint8_t)v;
        return p;
    }
    if (v >= INT8_MIN) {
        *p++ = 0xd0;
        *p++ = (uint8_t)v;
        return p;
    }
    if (v >= INT16_MIN) {
        *p++ = 0xd1;
        return trp_wire_put16(p, (uint16_t)v);
    }
    if (v >= INT32_MIN) {
        *p++ = 0xd2;
        return trp_wire_put32(p, (uint32_t)v);
    }
    *p++ = 0xd3;
    return trp_wire_put64(p, (uint64_t)v);
}

uint8_t *trp_pack_array(uint8_t *p, uint32_t count) {
    return trp_wire_array(p, count);
}

uint8_t *trp_pack_map(uint8_t *p, uint32_t count) {
    if (count < 16) {
        *p++ = (uint8_t)(0x80 | count);
        return p;
    }
    if (count <= UINT16_MAX) {
        *p++ = 0xde;
        return trp_wire_put16(p, (uint16_t)count);
    }
    *p++ = 0xdf;
    return trp_wire_put32(p, count);
}

uint8_t *trp_pack_str_head(uint8_t *p, uint32_t n) {
    return trp_wire_str_head(p, n);
}

uint8_t *trp_pack_bin_head(uint8_t *p, uint32_t n) {
    if (n <= UINT8_MAX) {
        *p++ = 0xc4;
        *p++ = (uint8_t)n;
        return p;
    }
    if (n <= UINT16_MAX) {
        *p++ = 0xc5;
        return trp_wire_put16(p, (uint16_t)n);
    }
    *p++ = 0xc6;
    return trp_wire_put32(p, n);
}

uint8_t *trp_pack_str(uint8_t *p, struct trp_slice s) {
    return trp_wire_str(p, s);
}

static uint8_t *pack_real(uint8_t *p, double r) {
    uint64_t bits;
    memcpy(&bits, &r, sizeof bits);
    *p++ = 0xcb;
    return trp_wire_put64(p, bits);
}

static troupe_status packed_check(troupe_value v, const struct trp_pack_limits *lim) {
    size_t len;
    troupe_status st = trp_pack_scan(v.data, v.size, lim, &len);
    if (st == TROUPE_TOO_DEEP || st == TROUPE_TOO_BIG)
        return st;
    return st == TROUPE_OK && len == v.size ? TROUPE_OK : TROUPE_INVALID;
}

troupe_status trp_pack_check(troupe_value v, const struct trp_pack_limits *lim, size_t *most) {
    troupe_status st = TROUPE_OK;
    *most = TRP_PACK_MAX_HEAD;
    if (v.kind < TROUPE_TEXT)
        return TROUPE_OK;
    if (v.kind > TROUPE_PACKED || (!v.data && v.size))
        return TROUPE_INVALID;
    if (v.size == TROUPE_VALUE_TOO_BIG)
        return TROUPE_TOO_BIG;
    if (v.kind == TROUPE_PACKED)
        st = packed_check(v, lim);
    if (st == TROUPE_OK)
        *most += v.size;
    return st;
}

uint8_t *trp_pack_checked(uint8_t *p, troupe_value v) {
    switch (v.kind) {
    case TROUPE_NIL:
        *p++ = 0xc0;
        return p;
    case TROUPE_BOOL:
        *p++ = v.b ? 0xc3 : 0xc2;
        return p;
    case TROUPE_INT:
        return trp_pack_int(p, v.i);
    case TROUPE_UINT:
        return trp_wire_uint(p, v.u);
    case TROUPE_REAL:
        return pack_real(p, v.r);
    case TROUPE_TEXT:
        return trp_wire_bytes(trp_wire_str_head(p, v.size), v.data, v.size);
    case TROUPE_BYTES:
        return trp_wire_bytes(trp_pack_bin_head(p, v.size), v.data, v.size);
    case TROUPE_PACKED:
        break;
    }
    return trp_wire_bytes(p, v.data, v.size);
}

troupe_status trp_pack_value(struct trp_buf *b, troupe_value v) {
    size_t most;
    troupe_status st = trp_pack_check(v, NULL, &most);
    if (st == TROUPE_OK)
        st = trp_buf_room(b, most);
    if (st == TROUPE_OK)
        b->n = (size_t)(trp_pack_checked(b->p + b->n, v) - b->p);
    return st;
}
