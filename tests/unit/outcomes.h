/* tests/unit/outcomes.h - outcomes made up for tests of the reports: figures that look like those
 * of a comparison, parts that can be taken away. */
#ifndef RC_TESTS_UNIT_OUTCOMES_H
#define RC_TESTS_UNIT_OUTCOMES_H

#include <math.h>
#include <string.h>

#include "tests/unit/random.h"
#include "verify/outcome.h"

enum { OC_LAYERS = 61, OC_TOKENS = 2048, OC_GROUPS = 40 };

/* Everything that an outcome borrows. */
struct oc {
    rc_outcome o;
    rc_windows windows;
    uint32_t token[OC_TOKENS];
    rc_behaviour behaviour;
    rc_layers layers;
    rc_layer_figures layer[OC_LAYERS];
    rc_ablation ablation;
    rc_ablation_group group[OC_GROUPS];
    rc_gates gates;
};

static inline void oc_saying(rc_saying *s, uint32_t first, double p, uint64_t *seed)
{
    double left = 1;

    *s = (rc_saying){ .logprob = log(p) };
    for (uint32_t i = 0; i < RC_TOP; i++) {
        const double share = left * (0.45 + 0.3 * (double)rnd_f32(seed));

        s->top[i] = (rc_candidate){ 300 + (first * 7 + 61 * i) % 1200, (float)log(share) };
        left -= share;
    }
}

static inline void oc_behaviour(struct oc *oc, uint64_t *seed)
{
    rc_behaviour *b = &oc->behaviour;

    *b = (rc_behaviour){ .positions = 2044,
                         .vocab = 1536,
                         .kl = { 0.031234, 0.0021 },
                         .kl_median = 0.0102,
                         .kl_p90 = 0.0712,
                         .kl_p95 = 0.113,
                         .kl_p99 = 0.312,
                         .kl_p999 = 1.21,
                         .kl_max = 3.2041,
                         .same_top = { 0.9668, 0.0056 },
                         .overlap5 = { 0.931, 0.003 },
                         .overlap10 = { 0.912, 0.002 },
                         .ppl = { { 12.312, 0.41 }, { 12.483, 0.42 } },
                         .ppl_ratio = { 1.0138, 0.0031 },
                         .mean_dp = { -0.002, 0.0007 },
                         .rms_dp = { 0.0321, 0.0011 },
                         .dp_min = -0.412,
                         .dp_p1 = -0.11,
                         .dp_p5 = -0.05,
                         .dp_median = -0.0001,
                         .dp_p95 = 0.04,
                         .dp_p99 = 0.09,
                         .dp_max = 0.381,
                         .kl_zero = 44,
                         .nworst = RC_WORST };
    for (int i = 0; i < 2000; i++) {
        double x = 0;

        for (unsigned k = 0; k < 6; k++)
            x += (double)rnd_f32(seed);
        b->kl_bins[(int)fmin(fmax(32 + 3.2 * x, 0), RC_KL_BINS - 1)]++;
    }
    for (size_t i = 0; i < RC_WORST; i++) {
        rc_moment *m = &b->worst[i];

        m->index = (37 + 171 * i) % (OC_TOKENS - 1);
        m->kl = 3.2041 / (double)(1 + i);
        oc_saying(&m->said[0], 100 + 13 * (uint32_t)i, 0.41, seed);
        oc_saying(&m->said[1], 107 + 17 * (uint32_t)i, 0.0031, seed);
        m->said[0].top[0].id = oc->token[m->index + 1];
        m->said[1].top[2].id = oc->token[m->index + 1];
    }
    oc->o.behaviour = b;
}

static inline void oc_layers(struct oc *oc, size_t n, uint64_t *seed)
{
    rc_layers *l = &oc->layers;

    *l = (rc_layers){ .n = n,
                      .streams = 4,
                      .threshold = 0.05,
                      .first = (int32_t)(n / 3),
                      .first_sub = 0,
                      .worst_own = (int32_t)(n / 3),
                      .at = oc->layer };
    for (size_t i = 0; i < n; i++) {
        rc_layer_figures *f = &oc->layer[i];

        *f = (rc_layer_figures){ .layer = (uint32_t)i,
                                 .hash = i < 3,
                                 .shared = i < 2,
                                 .ratio = i < 2   ? 0
                                          : i % 2 ? 128
                                                  : 4,
                                 .experts = 12288 };
        if (f->ratio == 4)
            f->blocks = 65536;
        for (unsigned s = 0; s < 2 && !f->shared; s++) {
            const double at = (double)(2 * i + s), jump = i >= n / 3 ? 6 : 1;

            f->sub[s].rel_err = jump * 0.004 * sqrt(at) * (1 + 0.2 * (double)rnd_f32(seed));
            f->sub[s].own = 0.003 * (1 + 0.5 * (double)rnd_f32(seed)) * (i == n / 3 && !s ? 20 : 1);
            f->sub[s].cosine_min = 1 - 0.5 * f->sub[s].rel_err * f->sub[s].rel_err;
            for (unsigned k = 0; k < 4; k++)
                f->sub[s].cosine[k] = f->sub[s].cosine_min;
        }
        f->experts_flipped = f->shared || f->hash ? 0 : (uint64_t)(12288 * f->sub[1].rel_err / 4);
        f->blocks_flipped = f->blocks ? (uint64_t)(65536 * f->sub[0].rel_err / 9) : 0;
    }
    oc->o.layers = l;
    oc->o.layers_shared = 2;
}

static inline rc_ablation_group *oc_group(struct oc *oc, unsigned level, const char *label,
                                          double won)
{
    rc_ablation_group *g = &oc->group[oc->ablation.n++];

    *g = (rc_ablation_group){ .level = (rc_ablation_level)level,
                              .params = 192,
                              .won = won,
                              .kl = oc->ablation.kl_all * (1 - won) };
    snprintf(g->label, sizeof g->label, "%s", label);
    return g;
}

static inline void oc_ablation(struct oc *oc)
{
    static const char *const roles[] = { "expert",     "attention", "shared", "embedding", "head",
                                         "compressor", "indexer",   "norm",   "router" };
    rc_ablation_group *g;

    oc->ablation = (rc_ablation){ .kl_all = 0.0312, .positions = 512, .group = oc->group };
    for (unsigned i = 0; i < sizeof roles / sizeof *roles; i++)
        oc_group(oc, 0, roles[i], i == 0 ? 0.931 : i == 8 ? -0.021 : 0.06 / (i + 1));
    for (unsigned i = 0; i < 12; i++) {
        char label[64];

        snprintf(label, sizeof label, "expert, layer %u", i);
        oc_group(oc, 1, label, i == 7 ? 0.88 : 0.01 / (i + 1));
    }
    oc_group(oc, 2, "layers.7.ffn.experts.*.w2.weight", 0.21);
    g = oc_group(oc, 2, "layers.7.ffn.experts.*.w1.weight", 0.79);
    g->names = 3;
    g->name[0] = "layers.7.ffn.experts.3.w1.weight";
    g->name[1] = "layers.7.ffn.experts.11.w1.weight";
    g->name[2] = "layers.7.ffn.experts.<b>\"&|`\x01.w1.weight"; /* nobody's name is to be trusted */
    oc->ablation.blamed = (int32_t)oc->ablation.n - 1;
    oc->o.ablation = &oc->ablation;
}

static inline void oc_gate(struct oc *oc, rc_gate_kind kind, double bound, double measured,
                           bool passes)
{
    oc->gates.set[kind] = true;
    oc->gates.bound[kind] = bound;
    oc->o.gates = &oc->gates;
    oc->o.gate[oc->o.ngates++] = (rc_gate_result){ kind, bound, measured, passes };
}

static inline void oc_windows(struct oc *oc)
{
    for (size_t i = 0; i < OC_TOKENS; i++)
        oc->token[i] = (uint32_t)(i * 31 % 1500);
    oc->windows = (rc_windows){ .ctx = 512,
                                .stride = 512,
                                .bos = 0,
                                .windows = 4,
                                .tokens = OC_TOKENS,
                                .token = oc->token,
                                .scored = 2044 };
    oc->o.windows = &oc->windows;
}

/** Behaviour, layers (the last third of them past the threshold), ablation, no judge, no gates. */
static inline void oc_make(struct oc *oc, size_t layers)
{
    uint64_t seed = 5;

    memset(oc, 0, sizeof *oc);
    oc->gates = RC_GATES_NONE;
    oc->o.from = (rc_provenance){ .native = "models/native",
                                  .converted = "models/q4_k.gguf",
                                  .native_variant = "V4-Flash (FP4)",
                                  .converted_variant = "V4-Flash (GGUF, Q4_K)",
                                  .text = "heldout.txt",
                                  .numerics = "f32",
                                  .version = "0.1.0",
                                  .revision = "c0ffee12",
                                  .command = "recast verify models/native models/q4_k.gguf "
                                             "--logits --text heldout.txt --max-kl 0.05",
                                  .config = "0123456789abcdef0123456789abcdef",
                                  .tokens = "fedcba9876543210fedcba9876543210" };
    oc->o.first_differing = -1;
    oc_windows(oc);
    oc_behaviour(oc, &seed);
    oc_layers(oc, layers, &seed);
    oc_ablation(oc);
}

/** Nothing differs: behaviour and layers are exact. */
static inline void oc_make_exact(struct oc *oc, size_t layers)
{
    oc_make(oc, layers);
    oc->behaviour = (rc_behaviour){ .positions = 2044,
                                    .vocab = 1536,
                                    .kl_zero = 2044,
                                    .same_top = { 1, 0 },
                                    .overlap5 = { 1, 0 },
                                    .overlap10 = { 1, 0 },
                                    .ppl = { { 12.3, 0.4 }, { 12.3, 0.4 } },
                                    .ppl_ratio = { 1, 0 } };
    for (size_t i = 0; i < layers; i++)
        oc->layer[i] = (rc_layer_figures){ .layer = (uint32_t)i, .shared = true };
    oc->layers.first = oc->layers.worst_own = -1;
    oc->o.layers_shared = (uint32_t)layers;
    oc->o.ablation = NULL;
}

#endif
