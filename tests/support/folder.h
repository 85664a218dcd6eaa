/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Where tests put files that need no disk. */
#ifndef TESTS_FOLDER_H
#define TESTS_FOLDER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* Memory, where there is plenty of it: containers often have 64 MiB there. */
static inline const char *fast_folder(void) {
    struct statvfs s;
    bool plenty = statvfs("/dev/shm", &s) == 0 && s.f_bavail >= ((uint64_t)512 << 20) / s.f_frsize;
    return plenty && access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
}

#endif
