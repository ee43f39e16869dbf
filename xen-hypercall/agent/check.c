/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#include "check.h"
#include "helpers.h"
#include "program.h"

static const struct sevmon_program_head *head_of(
    const struct sevmon_program *program)
{
    return (const struct sevmon_program_head *)program->image;
}

static bool is_valid_head(const struct sevmon_program *program)
{
    const struct sevmon_program_head *head = head_of(program);

    return !head->zero[0] && !head->zero[1] &&
           head->insns && head->insns <= SEVMON_PROGRAM_MAX_INSNS &&
           head->data_bytes <= SEVMON_PROGRAM_MAX_DATA_BYTES &&
           head->map_bytes <= SEVMON_PROGRAM_MAX_MAP_BYTES &&
           head->init_bytes <= head->map_bytes &&
           sizeof(*head) + head->insns * sizeof(struct sevmon_bpf_insn) +
           head->data_bytes + head->init_bytes == program->bytes;
}

static void end(struct sevmon_check *check, struct sevmon_bpf_verdict verdict)
{
    check->verdict = verdict;
    check->has_verdict = true;
}

static void refuse(struct sevmon_check *check, uint32_t reason)
{
    const struct sevmon_bpf_verdict verdict = { reason, 0 };

    end(check, verdict);
}

void sevmon_check_begin(struct sevmon_check *check,
                        const struct sevmon_host *host,
                        struct sevmon_program *program)
{
    check->host = host;
    check->program = program;
    check->hashed_bytes = 0;
    check->is_verifying = false;
    check->has_verdict = false;
    program->state = SEVMON_PROGRAM_OWNED;
}

static void hash_more(struct sevmon_check *check)
{
    const struct sevmon_program *program = check->program;
    uint32_t bytes = program->bytes - check->hashed_bytes;

    if ( bytes > SEVMON_CHECK_SLICE_BYTES )
        bytes = SEVMON_CHECK_SLICE_BYTES;
    if ( !check->hashed_bytes )
        check->host->sha256_begin(&check->hash);
    check->host->sha256_add(&check->hash,
                            program->image + check->hashed_bytes, bytes);
    check->hashed_bytes += bytes;
}

/* All is hashed: look at the digest and the head, then begin to verify. */
static void begin_verifying(struct sevmon_check *check)
{
    struct sevmon_program *program = check->program;
    uint8_t sha256[32];

    check->host->sha256_end(&check->hash, sha256);
    if ( !sevmon_equal(sha256, program->sha256, sizeof(sha256)) )
    {
        refuse(check, SEVMON_VERDICT_DIGEST);
        return;
    }
    if ( !is_valid_head(program) )
    {
        refuse(check, SEVMON_VERDICT_HEAD);
        return;
    }

    sevmon_program_fill_map(program, program->map);
    sevmon_bpf_verify_start(
        &check->verifier,
        (const struct sevmon_bpf_insn *)(head_of(program) + 1),
        head_of(program)->insns, sevmon_helper_arguments);
    check->is_verifying = true;
}

bool sevmon_check_slice(struct sevmon_check *check)
{
    if ( check->hashed_bytes < check->program->bytes )
        hash_more(check);
    else if ( !check->is_verifying )
        begin_verifying(check);
    else if ( sevmon_bpf_verify_step(&check->verifier,
                                     SEVMON_CHECK_SLICE_LOOKS) )
        end(check, check->verifier.verdict);

    return check->has_verdict;
}

void sevmon_check_leave(struct sevmon_check *check)
{
    struct sevmon_program *program = check->program;

    if ( !check->has_verdict )
        program->state = SEVMON_PROGRAM_LOADING;
    else if ( check->verdict.reason == SEVMON_VERDICT_OK )
        program->state = SEVMON_PROGRAM_READY;
    else
        program->state = SEVMON_PROGRAM_FREE;
}
