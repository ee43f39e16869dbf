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

typedef struct sevmon_bpf_verdict verdict_t;

static verdict_t refuse(uint32_t reason, uint32_t insn)
{
    const verdict_t verdict = { reason, insn };

    return verdict;
}

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

static verdict_t check_encodings(struct sevmon_bpf_verifier *v)
{
    uint32_t i;

    for ( i = 0; i < v->count; i++ )
    {
        const struct sevmon_bpf_insn *insn = &v->insns[i];
        const struct sevmon_bpf_insn *next = insn + 1;
        uint32_t reason = check_encoding(insn);

        if ( reason )
            return refuse(reason, i);
        if ( !is_wide(insn) )
            continue;
        if ( i + 1 == v->count )
            return refuse(SEVMON_VERDICT_END, i);
        if ( next->code || next->regs || next->offset )
            return refuse(SEVMON_VERDICT_FIELD, i + 1);
        v->marks[++i] = MARK_IMMEDIATE;
    }

    return refuse(SEVMON_VERDICT_OK, 0);
}

/* ---- Functions, and where jumps lead */

static verdict_t find_functions(struct sevmon_bpf_verifier *v)
{
    uint32_t i, begin = 0;

    v->marks[0] |= MARK_FUNCTION;
    for ( i = 0; i < v->count; i++ )
    {
        int64_t target = target_of(&v->insns[i], i);

        if ( (v->marks[i] & MARK_IMMEDIATE) || !is_local_call(&v->insns[i]) )
            continue;
        if ( target < 0 || target >= v->count )
            return refuse(SEVMON_VERDICT_JUMP, i);
        target = array_index_nospec(target, v->count);
        if ( v->marks[target] & MARK_IMMEDIATE )
            return refuse(SEVMON_VERDICT_JUMP, i);
        v->marks[target] |= MARK_FUNCTION;
    }
    for ( i = 0; i < v->count; i++ )
    {
        if ( v->marks[i] & MARK_FUNCTION )
            begin = i;
        v->function[i] = begin;
    }

    return refuse(SEVMON_VERDICT_OK, 0);
}

/* Does what is behind `insn` run after it, without a jump? */
static bool falls_through(const struct sevmon_bpf_insn *insn)
{
    return !is_exit(insn) && !(is_jump(insn) && is_always(insn));
}

static verdict_t check_flow(const struct sevmon_bpf_verifier *v)
{
    uint32_t i;

    for ( i = 0; i < v->count; i++ )
    {
        const struct sevmon_bpf_insn *insn = &v->insns[i];
        uint32_t next = i + 1 + is_wide(insn);
        int64_t target = target_of(insn, i);

        if ( v->marks[i] & MARK_IMMEDIATE )
            continue;
        if ( falls_through(insn) &&
             (next >= v->count || v->function[next] != v->function[i]) )
            return refuse(SEVMON_VERDICT_END, i);
        if ( !is_jump(insn) )
            continue;
        if ( target < 0 || target >= v->count )
            return refuse(SEVMON_VERDICT_JUMP, i);
        target = array_index_nospec(target, v->count);
        if ( (v->marks[target] & MARK_IMMEDIATE) ||
             v->function[target] != v->function[i] )
            return refuse(SEVMON_VERDICT_JUMP, i);
    }

    return refuse(SEVMON_VERDICT_OK, 0);
}

/*
 * Each round carries depths one call further, so one that changes something
 * after SEVMON_BPF_MAX_DEPTH others has found calls that deep.
 */
static verdict_t check_depth(struct sevmon_bpf_verifier *v)
{
    bool changed;
    uint32_t i;

    do
    {
        changed = false;
        for ( i = 0; i < v->count; i++ )
        {
            uint32_t target;
            uint8_t depth = v->depth[v->function[i]] + 1;

            if ( (v->marks[i] & MARK_IMMEDIATE) ||
                 !is_local_call(&v->insns[i]) )
                continue;
            target = target_of(&v->insns[i], i);
            if ( v->depth[target] >= depth )
                continue;
            if ( depth >= SEVMON_BPF_MAX_DEPTH )
                return refuse(SEVMON_VERDICT_DEPTH, i);
            v->depth[target] = depth;
            changed = true;
        }
    } while ( changed );

    return refuse(SEVMON_VERDICT_OK, 0);
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

static uint16_t registers_read(const struct sevmon_bpf_insn *insn,
                               sevmon_bpf_helper_fn *helper)
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
            helper(insn->imm, &arguments);

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

static verdict_t check_registers_set(struct sevmon_bpf_verifier *v,
                                     sevmon_bpf_helper_fn *helper)
{
    const uint16_t at_start = 1U << FRAME | 1U << 1 | 1U << 2;

    reach(v, 0, at_start);
    while ( v->queued )
    {
        uint32_t at = v->queue[--v->queued];
        const struct sevmon_bpf_insn *insn = &v->insns[at];
        uint16_t set = v->set[at];

        v->marks[at] &= ~MARK_QUEUED;
        if ( registers_read(insn, helper) & ~set )
            return refuse(SEVMON_VERDICT_UNINITIALISED, at);
        if ( is_local_call(insn) )
            reach(v, target_of(insn, at), (set & ~KEPT) | R0);
        if ( is_jump(insn) )
            reach(v, target_of(insn, at), set);
        if ( falls_through(insn) )
            reach(v, at + 1 + is_wide(insn), registers_after(insn, set));
    }

    return refuse(SEVMON_VERDICT_OK, 0);
}

static verdict_t check_helpers(const struct sevmon_bpf_verifier *v,
                               sevmon_bpf_helper_fn *helper)
{
    unsigned int arguments;
    uint32_t i;

    for ( i = 0; i < v->count; i++ )
        if ( !(v->marks[i] & MARK_IMMEDIATE) && is_call(&v->insns[i]) &&
             BPF_SRC(&v->insns[i]) == BPF_CALL_HELPER &&
             !helper(v->insns[i].imm, &arguments) )
            return refuse(SEVMON_VERDICT_HELPER, i);

    return refuse(SEVMON_VERDICT_OK, 0);
}

verdict_t sevmon_bpf_verify(struct sevmon_bpf_verifier *v,
                            const struct sevmon_bpf_insn *insns,
                            uint32_t count, sevmon_bpf_helper_fn *helper)
{
    verdict_t verdict;

    if ( !count || count > SEVMON_PROGRAM_MAX_INSNS )
        return refuse(SEVMON_VERDICT_LENGTH, count);
    memset(v, 0, sizeof(*v));
    v->insns = insns;
    v->count = count;

    verdict = check_encodings(v);
    if ( !verdict.reason )
        verdict = find_functions(v);
    if ( !verdict.reason )
        verdict = check_flow(v);
    if ( !verdict.reason )
        verdict = check_helpers(v, helper);
    if ( !verdict.reason )
        verdict = check_depth(v);
    if ( !verdict.reason )
        verdict = check_registers_set(v, helper);

    return verdict;
}
