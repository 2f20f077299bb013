/* convert/synth_tokenizer.c - byte-pair encoding, learned the plain way: count all pairs, join
 * the most frequent one, again. The text is small enough for that. */
#include "convert/synth_tokenizer.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "convert/synth_text.h"
#include "formats/base/json.h"
#include "formats/byte_level.h"
#include "formats/pre_tokenizer.h"

enum {
    FIRST = 3,          /* special tokens at the beginning */
    BYTES = 256,        /* then one token a byte */
    MERGES = 768,       /* at most; the text has little more to give */
    PAIRS = 1 << 14,    /* slots of the table of pairs; more than the text has symbols */
    FULL_BASE = 128000, /* of a release: where the special tokens begin */
    FULL_VOCAB = 129280
};

/* ------------------------------------------------------------ special tokens */

/* As the releases have them (deepseek-ai/DeepSeek-V4, tokenizer.json); `chat` marks those that
 * a small vocabulary has too. Placeholders are further down: they are counted, not named. */
static const struct added {
    uint32_t id;
    bool chat;
    const char *text;
} added[] = {
    { 0, true, "<｜begin▁of▁sentence｜>" },
    { 1, true, "<｜end▁of▁sentence｜>" },
    { 2, true, "<｜▁pad▁｜>" },
    { 128800, true, "<｜fim▁hole｜>" },
    { 128801, true, "<｜fim▁begin｜>" },
    { 128802, true, "<｜fim▁end｜>" },
    { 128803, true, "<｜User｜>" },
    { 128804, true, "<｜Assistant｜>" },
    { 128805, true, "<|EOT|>" },
    { 128806, true, "<｜tool▁calls▁begin｜>" },
    { 128807, true, "<｜tool▁calls▁end｜>" },
    { 128808, true, "<｜tool▁call▁begin｜>" },
    { 128809, true, "<｜tool▁call▁end｜>" },
    { 128810, true, "<｜tool▁outputs▁begin｜>" },
    { 128811, true, "<｜tool▁outputs▁end｜>" },
    { 128812, true, "<｜tool▁output▁begin｜>" },
    { 128813, true, "<｜tool▁output▁end｜>" },
    { 128814, true, "<｜tool▁sep｜>" },
    { 128815, false, "<｜begin▁of▁repo▁name｜>" },
    { 128816, false, "<｜end▁of▁repo▁name｜>" },
    { 128817, false, "<｜begin▁of▁file▁name｜>" },
    { 128818, false, "<｜end▁of▁file▁name｜>" },
    { 128819, false, "<｜begin▁of▁file｜>" },
    { 128820, false, "<｜end▁of▁file｜>" },
    { 128821, true, "<think>" },
    { 128822, true, "</think>" },
    { 128823, false, "<｜place▁holder▁for▁copy｜>" },
    { 128824, false, "<｜place▁holder▁for▁pointer▁replace｜>" },
    { 128825, true, "｜DSML｜" },
    { 128826, false, "<｜begin▁sys｜>" },
    { 128827, false, "<｜end▁sys｜>" },
    { 128828, true, "<｜latest_reminder｜>" },
    { 128829, true, "<｜action｜>" },
    { 128830, true, "<｜query｜>" },
    { 128831, true, "<｜authority｜>" },
    { 128832, true, "<｜domain｜>" },
    { 128833, false, "<｜task｜>" },
    { 128834, false, "<｜political｜>" },
    { 128835, false, "<｜entity｜>" },
    { 128836, true, "<｜title｜>" },
    { 128837, false, "<｜safety｜>" },
    { 128838, false, "<｜answer｜>" },
    { 128839, false, "<｜search｜>" },
    { 128840, false, "<dsml:" },
    { 128841, false, "</dsml:" },
    { 128842, false, "<｜search▁begin｜>" },
    { 128843, false, "<｜search▁end｜>" },
    { 128844, false, "<｜extracted_url｜>" },
    { 128845, true, "<｜read_url｜>" },
    { 128846, false, "<｜end_of_query｜>" },
};
enum { ADDED = sizeof added / sizeof *added };

/* ------------------------------------------------------------------ training */

typedef struct token {
    uint32_t at, len; /* a place in the text where it stands */
} token;

typedef struct pair {
    uint32_t key; /* left << 16 | right */
    uint32_t count;
} pair;

typedef struct trainer {
    uint8_t *text;
    uint16_t *symbol;   /* the text as tokens; several pieces one after another */
    uint32_t *at;       /* where each symbol begins in the text */
    uint8_t *first;     /* the symbol begins a piece: nothing joins across */
    size_t n;           /* symbols now */
    pair pairs[PAIRS];  /* of this round */
    token made[MERGES]; /* tokens that are no bytes; numbers go on from BYTES */
    size_t nmade;
    struct {
        uint16_t left, right;
    } merges[MERGES]; /* may be more than tokens: there can be two ways to one text */
    size_t nmerges;
} trainer;

static bool is_letter(uint8_t c)
{
    return (c | 32) >= 'a' && (c | 32) <= 'z';
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\n';
}

/* Han, kana and their punctuation begin with these; the other scripts of the text do not. */
static bool is_cjk(uint8_t c)
{
    return c >= 0xe3 && c <= 0xe9;
}

/* Letters of any script but those; bytes in the middle of a character belong to it. */
static bool is_word(uint8_t c)
{
    return is_letter(c) || (c >= 0x80 && !is_cjk(c));
}

static size_t run(const uint8_t *s, bool (*is)(uint8_t))
{
    size_t n = 0;

    while (s[n] && is(s[n]))
        n++;
    return n;
}

static size_t cjk_run(const uint8_t *s)
{
    size_t n = 0;

    while (is_cjk(s[n]))
        n += 3;
    return n;
}

static bool is_punct(uint8_t c)
{
    return c > ' ' && c < 0x80 && !is_letter(c) && !is_digit(c);
}

/* How long the piece at s is: DeepSeek's three expressions (rc_joyai_splits), as far as the
 * text needs them. A piece that came out too long would only waste a merge. */
static size_t piece_len(const uint8_t *s)
{
    size_t n;

    if (is_digit(*s)) {
        n = run(s, is_digit);
        return n < 3 ? n : 3;
    }
    if (is_cjk(*s))
        return cjk_run(s);
    if (is_punct(*s) && is_letter(s[1]))
        return 1 + run(s + 1, is_letter);
    if (is_word(s[*s == ' ']))
        return (size_t)(*s == ' ') + run(s + (*s == ' '), is_word);
    n = (size_t)(*s == ' ') + run(s + (*s == ' '), is_punct);
    if (n > (*s == ' '))
        return n + strspn((const char *)s + n, "\n");
    n = run(s, is_space);
    return n > 1 && s[n] ? n - 1 : n; /* the last space goes with what follows */
}

static void cut(trainer *t)
{
    for (size_t at = 0; t->text[at];) {
        const size_t len = piece_len(t->text + at);

        for (size_t k = 0; k < len; k++, at++) {
            t->symbol[t->n] = t->text[at];
            t->at[t->n] = (uint32_t)at;
            t->first[t->n++] = k == 0;
        }
    }
}

static pair *slot_of(trainer *t, uint32_t key)
{
    size_t i = (key * 2654435761u) >> 18; /* 14 bits: PAIRS */

    while (t->pairs[i].count && t->pairs[i].key != key)
        i = (i + 1) % PAIRS;
    return &t->pairs[i];
}

static uint32_t key_at(const trainer *t, size_t i)
{
    return (uint32_t)t->symbol[i] << 16 | t->symbol[i + 1];
}

/* The most frequent pair; the first in the text among equals. */
static uint32_t best_pair(trainer *t, size_t *where)
{
    uint32_t best = 0;

    memset(t->pairs, 0, sizeof t->pairs);
    for (size_t i = 0; i + 1 < t->n; i++)
        if (!t->first[i + 1]) {
            pair *p = slot_of(t, key_at(t, i));

            p->key = key_at(t, i);
            p->count++;
        }
    for (size_t i = 0; i + 1 < t->n; i++)
        if (!t->first[i + 1] && slot_of(t, key_at(t, i))->count > best) {
            best = slot_of(t, key_at(t, i))->count;
            *where = i;
        }
    return best;
}

static size_t token_len(const trainer *t, size_t i)
{
    return i < BYTES ? 1 : t->made[i - BYTES].len;
}

/* The token of that text, made if there is none yet. */
static uint16_t token_of(trainer *t, uint32_t at, uint32_t len)
{
    size_t i = 0;

    while (i < t->nmade &&
           (t->made[i].len != len || memcmp(t->text + t->made[i].at, t->text + at, len) != 0))
        i++;
    if (i == t->nmade)
        t->made[t->nmade++] = (token){ .at = at, .len = len };
    return (uint16_t)(BYTES + i);
}

/* Join every such pair, from the left. */
static void join(trainer *t, size_t where)
{
    const uint32_t key = key_at(t, where);
    const size_t len = token_len(t, key >> 16) + token_len(t, key & 0xffff);
    const uint16_t whole = token_of(t, t->at[where], (uint32_t)len);
    size_t n = 0;

    t->merges[t->nmerges].left = (uint16_t)(key >> 16);
    t->merges[t->nmerges++].right = (uint16_t)key;
    for (size_t i = 0; i < t->n; i++, n++) {
        const bool both = i + 1 < t->n && !t->first[i + 1] && key_at(t, i) == key;

        t->at[n] = t->at[i];
        t->first[n] = t->first[i];
        t->symbol[n] = both ? whole : t->symbol[i];
        i += both;
    }
    t->n = n;
}

/* Until that many tokens are made. */
static void train(trainer *t, size_t wanted)
{
    size_t where = 0;

    cut(t);
    while (t->nmade < wanted && t->nmerges < MERGES && best_pair(t, &where) > 1)
        join(t, where);
}

static void free_trainer(trainer *t, rc_mem *mem)
{
    if (!t)
        return;
    rc_mem_put(mem, t->text);
    rc_mem_put(mem, t->symbol);
    rc_mem_put(mem, t->at);
    rc_mem_put(mem, t->first);
    rc_mem_put(mem, t);
}

static trainer *new_trainer(rc_mem *mem)
{
    trainer *t = rc_mem_get(mem, sizeof *t);
    size_t len = 0;

    if (!t)
        return NULL;
    for (const char *const *s = rc_synth_text; *s; s++)
        len += strlen(*s);
    t->text = rc_mem_get(mem, len + 4); /* looked at a character further on */
    t->symbol = rc_mem_get(mem, len * sizeof *t->symbol);
    t->at = rc_mem_get(mem, len * sizeof *t->at);
    t->first = rc_mem_get(mem, len * sizeof *t->first);
    if (!t->text || !t->symbol || !t->at || !t->first) {
        free_trainer(t, mem);
        return NULL;
    }
    len = 0;
    for (const char *const *s = rc_synth_text; *s; s++) {
        memcpy(t->text + len, *s, strlen(*s));
        len += strlen(*s);
    }
    return t;
}

/* ------------------------------------------------------------------- writing */

/* There are no holes before the last added token: the `tokenizers` library numbers those from
 * the end of the model's vocabulary, whatever the file says. */
typedef struct layout {
    uint32_t base; /* ids of the model's own vocabulary */
    bool full;     /* as large as a release's */
} layout;

static layout lay_out(uint32_t vocab_size)
{
    layout l = { vocab_size, vocab_size >= FULL_VOCAB };

    assert(vocab_size >= RC_SYNTH_MIN_VOCAB);
    for (size_t i = FIRST; i < ADDED; i++)
        l.base -= added[i].chat;
    if (l.full)
        l.base = FULL_BASE;
    return l;
}

static void write_added(rc_jsonw *w, uint32_t id, const char *text)
{
    rc_jsonw_object(w);
    rc_jsonw_ku64(w, "id", id);
    rc_jsonw_kstr(w, "content", text);
    rc_jsonw_kbool(w, "single_word", false);
    rc_jsonw_kbool(w, "lstrip", false);
    rc_jsonw_kbool(w, "rstrip", false);
    rc_jsonw_kbool(w, "normalized", id >= FIRST);
    rc_jsonw_kbool(w, "special", id < FIRST);
    rc_jsonw_object_end(w);
}

/* `n` placeholders from `id` on, whose names count from `from`. */
static void write_placeholders(rc_jsonw *w, uint32_t id, uint32_t n, const char *left,
                               unsigned digits, uint32_t from, const char *right)
{
    char text[80];

    for (uint32_t i = 0; i < n; i++) {
        snprintf(text, sizeof text, "%s%0*" PRIu32 "%s", left, (int)digits, from + i, right);
        write_added(w, id + i, text);
    }
}

static void write_added_tokens(rc_jsonw *w, const layout *l)
{
    uint32_t next = l->base;

    rc_jsonw_key(w, "added_tokens");
    rc_jsonw_array(w);
    for (size_t i = 0; i < ADDED; i++) {
        if (i == FIRST && l->full)
            write_placeholders(w, FULL_BASE, 800, "<｜place▁holder▁no▁", 1, 0, "｜>");
        if (i < FIRST || l->full)
            write_added(w, added[i].id, added[i].text);
        else if (added[i].chat)
            write_added(w, next++, added[i].text);
    }
    /* The releases end with markers of images, whose names are not published as text. */
    if (l->full)
        write_placeholders(w, 128847, 415, "<|place_holder_mm_span_", 4, 21, "|>");
    rc_jsonw_array_end(w);
}

static void write_byte_level(rc_jsonw *w, const char *key, bool trim_offsets)
{
    rc_jsonw_key(w, key);
    rc_jsonw_object(w);
    rc_jsonw_kstr(w, "type", "ByteLevel");
    rc_jsonw_kbool(w, "add_prefix_space", true);
    rc_jsonw_kbool(w, "trim_offsets", trim_offsets);
    rc_jsonw_kbool(w, "use_regex", true);
    rc_jsonw_object_end(w);
}

static void write_pre_tokenizer(rc_jsonw *w)
{
    rc_jsonw_key(w, "pre_tokenizer");
    rc_jsonw_object(w);
    rc_jsonw_kstr(w, "type", "Sequence");
    rc_jsonw_key(w, "pretokenizers");
    rc_jsonw_array(w);
    for (size_t i = 0; i < RC_SPLITS; i++) {
        rc_jsonw_object(w);
        rc_jsonw_kstr(w, "type", "Split");
        rc_jsonw_key(w, "pattern");
        rc_jsonw_object(w);
        rc_jsonw_kstr(w, "Regex", rc_joyai_splits[i]);
        rc_jsonw_object_end(w);
        rc_jsonw_kstr(w, "behavior", "Isolated");
        rc_jsonw_kbool(w, "invert", false);
        rc_jsonw_object_end(w);
    }
    rc_jsonw_object(w);
    rc_jsonw_kstr(w, "type", "ByteLevel");
    rc_jsonw_kbool(w, "add_prefix_space", false);
    rc_jsonw_kbool(w, "trim_offsets", true);
    rc_jsonw_kbool(w, "use_regex", false);
    rc_jsonw_object_end(w);
    rc_jsonw_array_end(w);
    rc_jsonw_object_end(w);
}

enum { SPELLED = 256 }; /* bytes for a token's spelling, two of them, and a space */

/* Append a token's spelling; a token is far shorter than the room. */
static size_t spell(const trainer *t, size_t i, char *out, size_t n)
{
    const uint8_t byte = (uint8_t)i;
    const uint8_t *text = i < BYTES ? &byte : t->text + t->made[i - BYTES].at;

    for (size_t k = 0; k < token_len(t, i) && n + 3 < SPELLED; k++)
        n += rc_byte_level_spell(out + n, text[k]);
    return n;
}

static void write_vocab(rc_jsonw *w, const trainer *t, const layout *l)
{
    char text[SPELLED];
    uint32_t id = FIRST;

    rc_jsonw_key(w, "vocab");
    rc_jsonw_object(w);
    for (uint32_t i = 0; i < FIRST; i++)
        rc_jsonw_ku64(w, added[i].text, i);
    /* Bytes in the order of their characters: those that stand for themselves come first. */
    for (unsigned moved = 0; moved < 2; moved++)
        for (unsigned b = 0; b < BYTES; b++) {
            rc_byte_level_spell(text, (uint8_t)b);
            if (((uint8_t)text[0] >= 0xc4) == moved)
                rc_jsonw_ku64(w, text, id++);
        }
    for (size_t i = 0; i < t->nmade; i++) {
        spell(t, BYTES + i, text, 0);
        rc_jsonw_ku64(w, text, id++);
    }
    /* Tokens that no merge makes hold the ids that a release has merges for. */
    for (; id < l->base; id++) {
        snprintf(text, sizeof text, "unused%06" PRIu32, id);
        rc_jsonw_ku64(w, text, id);
    }
    rc_jsonw_object_end(w);
}

static void write_merges(rc_jsonw *w, const trainer *t)
{
    char text[SPELLED];

    rc_jsonw_key(w, "merges");
    rc_jsonw_array(w);
    for (size_t i = 0; i < t->nmerges; i++) {
        size_t n = spell(t, t->merges[i].left, text, 0);

        text[n++] = ' ';
        spell(t, t->merges[i].right, text, n);
        rc_jsonw_str(w, text);
    }
    rc_jsonw_array_end(w);
}

static void write_model(rc_jsonw *w, const trainer *t, const layout *l)
{
    static const char *const nulls[] = { "dropout", "unk_token", "continuing_subword_prefix",
                                         "end_of_word_suffix" };

    rc_jsonw_key(w, "model");
    rc_jsonw_object(w);
    rc_jsonw_kstr(w, "type", "BPE");
    for (size_t i = 0; i < sizeof nulls / sizeof *nulls; i++) {
        rc_jsonw_key(w, nulls[i]);
        rc_jsonw_null(w);
    }
    rc_jsonw_kbool(w, "fuse_unk", false);
    rc_jsonw_kbool(w, "byte_fallback", false);
    write_vocab(w, t, l);
    write_merges(w, t);
    rc_jsonw_object_end(w);
}

static void write_tokenizer(rc_jsonw *w, const trainer *t, const layout *l)
{
    rc_jsonw_object(w);
    rc_jsonw_kstr(w, "version", "1.0");
    rc_jsonw_key(w, "truncation");
    rc_jsonw_null(w);
    rc_jsonw_key(w, "padding");
    rc_jsonw_null(w);
    write_added_tokens(w, l);
    rc_jsonw_key(w, "normalizer");
    rc_jsonw_object(w);
    rc_jsonw_kstr(w, "type", "Sequence");
    rc_jsonw_key(w, "normalizers");
    rc_jsonw_array(w);
    rc_jsonw_array_end(w);
    rc_jsonw_object_end(w);
    write_pre_tokenizer(w);
    write_byte_level(w, "post_processor", false);
    write_byte_level(w, "decoder", true);
    write_model(w, t, l);
    rc_jsonw_object_end(w);
}

/* The text of a writer, as the caller's own. */
static rc_code take_text(rc_jsonw *w, char **text, size_t *len, rc_mem *mem, rc_err *err)
{
    const char *json = w ? rc_jsonw_text(w, len) : NULL;

    *text = json ? rc_mem_strdup(mem, json, *len) : NULL;
    return *text ? RC_OK : rc_fail_nomem(err, mem, json ? *len : 65536);
}

rc_code rc_synth_tokenizer(char **text, size_t *len, uint32_t vocab_size, rc_mem *mem, rc_err *err)
{
    const layout l = lay_out(vocab_size);
    trainer *t = new_trainer(mem);
    rc_jsonw *w = rc_jsonw_new(mem, 2);
    rc_code rc;

    if (t && w) {
        train(t, l.base - FIRST - BYTES);
        write_tokenizer(w, t, &l);
    }
    rc = take_text(t ? w : NULL, text, len, mem, err);
    rc_jsonw_free(&w);
    free_trainer(t, mem);
    return rc;
}

/* ---------------------------------------------------- tokenizer_config.json */

static void write_token(rc_jsonw *w, const char *key, const char *content)
{
    rc_jsonw_key(w, key);
    rc_jsonw_object(w);
    rc_jsonw_kstr(w, "__type", "AddedToken");
    rc_jsonw_kstr(w, "content", content);
    rc_jsonw_kbool(w, "lstrip", false);
    rc_jsonw_kbool(w, "normalized", true);
    rc_jsonw_kbool(w, "rstrip", false);
    rc_jsonw_kbool(w, "single_word", false);
    rc_jsonw_object_end(w);
}

rc_code rc_synth_tokenizer_config(char **text, size_t *len, const char *comment,
                                  uint32_t max_length, rc_mem *mem, rc_err *err)
{
    rc_jsonw *w = rc_jsonw_new(mem, 2);
    rc_code rc;

    if (w) {
        rc_jsonw_object(w);
        rc_jsonw_kstr(w, "_comment", comment);
        rc_jsonw_kbool(w, "add_bos_token", false);
        rc_jsonw_kbool(w, "add_eos_token", false);
        write_token(w, "bos_token", added[0].text);
        rc_jsonw_kbool(w, "clean_up_tokenization_spaces", false);
        write_token(w, "eos_token", added[1].text);
        rc_jsonw_kbool(w, "legacy", true);
        rc_jsonw_ku64(w, "model_max_length", max_length);
        write_token(w, "pad_token", added[1].text);
        rc_jsonw_key(w, "sp_model_kwargs");
        rc_jsonw_object(w);
        rc_jsonw_object_end(w);
        rc_jsonw_key(w, "unk_token");
        rc_jsonw_null(w);
        rc_jsonw_kstr(w, "tokenizer_class", "PreTrainedTokenizerFast");
        rc_jsonw_object_end(w);
    }
    rc = take_text(w, text, len, mem, err);
    rc_jsonw_free(&w);
    return rc;
}
