/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * The outside from inside a body: waiting for a descriptor, and streams (TCP, unix sockets, pipes), for every kind of
 * actor. A call that has to wait parks the actor that called it and nobody else; ten thousand coroutines may each wait
 * for a stream of their own on one thread.
 *
 *     static void echo(troupe_self *self, troupe_stream *peer, void *arg) {
 *         const char *line;
 *         size_t n;
 *         while (troupe_stream_read_line(self, peer, 1024, 60000, &line, &n) == TROUPE_OK &&
 *                troupe_stream_write(self, peer, line, n, 60000) == TROUPE_OK)
 *             ;
 *     }
 *
 *     troupe_listener *door;
 *     troupe_stream *peer;
 *     if (troupe_listener_open(self, "tcp://127.0.0.1:8088", &door) != TROUPE_OK)
 *         return;
 *     while (troupe_listener_accept(self, door, TROUPE_FOREVER, &peer) == TROUPE_OK)
 *         if (troupe_stream_spawn(self, NULL, echo, &peer, NULL, 0, NULL) != TROUPE_OK)
 *             break;
 *     troupe_listener_close(&door);
 *
 * A stream or listener is used by one actor at a time: the one that opened it, or the one that it was given to. What a
 * body has opened it closes; being killed shows in its calls as CLOSED, and does not close for it (a process's are
 * closed by its end). Nothing here has to do with a broker: its connections are the runtime's own.
 *
 * Time-outs are milliseconds from now, TROUPE_FOREVER and 0 (as much as can be done without waiting). */
#ifndef TROUPE_STREAM_H
#define TROUPE_STREAM_H

#include <troupe/actor.h>

/* --- descriptors --- */

enum { TROUPE_READABLE = 1, TROUPE_WRITABLE = 2, TROUPE_MAIL = 4 };

/* Waits until a descriptor is ready for one of `events`; *ready (may be NULL) says for which. With TROUPE_MAIL beside them also
 * until troupe_receive has something to say, a message or that the actor is to close: it then does not park. An end and an
 * error of the other side count as both: the next read or write tells. A file of a disk is always ready. The descriptor stays
 * the caller's, and stays open while it is waited for; others may wait for it at the same time. TIMEOUT; CLOSED: killed.
 * Faults: INVALID (no descriptor, no events), NO_MEMORY, SYSTEM. Context: self; parks. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_wait_fd(troupe_self *self, int fd, unsigned events, int64_t timeout_ms,
                                                         unsigned *ready);

/* --- streams --- */

typedef struct troupe_stream troupe_stream;

/* Connects to tcp://HOST:PORT or ipc://PATH; host names are looked up on a thread of their own, every address of one is tried,
 * TCP_NODELAY is set. *out is given: troupe_stream_close. REFUSED: nobody listens there; NOT_FOUND: no such host or path;
 * TIMEOUT; CLOSED: killed. Faults: BAD_URL, NO_MEMORY, SYSTEM. Context: self; parks. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_stream_connect(troupe_self *self, const char *url, int64_t timeout_ms,
                                                                troupe_stream **out);

/* Makes a stream of a descriptor that can be waited for: a pipe, a socket, a terminal. With OK the stream owns it, and it does
 * not block from now on. Faults: INVALID, NO_MEMORY. Context: any actor of this process; does not block. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_stream_adopt(int fd, troupe_stream **out);

/* Reads what is there, at least one byte and at most `size` (not 0), into the caller's memory; *n says how much. EOF: the other
 * side has finished; RESET: it broke the connection; TIMEOUT; CLOSED: killed. Faults: SYSTEM, INVALID. Context: self; parks
 * while nothing is there. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_stream_read(troupe_self *self, troupe_stream *s, void *buf, size_t size,
                                                             int64_t timeout_ms, size_t *n);

/* The next line, without its "\n" or "\r\n", ended by a zero byte (which it may also contain: *n counts). Borrowed until the
 * next read of this stream. What follows the last line end is a line, too. TOO_BIG: longer than `max` bytes, and none of it is
 * taken; otherwise as troupe_stream_read, and NO_MEMORY; after a TIMEOUT the beginning of the line is still there for the next
 * read of either kind. Context: self; parks. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_stream_read_line(troupe_self *self, troupe_stream *s, size_t max,
                                                                  int64_t timeout_ms, const char **line, size_t *n);

/* Writes all of it. TIMEOUT, CLOSED (killed): a part of it may have been written, so the stream is good for reading only.
 * RESET: the other side is gone. Fault: SYSTEM. Context: self; parks while the other side does not read. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_stream_write(troupe_self *self, troupe_stream *s, const void *p, size_t n,
                                                              int64_t timeout_ms);

/* Says that nothing more will be written: the other side reads EOF, and may go on writing. A pipe's writing end is closed by
 * it. UNSUPPORTED: what was adopted has no such half. Context: its user; does not block. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_stream_finish(troupe_stream *s);

/* The descriptor, borrowed: for options, not to read from. */
TROUPE_API int troupe_stream_fd(const troupe_stream *s);

/* Closes it and sets *s to NULL; what was written is still delivered by the kernel. Accepts NULL inside.
 * Context: its user; does not block. */
TROUPE_API void troupe_stream_close(troupe_stream **s);

/* A body with a stream, which is borrowed: it is closed when the body has returned. `arg` as in troupe_body. */
typedef void troupe_stream_body(troupe_self *self, troupe_stream *s, void *arg);

/* Gives a stream to a new coroutine or thread. *s is taken (and set to NULL) in every case: it is closed after the body, also
 * when the actor is killed before it begins, and at once when it can't be spawned. Otherwise as troupe_spawn. INVALID also:
 * opts asks for a process (which has descriptors of its own) or a restart. UNSUPPORTED: this actor is a process.
 * Context: self. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_stream_spawn(troupe_self *self, const troupe_spawn_opts *opts,
                                                              troupe_stream_body *body, troupe_stream **s, const void *arg,
                                                              size_t arg_size, troupe_ref *out);

/* --- listeners --- */

typedef struct troupe_listener troupe_listener;

/* Listens at tcp://HOST:PORT (host '*': all, port 0: any) or ipc://PATH, whose socket is removed when the listener is closed;
 * one that was left behind by a dead process is replaced. *out is given: troupe_listener_close. ADDRESS_IN_USE; NOT_FOUND: no
 * such host or directory; CLOSED: killed. Faults: BAD_URL, NO_MEMORY, SYSTEM.
 * Context: self; parks for the look-up of a name. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_listener_open(troupe_self *self, const char *url, troupe_listener **out);

/* Where it listens, with the port that it got; borrowed. */
TROUPE_API const char *troupe_listener_url(const troupe_listener *l);

/* The next connection, given. One that is gone again is skipped; while there are no descriptors left it waits for some.
 * TIMEOUT; CLOSED: killed. Faults: NO_MEMORY, SYSTEM. Context: self; parks. */
TROUPE_API TROUPE_NODISCARD troupe_status troupe_listener_accept(troupe_self *self, troupe_listener *l, int64_t timeout_ms,
                                                                 troupe_stream **out);

/* Closes it and sets *l to NULL; connections that nobody has accepted are reset. Accepts NULL inside.
 * Context: its user; does not block. */
TROUPE_API void troupe_listener_close(troupe_listener **l);

#endif
