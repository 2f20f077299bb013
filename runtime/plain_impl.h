/* runtime/plain_impl.h - the plain forward pass from inside; for plain*.c only. */
#ifndef RC_RUNTIME_PLAIN_IMPL_H
#define RC_RUNTIME_PLAIN_IMPL_H

#include "runtime/decode.h"
#include "runtime/plain.h"

/* A parameter [rows, cols]; a vector is one row. */
typedef struct rc_pl_weight {
    const rc_bound *bound; /* NULL: this block has none */
    size_t rows, cols;
    float *kept; /* all of it, or NULL: read it again */
} rc_pl_weight;

/* What maps the N streams to a sublayer and back. fn [M, N*D], base [M]: M = (2 + N) * N,
 * or N before the head. */
typedef struct rc_pl_mix {
    rc_pl_weight fn, base, scale;
} rc_pl_mix;

/* Tokens in, one vector for every r of them out. f = 2 where windows overlap (r = 4), else 1. */
typedef struct rc_pl_compressor {
    rc_pl_weight wkv, wgate, ape, norm;
    size_t ratio, factor; /* r, f */
    size_t width;         /* d: of the vectors that come out */
    double *value, *gate; /* [f * r, f * d]: tokens that wait; with f = 2 the block before first */
    double *blocks;       /* [n, d] */
    size_t n, room;
} rc_pl_compressor;

typedef struct rc_pl_attention {
    rc_pl_weight wq_a, q_norm, wq_b, wkv, kv_norm, sink, wo_a, wo_b;
    size_t ratio;                /* r */
    rc_pl_compressor compressor; /* r != 0 */
    rc_pl_compressor index;      /* r = 4, as the next two */
    rc_pl_weight index_wq_b, index_weights;
    double *window;     /* [W, C]: of position t in row t mod W */
    const double *turn; /* [R / 2]: radians a position */
} rc_pl_attention;

typedef struct rc_pl_expert {
    rc_pl_weight w1, w3, w2; /* gate [I, D], up [I, D], down [D, I] */
} rc_pl_expert;

typedef struct rc_pl_experts {
    rc_pl_weight gate, bias, tid2eid; /* either a bias or a table */
    rc_pl_expert shared, *routed;     /* [E] */
} rc_pl_experts;

typedef struct rc_pl_block {
    uint32_t layer; /* as a watch counts */
    rc_pl_mix attn_mix, ffn_mix;
    rc_pl_weight attn_norm, ffn_norm;
    rc_pl_attention attn;
    rc_pl_experts ffn;
} rc_pl_block;

typedef struct rc_pl_output {
    rc_pl_mix mix;
    rc_pl_weight norm;
} rc_pl_output;

typedef struct rc_pl_mtp {
    rc_pl_weight enorm, hnorm, e_proj, h_proj;
    rc_pl_output output;
    uint64_t pos;
} rc_pl_mtp;

typedef struct rc_pl_dspark {
    rc_pl_weight main_proj, main_norm, markov_w1, markov_w2, confidence;
    rc_pl_output output;
    double *hidden; /* [targets, D]: of the last position */
} rc_pl_dspark;

struct rc_plain {
    rc_mem *mem;
    const rc_model *model;
    const rc_config *config;
    rc_draft draft;              /* RC_DRAFT_NONE when parts of it are elsewhere: */
    const rc_param *draft_lacks; /* the first such part */
    rc_plain_watch watch;
    size_t N, D, C, R, W;

    rc_pl_weight embed, head;
    rc_pl_block *layers; /* [L + draft blocks] */
    size_t nlayers, nblocks;
    rc_pl_output output;
    rc_pl_mtp mtp;
    rc_pl_dspark dspark;
    double *turn_window, *turn_compressed; /* [R / 2] */

    uint64_t pos;
    double *streams; /* [N, D] */

    size_t keep; /* bytes that weights may still take */
    struct rc_pl_buffer {
        void *at;
        size_t len;
    } raw, scratch_of_piece, work, rows;
    rc_piece piece;        /* what `raw` holds */
    const rc_bound *whole; /* .. all of it; NULL: some rows, or nothing */
    rc_arena scratch;      /* of one block of one step */
};

/* ---------------------------------------------------------------- plain_weights.c */

/** Find "PREFIX" "NAME" in the model. RC_E_UNSUPPORTED when it lies in another file. */
RC_MUST_CHECK
rc_code rc_pl_bind(rc_plain *p, rc_pl_weight *w, const char *prefix, const char *name, rc_err *err);
void rc_pl_weight_free(rc_plain *p, rc_pl_weight *w);
/** One row, to y [cols]. */
RC_MUST_CHECK
rc_code rc_pl_row(rc_plain *p, rc_pl_weight *w, size_t row, double *y, rc_err *err);
/** y = w[row .. row + nrows) . x: y [nrows], x [cols] */
RC_MUST_CHECK
rc_code rc_pl_product_of(rc_plain *p, rc_pl_weight *w, size_t row, size_t nrows, const double *x,
                         double *y, rc_err *err);
/** y = w . x */
RC_MUST_CHECK
rc_code rc_pl_product(rc_plain *p, rc_pl_weight *w, const double *x, double *y, rc_err *err);
/** One row of a table of integers, I64 or I32, as it is. */
RC_MUST_CHECK
rc_code rc_pl_integers(rc_plain *p, const rc_pl_weight *w, size_t row, int64_t *y, rc_err *err);
/** The same error for whatever is wrong with row, col of w. */
RC_PRINTF(6, 7)
rc_code rc_pl_fail_at(const rc_plain *p, const rc_pl_weight *w, uint64_t offset, rc_code code,
                      rc_err *err, const char *fmt, ...);
/** RC_E_UNSUPPORTED: no draft of that kind, and why. */
rc_code rc_pl_fail_no_draft(const rc_plain *p, const char *kind, rc_err *err);
/** n doubles, zero, until the end of the block. */
RC_MUST_CHECK
rc_code rc_pl_take(rc_plain *p, double **out, size_t n, rc_err *err);

/* ------------------------------------------------------------------- plain_math.c */

/** y = w * x / sqrt(mean(x^2) + rms_norm_eps); y may be x. */
RC_MUST_CHECK
rc_code rc_pl_norm(rc_plain *p, rc_pl_weight *w, const double *x, double *y, rc_err *err);
/** 1 / sqrt(mean(x^2) + rms_norm_eps) */
double rc_pl_rms(const rc_plain *p, const double *x, size_t n);
double rc_pl_sigmoid(double x);
/** Radians a position of each of the R / 2 pairs. */
void rc_pl_turns(const rc_config *config, bool compressed, double *turn);
/** Turn the last R of x [n] by position pos: forward, or back. */
void rc_pl_rope(const rc_plain *p, const double *turn, double *x, size_t n, uint64_t pos,
                bool back);
/** x [n] by the Hadamard matrix over sqrt(n); n is a power of two. */
void rc_pl_hadamard(double *x, size_t n);
/** Mark the k largest of x [n]; ties: the lowest index. */
void rc_pl_top(const double *x, size_t n, size_t k, bool *chosen);

/* ---------------------------------------------------------------- plain_streams.c */

/** Streams h [N, D] to a sublayer's input u [D], and the way back: post [N], comb [N, N]. */
RC_MUST_CHECK
rc_code rc_pl_gather(rc_plain *p, rc_pl_mix *mix, const double *h, double *u, double *post,
                     double *comb, rc_err *err);
/** h = post * y + comb . h */
RC_MUST_CHECK
rc_code rc_pl_scatter(rc_plain *p, const double *y, const double *post, const double *comb,
                      double *h, rc_err *err);
/** Streams to the vector that the head sees: hc_head and norm. hidden [D], normed [D]. */
RC_MUST_CHECK
rc_code rc_pl_output_of(rc_plain *p, rc_pl_output *o, const double *h, double *hidden,
                        double *normed, rc_err *err);

/* -------------------------------------------------------------- plain_attention.c */

/** Sublayer: x [D] of position pos to y [D]. */
RC_MUST_CHECK
rc_code rc_pl_attend(rc_plain *p, rc_pl_block *b, const double *x, uint64_t pos, double *y,
                     rc_err *err);
/** Its parts, for the draft. Queries q [H, C] and what they come from, low [Q]. */
RC_MUST_CHECK
rc_code rc_pl_queries(rc_plain *p, rc_pl_attention *a, const double *x, uint64_t pos, double *low,
                      double *q, rc_err *err);
/** Key and value in one: kv [C]. */
RC_MUST_CHECK
rc_code rc_pl_key(rc_plain *p, rc_pl_attention *a, const double *x, uint64_t pos, double *kv,
                  rc_err *err);
/** q [H, C] over n vectors kv[i] [C], and out again: y [D]. */
RC_MUST_CHECK
rc_code rc_pl_look(rc_plain *p, rc_pl_attention *a, const double *q, const double *const *kv,
                   size_t n, uint64_t pos, double *y, rc_err *err);
/** The vectors of the window at position pos, in kv [W]; returns how many. */
size_t rc_pl_window(const rc_plain *p, const rc_pl_attention *a, uint64_t pos, const double **kv);

/* ---------------------------------------------------------------- plain_experts.c */

/** Sublayer: x [D] of a position with that token to y [D]. */
RC_MUST_CHECK
rc_code rc_pl_think(rc_plain *p, rc_pl_block *b, const double *x, uint64_t pos, uint32_t token,
                    double *y, rc_err *err);

/* ------------------------------------------------------------------------ plain.c */

/* What a sublayer needs besides the streams. */
typedef struct rc_pl_sublayer {
    double *u, *y;       /* [D]: in, out */
    double *post, *comb; /* [N], [N, N] */
} rc_pl_sublayer;

/** Its input: gathered and normed. */
RC_MUST_CHECK
rc_code rc_pl_begin(rc_plain *p, rc_pl_sublayer *s, rc_pl_mix *mix, rc_pl_weight *norm,
                    const double *h, rc_err *err);

/** N copies of the token's embedding to h [N, D]. */
RC_MUST_CHECK
rc_code rc_pl_embed(rc_plain *p, uint32_t token, double *h, rc_err *err);
/** The second sublayer of a block, on h [N, D]. */
RC_MUST_CHECK
rc_code rc_pl_second(rc_plain *p, rc_pl_block *b, double *h, uint64_t pos, uint32_t token,
                     rc_err *err);

/* ----------------------------------------------------------------- plain_dspark.c */

/** Remember the streams after a layer, if it is one that the draft reads. */
void rc_pl_dspark_see(rc_plain *p, size_t layer, const double *h);
/** Give the draft's windows what was remembered of position p->pos. */
RC_MUST_CHECK
rc_code rc_pl_dspark_absorb(rc_plain *p, rc_err *err);

#endif
