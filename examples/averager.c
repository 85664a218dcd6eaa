/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A running average: a coroutine whose local variables are its state, asked for the mean so far with each new number. */
#include <stdio.h>
#include <troupe/actor.h>

static void averager(troupe_self *self, void *arg) {
    double sum = 0;
    int64_t count = 0, n;
    troupe_msg *m;
    (void)arg;
    while (troupe_receive(self, TROUPE_FOREVER, &m) == TROUPE_OK) {
        if (troupe_msg_int(m, &n)) {
            sum += (double)n;
            count++;
        }
        if (troupe_reply(self, m, troupe_real(count ? sum / (double)count : 0)) != TROUPE_OK)
            fprintf(stderr, "nobody wants the average\n");
        troupe_msg_free(&m);
    }
}

int main(void) {
    static const int numbers[] = {0, 1, 2, 10};
    troupe_system *sys;
    troupe_ref avg;
    troupe_msg *answer;
    if (troupe_system_open(&sys, NULL) != TROUPE_OK)
        return 1;
    troupe_self *me = troupe_system_self(sys);
    if (troupe_spawn(me, NULL, averager, NULL, 0, &avg) != TROUPE_OK)
        return 1;
    for (int i = 0; i < 4; i++) {
        if (troupe_ask(me, avg, troupe_int(numbers[i]), TROUPE_FOREVER, &answer) != TROUPE_OK)
            return 1;
        double mean = troupe_msg_value(answer).r;
        printf(mean * 10 == (int)(mean * 10) ? "%.1f\n" : "%.2f\n", mean);
        troupe_msg_free(&answer);
    }
    if (troupe_close(me, avg) != TROUPE_OK || troupe_join(me, avg, TROUPE_FOREVER, NULL) != TROUPE_OK)
        return 1;
    troupe_system_close(&sys);
    return 0;
}
