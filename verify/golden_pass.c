/* verify/golden_pass.c - see golden_pass.h. */
#include "verify/golden_pass.h"

#include "formats/base/par.h"

/* Logits in memory at a time: a share of the limit, and no more than reading the head again for
 * the next ones is worth. */
enum { SHARE = 16, MOST_BYTES = 128 << 20 };

static size_t choose_block(const rc_forward *f, const rc_golden_head *head, uint64_t limit)
{
    const uint64_t row = (uint64_t)head->vocab * sizeof(float);
    const uint64_t room = limit / SHARE < MOST_BYTES ? limit / SHARE : MOST_BYTES;
    const uint64_t most = rc_forward_run(f);

    return row >= room ? 1 : room / row < most ? (size_t)(room / row) : (size_t)most;
}

rc_code rc_golden_pass_open(rc_golden_pass *p, rc_model *model, const rc_golden_head *head,
                            const rc_windows *windows, const rc_forward_options *run, rc_mem *mem,
                            rc_err *err)
{
    rc_forward_options o = { .numerics = run->numerics,
                             .threads = run->threads,
                             .mem_limit = run->mem_limit,
                             .mem = run->mem,
                             .scratch = run->scratch };

    *p = (rc_golden_pass){ .mem = mem,
                           .head = head,
                           .windows = windows,
                           .threads = run->threads ? run->threads : rc_par_cpus() };
    RC_TRY(rc_golden_look_new(&p->look, head, p->threads, mem, err));
    o.watch = rc_golden_look_watch(p->look);
    RC_TRY(rc_forward_new(&p->forward, model, &o, err));
    p->block = choose_block(p->forward, head, rc_forward_memory(run->mem_limit));
    return rc_forward_begin(p->forward, windows->token, windows->tokens, windows->ctx, err);
}

void rc_golden_pass_close(rc_golden_pass *p)
{
    rc_forward_free(&p->forward);
    rc_golden_look_free(&p->look);
    rc_mem_put(p->mem, p->logits);
    p->logits = NULL;
}

rc_code rc_golden_pass_layer(rc_golden_pass *p, rc_err *err)
{
    return rc_forward_step(p->forward, err);
}

rc_code rc_golden_pass_rows(rc_golden_pass *p, size_t at, size_t end, const float **rows, size_t *n,
                            rc_err *err)
{
    const size_t vocab = p->head->vocab;

    if (at < p->at || at >= p->at + p->n) {
        const size_t now = end - at < p->block ? end - at : p->block;

        if (!p->logits)
            p->logits = rc_mem_get_pages(p->mem, p->block * vocab * sizeof *p->logits);
        if (!p->logits)
            return rc_fail_nomem(err, p->mem, p->block * vocab * sizeof *p->logits);
        RC_TRY(rc_forward_logits(p->forward, at, now, p->logits, err));
        p->at = at;
        p->n = now;
    }
    *rows = p->logits + (at - p->at) * vocab;
    *n = p->at + p->n - at;
    return RC_OK;
}

bool rc_golden_run_next(rc_golden_run *r, const rc_golden_pass *p)
{
    const size_t run = p->head->run;

    if (r->n == 0)
        rc_windows_scored(p->windows, r->window, &r->at, &r->end);
    else
        r->at += r->n;
    while (r->at >= r->end) {
        if (++r->window >= p->windows->windows)
            return false;
        rc_windows_scored(p->windows, r->window, &r->at, &r->end);
    }
    r->n = r->end - r->at < run ? r->end - r->at : run;
    return true;
}
