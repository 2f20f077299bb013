/* convert/smooth_impl.h - the search for scalings from inside; for smooth*.c only. */
#ifndef RC_CONVERT_SMOOTH_IMPL_H
#define RC_CONVERT_SMOOTH_IMPL_H

#include "convert/smooth.h"
#include "formats/absorb.h"
#include "quantize/awq.h"
#include "runtime/decode.h"

enum {
    RC_SMOOTH_TRIES = RC_AWQ_GRID, /* ratios */
    RC_SMOOTH_FINAL = 2,           /* of them are tried on the block's output */
    RC_SMOOTH_TILE = 64            /* rows decoded at a time */
};

/* A norm whose readers may all be scaled. */
typedef struct rc_smooth_site {
    const rc_bound *norm;
    rc_absorb point;
    size_t n;                      /* channels */
    const rc_bound *const *reader; /* those that become INT4 */
    size_t readers;
    const rc_bound *all; /* the reader that every token reaches: its statistics are the site's */
    uint32_t block;      /* of the statistics: layer, or layers + number of the draft's block */
} rc_smooth_site;

/* What a site's search works with. */
typedef struct rc_smooth_search {
    const rc_plan *plan;
    const rc_config *config;
    const rc_calib *stats;
    const rc_smooth_site *site;
    rc_int4_kind kind; /* as the matrices will be quantized */
    rc_smooth_way way;
    unsigned threads;
    rc_mem *mem;
    float *s[RC_SMOOTH_TRIES];        /* candidates, [n] each */
    double loss[1 + RC_SMOOTH_TRIES]; /* of none, and of each */
} rc_smooth_search;

/** All sites of a plan, in the model's order; put *sites and *readers back to mem. */
RC_MUST_CHECK
rc_code rc_smooth_list(const rc_plan *plan, rc_smooth_site **sites, const rc_bound ***readers,
                       size_t *n, rc_mem *mem, rc_err *err);

/** Fill s and loss by the weights and the mean squares of activations. *known false: the statistics
 *  have nothing on this site. */
RC_MUST_CHECK
rc_code rc_smooth_by_weights(rc_smooth_search *search, bool *known, rc_err *err);

/** loss[0] without scaling and loss[1 + i] with s[pick[i]], on the sample of activations; only at
 *  RC_ABSORB_FFN. *measured false: there is no sample. */
RC_MUST_CHECK
rc_code rc_smooth_by_output(const rc_smooth_search *search, const unsigned *pick, unsigned picks,
                            double *loss, bool *measured, rc_err *err);

/* Rows of a matrix, as stored. Its buffers grow; put them back with rc_smooth_rows_free(). */
typedef struct rc_smooth_rows {
    rc_piece piece;
    void *weight, *scale, *work;
    size_t weight_len, scale_len, work_len;
} rc_smooth_rows;
RC_MUST_CHECK
rc_code rc_smooth_read(rc_smooth_rows *r, const rc_plan *plan, const rc_bound *b, uint64_t row,
                       uint64_t n, rc_mem *mem, rc_err *err);
void rc_smooth_rows_free(rc_smooth_rows *r, rc_mem *mem);

#endif
