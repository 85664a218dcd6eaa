/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * What a backend knows of an actor that is looked at: where its figures can be read, without its help. */
#ifndef TRP_MEASURE_H
#define TRP_MEASURE_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

struct trp_measure {
    clockid_t clock; /* of its CPU time; CLOCK_REALTIME: none, but cpu_ns */
    int64_t cpu_ns;  /* -1: not known */
    void *stack;     /* the low end; NULL: not known */
    size_t stack_size;
    int pid; /* 0: none */
    /* Messages that did not come by its mailbox here: bytes not received yet, how many have been. */
    size_t straight_bytes;
    uint64_t straight;
};

#endif
