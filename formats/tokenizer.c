/* formats/tokenizer.c - the tables, whatever file they came from: what must hold of them, and
 * answers. */
#include "formats/tokenizer.h"

#include <string.h>

#include "formats/byte_level.h"
#include "formats/tokenizer_impl.h"

rc_tokenizer *rc_tokenizer_make(uint32_t count, rc_mem *mem)
{
    rc_tokenizer *t = rc_mem_get(mem, sizeof *t);

    if (!t)
        return NULL;
    t->mem = t->text.mem = mem;
    t->count = count;
    t->add_bos = t->add_eos = -1;
    t->tokens = rc_mem_get(mem, count * sizeof *t->tokens);
    if (!t->tokens)
        rc_tokenizer_free(&t);
    return t;
}

void rc_tokenizer_free(rc_tokenizer **tp)
{
    rc_tokenizer *t = *tp;

    *tp = NULL;
    if (!t)
        return;
    rc_arena_free(&t->text);
    rc_mem_put(t->mem, t->tokens);
    rc_mem_put(t->mem, t->merges);
    rc_mem_put(t->mem, t);
}

const char *rc_tokenizer_name(const void *tokenizer, size_t i)
{
    return ((const rc_tokenizer *)tokenizer)->tokens[i].text;
}

/* -------------------------------------------------------------------- tokens */

rc_code rc_tokenizer_keep(rc_tokenizer *t, const char *text, size_t len, const char *where,
                          uint64_t offset, const char **kept, rc_err *err)
{
    if (len == 0)
        return rc_fail(err, RC_E_DATA, offset, "%s: a token is empty", where);
    if (len > RC_TOKENIZER_MAX_TOKEN) {
        rc_fail(err, RC_E_DATA, offset, "%s: a token is too long", where);
        rc_err_want(err, "at most %u bytes", RC_TOKENIZER_MAX_TOKEN);
        rc_err_got(err, "%zu", len);
        return RC_E_DATA;
    }
    *kept = rc_arena_strdup(&t->text, text, len);
    return *kept ? RC_OK : rc_fail_nomem(err, t->mem, len + 1);
}

rc_code rc_tokenizer_check_spelling(const rc_tokenizer *t, const char *file, const rc_log *log,
                                    rc_err *err)
{
    bool has[256] = { false };
    unsigned missing = 256;

    for (uint32_t id = 0; id < t->count; id++) {
        const rc_token *k = &t->tokens[id];
        size_t at = 0, n = 0;
        uint8_t byte = 0;

        if (!k->in_vocab || k->added)
            continue;
        while (at < k->len && rc_byte_level_read(k->text, k->len, &at, &byte))
            n++;
        if (at < k->len) {
            char shown[96];

            return rc_fail(err, RC_E_UNSUPPORTED, RC_NO_OFFSET,
                           "token %" PRIu32 " is not spelled in byte-level characters: \"%s\"", id,
                           rc_escape(shown, sizeof shown, k->text, k->len));
        }
        if (n == 1 && !has[byte]) {
            has[byte] = true;
            missing--;
        }
    }
    if (missing)
        rc_warn(log, file, NULL, RC_NO_OFFSET,
                "%u of the 256 bytes have no token: text with them cannot be tokenized", missing);
    return RC_OK;
}

/* -------------------------------------------------------------------- merges */

rc_code rc_tokenizer_add_merge(rc_tokenizer *t, const char *text, size_t len, uint64_t offset,
                               rc_err *err)
{
    if (t->nmerges == t->merge_cap) {
        const size_t cap = t->merge_cap ? 2 * t->merge_cap : 256;
        rc_merge *grown = rc_mem_grow(t->mem, t->merges, cap * sizeof *grown);

        if (!grown)
            return rc_fail_nomem(err, t->mem, cap * sizeof *grown);
        t->merges = grown;
        t->merge_cap = cap;
    }
    text = rc_arena_strdup(&t->text, text, len);
    if (!text)
        return rc_fail_nomem(err, t->mem, len + 1);
    t->merges[t->nmerges++] = (rc_merge){ .text = text, .len = (uint32_t)len, .offset = offset };
    return RC_OK;
}

static bool find_in_vocab(const rc_tokenizer *t, const rc_names *names, const char *text,
                          size_t len, uint32_t *id)
{
    const size_t i = rc_names_find(names, text, len);

    *id = (uint32_t)i;
    return i != RC_NAMES_NONE && t->tokens[i].in_vocab;
}

static rc_code check_merge(const rc_tokenizer *t, const rc_names *names, rc_merge *m,
                           const char *where, rc_err *err)
{
    char whole[2 * RC_TOKENIZER_MAX_TOKEN + 2], shown[96];
    const char *space = memchr(m->text, ' ', m->len);
    const size_t left = space ? (size_t)(space - m->text) : 0, right = m->len - left - 1;

    if (left == 0 || right == 0 || memchr(space + 1, ' ', right))
        return rc_fail(err, RC_E_DATA, m->offset, "%s: \"%s\" is not \"A B\"", where,
                       rc_escape(shown, sizeof shown, m->text, m->len));
    memcpy(whole, m->text, left);
    memcpy(whole + left, space + 1, right);
    if (!find_in_vocab(t, names, m->text, left, &m->left) ||
        !find_in_vocab(t, names, space + 1, right, &m->right) ||
        !find_in_vocab(t, names, whole, left + right, &m->made))
        return rc_fail(err, RC_E_DATA, m->offset,
                       "%s: \"%s\" names or makes a token that is not in the vocabulary", where,
                       rc_escape(shown, sizeof shown, m->text, m->len));
    return RC_OK;
}

rc_code rc_tokenizer_check_merges(rc_tokenizer *t, const rc_names *names, const char *where,
                                  rc_err *err)
{
    for (size_t i = 0; i < t->nmerges; i++)
        RC_TRY(check_merge(t, names, &t->merges[i], where, err));
    return RC_OK;
}

/* ------------------------------------------------------------------- answers */

uint32_t rc_tokenizer_count(const rc_tokenizer *t)
{
    return t->count;
}

const char *rc_tokenizer_token(const rc_tokenizer *t, uint32_t id, size_t *len, rc_token_type *type)
{
    *len = t->tokens[id].len;
    *type = t->tokens[id].type;
    return t->tokens[id].text;
}

size_t rc_tokenizer_merges(const rc_tokenizer *t)
{
    return t->nmerges;
}

const char *rc_tokenizer_merge(const rc_tokenizer *t, size_t i, size_t *len)
{
    *len = t->merges[i].len;
    return t->merges[i].text;
}

void rc_tokenizer_merge_ids(const rc_tokenizer *t, size_t i, rc_merge_ids *ids)
{
    const rc_merge *m = &t->merges[i];

    *ids = (rc_merge_ids){ m->left, m->right, m->made };
}

bool rc_tokenizer_in_vocab(const rc_tokenizer *t, uint32_t id)
{
    return t->tokens[id].in_vocab;
}

const char *rc_tokenizer_added(const rc_tokenizer *t, uint32_t id, size_t *len, bool *early)
{
    const rc_token *k = &t->tokens[id];

    if (!k->added)
        return NULL;
    *len = k->content_len;
    *early = k->early;
    return k->content;
}

static bool special(const rc_tokenizer *t, unsigned which, uint32_t *id)
{
    if (t->has[which])
        *id = t->id[which];
    return t->has[which];
}

bool rc_tokenizer_bos(const rc_tokenizer *t, uint32_t *id)
{
    return special(t, RC_SPECIAL_BOS, id);
}

bool rc_tokenizer_eos(const rc_tokenizer *t, uint32_t *id)
{
    return special(t, RC_SPECIAL_EOS, id);
}

bool rc_tokenizer_pad(const rc_tokenizer *t, uint32_t *id)
{
    return special(t, RC_SPECIAL_PAD, id);
}

int rc_tokenizer_add_bos(const rc_tokenizer *t)
{
    return t->add_bos;
}

int rc_tokenizer_add_eos(const rc_tokenizer *t)
{
    return t->add_eos;
}

const char *rc_tokenizer_pre(const rc_tokenizer *t)
{
    return t->pre;
}

rc_digest rc_tokenizer_pre_digest(const rc_tokenizer *t)
{
    return t->pre_digest;
}

const char *rc_tokenizer_extras(const rc_tokenizer *t)
{
    return t->extras;
}

const char *rc_tokenizer_template(const rc_tokenizer *t)
{
    return t->chat_template;
}
