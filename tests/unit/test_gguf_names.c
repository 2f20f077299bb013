/* tests/unit/test_gguf_names.c - every parameter has one place, and the files are full. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "formats/gguf_names.h"
#include "tests/unit/released.h"

/* The places of a schema in a file of one kind, sorted by name, row and column. */
struct places {
    rc_gguf_place *at;
    size_t n;
    size_t homeless; /* parameters without a place */
};

static int by_place(const void *a, const void *b)
{
    const rc_gguf_place *x = a, *y = b;
    const int names = strcmp(x->name, y->name);

    if (names)
        return names;
    return x->row != y->row ? (x->row > y->row) - (x->row < y->row)
                            : (x->col > y->col) - (x->col < y->col);
}

static struct places place_all(const rc_config *c, const rc_traits *t, rc_gguf_kind kind)
{
    rc_mem mem = { 0 };
    struct places all = { 0 };
    rc_schema *s;
    rc_err err;

    if (rc_schema_new(&s, c, t, &mem, &err) != RC_OK)
        fail_msg("%s", err.msg);
    all.at = calloc(rc_schema_count(s), sizeof *all.at);
    assert_non_null(all.at);
    for (size_t i = 0; i < rc_schema_count(s); i++)
        if (rc_gguf_place_of(&all.at[all.n], rc_schema_at(s, i), c, kind))
            all.n++;
        else
            all.homeless++;
    rc_schema_free(&s);
    qsort(all.at, all.n, sizeof *all.at, by_place);
    return all;
}

static uint64_t elements(const rc_gguf_place *p)
{
    uint64_t n = 1;

    for (unsigned i = 0; i < p->rank; i++)
        n *= p->shape[i];
    return n;
}

/* Places of one tensor follow each other without gap; any two tensors have two names. */
static size_t count_tensors(const struct places *all)
{
    size_t tensors = 0;

    for (size_t i = 0; i < all->n; i++) {
        const rc_gguf_place *p = &all->at[i], *before = i ? p - 1 : NULL;
        const bool next = before && strcmp(before->name, p->name) == 0;

        assert_in_range(strlen(p->name), 1, RC_GGUF_MAX_NAME);
        assert_true(elements(p) > 0);
        if (!next) {
            tensors++;
            assert_int_equal(p->row, 0);
            assert_int_equal(p->col, 0);
            continue;
        }
        assert_true(p->part && before->part);
        assert_memory_equal(p->shape, before->shape, sizeof p->shape);
        if (p->rank == 3)
            assert_int_equal(p->row, before->row + p->shape[1]);
        else
            assert_int_equal(2 * p->col, p->shape[1]);
    }
    return tensors;
}

static size_t tensors_of(bool pro, unsigned draft_blocks, rc_gguf_kind kind, size_t *homeless)
{
    const rc_config c = released_config(pro, draft_blocks);
    struct places all = place_all(&c, draft_blocks == 3 ? &native_dspark : &native_mtp, kind);
    const size_t n = count_tensors(&all);

    *homeless = all.homeless;
    free(all.at);
    return n;
}

/* The figures of the published files. A block without compressor has 24 tensors, experts
 * stacked; a router has a bias or a table. */
static void test_gguf_names_counts(void **state)
{
    const size_t draft = 24 + 768 - 3 + 8; /* an MTP block: its parameters, 256 experts */
    const size_t main_flash = 6 + 43 * (24 + 768 - 3) + 41 * 4 + 21 * 6;
    size_t homeless;

    (void)state;
    assert_int_equal(tensors_of(false, 1, RC_GGUF_MAIN, &homeless), 1328);
    assert_int_equal(homeless, draft);
    assert_int_equal(tensors_of(true, 1, RC_GGUF_MAIN, &homeless), 1894);
    assert_int_equal(tensors_of(false, 3, RC_GGUF_MAIN, &homeless), 1328);

    /* e_proj and h_proj become one, three hc_head_* have no place */
    assert_int_equal(tensors_of(false, 1, RC_GGUF_EMBED, &homeless), 1328 + 24 + 4);
    assert_int_equal(homeless, 3);
    /* embedding, norm and head of the model are repeated */
    assert_int_equal(tensors_of(false, 1, RC_GGUF_MTP, &homeless), 24 + 4 + 3 + 3);
    assert_int_equal(homeless, main_flash - 3);
    assert_int_equal(tensors_of(false, 1, RC_GGUF_MTP_DS4, &homeless), 24 + 8);
    assert_int_equal(homeless, main_flash);
    assert_int_equal(tensors_of(false, 3, RC_GGUF_DSPARK, &homeless), 3 * 24 + 9);
    assert_int_equal(homeless, main_flash);
}

struct known {
    rc_gguf_kind kind;
    const char *param, *name;
    unsigned rank;
    uint64_t shape[3], row, col;
};

/* Read off the published files and their loaders. */
static const struct known mtp_known[] = {
    { RC_GGUF_MAIN, "embed.weight", "token_embd.weight", 2, { 129280, 4096 }, 0, 0 },
    { RC_GGUF_MAIN, "hc_head_scale", "output_hc_scale.weight", 1, { 1 }, 0, 0 },
    { RC_GGUF_MAIN,
      "layers.2.attn.indexer.wq_b.weight",
      "blk.2.indexer.attn_q_b.weight",
      2,
      { 8192, 1024 },
      0,
      0 },
    { RC_GGUF_MAIN,
      "layers.2.attn.indexer.compressor.ape",
      "blk.2.indexer_compressor_ape.weight",
      2,
      { 4, 256 },
      0,
      0 },
    { RC_GGUF_MAIN,
      "layers.3.attn.compressor.ape",
      "blk.3.attn_compressor_ape.weight",
      2,
      { 128, 512 },
      0,
      0 },
    { RC_GGUF_MAIN,
      "layers.0.ffn.gate.tid2eid",
      "blk.0.ffn_gate_tid2eid.weight",
      2,
      { 129280, 6 },
      0,
      0 },
    { RC_GGUF_MAIN, "layers.3.ffn.gate.bias", "blk.3.exp_probs_b.bias", 1, { 256 }, 0, 0 },
    { RC_GGUF_MAIN,
      "layers.42.ffn.experts.255.w2.weight",
      "blk.42.ffn_down_exps.weight",
      3,
      { 256, 4096, 2048 },
      255 * 4096,
      0 },
    { RC_GGUF_MAIN,
      "layers.42.ffn.experts.17.w3.weight",
      "blk.42.ffn_up_exps.weight",
      3,
      { 256, 2048, 4096 },
      17 * 2048,
      0 },
    { RC_GGUF_EMBED, "mtp.0.attn.wkv.weight", "blk.43.attn_kv.weight", 2, { 512, 4096 }, 0, 0 },
    { RC_GGUF_EMBED, "mtp.0.hc_head_fn", NULL, 0, { 0 }, 0, 0 },
    { RC_GGUF_EMBED, "hc_head_fn", "output_hc_fn.weight", 2, { 4, 16384 }, 0, 0 },
    { RC_GGUF_MTP, "mtp.0.hc_head_fn", "output_hc_fn.weight", 2, { 4, 16384 }, 0, 0 },
    { RC_GGUF_MTP, "hc_head_fn", NULL, 0, { 0 }, 0, 0 },
    { RC_GGUF_MTP, "norm.weight", "output_norm.weight", 1, { 4096 }, 0, 0 },
    { RC_GGUF_MTP, "mtp.0.norm.weight", "blk.43.nextn.shared_head_norm.weight", 1, { 4096 }, 0, 0 },
    { RC_GGUF_MTP, "mtp.0.e_proj.weight", "blk.43.nextn.eh_proj.weight", 2, { 4096, 8192 }, 0, 0 },
    { RC_GGUF_MTP,
      "mtp.0.h_proj.weight",
      "blk.43.nextn.eh_proj.weight",
      2,
      { 4096, 8192 },
      0,
      4096 },
    { RC_GGUF_MTP, "layers.0.attn_norm.weight", NULL, 0, { 0 }, 0, 0 },
    { RC_GGUF_MTP_DS4, "mtp.0.h_proj.weight", "mtp.0.h_proj.weight", 2, { 4096, 4096 }, 0, 0 },
    { RC_GGUF_MTP_DS4, "mtp.0.ffn.gate.bias", "mtp.0.exp_probs_b.bias", 1, { 256 }, 0, 0 },
    { RC_GGUF_MTP_DS4,
      "mtp.0.ffn.experts.1.w1.weight",
      "mtp.0.ffn_gate_exps.weight",
      3,
      { 256, 2048, 4096 },
      2048,
      0 },
    { RC_GGUF_MTP_DS4, "embed.weight", NULL, 0, { 0 }, 0, 0 },
};

static const struct known dspark_known[] = {
    { RC_GGUF_DSPARK, "mtp.0.main_proj.weight", "fc.weight", 2, { 4096, 12288 }, 0, 0 },
    { RC_GGUF_DSPARK, "mtp.0.main_norm.weight", "enc.output_norm.weight", 1, { 4096 }, 0, 0 },
    { RC_GGUF_DSPARK, "mtp.2.norm.weight", "output_norm.weight", 1, { 4096 }, 0, 0 },
    { RC_GGUF_DSPARK, "mtp.2.hc_head_base", "output_hc_base.weight", 1, { 4 }, 0, 0 },
    { RC_GGUF_DSPARK,
      "mtp.2.markov_head.markov_w2.weight",
      "markov_w2.weight",
      2,
      { 129280, 256 },
      0,
      0 },
    { RC_GGUF_DSPARK,
      "mtp.2.confidence_head.proj.weight",
      "conf_proj.weight",
      2,
      { 1, 4352 },
      0,
      0 },
    { RC_GGUF_DSPARK, "mtp.1.attn.attn_sink", "blk.1.attn_sinks.weight", 1, { 64 }, 0, 0 },
    { RC_GGUF_DSPARK, "norm.weight", NULL, 0, { 0 }, 0, 0 },
};

static void check_known(const struct known *known, size_t n, unsigned draft_blocks)
{
    const rc_config c = released_config(false, draft_blocks);
    rc_mem mem = { 0 };
    rc_schema *s;
    rc_err err;

    if (rc_schema_new(&s, &c, draft_blocks == 3 ? &native_dspark : &native_mtp, &mem, &err) !=
        RC_OK)
        fail_msg("%s", err.msg);
    for (const struct known *k = known; k < known + n; k++) {
        const rc_param *p = rc_schema_find(s, k->param);
        rc_gguf_place place;

        assert_non_null(p);
        if (!k->name) {
            assert_false(rc_gguf_place_of(&place, p, &c, k->kind));
            continue;
        }
        assert_true(rc_gguf_place_of(&place, p, &c, k->kind));
        assert_string_equal(place.name, k->name);
        assert_int_equal(place.rank, k->rank);
        assert_memory_equal(place.shape, k->shape, sizeof k->shape);
        assert_int_equal(place.row, k->row);
        assert_int_equal(place.col, k->col);
    }
    rc_schema_free(&s);
}

static void test_gguf_names_known(void **state)
{
    (void)state;
    check_known(mtp_known, sizeof mtp_known / sizeof *mtp_known, 1);
    check_known(dspark_known, sizeof dspark_known / sizeof *dspark_known, 3);
}

/* Images: a second bias everywhere; the first one of a hash layer stays behind. */
static void test_gguf_names_vision(void **state)
{
    const rc_config c = released_config(false, 1);
    const rc_param hashed = {
        .name = "layers.2.ffn.gate.bias", .rank = 1, .shape = { 256 }, .layer = 2, .expert = -1
    };
    const rc_param seeing = {
        .name = "layers.2.ffn.gate.bias_vl", .rank = 1, .shape = { 256 }, .layer = 2, .expert = -1
    };
    rc_gguf_place place;

    (void)state;
    assert_false(rc_gguf_place_of(&place, &hashed, &c, RC_GGUF_MAIN));
    assert_true(rc_gguf_place_of(&place, &seeing, &c, RC_GGUF_MAIN));
    assert_string_equal(place.name, "blk.2.exp_probs_b_vl.bias");
}

static void test_gguf_names_types(void **state)
{
    unsigned known = 0;

    (void)state;
    for (uint32_t id = 0; id < 100; id++) {
        const rc_ggml_type *t = rc_ggml_type_of(id);

        if (!t)
            continue;
        known++;
        assert_int_equal(t->id, id);
        if (t->dtype == RC_DTYPE_COUNT)
            continue;
        assert_ptr_equal(rc_ggml_type_for(t->dtype), t);
        assert_string_equal(t->name, rc_dtype_name(t->dtype));
        assert_int_equal(t->block, rc_dtype_block(t->dtype));
        assert_int_equal(t->bytes, rc_dtype_block_bytes(t->dtype));
    }
    assert_int_equal(known, 35);
    assert_null(rc_ggml_type_of(4));
    assert_null(rc_ggml_type_of(31));
    assert_null(rc_ggml_type_of(43));
    assert_null(rc_ggml_type_of(UINT32_MAX));
    assert_null(rc_ggml_type_for(RC_DTYPE_F8_E4M3));
    assert_null(rc_ggml_type_for(RC_DTYPE_COUNT));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gguf_names_counts),
        cmocka_unit_test(test_gguf_names_known),
        cmocka_unit_test(test_gguf_names_vision),
        cmocka_unit_test(test_gguf_names_types),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
