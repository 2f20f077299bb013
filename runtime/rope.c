/* runtime/rope.c - rotary positions. */
#include "runtime/rope.h"

#include <math.h>

#define TWO_PI 6.283185307179586

/* The pair that makes `turns` whole turns over the original context; within [0, dims - 1] whatever
 * the config says. */
static double pair_of_turns(double turns, const rc_config *c)
{
    const double dims = c->qk_rope_head_dim;
    const double pair = dims * log(c->rope_original_max_position / (turns * TWO_PI)) /
                        (2 * log(c->compress_rope_theta));

    return fmin(fmax(pair, -1), dims); /* not a number: -1 */
}

void rc_rope_frequencies(float *w, const rc_config *config, uint32_t ratio)
{
    const double theta = ratio ? config->compress_rope_theta : config->rope_theta;
    const size_t dims = config->qk_rope_head_dim;
    const double last = (double)dims - 1;
    float low, high;

    for (size_t i = 0; i < dims / 2; i++) {
        const float exponent = (float)(2 * i) / (float)dims;

        w[i] = 1.0f / (float)pow(theta, (double)exponent);
    }
    if (!ratio || !config->rope_original_max_position)
        return;
    /* Pairs that turn often stay, those that turn less than once are slowed, between them a ramp.
     */
    low = (float)fmin(fmax(floor(pair_of_turns(config->rope_beta_fast, config)), 0), last);
    high = (float)fmin(fmax(ceil(pair_of_turns(config->rope_beta_slow, config)), 0), last);
    if (low == high)
        high += 0.001f;
    for (size_t i = 0; i < dims / 2; i++) {
        const float ramp = fminf(fmaxf(((float)i - low) / (high - low), 0), 1);
        const float keep = 1 - ramp;

        w[i] = w[i] / (float)config->rope_factor * (1 - keep) + w[i] * keep;
    }
}

void rc_rope_turn(float *turn, const float *w, size_t dims, uint64_t pos)
{
    for (size_t i = 0; i < dims / 2; i++) {
        const float angle = (float)pos * w[i];

        turn[2 * i] = (float)cos((double)angle);
        turn[2 * i + 1] = (float)sin((double)angle);
    }
}

static void rotate(float *x, const float *turn, size_t dims, float sign)
{
    for (size_t i = 0; i < dims; i += 2) {
        const float c = turn[i], s = sign * turn[i + 1];
        const float re = x[i] * c - x[i + 1] * s;
        const float im = x[i] * s + x[i + 1] * c;

        x[i] = re;
        x[i + 1] = im;
    }
}

void rc_rope_apply(rc_numerics nm, float *x, const float *turn, size_t dims)
{
    rotate(x, turn, dims, 1);
    rc_round_bf16(nm, x, dims);
}

void rc_rope_undo(rc_numerics nm, float *x, const float *turn, size_t dims)
{
    rotate(x, turn, dims, -1);
    rc_round_bf16(nm, x, dims);
}
