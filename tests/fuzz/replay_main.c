/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Puts every file of the corpus folders (or single files) named on the command line through a fuzz target once, so
 * that the corpus is checked by every compiler and sanitizer, not only where libFuzzer is. A failure is an abort of
 * the target; the file's name is printed first, so the last one on stdout is the culprit. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path) {
    FILE *f = fopen(path, "rb");
    if (!f) {
        perror(path);
        return -1;
    }
    struct stat s;
    int failed = -1;
    /* A copy of exactly its size, so that a sanitizer sees one byte too far. */
    uint8_t *bytes = fstat(fileno(f), &s) == 0 ? malloc(s.st_size ? (size_t)s.st_size : 1) : NULL;
    if (bytes && fread(bytes, 1, (size_t)s.st_size, f) == (size_t)s.st_size) {
        printf("%s\n", path);
        fflush(stdout);
        failed = LLVMFuzzerTestOneInput(bytes, (size_t)s.st_size);
    } else {
        perror(path);
    }
    free(bytes);
    fclose(f);
    return failed ? -1 : 1;
}

/* Number of files replayed, or -1. */
static int replay_folder(const char *folder) {
    DIR *d = opendir(folder);
    if (!d)
        return replay_file(folder);
    int files = 0;
    struct dirent *entry;
    while (files >= 0 && (entry = readdir(d))) {
        char path[4096];
        if (entry->d_name[0] == '.')
            continue;
        if (snprintf(path, sizeof path, "%s/%s", folder, entry->d_name) >= (int)sizeof path)
            files = -1;
        else
            files = replay_file(path) < 0 ? -1 : files + 1;
    }
    closedir(d);
    return files;
}

int main(int argc, char **argv) {
    int total = 0;
    for (int i = 1; i < argc; i++) {
        int files = replay_folder(argv[i]);
        if (files < 0)
            return EXIT_FAILURE;
        total += files;
    }
    printf("%d inputs replayed\n", total);
    /* An empty corpus is a mistake in a path. */
    return total > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
