/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The instruction set of RFC 9669: conformance groups base32, base64, divmul32
 * and divmul64.  No atomic and no packet instructions.
 */
#ifndef SEVMON_AGENT_BPF_H
#define SEVMON_AGENT_BPF_H

#include "port.h"

#include <sevmon/program.h>

#define SEVMON_BPF_REGISTERS     11
#define SEVMON_BPF_STACK_BYTES  512 /* of each function that is active */
#define SEVMON_BPF_MAX_DEPTH      8 /* such functions, the first included */

/* RFC 9669, 3.1; an instruction with a 64-bit immediate takes two. */
struct sevmon_bpf_insn {
    uint8_t code;
    uint8_t regs; /* destination in the low half, source in the high one */
    int16_t offset;
    int32_t imm;
};

#define BPF_DST(insn)  ((insn)->regs & 15)
#define BPF_SRC(insn)  ((insn)->regs >> 4)

/* Instruction classes: RFC 9669, 3.2. */
#define BPF_CLASS(code)  ((code) & 0x07)
#define BPF_LD     0x00
#define BPF_LDX    0x01
#define BPF_ST     0x02
#define BPF_STX    0x03
#define BPF_ALU    0x04
#define BPF_JMP    0x05
#define BPF_JMP32  0x06
#define BPF_ALU64  0x07

/* Of arithmetic and jumps. */
#define BPF_OP(code)  ((code) & 0xf0)
#define BPF_X         0x08 /* operand: a register; else the immediate */

#define BPF_ADD   0x00
#define BPF_SUB   0x10
#define BPF_MUL   0x20
#define BPF_DIV   0x30
#define BPF_OR    0x40
#define BPF_AND   0x50
#define BPF_LSH   0x60
#define BPF_RSH   0x70
#define BPF_NEG   0x80
#define BPF_MOD   0x90
#define BPF_XOR   0xa0
#define BPF_MOV   0xb0
#define BPF_ARSH  0xc0
#define BPF_END   0xd0

#define BPF_JA    0x00
#define BPF_JEQ   0x10
#define BPF_JGT   0x20
#define BPF_JGE   0x30
#define BPF_JSET  0x40
#define BPF_JNE   0x50
#define BPF_JSGT  0x60
#define BPF_JSGE  0x70
#define BPF_CALL  0x80
#define BPF_EXIT  0x90
#define BPF_JLT   0xa0
#define BPF_JLE   0xb0
#define BPF_JSLT  0xc0
#define BPF_JSLE  0xd0

/* Of loads and stores. */
#define BPF_MODE(code)  ((code) & 0xe0)
#define BPF_IMM    0x00
#define BPF_MEM    0x60
#define BPF_MEMSX  0x80
#define BPF_SIZE(code)  ((code) & 0x18)
#define BPF_W   0x00
#define BPF_H   0x08
#define BPF_B   0x10
#define BPF_DW  0x18

#define BPF_LD_IMM64  (BPF_LD | BPF_IMM | BPF_DW)

/* Source register of a call: RFC 9669, 4.3. */
#define BPF_CALL_HELPER  0
#define BPF_CALL_LOCAL   1

/* Bytes that a load or store moves. */
static inline unsigned int sevmon_bpf_bytes(uint8_t code)
{
    switch ( BPF_SIZE(code) )
    {
    case BPF_B:
        return 1;
    case BPF_H:
        return 2;
    case BPF_W:
        return 4;
    }

    return 8;
}

#endif /* SEVMON_AGENT_BPF_H */
