/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A run of tasks, as the master sees it: begun, put, gathered, ended. See task_run.c. */
#ifndef EXAMPLES_TASK_RUN_H
#define EXAMPLES_TASK_RUN_H

#include <troupe/queue.h>

/* How a run ends, or a part of it. */
enum task_end {
    TASK_DONE,
    TASK_STOPPED, /* by a signal */
    TASK_LATE,    /* the time is over */
    TASK_TAKEN,   /* another master is at work there */
    TASK_NO_BROKER,
    TASK_REFUSED, /* the broker said no, or this run does not fit what was left: `why` */
    TASK_AGAIN,   /* (within) the broker has forgotten it all */
};

struct task_run {
    /* Given. */
    troupe_client *client;
    char **files; /* their names are the tasks; NULL: numbers */
    uint64_t tasks;
    uint64_t seed; /* of the numbers */
    bool durable;  /* the queues are on disk, if the broker has one */
    bool quiet;
    int signals;            /* a signalfd */
    int64_t ack_timeout_ms; /* 0: the queue's default */
    int64_t timeout_ms;     /* for all of it; 0: none */
    /* Its own. Zero-initialise. */
    char id[20]; /* "": not begun */
    bool resumed, put;
    troupe_msg *record;  /* in hand as long as we are at work */
    unsigned char *seen; /* results, by task */
    uint64_t done, lost; /* results seen here; tasks that nobody could do */
    troupe_msg **dead;   /* dead letters, in hand */
    size_t dead_n;
    int64_t until, began, shown;
    char why[512];
};

/* All of it. */
enum task_end task_run(struct task_run *r);
void task_run_free(struct task_run *r);

#endif
