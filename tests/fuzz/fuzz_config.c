/* tests/fuzz/fuzz_config.c - a config.json from anybody: what is accepted is in bounds. */
#include <stdlib.h>
#include <string.h>

#include "formats/config.h"
#include "formats/int4_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(what)                                                                              \
    do {                                                                                           \
        if (!(what))                                                                               \
            abort();                                                                               \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    rc_mem mem = { .limit = (size_t)64 << 20 };
    rc_err err = { 0 };
    rc_int4_config int4;
    rc_config c;
    const rc_code rc = rc_config_parse(&c, data, size, NULL, &mem, &err);

    REQUIRE(mem.used == 0);
    if (rc != RC_OK) {
        REQUIRE(err.code == rc && err.msg[0]);
        REQUIRE(err.offset == RC_NO_OFFSET || err.offset <= size);
        return 0;
    }
    REQUIRE(strcmp(c.model_type, "deepseek_v4") == 0);
    REQUIRE(c.num_hidden_layers >= 1 && c.num_hidden_layers <= RC_CONFIG_MAX_LAYERS);
    REQUIRE(c.n_compress_ratios >= c.num_hidden_layers);
    REQUIRE(c.n_compress_ratios <= sizeof c.compress_ratios / sizeof *c.compress_ratios);
    REQUIRE(c.n_dspark_targets <= RC_CONFIG_MAX_TARGETS);
    REQUIRE(c.hidden_size >= 1 && c.hidden_size <= RC_CONFIG_MAX_DIM);
    REQUIRE(c.vocab_size >= 1 && c.vocab_size <= RC_CONFIG_MAX_DIM);
    REQUIRE(c.n_routed_experts >= 1 && c.n_routed_experts <= RC_CONFIG_MAX_EXPERTS);
    REQUIRE(c.num_experts_per_tok >= 1 && c.num_experts_per_tok <= c.n_routed_experts);
    REQUIRE(c.num_attention_heads % c.o_groups == 0);
    REQUIRE((c.weight_block[0] == 0) == (c.weight_block[1] == 0));
    REQUIRE(c.hc_mult >= 1 && c.hc_mult <= 16);
    REQUIRE(c.rms_norm_eps >= 0 && c.rms_norm_eps <= 1);
    REQUIRE(strlen(c.architecture) < sizeof c.architecture);
    REQUIRE(rc_int4_config_parse(&int4, data, size, &mem, &err) == RC_OK && mem.used == 0);
    REQUIRE(int4.n <= RC_INT4_SAYS && strlen(int4.version) < sizeof int4.version);
    for (unsigned i = 0; i < int4.n; i++)
        REQUIRE(strlen(int4.at[i].format) < sizeof int4.at[i].format &&
                strlen(int4.at[i].actorder) < sizeof int4.at[i].actorder);
    return 0;
}
