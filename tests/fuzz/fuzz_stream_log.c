/* tests/fuzz/fuzz_stream_log.c - logs of streams and lists of cached blocks from anybody: what
 * they say is taken for less, never for more, and digests go on with it unharmed. */
#include <stdlib.h>
#include <string.h>

#include "formats/base/hash.h"
#include "formats/hub_cache_sums.h"
#include "formats/stream_log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(what)                                                                              \
    do {                                                                                           \
        if (!(what))                                                                               \
            abort();                                                                               \
    } while (0)

enum { FILES = 3 };
static const uint32_t first[FILES + 1] = { 0, 5, 5, 12 };

static void replay(const uint8_t *data, size_t size, rc_mem *mem)
{
    static const uint8_t block[4096];
    rc_stream_known known;

    REQUIRE(rc_stream_known_make(&known, FILES, first, sizeof block, mem, NULL) == RC_OK);
    (void)rc_stream_log_replay(&known, data, size);
    rc_stream_known_settle(&known);
    for (size_t b = 0; b < known.nblocks; b++)
        REQUIRE(known.has[b] <= 1);
    for (size_t f = 0; f < FILES; f++) {
        rc_content_hasher *h = &known.hasher[f];

        REQUIRE(h->nbytes <= (uint64_t)(first[f + 1] - first[f]) * sizeof block);
        for (uint64_t b = 0; b < rc_ceil_div(h->nbytes, sizeof block); b++)
            REQUIRE(known.has[first[f] + b]);
        if (h->kind != RC_CONTENT_UNKNOWN) {
            rc_content_add(h, block, sizeof block);
            (void)rc_content_end(h);
        }
    }
    rc_stream_known_drop(&known, mem);
}

static void parse(const uint8_t *data, size_t size, rc_mem *mem)
{
    const rc_content_id content = { .kind = RC_CONTENT_GIT };
    rc_cache_sums sums;
    size_t have = 0;

    REQUIRE(rc_cache_sums_make(&sums, (uint64_t)5 << 20, &content, mem, NULL) == RC_OK);
    (void)rc_cache_sums_parse(&sums, data, size);
    for (size_t b = 0; b < sums.nblocks; b++)
        have += sums.has[b];
    REQUIRE(have == sums.have);
    rc_cache_sums_drop(&sums, mem);
}

/* Nobody guesses a checksum: that of each record of `n` bytes is made right. */
static void mend(uint8_t *at, size_t size, size_t n, size_t before)
{
    for (size_t off = before; size >= n && off <= size - n; off += n) {
        const uint64_t check = XXH3_64bits(at + off, n - sizeof check);

        memcpy(at + off + n - sizeof check, &check, sizeof check);
    }
}

/* The first byte: 0 as they are, else mended. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    rc_mem mem = { .limit = (size_t)64 << 20 };
    uint8_t *copy;

    if (size == 0)
        return 0;
    copy = malloc(size);
    REQUIRE(copy);
    memcpy(copy, data + 1, size - 1);
    if (data[0])
        mend(copy, size - 1, RC_STREAM_RECORD, 0);
    replay(copy, size - 1, &mem);
    memcpy(copy, data + 1, size - 1);
    if (data[0] && size > 64) {
        mend(copy, 64, 64, 0);
        mend(copy, size - 1, 32, 64);
    }
    parse(copy, size - 1, &mem);
    free(copy);
    REQUIRE(mem.used == 0);
    return 0;
}
