/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* What Linux's aes-gcm-aesni-x86_64.S asks of <linux/linkage.h>. */
#ifndef SEVMON_LINUX_LINKAGE_H
#define SEVMON_LINUX_LINKAGE_H

#ifdef __XEN__

/* RET, for Xen's return thunks, and ENDBR64. */
#include <asm/asm_defns.h>

#else

#ifdef __CET__
#include <cet.h>
#define ENDBR64 _CET_ENDBR
#else
#define ENDBR64
#endif
#define RET ret

/* Nothing here needs an executable stack. */
.section .note.GNU-stack, "", @progbits

#endif

#define SYM_FUNC_START(name)   \
    .p2align 4;                \
    .globl name;               \
    .type name, @function;     \
    name: ENDBR64

#define SYM_FUNC_END(name) .size name, . - name

#endif /* SEVMON_LINUX_LINKAGE_H */
