/* SPDX-License-Identifier: Apache-2.0
 * SPDX-FileCopyrightText: The Troupe authors
 *
 * A PUB on its way: to an inbox, to nobody, or to each target that its topic reaches. */
#ifndef TRP_BROKER_PUBLISH_H
#define TRP_BROKER_PUBLISH_H

#include "broker/core_state.h"

void trp_publish(struct trp_core *c, struct trp_peer *p, const struct trp_envelope *e);

#endif
