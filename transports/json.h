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
 * infinities as null, map keys that are no strings as their JSON text in quotes. The bytes are scanned first. */
TROUPE_NODISCARD troupe_status trp_json_from_pack(struct trp_buf *out, const uint8_t *p, size_t n);

/* Appends the msgpack of one JSON text (any JSON value). INVALID: what is wrong and where, a sentence in *why (a
 * static buffer per thread). Integers stay integers. */
TROUPE_NODISCARD troupe_status trp_json_to_pack(struct trp_buf *out, const char *text, size_t n, const char **why);

/* Is it valid UTF-8? (No overlong forms, no surrogates.) */
bool trp_utf8_valid(const uint8_t *p, size_t n);

#endif
