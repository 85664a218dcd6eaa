/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A handler actor as bytes: what trp_handler_body (backend.h) takes as its argument. */
#ifndef TRP_HANDLER_H
#define TRP_HANDLER_H

#include <troupe/handler.h>

#include "transports/buf.h"

/* Appends it, with a copy of the state. INVALID; NO_MEMORY. */
TROUPE_NODISCARD troupe_status trp_handler_pack(struct trp_buf *out, const troupe_handler *handler, struct trp_slice state);

#endif
