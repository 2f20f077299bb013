/* tests/check/check.c - main of the kernel check; see check.h.
 *
 *     check [SEED [OP]]        exit status 1 when anything differs */
#include "tests/check/check.h"

#include <fenv.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

#include "kernels/cpu.h"

static const struct {
    const char *name;
    void (*fn)(void);
} ops[] = {
#define RC_OP(op) { #op, check_##op },
#include "kernels/ops.def"
#include "quantize/ops.def"
#undef RC_OP
};

static struct {
    char row[64];
    unsigned long done, wrong;
    bool failed; /* any row so far */
} state;
static uint64_t random_state;

bool check_begin(const char *op, const char *variant, unsigned need)
{
    snprintf(state.row, sizeof state.row, "%s/%s", op, variant);
    state.done = state.wrong = 0;
    if (need & ~rc_cpu_machine()) {
        printf("skip %s (this machine lacks it)\n", state.row);
        return false;
    }
    return true;
}

void check_that(bool ok, const char *what, ...)
{
    va_list args;

    state.done++;
    if (ok)
        return;
    if (state.wrong++ == 0) {
        printf("     %s: ", state.row);
        va_start(args, what);
        vprintf(what, args);
        va_end(args);
        printf("\n");
    }
}

void check_end(void)
{
    if (state.wrong)
        printf("FAIL %s: %lu of %lu comparisons\n", state.row, state.wrong, state.done);
    else
        printf("ok   %s (%lu)\n", state.row, state.done);
    state.failed |= state.wrong != 0 || state.done == 0;
}

uint64_t check_random(void)
{
    uint64_t z = random_state += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

size_t check_below(size_t bound)
{
    return (size_t)(check_random() % bound);
}

void check_fill(void *p, size_t n)
{
    uint8_t *bytes = p;

    for (size_t i = 0; i < n; i++)
        bytes[i] = (uint8_t)check_random();
}

float check_float(void)
{
    static const uint32_t odd[] = {
        0x00000000, 0x80000000, 0x00000001, 0x807fffff, 0x00400000, 0x00800000, 0x7f7fffff,
        0xff7fffff, 0x7f7f8000, 0x7f800000, 0xff800000, 0x7fc00000, 0xffc00000, 0x7f800001,
        0x7fbfffff, 0x3f800000, 0x3f808000, 0x3f818000, 0x3f808001, 0x007f8000,
    };
    uint32_t bits = (uint32_t)check_random();
    float x;

    if (check_below(4) == 0)
        bits = odd[check_below(sizeof odd / sizeof *odd)];
    memcpy(&x, &bits, sizeof x);
    return x;
}

check_buf check_buf_new(size_t n, size_t shift)
{
    check_buf buf = { .n = n };
    const size_t all = (CHECK_MARGIN + shift + n + CHECK_MARGIN + 63) / 64 * 64;

    buf.raw = aligned_alloc(64, all);
    if (!buf.raw)
        abort();
    memset(buf.raw, 0xa5, all);
    buf.data = buf.raw + CHECK_MARGIN + shift;
    return buf;
}

bool check_buf_intact(const check_buf *buf)
{
    for (const uint8_t *p = buf->raw; p < buf->data; p++)
        if (*p != 0xa5)
            return false;
    for (size_t i = 0; i < CHECK_MARGIN; i++)
        if (buf->data[buf->n + i] != 0xa5)
            return false;
    return true;
}

void check_buf_free(check_buf *buf)
{
    free(buf->raw);
    *buf = (check_buf){ 0 };
}

uint8_t *check_input_new(size_t n, size_t shift, void **whole)
{
    *whole = malloc(shift + n);
    if (!*whole)
        abort();
    return (uint8_t *)*whole + shift;
}

void check_in_rounding_modes(void (*fn)(void *), void *arg)
{
    static const int modes[] = { FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO };

    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        fesetround(modes[i]);
        fn(arg);
        check_that(fegetround() == modes[i], "the rounding mode was changed");
        fesetround(FE_TONEAREST);
    }
#if defined(__x86_64__)
    const unsigned saved = _mm_getcsr();
    _mm_setcsr(saved | 0x8040); /* flush to zero, denormals are zero */
    fn(arg);
    check_that((_mm_getcsr() & 0x8040) == 0x8040, "flushing to zero was switched off");
    _mm_setcsr(saved);
#endif
}

int main(int argc, char **argv)
{
    const uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 20260101;

    printf("# seed %" PRIu64 ", machine: %s\n", seed, rc_cpu_level_name());
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
        random_state = seed;
        if (argc <= 2 || strcmp(argv[2], ops[i].name) == 0)
            ops[i].fn();
    }
    return state.failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
