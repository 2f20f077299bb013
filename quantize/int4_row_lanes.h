/* quantize/int4_row_lanes.h - rc_int4_row over the searches of int4_lanes.h. */
#ifndef RC_QUANTIZE_INT4_ROW_LANES_H
#define RC_QUANTIZE_INT4_ROW_LANES_H

#include "quantize/int4_best_lanes.h"

VEC_INLINE void int4_keep(int4_choice *best, const int4_choice *other)
{
    const vecm less = vec_less(other->loss, best->loss);

    best->scale = vec_pick(less, other->scale, best->scale);
    best->low = vec_pick(less, other->low, best->low);
    best->high = vec_pick(less, other->high, best->high);
    best->loss = vec_pick(less, other->loss, best->loss);
}

/* By the kind's search. *nearest: what RC_INT4_NEAREST would be. */
static int4_choice int4_search(const int4_batch *b, int4_choice *nearest)
{
    int4_choice best, other;
    vecm fine;

    int4_range(b, 1, &nearest->scale, &nearest->low);
    fine = vec_and(vec_less(vec_of(0), nearest->scale), vec_less(nearest->scale, vec_of(INFINITY)));
    nearest->scale = vec_pick(fine, nearest->scale, vec_of(1));
    nearest->high = vec_pick(fine, nearest->low + vec_of(15), vec_of(0));
    nearest->low = vec_pick(fine, nearest->low, vec_of(0));
    int4_measure(b, nearest);
    best = *nearest;
    if (b->kind->search != RC_INT4_NEAREST) {
        const int4_choice clip = int4_clip(b);
        other = clip;
        int4_measure(b, &other);
        other.loss = vec_pick(fine, other.loss, vec_of(INFINITY));
        int4_keep(&best, &other);
        if (b->kind->search == RC_INT4_BEST) {
            other = int4_best(b, clip);
            int4_measure(b, &other);
            other.loss = vec_pick(fine, other.loss, vec_of(INFINITY));
            int4_keep(&best, &other);
        }
    }
    return best;
}

/* Results of VEC groups, in memory. */
typedef struct int4_found {
    float scale[VEC], low[VEC], high[VEC], loss[VEC], nearest[VEC], nearest_loss[VEC], span[VEC];
} int4_found;

/* `left` groups, or VEC if there are more. */
static void int4_find(int4_found *f, const float *x, const float *importance, size_t left,
                      const rc_int4_kind *kind)
{
    float values[VEC * RC_INT4_MAX_GROUP], weights[VEC * RC_INT4_MAX_GROUP];
    int4_batch b = { .kind = kind };
    int4_choice nearest;

    if (left < VEC) {
        const size_t n = left * kind->group, all = (size_t)VEC * kind->group;
        memcpy(values, x, n * sizeof *x);
        memset(values + n, 0, (all - n) * sizeof *x);
        x = values;
        if (importance) {
            memcpy(weights, importance, n * sizeof *importance);
            memset(weights + n, 0, (all - n) * sizeof *importance);
            importance = weights;
        }
    }
    int4_load(&b, x, importance);
    const int4_choice best = int4_search(&b, &nearest);
    vec_store(f->scale, best.scale);
    vec_store(f->low, best.low);
    vec_store(f->high, best.high);
    vec_store(f->loss, best.loss);
    vec_store(f->nearest, nearest.scale);
    vec_store(f->nearest_loss, nearest.loss);
    vec_store(f->span, b.max - b.min);
}

VEC_INLINE void int4_write(const int4_found *f, unsigned lane, const float *x, uint8_t *q,
                           unsigned group, uint8_t zero)
{
    const vec scale = vec_of(f->scale[lane]), low = vec_of(f->low[lane]);
    const vec high = vec_of(f->high[lane]), add = vec_of(zero);

    for (unsigned k = 0; k < group; k += VEC) {
        const vec code = int4_clamp(vec_round(vec_load(x + k) / scale), low, high);
        veci_store_bytes(q + k, vec_whole(code + add));
    }
}

VEC_INLINE void int4_count(rc_int4_tally *tally, const int4_found *f, unsigned lane, float normal)
{
    tally->groups++;
    tally->clipped += f->scale[lane] < f->nearest[lane];
    if (f->high[lane] > f->low[lane])
        tally->subnormal += f->scale[lane] < normal;
    else
        tally->lost += f->span[lane] > 0;
}

VEC_INLINE void int4_row(const rc_int4_row *out, const float *x, const float *importance, size_t n,
                         const rc_int4_kind *kind, rc_int4_tally *tally)
{
    const rc_rounding saved = rc_rounding_enter();
    const unsigned group = kind->group;
    const size_t groups = n / group;
    const float normal = kind->scale == RC_DTYPE_F16 ? 0x1p-14f : 0x1p-126f;
    double loss = 0, nearest = 0;
    int4_found f;

    for (size_t first = 0; first < groups; first += VEC) {
        int4_find(&f, x + first * group, importance ? importance + first * group : NULL,
                  groups - first, kind);
        for (unsigned lane = 0; lane < VEC && first + lane < groups; lane++) {
            const size_t g = first + lane;
            const bool none = f.high[lane] <= f.low[lane];
            out->scale[g] = f.scale[lane];
            out->zero[g] = (uint8_t)(none ? (kind->symmetric ? 8 : 0) : (int)-f.low[lane]);
            int4_write(&f, lane, x + g * group, out->q + g * group, group, out->zero[g]);
            int4_count(tally, &f, lane, normal);
            loss += (double)f.loss[lane];
            nearest += (double)f.nearest_loss[lane];
        }
    }
    tally->loss += loss;
    tally->loss_nearest += nearest;
    rc_rounding_leave(saved);
}

#endif
