/* SPDX-License-Identifier: MIT */
/*
 * The wire: every frame, message, size, limit and status code of the channel
 * between the agent in Xen and the IDS.  docs/protocol.md explains them; this
 * header is their one definition.  C (Xen, agent core), C++ (proxy, IDS) and
 * eBPF programs include it.
 *
 * All integers are little-endian.  All structures are packed by construction:
 * every field is naturally aligned and there is no implicit padding, which
 * SEVMON_WIRE_SIZE() checks.  Reserved fields are zero when sent and refused
 * when not.
 */
#ifndef SEVMON_WIRE_H
#define SEVMON_WIRE_H

#ifdef __XEN__
#include <xen/types.h>
#elif !defined(SEVMON_NO_STDINT) /* a program has its kernel's */
#include <stdint.h>
#endif

#ifdef __cplusplus
#define SEVMON_WIRE_SIZE(type, size) \
    static_assert(sizeof(type) == (size), #type " has " #size " bytes")
#else
#define SEVMON_WIRE_SIZE(type, size) \
    _Static_assert(sizeof(type) == (size), #type " has " #size " bytes")
#endif

#define SEVMON_PROTOCOL_VERSION 1

/* ---- Sizes and limits ------------------------------------------------- */

#define SEVMON_ID_BYTES        16 /* agent id, IDS id, connection id, nonces */
#define SEVMON_PSK_BYTES       32
#define SEVMON_TAG_BYTES       16
#define SEVMON_DH_BYTES        32
#define SEVMON_XNONCE_BYTES    12 /* random part of an XAES-256-GCM nonce */
#define SEVMON_PAGE_BYTES    4096

#define SEVMON_MAX_KEYS         8 /* IDSs that one agent serves */
#define SEVMON_MAX_CONNECTIONS  4 /* live connections per IDS */
#define SEVMON_WINDOW_BITS   1024 /* replay window, in message numbers */

#define SEVMON_MAX_MESSAGES   (1ULL << 24) /* per session; n is below this */
#define SEVMON_MAX_BLOCKS     (1ULL << 32) /* AES blocks per direction */
#define SEVMON_REKEY_SECONDS      120 /* the IDS starts a new handshake */
#define SEVMON_EXPIRE_SECONDS     180 /* the agent forgets the session */
#define SEVMON_PENDING_SECONDS     10 /* unconfirmed session lives this long */
#define SEVMON_GRACE_SECONDS       10 /* replaced session still answers */
#define SEVMON_IDLE_SECONDS        10 /* an idler connection may be evicted */
#define SEVMON_HANDSHAKE_RATE      20 /* verified first messages/s per IDS */
#define SEVMON_HANDSHAKE_BURST     40

/* ---- Frames ----------------------------------------------------------- */

/*
 * Every frame starts with this header.  It is the associated data of the
 * sealed frames.
 */
struct sevmon_header {
    uint8_t  type;       /* SEVMON_FRAME_* */
    uint8_t  version;    /* SEVMON_PROTOCOL_VERSION */
    uint8_t  size_class; /* SEVMON_CLASS_*: of the response; 0 in handshakes */
    uint8_t  flags;      /* zero */
    uint32_t session;    /* agent's session number; 0 in handshakes */
    uint64_t n;          /* message number; 0 in handshakes */
};
SEVMON_WIRE_SIZE(struct sevmon_header, 16);

#define SEVMON_FRAME_HELLO      1 /* IDS -> agent, plain */
#define SEVMON_FRAME_CHALLENGE  2 /* agent -> IDS, plain: answers HELLO */
#define SEVMON_FRAME_INITIATE   3 /* IDS -> agent: first Noise message */
#define SEVMON_FRAME_ACCEPT     4 /* agent -> IDS: second Noise message */
#define SEVMON_FRAME_REQUEST    5 /* IDS -> agent, sealed */
#define SEVMON_FRAME_RESPONSE   6 /* agent -> IDS, sealed */

/* Response sizes, in pages of data; fixed per session at its handshake. */
#define SEVMON_CLASS_1_PAGE     0
#define SEVMON_CLASS_4_PAGES    1
#define SEVMON_CLASS_15_PAGES   2
#define SEVMON_CLASSES          3
#define SEVMON_CLASS_PAGES(c)   ((c) == 2 ? 15U : (c) == 1 ? 4U : 1U)

#define SEVMON_HANDSHAKE_FRAME_BYTES 144
#define SEVMON_PAYLOAD_BYTES          64 /* inside each Noise message */
#define SEVMON_NOISE_MESSAGE_BYTES \
    (SEVMON_DH_BYTES + SEVMON_PAYLOAD_BYTES + SEVMON_TAG_BYTES)

struct sevmon_hello {
    struct sevmon_header header;
    uint8_t ids_id[SEVMON_ID_BYTES];
    uint8_t zero[112];
};
SEVMON_WIRE_SIZE(struct sevmon_hello, SEVMON_HANDSHAKE_FRAME_BYTES);

struct sevmon_challenge {
    struct sevmon_header header;
    uint8_t ids_id[SEVMON_ID_BYTES];
    uint8_t agent_id[SEVMON_ID_BYTES];
    uint8_t boot_nonce[SEVMON_ID_BYTES];
    uint8_t challenge[SEVMON_ID_BYTES];
    uint8_t zero[64];
};
SEVMON_WIRE_SIZE(struct sevmon_challenge, SEVMON_HANDSHAKE_FRAME_BYTES);

/* INITIATE and ACCEPT. */
struct sevmon_handshake {
    struct sevmon_header header;
    uint8_t ids_id[SEVMON_ID_BYTES];
    uint8_t ephemeral[SEVMON_DH_BYTES];
    uint8_t payload[SEVMON_PAYLOAD_BYTES]; /* encrypted */
    uint8_t tag[SEVMON_TAG_BYTES];
};
SEVMON_WIRE_SIZE(struct sevmon_handshake, SEVMON_HANDSHAKE_FRAME_BYTES);

/* Payload of INITIATE. */
struct sevmon_initiate {
    uint8_t connection_id[SEVMON_ID_BYTES]; /* random, kept across rekeys */
    uint8_t size_class;                     /* SEVMON_CLASS_* */
    uint8_t zero[47];
};
SEVMON_WIRE_SIZE(struct sevmon_initiate, SEVMON_PAYLOAD_BYTES);

/* Payload of ACCEPT. */
struct sevmon_accept {
    uint16_t status;  /* SEVMON_ACCEPT_* */
    uint16_t zero0;
    uint32_t session; /* goes into the header of each request; 0 if refused */
    uint64_t time_ns; /* the host's clock, nanoseconds since its boot */
    uint8_t  zero[48];
};
SEVMON_WIRE_SIZE(struct sevmon_accept, SEVMON_PAYLOAD_BYTES);

#define SEVMON_ACCEPT_OK          0
#define SEVMON_ACCEPT_BAD_REQUEST 1 /* a reserved byte set, unknown class */
#define SEVMON_ACCEPT_BUSY        2 /* every connection of this IDS is in use */

/*
 * Prologue of the Noise handshake (MixHash'ed by both ends): what both must
 * agree on although it is not in the messages.
 */
struct sevmon_prologue {
    uint8_t  magic[8]; /* SEVMON_PROLOGUE_MAGIC */
    uint32_t version;  /* SEVMON_PROTOCOL_VERSION */
    uint32_t zero;
    uint8_t  agent_id[SEVMON_ID_BYTES];
    uint8_t  ids_id[SEVMON_ID_BYTES];
    uint8_t  boot_nonce[SEVMON_ID_BYTES];
    uint8_t  challenge[SEVMON_ID_BYTES];
};
SEVMON_WIRE_SIZE(struct sevmon_prologue, 80);

#define SEVMON_PROLOGUE_MAGIC "SEVmonit" /* eight bytes, no terminator */
#define SEVMON_NOISE_NAME     "Noise_NNpsk0_25519_AESGCM_SHA256"

/*
 * REQUEST and RESPONSE: header, 12 random bytes, ciphertext, tag.
 * XAES-256-GCM nonce (24 bytes) = those 12 bytes || 0x00000000 || n as 64-bit
 * BIG-endian.  Associated data: the 16 header bytes.
 */
#define SEVMON_SEALED_OVERHEAD \
    (sizeof(struct sevmon_header) + SEVMON_XNONCE_BYTES + SEVMON_TAG_BYTES)
#define SEVMON_BODY_OFFSET (sizeof(struct sevmon_header) + SEVMON_XNONCE_BYTES)

/* ---- Requests --------------------------------------------------------- */

#define SEVMON_MAX_ITEMS             59
#define SEVMON_REQUEST_BODY_BYTES   976
#define SEVMON_REQUEST_FRAME_BYTES \
    (SEVMON_SEALED_OVERHEAD + SEVMON_REQUEST_BODY_BYTES)

#define SEVMON_DOMID_DOM0 0xffff /* the hardware domain, whatever its id */

/* Page-table root for the virtual items of one request. */
#define SEVMON_ROOT_VCPU  0 /* the kernel table that `vcpu` uses now */
#define SEVMON_ROOT_FRAME 1 /* `root_frame` is a top-level table */

struct sevmon_request_head {
    uint16_t domid;      /* target; SEVMON_DOMID_DOM0 */
    uint16_t vcpu;       /* with SEVMON_ROOT_VCPU; else zero */
    uint8_t  root_kind;  /* SEVMON_ROOT_* */
    uint8_t  levels;     /* with SEVMON_ROOT_FRAME: 4 or 5; else zero */
    uint16_t items;      /* how many of the items follow; 0..MAX_ITEMS */
    uint64_t root_frame; /* with SEVMON_ROOT_FRAME, in the target's frame space
                            (PV: machine frames; else guest frames) */
    uint64_t zero[2];
};
SEVMON_WIRE_SIZE(struct sevmon_request_head, 32);

struct sevmon_item {
    uint8_t  type;    /* SEVMON_ITEM_* */
    uint8_t  zero;
    uint16_t bytes;   /* READ_*: 1..4096, not crossing a 4 KiB page.
                         PROGRAM_*: of the payload */
    uint32_t arg;     /* VCPU_STATE, TRAP_TABLE: the vCPU; else zero */
    uint64_t address; /* READ_VIRTUAL, TRANSLATE: virtual address.
                         READ_PHYSICAL: guest frame << 12 | offset. */
};
SEVMON_WIRE_SIZE(struct sevmon_item, 16);

struct sevmon_request_body {
    struct sevmon_request_head head;
    struct sevmon_item items[SEVMON_MAX_ITEMS]; /* unused ones all zero */
};
SEVMON_WIRE_SIZE(struct sevmon_request_body, SEVMON_REQUEST_BODY_BYTES);

#define SEVMON_ITEM_READ_VIRTUAL   1
#define SEVMON_ITEM_READ_PHYSICAL  2
#define SEVMON_ITEM_TRANSLATE      3 /* -> struct sevmon_translation */
#define SEVMON_ITEM_VCPU_STATE     4 /* -> struct sevmon_vcpu_state */
#define SEVMON_ITEM_TRAP_TABLE     5 /* -> struct sevmon_trap[256] */
#define SEVMON_ITEM_BOOT_RECORD    6 /* -> struct sevmon_boot_record */
#define SEVMON_ITEM_STATUS         7 /* -> struct sevmon_status */
#define SEVMON_ITEM_CLOSE          8 /* ends the connection after the answer */
/*
 * Programs (sevmon/program.h).  Such an item is the only one of its request,
 * and its `bytes` of payload follow in the place of the next items.
 */
#define SEVMON_ITEM_PROGRAM_BEGIN  16 /* sevmon_program_begin -> _entry */
#define SEVMON_ITEM_PROGRAM_CHUNK  17 /* sevmon_program_chunk, then bytes */
#define SEVMON_ITEM_PROGRAM_COMMIT 18 /* sevmon_program_name -> _verdict */
#define SEVMON_ITEM_PROGRAM_UNLOAD 19 /* sevmon_program_name */
#define SEVMON_ITEM_PROGRAM_LIST   20 /* -> sevmon_program_entry[] */
#define SEVMON_ITEM_PROGRAM_RUN    21 /* sevmon_run_head, then input ->
                                         sevmon_run_report, then result */
#define SEVMON_ITEM_PROGRAM_SCHEDULE   22 /* sevmon_schedule_head, input */
#define SEVMON_ITEM_PROGRAM_UNSCHEDULE 23 /* sevmon_program_name */
#define SEVMON_ITEM_PROGRAM_COLLECT    24 /* sevmon_collect ->
                                             sevmon_collected, results */
/* Digests are a helper of programs: SEVMON_HELPER_DIGEST. */

#define SEVMON_MAX_PAYLOAD_BYTES \
    ((SEVMON_MAX_ITEMS - 1) * sizeof(struct sevmon_item))

/* ---- Responses -------------------------------------------------------- */

struct sevmon_response_head {
    uint64_t n;          /* of the request that this answers */
    uint64_t time_ns;    /* the host's clock when the walk began */
    uint64_t root_frame; /* the page-table root that was used */
    uint16_t domid;      /* of the target, resolved */
    uint16_t vcpu;       /* whose root was used, or 0xffff */
    uint8_t  levels;     /* of the walk: 4 or 5; 0 if no root was needed */
    uint8_t  kind;       /* SEVMON_TARGET_* */
    uint16_t status;     /* SEVMON_ANSWER_* */
    uint16_t items;      /* as requested */
    uint16_t zero0;
    uint32_t data_bytes; /* used bytes of the data area */
    uint64_t zero[2];
};
SEVMON_WIRE_SIZE(struct sevmon_response_head, 56);

struct sevmon_item_result {
    uint16_t status; /* SEVMON_STATUS_* */
    uint8_t  level;  /* where the walk ended: 5..1; 0 without a walk */
    uint8_t  zero;
    uint32_t bytes;  /* that the item occupies in the data area */
};
SEVMON_WIRE_SIZE(struct sevmon_item_result, 8);

/*
 * A response body: head, SEVMON_MAX_ITEMS results, then the data area of
 * SEVMON_CLASS_PAGES(class) pages.  Items lie in it in order, each from the
 * next multiple of 8.  A READ_* item that failed still occupies its bytes, as
 * zeros: the layout follows from the request alone and every failure is
 * sealed at the same size on the same path.
 */
#define SEVMON_DATA_OFFSET \
    (sizeof(struct sevmon_response_head) + \
     SEVMON_MAX_ITEMS * sizeof(struct sevmon_item_result))
#define SEVMON_RESPONSE_BODY_BYTES(c) \
    (SEVMON_DATA_OFFSET + SEVMON_CLASS_PAGES(c) * SEVMON_PAGE_BYTES)
#define SEVMON_RESPONSE_FRAME_BYTES(c) \
    (SEVMON_SEALED_OVERHEAD + SEVMON_RESPONSE_BODY_BYTES(c))
#define SEVMON_MAX_FRAME_BYTES SEVMON_RESPONSE_FRAME_BYTES(SEVMON_CLASS_15_PAGES)

/* Status of a whole answer; when it is not OK, no item was looked at. */
#define SEVMON_ANSWER_OK          0
#define SEVMON_ANSWER_BAD_REQUEST 1 /* reserved bits, counts, unknown root */
#define SEVMON_ANSWER_NO_DOMAIN   2
#define SEVMON_ANSWER_NO_ROOT     3 /* no such vCPU, or not in 64-bit paging */

/* Status of one item. */
#define SEVMON_STATUS_OK            0
#define SEVMON_STATUS_NOT_MAPPED    1 /* an entry is not present, at `level` */
#define SEVMON_STATUS_NOT_CANONICAL 2
#define SEVMON_STATUS_XEN           3 /* the range that Xen keeps in a PV guest */
#define SEVMON_STATUS_NO_FRAME      4 /* nothing there, or not the target's RAM:
                                         ballooned out, MMIO, foreign, Xen's */
#define SEVMON_STATUS_BAD_TABLE     5 /* an entry with reserved bits, at `level` */
#define SEVMON_STATUS_BAD_ITEM      6 /* reserved bits, length, page crossing */
#define SEVMON_STATUS_NO_SPACE      7 /* the answer would outgrow its class */
#define SEVMON_STATUS_UNSUPPORTED   8 /* item unknown, or not for this target */
#define SEVMON_STATUS_NO_VCPU       9
#define SEVMON_STATUS_NO_PROGRAM   10 /* none of that name is loaded */
#define SEVMON_STATUS_BUSY         11 /* it, or this IDS's one run, is at work */
#define SEVMON_STATUS_REFUSED      12 /* the verdict says why */

#define SEVMON_TARGET_PV     1
#define SEVMON_TARGET_HVM    2 /* PVH and HVM */
#define SEVMON_TARGET_IMAGE  3 /* a memory image */

struct sevmon_translation {
    uint64_t entry[5];   /* [0] is the top level's; 0 where not reached */
    uint64_t frame;      /* final 4 KiB frame in the target's frame space */
    uint8_t  page_shift; /* 12, 21 or 30 */
    uint8_t  levels;     /* of the walk: 4 or 5 */
    uint8_t  reached;    /* entries that were read: 1..levels */
    uint8_t  zero[5];
    uint64_t flags;      /* SEVMON_PTE_*: what all levels together allow */
};
SEVMON_WIRE_SIZE(struct sevmon_translation, 64);

#define SEVMON_PTE_WRITE   (1ULL << 1)  /* writable at every level */
#define SEVMON_PTE_USER    (1ULL << 2)  /* user at every level */
#define SEVMON_PTE_GLOBAL  (1ULL << 8)  /* the leaf */
#define SEVMON_PTE_NX      (1ULL << 63) /* no-execute at any level */

/* What a vCPU registered with Xen as its ways into the kernel. */
struct sevmon_entry_points {
    uint64_t event;       /* event callback (PV); HVM: 0 */
    uint64_t failsafe;    /* failsafe callback (PV) */
    uint64_t syscall64;   /* PV: syscall callback; HVM: LSTAR */
    uint64_t syscall32;   /* PV: syscall32 callback; HVM: CSTAR */
    uint64_t sysenter;    /* PV: sysenter callback; HVM: SYSENTER_EIP */
    uint64_t zero;
    uint8_t  traps[32];   /* SHA-256 of struct sevmon_trap[256]; HVM: zeros */
};
SEVMON_WIRE_SIZE(struct sevmon_entry_points, 80);

struct sevmon_vcpu_state {
    uint32_t vcpu;
    uint32_t flags;        /* SEVMON_VCPU_* */
    uint64_t gpr[16];      /* rax rcx rdx rbx rsp rbp rsi rdi r8..r15 */
    uint64_t rip, rflags;
    uint16_t cs, ss, ds, es, fs, gs, zero0[2];
    uint64_t fs_base, gs_base, shadow_gs_base;
    uint64_t cr0, cr2, cr3, cr4, efer;
    uint64_t kernel_root;  /* frame of the kernel's page table */
    uint64_t user_root;    /* frame of the user one; PV only, else 0 */
    uint64_t dr[8];        /* dr[4], dr[5]: 0 */
    uint64_t kernel_ss, kernel_sp;               /* PV: stack for entries */
    uint64_t gdt_base, idt_base;                 /* HVM */
    uint32_t gdt_limit, idt_limit;               /* HVM; PV: GDT entries, 0 */
    uint64_t gdt_frames[14];                     /* PV */
    uint64_t ldt_base;
    uint32_t ldt_entries, zero1;
    struct sevmon_entry_points entry;
    uint64_t zero[2];
};
SEVMON_WIRE_SIZE(struct sevmon_vcpu_state, 576);

#define SEVMON_VCPU_ONLINE  (1U << 0)
#define SEVMON_VCPU_RUNNING (1U << 1) /* gpr..gs and cr2 are from when it last
                                         left a CPU, not from now */
#define SEVMON_VCPU_CALLER  (1U << 2) /* it is carrying this very request:
                                         gpr..rflags are the relay's */
#define SEVMON_VCPU_PV      (1U << 3) /* entry, kernel_*, gdt_frames are valid */

struct sevmon_trap {
    uint64_t address;
    uint16_t cs;
    uint8_t  vector;
    uint8_t  flags; /* Xen's TI_* */
    uint32_t zero;
};
SEVMON_WIRE_SIZE(struct sevmon_trap, 16);

struct sevmon_file_digest {
    uint8_t  sha256[32];
    uint64_t bytes; /* 0: there is none, and sha256 is zero */
};
SEVMON_WIRE_SIZE(struct sevmon_file_digest, 40);

/* How the target started, as its host saw it before it ran. */
struct sevmon_boot_record {
    struct sevmon_file_digest kernel;  /* the boot module's bytes (vmlinuz) */
    struct sevmon_file_digest initrd;
    struct sevmon_file_digest cmdline; /* without terminator */
    uint32_t origin;                   /* SEVMON_ORIGIN_* */
    uint32_t zero0;
    uint64_t origin_address;
    uint64_t origin_frame;
    struct sevmon_entry_points first;   /* of vCPU 0, when first registered */
    struct sevmon_entry_points current; /* of vCPU 0 */
    uint64_t changes;         /* registrations that changed a known value */
    uint64_t first_change_ns; /* host's clock; 0: never */
    uint64_t last_change_ns;
    uint8_t  build_id[20];    /* IMAGE, from VMCOREINFO; else zeros */
    uint8_t  zero[28];
};
SEVMON_WIRE_SIZE(struct sevmon_boot_record, 376);

#define SEVMON_ORIGIN_NONE 0
/* PV: the kernel's first instruction is at virtual `origin_address`, which was
 * mapped to machine frame `origin_frame` before the kernel ran.  The kernel
 * image is contiguous in both. */
#define SEVMON_ORIGIN_PV   1
/* PVH: the first instruction is at guest-physical `origin_address`. */
#define SEVMON_ORIGIN_PVH  2
/* IMAGE: VMCOREINFO says KERNELOFFSET = origin_address and phys_base =
 * origin_frame << 12.  A hint out of the guest's own memory. */
#define SEVMON_ORIGIN_VMCOREINFO 3

/* Counters since the agent started. */
#define SEVMON_COUNT_FRAMES        0 /* handed in by the relay */
#define SEVMON_COUNT_ANSWERS       1 /* sealed responses */
#define SEVMON_COUNT_MALFORMED     2 /* size, type, version, reserved bits */
#define SEVMON_COUNT_FORGED        3 /* sealed frames whose tag is wrong */
#define SEVMON_COUNT_REPLAYED      4 /* tag right, number seen or too old */
#define SEVMON_COUNT_HELLOS        5
#define SEVMON_COUNT_BAD_INITIATES 6 /* first messages that did not verify */
#define SEVMON_COUNT_HANDSHAKES    7 /* that did, and made a session */
#define SEVMON_COUNT_LIMITED       8 /* verified, but over the rate */
#define SEVMON_COUNT_REFUSED       9 /* verified, but no connection was free */
#define SEVMON_COUNT_EXPIRED      10 /* requests for a session that is over */
#define SEVMON_COUNT_NO_RANDOM    11 /* not answered: no good randomness */
#define SEVMON_COUNTERS           12

struct sevmon_status {
    uint16_t protocol_version;
    uint16_t agent_version;      /* major << 8 | minor */
    uint8_t  host;               /* SEVMON_HOST_* */
    uint8_t  key_source;         /* SEVMON_KEY_* */
    uint8_t  sev;                /* SEVMON_SEV_* bits, as the agent's CPU says */
    uint8_t  iommu;              /* SEVMON_IOMMU_* */
    uint32_t keys;               /* how many IDSs have one */
    uint32_t features;           /* SEVMON_FEATURE_* */
    uint32_t max_items;
    uint32_t max_connections;
    uint32_t max_pages;
    uint32_t window_bits;
    uint64_t uptime_ns;          /* since the agent started */
    uint64_t time_ns;            /* the host's clock */
    uint64_t counter[SEVMON_COUNTERS];
    uint64_t target_frames;      /* the target's frames lie below this */
    uint32_t target_vcpus;
    uint32_t target_kind;        /* SEVMON_TARGET_* */
    uint64_t c_bit_mask;         /* removed from page-table entries; 0: none */
    char     host_version[32];   /* "4.17.5", NUL-padded */
    uint8_t  boot_nonce[SEVMON_ID_BYTES];
    /* What it cost the target at most, since the agent started. */
    uint64_t longest_call_ns;    /* the agent's part of a call, or slice */
    uint64_t longest_standing_ns; /* likewise of standing runs */
    uint64_t longest_pause_ns;   /* of the target's vCPUs, by an atomic run */
    uint64_t lanes_ns;           /* of CPUs, that lanes of shared memory took */
    uint32_t lanes;              /* that are served; <sevmon/shm.h> */
    uint32_t zero;
};
SEVMON_WIRE_SIZE(struct sevmon_status, 256);

#define SEVMON_HOST_XEN   1
#define SEVMON_HOST_IMAGE 2
#define SEVMON_HOST_TEST  3

#define SEVMON_KEY_BOOT_MODULE 1 /* development only: the boot medium has it */
#define SEVMON_KEY_EFI_SECRET  2 /* SEV launch secret */
#define SEVMON_KEY_FILE        3 /* backend `image`: a file on this machine */

#define SEVMON_SEV_ENABLED (1U << 0)
#define SEVMON_SEV_ES      (1U << 1)
#define SEVMON_SEV_SNP     (1U << 2)

#define SEVMON_IOMMU_UNKNOWN 0
#define SEVMON_IOMMU_NONE    1 /* devices can write into Xen */
#define SEVMON_IOMMU_ON      2 /* the target's DMA is confined */

#define SEVMON_FEATURE_PROGRAMS (1U << 0)
#define SEVMON_FEATURE_HASH     (1U << 1)
#define SEVMON_FEATURE_SHM      (1U << 2)
#define SEVMON_FEATURE_STANDING (1U << 3)

/* ---- Keys ------------------------------------------------------------- */

/*
 * A key file, as both the agent (every IDS) and the IDS (one entry) have it:
 * this head, then `count` entries, and nothing else.
 */
struct sevmon_key_head {
    uint8_t  magic[8]; /* SEVMON_KEY_MAGIC */
    uint16_t version;  /* 1 */
    uint16_t count;    /* 1..SEVMON_MAX_KEYS */
    uint32_t zero;
    uint8_t  agent_id[SEVMON_ID_BYTES];
};
SEVMON_WIRE_SIZE(struct sevmon_key_head, 32);

struct sevmon_key_entry {
    uint8_t ids_id[SEVMON_ID_BYTES]; /* no two alike, not all zero */
    uint8_t psk[SEVMON_PSK_BYTES];   /* not all zero */
};
SEVMON_WIRE_SIZE(struct sevmon_key_entry, 48);

#define SEVMON_KEY_MAGIC "SEVMONKY" /* eight bytes, no terminator */
#define SEVMON_KEY_FILE_MAX_BYTES \
    (sizeof(struct sevmon_key_head) + \
     SEVMON_MAX_KEYS * sizeof(struct sevmon_key_entry))

/*
 * An EFI confidential-computing secret area: this head, then entries, each
 * with such a head of its own; `bytes` counts the head.  An entry whose GUID is
 * all zero was deleted.  GUIDs are as EFI stores them: the first three groups
 * little-endian.
 */
struct sevmon_secret_head {
    uint8_t guid[16];
    uint8_t bytes[4]; /* little-endian: entries have no alignment */
};
SEVMON_WIRE_SIZE(struct sevmon_secret_head, 20);

/* Of the configuration table that says where the area is: u64 base, u64 size. */
#define SEVMON_SECRET_TABLE_GUID /* adf956ad-e98c-484c-ae11-b51c7d336447 */ \
    { 0xad, 0x56, 0xf9, 0xad, 0x8c, 0xe9, 0x4c, 0x48, \
      0xae, 0x11, 0xb5, 0x1c, 0x7d, 0x33, 0x64, 0x47 }
/* Of the area's own head. */
#define SEVMON_SECRET_AREA_GUID /* 1e74f542-71dd-4d66-963e-ef4287ff173b */ \
    { 0x42, 0xf5, 0x74, 0x1e, 0xdd, 0x71, 0x66, 0x4d, \
      0x96, 0x3e, 0xef, 0x42, 0x87, 0xff, 0x17, 0x3b }
/* Of the one entry that is the agent's: its data is a key file. */
#define SEVMON_SECRET_KEYS_GUID /* d8a8fdc8-6eb7-4c6c-a544-25f6fbd1b9b2 */ \
    { 0xc8, 0xfd, 0xa8, 0xd8, 0xb7, 0x6e, 0x6c, 0x4c, \
      0xa5, 0x44, 0x25, 0xf6, 0xfb, 0xd1, 0xb9, 0xb2 }
#define SEVMON_SECRET_MAX_BYTES 0x10000 /* OVMF's area has 0xc00 */

/* ---- Relay envelope --------------------------------------------------- */

/*
 * On the TCP stream between the IDS and the relay each frame follows one of
 * these.  Nothing here is authenticated: `tag` lets the relay say which frame
 * a notice is about, and `status` is a hint for people.  What decides is
 * inside the sealed frame.
 */
struct sevmon_envelope {
    uint32_t bytes;  /* of the frame that follows; 0 with a notice */
    uint32_t tag;    /* chosen by the IDS, repeated in the answer */
    int32_t  status; /* 0: a frame follows; else SEVMON_NOTICE_* */
    uint32_t zero;
};
SEVMON_WIRE_SIZE(struct sevmon_envelope, 16);

#define SEVMON_NOTICE_REJECTED    1 /* the agent did not accept the frame */
#define SEVMON_NOTICE_NO_AGENT    2 /* no agent here (hypercall missing or off) */
#define SEVMON_NOTICE_BUSY        3 /* try again later */
#define SEVMON_NOTICE_MALFORMED   4 /* the envelope is wrong; connection closes */
#define SEVMON_NOTICE_LIMIT       5 /* too many connections; connection closes */
#define SEVMON_NOTICE_TIMEOUT     6 /* the relay gave up; connection closes */
#define SEVMON_NOTICE_SHUTDOWN    7 /* the relay stops; connection closes */
#define SEVMON_NOTICE_INTERNAL    8 /* the relay or its helper failed */

#endif /* SEVMON_WIRE_H */
