/* formats/golden_head.c - the header of an .rgf file: sizes in order, and JSON. */
#include <stdio.h>
#include <string.h>

#include "formats/base/json_tree.h"
#include "formats/config.h"
#include "formats/golden_impl.h"

enum {
    SKETCH_BYTES = 4 * RC_GOLDEN_DIMS,
    SKETCHES_A_TOKEN = 50,      /* bytes, of the 200 that a token of text may cost */
    SKETCHES_A_LAYER = 8 << 20, /* bytes: half a section */
    ROWS_A_SECTION = 4 << 20,   /* bytes of logits; one row may be more */
    MOST_STREAMS = 64,
};

/* --------------------------------------------------------------------- sizes */

uint64_t rc_golden_layer_bytes(const rc_golden_head *head)
{
    return head->windows * sizeof(rc_golden_sum) + rc_golden_sketched(head) * SKETCH_BYTES;
}

uint64_t rc_golden_logits_bytes(const rc_golden_head *head, uint64_t positions)
{
    /* an id and a log-probability of each candidate and draw, the tail, the token that came */
    const uint64_t few = ((uint64_t)head->top_k + head->draws) * 6 + 8;
    const uint64_t row = head->top_k ? few : (uint64_t)head->vocab * 4;

    return sizeof(rc_digest) + positions * row;
}

rc_code rc_golden_plan(rc_golden_head *head, rc_err *err)
{
    const uint64_t row = (uint64_t)head->vocab * 4;

    head->draws = head->top_k && head->top_k < head->vocab ? RC_GOLDEN_DRAWS : 0;
    head->run = RC_GOLDEN_RUN;
    if (head->top_k == 0 && row * RC_GOLDEN_RUN > ROWS_A_SECTION)
        head->run = row < ROWS_A_SECTION ? (uint32_t)(ROWS_A_SECTION / row) : 1;
    head->every = 1;
    while (rc_golden_sketched(head) > SKETCHES_A_LAYER / SKETCH_BYTES ||
           (rc_golden_sketched(head) > 1 && rc_golden_sketched(head) * head->layers * SKETCH_BYTES >
                                                head->text_tokens * SKETCHES_A_TOKEN))
        head->every *= 2;
    return rc_golden_head_check(head, err);
}

static rc_code check(uint64_t v, uint64_t least, uint64_t most, const char *key, rc_err *err)
{
    if (v >= least && v <= most)
        return RC_OK;
    rc_fail(err, RC_E_DATA, RC_NO_OFFSET, "the header of a golden file cannot say %s", key);
    rc_err_want(err, "%" PRIu64 " to %" PRIu64, least, most);
    rc_err_got(err, "%" PRIu64, v);
    return RC_E_DATA;
}

static rc_code limit(uint64_t v, uint64_t most, const char *what, rc_err *err)
{
    if (v <= most)
        return RC_OK;
    rc_fail(err, RC_E_LIMIT, RC_NO_OFFSET, "%s more than a golden file takes", what);
    rc_err_want(err, "at most %" PRIu64, most);
    rc_err_got(err, "%" PRIu64, v);
    return RC_E_LIMIT;
}

/* Every product of two of these fits 64 bits once this has said yes. */
rc_code rc_golden_head_check(const rc_golden_head *h, rc_err *err)
{
    RC_TRY(limit(h->text_tokens, RC_GOLDEN_MAX_TEXT, "the text has tokens,", err));
    RC_TRY(limit(h->window_tokens, RC_GOLDEN_MAX_TOKENS, "overlapping windows have tokens,", err));
    RC_TRY(check(h->vocab, 1, RC_CONFIG_MAX_DIM, "vocabulary", err));
    RC_TRY(check(h->layers, 1, RC_CONFIG_MAX_LAYERS, "layers", err));
    RC_TRY(check(h->streams, 1, MOST_STREAMS, "streams", err));
    RC_TRY(check(h->hidden, 1, RC_CONFIG_MAX_DIM, "hidden", err));
    RC_TRY(check(h->text_tokens, 1, RC_GOLDEN_MAX_TEXT, "text_tokens", err));
    RC_TRY(check(h->ctx, 2, UINT32_MAX, "ctx", err));
    RC_TRY(check(h->stride, 1, h->ctx, "stride", err));
    RC_TRY(check(h->skip, 0, h->ctx - 1, "skip", err));
    if (h->bos != RC_GOLDEN_NO_BOS)
        RC_TRY(check(h->bos, 0, h->vocab - 1, "bos", err));
    RC_TRY(check(h->windows, 1, h->text_tokens, "windows", err));
    RC_TRY(check(h->window_tokens, h->windows, h->windows * h->ctx, "window_tokens", err));
    RC_TRY(check(h->scored, 1, h->window_tokens, "scored", err));
    if (h->top_k)
        RC_TRY(check(h->top_k, h->vocab < RC_GOLDEN_LEAST_K ? h->vocab : RC_GOLDEN_LEAST_K,
                     h->vocab < RC_GOLDEN_MOST_K ? h->vocab : RC_GOLDEN_MOST_K, "top_k", err));
    RC_TRY(check(h->draws, 0, h->top_k && h->top_k < h->vocab ? RC_GOLDEN_MOST_DRAWS : 0,
                 "tail_draws", err));
    RC_TRY(check(h->run, 1, RC_GOLDEN_RUN, "run", err));
    RC_TRY(check(h->every, 1, RC_GOLDEN_MAX_TOKENS, "sketched_every", err));
    RC_TRY(limit(rc_golden_layer_bytes(h), RC_GOLDEN_MAX_SECTION, "a layer has bytes,", err));
    return limit(rc_golden_logits_bytes(h, h->run), RC_GOLDEN_MAX_SECTION,
                 "a section of logits has bytes,", err);
}

/* ---------------------------------------------------------------------- JSON */

/* The table of keys, in the file's order. */
typedef struct field {
    const char *key;
    size_t at, size; /* in rc_golden_head; size 4 or 8: a number, else text of so many bytes */
} field;

#define FIELD(key, member)                                                                         \
    {                                                                                              \
        key, offsetof(rc_golden_head, member), sizeof((rc_golden_head *)0)->member                 \
    }

static const field texts[] = {
    FIELD("recast", version),    FIELD("native", native),     FIELD("variant", variant),
    FIELD("revision", revision), FIELD("config", config),     FIELD("text", text),
    FIELD("tokens", tokens),     FIELD("numerics", numerics),
};

static const field numbers[] = {
    FIELD("vocabulary", vocab),        FIELD("layers", layers),
    FIELD("streams", streams),         FIELD("hidden", hidden),
    FIELD("text_tokens", text_tokens), FIELD("ctx", ctx),
    FIELD("stride", stride),           FIELD("skip", skip),
    FIELD("windows", windows),         FIELD("window_tokens", window_tokens),
    FIELD("scored", scored),           FIELD("top_k", top_k),
    FIELD("tail_draws", draws),        FIELD("run", run),
    FIELD("sketched_every", every),
};

enum { TEXTS = sizeof texts / sizeof *texts, NUMBERS = sizeof numbers / sizeof *numbers };

static uint64_t number_of(const rc_golden_head *head, const field *f)
{
    const char *p = (const char *)head + f->at;
    uint64_t wide;
    uint32_t narrow;

    if (f->size == sizeof narrow) {
        memcpy(&narrow, p, sizeof narrow);
        return narrow;
    }
    memcpy(&wide, p, sizeof wide);
    return wide;
}

rc_code rc_golden_head_text(const rc_golden_head *head, char **out, size_t *len, rc_mem *mem,
                            rc_err *err)
{
    rc_jsonw *w = rc_jsonw_new(mem, 2);
    rc_code rc;

    *out = NULL;
    if (!w)
        return rc_fail_nomem(err, mem, 0);
    rc_jsonw_object(w);
    for (size_t i = 0; i < TEXTS; i++) {
        const char *s = (const char *)head + texts[i].at;

        rc_jsonw_key(w, texts[i].key);
        if (*s)
            rc_jsonw_str(w, s);
        else
            rc_jsonw_null(w);
    }
    for (size_t i = 0; i < NUMBERS; i++)
        rc_jsonw_ku64(w, numbers[i].key, number_of(head, &numbers[i]));
    rc_jsonw_key(w, "bos");
    if (head->bos == RC_GOLDEN_NO_BOS)
        rc_jsonw_null(w);
    else
        rc_jsonw_u64(w, head->bos);
    rc_jsonw_object_end(w);
    rc = rc_jsonw_finish(w, out, len, mem, err);
    rc_jsonw_free(&w);
    return rc;
}

/* A whole number as a JSON node has it. */
static bool whole(const rc_json_node *n, uint64_t most, uint64_t *out)
{
    const rc_json_event ev = { .type = RC_JSON_NUMBER,
                               .text = n ? n->text : NULL,
                               .len = n ? n->len : 0 };

    return rc_json_is(n, RC_JSON_NUMBER) && rc_json_u64(&ev, out) && *out <= most;
}

static rc_code bad_key(const rc_json_node *n, const char *key, rc_err *err)
{
    return rc_fail(err, RC_E_DATA, n ? n->offset : RC_NO_OFFSET,
                   n ? "the header of a golden file: '%s' is not what it should be"
                     : "the header of a golden file has no '%s'",
                   key);
}

enum { DIGEST_TEXT = 33 }; /* bytes of its field, which no other field has */

static bool is_digest(const char *text, size_t len)
{
    return len == DIGEST_TEXT - 1 && strspn(text, "0123456789abcdef") == len;
}

static rc_code read_texts(rc_golden_head *out, const rc_json_node *root, rc_err *err)
{
    for (size_t i = 0; i < TEXTS; i++) {
        const rc_json_node *n = rc_json_member(root, texts[i].key);

        const bool digest = texts[i].size == DIGEST_TEXT;

        if (n && (n->type != RC_JSON_STRING || (digest && !is_digest(n->text, n->len))))
            return bad_key(n, texts[i].key, err);
        if (n && digest)
            memcpy((char *)out + texts[i].at, n->text, n->len);
        else if (n)
            rc_escape((char *)out + texts[i].at, texts[i].size, n->text, n->len);
    }
    return RC_OK;
}

static rc_code read_numbers(rc_golden_head *out, const rc_json_node *root, rc_err *err)
{
    const rc_json_node *bos = rc_json_member(root, "bos");
    uint64_t v;

    for (size_t i = 0; i < NUMBERS; i++) {
        const field *f = &numbers[i];
        const rc_json_node *n = rc_json_member(root, f->key);
        const uint64_t most = f->size == 4 ? UINT32_MAX : UINT64_MAX;
        uint32_t narrow;

        if (!whole(n, most, &v))
            return bad_key(n, f->key, err);
        narrow = (uint32_t)v;
        memcpy((char *)out + f->at, f->size == 4 ? (void *)&narrow : (void *)&v, f->size);
    }
    out->bos = RC_GOLDEN_NO_BOS;
    if (!bos)
        return RC_OK;
    if (!whole(bos, UINT32_MAX - 1, &v))
        return bad_key(bos, "bos", err);
    out->bos = (uint32_t)v;
    return RC_OK;
}

rc_code rc_golden_head_parse(rc_golden_head *out, const uint8_t *text, size_t len, rc_mem *mem,
                             rc_err *err)
{
    rc_arena arena = { .mem = mem };
    const rc_json_node *root;
    rc_code rc = rc_json_tree(&root, text, len, &arena, err);

    memset(out, 0, sizeof *out);
    if (rc == RC_OK && root->type != RC_JSON_OBJECT)
        rc = rc_fail(err, RC_E_DATA, 0, "the header of a golden file is not an object");
    if (rc == RC_OK)
        rc = read_texts(out, root, err);
    if (rc == RC_OK)
        rc = read_numbers(out, root, err);
    if (rc == RC_OK)
        rc = rc_golden_head_check(out, err);
    rc_arena_free(&arena);
    return rc;
}
