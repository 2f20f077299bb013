/* tests/fuzz/fuzz_calibration.c - statistics from anybody: what is handed out is finite, whatever
 * the file says of sizes, and stays within what was asked for. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "formats/calibration.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { COLS = 2, EXPERTS = 3 };

#define REQUIRE(what)                                                                              \
    do {                                                                                           \
        if (!(what))                                                                               \
            abort();                                                                               \
    } while (0)

static void ask(const rc_calib *c, const char *name, int32_t expert, const rc_config *config)
{
    const rc_param p = { .name = name, .rank = 2, .shape = { 4, COLS }, .expert = expert };
    float *out = malloc(COLS * COLS * sizeof *out); /* exact: a sanitizer sees one too far */
    uint64_t tokens;
    rc_err err;

    REQUIRE(out);
    for (unsigned what = RC_CALIB_SQUARES; what <= RC_CALIB_MOMENTS; what++) {
        const size_t n = what == RC_CALIB_MOMENTS ? COLS * COLS : COLS;
        bool found = false;
        const rc_code rc = rc_calib_get(c, &p, config, (rc_calib_what)what, 0, out, &found, &err);

        REQUIRE(rc == RC_OK || rc == RC_E_TENSORSET || rc == RC_E_DATA);
        for (size_t i = 0; rc == RC_OK && found && i < n; i++)
            REQUIRE(!isnan(out[i]) && (what == RC_CALIB_MOMENTS || out[i] >= 0.0f));
    }
    (void)!rc_calib_seen(c, &p, config, &tokens, &err);
    free(out);
}

static void ask_sample(const rc_calib *c, const rc_config *config, rc_mem *mem)
{
    rc_calib_sample s;
    rc_err err;

    if (rc_calib_sample_get(c, 0, config, &s, mem, &err) == RC_OK)
        for (size_t i = 0; i < s.rows * s.k; i++)
            REQUIRE(s.expert[i] < EXPERTS && isfinite(s.weight[i]));
    rc_calib_sample_free(&s, mem);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const rc_config config = { .num_hidden_layers = 1,
                               .hidden_size = COLS,
                               .n_routed_experts = EXPERTS,
                               .num_experts_per_tok = 1,
                               .o_groups = 1 };
    rc_mem mem = { .limit = (size_t)64 << 20 };
    rc_calib *c;
    rc_err err;

    if (rc_calib_parse(&c, data, size, NULL, &mem, &err) == RC_OK) {
        ask(c, "layers.0.attn.wq_a.weight", -1, &config);
        ask(c, "layers.0.ffn.experts.1.w1.weight", 1, &config);
        ask_sample(c, &config, &mem);
    }
    rc_calib_free(&c);
    REQUIRE(mem.used == 0);
    return 0;
}
