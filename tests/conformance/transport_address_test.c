/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Addresses: what is wrong with one is said in a sentence; names are looked up; a socket file that nobody answers is
 * taken over, and by one taker only. */
#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/link_rig.h"
#include "tests/support/run.h"

static void bad_listen(const char *url, troupe_status expected, const char *part) {
    struct trp_listener *s = NULL;
    const char *why = "";
    ck_assert_int_eq(trp_listen(&s, &rig.loop, url, NULL, &rig_handler, NULL, NULL, &why), expected);
    ck_assert_msg(strstr(why, part) != NULL, "%s: %s", url, why);
    ck_assert_ptr_null(s);
}

static void bad_dial(const char *url, troupe_status expected, const char *part) {
    const char *why = "";
    ck_assert_int_eq(trp_link_dial(&far.link, &rig.loop, url, NULL, &rig_handler, &far, &why), expected);
    ck_assert_msg(strstr(why, part) != NULL, "%s: %s", url, why);
    ck_assert_ptr_null(far.link);
}

START_TEST(bad_urls_are_explained) {
    char url[600] = "ipc:///tmp/";
    memset(url + strlen(url), 'x', 200);
    bad_listen("nonsense", TROUPE_BAD_URL, "");
    bad_listen("tcp://127.0.0.1", TROUPE_BAD_URL, "port");
    bad_listen("wss://127.0.0.1:80", TROUPE_UNSUPPORTED, "tcp://, ipc://");
    bad_listen("tcp://192.0.2.1:80", TROUPE_SYSTEM, "192.0.2.1");
    bad_listen(url, TROUPE_BAD_URL, "107");
    bad_listen("ipc:///no/such/folder/s", TROUPE_SYSTEM, "/no/such/folder/s");
    bad_dial("nonsense", TROUPE_BAD_URL, "");
    bad_dial("wss://127.0.0.1:80", TROUPE_UNSUPPORTED, "tcp://, ipc://");
    bad_dial("tcp://*:80", TROUPE_BAD_URL, "not dialled");
    bad_dial("tcp://127.0.0.1:0", TROUPE_BAD_URL, "not dialled");
    bad_dial(url, TROUPE_BAD_URL, "107");
    trp_loop_once(&rig.loop, 0);
}
END_TEST

static void dialled_in_vain(const char *url, troupe_status expected) {
    far = (struct end){0};
    rig_dial_to(&far, url, NULL);
    RIG_WAIT(far.downs == 1);
    ck_assert_int_eq(far.status, expected);
    ck_assert_int_gt((int)strlen(far.why), 5);
}

/* A machine without a network can't tell, or not in time. */
static bool is_lookup_failure(troupe_status st) {
    return st == TROUPE_NOT_FOUND || st == TROUPE_AGAIN || st == TROUPE_TIMEOUT || st == TROUPE_SYSTEM;
}

START_TEST(a_name_that_is_not_there_comes_as_down) {
    rig_dial_to(&far, "tcp://no.such.host.invalid:4747", NULL);
    RIG_WAIT(far.downs == 1);
    ck_assert(is_lookup_failure(far.status));
}
END_TEST

START_TEST(a_name_that_is_not_there_cannot_be_listened_on) {
    struct trp_listener *s = NULL;
    const char *why = "";
    troupe_status st = trp_listen(&s, &rig.loop, "tcp://no.such.host.invalid:1", NULL, &rig_handler, NULL, NULL, &why);
    ck_assert(is_lookup_failure(st));
    ck_assert_ptr_nonnull(strstr(why, "cannot be looked up"));
}
END_TEST

START_TEST(a_name_may_be_given_up_while_it_is_looked_up) {
    rig_dial_to(&far, "tcp://no.such.host.invalid:4747", NULL);
    trp_link_close(far.link, 0);
    RIG_WAIT(far.downs == 1);
}
END_TEST

/* --- a name with the addresses that a test gives it ---
 *
 * This getaddrinfo(3) is the one that libuv calls: the program's own comes first, if it can be seen. */

static struct addrinfo faces[4];
static union {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
} addresses[4];

static void give_address(int i, const char *host, const char *url, bool last) {
    int port = atoi(strrchr(url, ':') + 1);
    bool v6 = strchr(host, ':') != NULL;
    ck_assert_int_eq(v6 ? uv_ip6_addr(host, port, &addresses[i].v6) : uv_ip4_addr(host, port, &addresses[i].v4), 0);
    faces[i] = (struct addrinfo){
        .ai_family = v6 ? AF_INET6 : AF_INET,
        .ai_socktype = SOCK_STREAM,
        .ai_addr = &addresses[i].any,
        .ai_addrlen = v6 ? sizeof addresses[i].v6 : sizeof addresses[i].v4,
        .ai_next = last ? NULL : &faces[i + 1],
    };
}

TROUPE_API int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **list) {
    int (*next)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    if (strcmp(name, "many.faces.test") == 0) {
        *list = faces;
        return 0;
    }
    *(void **)&next = dlsym(RTLD_NEXT, "getaddrinfo");
    return next(name, service, hints, list);
}

TROUPE_API void freeaddrinfo(struct addrinfo *list) {
    void (*next)(struct addrinfo *);
    if (list == faces)
        return;
    *(void **)&next = dlsym(RTLD_NEXT, "freeaddrinfo");
    next(list);
}

/* Refused at one family, then at the other, then unreachable without a packet: the last one answers. */
START_TEST(every_address_of_a_name_is_tried) {
    static const char *const hosts[] = {"127.0.0.1", "::1"};
    rig_listen(_i);
    give_address(0, hosts[!_i], rig.url, false);
    give_address(1, _i ? "127.0.0.2" : "::1", rig.url, false);
    give_address(2, "255.255.255.255", rig.url, false);
    give_address(3, hosts[_i], rig.url, true);
    rig_dial_to(&far, "tcp://many.faces.test:1", NULL);
    trp_link_send(far.link, "hello", 5);
    RIG_WAIT(far.ups + far.downs == 1);
    ck_assert_msg(far.ups == 1, "%s", far.why);
    ck_assert_str_eq(trp_link_peer(far.link), rig.url);
    RIG_WAIT(rig.accepted[0]->frames == 1);
}
END_TEST

START_TEST(no_address_of_a_name_answers) {
    rig_listen(_i);
    give_address(0, "255.255.255.255", rig.url, false);
    give_address(1, _i ? "127.0.0.2" : "::1", rig.url, true);
    rig_dial_to(&far, "tcp://many.faces.test:1", NULL);
    RIG_WAIT(far.downs == 1);
    ck_assert_int_eq(far.status, TROUPE_REFUSED);
}
END_TEST

START_TEST(a_name_can_be_listened_on) {
    const char *why = "";
    give_address(0, _i ? "::1" : "127.0.0.1", ":0", true);
    struct trp_listener *s;
    ck_assert_int_eq(trp_listen(&s, &rig.loop, "tcp://many.faces.test:0", NULL, &rig_handler, NULL, NULL, &why), TROUPE_OK);
    close(raw_connect(trp_listener_url(s)));
    trp_listener_close(&s);
}
END_TEST

/* Every address of localhost is tried: the listener has only one of localhost's. */
START_TEST(localhost_is_found_on_either_address) {
    char url[64];
    rig_listen(_i);
    snprintf(url, sizeof url, "tcp://localhost%s", strrchr(rig.url, ':'));
    rig_dial_to(&far, url, NULL);
    RIG_WAIT(far.ups + far.downs == 1);
    if (_i == RIG_TCP6 && far.downs)
        ck_assert_int_eq(far.status, TROUPE_REFUSED); /* a machine whose localhost is IPv4 only */
    else
        ck_assert_str_eq(trp_link_peer(far.link), rig.url);
}
END_TEST

START_TEST(nobody_on_any_address_of_localhost) {
    dialled_in_vain("tcp://localhost:1", TROUPE_REFUSED);
}
END_TEST

START_TEST(a_star_takes_both_families) {
    const char *why = "";
    char url[64];
    struct trp_listener *s;
    ck_assert_int_eq(trp_listen(&s, &rig.loop, "tcp://*:0", NULL, &rig_handler, NULL, NULL, &why), TROUPE_OK);
    static const char *const hosts[] = {"127.0.0.1", "[::1]"};
    for (int i = 0; i < 2; i++) {
        snprintf(url, sizeof url, "tcp://%s%s", hosts[i], strrchr(trp_listener_url(s), ':'));
        close(raw_connect(url));
    }
    trp_listener_close(&s);
}
END_TEST

/* --- ipc paths --- */

static char *ipc_path(void) {
    static char path[128];
    snprintf(path, sizeof path, "%s/s", rig.folder);
    return path;
}

START_TEST(a_stale_ipc_path_is_taken_over) {
    char url[128];
    int fd = raw_listen(RIG_IPC, url, sizeof url);
    close(fd);
    ck_assert_int_eq(access(ipc_path(), F_OK), 0);
    dialled_in_vain(url, TROUPE_REFUSED);
    far.link = NULL;
    rig_listen(RIG_IPC);
    rig_still_listens();
    trp_listener_close(&rig.listener);
    trp_loop_once(&rig.loop, 0);
    ck_assert_int_ne(access(ipc_path(), F_OK), 0);
}
END_TEST

START_TEST(what_is_not_a_socket_is_left_alone) {
    int fd = open(ipc_path(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    ck_assert_int_eq(write(fd, "data", 4), 4);
    close(fd);
    bad_listen(rig_url_for(RIG_IPC), TROUPE_ADDRESS_IN_USE, "not a socket");
    ck_assert_int_eq(access(ipc_path(), F_OK), 0);
    unlink(ipc_path());
}
END_TEST

/* Whoever looks at a path holds the folder meanwhile: two that start at once can't take it from each other. */
START_TEST(a_path_somebody_is_taking_is_left_to_him) {
    int folder = open(rig.folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ck_assert_int_eq(flock(folder, LOCK_EX), 0);
    bad_listen(rig_url_for(RIG_IPC), TROUPE_ADDRESS_IN_USE, "another process");
    close(folder);
    rig_listen(RIG_IPC);
    folder = open(rig.folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ck_assert_int_eq(flock(folder, LOCK_EX | LOCK_NB), 0); /* and lets it go */
    close(folder);
}
END_TEST

enum { RIVALS = 8 };

static void rival(const char *url, int go, int results) {
    struct trp_listener *s = NULL;
    const char *why;
    char c;
    (void)!read(go, &c, 1);
    ck_assert_int_eq(uv_loop_fork(&rig.loop.uv), 0);
    c = trp_listen(&s, &rig.loop, url, NULL, &rig_handler, NULL, NULL, &why) == TROUPE_OK;
    (void)!write(results, &c, 1);
    pause();
    _exit(0);
}

/* How many of the rivals got the path. */
static int race_for(const char *url) {
    int results[2], go[2], won = 0;
    pid_t rivals[RIVALS];
    ck_assert_int_eq(pipe2(results, O_CLOEXEC), 0);
    ck_assert_int_eq(pipe2(go, O_CLOEXEC), 0);
    for (int i = 0; i < RIVALS; i++) {
        rivals[i] = fork();
        if (rivals[i] == 0)
            rival(url, go[0], results[1]);
    }
    ck_assert_int_eq(write(go[1], "gogogogo", RIVALS), RIVALS);
    for (int i = 0; i < RIVALS; i++) {
        char c;
        ck_assert_int_eq(read(results[0], &c, 1), 1);
        won += c;
    }
    close(raw_connect(url)); /* and the path leads to the one that won */
    for (int i = 0; i < RIVALS; i++) {
        kill(rivals[i], SIGKILL);
        waitpid(rivals[i], NULL, 0);
    }
    for (int i = 0; i < 2; i++) {
        close(results[i]);
        close(go[i]);
    }
    return won;
}

START_TEST(only_one_takes_a_stale_path_over) {
    char url[128];
    close(raw_listen(RIG_IPC, url, sizeof url));
    for (int round = 0; round < 10; round++)
        ck_assert_int_eq(race_for(url), 1);
    unlink(ipc_path());
}
END_TEST

int main(void) {
    Suite *s = suite_create("transport addresses");
    const TTest *const tcp[] = {
        every_address_of_a_name_is_tried,
        no_address_of_a_name_answers,
        a_name_can_be_listened_on,
        localhost_is_found_on_either_address,
    };
    const TTest *const once[] = {
        bad_urls_are_explained,
        a_name_that_is_not_there_comes_as_down,
        a_name_that_is_not_there_cannot_be_listened_on,
        a_name_may_be_given_up_while_it_is_looked_up,
        nobody_on_any_address_of_localhost,
        a_star_takes_both_families,
        a_stale_ipc_path_is_taken_over,
        what_is_not_a_socket_is_left_alone,
        a_path_somebody_is_taking_is_left_to_him,
        only_one_takes_a_stale_path_over,
    };
    rig_case(s, "tcp", tcp, sizeof tcp / sizeof *tcp, RIG_IPC);
    rig_case(s, "addresses", once, sizeof once / sizeof *once, 1);
    return run_suite(s);
}
