/* tests/cli/statistics.c - made-up statistics of a checkpoint's activations.
 *
 *     statistics MODEL FOLDER NAME [few=N] [tokens=N] [seed=N] [moments] [twice]
 *
 * A file FOLDER/NAME as recast calibrate writes it: channels differ by log-normal gains, so that
 * scaling and importance have something to find; the first N experts of every layer saw 10
 * tokens only. twice: each sampled token chose the same expert in all its places, as no router
 * does; expert 0 eight times. Nothing is run: for tests of what is made of statistics. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/calibration_write.h"
#include "verify/subject.h"

enum { SAMPLE = 512, B = RC_CALIB_BLOCK, TRIANGLE = B * (B + 1) / 2 };

static struct {
    rc_mem mem;
    rc_subject model;
    uint64_t few, tokens, seed;
    bool moments, twice;
} s = { .tokens = 4096, .seed = 1 };

static void must(rc_code rc, const rc_err *err)
{
    if (rc == RC_OK)
        return;
    fprintf(stderr, "statistics: %s: %s\n", err->tensor, err->msg);
    exit(2);
}

static void *memory(size_t n)
{
    void *p = calloc(n ? n : 1, 1);

    if (!p)
        abort();
    return p;
}

/* 0 < x < 1 */
static double dice(void)
{
    s.seed = s.seed * 6364136223846793005u + 1442695040888963407u;
    return ((double)(s.seed >> 33) + 0.5) / 2147483648.0;
}

static double gauss(void)
{
    return sqrt(-2 * log(dice())) * cos(6.283185307179586 * dice());
}

/* Channels hang together within a block, a little. */
static void put_moments(rc_calib_writer *w, uint32_t block, rc_input_at at, size_t row,
                        const double *squares, size_t cols)
{
    const size_t blocks = (cols + B - 1) / B;
    double *cov = memory(blocks * TRIANGLE * sizeof *cov);
    rc_err err;

    for (size_t b = 0; b < blocks; b++)
        for (size_t i = 0; i < B; i++)
            for (size_t j = 0; j <= i; j++) {
                const size_t x = b * B + i, y = b * B + j;

                if (x < cols)
                    cov[b * TRIANGLE + i * (i + 1) / 2 + j] =
                        sqrt(squares[x] * squares[y]) * (i == j ? 1 : 0.3);
            }
    must(rc_calib_put_moments(w, block, at, row, cov, &err), &err);
    free(cov);
}

static void put_input(rc_calib_writer *w, const rc_config *c, uint32_t block, rc_input_at at)
{
    const size_t rows = at == RC_INPUT_EXPERT || at == RC_INPUT_DOWN ? c->n_routed_experts : 1;
    const size_t cols = (size_t)rc_input_cols(at, c);
    double *squares = memory(rows * cols * sizeof *squares);
    double *abs = memory(rows * cols * sizeof *abs), *gain = memory(cols * sizeof *gain);
    double *counts = memory(rows * sizeof *counts), *seen = memory(rows * sizeof *seen);
    const rc_calib_sums sums = { rows, cols, squares, abs, counts, seen };
    rc_err err;

    for (size_t k = 0; k < cols; k++)
        gain[k] = exp(gauss());
    for (size_t r = 0; r < rows; r++) {
        counts[r] = 200;
        seen[r] = rows > 1 && r < s.few ? 10 : 200;
        for (size_t k = 0; k < cols; k++) {
            const double x = gain[k] * exp(0.3 * gauss());

            squares[r * cols + k] = counts[r] * x * x;
            abs[r * cols + k] = counts[r] * x * 0.8;
        }
    }
    must(rc_calib_put(w, block, at, &sums, &err), &err);
    for (size_t r = 0; r < rows && s.moments; r++)
        put_moments(w, block, at, r, squares + r * cols, cols);
    free(squares);
    free(abs);
    free(gain);
    free(counts);
    free(seen);
}

static void put_sample(rc_calib_writer *w, const rc_config *c, uint32_t block)
{
    const size_t d = c->hidden_size, k = c->num_experts_per_tok;
    float *x = memory(SAMPLE * d * sizeof *x), *weight = memory(SAMPLE * k * sizeof *weight);
    uint32_t *expert = memory(SAMPLE * k * sizeof *expert);
    rc_err err;

    for (size_t i = 0; i < SAMPLE * d; i++)
        x[i] = (float)(gauss() * exp((double)(i % d * 37 % 101) / 50 - 1));
    for (size_t i = 0; i < SAMPLE * k; i++) {
        expert[i] =
            s.twice ? i / k % 64 != 0 : (uint32_t)((i / k * 7 + i % k) % c->n_routed_experts);
        weight[i] = 0.5f;
    }
    must(rc_calib_put_sample(w, block, x, expert, weight, &err), &err);
    free(x);
    free(weight);
    free(expert);
}

static void option(const char *word)
{
    if (strncmp(word, "few=", 4) == 0)
        s.few = strtoull(word + 4, NULL, 10);
    else if (strncmp(word, "tokens=", 7) == 0)
        s.tokens = strtoull(word + 7, NULL, 10);
    else if (strncmp(word, "seed=", 5) == 0)
        s.seed = strtoull(word + 5, NULL, 10);
    else if (strcmp(word, "twice") == 0)
        s.twice = true;
    else
        s.moments = strcmp(word, "moments") == 0;
}

int main(int argc, char **argv)
{
    rc_calib_plan plan = { .sample = SAMPLE,
                           .draft_sample = SAMPLE,
                           .windows = 1,
                           .ctx = 1024,
                           .dataset = "made up",
                           .tokens_digest = "made up",
                           .numerics = "native" };
    const rc_config *c;
    rc_calib_writer *w;
    uint32_t blocks;
    rc_err err;
    rc_dir dir;

    if (argc < 4)
        return 2;
    for (int i = 4; i < argc; i++)
        option(argv[i]);
    must(rc_subject_open(&s.model, argv[1], NULL, NULL, &s.mem, &err), &err);
    c = rc_ckpt_config(s.model.ckpt);
    blocks = c->num_hidden_layers + rc_model_traits(s.model.model)->draft_blocks;
    plan.model = s.model.model;
    plan.draft = blocks > c->num_hidden_layers;
    plan.moments = s.moments;
    plan.tokens = s.tokens;
    must(rc_calib_model_digest(plan.model_digest, s.model.model, &err), &err);
    must(rc_calib_tokenizer_digest(plan.tokenizer, s.model.model, &err), &err);
    must(rc_dir_open(&dir, argv[2], false, &err), &err);
    must(rc_calib_writer_new(&w, &plan, &dir, argv[3], RC_OUT_NEW, &s.mem, &err), &err);
    for (uint32_t b = 0; b < blocks; b++) {
        for (unsigned at = 0; at < RC_INPUT_COUNT; at++)
            put_input(w, c, b, (rc_input_at)at);
        put_sample(w, c, b);
    }
    must(rc_calib_writer_finish(w, (uint32_t)s.few, &err), &err);
    rc_calib_writer_free(&w);
    rc_dir_close(&dir);
    rc_subject_close(&s.model);
    return 0;
}
