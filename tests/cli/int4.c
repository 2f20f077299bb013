/* tests/cli/int4.c - quantize/{int4,awq}.h on a matrix of a file, for tests/oracle/check_awq.py.
 *
 *     int4 ROWS COLS GROUP asymmetric|symmetric nearest|clip|best W X_MEAN POWER LOSSES Y
 *
 * Reads W [ROWS, COLS] f32, X_MEAN [COLS] f64 and POWER [COLS] f32. For each of the grid's ratios:
 * writes what rc_awq_losses says (LOSSES [20] f64) and Q(W s) / s (Y [20, ROWS, COLS] f32), Q
 * being the search with POWER / s^2 as importance, scales in F16. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "quantize/awq.h"

typedef struct job {
    size_t rows, cols;
    rc_int4_kind kind;
    float *w, *power, *s[RC_AWQ_GRID], *work;
    double *x_mean, *w_mean, losses[RC_AWQ_GRID];
    uint8_t *q, *zero;
    float *scale;
} job;

static void *need(size_t n, size_t size)
{
    void *p = calloc(n ? n : 1, size);

    if (!p) {
        fputs("int4: no memory\n", stderr);
        exit(71);
    }
    return p;
}

static void *read_all(const char *path, size_t n, size_t size)
{
    void *p = need(n, size);
    FILE *f = fopen(path, "rb");

    if (!f || fread(p, size, n, f) != n || fclose(f) != 0) {
        fprintf(stderr, "int4: cannot read %zu numbers from %s\n", n, path);
        exit(66);
    }
    return p;
}

static FILE *create(const char *path)
{
    FILE *f = fopen(path, "wb");

    if (!f) {
        fprintf(stderr, "int4: cannot write %s\n", path);
        exit(73);
    }
    return f;
}

static void put(const void *p, size_t n, size_t size, FILE *f)
{
    if (fwrite(p, size, n, f) != n) {
        fputs("int4: cannot write\n", stderr);
        exit(74);
    }
}

static void make_scales(job *j)
{
    for (size_t r = 0; r < j->rows; r++)
        rc_awq_weight_mean_add(j->w_mean, j->w + r * j->cols, j->cols, j->kind.group);
    for (size_t k = 0; k < j->cols; k++)
        j->w_mean[k] /= (double)j->rows;
    for (unsigned i = 0; i < RC_AWQ_GRID; i++) {
        j->s[i] = need(j->cols, sizeof(float));
        rc_awq_scales(j->s[i], j->x_mean, j->w_mean, j->cols, (double)i / RC_AWQ_GRID, false);
    }
}

static void write_row(job *j, const float *w, const float *s, FILE *y)
{
    const rc_int4_row out = { j->q, j->scale, j->zero };
    float *x = j->work, *importance = j->work + j->cols;
    rc_int4_tally tally = { 0 };

    for (size_t k = 0; k < j->cols; k++) {
        x[k] = w[k] * s[k];
        importance[k] = j->power[k] / (s[k] * s[k]);
    }
    rc_int4_row_best()(&out, x, importance, j->cols, &j->kind, &tally);
    for (size_t k = 0; k < j->cols; k++) {
        const size_t g = k / j->kind.group;
        x[k] = (float)(j->q[k] - j->zero[g]) * j->scale[g] / s[k];
    }
    put(x, j->cols, sizeof *x, y);
}

static void write_all(job *j, const char *losses, const char *path)
{
    FILE *y = create(path), *f = create(losses);

    for (size_t r = 0; r < j->rows; r++)
        rc_awq_losses_best()(j->losses, j->w + r * j->cols, j->power, (const float *const *)j->s,
                             RC_AWQ_GRID, j->cols, &j->kind, j->work);
    put(j->losses, RC_AWQ_GRID, sizeof *j->losses, f);
    for (unsigned i = 0; i < RC_AWQ_GRID; i++)
        for (size_t r = 0; r < j->rows; r++)
            write_row(j, j->w + r * j->cols, j->s[i], y);
    if (fclose(f) != 0 || fclose(y) != 0)
        exit(74);
}

int main(int argc, char **argv)
{
    static const char *const searches[] = { "nearest", "clip", "best" };
    job j = { .kind = { .scale = RC_DTYPE_F16 } };

    if (argc != 11) {
        fputs("usage: int4 ROWS COLS GROUP asymmetric|symmetric nearest|clip|best\n"
              "            W X_MEAN POWER LOSSES Y\n",
              stderr);
        return 64;
    }
    j.rows = strtoul(argv[1], NULL, 10);
    j.cols = strtoul(argv[2], NULL, 10);
    j.kind.group = (unsigned)strtoul(argv[3], NULL, 10);
    j.kind.symmetric = strcmp(argv[4], "symmetric") == 0;
    for (unsigned i = 0; i < 3; i++)
        if (strcmp(argv[5], searches[i]) == 0)
            j.kind.search = (rc_int4_search)i;
    j.w = read_all(argv[6], j.rows * j.cols, sizeof(float));
    j.x_mean = read_all(argv[7], j.cols, sizeof(double));
    j.power = read_all(argv[8], j.cols, sizeof(float));
    j.w_mean = need(j.cols, sizeof(double));
    j.work = need(2 * j.cols, sizeof(float));
    j.q = need(j.cols, 1);
    j.zero = need(j.cols, 1);
    j.scale = need(j.cols, sizeof(float));
    make_scales(&j);
    write_all(&j, argv[9], argv[10]);
    for (unsigned i = 0; i < RC_AWQ_GRID; i++)
        free(j.s[i]);
    for (unsigned i = 0; i < 8; i++)
        free((void *[]){ j.w, j.x_mean, j.power, j.w_mean, j.work, j.q, j.zero, j.scale }[i]);
    return 0;
}
