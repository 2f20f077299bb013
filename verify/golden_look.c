/* verify/golden_look.c - see golden_look.h. */
#include "verify/golden_look.h"

#include <string.h>

#include "formats/base/hash.h"
#include "runtime/threads.h"

struct rc_golden_look {
    rc_hasher hasher; /* of the window that the next token is in */
    rc_mem *mem;
    const rc_golden_head *head;
    unsigned threads;
    size_t width; /* values of a token's streams */
    rc_watch watch;
    uint16_t *signs;    /* [width] */
    rc_golden_sum *sum; /* [windows] */
    float *sketch;      /* [sketched, RC_GOLDEN_DIMS] */
    uint64_t next;      /* token */
    uint64_t group;     /* the next to be sketched */
};

static void restart(rc_golden_look *l)
{
    l->next = l->group = 0;
    rc_hash_begin(&l->hasher);
}

/* ----------------------------------------------------------------- checksums */

static void end_window(rc_golden_look *l, uint64_t window)
{
    const rc_digest d = rc_hash_end(&l->hasher);

    memcpy(l->sum[window].bytes, d.bytes, sizeof l->sum[window].bytes);
    rc_hash_begin(&l->hasher);
}

/* Windows are of ctx tokens each, but the last. */
static void hash_tokens(rc_golden_look *l, const float *h, size_t tokens)
{
    const uint32_t ctx = l->head->ctx;

    for (uint64_t at = l->next, end = at + tokens; at < end;) {
        const uint64_t left = ctx - at % ctx;
        const size_t n = left < end - at ? (size_t)left : (size_t)(end - at);

        rc_hash_add(&l->hasher, h, n * l->width * sizeof *h);
        h += n * l->width;
        at += n;
        if (at % ctx == 0 || at == l->head->window_tokens)
            end_window(l, (at - 1) / ctx);
    }
}

/* ------------------------------------------------------------------ sketches */

static void project(float out[RC_GOLDEN_DIMS], const float *h, const uint16_t *signs, size_t n)
{
    double sum[RC_GOLDEN_DIMS] = { 0 };

    for (size_t i = 0; i < n; i++) {
        const double way[2] = { (double)h[i], -(double)h[i] };

        for (unsigned j = 0; j < RC_GOLDEN_DIMS; j++)
            sum[j] += way[signs[i] >> j & 1];
    }
    for (unsigned j = 0; j < RC_GOLDEN_DIMS; j++)
        out[j] = (float)sum[j];
}

static void sketch_tokens(rc_golden_look *l, const float *h, size_t tokens)
{
    const uint64_t first = l->group, groups = rc_golden_sketched(l->head);
    uint64_t end = first;

    while (end < groups && rc_golden_sketched_at(l->head, end) < l->next + tokens)
        end++;
    l->group = end;
    const unsigned team = rc_threads_for(l->threads, end - first);

    RC_PARALLEL(team, for schedule(static))
    for (uint64_t g = first; g < end; g++)
        project(l->sketch + g * RC_GOLDEN_DIMS,
                h + (rc_golden_sketched_at(l->head, g) - l->next) * l->width, l->signs, l->width);
}

/* --------------------------------------------------------------------- watch */

static rc_code streams(void *ctx, uint32_t layer, uint64_t pos0, size_t tokens, const float *h,
                       rc_err *err)
{
    rc_golden_look *l = ctx;

    if (layer >= l->head->layers)
        return RC_OK;
    if (pos0 == 0)
        restart(l);
    if (pos0 != l->next || tokens > l->head->window_tokens - pos0)
        return rc_fail(err, RC_E_INTERNAL, RC_NO_OFFSET, "tokens came out of order");
    hash_tokens(l, h, tokens);
    sketch_tokens(l, h, tokens);
    l->next += tokens;
    return RC_OK;
}

rc_code rc_golden_look_new(rc_golden_look **out, const rc_golden_head *head, unsigned threads,
                           rc_mem *mem, rc_err *err)
{
    rc_golden_look *l = rc_mem_get_pages(mem, sizeof *l); /* the hasher is aligned to 64 */

    *out = NULL;
    if (!l)
        return rc_fail_nomem(err, mem, sizeof *l);
    memset(l, 0, sizeof *l);
    l->mem = mem;
    l->head = head;
    l->threads = threads;
    l->width = (size_t)head->streams * head->hidden;
    l->watch = (rc_watch){ .ctx = l, .streams = streams };
    l->signs = rc_mem_get(mem, l->width * sizeof *l->signs);
    l->sum = rc_mem_get(mem, (size_t)head->windows * sizeof *l->sum);
    l->sketch = rc_mem_get(mem, (size_t)rc_golden_sketched(head) * RC_GOLDEN_DIMS * sizeof(float));
    if (!l->signs || !l->sum || !l->sketch) {
        rc_golden_look_free(&l);
        return rc_fail_nomem(err, mem, 0);
    }
    for (size_t i = 0; i < l->width; i++)
        l->signs[i] = rc_golden_signs(i);
    *out = l;
    return RC_OK;
}

void rc_golden_look_free(rc_golden_look **look)
{
    rc_golden_look *l = *look;

    if (!l)
        return;
    rc_mem_put(l->mem, l->signs);
    rc_mem_put(l->mem, l->sum);
    rc_mem_put(l->mem, l->sketch);
    rc_mem_put(l->mem, l);
    *look = NULL;
}

const rc_watch *rc_golden_look_watch(const rc_golden_look *look)
{
    return &look->watch;
}

rc_code rc_golden_look_layer(rc_golden_look *l, const rc_golden_sum **sum, const float **sketch,
                             rc_err *err)
{
    if (l->next != l->head->window_tokens)
        return rc_fail(err, RC_E_INTERNAL, RC_NO_OFFSET, "a layer did not show all its tokens");
    *sum = l->sum;
    *sketch = l->sketch;
    l->next = 0;
    return RC_OK;
}
