/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * Actors: a body with state of its own, a mailbox, and nothing shared. The same body runs as a coroutine, a thread or
 * a process; one word says which.
 *
 *     static void echo(troupe_self *self, void *arg) {
 *         troupe_msg *msg;
 *         while (troupe_receive(self, TROUPE_FOREVER, &msg) == TROUPE_OK) {
 *             troupe_reply(self, msg, troupe_msg_value(msg));
 *             troupe_msg_free(&msg);
 *         }
 *     }
 *
 *     troupe_system *sys;
 *     troupe_ref ref;
 *     troupe_system_open(&sys, NULL);                        // before the first thread of the program
 *     troupe_self *me = troupe_system_self(sys);             // the calling thread is an actor, too
 *     troupe_spawn(me, &(troupe_spawn_opts){.kind = TROUPE_PROCESS}, echo, NULL, 0, &ref);
 *
 * Kinds
 *   TROUPE_COROUTINE  a stack of its own on one of the system's worker threads; cheap (some 4 KiB); every blocking call
 *                     here parks it alone, and may go on on another thread (so errno, thread-locals and the way of
 *                     rounding of the floating-point unit are not kept over it). One that
 *                     computes for long is told in the log, and others take over what shares its worker.
 *   TROUPE_THREAD     a thread of its own; uses a core of its own; a crash takes the whole process down.
 *   TROUPE_PROCESS    a process of its own, forked by the nursery; a crash (or kill -9) ends it alone and is reported;
 *                     it shares no memory: argument and messages are copied, globals are as they were when the system
 *                     was opened. It ignores SIGINT and SIGTERM, which terminals and service managers send to all
 *                     processes of a service: the program drains, and closes it.
 *
 * Life of an actor (calls legal in each state)
 *
 *     starting --> running --> closing --> ended        closing: what is queued is handed out first, then
 *         |           |           |          ^          troupe_receive says CLOSED and the body should return
 *         +-----------+-----------+----------+          any --> ended: killed, crashed
 *                      ended --> starting               only with .restart, after the back-off; its mailbox goes on filling
 *                                                       meanwhile, and a close then ends it at once
 *
 * Messages are owned by who received them; payloads are copied on the way in, so that nothing is shared. Time-outs are
 * milliseconds from now, TROUPE_FOREVER and 0 as in client.h.
 *
 * Beside this page: <troupe/timer.h> (messages sent later), <troupe/test.h> (systems whose time and order a test chooses).
 *
 * A child that the program itself has forked while a system was open has a copy that it cannot use: all calls there say
 * UNSUPPORTED, and those that have no status (which free or close something, and troupe_yield) do nothing that the original
 * could notice. It may open a system of its own.
 *
 * `Context: self` below means: only from the body whose self it is (or the thread, for the system's own self). */
#ifndef TROUPE_ACTOR_H
#define TROUPE_ACTOR_H

#include <troupe/client.h>

typedef struct troupe_system troupe_system;
typedef struct troupe_self troupe_self;

/* Names an actor. A value: copy it, compare .id, keep it after the actor's end (then sends say NOT_FOUND).
 * Never reused. 0: nobody. */
typedef struct troupe_ref {
    uint64_t id;
} troupe_ref;

/* A reference inside a message, and out of one. False: the value is none. */
static inline troupe_value troupe_ref_value(troupe_ref ref) {
    return (troupe_value){.kind = TROUPE_UINT, .u = ref.id};
}
static inline bool troupe_value_ref(troupe_value v, troupe_ref *out) {
    if (v.kind != TROUPE_UINT && (v.kind != TROUPE_INT || v.i <= 0))
        return false;
    out->id = v.kind == TROUPE_UINT ? v.u : (uint64_t)v.i;
    return true;
}

typedef enum troupe_kind { TROUPE_COROUTINE, TROUPE_THREAD, TROUPE_PROCESS } troupe_kind;

/* "coroutine", "thread", "process", and back. NOT_FOUND. Context: any thread. */
TROUPE_API const char *troupe_kind_name(troupe_kind kind);
TROUPE_API TROUPE_NODISCARD troupe_status troupe_kind_parse(const char *name, troupe_kind *out);

/* A body: it runs once per life; returning is a normal end. `arg` points to a private copy of the bytes given to spawn. */
typedef void troupe_body(troupe_self *self, void *arg);

/* --- system --- */

typedef struct troupe_system_opts {
    /* Worker threads that coroutines run on; 0: one per CPU. */
    unsigned threads;
    /* URL for subscriptions and requests; NULL: TROUPE_BROKER, or TROUPE_DEFAULT_BROKER. Dialled at first use. */
    const char *broker;
    /* Told to the broker; NULL: the program's name. */
    const char *name;
    /* As in troupe_client_opts, for the actors of every kind. A broker that does not know the key, or knows none, is logged,
     * and tried again with a back-off up to 30 s, each time with what is in the file then. */
    const char *authkey_file;
    /* Do not fork the nursery: spawning a process is then UNSUPPORTED. */
    bool no_processes;
} troupe_system_opts;

/* Forks the nursery and makes the system; its worker threads start with the first coroutine. opts NULL: all defaults. The
 * calling thread becomes an actor of it (troupe_system_self). INVALID: the process has more than one thread already and
 * no_processes is not set (fork would be unsafe: open the system first thing in main). BAD_KEY: authkey_file (why is logged).
 * Faults: NO_MEMORY, SYSTEM. Context: the program's first thread; does not block. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_system_open(troupe_system **out, const troupe_system_opts *opts);

/* The opener's own self, for its thread only. */
TROUPE_API troupe_self *troupe_system_self(troupe_system *sys);

/* The usual rest of a main: waits until SIGINT or SIGTERM comes, or until every actor has ended; then closes all actors and
 * waits for them for drain_ms (0: 5,000), and kills what is left. OK: all ended by themselves in time; TIMEOUT: some had to be
 * killed, and a thread or coroutine that computes may not have noticed yet: then return from main without troupe_system_close,
 * which would wait for it; DIED: every actor ended and at least one of them, not restarted, by a crash.
 * Context: the opener's thread; blocks. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_system_run(troupe_system *sys, int64_t drain_ms);

/* Kills what still lives (threads and coroutines: told so, and waited for), ends the nursery, frees; the opener has freed its
 * messages before. Accepts NULL inside. Context: the opener's thread; blocks until bodies have returned. */
TROUPE_API void troupe_system_close(troupe_system **sys);

/* --- birth and death --- */

typedef enum troupe_restart {
    TROUPE_TEMPORARY, /* never (the default) */
    TROUPE_TRANSIENT, /* after a crash or a kill from outside */
    TROUPE_PERMANENT, /* after every end but troupe_close and troupe_kill */
} troupe_restart;

typedef enum troupe_overflow {
    TROUPE_PARK,        /* a full mailbox makes the sender wait (the default) */
    TROUPE_FAIL,        /* the sender gets FULL */
    TROUPE_DROP_OLDEST, /* the oldest message goes, counted as a dead letter */
} troupe_overflow;

/* What the process of a process actor may use; 0: no limit of ours. An actor that breaks one ends by it, and its exit says so
 * in brackets. Memory, files and seconds are limits of the kernel for that process, and always hold. Where control groups can
 * be written (version 1; version 2 if the program's own group has no process in it, or TROUPE_CGROUP names a folder that was
 * handed to it) the process has besides a group of its own, for it and all that it starts: that may touch a quarter and 16 MiB
 * more than `memory` together ("SIGKILL (memory limit)"), and what is left of it at the actor's end is killed. cpu_percent and
 * tasks are that group's alone: without groups they mean nothing. */
typedef struct troupe_limits {
    /* Bytes of address space beyond what it has when its body begins: malloc gives NULL then. "SIGSEGV (memory limit)". */
    size_t memory;
    unsigned cpu_seconds; /* of processor time, of one life. "SIGXCPU (CPU limit)" */
    unsigned files;       /* descriptors: opening more gives EMFILE. A dozen are in use before the first */
    unsigned cpu_percent; /* of one processor, at most so much in each tenth of a second: it is slower, nothing ends */
    unsigned tasks;       /* processes and threads, itself counted: fork and pthread_create say EAGAIN */
} troupe_limits;

typedef struct troupe_spawn_opts {
    troupe_kind kind;
    const char *name;     /* for logs, thread and process titles; NULL: "actor-N" */
    size_t mailbox;       /* messages; 0: 1,024 */
    size_t mailbox_bytes; /* 0: 64 MiB */
    troupe_overflow overflow;
    bool link;       /* linked with its spawner from birth (<troupe/monitor.h>) */
    bool registered; /* its name is registered from birth (<troupe/names.h>); EXISTS: another one has it */
    size_t stack;    /* bytes, coroutines and threads; 0: 64 KiB for coroutines, the system's for threads */
    troupe_restart restart;
    int64_t backoff_min_ms; /* before the first restart; doubles at each that follows within backoff_max_ms; 0: 100 */
    int64_t backoff_max_ms; /* 0: 10,000 */
    /* Of a body, any kind: after so many its receive says CLOSED once, and when it has returned it begins anew, as if it had
     * been restarted, but at once and whatever .restart says. No message sent to it is lost, nobody is told. 0: never. */
    uint64_t max_messages;
    /* Processes: it is killed when it has one message in hand (from a receive to the next) for longer, computing, parked or
     * stopped, or is stopped and does not take its messages; "SIGKILL (deadline of 200 ms)". Looked at eight times in that
     * time; before its first receive it has all the time it wants. 0: never. */
    int64_t deadline_ms;
    troupe_limits limits; /* processes */
    bool clean_env;       /* processes: its environment has only PATH, HOME, USER, LANG, LC_*, TZ, TMPDIR, TERM and TROUPE_* */
} troupe_spawn_opts;

/* Starts an actor; the call returns when it is known to the system, not when it runs. The arg_size bytes at arg are copied (0:
 * the body gets NULL). A process's body must be a function of this program or of a library loaded when the system was opened.
 * out may be NULL. CLOSED: the system is closing. Faults: INVALID (also what is for processes alone, for another kind),
 * UNSUPPORTED, NO_MEMORY, SYSTEM (of a process also: somebody has stopped the nursery, see DESIGN.md; it will not begin later,
 * either), NO_NURSERY. Context: self. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_spawn(troupe_self *self, const troupe_spawn_opts *opts, troupe_body *body,
                                                       const void *arg, size_t arg_size, troupe_ref *out);

typedef enum troupe_end {
    TROUPE_END_NORMAL,
    TROUPE_END_KILLED,
    TROUPE_END_EXIT,
    TROUPE_END_SIGNAL,
    TROUPE_END_GIVEN,    /* its body said so: troupe_exit_with */
    TROUPE_END_LINKED,   /* died with one it was linked to */
    TROUPE_END_SHUTDOWN, /* ended because its supervisor asked it to */
    TROUPE_END_NOPROC,   /* of a DOWN: it was not there */
    TROUPE_END_NODE,     /* of an actor of another node: that is lost (<troupe/node.h>) */
} troupe_end;

typedef struct troupe_exit {
    troupe_end how;
    int code;      /* END_EXIT: the exit status; END_SIGNAL: the signal; END_GIVEN: the body's; END_LINKED: the other's */
    char text[64]; /* "normal", "killed", "exit status 3", "SIGSEGV (core dumped)"; END_LINKED: the other's */
} troupe_exit;

/* Asks it to end: what is in its mailbox is handled first, then its receive says CLOSED. Sends to it say CLOSED from now on.
 * NOT_FOUND: it has ended. Context: self, and the actor itself; does not block. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_close(troupe_self *self, troupe_ref ref);

/* Ends it now. A process is killed in mid-computation; a coroutine or thread finds CLOSED at its next call here, whatever its
 * mailbox holds, and its body must return (nothing can end it safely from outside). NOT_FOUND.
 * Context: self; does not block. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_kill(troupe_self *self, troupe_ref ref);

/* Waits for its end; out (may be NULL) says how. OK also when it has ended long ago, if the system still remembers (the last
 * 4,096 ends); NOT_FOUND: never heard of. TIMEOUT. CLOSED: this actor was killed. INVALID: it is this actor. With .restart:
 * waits for the last end. Context: self; parks. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_join(troupe_self *self, troupe_ref ref, int64_t timeout_ms, troupe_exit *out);

/* --- inside a body --- */

/* Its own reference, name (borrowed, as long as the actor lives) and kind. Context: self. */
TROUPE_API troupe_ref troupe_self_ref(const troupe_self *self);
TROUPE_API const char *troupe_self_name(const troupe_self *self);
TROUPE_API troupe_kind troupe_self_kind(const troupe_self *self);

/* The next message, given: from actors, and from the broker for this actor's subscriptions, in the order of arrival. TIMEOUT;
 * CLOSED: the actor was closed and nothing is left, or killed: return from the body. NOT_FOUND: a queue that it consumes
 * (<troupe/actor_queue.h>) is gone, said once. Context: self; parks. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_receive(troupe_self *self, int64_t timeout_ms, troupe_msg **out);

/* Sends to an actor. Order is kept between one sender and one receiver. A full mailbox does as its owner chose: parks until
 * there is room, FULL, or OK. NOT_FOUND: it has ended; CLOSED: it is closing, or this actor was killed while it was parked.
 * Faults: INVALID, NO_MEMORY. OK means: it is in the mailbox, not: it will be handled. From a process OK may mean that it is on
 * its way there: the receiver was open when it left, and up to half of what its mailbox holds (512 at most) may be on the way
 * from one process, beyond its bound if need be; if the receiver ends first it is a dead letter. Context: self; may park. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_send(troupe_self *self, troupe_ref to, troupe_value v);
/* The same, never parking: FULL. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_try_send(troupe_self *self, troupe_ref to, troupe_value v);

/* Who sent it; 0: it came from the broker. */
TROUPE_API troupe_ref troupe_msg_sender(const troupe_msg *m);

/* Sends and waits for the answer, given. Other messages that come meanwhile stay in the mailbox, in order. TIMEOUT; NOT_FOUND;
 * DIED: it ended with the question in hand; FULL; CLOSED: it is closing, or this actor was killed. An answer may be an error:
 * troupe_msg_error, which is "UNANSWERED" when the question was freed without an answer. Faults: INVALID (also: it is this
 * actor, which could not answer while it waits), NO_MEMORY. Context: self; parks. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_ask(troupe_self *self, troupe_ref to, troupe_value v, int64_t timeout_ms,
                                                     troupe_msg **answer);

/* Answers a message from an actor or from the broker alike; once. NOT_FOUND: the sender waits for none, or is gone (a process
 * can't know the latter and says OK); DISCONNECTED. Does not free it. Context: self; does not park. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_reply(troupe_self *self, troupe_msg *m, troupe_value v);
TROUPE_API TROUPE_NODISCARD troupe_status troupe_reply_error(troupe_self *self, troupe_msg *m, const char *code,
                                                             const char *text);

/* TIMEOUT is not returned: OK after the time; CLOSED: killed meanwhile. Context: self; parks. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_sleep(troupe_self *self, int64_t ms);
/* Lets the others of this worker run. Context: self. */
TROUPE_API void troupe_yield(troupe_self *self);

/* --- topics ---
 *
 * A topic or pattern that begins with "local." stays inside the system and needs no broker: subscribe, publish and request do
 * there what they do through a broker, between all kinds of the system. What is published is in the mailboxes when publish
 * returns, in the same order for all; a mailbox without room loses it, as with a plain subscription; groups take turns, and
 * pass over who has no room (a credit is not counted: a mailbox of one message does the same).
 * troupe_msg_sender says who published. */

/* Messages of a topic or pattern come to this actor's mailbox from now on, also after reconnects; a broker that is not there
 * yet is waited for in the background. Without credit a message for which the mailbox has no room is dropped and counted as a
 * dead letter (a plain subscription is at most once). Faults: INVALID, NO_MEMORY, BAD_URL. A refusal by the broker is logged.
 * Ends with the actor. Context: self; does not park. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_subscribe(troupe_self *self, const char *pattern, const troupe_sub_opts *opts);
/* NOT_FOUND. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_unsubscribe(troupe_self *self, const char *pattern);

/* Publishes; waits for a connection for timeout_ms. DISCONNECTED. Faults: INVALID, NO_MEMORY, TOO_BIG.
 * Context: self; may park. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_publish(troupe_self *self, const char *topic, troupe_value v,
                                                         int64_t timeout_ms);
/* As troupe_client_request. CLOSED: killed meanwhile. Context: self; parks. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_request(troupe_self *self, const char *topic, troupe_value v,
                                                         int64_t timeout_ms, troupe_msg **answer);

#endif
