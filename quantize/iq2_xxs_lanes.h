/* quantize/iq2_xxs_lanes.h - IQ2_XXS, written once for both vector widths.
 *
 * What iq2_xxs.c does, with its operations and their order, three ways round: the first scale
 * has one sub-block a lane; the choice of a point has one neighbour a lane; the sums that
 * judge the thirteen tries have one try a lane. A run's cost table holds the error of every
 * element under every digit, so that the error of a neighbour is eight lookups and their
 * sum. Super-blocks whose numbers leave the range in which all this is the scalar's are the
 * reference's. */
#ifndef RC_QUANTIZE_IQ2_XXS_LANES_H
#define RC_QUANTIZE_IQ2_XXS_LANES_H

#include <math.h>
#include <string.h>

#include "kernels/block_tables.h"
#include "quantize/iq2_xxs.h"
#include "quantize/iq_lanes.h"

#if VEC >= 8 /* otherwise there are only the references */

#define SUB   RC_IQ2_SUB
#define RUN   RC_IQ2_RUN
#define TRIES 13
#define QUADS 4 /* floats that a digit selects from */

/* Limits of the range: on the mean square, on weights, and on an element in scales. */
#define MOST_SQUARE 1e18f
#define MOST_WEIGHT 1e20f
#define MOST_SCALES 1e5f
/* Nearer than this, in scales, to the middle between two digits, rounding could make the
 * wrong one of them the better: see rc_iq2_list. The sum of all roundings is below 1e-6. */
#define DOUBT 2e-6f
/* A winner is clear by this share of the errors, its own and one of a scale in every element. */
#define MARGIN 1e-4f
#define MANY   4 /* vectors of a list: this many or more */

#if VEC == 16
VEC_INLINE vec quad_of(const float *p)
{
    return _mm512_broadcast_f32x4(_mm_loadu_ps(p));
}
VEC_INLINE vec quad_look_up(vec quad, veci digit)
{
    return _mm512_permutevar_ps(quad, digit);
}
VEC_INLINE veci next_digit(veci digits)
{
    return _mm512_srli_epi32(digits, 2);
}
VEC_INLINE veci veci_load(const uint32_t *p)
{
    return _mm512_loadu_si512(p);
}
VEC_INLINE veci veci_load_words(const uint16_t *p)
{
    return _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)p));
}
VEC_INLINE veci veci_pick(vecm m, veci yes, veci no)
{
    return _mm512_mask_blend_epi32(m, no, yes);
}
/* The least of all lanes, in the lowest of the result. */
VEC_INLINE __m128 least_of(vec x)
{
    const __m256 half = _mm256_min_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
    __m128 least = _mm_min_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));

    least = _mm_min_ps(least, _mm_movehl_ps(least, least));
    return _mm_min_ss(least, _mm_movehdup_ps(least));
}
/* A bit for each lane of at most x[0]. */
VEC_INLINE unsigned lanes_within(vec lanes, __m128 x)
{
    return _mm512_cmp_ps_mask(lanes, _mm512_broadcastss_ps(x), _CMP_LE_OQ);
}
#else
VEC_INLINE vec quad_of(const float *p)
{
    return _mm256_broadcast_ps((const __m128 *)(const void *)p);
}
VEC_INLINE vec quad_look_up(vec quad, veci digit)
{
    return _mm256_permutevar_ps(quad, digit);
}
VEC_INLINE veci next_digit(veci digits)
{
    return _mm256_srli_epi32(digits, 2);
}
VEC_INLINE veci veci_load(const uint32_t *p)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)p);
}
VEC_INLINE veci veci_load_words(const uint16_t *p)
{
    return _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)p));
}
VEC_INLINE veci veci_pick(vecm m, veci yes, veci no)
{
    return _mm256_blendv_epi8(no, yes, _mm256_castps_si256(m));
}
VEC_INLINE __m128 least_of(vec x)
{
    __m128 least = _mm_min_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));

    least = _mm_min_ps(least, _mm_movehl_ps(least, least));
    return _mm_min_ss(least, _mm_movehdup_ps(least));
}
VEC_INLINE unsigned lanes_within(vec lanes, __m128 x)
{
    return (unsigned)_mm256_movemask_ps(_mm256_cmp_ps(lanes, _mm256_broadcastss_ps(x), _CMP_LE_OQ));
}
#endif

/* VEC sub-blocks: what iq2_xxs.c knows about one of them. */
typedef struct sub_blocks {
    float x[VEC][SUB], w[VEC][SUB], root_w[VEC][SUB];
    float scale[VEC];
    uint32_t signs[VEC];
    bool odd[IQ_SUPERS]; /* leave it to the reference */
} sub_blocks;

/* One sub-block, element i four times over: for its cost tables, and what digit l of it adds to
 * the sums. */
typedef struct spread {
    float x[SUB][QUADS], root_w[SUB][QUADS];
    float qx[SUB][QUADS], q2[SUB][QUADS];
} spread;

/* Digit 3, of places of a list that hold no neighbour, is far from any element. */
static const float digit_values[8] = { 1, 3, 5, 1e6f, 1, 3, 5, 1e6f };

/* The sign bit of element `index`, of none for 8. */
VEC_INLINE __m256 sign_at(unsigned index)
{
    static const uint32_t bits[16] = { [8] = 0x80000000u };

    return _mm256_loadu_ps((const float *)(const void *)(bits + 8 - index));
}

/* The least of eight in all lanes. */
VEC_INLINE __m256 least_of_run(__m256 x)
{
    x = _mm256_min_ps(x, _mm256_permute2f128_ps(x, x, 1));
    x = _mm256_min_ps(x, _mm256_permute_ps(x, 0x4e));
    return _mm256_min_ps(x, _mm256_permute_ps(x, 0xb1));
}

/* Magnitudes and seven signs of a run, a vector of eight in both widths. */
VEC_INLINE uint32_t take_signs(float *magnitude, const float *xp, const float *wp)
{
    const __m256 x = _mm256_loadu_ps(xp), minus = _mm256_set1_ps(-0.0f);
    const __m256 negative = _mm256_cmp_ps(x, _mm256_setzero_ps(), _CMP_NGE_UQ);
    const __m256 loss = _mm256_mul_ps(_mm256_mul_ps(_mm256_loadu_ps(wp), x), x);
    const __m256 least = _mm256_cmp_ps(loss, least_of_run(loss), _CMP_EQ_OQ);
    const unsigned signs = (unsigned)_mm256_movemask_ps(negative);
    const unsigned cheapest = (unsigned)__builtin_ctz((unsigned)_mm256_movemask_ps(least) | 128);
    const unsigned odd = (unsigned)__builtin_parity(signs);
    __m256 positive = _mm256_xor_ps(x, _mm256_and_ps(negative, minus));

    positive = _mm256_xor_ps(positive, sign_at(odd ? cheapest : RUN));
    _mm256_storeu_ps(magnitude, positive);
    return (signs ^ odd << cheapest) & 127;
}

/* False: out of range. */
VEC_INLINE bool load_sub_block(sub_blocks *b, unsigned lane, const float *x,
                               const float *importance, float sigma2)
{
    vec most = vec_of(0);

    for (unsigned i = 0; i < SUB; i += VEC) {
        const vec v = vec_load(x + i);
        const vec w = vec_load(importance + i) * vec_sqrt(vec_of(sigma2) + v * v);
        vec_store(b->w[lane] + i, w);
        vec_store(b->root_w[lane] + i, vec_sqrt(w));
        most = vec_max(most, w);
    }
    b->signs[lane] = 0;
    for (unsigned r = 0; r < RC_IQ2_RUNS; r++)
        b->signs[lane] |= take_signs(b->x[lane] + r * RUN, x + r * RUN, b->w[lane] + r * RUN)
                          << 7 * r;
    return sigma2 < MOST_SQUARE && vec_all(vec_less(most, vec_of(MOST_WEIGHT)));
}

/* Where all tries start. */
static void first_scales(sub_blocks *b)
{
    vec x[SUB], w[SUB];
    lanes_codes codes;

    vec_load_rows(x, b->x[0], SUB, SUB);
    vec_load_rows(w, b->w[0], SUB, SUB);
    vec_store(b->scale, lanes_search_positive(&codes, x, w, SUB, 4));
}

VEC_INLINE void spread_sub_block(spread *s, const float *x, const float *w, const float *root_w)
{
    const __m256 q = _mm256_loadu_ps(digit_values);

    for (unsigned i = 0; i < SUB; i += 2) {
        const __m256i two = _mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1);
#define TWO(p)                                                                                     \
    _mm256_permutevar8x32_ps(                                                                      \
        _mm256_castpd_ps(_mm256_broadcast_sd((const double *)(const void *)((p) + i))), two)
        const __m256 xs = TWO(x), ws = TWO(w);
        _mm256_storeu_ps(s->x[i], xs);
        _mm256_storeu_ps(s->root_w[i], TWO(root_w));
#undef TWO
        _mm256_storeu_ps(s->qx[i], _mm256_mul_ps(_mm256_mul_ps(ws, xs), q));
        _mm256_storeu_ps(s->q2[i], _mm256_mul_ps(_mm256_mul_ps(ws, q), q));
    }
}

/* The errors of a run under every digit. */
VEC_INLINE void fill_costs(float costs[RUN][QUADS], const spread *s, unsigned run, float scale)
{
    const vec values = vec_of(scale) * quad_of(digit_values);

    RC_UNROLL for (unsigned j = 0; j < RUN; j += VEC / QUADS)
    {
        const vec off = values - vec_load(s->x[run * RUN + j]);
        vec_store(costs[j], vec_load(s->root_w[run * RUN + j]) * off * off);
    }
}

VEC_INLINE vec errors_of(veci digits, float costs[RUN][QUADS])
{
    vec error = quad_look_up(quad_of(costs[0]), digits);

    RC_UNROLL for (unsigned j = 1; j < RUN; j++)
    {
        digits = next_digit(digits);
        error += quad_look_up(quad_of(costs[j]), digits);
    }
    return error;
}

typedef struct choice {
    uint32_t digits;
    float error;
    bool clear; /* every other neighbour's error is larger by `margin` and MARGIN * error */
} choice;

/* The best neighbour. */
VEC_INLINE choice best_neighbour(const uint16_t *digits, unsigned nvectors, float costs[RUN][QUADS],
                                 float margin)
{
    vec least = errors_of(veci_load_words(digits), costs), second = vec_of(INFINITY);
    veci winner = veci_load_words(digits);
    uint32_t found[VEC];

    for (unsigned v = 1; v < nvectors; v++) {
        const veci own = veci_load_words(digits + v * VEC);
        const vec error = errors_of(own, costs);
        winner = veci_pick(vec_less(error, least), own, winner);
        second = vec_min(second, vec_max(error, least));
        least = vec_min(error, least);
    }
    const __m128 best = least_of(least);
    const __m128 limit = _mm_set_ss(_mm_cvtss_f32(best) * (1 + MARGIN) + margin);
    const unsigned close = lanes_within(least, limit);
    const unsigned lane = (unsigned)__builtin_ctz(lanes_within(least, best) | 1u << (VEC - 1));
    choice c = { digits[lane], _mm_cvtss_f32(best), (close & (close - 1)) == 0 };

    if (nvectors > 1) {
        veci_store(found, winner);
        c.digits = found[lane];
        c.clear &= lanes_within(second, limit) == 0;
    }
    return c;
}

/* The nearest digits of a run: 1 where t is within 1 of 3, beyond that 2, or 0, which is
 * round((t - 1) / 2). Adds to *doubt the bits of elements too near to the middle. */
VEC_INLINE unsigned nearest_tuple(const rc_iq2_lists *l, const float *x, float inverse,
                                  unsigned *doubt)
{
    const __m256 t = _mm256_mul_ps(_mm256_set1_ps(inverse), _mm256_loadu_ps(x));
    const __m256 one = _mm256_set1_ps(1), minus = _mm256_set1_ps(-0.0f);
    const __m256 from3 = _mm256_andnot_ps(minus, _mm256_sub_ps(t, _mm256_set1_ps(3)));
    const __m256 edge = _mm256_andnot_ps(minus, _mm256_sub_ps(from3, one));
    const __m256 is1 = _mm256_cmp_ps(from3, one, _CMP_LT_OQ);
    const __m256 is2 = _mm256_cmp_ps(t, _mm256_set1_ps(4), _CMP_GE_OQ);
    const __m256 near = _mm256_cmp_ps(edge, _mm256_set1_ps(DOUBT), _CMP_LT_OQ);

    *doubt |= (unsigned)_mm256_movemask_ps(near);
    return l->ones[_mm256_movemask_ps(is1)] + 2u * l->ones[_mm256_movemask_ps(is2)];
}

/* One lane a try, TRIES of them. */
typedef struct tries {
    float scale[16], inverse[16];
    float margin[RC_IQ2_RUNS][16];
    uint32_t digits[RC_IQ2_RUNS][16];
    float error[RC_IQ2_RUNS][16];
    float qx[16], q2[16];
} tries;

/* Choices, as bits 16 r + k for run r of try k. */
#define FIRST_TRIES 0x0001000100010001u
#define ALL_TRIES   (FIRST_TRIES * ((1u << TRIES) - 1))

/* The choices to make first, by the length of their lists: so that the processor foresees the
 * branches. */
typedef struct queue {
    unsigned count[MANY + 1];
    uint8_t jobs[MANY + 1][RC_IQ2_RUNS * TRIES];
} queue;

/* From each stretch of tries under which a run has the same tuple, the first and the last. */
VEC_INLINE uint64_t ends_of(const uint16_t tuples[RC_IQ2_RUNS * 16 + 1])
{
    uint64_t same = 0; /* as the next one */

    for (unsigned i = 0; i < 2; i++) {
        const __m256i *p = (const __m256i *)(const void *)(tuples + 32 * i);
        const __m256i *next = (const __m256i *)(const void *)(tuples + 32 * i + 1);
        const __m256i low = _mm256_cmpeq_epi16(_mm256_loadu_si256(p), _mm256_loadu_si256(next));
        const __m256i high =
            _mm256_cmpeq_epi16(_mm256_loadu_si256(p + 1), _mm256_loadu_si256(next + 1));
        const __m256i both = _mm256_permute4x64_epi64(_mm256_packs_epi16(low, high), 0xd8);
        same |= (uint64_t)(uint32_t)_mm256_movemask_epi8(both) << 32 * i;
    }
    return ~(same & same << 1) & ALL_TRIES;
}

VEC_INLINE void make_choice(tries *t, const rc_iq2_lists *l, const spread *s, unsigned job,
                            const rc_iq2_list *list, unsigned nvectors, uint64_t *clear)
{
    const unsigned r = job / 16, k = job % 16;
    float costs[RUN][QUADS];

    fill_costs(costs, s, r, t->scale[k]);
    const choice c = best_neighbour(l->digits + list->first, nvectors, costs, t->margin[r][k]);
    t->digits[r][k] = c.digits;
    t->error[r][k] = c.error;
    *clear |= (uint64_t)c.clear << job;
}

/* Tries a and b of run r have the same tuple: have all between them the same winner? They have
 * if a and b have, as the difference of two neighbours' errors is s (c s - d), s the scale: of
 * one sign between two scales where it has that sign. The winner must be clear at
 * both ends, by more than rounding can make of its error there and between them. */
VEC_INLINE bool same_winner(const tries *t, unsigned r, unsigned a, unsigned b, uint64_t clear)
{
    const float first = t->error[r][a], last = t->error[r][b];
    const float room = t->margin[r][a] * (1 / MARGIN);

    return (clear >> (16 * r + a) & clear >> (16 * r + b) & 1) &&
           t->digits[r][a] == t->digits[r][b] && first <= 8 * (last + room) &&
           last <= 8 * (first + room);
}

/* The `inner` tries, between the `ends` of stretches of one tuple, which are known; a stretch
 * whose winner changes is halved. */
VEC_INLINE void fill_stretches(tries *t, const rc_iq2_lists *l, const spread *s,
                               const uint16_t *tuples, uint64_t inner, uint64_t ends,
                               uint64_t clear)
{
    while (inner) {
        const unsigned from = (unsigned)__builtin_ctzll(inner);
        const unsigned to = (unsigned)__builtin_ctzll(ends >> from) + from;
        const unsigned r = from / 16, middle = (from - 1 + to) / 2;
        const rc_iq2_list *list = &l->lists[tuples[from]];

        if (list->nvectors == 0 || same_winner(t, r, from % 16 - 1, to % 16, clear)) {
            for (unsigned k = from % 16; k < to % 16; k++)
                t->digits[r][k] = t->digits[r][from % 16 - 1];
            inner &= ~(uint64_t)0 << to;
        } else {
            make_choice(t, l, s, middle, list, list->nvectors, &clear);
            ends |= (uint64_t)1 << middle;
            inner &= ~((uint64_t)1 << middle);
        }
    }
}

/* Lists of `nvectors`, or of their own length where that is MANY. */
VEC_INLINE void work_off(const queue *todo, tries *t, const rc_iq2_lists *l, const spread *s,
                         const uint16_t *tuples, unsigned nvectors, uint64_t *clear)
{
    for (unsigned i = 0; i < todo->count[nvectors]; i++) {
        const unsigned job = todo->jobs[nvectors][i];
        const rc_iq2_list *list = &l->lists[tuples[job]];
        make_choice(t, l, s, job, list, nvectors < MANY ? nvectors : list->nvectors, clear);
    }
}

/* The choices in `which`: all tries of some runs. */
static void choose_all(tries *t, const rc_iq2_lists *l, const spread *s, const uint16_t *tuples,
                       uint64_t which)
{
    const uint64_t ends = ends_of(tuples) & which;
    queue todo = { .count = { 0 } };
    uint64_t clear = 0;

    for (uint64_t rest = ends; rest; rest &= rest - 1) {
        const unsigned job = (unsigned)__builtin_ctzll(rest);
        const rc_iq2_list *list = &l->lists[tuples[job]];
        const unsigned length = list->nvectors < MANY ? list->nvectors : MANY;
        t->digits[job / 16][job % 16] = list->digits;
        todo.jobs[length][todo.count[length]++] = (uint8_t)job;
    }
    work_off(&todo, t, l, s, tuples, 1, &clear);
    work_off(&todo, t, l, s, tuples, 2, &clear);
    work_off(&todo, t, l, s, tuples, 3, &clear);
    work_off(&todo, t, l, s, tuples, MANY, &clear);
    fill_stretches(t, l, s, tuples, which & ~ends, ends, clear);
}

/* All tries of a run by the reference. */
static void choose_slowly(tries *t, const sub_blocks *b, unsigned lane, unsigned r)
{
    const unsigned at = r * RUN;

    for (unsigned k = 0; k < TRIES; k++)
        t->digits[r][k] = rc_iq2_xxs_digits[rc_iq2_xxs_choose(
            rc_iq2_grid_get(), b->x[lane] + at, b->root_w[lane] + at, t->scale[k], t->inverse[k])];
}

/* The points of all tries. */
static void try_all(tries *t, const rc_iq2_lists *l, const sub_blocks *b, unsigned lane,
                    const spread *s)
{
    uint16_t tuples[RC_IQ2_RUNS * 16 + 1];
    unsigned doubt[RC_IQ2_RUNS] = { 0 };
    uint64_t which = ALL_TRIES;

    memset(t->digits, 0, sizeof t->digits);
    tuples[RC_IQ2_RUNS * 16] = 0;
    for (unsigned at = 0, r = 0; r < RC_IQ2_RUNS; at += RUN, r++) {
        float total = 0;
        for (unsigned j = 0; j < RUN; j++)
            total += b->root_w[lane][at + j];
        for (unsigned k = 0; k < TRIES; k++) {
            tuples[16 * r + k] =
                (uint16_t)nearest_tuple(l, b->x[lane] + at, t->inverse[k], &doubt[r]);
            t->margin[r][k] = MARGIN * total * t->scale[k] * t->scale[k];
        }
        for (unsigned k = TRIES; k < 16; k++)
            tuples[16 * r + k] = (uint16_t)(0xffff - k); /* no tuple: ends the stretch */
        which &= ~(doubt[r] ? (uint64_t)0xffff << 16 * r : 0);
    }
    choose_all(t, l, s, tuples, which);
    for (unsigned r = 0; r < RC_IQ2_RUNS; r++)
        if (doubt[r])
            choose_slowly(t, b, lane, r);
}

/* The digits of the point for one run. */
VEC_INLINE uint32_t choose(const rc_iq2_lists *l, const sub_blocks *b, unsigned lane,
                           const spread *s, unsigned run, float scale, float inverse)
{
    const float *x = b->x[lane] + run * RUN;
    unsigned doubt = 0;
    const rc_iq2_list *list = &l->lists[nearest_tuple(l, x, inverse, &doubt)];
    float costs[RUN][QUADS];

    if (doubt)
        return rc_iq2_xxs_digits[rc_iq2_xxs_choose(rc_iq2_grid_get(), x,
                                                   b->root_w[lane] + run * RUN, scale, inverse)];
    if (list->nvectors == 0)
        return list->digits;
    fill_costs(costs, s, run, scale);
    return best_neighbour(l->digits + list->first, list->nvectors, costs, 0).digits;
}

VEC_INLINE void judge(tries *t, const spread *s)
{
    for (unsigned from = 0; from < 16; from += VEC) {
        vec qx = vec_of(0), q2 = vec_of(0);

        for (unsigned r = 0; r < RC_IQ2_RUNS; r++) {
            veci digits = veci_load(t->digits[r] + from);
            RC_UNROLL for (unsigned j = 0; j < RUN; j++)
            {
                qx += quad_look_up(quad_of(s->qx[r * RUN + j]), digits);
                q2 += quad_look_up(quad_of(s->q2[r * RUN + j]), digits);
                digits = next_digit(digits);
            }
        }
        vec_store(t->qx + from, qx);
        vec_store(t->q2 + from, q2);
    }
}

/* The best try, or TRIES when none is better than nothing; *scale becomes its. */
VEC_INLINE unsigned best_try(const tries *t, float *scale)
{
    unsigned found = TRIES;
    float best = 0;

    for (unsigned k = 0; k < TRIES; k++) {
        const float fitted = t->qx[k] / t->q2[k];
        const bool better = t->q2[k] > 0 && t->qx[k] * t->qx[k] > best * t->q2[k];
        best = better ? fitted * t->qx[k] : best;
        *scale = better ? fitted : *scale;
        found = better ? k : found;
    }
    return found;
}

/* The points once more, under the scale that was found; returns the scale for those. */
static float refit(const rc_iq2_lists *l, const sub_blocks *b, unsigned lane, const spread *s,
                   float scale, uint32_t digits[RC_IQ2_RUNS])
{
    const float inverse = 1 / scale;
    float qx = 0, q2 = 0;

    for (unsigned r = 0; r < RC_IQ2_RUNS; r++) {
        uint32_t rest = digits[r] = choose(l, b, lane, s, r, scale, inverse);
        for (unsigned j = 0; j < RUN; j++, rest >>= 2) {
            qx += s->qx[r * RUN + j][rest & 3];
            q2 += s->q2[r * RUN + j][rest & 3];
        }
    }
    return q2 > 0 ? qx / q2 : scale;
}

VEC_INLINE float largest_of(const float *x)
{
    vec most = vec_of(0);
    float lanes[VEC], found = 0;

    for (unsigned i = 0; i < SUB; i += VEC)
        most = vec_max(most, vec_abs(vec_load(x + i)));
    vec_store(lanes, most);
    for (unsigned i = 0; i < VEC; i++)
        found = lanes[i] > found ? lanes[i] : found;
    return found;
}

/* Points and signs to qs, the scale to *scale. False: out of range. */
static bool search_sub_block(const rc_iq2_lists *l, const sub_blocks *b, unsigned lane,
                             uint8_t qs[8], float *scale)
{
    const float reach = b->scale[lane] * 3, largest = largest_of(b->x[lane]);
    uint32_t digits[RC_IQ2_RUNS] = { 0 }, signs = b->signs[lane];
    float found = b->scale[lane];
    spread s;
    tries t;

    *scale = 0;
    if (!(reach > 0 && reach < INFINITY))
        return true;
    for (unsigned k = 0; k < 16; k++) {
        t.inverse[k] = (5 + (float)((int)k - TRIES / 2) * 0.1f) / reach;
        t.scale[k] = 1 / t.inverse[k];
    }
    if (!(largest * t.inverse[TRIES - 1] < MOST_SCALES))
        return false;
    spread_sub_block(&s, b->x[lane], b->w[lane], b->root_w[lane]);
    try_all(&t, l, b, lane, &s);
    judge(&t, &s);
    const unsigned best = best_try(&t, &found);
    if (found > 0) {
        if (!(largest < MOST_SCALES * found))
            return false;
        found = refit(l, b, lane, &s, found, digits);
    } else
        for (unsigned r = 0; r < RC_IQ2_RUNS && best < TRIES; r++)
            digits[r] = t.digits[r][best];
    if (found < 0) {
        found = -found;
        signs ^= 0x0fffffff;
    }
    for (unsigned r = 0; r < RC_IQ2_RUNS; r++)
        qs[r] = l->points[digits[r]];
    rc_u32_put(qs + 4, signs);
    *scale = found;
    return true;
}

/* The blocks of b, for which the scales were found, or the reference's. */
static void put_blocks(rc_block_iq2_xxs *blocks, const sub_blocks *b, const float *scales,
                       const float *x, const float *importance)
{
    for (unsigned s = 0; s < IQ_SUPERS; s++) {
        const size_t at = s * RC_BLOCK_SUPER;
        const float *own = scales + s * RC_IQ2_SUBS;
        float longest = 0;

        for (unsigned i = 0; i < RC_IQ2_SUBS; i++)
            longest = own[i] > longest ? own[i] : longest;
        if (b->odd[s])
            rc_quant_iq2_xxs_block(&blocks[s], x + at, importance + at);
        else
            rc_iq2_xxs_put_scales(&blocks[s], own, longest);
    }
}

/* IQ_SUPERS super-blocks: iq_row_fn. */
VEC_INLINE void quantize_some(uint8_t *out, const float *x, const float *importance,
                              const float *sigma2)
{
    const rc_iq2_lists *l = rc_iq2_lists_get(VEC);
    rc_block_iq2_xxs blocks[IQ_SUPERS] = { 0 };
    sub_blocks b = { .odd = { false } };
    float scales[VEC] = { 0 };

    for (unsigned lane = 0; lane < VEC; lane++)
        if (!load_sub_block(&b, lane, x + lane * SUB, importance + lane * SUB,
                            sigma2[lane / RC_IQ2_SUBS]))
            b.odd[lane / RC_IQ2_SUBS] = true;
    first_scales(&b);
    for (unsigned lane = 0; lane < VEC; lane++) {
        const unsigned s = lane / RC_IQ2_SUBS;
        uint8_t *qs = blocks[s].qs + lane % RC_IQ2_SUBS * 8;
        if (!b.odd[s] && !search_sub_block(l, &b, lane, qs, &scales[lane]))
            b.odd[s] = true;
    }
    put_blocks(blocks, &b, scales, x, importance);
    memcpy(out, blocks, sizeof blocks);
}

/* The best of all points: rc_iq2_best_point_fn. Point p is lane p / n of vector p % n of n, so
 * that the first of equals is in the lowest lane. */
VEC_INLINE float best_of_all(const rc_iq2_lists *l, uint8_t *point, const float *x, const float *w,
                             float scale, bool odd)
{
    static const float sizes[4] = { 8, 25, 43, 43 };
    const __m128 size = _mm_loadu_ps(sizes), sized = _mm_mul_ps(_mm_set1_ps(scale), size);
    float costs[RUN][QUADS], wrong[RUN][QUADS], lanes[VEC];
    vec least = vec_of(INFINITY);
    veci winner = veci_load_words(l->all);
    uint32_t found[VEC];

    for (unsigned j = 0; j < RUN; j++) {
        const __m128 xs = _mm_set1_ps(x[j]), ws = _mm_set1_ps(w[j]), off = _mm_sub_ps(sized, xs);
        _mm_storeu_ps(costs[j], _mm_mul_ps(_mm_mul_ps(ws, off), off));
        _mm_storeu_ps(wrong[j], _mm_mul_ps(_mm_mul_ps(ws, xs), size));
    }
    for (unsigned v = 0; v < 256 / VEC; v++) {
        const veci own = veci_load_words(l->all + v * VEC);
        vec error = errors_of(own, costs);
        if (odd) {
            veci rest = own;
            vec lowest = vec_of(INFINITY);
            RC_UNROLL for (unsigned j = 0; j < RUN; j++)
            {
                lowest = vec_min(lowest, quad_look_up(quad_of(wrong[j]), rest));
                rest = next_digit(rest);
            }
            error += vec_of(4 * scale) * lowest;
        }
        const vecm less = vec_less(error, least);
        least = vec_pick(less, error, least);
        winner = veci_pick(less, own, winner);
    }
    veci_store(found, winner);
    vec_store(lanes, least);
    const __m128 best = least_of(least);
    const unsigned lane = (unsigned)__builtin_ctz(lanes_within(least, best));
    *point = l->points[found[lane]];
    return lanes[lane];
}

#undef SUB
#undef RUN
#undef TRIES
#undef QUADS
#undef MOST_SQUARE
#undef MOST_WEIGHT
#undef MOST_SCALES
#undef DOUBT
#undef MARGIN
#undef FIRST_TRIES
#undef ALL_TRIES
#undef MANY

#endif
#endif
