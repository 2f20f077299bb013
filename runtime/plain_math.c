/* runtime/plain_math.c - norms, rotations and choices that every part of the model uses. */
#include <math.h>

#include "runtime/plain_impl.h"

double rc_pl_rms(const rc_plain *p, const double *x, size_t n)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += x[i] * x[i];
    return 1 / sqrt(sum / (double)n + p->config->rms_norm_eps);
}

rc_code rc_pl_norm(rc_plain *p, rc_pl_weight *w, const double *x, double *y, rc_err *err)
{
    const double rms = rc_pl_rms(p, x, w->cols);
    double *gain;

    RC_TRY(rc_pl_take(p, &gain, w->cols, err));
    RC_TRY(rc_pl_row(p, w, 0, gain, err));
    for (size_t i = 0; i < w->cols; i++)
        y[i] = gain[i] * (x[i] * rms);
    return RC_OK;
}

double rc_pl_sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

/* The pair that turns `turns` times in the length that the model was first trained for. */
static double pair_of(const rc_config *c, double turns)
{
    const double pi = 3.14159265358979323846;

    return c->qk_rope_head_dim * log(c->rope_original_max_position / (turns * 2 * pi)) /
           (2 * log(c->compress_rope_theta));
}

/* Pair i turns by base^(-2i/R) radians a position. Layers that compress stretch the slow pairs by
 * YaRN: those below `low` keep their speed, those above `high` are slowed by the factor, with a
 * ramp between, at every length of text.
 *
 * The release computes speeds and angles in single precision, which at position 1000000 is up to
 * 0.03 radians beside the angles that are meant. Here nothing is rounded. */
void rc_pl_turns(const rc_config *config, bool compressed, double *turn)
{
    const double base = compressed ? config->compress_rope_theta : config->rope_theta;
    const uint32_t R = config->qk_rope_head_dim;
    double low = 0, high = 0;

    if (compressed && config->rope_original_max_position) {
        low = fmax(floor(pair_of(config, config->rope_beta_fast)), 0);
        high = fmin(ceil(pair_of(config, config->rope_beta_slow)), R - 1.0);
        if (low == high)
            high += 0.001;
    }
    for (uint32_t i = 0; i < R / 2; i++) {
        turn[i] = pow(base, -2.0 * i / R);
        if (high != low) {
            const double ramp = fmin(fmax((i - low) / (high - low), 0), 1);

            turn[i] = turn[i] / config->rope_factor * ramp + turn[i] * (1 - ramp);
        }
    }
}

/* Neighbours (x[2i], x[2i + 1]) of the last R are the real and imaginary part of a number that is
 * turned by pos * turn[i]. */
void rc_pl_rope(const rc_plain *p, const double *turn, double *x, size_t n, uint64_t pos, bool back)
{
    double *pair = x + n - p->R;

    for (size_t i = 0; i < p->R / 2; i++, pair += 2) {
        const double angle = (double)pos * turn[i];
        const double c = cos(angle), s = back ? -sin(angle) : sin(angle);
        const double re = pair[0], im = pair[1];

        pair[0] = re * c - im * s;
        pair[1] = re * s + im * c;
    }
}

void rc_pl_hadamard(double *x, size_t n)
{
    const double scale = 1 / sqrt((double)n);

    for (size_t half = 1; half < n; half *= 2)
        for (size_t i = 0; i < n; i++)
            if (!(i & half)) {
                const double a = x[i], b = x[i | half];

                x[i] = a + b;
                x[i | half] = a - b;
            }
    for (size_t i = 0; i < n; i++)
        x[i] *= scale;
}

void rc_pl_top(const double *x, size_t n, size_t k, bool *chosen)
{
    for (size_t i = 0; i < n; i++)
        chosen[i] = k >= n;
    for (size_t done = 0; done < k && k < n; done++) {
        size_t best = n;

        for (size_t i = 0; i < n; i++)
            if (!chosen[i] && (best == n || x[i] > x[best]))
                best = i;
        chosen[best] = true;
    }
}
