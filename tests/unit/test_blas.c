/* tests/unit/test_blas.c - BLIS computes the product that we asked for, with the code for this
 * processor. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <blis.h>

#include "kernels/cpu.h"
#include "runtime/blas.h"

static float random_float(void)
{
    return (float)rand() / (float)RAND_MAX - 0.5f;
}

static void expect_product(size_t tokens, size_t rows, size_t n, size_t gap, unsigned threads)
{
    const size_t ldx = n + gap, ldw = n + 2 * gap, ldy = rows + gap;
    float *x = malloc(tokens * ldx * sizeof *x), *w = malloc(rows * ldw * sizeof *w);
    float *y = malloc(tokens * ldy * sizeof *y);

    assert_true(x && w && y);
    for (size_t i = 0; i < tokens * ldx; i++)
        x[i] = random_float();
    for (size_t i = 0; i < rows * ldw; i++)
        w[i] = random_float();
    for (size_t i = 0; i < tokens * ldy; i++)
        y[i] = NAN; /* what was there must not count */
    rc_blas_sgemm(y, ldy, x, ldx, tokens, w, ldw, rows, n, threads);
    for (size_t t = 0; t < tokens; t++) {
        for (size_t r = 0; r < rows; r++) {
            double sum = 0, size = 0;
            for (size_t i = 0; i < n; i++) {
                const double p = (double)x[t * ldx + i] * (double)w[r * ldw + i];
                sum += p;
                size += fabs(p);
            }
            assert_true(fabs((double)y[t * ldy + r] - sum) <= (double)n * 0x1p-24 * size);
        }
        for (size_t r = rows; r < ldy; r++)
            assert_true(isnan(y[t * ldy + r]));
    }
    free(x);
    free(w);
    free(y);
}

static void test_blas_is_a_product(void **state)
{
    (void)state;
    for (unsigned threads = 1; threads <= 3; threads++) {
        expect_product(1, 1, 1, 0, threads);
        expect_product(3, 5, 7, 2, threads);
        expect_product(13, 130, 256, 0, threads);
        expect_product(150, 70, 300, 3, threads);
    }
}

/* First of all tests: BLIS chooses once in a process, so the choice of a user is a child's. */
static void test_blas_keeps_the_users_choice(void **state)
{
    char generic[16];
    int status;

    (void)state;
    snprintf(generic, sizeof generic, "%d", BLIS_ARCH_GENERIC);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (setenv("BLIS_ARCH_TYPE", generic, 1) != 0)
            _exit(2);
        _exit(strcmp(rc_blas_arch(), "generic") != 0);
    }
    assert_true(waitpid(child, &status, 0) == child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void test_blas_uses_vectors(void **state)
{
    (void)state;
    if (!(rc_cpu_machine() & RC_CPU_AVX2))
        skip();
    assert_string_not_equal(rc_blas_arch(), "generic");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blas_keeps_the_users_choice),
        cmocka_unit_test(test_blas_uses_vectors),
        cmocka_unit_test(test_blas_is_a_product),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
