/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#include "bpf-run.h"

#define FRAME 10

/*
 * Dispatch is a switch over the whole opcode, each case with its operation as a
 * constant.  Computed gotos would be indirect branches, which Xen lets land on
 * functions only (IBT) and turns into thunks (Spectre v2); it builds a switch
 * as a tree of comparisons.
 */

void sevmon_bpf_start(struct sevmon_bpf_run *run,
                      const struct sevmon_bpf_insn *insns, uint32_t count,
                      void *input, uint32_t input_bytes, uint64_t budget)
{
    memset(run, 0, sizeof(*run));
    run->insns = insns;
    run->count = count;
    run->budget = budget;
    run->region[SEVMON_REGION_STACK].memory = run->stack;
    run->region[SEVMON_REGION_STACK].bytes = SEVMON_BPF_STACK_BYTES;
    run->region[SEVMON_REGION_STACK].writable = true;
    run->region[SEVMON_REGION_INPUT].memory = input;
    run->region[SEVMON_REGION_INPUT].bytes = input_bytes;
    run->region[SEVMON_REGION_INPUT].writable = true;
    run->reg[1] = SEVMON_BPF_ADDRESS(SEVMON_REGION_INPUT);
    run->reg[2] = input_bytes;
    run->reg[FRAME] = SEVMON_BPF_ADDRESS(SEVMON_REGION_STACK) +
                      SEVMON_BPF_STACK_BYTES;
}

uint8_t *sevmon_bpf_memory(const struct sevmon_bpf_run *run, uint64_t address,
                           uint64_t bytes, bool write)
{
    uint64_t index = address >> SEVMON_REGION_SHIFT;
    uint32_t offset = (uint32_t)address;
    const struct sevmon_bpf_region *region;

    if ( index >= SEVMON_REGIONS )
        return NULL;
    region = &run->region[array_index_nospec(index, SEVMON_REGIONS)];
    if ( offset >= region->bytes || bytes > region->bytes - offset ||
         (write && !region->writable) )
        return NULL;

    offset = array_index_nospec(offset, region->bytes);

    /* As far as a region that is smaller than `bytes` can bound it. */
    return region->memory +
           array_index_nospec(offset, region->bytes - bytes + 1);
}

static uint64_t sign_extend(uint64_t value, unsigned int bits)
{
    return (uint64_t)((int64_t)(value << (64 - bits)) >> (64 - bits));
}

/* To `bits` bits: 16, 32, else 64. */
static uint64_t truncate(uint64_t value, int32_t bits)
{
    return bits == 16 ? (uint16_t)value : bits == 32 ? (uint32_t)value : value;
}

static uint64_t swap(uint64_t value, int32_t bits)
{
    value = __builtin_bswap64(value);

    return bits == 16 ? value >> 48 : bits == 32 ? value >> 32 : value;
}

/* RFC 9669, 4.1: division by 0 gives 0, modulo 0 leaves what was there. */
static uint64_t divide(uint64_t a, uint64_t b, bool is_signed, bool is_64)
{
    if ( !is_64 )
    {
        a = is_signed ? sign_extend(a, 32) : (uint32_t)a;
        b = is_signed ? sign_extend(b, 32) : (uint32_t)b;
    }
    if ( !b )
        return 0;
    if ( !is_signed )
        return a / b;

    /* The least number by -1 overflows: it is itself again. */
    return (int64_t)b == -1 ? -a : (uint64_t)((int64_t)a / (int64_t)b);
}

static uint64_t modulo(uint64_t a, uint64_t b, bool is_signed, bool is_64)
{
    if ( !is_64 )
    {
        a = is_signed ? sign_extend(a, 32) : (uint32_t)a;
        b = is_signed ? sign_extend(b, 32) : (uint32_t)b;
    }
    if ( !b )
        return a;
    if ( !is_signed )
        return a % b;

    return (int64_t)b == -1 ? 0 : (uint64_t)((int64_t)a % (int64_t)b);
}

static inline __attribute__((__always_inline__)) uint64_t arithmetic(
    uint8_t code, int16_t offset, uint64_t a, uint64_t b)
{
    bool is_64 = BPF_CLASS(code) == BPF_ALU64;
    unsigned int shift = b & (is_64 ? 63 : 31);

    switch ( BPF_OP(code) )
    {
    case BPF_ADD:
        return a + b;
    case BPF_SUB:
        return a - b;
    case BPF_MUL:
        return a * b;
    case BPF_DIV:
        return divide(a, b, offset, is_64);
    case BPF_MOD:
        return modulo(a, b, offset, is_64);
    case BPF_OR:
        return a | b;
    case BPF_AND:
        return a & b;
    case BPF_XOR:
        return a ^ b;
    case BPF_LSH:
        return a << shift;
    case BPF_RSH:
        return (is_64 ? a : (uint32_t)a) >> shift;
    case BPF_ARSH:
        return (uint64_t)((int64_t)(is_64 ? a : sign_extend(a, 32)) >> shift);
    }

    /* BPF_MOV */
    return offset == 8 || offset == 16 || offset == 32 ? sign_extend(b, offset)
                                                       : b;
}

static inline __attribute__((__always_inline__)) bool compare(
    uint8_t code, uint64_t a, uint64_t b)
{
    bool is_64 = BPF_CLASS(code) == BPF_JMP;
    int64_t signed_a = is_64 ? (int64_t)a : (int32_t)a;
    int64_t signed_b = is_64 ? (int64_t)b : (int32_t)b;

    if ( !is_64 )
    {
        a = (uint32_t)a;
        b = (uint32_t)b;
    }

    switch ( BPF_OP(code) )
    {
    case BPF_JEQ:
        return a == b;
    case BPF_JNE:
        return a != b;
    case BPF_JSET:
        return a & b;
    case BPF_JGT:
        return a > b;
    case BPF_JGE:
        return a >= b;
    case BPF_JLT:
        return a < b;
    case BPF_JLE:
        return a <= b;
    case BPF_JSGT:
        return signed_a > signed_b;
    case BPF_JSGE:
        return signed_a >= signed_b;
    case BPF_JSLT:
        return signed_a < signed_b;
    }

    return signed_a <= signed_b; /* BPF_JSLE */
}

/* To little-endian is a truncation here, to big-endian a swap. */
static uint64_t byte_order(const struct sevmon_bpf_insn *insn, uint64_t value)
{
    return insn->code == (BPF_ALU | BPF_END) ? truncate(value, insn->imm)
                                             : swap(value, insn->imm);
}

/* Returns false for an access outside of the program's regions. */
static inline __attribute__((__always_inline__)) bool load(
    struct sevmon_bpf_run *run, const struct sevmon_bpf_insn *insn,
    unsigned int bytes, bool is_signed)
{
    const uint8_t *from = sevmon_bpf_memory(
        run, run->reg[BPF_SRC(insn)] + insn->offset, bytes, false);
    uint64_t value = 0;

    if ( !from )
        return false;
    memcpy(&value, from, bytes); /* little-endian, as x86 is */
    run->reg[BPF_DST(insn)] = is_signed ? sign_extend(value, bytes * 8) : value;

    return true;
}

static inline __attribute__((__always_inline__)) bool store(
    struct sevmon_bpf_run *run, const struct sevmon_bpf_insn *insn,
    unsigned int bytes, uint64_t value)
{
    uint8_t *to = sevmon_bpf_memory(
        run, run->reg[BPF_DST(insn)] + insn->offset, bytes, true);

    if ( !to )
        return false;
    memcpy(to, &value, bytes);

    return true;
}

/* The stack that is there is that of the functions that are active. */
static void set_stack(struct sevmon_bpf_run *run)
{
    uint32_t bytes = (run->depth + 1) * SEVMON_BPF_STACK_BYTES;

    run->region[SEVMON_REGION_STACK].bytes = bytes;
    run->reg[FRAME] = SEVMON_BPF_ADDRESS(SEVMON_REGION_STACK) + bytes;
}

static void enter(struct sevmon_bpf_run *run, uint32_t target)
{
    struct sevmon_bpf_frame *frame;
    uint32_t depth;

    if ( run->depth + 1 >= SEVMON_BPF_MAX_DEPTH )
    {
        run->state = SEVMON_RUN_TOO_DEEP;
        return;
    }
    depth = array_index_nospec(run->depth, SEVMON_BPF_MAX_DEPTH - 1);
    frame = &run->frames[depth];
    run->depth = depth + 1;
    memcpy(frame->kept, &run->reg[6], sizeof(frame->kept));
    frame->pc = run->pc;
    run->pc = target;
    run->reg[0] = 0; /* what a function that sets none gives */
    set_stack(run);
    memset(run->stack + run->depth * SEVMON_BPF_STACK_BYTES, 0,
           SEVMON_BPF_STACK_BYTES);
}

static void leave(struct sevmon_bpf_run *run)
{
    const struct sevmon_bpf_frame *frame;
    uint32_t depth;

    if ( !run->depth )
    {
        run->state = SEVMON_RUN_DONE;
        return;
    }
    depth = array_index_nospec(run->depth - 1, SEVMON_BPF_MAX_DEPTH - 1);
    frame = &run->frames[depth];
    run->depth = depth;
    memcpy(&run->reg[6], frame->kept, sizeof(frame->kept));
    run->pc = frame->pc;
    set_stack(run);
}

/*
 * A call, or a return from one.  Returns what it costs besides itself.  What
 * a helper that faults says of the state stays.
 */
static uint32_t change_function(struct sevmon_bpf_run *run,
                                const struct sevmon_bpf_insn *insn)
{
    if ( BPF_OP(insn->code) == BPF_EXIT )
        leave(run);
    else if ( BPF_SRC(insn) == BPF_CALL_LOCAL )
        enter(run, run->pc + insn->imm);
    else if ( BPF_SRC(insn) == BPF_CALL_HELPER && run->helper )
        return run->helper(run, insn->imm);
    else
        run->state = SEVMON_RUN_BAD_INSN;

    return 0;
}

#define OPERATE(op) \
    case BPF_ALU64 | (op) | BPF_X: \
        *dst = arithmetic(BPF_ALU64 | (op), insn->offset, *dst, src); \
        break; \
    case BPF_ALU64 | (op): \
        *dst = arithmetic(BPF_ALU64 | (op), insn->offset, *dst, imm); \
        break; \
    case BPF_ALU | (op) | BPF_X: \
        *dst = (uint32_t)arithmetic(BPF_ALU | (op), insn->offset, *dst, src); \
        break; \
    case BPF_ALU | (op): \
        *dst = (uint32_t)arithmetic(BPF_ALU | (op), insn->offset, *dst, imm); \
        break;

#define JUMP(op) \
    case BPF_JMP | (op) | BPF_X: \
        pc += compare(BPF_JMP | (op), *dst, src) ? insn->offset : 0; \
        break; \
    case BPF_JMP | (op): \
        pc += compare(BPF_JMP | (op), *dst, imm) ? insn->offset : 0; \
        break; \
    case BPF_JMP32 | (op) | BPF_X: \
        pc += compare(BPF_JMP32 | (op), *dst, src) ? insn->offset : 0; \
        break; \
    case BPF_JMP32 | (op): \
        pc += compare(BPF_JMP32 | (op), *dst, imm) ? insn->offset : 0; \
        break;

#define LOAD(size, bytes) \
    case BPF_LDX | BPF_MEM | (size): \
        if ( !load(run, insn, (bytes), false) ) \
            goto fault; \
        break;

#define LOAD_SIGNED(size, bytes) \
    case BPF_LDX | BPF_MEMSX | (size): \
        if ( !load(run, insn, (bytes), true) ) \
            goto fault; \
        break;

#define STORE(size, bytes) \
    case BPF_STX | BPF_MEM | (size): \
        if ( !store(run, insn, (bytes), src) ) \
            goto fault; \
        break; \
    case BPF_ST | BPF_MEM | (size): \
        if ( !store(run, insn, (bytes), imm) ) \
            goto fault; \
        break;

/*
 * Run until `steps` are used up or the state is another.  Returns those that
 * are left; negative if a helper cost more than was left.
 */
static int64_t run_steps(struct sevmon_bpf_run *run, int64_t steps)
{
    uint32_t pc = run->pc, at;

    while ( steps > 0 )
    {
        const struct sevmon_bpf_insn *insn, *next;
        uint64_t *dst, src, imm;

        at = pc;
        if ( pc >= run->count )
            goto bad;
        insn = &run->insns[array_index_nospec(pc, run->count)];
        dst = &run->reg[BPF_DST(insn)];
        src = run->reg[BPF_SRC(insn)];
        imm = (int64_t)insn->imm;
        steps--;
        pc++;

        switch ( insn->code )
        {
        OPERATE(BPF_ADD) OPERATE(BPF_SUB) OPERATE(BPF_MUL) OPERATE(BPF_DIV)
        OPERATE(BPF_MOD) OPERATE(BPF_OR) OPERATE(BPF_AND) OPERATE(BPF_XOR)
        OPERATE(BPF_LSH) OPERATE(BPF_RSH) OPERATE(BPF_ARSH) OPERATE(BPF_MOV)
        JUMP(BPF_JEQ) JUMP(BPF_JNE) JUMP(BPF_JSET) JUMP(BPF_JGT)
        JUMP(BPF_JGE) JUMP(BPF_JLT) JUMP(BPF_JLE) JUMP(BPF_JSGT)
        JUMP(BPF_JSGE) JUMP(BPF_JSLT) JUMP(BPF_JSLE)
        LOAD(BPF_B, 1) LOAD(BPF_H, 2) LOAD(BPF_W, 4) LOAD(BPF_DW, 8)
        LOAD_SIGNED(BPF_B, 1) LOAD_SIGNED(BPF_H, 2) LOAD_SIGNED(BPF_W, 4)
        STORE(BPF_B, 1) STORE(BPF_H, 2) STORE(BPF_W, 4) STORE(BPF_DW, 8)

        case BPF_ALU64 | BPF_NEG:
            *dst = -*dst;
            break;

        case BPF_ALU | BPF_NEG:
            *dst = (uint32_t)-*dst;
            break;

        case BPF_ALU | BPF_END:
        case BPF_ALU | BPF_END | BPF_X:
        case BPF_ALU64 | BPF_END:
            *dst = byte_order(insn, *dst);
            break;

        case BPF_JMP | BPF_JA:
            pc += insn->offset;
            break;

        case BPF_JMP32 | BPF_JA:
            pc += insn->imm;
            break;

        case BPF_LD_IMM64:
            if ( pc >= run->count )
                goto bad;
            next = &run->insns[array_index_nospec(pc, run->count)];
            *dst = (uint32_t)insn->imm | (uint64_t)next->imm << 32;
            pc++;
            break;

        case BPF_JMP | BPF_CALL:
        case BPF_JMP | BPF_EXIT:
            run->pc = pc;
            steps -= change_function(run, insn);
            pc = run->pc;
            if ( run->state == SEVMON_RUN_RUNNING )
                break;
            if ( run->state != SEVMON_RUN_DONE )
                pc = at;
            goto out;

        default:
            goto bad;
        }
    }
    goto out;

 bad:
    run->state = SEVMON_RUN_BAD_INSN;
    pc = at;
    goto out;
 fault:
    run->state = SEVMON_RUN_FAULT;
    pc = at;
 out:
    run->pc = pc;

    return steps;
}

uint32_t sevmon_bpf_continue(struct sevmon_bpf_run *run, uint32_t slice)
{
    int64_t steps, left;

    if ( run->state != SEVMON_RUN_RUNNING )
        return run->state;
    if ( !run->budget )
        return run->state = SEVMON_RUN_OVER_BUDGET;

    steps = slice < run->budget ? slice : run->budget;
    steps = steps ? steps : 1;
    left = run_steps(run, steps);
    steps -= left;
    run->budget -= (uint64_t)steps < run->budget ? (uint64_t)steps
                                                 : run->budget;

    return run->state;
}
