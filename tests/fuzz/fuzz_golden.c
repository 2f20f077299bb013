/* tests/fuzz/fuzz_golden.c - a golden file from anybody. What opens must also be readable without
 * harm, section by section, and give nothing that its contract excludes.
 *
 * Every input is tried as it is, and with its checksum made right: a fuzzer would never guess one.
 */
#include <stdlib.h>
#include <string.h>

#include "formats/golden.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(what)                                                                              \
    do {                                                                                           \
        if (!(what))                                                                               \
            abort();                                                                               \
    } while (0)

enum { MOST = 8 << 20 }; /* bytes: larger ones are left alone, they only take time */

static void said(rc_golden *g, uint64_t i, size_t n)
{
    const rc_golden_head *h = rc_golden_head_of(g);
    const size_t k = h->top_k;
    rc_golden_said s = { .id = malloc(n * k * sizeof *s.id),
                         .logprob = malloc(n * k * sizeof *s.logprob),
                         .drawn = malloc(n * h->draws * sizeof *s.drawn + 1),
                         .drawn_logprob = malloc(n * h->draws * sizeof *s.drawn_logprob + 1),
                         .tail = malloc(n * sizeof *s.tail),
                         .next = malloc(n * sizeof *s.next) };
    rc_err err = { 0 };

    REQUIRE(s.id && s.logprob && s.drawn && s.drawn_logprob && s.tail && s.next);
    if (rc_golden_read_said(g, i, &s, &err) == RC_OK) {
        for (size_t j = 0; j < n * k; j++)
            REQUIRE(s.id[j] < h->vocab && s.logprob[j] <= 0);
        for (size_t j = 0; j < n * h->draws; j++)
            REQUIRE(s.drawn[j] < h->vocab && s.drawn_logprob[j] <= 0);
        for (size_t j = 0; j < n; j++)
            REQUIRE(s.tail[j] >= 0 && s.tail[j] <= 1 && s.next[j] <= 0);
    } else {
        REQUIRE(err.msg[0]);
    }
    free(s.id);
    free(s.logprob);
    free(s.drawn);
    free(s.drawn_logprob);
    free(s.tail);
    free(s.next);
}

static void rows(rc_golden *g, uint64_t i, size_t n)
{
    float *logits = malloc(n * rc_golden_head_of(g)->vocab * sizeof *logits);
    rc_digest digest;
    rc_err err = { 0 };

    REQUIRE(logits);
    REQUIRE(rc_golden_read_rows(g, i, &digest, logits, &err) == RC_OK || err.msg[0]);
    free(logits);
}

static void text_and_layers(rc_golden *g)
{
    const rc_golden_head *h = rc_golden_head_of(g);
    uint32_t *id = malloc(h->text_tokens * sizeof *id);
    rc_golden_sum *sum = malloc(h->windows * sizeof *sum);
    float *sketch = malloc(rc_golden_sketched(h) * RC_GOLDEN_DIMS * sizeof *sketch);
    rc_err err = { 0 };

    REQUIRE(id && sum && sketch);
    if (rc_golden_tokens(g, id, &err) == RC_OK)
        for (size_t i = 0; i < h->text_tokens; i++)
            REQUIRE(id[i] < h->vocab);
    for (uint32_t l = 0; l < h->layers; l++)
        REQUIRE(rc_golden_layer(g, l, sum, sketch, &err) == RC_OK || err.msg[0]);
    for (uint64_t i = 0; i < rc_golden_sketched(h); i++)
        REQUIRE(rc_golden_sketched_at(h, i) < h->window_tokens);
    free(id);
    free(sum);
    free(sketch);
}

static void inspect(rc_golden *g)
{
    const rc_golden_head *h = rc_golden_head_of(g);
    uint64_t scored = 0;
    rc_err err = { 0 };
    size_t n;

    if (h->text_tokens * 4 < MOST && h->windows * 8 < MOST && rc_golden_sketched(h) * 64 < MOST)
        text_and_layers(g);
    for (uint64_t i = 0; i < rc_golden_runs(g); i++) {
        REQUIRE(rc_golden_positions(g, i, &n, &err) == RC_OK && n > 0 && n <= h->run);
        scored += n;
        if (h->top_k && n * h->top_k * 8 < MOST)
            said(g, i, n);
        else if (!h->top_k && n * h->vocab * 4 < MOST)
            rows(g, i, n);
    }
    REQUIRE(scored == h->scored);
}

static void try(const uint8_t *data, size_t size)
{
    rc_mem mem = { .limit = (size_t)64 << 20 };
    rc_err err = { 0 };
    rc_golden *g;
    const rc_code rc = rc_golden_parse(&g, data, size, &mem, &err);

    if (rc == RC_OK) {
        inspect(g);
    } else {
        REQUIRE(!g && err.code == rc && err.msg[0]);
        REQUIRE(err.offset == RC_NO_OFFSET || err.offset <= size);
    }
    rc_golden_close(&g);
    REQUIRE(mem.used == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *sealed;
    rc_digest d;

    try(data, size);
    if (size < sizeof d)
        return 0;
    sealed = malloc(size);
    REQUIRE(sealed);
    memcpy(sealed, data, size - sizeof d);
    d = rc_hash(sealed, size - sizeof d);
    memcpy(sealed + size - sizeof d, &d, sizeof d);
    try(sealed, size);
    free(sealed);
    return 0;
}
