/* verify/layers.h - where two models part: their hidden states, sublayer by sublayer.
 *
 * Sublayer 0 of a layer is attention, 1 the experts. After each, both models' N residual streams
 * are compared over all tokens of all windows:
 *
 *     rel_err    sqrt(sum (a - b)^2 / sum a^2)
 *     cosine[n]  of stream n
 *     own        rel_err of the sublayer's output (not the streams) when CONVERTED's layer is run
 * on NATIVE's streams: what this layer itself does wrong, without what came before
 *
 * and of what was chosen on the way:
 *
 *     experts    chosen (tokens * K), and flipped: chosen by NATIVE and not by CONVERTED
 *     blocks     the same for the indexer of a CSA layer */
#ifndef RC_VERIFY_LAYERS_H
#define RC_VERIFY_LAYERS_H

#include "runtime/forward.h"

enum { RC_STREAMS = 8 }; /* most streams whose cosines are kept apart */

typedef struct rc_sublayer_figures {
    double rel_err, own; /* own is NAN when it was not asked for */
    double cosine[RC_STREAMS], cosine_min;
    bool nonfinite; /* CONVERTED holds a NaN or an infinity */
} rc_sublayer_figures;

typedef struct rc_layer_figures {
    uint32_t layer, ratio; /* ratio 0, 4 or 128: window, CSA, HCA */
    bool hash;             /* experts by token id */
    bool shared;           /* both were known to be equal: run once */
    rc_sublayer_figures sub[2];
    uint64_t experts, experts_flipped, blocks, blocks_flipped;
} rc_layer_figures;

typedef struct rc_layers {
    size_t n;
    unsigned streams; /* N, at most RC_STREAMS */
    bool estimated;   /* from a golden file's sketches: rel_err of sub[1] only, and no cosines
                         (NAN) */
    double threshold; /* of rel_err */
    int32_t first;    /* the first layer past it, or -1 */
    unsigned first_sub;
    int32_t worst_own; /* the layer with the largest own error, or -1 */
    unsigned worst_own_sub;
    rc_layer_figures *at; /* [n] */
} rc_layers;

/* Two watchers that look at the same layer, NATIVE's first. What the first one saw waits for the
 * second in tables of rows, in memory or in a scratch file. */
typedef struct rc_layers_watch rc_layers_watch;

typedef struct rc_layers_options {
    bool own; /* probes will be run */
    double threshold;
    size_t tokens;
    const char *scratch; /* folder for the tables, or NULL: memory */
} rc_layers_options;

/** `config` is NATIVE's (CONVERTED's has the same sizes); borrowed, as is scratch. */
RC_MUST_CHECK
rc_code rc_layers_new(rc_layers_watch **out, const rc_config *config, const rc_layers_options *o,
                      rc_mem *mem, rc_err *err);
void rc_layers_free(rc_layers_watch **w);
/** For rc_forward_options.watch of NATIVE (0) and CONVERTED (1). */
const rc_watch *rc_layers_side(const rc_layers_watch *w, unsigned side);

/* Of each layer in turn: begin, then probe, NATIVE, CONVERTED run it, then end; or a shared one. */

/** `native`: whose streams after the layer CONVERTED's are compared with. */
void rc_layers_begin(rc_layers_watch *w, rc_forward *native, uint32_t layer);
/** What CONVERTED's watcher sees from now on is a probe, or is not. */
void rc_layers_probing(rc_layers_watch *w, bool probing);
void rc_layers_end(rc_layers_watch *w);
/** A layer that was run once for both. */
void rc_layers_shared(rc_layers_watch *w, uint32_t layer);

/** Of all layers ended so far; valid until rc_layers_free(). */
const rc_layers *rc_layers_figures(rc_layers_watch *w);

#endif
