/* verify/layers.h - where two models part: their hidden states, sublayer by sublayer.
 *
 * Sublayer 0 of a layer is attention, 1 the experts. After each, both models' N residual streams are
 * compared over all tokens of all windows:
 *
 *     rel_err    sqrt(sum (a - b)^2 / sum a^2)
 *     cosine[n]  of stream n
 *     own        rel_err of the same sublayer's output (not the streams) when the layer is run on
 *                NATIVE's streams: what this layer itself does wrong, without what came before
 *
 * and of what was chosen on the way:
 *
 *     experts    chosen (tokens * K), and flipped: chosen by NATIVE and not by CONVERTED
 *     blocks     the same for the indexer of a CSA layer */
#ifndef RC_VERIFY_LAYERS_H
#define RC_VERIFY_LAYERS_H

#include "formats/base/mem.h"
#include "formats/base/status.h"

enum { RC_STREAMS = 8 }; /* most streams whose cosines are kept apart */

typedef struct rc_sublayer_figures {
    double rel_err, own;      /* own is NAN when it was not asked for */
    double cosine[RC_STREAMS], cosine_min;
    bool nonfinite;           /* CONVERTED holds a NaN or an infinity */
} rc_sublayer_figures;

typedef struct rc_layer_figures {
    uint32_t layer, ratio;    /* ratio 0, 4 or 128: window, CSA, HCA */
    bool hash;                /* experts by token id */
    bool shared;              /* both were known to be equal: run once */
    rc_sublayer_figures sub[2];
    uint64_t experts, experts_flipped, blocks, blocks_flipped;
} rc_layer_figures;

typedef struct rc_layers {
    size_t n;
    unsigned streams;         /* N, at most RC_STREAMS */
    bool estimated;           /* from a golden file's sketches: rel_err of sub[1] only, and no cosines
                                 (NAN) */
    double threshold;         /* of rel_err */
    int32_t first;            /* the first layer past it, or -1 */
    unsigned first_sub;
    int32_t worst_own;        /* the layer with the largest own error, or -1 */
    unsigned worst_own_sub;
    rc_layer_figures *at;     /* [n] */
} rc_layers;

#endif
