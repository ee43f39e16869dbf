/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#include "bpf-verify.h"

/* marks[] */
#define MARK_IMMEDIATE  (1U << 0) /* second half of a 64-bit immediate */
#define MARK_FUNCTION   (1U << 1) /* a function begins here */
#define MARK_QUEUED     (1U << 2)
#define MARK_REACHED    (1U << 3)

#define FRAME   10
#define R0      (1U << 0)
#define SCRATCH 0x003eU /* r1 to r5: a call takes them */
#define KEPT    0x03c0U /* r6 to r9 */
/* r1 is the input, r2 its length. */
#define AT_START (1U << FRAME | 1U << 1 | 1U << 2)

static bool is_load_or_store(uint8_t code)
{
    return BPF_CLASS(code) <= BPF_STX;
}

static bool is_arithmetic(uint8_t code)
{
    return BPF_CLASS(code) == BPF_ALU || BPF_CLASS(code) == BPF_ALU64;
}

static bool is_wide(const struct sevmon_bpf_insn *insn)
{
    return insn->code == BPF_LD_IMM64;
}

static bool is_jump(const struct sevmon_bpf_insn *insn)
{
    return (BPF_CLASS(insn->code) == BPF_JMP ||
            BPF_CLASS(insn->code) == BPF_JMP32) &&
           BPF_OP(insn->code) != BPF_CALL && BPF_OP(insn->code) != BPF_EXIT;
}

static bool is_always(const struct sevmon_bpf_insn *insn)
{
    return BPF_OP(insn->code) == BPF_JA;
}

static bool is_call(const struct sevmon_bpf_insn *insn)
{
    return insn->code == (BPF_JMP | BPF_CALL);
}

static bool is_local_call(const struct sevmon_bpf_insn *insn)
{
    return is_call(insn) && BPF_SRC(insn) == BPF_CALL_LOCAL;
}

static bool is_exit(const struct sevmon_bpf_insn *insn)
{
    return insn->code == (BPF_JMP | BPF_EXIT);
}

/* Where it leads, if it is a jump or a local call; may be anywhere. */
static int64_t target_of(const struct sevmon_bpf_insn *insn, uint32_t at)
{
    bool far = is_local_call(insn) || insn->code == (BPF_JMP32 | BPF_JA);

    return (int64_t)at + 1 + (far ? insn->imm : insn->offset);
}

/* ---- Encodings, one instruction by itself */

static uint32_t check_arithmetic(const struct sevmon_bpf_insn *insn)
{
    bool is_64 = BPF_CLASS(insn->code) == BPF_ALU64;
    bool has_source = insn->code & BPF_X;
    unsigned int op = BPF_OP(insn->code);

    if ( op > BPF_END )
        return SEVMON_VERDICT_OPCODE;
    if ( op == BPF_END )
    {
        if ( is_64 && has_source )
            return SEVMON_VERDICT_OPCODE;
        if ( insn->imm != 16 && insn->imm != 32 && insn->imm != 64 )
            return SEVMON_VERDICT_FIELD;

        return insn->offset || BPF_SRC(insn) ? SEVMON_VERDICT_FIELD : 0;
    }
    if ( op == BPF_NEG )
    {
        if ( has_source )
            return SEVMON_VERDICT_OPCODE;

        return insn->offset || BPF_SRC(insn) || insn->imm
               ? SEVMON_VERDICT_FIELD : 0;
    }
    if ( has_source ? insn->imm : BPF_SRC(insn) )
        return SEVMON_VERDICT_FIELD;
    if ( op == BPF_DIV || op == BPF_MOD )
        return insn->offset != 0 && insn->offset != 1
               ? SEVMON_VERDICT_FIELD : 0;
    if ( op == BPF_MOV && has_source )
        return insn->offset == 0 || insn->offset == 8 || insn->offset == 16 ||
               (is_64 && insn->offset == 32) ? 0 : SEVMON_VERDICT_FIELD;

    return insn->offset ? SEVMON_VERDICT_FIELD : 0;
}

static uint32_t check_jump(const struct sevmon_bpf_insn *insn)
{
    bool is_32 = BPF_CLASS(insn->code) == BPF_JMP32;
    unsigned int op = BPF_OP(insn->code);

    if ( op > BPF_JSLE || (is_32 && (op == BPF_CALL || op == BPF_EXIT)) )
        return SEVMON_VERDICT_OPCODE;
    if ( op == BPF_JA || op == BPF_CALL || op == BPF_EXIT )
    {
        if ( insn->code & BPF_X )
            return SEVMON_VERDICT_OPCODE;
        if ( BPF_DST(insn) || (op != BPF_CALL && BPF_SRC(insn)) )
            return SEVMON_VERDICT_FIELD;
        if ( op == BPF_CALL )
            return insn->offset || BPF_SRC(insn) > BPF_CALL_LOCAL
                   ? SEVMON_VERDICT_FIELD : 0;
        if ( op == BPF_EXIT || is_32 )
            return insn->offset || (op == BPF_EXIT && insn->imm)
                   ? SEVMON_VERDICT_FIELD : 0;

        return insn->imm ? SEVMON_VERDICT_FIELD : 0;
    }

    return (insn->code & BPF_X ? insn->imm : BPF_SRC(insn))
           ? SEVMON_VERDICT_FIELD : 0;
}

static uint32_t check_memory(const struct sevmon_bpf_insn *insn)
{
    uint8_t class = BPF_CLASS(insn->code), mode = BPF_MODE(insn->code);

    if ( class == BPF_LD )
    {
        if ( !is_wide(insn) )
            return SEVMON_VERDICT_OPCODE;

        /* Addresses of maps and the like are the loader's to put in. */
        return BPF_SRC(insn) || insn->offset ? SEVMON_VERDICT_FIELD : 0;
    }
    if ( mode != BPF_MEM && !(class == BPF_LDX && mode == BPF_MEMSX &&
                              BPF_SIZE(insn->code) != BPF_DW) )
        return SEVMON_VERDICT_OPCODE;

    return (class == BPF_ST ? BPF_SRC(insn) : insn->imm) ? SEVMON_VERDICT_FIELD
                                                         : 0;
}

static uint32_t check_registers(const struct sevmon_bpf_insn *insn)
{
    uint8_t class = BPF_CLASS(insn->code);
    bool writes = is_arithmetic(insn->code) || class == BPF_LD ||
                  class == BPF_LDX;

    if ( BPF_DST(insn) >= SEVMON_BPF_REGISTERS ||
         (!is_call(insn) && BPF_SRC(insn) >= SEVMON_BPF_REGISTERS) )
        return SEVMON_VERDICT_REGISTER;

    return writes && BPF_DST(insn) == FRAME ? SEVMON_VERDICT_REGISTER : 0;
}

/* A place that is named by r10 itself is in the stack. */
static uint32_t check_place(const struct sevmon_bpf_insn *insn)
{
    uint8_t class = BPF_CLASS(insn->code);
    unsigned int base = class == BPF_LDX ? BPF_SRC(insn) : BPF_DST(insn);
    int bytes = sevmon_bpf_bytes(insn->code);

    if ( class == BPF_LD || base != FRAME )
        return 0;

    return insn->offset < -SEVMON_BPF_STACK_BYTES || insn->offset > -bytes
           ? SEVMON_VERDICT_STACK : 0;
}

static uint32_t check_encoding(const struct sevmon_bpf_insn *insn)
{
    uint32_t reason = check_registers(insn);

    if ( reason )
        return reason;
    if ( is_arithmetic(insn->code) )
        return check_arithmetic(insn);
    if ( !is_load_or_store(insn->code) )
        return check_jump(insn);
    reason = check_memory(insn);

    return reason ? reason : check_place(insn);
}

static uint32_t pass_encodings(struct sevmon_bpf_verifier *v, uint32_t at)
{
    const struct sevmon_bpf_insn *insn = &v->insns[at];
    uint32_t reason;

    if ( v->marks[at] & MARK_IMMEDIATE )
        return insn->code || insn->regs || insn->offset ? SEVMON_VERDICT_FIELD
                                                        : 0;
    reason = check_encoding(insn);
    if ( reason || !is_wide(insn) )
        return reason;
    if ( at + 1 == v->count )
        return SEVMON_VERDICT_END;
    v->marks[at + 1] = MARK_IMMEDIATE;

    return 0;
}

/* ---- Functions, and where jumps lead */

/* Is it an instruction?  The caller does not speculate past its bounds. */
static bool is_place(const struct sevmon_bpf_verifier *v, int64_t target)
{
    return target >= 0 && target < v->count &&
           !(v->marks[array_index_nospec(target, v->count)] & MARK_IMMEDIATE);
}

static uint32_t pass_calls(struct sevmon_bpf_verifier *v, uint32_t at)
{
    int64_t target = target_of(&v->insns[at], at);

    if ( !is_local_call(&v->insns[at]) )
        return 0;
    if ( !is_place(v, target) )
        return SEVMON_VERDICT_JUMP;
    v->marks[array_index_nospec(target, v->count)] |= MARK_FUNCTION;

    return 0;
}

static uint32_t pass_functions(struct sevmon_bpf_verifier *v, uint32_t at)
{
    if ( v->marks[at] & MARK_FUNCTION )
        v->begin = at;
    v->function[at] = v->begin;

    return 0;
}

/* Does what is behind `insn` run after it, without a jump? */
static bool falls_through(const struct sevmon_bpf_insn *insn)
{
    return !is_exit(insn) && !(is_jump(insn) && is_always(insn));
}

static uint32_t pass_flow(struct sevmon_bpf_verifier *v, uint32_t at)
{
    const struct sevmon_bpf_insn *insn = &v->insns[at];
    uint32_t next = at + 1 + is_wide(insn);
    int64_t target = target_of(insn, at);

    if ( falls_through(insn) &&
         (next >= v->count || v->function[next] != v->function[at]) )
        return SEVMON_VERDICT_END;
    if ( !is_jump(insn) )
        return 0;
    if ( !is_place(v, target) )
        return SEVMON_VERDICT_JUMP;
    target = array_index_nospec(target, v->count);

    return v->function[target] != v->function[at] ? SEVMON_VERDICT_JUMP : 0;
}

static uint32_t pass_helpers(struct sevmon_bpf_verifier *v, uint32_t at)
{
    const struct sevmon_bpf_insn *insn = &v->insns[at];
    unsigned int arguments;

    return is_call(insn) && BPF_SRC(insn) == BPF_CALL_HELPER &&
           !v->helper(insn->imm, &arguments) ? SEVMON_VERDICT_HELPER : 0;
}

/*
 * Each round carries depths one call further, so one that changes something
 * after SEVMON_BPF_MAX_DEPTH others has found calls that deep.
 */
static uint32_t pass_depth(struct sevmon_bpf_verifier *v, uint32_t at)
{
    uint8_t depth = v->depth[v->function[at]] + 1;
    uint32_t target;

    if ( !is_local_call(&v->insns[at]) )
        return 0;
    target = target_of(&v->insns[at], at);
    if ( v->depth[target] >= depth )
        return 0;
    if ( depth >= SEVMON_BPF_MAX_DEPTH )
        return SEVMON_VERDICT_DEPTH;
    v->depth[target] = depth;
    v->again = true;

    return 0;
}

/* ---- Registers */

/* `at` is reached with `set`. */
static void reach(struct sevmon_bpf_verifier *v, uint32_t at, uint16_t set)
{
    uint16_t both = v->marks[at] & MARK_REACHED ? v->set[at] & set : set;

    if ( (v->marks[at] & MARK_REACHED) && both == v->set[at] )
        return;
    v->set[at] = both;
    v->marks[at] |= MARK_REACHED;
    if ( v->marks[at] & MARK_QUEUED )
        return;
    v->marks[at] |= MARK_QUEUED;
    v->queue[v->queued++] = at;
}

static uint16_t registers_read(const struct sevmon_bpf_verifier *v,
                               const struct sevmon_bpf_insn *insn)
{
    uint16_t dst = 1U << BPF_DST(insn), src = 1U << BPF_SRC(insn);
    unsigned int arguments = 0;

    switch ( BPF_CLASS(insn->code) )
    {
    case BPF_LD:
        return 0;
    case BPF_LDX:
        return src;
    case BPF_ST:
        return dst;
    case BPF_STX:
        return dst | src;
    case BPF_ALU:
    case BPF_ALU64:
        return (BPF_OP(insn->code) == BPF_MOV ? 0 : dst) |
               (BPF_OP(insn->code) != BPF_END && (insn->code & BPF_X) ? src
                                                                      : 0);
    }
    if ( is_exit(insn) )
        return R0;
    if ( is_call(insn) )
    {
        if ( BPF_SRC(insn) == BPF_CALL_HELPER )
            v->helper(insn->imm, &arguments);

        return ((1U << arguments) - 1) << 1;
    }
    if ( is_always(insn) )
        return 0;

    return dst | (insn->code & BPF_X ? src : 0);
}

static uint16_t registers_after(const struct sevmon_bpf_insn *insn,
                                uint16_t set)
{
    if ( is_call(insn) )
        return (set & ~SCRATCH) | R0;
    if ( is_arithmetic(insn->code) || BPF_CLASS(insn->code) == BPF_LD ||
         BPF_CLASS(insn->code) == BPF_LDX )
        return set | 1U << BPF_DST(insn);

    return set;
}

/* `at` was queued: it is reached with other registers than it was before. */
static uint32_t pass_registers(struct sevmon_bpf_verifier *v, uint32_t at)
{
    const struct sevmon_bpf_insn *insn = &v->insns[at];
    uint16_t set = v->set[at];

    if ( registers_read(v, insn) & ~set )
        return SEVMON_VERDICT_UNINITIALISED;
    if ( is_local_call(insn) )
        reach(v, target_of(insn, at), (set & ~KEPT) | R0);
    if ( is_jump(insn) )
        reach(v, target_of(insn, at), set);
    if ( falls_through(insn) )
        reach(v, at + 1 + is_wide(insn), registers_after(insn, set));

    return 0;
}

/* ---- In steps */

/* In this order; each but the last goes through the instructions one by one. */
enum pass {
    PASS_ENCODINGS, /* all others rely on this one */
    PASS_CALLS,
    PASS_FUNCTIONS,
    PASS_FLOW,
    PASS_HELPERS,
    PASS_DEPTH, /* in rounds, until one changes nothing */
    PASS_REGISTERS, /* what is queued */
    PASSES,
};

static uint32_t look(struct sevmon_bpf_verifier *v, uint32_t at)
{
    if ( v->pass == PASS_ENCODINGS )
        return pass_encodings(v, at);
    if ( v->marks[at] & MARK_IMMEDIATE )
        return 0;

    switch ( v->pass )
    {
    case PASS_CALLS:
        return pass_calls(v, at);

    case PASS_FUNCTIONS:
        return pass_functions(v, at);

    case PASS_FLOW:
        return pass_flow(v, at);

    case PASS_HELPERS:
        return pass_helpers(v, at);

    case PASS_DEPTH:
        return pass_depth(v, at);
    }

    return pass_registers(v, at);
}

/* The next one of the queue, if there is one. */
static void take_queued(struct sevmon_bpf_verifier *v)
{
    if ( !v->queued )
    {
        v->pass = PASSES;
        return;
    }
    v->at = v->queue[--v->queued];
    v->marks[v->at] &= ~MARK_QUEUED;
}

static void advance(struct sevmon_bpf_verifier *v)
{
    if ( v->pass < PASS_REGISTERS )
    {
        if ( ++v->at < v->count )
            return;
        v->at = 0;
        if ( v->again )
        {
            v->again = false;
            return;
        }
        if ( ++v->pass < PASS_REGISTERS )
            return;
        reach(v, 0, AT_START);
    }
    take_queued(v);
}

static void end(struct sevmon_bpf_verifier *v, uint32_t reason, uint32_t insn)
{
    v->verdict.reason = reason;
    v->verdict.insn = insn;
    v->pass = PASSES;
}

void sevmon_bpf_verify_start(struct sevmon_bpf_verifier *v,
                             const struct sevmon_bpf_insn *insns,
                             uint32_t count, sevmon_bpf_helper_fn *helper)
{
    memset(v, 0, sizeof(*v));
    v->insns = insns;
    v->count = count;
    v->helper = helper;
    v->marks[0] = MARK_FUNCTION;
    if ( !count || count > SEVMON_PROGRAM_MAX_INSNS )
        end(v, SEVMON_VERDICT_LENGTH, count);
}

bool sevmon_bpf_verify_step(struct sevmon_bpf_verifier *v, uint32_t looks)
{
    for ( ; looks && v->pass != PASSES; looks-- )
    {
        uint32_t reason = look(v, v->at);

        if ( reason )
            end(v, reason, v->at);
        else
            advance(v);
    }

    return v->pass == PASSES;
}

struct sevmon_bpf_verdict sevmon_bpf_verify(
    struct sevmon_bpf_verifier *v, const struct sevmon_bpf_insn *insns,
    uint32_t count, sevmon_bpf_helper_fn *helper)
{
    sevmon_bpf_verify_start(v, insns, count, helper);
    while ( !sevmon_bpf_verify_step(v, ~0U) )
        continue;

    return v->verdict;
}
