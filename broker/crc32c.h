/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * CRC-32C (Castagnoli), as iSCSI, ext4 and SSE4.2 have it: every change of up to 32 bits in a row is found. */
#ifndef TRP_BROKER_CRC32C_H
#define TRP_BROKER_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* The checksum of n more bytes behind those that gave `crc` (0: none yet). Context: any thread. */
uint32_t trp_crc32c(uint32_t crc, const void *p, size_t n);
/* The same by tables, for processors without the instruction; exported to be compared by the tests. */
uint32_t trp_crc32c_tables(uint32_t crc, const void *p, size_t n);

#endif
