/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * One instruction for eight bytes where the processor has it (SSE4.2, asked at run time so that one binary fits all),
 * and eight tables of 256 otherwise, by which eight bytes are taken in one step. The tables are computed on first use:
 * most machines never need their 8 KiB. */
#include "broker/crc32c.h"

#include <endian.h>
#include <pthread.h>
#include <string.h>

static const uint32_t polynomial = 0x82f63b78; /* 0x1edc6f41, lowest bit first */

static uint32_t tables[8][256];
static pthread_once_t tables_once = PTHREAD_ONCE_INIT;

static uint32_t byte_crc(uint32_t crc) {
    for (int bit = 0; bit < 8; bit++)
        crc = (crc >> 1) ^ (crc & 1 ? polynomial : 0);
    return crc;
}

/* tables[k][b]: what byte b does to the checksum when k more bytes follow it. */
static void tables_make(void) {
    for (uint32_t b = 0; b < 256; b++)
        tables[0][b] = byte_crc(b);
    for (int k = 1; k < 8; k++)
        for (uint32_t b = 0; b < 256; b++)
            tables[k][b] = (tables[k - 1][b] >> 8) ^ tables[0][tables[k - 1][b] & 0xff];
}

static uint64_t load64(const uint8_t *p) {
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return le64toh(v);
}

static uint32_t tables_step(uint64_t v) {
    uint32_t crc = 0;
    for (int k = 0; k < 8; k++)
        crc ^= tables[7 - k][(v >> (8 * k)) & 0xff];
    return crc;
}

uint32_t trp_crc32c_tables(uint32_t crc, const void *bytes, size_t n) {
    const uint8_t *p = bytes;
    pthread_once(&tables_once, tables_make);
    crc = ~crc;
    for (; n >= 8; p += 8, n -= 8)
        crc = tables_step(load64(p) ^ crc);
    for (; n; p++, n--)
        crc = (crc >> 8) ^ tables[0][(crc ^ *p) & 0xff];
    return ~crc;
}

#if defined(__x86_64__)
#include <nmmintrin.h>

__attribute__((target("sse4.2"))) static uint32_t instruction_crc(uint32_t crc, const uint8_t *p, size_t n) {
    uint64_t c = ~crc;
    for (; n >= 8; p += 8, n -= 8)
        c = _mm_crc32_u64(c, load64(p));
    uint32_t rest = (uint32_t)c;
    for (; n; p++, n--)
        rest = _mm_crc32_u8(rest, *p);
    return ~rest;
}

uint32_t trp_crc32c(uint32_t crc, const void *p, size_t n) {
    return __builtin_cpu_supports("sse4.2") ? instruction_crc(crc, p, n) : trp_crc32c_tables(crc, p, n);
}
#else
uint32_t trp_crc32c(uint32_t crc, const void *p, size_t n) {
    return trp_crc32c_tables(crc, p, n);
}
#endif
