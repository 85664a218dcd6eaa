/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * msgpack seen as JSON text, and JSON text made msgpack: for people, gateways and shells. */
#ifndef TRP_JSON_H
#define TRP_JSON_H

#include "transports/buf.h"
#include "transports/pack.h"

/* Appends the value at p[0..n) as compact JSON on one line: control characters escaped, bytes that are not UTF-8
 * as U+FFFD, bin as a string of base64 with the prefix "base64:", ext as {"ext":type,"data":"base64:..."}, NaN and
 * infinities as null, map keys that are no strings as their JSON text in quotes (a map, array or ext as a key inside
 * such a key: base64 of its msgpack). The bytes are scanned first, with that scan's faults; PROTOCOL also when more
 * than one value is there. NO_MEMORY. On a fault out is as it was. */
TROUPE_NODISCARD troupe_status trp_json_from_pack(struct trp_buf *out, const uint8_t *p, size_t n);

/* Appends the msgpack of one JSON text (any JSON value). INVALID: what is wrong and where, a sentence in *why (a
 * static buffer per thread). TOO_DEEP: over TRP_PACK_DEPTH. NO_MEMORY. Integers stay integers; beyond int64 they are
 * INVALID. On a fault out is as it was. */
TROUPE_NODISCARD troupe_status trp_json_to_pack(struct trp_buf *out, const char *text, size_t n, const char **why);

/* Is it valid UTF-8? (No overlong forms, no surrogates.) */
bool trp_utf8_valid(const uint8_t *p, size_t n);

#endif
