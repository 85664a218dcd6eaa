/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Packing, and becoming. */
#include "actors/program.h"

#include <errno.h>
#include <unistd.h>

#include "transports/alloc.h"

extern char **environ;

static uint32_t count(const char *const *strings) {
    uint32_t n = 0;
    while (strings && strings[n])
        n++;
    return n;
}

static troupe_status put_all(struct trp_buf *out, const char *const *strings) {
    troupe_status st = TROUPE_OK;
    for (; st == TROUPE_OK && strings && *strings; strings++)
        st = trp_buf_put(out, *strings, strlen(*strings) + 1);
    return st;
}

troupe_status trp_program_pack(struct trp_buf *out, const char *dir, const char *const *argv, const char *const *env,
                               bool clear_env) {
    struct trp_program head;
    memset(&head, 0, sizeof head); /* the padding travels, too */
    head.argc = count(argv);
    head.envc = count(env);
    head.clear_env = clear_env;
    if (head.argc == 0 || !argv[0][0])
        return TROUPE_INVALID;
    if (!dir)
        dir = "";
    troupe_status st = trp_buf_put(out, &head, sizeof head);
    if (st == TROUPE_OK)
        st = trp_buf_put(out, dir, strlen(dir) + 1);
    if (st == TROUPE_OK)
        st = put_all(out, argv);
    return st == TROUPE_OK ? put_all(out, env) : st;
}

/* The next string; NULL: there is none, or it has no end. */
static char *next(const uint8_t **p, const uint8_t *end) {
    const uint8_t *zero = *p < end ? memchr(*p, 0, (size_t)(end - *p)) : NULL;
    char *s = (char *)(uintptr_t)*p;
    if (!zero)
        return NULL;
    *p = zero + 1;
    return s;
}

/* `count` strings and a NULL behind `kept` that are there. */
static char **list(char **kept, size_t nkept, uint32_t n, const uint8_t **p, const uint8_t *end) {
    char **all = trp_array(NULL, nkept + n + 1, sizeof *all);
    if (!all)
        return NULL;
    for (size_t i = 0; i < nkept; i++)
        all[i] = kept[i];
    for (uint32_t i = 0; i < n; i++) {
        if (!(all[nkept + i] = next(p, end)))
            return NULL;
    }
    all[nkept + n] = NULL;
    return all;
}

static bool same_name(const char *a, const char *b) {
    size_t n = strcspn(a, "=");
    return n == strcspn(b, "=") && memcmp(a, b, n) == 0;
}

/* Takes out what a later one replaces. */
static void last_wins(char **env) {
    char **kept = env;
    for (char **e = env; *e; e++) {
        bool replaced = false;
        for (char **later = e + 1; *later && !replaced; later++)
            replaced = same_name(*e, *later);
        if (!replaced)
            *kept++ = *e;
    }
    *kept = NULL;
}

int trp_program_exec(const uint8_t *bytes, size_t size) {
    struct trp_program head;
    const uint8_t *p = bytes + sizeof head, *end = bytes + size;
    size_t inherited = 0;
    if (size < sizeof head)
        return EINVAL;
    memcpy(&head, bytes, sizeof head);
    const char *dir = next(&p, end);
    while (!head.clear_env && environ && environ[inherited])
        inherited++;
    char **argv = dir ? list(NULL, 0, head.argc, &p, end) : NULL;
    char **env = argv ? list(environ, inherited, head.envc, &p, end) : NULL;
    if (!env)
        return dir ? ENOMEM : EINVAL;
    last_wins(env);
    if (dir[0] && chdir(dir) < 0)
        return errno;
    environ = env; /* execvp looks for PATH there */
    execvp(argv[0], argv);
    return errno;
}
