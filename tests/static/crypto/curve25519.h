/* SPDX-License-Identifier: Apache-2.0 */
/* In place of Linux's header: X25519 as eva_crypto.h says. */
#include "eva_crypto.h"
