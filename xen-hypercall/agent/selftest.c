/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#include "agent.h"
#include "noise.h"
#include "xaes.h"

#define LONG_BYTES 300 /* two rounds of the assembly's wide loop, and a rest */

/* Too much for a stack of 8 KiB that is used already. */
static struct {
    struct sevmon_gcm_key gcm;
    struct sevmon_noise noise;
    uint8_t key[SEVMON_AES_KEY_BYTES];
    uint8_t nonce[SEVMON_XAES_NONCE_BYTES];
    uint8_t aad[32];
    uint8_t plain[LONG_BYTES];
    uint8_t cipher[LONG_BYTES + SEVMON_TAG_BYTES];
    uint8_t expected[LONG_BYTES + SEVMON_TAG_BYTES];
} work;

static uint8_t digit(char hex)
{
    return hex <= '9' ? hex - '0' : hex - 'a' + 10;
}

/* Returns how many bytes `hex` stands for. */
static size_t unhex(uint8_t *out, const char *hex)
{
    size_t bytes;

    for ( bytes = 0; hex[2 * bytes]; bytes++ )
        out[bytes] = digit(hex[2 * bytes]) << 4 | digit(hex[2 * bytes + 1]);

    return bytes;
}

static bool is_hex(const uint8_t *bytes, const char *hex)
{
    size_t count = unhex(work.expected, hex);

    return !memcmp(bytes, work.expected, count);
}

/* FIPS 180-4's example. */
static bool sevmon_callback test_sha256(const struct sevmon_host *host)
{
    host->sha256(work.key, "abc", 3);

    return is_hex(work.key, "ba7816bf8f01cfea414140de5dae2223"
                            "b00361a396177a9cb410ff61f20015ad");
}

/* NIST's example of 112 bytes, cut inside a block and at its end. */
static bool sevmon_callback test_sha256_parts(const struct sevmon_host *host)
{
    static const char message[] =
        "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmn"
        "hijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu";
    struct sevmon_sha256 hash;

    host->sha256_begin(&hash);
    host->sha256_add(&hash, message, 5);
    host->sha256_add(&hash, message + 5, 59);
    host->sha256_add(&hash, message + 64, 40);
    host->sha256_add(&hash, message + 104, 8);
    host->sha256_end(&hash, work.key);

    return is_hex(work.key, "cf5b16a778af8380036ce59e7b049237"
                            "0b249b11e8f07a51afac45037afee9d1");
}

/* RFC 4231, 4.3. */
static bool sevmon_callback test_hmac(const struct sevmon_host *host)
{
    sevmon_hmac(host, work.key, "Jefe", 4, "what do ya want for nothing?", 28);

    return is_hex(work.key, "5bdcc146bf60754e6a042426089575c7"
                            "5a003f089d2739839dec58b964ec3843");
}

/* RFC 7748, 5.2; and a point of small order. */
static bool sevmon_callback test_x25519(const struct sevmon_host *host)
{
    (void)host;
    unhex(work.key, "a546e36bf0527c9d3b16154b82465edd"
                    "62144c0ac1fc5a18506a2244ba449ac4");
    unhex(work.plain, "e6db6867583030db3594c1a424b15f7c"
                      "726624ec26b3353b10a903a6d0ab1c4c");
    if ( !sevmon_dh(work.cipher, work.key, work.plain) ||
         !is_hex(work.cipher, "c3da55379de9c6908e94ea4df28d084f"
                              "32eccf03491c71f754b4075577a28552") )
        return false;
    memset(work.plain, 0, SEVMON_X25519_BYTES);

    return !sevmon_dh(work.cipher, work.key, work.plain);
}

/* Seal, compare, open, and refuse to open what was altered. */
static bool seal_and_open(size_t bytes, size_t aad_bytes)
{
    uint8_t *tag = &work.cipher[bytes];

    sevmon_gcm_seal(&work.gcm, work.nonce, work.aad, aad_bytes, work.plain,
                    bytes, work.cipher, tag);
    memcpy(work.expected, work.plain, bytes);
    memset(work.plain, 0, bytes);
    if ( !sevmon_gcm_open(&work.gcm, work.nonce, work.aad, aad_bytes,
                          work.cipher, bytes, tag, work.plain) ||
         memcmp(work.plain, work.expected, bytes) )
        return false;
    tag[0] ^= 1;
    if ( sevmon_gcm_open(&work.gcm, work.nonce, work.aad, aad_bytes,
                         work.cipher, bytes, tag, work.plain) ||
         !sevmon_is_zero(work.plain, bytes) )
        return false;
    tag[0] ^= 1;

    return true;
}

/* "The Galois/Counter Mode of Operation" (McGrew, Viega), test case 16. */
static bool sevmon_callback test_gcm(const struct sevmon_host *host)
{
    size_t bytes, aad_bytes;

    (void)host;
    unhex(work.key, "feffe9928665731c6d6a8f9467308308"
                    "feffe9928665731c6d6a8f9467308308");
    unhex(work.nonce, "cafebabefacedbaddecaf888");
    aad_bytes = unhex(work.aad, "feedfacedeadbeeffeedfacedeadbeefabaddad2");
    bytes = unhex(work.plain, "d9313225f88406e5a55909c5aff5269a"
                              "86a7a9531534f7da2e4c303d8a318a72"
                              "1c3c0c95956809532fcf0e2449a6b525"
                              "b16aedf5aa0de657ba637b39");
    sevmon_gcm_set_key(&work.gcm, work.key);

    return seal_and_open(bytes, aad_bytes) &&
           is_hex(work.cipher, "522dc1f099567d07f47f37a32a84427d"
                               "643a8cdcbfe5c0c97598a2bd2555d1aa"
                               "8cb08e48590dbb3da7b08b1056828838"
                               "c5f61e6393ba7a0abcc9f662"
                               "76fc6ece0f4e1768cddf8853bb2d551b");
}

/* 00 01 02 ... as key, nonce, data; the SHA-256 is OpenSSL's. */
static bool sevmon_callback test_long_gcm(const struct sevmon_host *host)
{
    size_t i;

    for ( i = 0; i < LONG_BYTES; i++ )
        work.plain[i] = i;
    memcpy(work.key, work.plain, sizeof(work.key));
    memcpy(work.nonce, work.plain, sizeof(work.nonce));
    memcpy(work.aad, work.plain, 16);
    sevmon_gcm_set_key(&work.gcm, work.key);
    if ( !seal_and_open(LONG_BYTES, 16) )
        return false;
    host->sha256(work.key, work.cipher, LONG_BYTES + SEVMON_TAG_BYTES);

    return is_hex(work.key, "23b1b347e05e0df879c9f7dbfb65d143"
                            "b3dc97b68d414d816725d90e0dbee1f1");
}

/* The C2SP specification's second vector. */
static bool sevmon_callback test_xaes(const struct sevmon_host *host)
{
    (void)host;
    memset(work.key, 3, sizeof(work.key));
    memcpy(work.nonce, "ABCDEFGHIJKLMNOPQRSTUVWX", sizeof(work.nonce));
    sevmon_xaes_derive(&work.gcm, work.key, work.nonce);
    sevmon_gcm_seal(&work.gcm, work.nonce + 12, "c2sp.org/XAES-256-GCM", 21,
                    (const uint8_t *)"XAES-256-GCM", 12, work.cipher,
                    work.cipher + 12);

    return is_hex(work.cipher, "986ec1832593df5443a179437fd083bf"
                               "3fdb41abd740a21f71eb769d");
}

/* The cacophony project's vector for NNpsk0, both handshake messages. */
static bool sevmon_callback test_noise(const struct sevmon_host *host)
{
    struct sevmon_noise *noise = &work.noise;
    uint8_t *psk = work.key, *message = work.cipher, *secret = work.aad;
    size_t bytes;

    unhex(psk, "54686973206973206d79204175737472"
               "69616e20706572737065637469766521");
    unhex(secret, "bbdb4cdbd309f1a1f2e1456967fe288c"
                  "add6f712d65dc7b7793d5e63da6b375b");
    bytes = unhex(message, "ca35def5ae56cec33dc2036731ab1489"
                           "6bc4c75dbb07a61f879f8e3afa4c7944"
                           "7c37a89fc17813788d30df2d59501d60"
                           "66f5f8aecc3406bbd9829f2d24a531b1") - 48;
    sevmon_noise_start(noise, host, "John Galt", 9);
    if ( !sevmon_noise_read_first(noise, psk, message, work.plain, bytes) ||
         memcmp(work.plain, "Ludwig von Mises", 16) ||
         !sevmon_noise_reply(noise, secret, message) )
        return false;
    sevmon_noise_write_payload(noise, (const uint8_t *)"Murray Rothbard", 15,
                               message + SEVMON_DH_BYTES);

    return is_hex(message, "95ebc60d2b1fa672c1f46a8aa265ef51"
                           "bfe38e7ccb39ec5be34069f144808843"
                           "2f29d79368ef9de4e1ae7a362fb05bf0"
                           "ad668e026bf5714554497b3a720461") &&
           is_hex(noise->h, "9f3b1f9afd7767767b5b9d1069844a61"
                            "54fdbdcc36dfb3e31c0fffc5c973d530");
}

const char *sevmon_agent_selftest(const struct sevmon_host *host)
{
    static const struct {
        const char *name;
        bool (*run)(const struct sevmon_host *host);
    } tests[] = {
        { "SHA-256", test_sha256 },
        { "SHA-256 in parts", test_sha256_parts },
        { "HMAC-SHA-256", test_hmac },
        { "X25519", test_x25519 },
        { "AES-256-GCM", test_gcm },
        { "AES-256-GCM, long", test_long_gcm },
        { "XAES-256-GCM", test_xaes },
        { "Noise NNpsk0", test_noise },
    };
    const char *failed = NULL;
    unsigned int i;

    for ( i = 0; i < ARRAY_SIZE(tests) && !failed; i++ )
        if ( !tests[i].run(host) )
            failed = tests[i].name;
    sevmon_wipe(&work, sizeof(work));

    return failed;
}
