/* formats/tokenizer_json.c - two JSON files into the tables of a vocabulary. */
#include "formats/tokenizer.h"

#include <stdio.h>
#include <string.h>

#include "formats/base/json.h"
#include "formats/pre_tokenizer.h"
#include "formats/tokenizer_impl.h"

#define TOKENIZER "tokenizer.json"
#define CONFIG    "tokenizer_config.json"

typedef enum section { OTHER, ADDED, NORMALIZER, PRE, POST, MODEL } section;

typedef struct builder {
    rc_tokenizer *t;
    const rc_log *log;
    rc_names names;                     /* tokens by text */
    section section;                    /* under which root key */
    enum { FIELD, VOCAB, MERGES } part; /* of the model */
    char key[32];                       /* the last key, cut */
    bool is_bpe, has_vocab, adds_nothing;
    bool grows;       /* vocab_size is not known */
    uint32_t room;    /* then: of the table of tokens */
    const char *text; /* of the token whose id comes next */
    size_t text_len;
    struct {
        bool has_id, special, trims;
        int normalized; /* -1: not said */
        uint64_t id;
    } item; /* of added_tokens */
    struct {
        char text[2 * RC_TOKENIZER_MAX_TOKEN + 2];
        size_t len;
        unsigned n;
    } pair; /* a merge given as a list */
    rc_pre_tokenizer pre;
} builder;

static bool is(const rc_json_event *ev, const char *s)
{
    return ev->len == strlen(s) && memcmp(ev->text, s, ev->len) == 0;
}

static bool is_text(const char *text, size_t len, const char *s)
{
    return len == strlen(s) && memcmp(text, s, len) == 0;
}

static bool is_end(const rc_json_event *ev)
{
    return ev->type == RC_JSON_OBJECT_END || ev->type == RC_JSON_ARRAY_END;
}

static bool key_is(const builder *b, const char *key)
{
    return strcmp(b->key, key) == 0;
}

static void remember_key(builder *b, const rc_json_event *ev)
{
    const size_t n = ev->len < sizeof b->key ? ev->len : sizeof b->key - 1;

    memcpy(b->key, ev->text, n);
    b->key[n] = '\0';
}

/* -------------------------------------------------------------------- tokens */

static rc_code keep_text(builder *b, const rc_json_event *ev, const char *where, rc_err *err)
{
    b->text_len = ev->len;
    return rc_tokenizer_keep(b->t, ev->text, ev->len, where, ev->offset, &b->text, err);
}

/* Of a vocabulary whose size nobody has told: as many ids as it names. */
static rc_code grow_to(builder *b, uint32_t id, rc_err *err)
{
    rc_tokenizer *t = b->t;

    if (id >= b->room) {
        const uint32_t room = id < RC_TOKENIZER_MAX_IDS / 2 ? 2 * id + 256 : RC_TOKENIZER_MAX_IDS;
        rc_token *grown = rc_mem_grow(t->mem, t->tokens, room * sizeof *grown);

        if (!grown)
            return rc_fail_nomem(err, t->mem, room * sizeof *grown);
        memset(grown + b->room, 0, (room - b->room) * sizeof *grown);
        t->tokens = grown;
        b->room = room;
    }
    t->count = id + 1;
    return RC_OK;
}

static rc_code check_id(builder *b, uint64_t id, uint64_t offset, rc_err *err)
{
    char shown[96];

    if (id < b->t->count)
        return RC_OK;
    if (b->grows && id < RC_TOKENIZER_MAX_IDS)
        return grow_to(b, (uint32_t)id, err);
    rc_escape(shown, sizeof shown, b->text, b->text_len);
    if (id > INT32_MAX || b->grows)
        return rc_fail(err, RC_E_DATA, offset, "id %" PRIu64 " of token \"%s\" cannot be", id,
                       shown);
    rc_fail(err, RC_E_TENSORSET, offset, "the model has no id %" PRIu64 " for token \"%s\"", id,
            shown);
    rc_err_want(err, "ids below vocab_size, %" PRIu32, b->t->count);
    rc_err_got(err, "%" PRIu64, id);
    return RC_E_TENSORSET;
}

/* Give b->text its id. A token may stand in added_tokens and in the model's vocabulary,
 * if both agree. */
static rc_code enter_token(builder *b, uint64_t id, bool added, uint64_t offset, rc_err *err)
{
    char shown[96], other[96];
    rc_token *k;
    size_t known;

    RC_TRY(check_id(b, id, offset, err));
    k = &b->t->tokens[id];
    known = rc_names_find(&b->names, b->text, b->text_len);
    rc_escape(shown, sizeof shown, b->text, b->text_len);
    if (known != RC_NAMES_NONE && known != id)
        return rc_fail(err, RC_E_DATA, offset, "token \"%s\" has two ids, %zu and %" PRIu64, shown,
                       known, id);
    if (k->text && (known != id || (added ? k->added : k->in_vocab)))
        return rc_fail(err, RC_E_DATA, offset, "id %" PRIu64 " twice: \"%s\" and \"%s\"", id,
                       rc_escape(other, sizeof other, k->text, k->len), shown);
    if (!k->text) {
        k->text = b->text;
        k->len = (uint32_t)b->text_len;
        if (!rc_names_add(&b->names, id))
            return rc_fail_nomem(err, b->t->mem, 8 * b->names.count);
    }
    *(added ? &k->added : &k->in_vocab) = true;
    return RC_OK;
}

static rc_code on_vocab(builder *b, const rc_json_event *ev, rc_err *err)
{
    uint64_t id;

    if (ev->type == RC_JSON_KEY)
        return keep_text(b, ev, "model.vocab", err);
    if (ev->type != RC_JSON_NUMBER || !rc_json_u64(ev, &id)) {
        char shown[96];

        return rc_fail(err, RC_E_DATA, ev->offset, "the id of token \"%s\" is not a whole number",
                       rc_escape(shown, sizeof shown, b->text, b->text_len));
    }
    return enter_token(b, id, false, ev->offset, err);
}

static rc_code close_item(builder *b, const rc_json_event *ev, rc_err *err)
{
    rc_token *k;

    if (!b->text || !b->item.has_id)
        return rc_fail(err, RC_E_DATA, ev->offset, "added_tokens: %s is missing",
                       b->text ? "id" : "content");
    RC_TRY(enter_token(b, b->item.id, true, ev->offset, err));
    k = &b->t->tokens[b->item.id];
    k->content = b->text;
    k->content_len = (uint32_t)b->text_len;
    k->special = b->item.special;
    k->early = b->item.normalized < 0 ? k->special : !b->item.normalized;
    k->trims = b->item.trims;
    return RC_OK;
}

static rc_code on_added(builder *b, const rc_json_event *ev, rc_err *err)
{
    if (ev->depth == 2 && ev->type == RC_JSON_OBJECT) {
        b->text = NULL;
        memset(&b->item, 0, sizeof b->item);
        b->item.normalized = -1;
        return RC_OK;
    }
    if (ev->depth == 2)
        return ev->type == RC_JSON_OBJECT_END
                   ? close_item(b, ev, err)
                   : rc_fail(err, RC_E_DATA, ev->offset, "added_tokens: not an object");
    if (ev->depth != 3)
        return RC_OK;
    if (ev->type == RC_JSON_KEY) {
        remember_key(b, ev);
    } else if (key_is(b, "content")) {
        if (ev->type != RC_JSON_STRING)
            return rc_fail(err, RC_E_DATA, ev->offset, "added_tokens: content is not a string");
        return keep_text(b, ev, "added_tokens", err);
    } else if (key_is(b, "id")) {
        b->item.has_id = ev->type == RC_JSON_NUMBER && rc_json_u64(ev, &b->item.id);
        if (!b->item.has_id)
            return rc_fail(err, RC_E_DATA, ev->offset, "added_tokens: id is not a whole number");
    } else if (key_is(b, "special")) {
        if (ev->type != RC_JSON_TRUE && ev->type != RC_JSON_FALSE)
            return rc_fail(err, RC_E_DATA, ev->offset,
                           "added_tokens: special is not true or false");
        b->item.special = ev->type == RC_JSON_TRUE;
    } else if (key_is(b, "normalized")) {
        b->item.normalized = ev->type == RC_JSON_TRUE;
    } else if (key_is(b, "lstrip") || key_is(b, "rstrip") || key_is(b, "single_word")) {
        b->item.trims = b->item.trims || ev->type == RC_JSON_TRUE;
    }
    return RC_OK;
}

/* -------------------------------------------------------------------- merges */

static rc_code bad_merge(const rc_json_event *ev, rc_err *err)
{
    return rc_fail(err, RC_E_DATA, ev->offset, "model.merges: neither \"A B\" nor [\"A\", \"B\"]");
}

/* A piece of a list: a space inside would make "A B" ambiguous, and byte-level has none. */
static rc_code add_piece(builder *b, const rc_json_event *ev, rc_err *err)
{
    if (ev->type != RC_JSON_STRING || b->pair.n == 2 || memchr(ev->text, ' ', ev->len) ||
        ev->len > RC_TOKENIZER_MAX_TOKEN)
        return bad_merge(ev, err);
    if (b->pair.n++)
        b->pair.text[b->pair.len++] = ' ';
    memcpy(b->pair.text + b->pair.len, ev->text, ev->len);
    b->pair.len += ev->len;
    return RC_OK;
}

static rc_code on_merge(builder *b, const rc_json_event *ev, rc_err *err)
{
    if (ev->depth == 4)
        return add_piece(b, ev, err);
    if (ev->type == RC_JSON_STRING && ev->len <= sizeof b->pair.text)
        return rc_tokenizer_add_merge(b->t, ev->text, ev->len, ev->offset, err);
    if (ev->type == RC_JSON_ARRAY) {
        b->pair.n = 0;
        b->pair.len = 0;
        return RC_OK;
    }
    if (ev->type == RC_JSON_ARRAY_END && b->pair.n == 2)
        return rc_tokenizer_add_merge(b->t, b->pair.text, b->pair.len, ev->offset, err);
    return bad_merge(ev, err);
}

/* --------------------------------------------------------------------- model */

static rc_code unsupported(rc_err *err, const rc_json_event *ev, const char *what)
{
    char shown[64];

    rc_fail(err, RC_E_UNSUPPORTED, ev->offset, "the tokenizer is not plain byte-level BPE: %s",
            what);
    if (ev->type == RC_JSON_STRING)
        rc_err_got(err, "\"%s\"", rc_escape(shown, sizeof shown, ev->text, ev->len));
    return RC_E_UNSUPPORTED;
}

static rc_code on_model_field(builder *b, const rc_json_event *ev, rc_err *err)
{
    if (ev->type == RC_JSON_KEY) {
        remember_key(b, ev);
        b->part = is(ev, "vocab") ? VOCAB : is(ev, "merges") ? MERGES : FIELD;
        b->has_vocab = b->has_vocab || b->part == VOCAB;
        return RC_OK;
    }
    if (b->part == VOCAB && ev->type != RC_JSON_OBJECT && ev->type != RC_JSON_OBJECT_END)
        return rc_fail(err, RC_E_DATA, ev->offset, "model.vocab is not an object");
    if (b->part == MERGES && ev->type != RC_JSON_ARRAY && ev->type != RC_JSON_ARRAY_END)
        return rc_fail(err, RC_E_DATA, ev->offset, "model.merges is not a list");
    if (key_is(b, "type")) {
        b->is_bpe = ev->type == RC_JSON_STRING && is(ev, "BPE");
        return b->is_bpe ? RC_OK : unsupported(err, ev, "model.type is another");
    }
    /* What llama.cpp's tokenizer would not do. */
    if (ev->type == RC_JSON_TRUE && (key_is(b, "byte_fallback") || key_is(b, "ignore_merges")))
        return unsupported(err, ev, b->key);
    if (ev->type == RC_JSON_NUMBER && key_is(b, "dropout"))
        b->t->extras = "dropout";
    if (ev->type == RC_JSON_STRING && ev->len &&
        (key_is(b, "continuing_subword_prefix") || key_is(b, "end_of_word_suffix")))
        return unsupported(err, ev, b->key);
    return RC_OK;
}

static rc_code on_model(builder *b, const rc_json_event *ev, rc_err *err)
{
    if (ev->depth == 2)
        return on_model_field(b, ev, err);
    if (b->part == VOCAB)
        return on_vocab(b, ev, err);
    return b->part == MERGES ? on_merge(b, ev, err) : RC_OK;
}

/* ---------------------------------------------------------- other processors */

/* Normalizer and post-processor, as far as a GGUF file can say them: not at all. */
static void on_processor(builder *b, const rc_json_event *ev)
{
    char shown[48];

    if (ev->type == RC_JSON_KEY)
        remember_key(b, ev);
    if (ev->type != RC_JSON_STRING || !key_is(b, "type"))
        return;
    if (b->section == POST)
        b->adds_nothing = b->adds_nothing || is(ev, "ByteLevel");
    else if (!is(ev, "Sequence")) {
        b->t->extras = "a normalizer";
        rc_warn(b->log, TOKENIZER, NULL, ev->offset,
                "the normalizer %s has no place in GGUF and is left out",
                rc_escape(shown, sizeof shown, ev->text, ev->len));
    }
}

/* ------------------------------------------------------------- tokenizer.json */

static rc_code open_section(builder *b, const rc_json_event *ev, rc_err *err)
{
    static const struct {
        const char *name;
        section section;
        rc_json_type opens;
    } sections[] = {
        { "added_tokens", ADDED, RC_JSON_ARRAY }, { "normalizer", NORMALIZER, RC_JSON_OBJECT },
        { "pre_tokenizer", PRE, RC_JSON_OBJECT }, { "post_processor", POST, RC_JSON_OBJECT },
        { "model", MODEL, RC_JSON_OBJECT },
    };

    if (ev->type == RC_JSON_KEY) {
        b->section = OTHER;
        b->key[0] = '\0';
    }
    for (size_t i = 0; i < sizeof sections / sizeof *sections; i++) {
        if (ev->type == RC_JSON_KEY && is(ev, sections[i].name))
            b->section = sections[i].section;
        else if (ev->type != RC_JSON_KEY && b->section == sections[i].section && !is_end(ev) &&
                 ev->type != sections[i].opens && ev->type != RC_JSON_NULL)
            return rc_fail(err, RC_E_DATA, ev->offset, "%s is not %s", sections[i].name,
                           sections[i].opens == RC_JSON_ARRAY ? "a list" : "an object");
    }
    return RC_OK;
}

static rc_code on_event(void *ctx, const rc_json_event *ev, rc_err *err)
{
    builder *b = ctx;

    if (ev->depth == 0)
        return ev->type == RC_JSON_OBJECT || ev->type == RC_JSON_OBJECT_END
                   ? RC_OK
                   : rc_fail(err, RC_E_DATA, ev->offset, "not a JSON object");
    if (ev->depth == 1)
        return open_section(b, ev, err);
    switch (b->section) {
    case ADDED:
        return on_added(b, ev, err);
    case MODEL:
        return on_model(b, ev, err);
    case PRE:
        rc_pre_event(&b->pre, ev);
        return RC_OK;
    case NORMALIZER:
    case POST:
        on_processor(b, ev);
        return RC_OK;
    default:
        return RC_OK;
    }
}

/* ------------------------------------------------------ tokenizer_config.json */

typedef struct settings {
    builder *b;
    enum { NOTHING, A_TOKEN, ADD_BOS, ADD_EOS, TEMPLATE } what; /* the root key */
    unsigned which;                                             /* BOS, EOS or PAD */
    bool is_content;                                            /* the key inside a token */
} settings;

static const char *const token_keys[RC_SPECIALS] = { "bos_token", "eos_token", "pad_token" };

static void choose_setting(settings *s, const rc_json_event *ev)
{
    s->what = is(ev, "add_bos_token")   ? ADD_BOS
              : is(ev, "add_eos_token") ? ADD_EOS
              : is(ev, "chat_template") ? TEMPLATE
                                        : NOTHING;
    for (unsigned i = 0; i < RC_SPECIALS; i++)
        if (is(ev, token_keys[i])) {
            s->what = A_TOKEN;
            s->which = i;
        }
}

static void set_special(const settings *s, const rc_json_event *ev)
{
    rc_tokenizer *t = s->b->t;
    const size_t i = rc_names_find(&s->b->names, ev->text, ev->len);
    char shown[96];

    t->has[s->which] = i != RC_NAMES_NONE && t->tokens[i].added;
    if (t->has[s->which])
        t->id[s->which] = (uint32_t)i;
    else
        rc_warn(s->b->log, CONFIG, NULL, ev->offset, "%s is not an added token: \"%s\"",
                token_keys[s->which], rc_escape(shown, sizeof shown, ev->text, ev->len));
}

static rc_code set_template(const settings *s, const rc_json_event *ev, rc_err *err)
{
    rc_tokenizer *t = s->b->t;

    if (ev->type == RC_JSON_ARRAY || ev->type == RC_JSON_OBJECT)
        rc_warn(s->b->log, CONFIG, NULL, ev->offset, "chat_template is no string and is left out");
    if (ev->type != RC_JSON_STRING)
        return RC_OK;
    if (ev->len > RC_TOKENIZER_MAX_TEMPLATE) {
        rc_fail(err, RC_E_LIMIT, ev->offset, "chat_template is too long");
        rc_err_want(err, "at most %u bytes", RC_TOKENIZER_MAX_TEMPLATE);
        rc_err_got(err, "%zu", ev->len);
        return RC_E_LIMIT;
    }
    t->chat_template = rc_arena_strdup(&t->text, ev->text, ev->len);
    return t->chat_template ? RC_OK : rc_fail_nomem(err, t->mem, ev->len + 1);
}

static rc_code on_setting(void *ctx, const rc_json_event *ev, rc_err *err)
{
    settings *s = ctx;
    rc_tokenizer *t = s->b->t;

    if (ev->depth == 0 && ev->type != RC_JSON_OBJECT && ev->type != RC_JSON_OBJECT_END)
        return rc_fail(err, RC_E_DATA, ev->offset, "not a JSON object");
    if (ev->depth == 1 && ev->type == RC_JSON_KEY) {
        choose_setting(s, ev);
        return RC_OK;
    }
    if (ev->depth == 2 && ev->type == RC_JSON_KEY)
        s->is_content = is(ev, "content");
    if (s->what == A_TOKEN && ev->type == RC_JSON_STRING &&
        (ev->depth == 1 || (ev->depth == 2 && s->is_content)))
        set_special(s, ev);
    if (ev->depth != 1)
        return RC_OK;
    if (s->what == TEMPLATE)
        return set_template(s, ev, err);
    if ((s->what == ADD_BOS || s->what == ADD_EOS) &&
        (ev->type == RC_JSON_TRUE || ev->type == RC_JSON_FALSE))
        *(s->what == ADD_BOS ? &t->add_bos : &t->add_eos) = ev->type == RC_JSON_TRUE;
    return RC_OK;
}

/* What the library really adds is up to the post-processor. */
static void settle_additions(builder *b)
{
    int *add[] = { &b->t->add_bos, &b->t->add_eos };

    for (size_t i = 0; b->adds_nothing && i < 2; i++) {
        if (*add[i] == 1)
            rc_warn(b->log, CONFIG, NULL, RC_NO_OFFSET,
                    "add_%s is true, but the post-processor adds nothing: taken as false",
                    token_keys[i]);
        *add[i] = 0;
    }
}

/* -------------------------------------------------------------------- finish */

static rc_code check_kind(const builder *b, rc_err *err)
{
    if (!b->has_vocab)
        return rc_fail(err, RC_E_DATA, 0, "model.vocab is missing");
    if (!b->is_bpe)
        return rc_fail(err, RC_E_UNSUPPORTED, RC_NO_OFFSET, "model.type is missing, BPE is wanted");
    if (!b->pre.byte_level) {
        rc_fail(err, RC_E_UNSUPPORTED, RC_NO_OFFSET, "the pre-tokenizer is not byte-level");
        rc_err_got(err, "%s", b->pre.kind[0] ? b->pre.kind : "none");
        return RC_E_UNSUPPORTED;
    }
    return RC_OK;
}

static bool starts(const rc_token *k, const char *s)
{
    return k->len >= strlen(s) && memcmp(k->text, s, strlen(s)) == 0;
}

static bool ends(const rc_token *k, const char *s)
{
    return k->len >= strlen(s) && memcmp(k->text + k->len - strlen(s), s, strlen(s)) == 0;
}

/* llama.cpp's converter takes these for control tokens even if they are not marked so. */
static bool looks_special(const rc_token *k)
{
    static const char *const known[] = { "<pad>", "<mask>", "<2mass>", "[@BOS@]" };

    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (is_text(k->text, k->len, known[i]))
            return true;
    return (starts(k, "<|") && ends(k, "|>")) || (starts(k, "<｜") && ends(k, "｜>")) ||
           (starts(k, "<unused") && ends(k, ">"));
}

/* U+2581 becomes a space: what llama.cpp matches user-defined tokens against. */
static rc_code plain_spaces(rc_tokenizer *t, rc_token *k, rc_err *err)
{
    static const char low_line[] = "▁";
    char *text;
    size_t n = 0;

    if (!strstr(k->text, low_line))
        return RC_OK;
    text = rc_arena_get(&t->text, k->len + 1);
    if (!text)
        return rc_fail_nomem(err, t->mem, k->len + 1);
    for (const char *p = k->text; *p;) {
        const bool line = strncmp(p, low_line, sizeof low_line - 1) == 0;

        text[n++] = line ? ' ' : *p;
        p += line ? sizeof low_line - 1 : 1;
    }
    k->text = text;
    k->len = (uint32_t)n;
    return RC_OK;
}

static rc_code pad(const builder *b, uint32_t id, rc_err *err)
{
    static const char any[] = "[PAD]"; /* for all: a hostile file has half a million of them */
    rc_tokenizer *t = b->t;
    rc_token *k = &t->tokens[id];
    char text[24];
    int len;

    *k = (rc_token){ .text = any, .len = sizeof any - 1, .type = RC_TOKEN_UNUSED };
    if (b->grows)
        return RC_OK;
    len = snprintf(text, sizeof text, "[PAD%" PRIu32 "]", id);
    k->text = rc_arena_strdup(&t->text, text, (size_t)len);
    k->len = (uint32_t)len;
    return k->text ? RC_OK : rc_fail_nomem(err, t->mem, sizeof text);
}

static rc_code settle_types(builder *b, rc_err *err)
{
    rc_tokenizer *t = b->t;
    uint32_t pads = 0;

    for (uint32_t id = 0; id < t->count; id++) {
        rc_token *k = &t->tokens[id];

        if (k->trims)
            t->extras = "an added token that looks at what is beside it";
        if (!k->text) {
            RC_TRY(pad(b, id, err));
            pads++;
        } else if (!k->added) {
            k->type = RC_TOKEN_NORMAL;
        } else if (k->special || looks_special(k)) {
            k->type = RC_TOKEN_CONTROL;
        } else {
            k->type = RC_TOKEN_USER;
            RC_TRY(plain_spaces(t, k, err));
        }
    }
    if (pads)
        rc_warn(b->log, TOKENIZER, NULL, RC_NO_OFFSET,
                "%" PRIu32 " of %" PRIu32 " ids have no token; they become \"[PAD<id>]\"", pads,
                t->count);
    return RC_OK;
}

static rc_code read_tokenizer(builder *b, const uint8_t *json, size_t len, rc_err *err)
{
    RC_TRY(rc_json_parse(json, len, 0, on_event, b, b->t->mem, err));
    RC_TRY(check_kind(b, err));
    RC_TRY(rc_tokenizer_check_spelling(b->t, TOKENIZER, b->log, err));
    RC_TRY(rc_tokenizer_check_merges(b->t, &b->names, "model.merges", err));
    b->t->pre = rc_pre_name(&b->pre);
    b->t->pre_digest = rc_hash_end(&b->pre.hasher);
    return RC_OK;
}

static rc_code check_size(size_t len, rc_err *err)
{
    if (len <= RC_TOKENIZER_MAX_BYTES)
        return RC_OK;
    rc_fail(err, RC_E_LIMIT, RC_NO_OFFSET, "the file is too large");
    rc_err_want(err, "at most %u bytes", RC_TOKENIZER_MAX_BYTES);
    rc_err_got(err, "%zu", len);
    return RC_E_LIMIT;
}

static rc_code build(builder *b, const uint8_t *json, size_t len, const uint8_t *config,
                     size_t config_len, rc_err *err)
{
    settings s = { .b = b };
    rc_code rc = check_size(len, err);

    if (rc == RC_OK)
        rc = read_tokenizer(b, json, len, err);
    if (rc != RC_OK) {
        rc_err_file(err, TOKENIZER);
        return rc;
    }
    rc = check_size(config_len, err);
    if (rc == RC_OK && config)
        rc = rc_json_parse(config, config_len, 0, on_setting, &s, b->t->mem, err);
    if (rc != RC_OK) {
        rc_err_file(err, CONFIG);
        return rc;
    }
    settle_additions(b);
    return settle_types(b, err); /* last: it changes texts, which are the keys of b->names */
}

rc_code rc_tokenizer_parse(rc_tokenizer **out, const uint8_t *json, size_t len,
                           const uint8_t *config, size_t config_len, uint32_t vocab_size,
                           const rc_log *log, rc_mem *mem, rc_err *err)
{
    builder b = { .log = log, .grows = vocab_size == 0 };
    rc_tokenizer *t = rc_tokenizer_make(vocab_size, mem);
    rc_code rc;

    *out = NULL;
    if (!t)
        return rc_fail_nomem(err, mem, sizeof *t + vocab_size * sizeof *t->tokens);
    b.t = t;
    rc_pre_begin(&b.pre);
    rc_names_init(&b.names, mem, rc_tokenizer_name, t);
    rc = build(&b, json, len, config, config_len, err);
    rc_names_free(&b.names);
    if (rc == RC_OK)
        *out = t;
    else
        rc_tokenizer_free(&t);
    return rc;
}
