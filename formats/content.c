/* formats/content.c - see content.h.
 *
 * The old interface of libcrypto, not EVP: its states are plain structures, and only those can
 * be kept across a kill. The arithmetic behind both is the same. */
#define OPENSSL_API_COMPAT 10100 /* without its words of farewell */
#include "formats/content.h"

#include <assert.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>

static_assert(sizeof(SHA256_CTX) <= sizeof((rc_content_hasher){ 0 }.state), "a SHA-256 state fits");
static_assert(sizeof(SHA_CTX) <= sizeof((rc_content_hasher){ 0 }.state), "a SHA-1 state fits");

static size_t id_bytes(rc_content_kind kind)
{
    return kind == RC_CONTENT_SHA256 ? SHA256_DIGEST_LENGTH
           : kind == RC_CONTENT_GIT  ? SHA_DIGEST_LENGTH
                                     : 0;
}

const char *rc_content_hex(const rc_content_id *id, char buf[RC_CONTENT_HEX])
{
    buf[0] = '\0';
    for (size_t i = 0; i < id_bytes(id->kind); i++)
        snprintf(buf + 2 * i, 3, "%02x", id->bytes[i]);
    return buf;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool rc_content_parse(rc_content_id *id, const char *hex, size_t len)
{
    *id = (rc_content_id){ .kind = len == 64   ? RC_CONTENT_SHA256
                                   : len == 40 ? RC_CONTENT_GIT
                                               : RC_CONTENT_UNKNOWN };
    for (size_t i = 0; i < 2 * id_bytes(id->kind); i++) {
        const int digit = hex_digit(hex[i]);

        if (digit < 0) {
            *id = (rc_content_id){ 0 };
            return false;
        }
        id->bytes[i / 2] = (uint8_t)(id->bytes[i / 2] << 4 | digit);
    }
    return id->kind != RC_CONTENT_UNKNOWN;
}

bool rc_content_equal(const rc_content_id *a, const rc_content_id *b)
{
    return a->kind == b->kind && memcmp(a->bytes, b->bytes, id_bytes(a->kind)) == 0;
}

void rc_content_begin(rc_content_hasher *hasher, rc_content_kind kind, uint64_t file_bytes)
{
    char head[32];

    *hasher = (rc_content_hasher){ .kind = kind };
    if (kind == RC_CONTENT_SHA256) {
        SHA256_Init((SHA256_CTX *)(void *)hasher->state);
        return;
    }
    SHA1_Init((SHA_CTX *)(void *)hasher->state);
    snprintf(head, sizeof head, "blob %" PRIu64, file_bytes);
    SHA1_Update((SHA_CTX *)(void *)hasher->state, head, strlen(head) + 1);
}

void rc_content_add(rc_content_hasher *hasher, const void *data, size_t nbytes)
{
    hasher->nbytes += nbytes;
    if (hasher->kind == RC_CONTENT_SHA256)
        SHA256_Update((SHA256_CTX *)(void *)hasher->state, data, nbytes);
    else
        SHA1_Update((SHA_CTX *)(void *)hasher->state, data, nbytes);
}

/* The library believes its states: how many bytes of a block wait in it, and how long its digest
 * is. */
bool rc_content_resumable(const rc_content_hasher *hasher)
{
    const SHA256_CTX *sha256 = (const SHA256_CTX *)(const void *)hasher->state;
    const SHA_CTX *sha1 = (const SHA_CTX *)(const void *)hasher->state;

    if (hasher->kind == RC_CONTENT_SHA256)
        return sha256->num == hasher->nbytes % SHA256_CBLOCK &&
               sha256->md_len == SHA256_DIGEST_LENGTH;
    return hasher->kind == RC_CONTENT_GIT && sha1->num < SHA_CBLOCK;
}

rc_content_id rc_content_end(const rc_content_hasher *hasher)
{
    rc_content_hasher last = *hasher;
    rc_content_id id = { .kind = hasher->kind };

    if (hasher->kind == RC_CONTENT_SHA256)
        SHA256_Final(id.bytes, (SHA256_CTX *)(void *)last.state);
    else
        SHA1_Final(id.bytes, (SHA_CTX *)(void *)last.state);
    return id;
}
