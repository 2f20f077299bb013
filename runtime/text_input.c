/* runtime/text_input.c - see text_input.h. */
#include "runtime/text_input.h"

#include <string.h>

#include "runtime/prompt.h"

static rc_code read_text(rc_text *out, const rc_text_input *in, rc_err *err)
{
    const char *name = in->text ? in->text : in->tokens;

    if (in->given) {
        rc_text_add(out, in->given, in->given_len);
        return out->failed ? rc_fail_nomem(err, out->mem, in->given_len) : RC_OK;
    }
    RC_TRY(rc_prompt_file(out, name, err));
    if (strlen(out->at) == out->len)
        return RC_OK;
    rc_fail(err, RC_E_USAGE, strlen(out->at), "a NUL byte: this is no text");
    rc_err_file(err, name);
    return RC_E_USAGE;
}

static rc_code read_ids(rc_ids *ids, const rc_text_input *in, const rc_bpe *bpe, uint32_t vocab,
                        rc_mem *mem, rc_err *err)
{
    rc_text text = { .mem = mem };
    rc_code rc = read_text(&text, in, err);

    ids->mem = mem;
    if (rc == RC_OK && in->tokens)
        rc = rc_prompt_ids(ids, text.at, "--tokens", vocab, err);
    else if (rc == RC_OK)
        rc = rc_bpe_encode(bpe, text.at, text.len, ids, err);
    rc_text_free(&text);
    return rc;
}

/* A vocabulary may be smaller than its tokenizer. */
static rc_code check_ids(const rc_ids *ids, uint32_t vocab, rc_err *err)
{
    for (size_t i = 0; i < ids->n; i++)
        if (ids->at[i] >= vocab)
            return rc_fail(err, RC_E_USAGE, RC_NO_OFFSET,
                           "token %u of the text is past the model's vocabulary of %u", ids->at[i],
                           vocab);
    return RC_OK;
}

static uint32_t default_ctx(size_t tokens, const rc_config *c)
{
    uint64_t ctx = RC_TEXT_CTX;

    if (c->max_position_embeddings && ctx > c->max_position_embeddings)
        ctx = c->max_position_embeddings;
    if (ctx > tokens)
        ctx = tokens;
    return ctx < 2 ? 2 : (uint32_t)ctx;
}

rc_code rc_text_input_read(rc_windows *out, rc_ids *ids, const rc_text_input *in, const rc_bpe *bpe,
                           const rc_config *config, rc_mem *mem, rc_err *err)
{
    const bool adds = !in->tokens && bpe && rc_tokenizer_add_bos(rc_bpe_tokenizer(bpe)) == 1;
    const uint32_t bos = in->bos || adds ? config->bos_token_id : RC_NO_TOKEN;
    uint32_t ctx, stride;
    rc_code rc;

    RC_TRY(read_ids(ids, in, bpe, config->vocab_size, mem, err));
    RC_TRY(check_ids(ids, config->vocab_size, err));
    ctx = in->ctx ? (uint32_t)in->ctx : default_ctx(ids->n + (bos != RC_NO_TOKEN), config);
    stride = in->stride ? (uint32_t)in->stride : ctx;
    rc = rc_windows_cut(out, ids->at, ids->n, ctx, stride, (uint32_t)in->skip, bos, mem, err);
    if (rc == RC_E_USAGE && (in->text || in->tokens))
        rc_err_file(err, in->text ? in->text : in->tokens);
    return rc;
}
