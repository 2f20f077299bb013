/* formats/base/json.c - reading: a scan of the bytes, then YAJL for the grammar.
 *
 * YAJL 2.1 is lax where we are not: it takes \v and \f for white space, turns a
 * lone surrogate into '?', lets NUL into strings and knows nothing of doubled
 * keys. So the text is first scanned for what only bytes can tell. What the scan
 * finds is not reported at once: YAJL parses up to there, and its complaint, or
 * the caller's, comes first if it lies further ahead in the text. */
#include "formats/base/json.h"

#include <stdlib.h>
#include <string.h>
#include <unistr.h>
#include <xxhash.h>
#include <yajl/yajl_parse.h>

#include "formats/base/yajl_mem.h"

/* ------------------------------------------------------------------ the scan */

typedef struct scan {
    size_t stop;            /* the text is sound up to here; all of it when !why */
    const char *why;        /* what is wrong, or NULL */
    size_t bad;             /* at which byte */
    size_t longest_escaped; /* bytes of the longest string with a backslash in it */
} scan;

static const char cut_short[] = "the JSON text ends too early";

static int hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The four digits after \u. False with *at at the byte that is none, or at n. */
static bool hex4(const uint8_t *t, size_t n, size_t *at, unsigned *out)
{
    *out = 0;
    for (int k = 0; k < 4; k++, ++*at) {
        if (*at == n || hex_value(t[*at]) < 0)
            return false;
        *out = *out * 16 + (unsigned)hex_value(t[*at]);
    }
    return true;
}

/* An escape whose backslash is t[*at]. On success *at is past it; on failure *at
 * is the byte to name, n when the text ends inside the escape. */
static const char *scan_escape(const uint8_t *t, size_t n, size_t *at)
{
    const size_t start = (*at)++;
    unsigned hi, lo;

    if (*at == n)
        return cut_short;
    if (t[*at] != 'u') {
        if (!t[*at] || !strchr("\"\\/bfnrt", t[*at]))
            return "invalid escape in a string";
        ++*at;
        return NULL;
    }
    ++*at;
    if (!hex4(t, n, at, &hi))
        return *at == n ? cut_short : "invalid \\u escape in a string";
    if (hi >= 0xd800 && hi < 0xdc00) {
        if (*at == n || (*at + 1 == n && t[*at] == '\\')) {
            *at = n;
            return cut_short;
        }
        if (t[*at] == '\\' && t[*at + 1] == 'u') {
            *at += 2;
            if (hex4(t, n, at, &lo)) {
                if (lo >= 0xdc00 && lo < 0xe000)
                    return NULL;
            } else if (*at == n) {
                return cut_short;
            }
        }
        *at = start;
        return "lone surrogate escape in a string";
    }
    if (hi >= 0xdc00 && hi < 0xe000) {
        *at = start;
        return "lone surrogate escape in a string";
    }
    if (hi == 0) {
        *at = start;
        return "NUL in a string";
    }
    return NULL;
}

/* How much of the text is UTF-8. An unfinished character at the very end counts
 * as sound: it is a cut, not a bad byte. */
static size_t utf8_prefix(const uint8_t *t, size_t len)
{
    const uint8_t *bad = u8_check(t, len);
    ucs4_t c;

    if (!bad || u8_mbtoucr(&c, bad, len - (size_t)(bad - t)) == -2)
        return len;
    return (size_t)(bad - t);
}

static scan scan_text(const uint8_t *t, size_t len)
{
    const size_t n = utf8_prefix(t, len);
    scan s = { .stop = len };

    for (size_t i = 0; i < n; i++) {
        const size_t start = i;
        bool escaped = false;

        if (t[i] < 0x20 && t[i] != '\t' && t[i] != '\n' && t[i] != '\r') {
            s.why = "control character outside a string";
            s.stop = s.bad = i;
            return s;
        }
        if (t[i] != '"')
            continue;
        i++;
        while (!s.why && i < n && t[i] != '"') {
            if (t[i] == '\\') {
                s.why = scan_escape(t, n, &i);
                escaped = true;
            } else if (t[i] < 0x20) {
                s.why = "control character in a string";
            } else {
                i++;
            }
        }
        if (i >= n && n < len)
            s.why = "invalid UTF-8 in a string";
        else if (i >= n)
            s.why = cut_short;
        if (s.why) {
            s.stop = start;
            s.bad = i;
            return s;
        }
        if (escaped && i - start > s.longest_escaped)
            s.longest_escaped = i - start;
    }
    if (n < len) {
        s.why = "invalid UTF-8";
        s.stop = s.bad = n;
    }
    return s;
}

static rc_code fail_scan(const uint8_t *t, size_t len, uint64_t base, const scan *s, rc_err *err)
{
    char shown[96];
    size_t n = len - s->stop;

    if (s->why == cut_short)
        return rc_fail(err, RC_E_DATA, base + len, "%s", cut_short);
    if (s->bad == s->stop)
        return rc_fail(err, RC_E_DATA, base + s->bad, "malformed JSON: %s", s->why);
    if (n > s->bad - s->stop + 4) /* the string up to the bad byte, and a little more */
        n = s->bad - s->stop + 4;
    if (n > 80)
        n = 80;
    return rc_fail(err, RC_E_DATA, base + s->bad, "malformed JSON: %s: %s", s->why,
                   rc_escape(shown, sizeof shown, (const char *)t + s->stop, n));
}

/* -------------------------------------------------------------- doubled keys */

/* The keys of all open objects, as a stack. `slot` is an open-addressing table
 * of stack positions + 1. An object's keys leave in the reverse of the order
 * they came in, and the newest key of a table with linear probing can simply be
 * cleared: nobody who probed past it is left. */
typedef struct open_key {
    XXH128_hash_t hash;
    uint64_t offset;
} open_key;

typedef struct keys {
    rc_mem *mem;
    open_key *stack;
    uint32_t *slot;
    size_t count, cap, nslots; /* nslots is a power of two, at least 2 * cap */
    uint64_t seed;             /* of this parse: nobody can prepare keys that collide */
    uint64_t objects;          /* opened so far: the same key in two objects hashes apart */
    struct {
        uint64_t serial;
        size_t first; /* stack position of the object's first key */
    } open[RC_JSON_MAX_DEPTH];
} keys;

static size_t find_slot(const keys *k, XXH128_hash_t hash)
{
    size_t i = (size_t)hash.low64 & (k->nslots - 1);

    while (k->slot[i] && !XXH128_isEqual(k->stack[k->slot[i] - 1].hash, hash))
        i = (i + 1) & (k->nslots - 1);
    return i;
}

static bool keys_grow(keys *k)
{
    const size_t cap = k->cap ? 2 * k->cap : 32;
    open_key *stack = rc_mem_grow(k->mem, k->stack, cap * sizeof *stack);
    uint32_t *slot;

    if (!stack)
        return false;
    k->stack = stack;
    slot = rc_mem_get(k->mem, 2 * cap * sizeof *slot);
    if (!slot)
        return false;
    rc_mem_put(k->mem, k->slot);
    k->slot = slot;
    k->nslots = 2 * cap;
    k->cap = cap;
    for (size_t i = 0; i < k->count; i++)
        k->slot[find_slot(k, k->stack[i].hash)] = (uint32_t)i + 1;
    return true;
}

static void keys_pop(keys *k, size_t first)
{
    while (k->count > first)
        k->slot[find_slot(k, k->stack[--k->count].hash)] = 0;
}

/* ------------------------------------------------------------------- adapter */

typedef struct parser {
    const uint8_t *text;
    size_t len; /* as far as the scan found it sound */
    uint64_t base;
    rc_json_fn *fn;
    void *ctx;
    rc_mem *mem;
    rc_err *err;
    rc_code rc;
    yajl_handle yajl;
    size_t end;    /* where the last token that had an event ended */
    bool finished; /* all text was handed to YAJL */
    unsigned depth;
    bool is_object[RC_JSON_MAX_DEPTH];
    keys keys;
} parser;

static size_t consumed(const parser *p)
{
    const size_t n = yajl_get_bytes_consumed(p->yajl);

    return p->finished || n > p->len ? p->len : n;
}

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Where the token after the last one starts; commas and colons have no event. */
static size_t token_start(const parser *p)
{
    size_t i = p->end;

    while (i < p->len && (is_space(p->text[i]) || p->text[i] == ',' || p->text[i] == ':'))
        i++;
    return i;
}

static int emit(parser *p, rc_json_type type, const char *text, size_t len, size_t start)
{
    const rc_json_event ev = {
        .type = type, .depth = p->depth, .text = text, .len = len, .offset = p->base + start
    };

    p->end = consumed(p);
    p->rc = p->fn(p->ctx, &ev, p->err);
    return p->rc == RC_OK;
}

static int on_null(void *ctx)
{
    return emit(ctx, RC_JSON_NULL, "null", 4, token_start(ctx));
}

static int on_bool(void *ctx, int value)
{
    return emit(ctx, value ? RC_JSON_TRUE : RC_JSON_FALSE, value ? "true" : "false", value ? 4 : 5,
                token_start(ctx));
}

static int on_number(void *ctx, const char *text, size_t len)
{
    return emit(ctx, RC_JSON_NUMBER, text, len, token_start(ctx));
}

static int on_string(void *ctx, const unsigned char *text, size_t len)
{
    return emit(ctx, RC_JSON_STRING, (const char *)text, len, token_start(ctx));
}

static int open_container(parser *p, bool object)
{
    const size_t start = token_start(p);

    if (p->depth == RC_JSON_MAX_DEPTH) {
        p->rc = rc_fail(p->err, RC_E_DATA, p->base + start, "JSON is nested deeper than %u levels",
                        RC_JSON_MAX_DEPTH);
        return 0;
    }
    if (!emit(p, object ? RC_JSON_OBJECT : RC_JSON_ARRAY, object ? "{" : "[", 1, start))
        return 0;
    p->is_object[p->depth] = object;
    p->keys.open[p->depth].serial = p->keys.objects++;
    p->keys.open[p->depth].first = p->keys.count;
    p->depth++;
    return 1;
}

static int close_container(parser *p)
{
    const size_t start = token_start(p);
    bool object;

    p->depth--;
    object = p->is_object[p->depth];
    if (object)
        keys_pop(&p->keys, p->keys.open[p->depth].first);
    return emit(p, object ? RC_JSON_OBJECT_END : RC_JSON_ARRAY_END, object ? "}" : "]", 1, start);
}

static int on_object(void *ctx)
{
    return open_container(ctx, true);
}

static int on_array(void *ctx)
{
    return open_container(ctx, false);
}

static int on_end(void *ctx)
{
    return close_container(ctx);
}

static int on_key(void *ctx, const unsigned char *text, size_t len)
{
    parser *p = ctx;
    keys *k = &p->keys;
    const size_t start = token_start(p);
    const uint64_t serial = k->open[p->depth - 1].serial;
    XXH128_hash_t hash;
    size_t slot;

    if (k->count == k->cap) {
        if (k->cap >= UINT32_MAX / 4) {
            p->rc = rc_fail(p->err, RC_E_LIMIT, p->base + start, "more than %zu keys", k->cap);
            return 0;
        }
        if (!keys_grow(k)) {
            p->rc = rc_fail_nomem(p->err, p->mem, 2 * k->cap * sizeof *k->stack);
            return 0;
        }
    }
    hash = XXH3_128bits_withSeed(text, len, k->seed + serial * UINT64_C(0x9e3779b97f4a7c15));
    slot = find_slot(k, hash);
    if (k->slot[slot]) {
        char shown[128];

        p->rc = rc_fail(p->err, RC_E_DATA, p->base + start,
                        "duplicate key \"%s\", first at byte %" PRIu64,
                        rc_escape(shown, sizeof shown, (const char *)text, len),
                        k->stack[k->slot[slot] - 1].offset);
        return 0;
    }
    k->stack[k->count] = (open_key){ .hash = hash, .offset = p->base + start };
    k->slot[slot] = (uint32_t)++k->count;
    return emit(p, RC_JSON_KEY, (const char *)text, len, start);
}

static const yajl_callbacks callbacks = {
    .yajl_null = on_null,
    .yajl_boolean = on_bool,
    .yajl_number = on_number,
    .yajl_string = on_string,
    .yajl_start_map = on_object,
    .yajl_map_key = on_key,
    .yajl_end_map = on_end,
    .yajl_start_array = on_array,
    .yajl_end_array = on_end,
};

/* Start of the token in which YAJL stopped, `until` bytes into the text. */
static size_t last_token(const parser *p, size_t until)
{
    size_t i = p->end;

    for (;;) {
        size_t start;

        while (i < p->len && is_space(p->text[i]))
            i++;
        start = i;
        if (i >= p->len)
            return i;
        if (p->text[i] == '"') {
            for (i++; i < p->len && p->text[i] != '"'; i++)
                i += p->text[i] == '\\';
            i++;
        } else if (strchr("{}[],:", p->text[i])) {
            i++;
        } else {
            while (i < p->len && !is_space(p->text[i]) && !strchr("{}[],:\"", p->text[i]))
                i++;
        }
        if (i >= until)
            return start;
    }
}

/* YAJL says no: turn its reason and its idea of the place into ours. Seen with
 * 2.1.0: the count of consumed bytes ends after the token in a grammar error,
 * after the byte for an invalid character, and before the byte in any other
 * error inside a token. At the end of the text, which ends every token, only a
 * complaint about a whole token is not about the text being cut. */
static rc_code fail_grammar(const parser *p)
{
    unsigned char *text = yajl_get_error(p->yajl, 0, NULL, 0);
    const size_t at = consumed(p);
    const char *why = (const char *)text;
    size_t offset;
    rc_code rc;

    if (p->finished && (strncmp(why, "lexical error", 13) == 0 || strstr(why, "premature EOF"))) {
        why = NULL;
        offset = p->len;
    } else if (strncmp(why, "lexical error: ", 15) == 0) {
        why += 15;
        offset = strncmp(why, "invalid char in json text", 25) == 0 ? at - 1 : at;
    } else {
        if (strncmp(why, "parse error: ", 13) == 0)
            why += 13;
        offset = last_token(p, at);
    }
    rc = why ? rc_fail(p->err, RC_E_DATA, p->base + offset, "malformed JSON: %.*s",
                       (int)strcspn(why, "\n"), why)
             : rc_fail(p->err, RC_E_DATA, p->base + offset, "%s", cut_short);
    yajl_free_error(p->yajl, text);
    return rc;
}

static rc_code run(parser *p, const uint8_t *text, size_t len, const scan *s)
{
    yajl_status status = yajl_parse(p->yajl, text, s->stop);

    if (status == yajl_status_ok && !s->why) {
        p->finished = true;
        status = yajl_complete_parse(p->yajl);
    }
    if (status == yajl_status_client_canceled)
        return p->rc;
    if (status == yajl_status_error)
        return fail_grammar(p);
    return s->why ? fail_scan(text, len, p->base, s, p->err) : RC_OK;
}

/* YAJL copies a token into its own buffer when the text ends inside it: only
 * the last, unfinished one, which reaches back to the last delimiter. */
static size_t tail_bytes(const uint8_t *t, size_t len)
{
    size_t n = 0;

    while (n < len && !is_space(t[len - n - 1]) && !strchr("{}[],:\"", t[len - n - 1]))
        n++;
    return n;
}

rc_code rc_json_parse(const uint8_t *text, size_t len, uint64_t base, rc_json_fn *fn, void *ctx,
                      rc_mem *mem, rc_err *err)
{
    scan s;
    parser *p;
    rc_yajl_mem ymem;
    rc_code rc;

    if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
        return rc_fail(err, RC_E_DATA, base, "malformed JSON: it starts with a byte order mark");
    if (len >= 2 && (memcmp(text, "\xff\xfe", 2) == 0 || memcmp(text, "\xfe\xff", 2) == 0))
        return rc_fail(err, RC_E_DATA, base, "malformed JSON: UTF-16, not UTF-8");
    if (len == 0)
        return rc_fail(err, RC_E_DATA, base, "the JSON text is empty");

    s = scan_text(text, len);
    p = rc_mem_get(mem, sizeof *p);
    if (!p)
        return rc_fail_nomem(err, mem, sizeof *p);
    p->text = text;
    p->len = s.stop;
    p->base = base;
    p->fn = fn;
    p->ctx = ctx;
    p->mem = p->keys.mem = mem;
    p->err = err;
    /* Where the system put this parse in memory: not a secret worth much, but no
     * author of a file knows it. It decides nothing but the order of the table. */
    p->keys.seed = (uint64_t)(uintptr_t)p * UINT64_C(0xff51afd7ed558ccd) ^ (uintptr_t)&s;

    if (!rc_yajl_mem_init(&ymem, mem,
                          rc_yajl_text_need(s.longest_escaped) +
                              rc_yajl_text_need(tail_bytes(text, s.stop) + 1))) {
        rc_mem_put(mem, p);
        return rc_fail_nomem(err, mem, s.longest_escaped);
    }
    p->yajl = yajl_alloc(&callbacks, &ymem.funcs, p);
    yajl_config(p->yajl, yajl_dont_validate_strings, 1); /* u8_check did */
    rc = run(p, text, len, &s);

    yajl_free(p->yajl);
    rc_yajl_mem_free(&ymem);
    rc_mem_put(mem, p->keys.stack);
    rc_mem_put(mem, p->keys.slot);
    rc_mem_put(mem, p);
    return rc;
}

/* ------------------------------------------------------------------- numbers */

bool rc_json_u64(const rc_json_event *event, uint64_t *out)
{
    uint64_t v = 0;

    if (event->type != RC_JSON_NUMBER || event->len == 0)
        return false;
    for (size_t i = 0; i < event->len; i++) {
        const char c = event->text[i];

        if (c < '0' || c > '9' || !rc_mul_u64(v, 10, &v) || !rc_add_u64(v, (uint64_t)(c - '0'), &v))
            return false;
    }
    *out = v;
    return true;
}

bool rc_json_f64(const rc_json_event *event, double *out)
{
    char buf[1024];
    double v;

    if (event->type != RC_JSON_NUMBER || event->len >= sizeof buf)
        return false;
    memcpy(buf, event->text, event->len);
    buf[event->len] = '\0';
    v = strtod(buf, NULL);
    if (v - v != 0) /* infinite: the text was beyond a double */
        return false;
    *out = v;
    return true;
}
