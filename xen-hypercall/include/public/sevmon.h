/* SPDX-License-Identifier: MIT */
/*
 * Guest interface of the SEVmonitor agent: `sevmon_op`, hypercall 55.
 *
 * Only the hardware domain may call it, from its kernel or, through privcmd,
 * from a process that may open /dev/xen/privcmd.  Everything that passes is an
 * opaque frame of docs/protocol.md: the caller learns nothing from it beyond
 * its size and whether the agent took it.
 */
#ifndef __XEN_PUBLIC_SEVMON_H__
#define __XEN_PUBLIC_SEVMON_H__

#define __HYPERVISOR_sevmon_op 55

/*
 * XEN_SEVMON_OP_frame
 *
 * Hand one frame to the agent and take its answer.  Bounded by
 * SEVMON_MAX_ITEMS page walks and 15 pages of copying and sealing; but a frame
 * can ask for a program to be run, or checked, and then Xen lets the caller
 * take its interrupts in between, by XEN_SEVMON_OP_continue.
 *
 * arg1: XEN_SEVMON_OP_frame
 * arg2: XEN_GUEST_HANDLE(const void) the frame
 * arg3: its size in bytes; 16..1020
 * arg4: XEN_GUEST_HANDLE(void) buffer for the answer
 * arg5: its capacity in bytes, at least XEN_SEVMON_MAX_ANSWER_BYTES; bytes
 *       beyond the answer are not touched
 *
 * The frame is copied once.  The answer is built and sealed in Xen's private
 * memory and copied out once.  A frame that the agent took is never taken
 * again: when the answer cannot be copied out it is lost, and the IDS asks
 * anew.
 *
 * Returns the size of the answer in bytes, otherwise:
 * -ENOSYS:   this Xen has no agent, or the caller is a 32-bit one
 * -EPERM:    the caller is not the hardware domain
 * -EOPNOTSUPP: arg1 is neither of the two
 * -EINVAL:   frame size or capacity out of range; nothing was looked at
 * -EFAULT:   a buffer is not accessible; the answer, if any, is lost
 * -EBADMSG:  the agent did not take the frame (one code for every reason)
 * -EBUSY:    over the rate limit for handshakes: send it again later
 * -ENODEV:   the agent is off: no key, a failed self-test, a missing CPU
 *            feature; Xen's console says which
 */
#define XEN_SEVMON_OP_frame 1

/*
 * XEN_SEVMON_OP_continue
 *
 * Go on with what was interrupted.  Xen makes this call out of the one
 * above (a hypercall continuation); a caller has no reason to, and gets no more
 * from it than the answer that was to come, or -EBADMSG.
 *
 * arg2: not looked at
 * arg3: which one
 * others, and what is returned: as above, but for -EINVAL of arg3
 */
#define XEN_SEVMON_OP_continue 2

#define XEN_SEVMON_MAX_FRAME_BYTES   1020
#define XEN_SEVMON_MAX_ANSWER_BYTES 62012

#endif /* __XEN_PUBLIC_SEVMON_H__ */
