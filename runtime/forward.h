/* runtime/forward.h - the forward pass: tokens in, logits out.
 *
 *     h[n] = embed[token], n = 0 .. N-1;  h = layer(h), layer by layer;
 *     logits = head . norm(hc_head(h))
 *
 * All tokens that are fed together go through a layer, then its weights may go: the whole model is
 * read once a feed, of the experts only the chosen ones. Tokens fed later follow those fed
 * before. The bits of the logits depend on the weights' values and the tokens only: not on how they
 * are fed, on threads, memory, or the instruction set (unless `blas`).
 * Source: the official model.py, class Transformer. */
#ifndef RC_RUNTIME_FORWARD_H
#define RC_RUNTIME_FORWARD_H

#include <stdatomic.h>

#include "runtime/engine.h"
#include "runtime/swap.h"

typedef struct rc_forward_options {
    rc_numerics numerics;
    unsigned threads;        /* 0: all processors */
    uint64_t mem_limit;      /* bytes in all; 0: half of the machine's memory */
    rc_mem *mem;             /* pays, and gets that limit; or NULL: an account of its own */
    const char *scratch;     /* folder for state that does not fit */
    uint32_t first, end;     /* run layers [first, end) only; end 0: all */
    bool blas;               /* see rc_engine */
    bool keep_streams;       /* for rc_forward_draft(), rc_forward_draft_windows() */
    bool no_logits;          /* nobody will ask for any: output matrices are not read */
    const rc_watch *watch;   /* or NULL; borrowed */
    const rc_swap *swap;     /* parameters that come from another model, or NULL; borrowed */
    _Atomic uint64_t *steps; /* counts layers done, for progress; or NULL */
} rc_forward_options;

/** The memory limit in force: `mem_limit`, or when that is 0 half of the machine's memory. */
uint64_t rc_forward_memory(uint64_t mem_limit);

typedef struct rc_forward rc_forward;

/** The model must be whole (rc_model_require_whole). It is borrowed.
 *  RC_E_UNSUPPORTED  sizes that the kernels do not take (multiples of 32, ..): names the field
 *                    keep_streams, and the model has no MTP block (says what it has)
 *  RC_E_TENSORSET    the same, and the block lacks a tensor
 *  RC_E_LIMIT        mem_limit too small: says what is needed
 *  and what reading the small tensors reports. */
RC_MUST_CHECK
rc_code rc_forward_new(rc_forward **out, rc_model *model, const rc_forward_options *options,
                       rc_err *err);
void rc_forward_free(rc_forward **f);

/* Logits of `n` positions from `pos` on: [n, vocabulary]. Valid during the call. */
typedef rc_code rc_logits_fn(void *ctx, uint64_t pos, size_t n, const float *logits, rc_err *err);

/** Feed n tokens. fn (may be NULL) gets the logits of the last `tail` of them, in order, some
 *  positions at a time. With keep_streams `token` is borrowed until the next call that feeds,
 *  drafts, forgets or frees.
 *    RC_E_USAGE a token past the vocabulary; more positions than max_position_embeddings
 *  and whatever reading reports. After an error only rc_forward_free() and rc_forward_forget(). */
RC_MUST_CHECK
rc_code rc_forward_feed(rc_forward *f, const uint32_t *token, size_t n, size_t tail,
                        rc_logits_fn *fn, void *ctx, rc_err *err);

/** The MTP block on what was fed last, which must have begun at position 0 with `keep_streams` (and
 * whose tokens must still be where they were): the streams of token t go with token t + shift (1 in
 * use; 0 as the reference calls its module). fn gets the logits of all but the last `shift` tokens;
 * those of t are for token t + shift + 1. Once for each feed. RC_E_UNSUPPORTED the model has no MTP
 * block (says what it has). */
RC_MUST_CHECK
rc_code rc_forward_draft(rc_forward *f, unsigned shift, rc_logits_fn *fn, void *ctx, rc_err *err);

/* A layer at a time, for whoever runs two models side by side, or many texts at once.
 *
 *     begin;  while (layer < end) step, follow;  logits, streams;  forget */

/** token[n] is cut into windows of `window` tokens (the last may be shorter), each a sequence of
 *  its own from position 0, with the bits of feeding it alone. All of them go through a layer
 *  before the next layer is read. Watchers see indices into token[] for positions. Only as the
 *  first thing after new or forget; token is borrowed until forget or free.
 *    RC_E_USAGE     no tokens, windows of none, a token past the vocabulary, a window longer
 *                   than max_position_embeddings
 *    RC_E_INTERNAL  not at the beginning
 *  and whatever reading reports. After an error, here and below, only free and forget; but
 *  RC_E_INTERNAL, which says that it was called out of turn, leaves all as it was. */
RC_MUST_CHECK
rc_code rc_forward_begin(rc_forward *f, const uint32_t *token, size_t n, size_t window,
                         rc_err *err);
/** The layer that comes next; rc_forward_end_layer() when all are done. */
uint32_t rc_forward_next_layer(const rc_forward *f);
uint32_t rc_forward_end_layer(const rc_forward *f);
/** Run it. What the layer after it, or the head, needs first is read ahead meanwhile. */
RC_MUST_CHECK
rc_code rc_forward_step(rc_forward *f, rc_err *err);
/** Instead of running it: it gave what it gave in `other`, a model of the same sizes and tokens
 *  that is one layer ahead. The streams are copied, no weights are read, no watcher is called. */
RC_MUST_CHECK
rc_code rc_forward_follow(rc_forward *f, rc_forward *other, rc_err *err);
/** Run the next layer on the streams that `other` has now, for the watcher only: f is afterwards
 *  where it was. `other`: of the same sizes and tokens, at the same layer; it may be f. Takes the
 *  memory of a second set of streams, until forget. */
RC_MUST_CHECK
rc_code rc_forward_probe(rc_forward *f, rc_forward *other, rc_err *err);
/** The streams of tokens [at, at + n) as they are now: h [n, N, D]. RC_E_INTERNAL past the end. */
RC_MUST_CHECK
rc_code rc_forward_streams(rc_forward *f, size_t at, size_t n, float *h, rc_err *err);
/** Logits of tokens [at, at + n): [n, vocabulary], n at most rc_forward_run(). All layers done.
 *  RC_E_INTERNAL with `no_logits`, as feed and draft where logits are asked for. */
RC_MUST_CHECK
rc_code rc_forward_logits(rc_forward *f, size_t at, size_t n, float *logits, rc_err *err);
/** Tokens that go through a layer at once; the most that rc_forward_logits() takes. */
size_t rc_forward_run(const rc_forward *f);

/** Instead of running layers [first, layer), layer at most rc_forward_end_layer(): go on from
 *  streams of an earlier run, kept by rc_forward_streams() after layer - 1. Then h [n, N, D] is to
 *  be set for all tokens, in any pieces, before anything else. Right after begin only; both
 *  RC_E_INTERNAL out of turn. */
RC_MUST_CHECK
rc_code rc_forward_resume(rc_forward *f, uint32_t layer, rc_err *err);
RC_MUST_CHECK
rc_code rc_forward_set_streams(rc_forward *f, size_t at, size_t n, const float *h, rc_err *err);
/** For the watcher only, all layers done: what the output matrix reads, without its product. */
RC_MUST_CHECK
rc_code rc_forward_show_head(rc_forward *f, rc_err *err);
/** The MTP block on all windows, all layers done and `keep_streams`: the streams of token t with
 *  token t + 1 of its window; the last of each window is left out, and watchers see indices into
 *  what is left. For watchers: there are no logits. Then only forget. RC_E_UNSUPPORTED as
 *  rc_forward_draft(). */
RC_MUST_CHECK
rc_code rc_forward_draft_windows(rc_forward *f, rc_err *err);

/** The next feed begins at position 0 again, or windows may begin. Weights in memory stay. */
void rc_forward_forget(rc_forward *f);

uint64_t rc_forward_positions(const rc_forward *f); /* fed, or of all windows */
rc_weights_stats rc_forward_statistics(const rc_forward *f);
uint64_t rc_forward_spilled(const rc_forward *f); /* bytes of the largest scratch file set */
size_t rc_forward_peak(const rc_forward *f);      /* most bytes ever held */

#endif
