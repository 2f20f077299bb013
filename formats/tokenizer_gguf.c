/* formats/tokenizer_gguf.c - the keys of a GGUF file into the tables of a vocabulary. */
#include <string.h>

#include "formats/tokenizer.h"
#include "formats/tokenizer_impl.h"

#define KEY(name) "tokenizer.ggml." name

/* An array under a key, or NULL with the reason in *err. */
static const rc_gguf_kv *array(const rc_gguf *g, const char *key, rc_gguf_type elem, rc_err *err)
{
    const rc_gguf_kv *kv = rc_gguf_find(g, key);

    if (!kv)
        rc_fail(err, RC_E_DATA, RC_NO_OFFSET, "%s is missing", key);
    else if (kv->type != RC_GGUF_ARR || (elem == RC_GGUF_STR) != (kv->elem == RC_GGUF_STR))
        rc_fail(err, RC_E_DATA, RC_NO_OFFSET, "%s is not an array of %s", key,
                elem == RC_GGUF_STR ? "strings" : "numbers");
    else
        return kv;
    return NULL;
}

static rc_code refuse(rc_err *err, const char *key, const char *want, const char *got)
{
    char shown[80];

    rc_fail(err, RC_E_UNSUPPORTED, RC_NO_OFFSET, "%s is another", key);
    rc_err_want(err, "%s", want);
    rc_err_got(err, "%s", rc_escape(shown, sizeof shown, got, strlen(got)));
    return RC_E_UNSUPPORTED;
}

/* Both names mean the expressions of pre_tokenizer.h to llama.cpp. */
static rc_code check_kind(rc_tokenizer *t, const rc_gguf *g, rc_err *err)
{
    char text[64];

    if (!rc_gguf_get_str(g, KEY("model"), text, sizeof text))
        return rc_fail(err, RC_E_NOINPUT, RC_NO_OFFSET, "the file carries no tokenizer");
    if (strcmp(text, "gpt2") != 0)
        return refuse(err, KEY("model"), "gpt2 (byte-level BPE)", text);
    if (!rc_gguf_get_str(g, KEY("pre"), text, sizeof text))
        strcpy(text, "nothing");
    if (strcmp(text, "joyai-llm") != 0 && strcmp(text, "deepseek-v3") != 0)
        return refuse(err, KEY("pre"), "joyai-llm or deepseek-v3", text);
    t->pre = "joyai-llm";
    return RC_OK;
}

static rc_code enter_token(rc_tokenizer *t, rc_names *names, uint32_t id, const char *text,
                           size_t len, uint64_t type, rc_err *err)
{
    rc_token *k = &t->tokens[id];
    char shown[96];
    size_t known;

    if (type < RC_TOKEN_NORMAL || type > RC_TOKEN_UNUSED)
        return rc_fail(err, RC_E_DATA, RC_NO_OFFSET,
                       KEY("token_type") ": %" PRIu64 " of token %" PRIu32
                                         " is none of byte-level BPE",
                       type, id);
    rc_escape(shown, sizeof shown, text, len);
    if (memchr(text, '\0', len))
        return rc_fail(err, RC_E_DATA, RC_NO_OFFSET,
                       KEY("tokens") ": NUL in token %" PRIu32 ", \"%s\"", id, shown);
    RC_TRY(rc_tokenizer_keep(t, text, len, KEY("tokens"), RC_NO_OFFSET, &k->text, err));
    k->len = (uint32_t)len;
    k->type = (rc_token_type)type;
    if (type == RC_TOKEN_UNUSED)
        return RC_OK;
    known = rc_names_find(names, text, len);
    if (known != RC_NAMES_NONE)
        return rc_fail(err, RC_E_DATA, RC_NO_OFFSET,
                       KEY("tokens") ": token \"%s\" has two ids, "
                                     "%zu and %" PRIu32,
                       shown, known, id);
    if (!rc_names_add(names, id))
        return rc_fail_nomem(err, t->mem, 8 * names->count);
    k->in_vocab = true;
    k->added = k->early = type != RC_TOKEN_NORMAL;
    k->content = k->added ? k->text : NULL;
    k->content_len = k->added ? k->len : 0;
    return RC_OK;
}

static rc_code read_tokens(rc_tokenizer *t, rc_names *names, const rc_gguf *g, rc_err *err)
{
    const rc_gguf_kv *tokens = array(g, KEY("tokens"), RC_GGUF_STR, err);
    const rc_gguf_kv *types = tokens ? array(g, KEY("token_type"), RC_GGUF_I32, err) : NULL;
    const uint8_t *at;
    const char *text;
    uint64_t i = 0, type;
    size_t len;

    if (!types)
        return RC_E_DATA;
    if (tokens->count > t->count) {
        rc_fail(err, RC_E_TENSORSET, RC_NO_OFFSET, KEY("tokens") ": more than the model has");
        rc_err_want(err, "at most %" PRIu32, t->count);
        rc_err_got(err, "%" PRIu64, tokens->count);
        return RC_E_TENSORSET;
    }
    if (types->count != tokens->count) {
        rc_fail(err, RC_E_DATA, RC_NO_OFFSET, KEY("token_type") ": not one for each token");
        rc_err_want(err, "%" PRIu64, tokens->count);
        rc_err_got(err, "%" PRIu64, types->count);
        return RC_E_DATA;
    }
    at = tokens->data;
    for (uint32_t id = 0; rc_gguf_arr_str(tokens, &at, &i, &text, &len); id++) {
        if (!rc_gguf_arr_u64(types, id, &type))
            type = 0;
        RC_TRY(enter_token(t, names, id, text, len, type, err));
    }
    t->count = (uint32_t)tokens->count;
    return RC_OK;
}

static rc_code read_merges(rc_tokenizer *t, const rc_gguf *g, rc_err *err)
{
    const rc_gguf_kv *merges;
    const uint8_t *at;
    const char *text;
    uint64_t i = 0;
    size_t len;

    if (!rc_gguf_find(g, KEY("merges")))
        return RC_OK; /* an empty array is refused by some readers, so writers leave it out */
    merges = array(g, KEY("merges"), RC_GGUF_STR, err);
    if (!merges)
        return RC_E_DATA;
    at = merges->data;
    while (rc_gguf_arr_str(merges, &at, &i, &text, &len)) {
        if (len > 2 * RC_TOKENIZER_MAX_TOKEN + 1)
            return rc_fail(err, RC_E_DATA, RC_NO_OFFSET, KEY("merges") ": a merge is too long");
        RC_TRY(rc_tokenizer_add_merge(t, text, len, RC_NO_OFFSET, err));
    }
    return RC_OK;
}

static void read_special(rc_tokenizer *t, const rc_gguf *g)
{
    static const char *const ids[RC_SPECIALS] = { KEY("bos_token_id"), KEY("eos_token_id"),
                                                  KEY("padding_token_id") };
    bool adds;

    for (unsigned i = 0; i < RC_SPECIALS; i++) {
        uint64_t id;

        t->has[i] = rc_gguf_get_u64(g, ids[i], &id) && id < t->count;
        if (t->has[i])
            t->id[i] = (uint32_t)id;
    }
    if (rc_gguf_get_bool(g, KEY("add_bos_token"), &adds))
        t->add_bos = adds;
    if (rc_gguf_get_bool(g, KEY("add_eos_token"), &adds))
        t->add_eos = adds;
}

static rc_code build(rc_tokenizer *t, rc_names *names, const rc_gguf *g, const rc_log *log,
                     rc_err *err)
{
    RC_TRY(check_kind(t, g, err));
    RC_TRY(read_tokens(t, names, g, err));
    RC_TRY(read_merges(t, g, err));
    RC_TRY(rc_tokenizer_check_spelling(t, NULL, log, err));
    RC_TRY(rc_tokenizer_check_merges(t, names, KEY("merges"), err));
    read_special(t, g);
    return RC_OK;
}

rc_code rc_tokenizer_from_gguf(rc_tokenizer **out, const rc_gguf *g, uint32_t vocab_size,
                               const rc_log *log, rc_mem *mem, rc_err *err)
{
    rc_tokenizer *t = rc_tokenizer_make(vocab_size, mem);
    rc_names names;
    rc_code rc;

    *out = NULL;
    if (!t)
        return rc_fail_nomem(err, mem, sizeof *t + vocab_size * sizeof *t->tokens);
    rc_names_init(&names, mem, rc_tokenizer_name, t);
    rc = build(t, &names, g, log, err);
    rc_names_free(&names);
    if (rc == RC_OK)
        *out = t;
    else
        rc_tokenizer_free(&t);
    return rc;
}
