/* formats/calib_origin.c - do statistics and checkpoint belong together? See calibration.h. */
#include <stdio.h>
#include <string.h>

#include "formats/base/hash.h"
#include "formats/bpe_load.h"
#include "formats/calibration.h"

enum { HALF = 16, FEW_VALUES = 1024 }; /* hex digits of each digest; values of the embedding */

static void put_hex(char out[HALF + 1], const rc_digest *d)
{
    char hex[33];

    snprintf(out, HALF + 1, "%.*s", HALF, rc_digest_hex(d, hex));
}

/* ----------------------------------------------------------------------- model */

static rc_digest sizes_of(const rc_config *c)
{
    const uint32_t sizes[] = {
        c->num_hidden_layers,
        c->num_hash_layers,
        c->hidden_size,
        c->vocab_size,
        c->num_attention_heads,
        c->head_dim,
        c->q_lora_rank,
        c->o_groups,
        c->o_lora_rank,
        c->moe_intermediate_size,
        c->index_n_heads,
        c->index_head_dim,
        c->n_routed_experts,
        c->num_experts_per_tok,
        c->hc_mult,
    };
    _Alignas(64) rc_hasher hasher;

    rc_hash_begin(&hasher);
    rc_hash_field(&hasher, sizes, sizeof sizes);
    rc_hash_field(&hasher, c->compress_ratios, c->num_hidden_layers * sizeof *c->compress_ratios);
    return rc_hash_end(&hasher);
}

/* The embedding's first values, where they are stored as such: as BF16, which the release has. */
static rc_code weights_of(char out[HALF + 1], const rc_model *model, rc_err *err)
{
    const rc_bound *b = rc_model_find(model, "embed.weight");
    const rc_dtype dtype = b && b->weight ? b->weight->dtype : RC_DTYPE_COUNT;
    const size_t wide = dtype == RC_DTYPE_F32 ? 4 : 2;
    const size_t room = FEW_VALUES * 4 + 2 * RC_PAGE;
    rc_mem mem = { 0 };
    uint16_t half[FEW_VALUES];
    const uint8_t *data;
    rc_digest d;
    uint8_t *buf;
    size_t n;
    rc_code rc;

    snprintf(out, HALF + 1, "%0*d", HALF, 0);
    if (dtype != RC_DTYPE_F32 && dtype != RC_DTYPE_BF16)
        return RC_OK;
    n = (size_t)(b->weight->nbytes / wide);
    n = n < FEW_VALUES ? n : FEW_VALUES;
    buf = rc_mem_get_pages(&mem, room);
    if (!buf)
        return rc_fail_nomem(err, &mem, room);
    rc = rc_ckpt_read(rc_model_ckpt(model), b->weight, 0, n * wide, buf, room, &data, err);
    for (size_t i = 0; rc == RC_OK && i < n; i++) /* the upper half of an F32 is its BF16 */
        memcpy(&half[i], data + i * wide + (wide - 2), 2);
    rc_mem_put(&mem, buf);
    RC_TRY(rc);
    d = rc_hash(half, n * sizeof *half);
    put_hex(out, &d);
    return RC_OK;
}

rc_code rc_calib_model_digest(char out[40], const rc_model *model, rc_err *err)
{
    const rc_digest d = sizes_of(rc_ckpt_config(rc_model_ckpt(model)));
    char sizes[HALF + 1], weights[HALF + 1];

    put_hex(sizes, &d);
    RC_TRY(weights_of(weights, model, err));
    snprintf(out, 40, "%s-%s", sizes, weights);
    return RC_OK;
}

/* ------------------------------------------------------------------- tokenizer */

static void hash_tokens(char out[40], const rc_tokenizer *t)
{
    _Alignas(64) rc_hasher hasher;
    rc_token_type type;
    rc_digest d;
    char hex[33];
    size_t len;

    rc_hash_begin(&hasher);
    for (uint32_t id = 0; id < rc_tokenizer_count(t); id++) {
        const char *text = rc_tokenizer_token(t, id, &len, &type);

        rc_hash_field(&hasher, text, len);
    }
    for (size_t i = 0; i < rc_tokenizer_merges(t); i++) {
        const char *text = rc_tokenizer_merge(t, i, &len);

        rc_hash_field(&hasher, text, len);
    }
    d = rc_hash_end(&hasher);
    snprintf(out, 40, "%s", rc_digest_hex(&d, hex));
}

rc_code rc_calib_tokenizer_digest(char out[40], const rc_model *model, rc_err *err)
{
    rc_mem mem = { 0 };
    rc_err local;
    rc_bpe *bpe;
    rc_code rc = rc_bpe_of_ckpt(&bpe, rc_model_ckpt(model), &mem, err ? err : &local);

    out[0] = '\0';
    if (rc == RC_OK)
        hash_tokens(out, rc_bpe_tokenizer(bpe));
    rc_bpe_free(&bpe);
    return rc == RC_E_NOINPUT ? RC_OK : rc;
}

/* ----------------------------------------------------------------------- check */

static rc_code refuse(const rc_calib *c, const char *what, const char *want, const char *got,
                      const char *hint, rc_err *err)
{
    rc_fail(err, RC_E_TENSORSET, RC_NO_OFFSET, "%s", what);
    rc_err_file(err, rc_imatrix_path(rc_calib_imatrix(c)));
    rc_err_want(err, "%s", want);
    rc_err_got(err, "%s", got);
    rc_err_hint(err, "%s", hint);
    return RC_E_TENSORSET;
}

static void warn_few(const rc_calib *c, const rc_config *config, const rc_log *log)
{
    const uint64_t want = (uint64_t)RC_CALIB_ENOUGH * config->n_routed_experts /
                          (config->num_experts_per_tok ? config->num_experts_per_tok : 1);
    const rc_calib_origin *o = rc_calib_origin_of(c);

    if (o->tokens < want)
        rc_warn(log, rc_imatrix_path(rc_calib_imatrix(c)), NULL, RC_NO_OFFSET,
                "statistics of %" PRIu64 " tokens only: from %" PRIu64
                " on an expert sees %u on average; calibrate with a longer text",
                o->tokens, want, RC_CALIB_ENOUGH);
}

/* Every entry of a plain imatrix that has a parameter must have its size. */
static rc_code check_entries(const rc_calib *c, const rc_model *model, rc_err *err)
{
    const rc_config *config = rc_ckpt_config(rc_model_ckpt(model));

    for (size_t i = 0; i < rc_model_count(model); i++) {
        const rc_param *p = rc_model_at(model, i)->param;
        bool found;

        if (p->expert <= 0)
            RC_TRY(rc_calib_get(c, p, config, RC_CALIB_SQUARES, 0, NULL, &found, err));
    }
    return RC_OK;
}

static rc_code check_tokenizer(const rc_calib *c, const rc_model *model, rc_err *err)
{
    const rc_calib_origin *o = rc_calib_origin_of(c);
    char mine[40];

    if (!o->tokenizer[0])
        return RC_OK;
    RC_TRY(rc_calib_tokenizer_digest(mine, model, err));
    if (!mine[0] || strcmp(mine, o->tokenizer) == 0)
        return RC_OK;
    return refuse(
        c, "the statistics were made with another tokenizer: other tokens, other activations", mine,
        o->tokenizer, "run recast calibrate on a checkpoint with this tokenizer.json", err);
}

rc_code rc_calib_check(const rc_calib *c, const rc_model *model, const rc_log *log, rc_err *err)
{
    const rc_calib_origin *o = rc_calib_origin_of(c);
    char mine[40];

    RC_TRY(check_entries(c, model, err));
    if (!o->ours)
        return RC_OK;
    RC_TRY(rc_calib_model_digest(mine, model, err));
    if (strncmp(mine, o->model, HALF) != 0)
        return refuse(c, "the statistics are of a model of other sizes", mine, o->model,
                      "run recast calibrate on this model, or on one of the same sizes", err);
    RC_TRY(check_tokenizer(c, model, err));
    if (strcmp(mine, o->model) != 0 && !strstr(mine, "-0000000000000000") &&
        !strstr(o->model, "-0000000000000000"))
        rc_warn(log, rc_imatrix_path(rc_calib_imatrix(c)), NULL, RC_NO_OFFSET,
                "the statistics are of a model with other weights");
    warn_few(c, rc_ckpt_config(rc_model_ckpt(model)), log);
    return RC_OK;
}
