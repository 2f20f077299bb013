/* formats/splitter.c - see splitter.h. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "formats/splitter.h"

#include <pcre2.h>
#include <string.h>

#include "formats/pre_tokenizer.h"

enum { PATTERN = 8192, HEAP_KIB = 65536 };

struct rc_splitter {
    rc_mem *mem;
    pcre2_general_context *memory;
    pcre2_code *code[RC_SPLITS];
    bool fast[RC_SPLITS]; /* compiled to machine code */
};

/* --------------------------------------------------------------- characters */

/* White_Space. PCRE2's \s has U+180E too, which is none since Unicode 6.3. */
#define SPACES                                                                                     \
    "\\x{9}-\\x{d} \\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}"          \
    "\\x{205f}\\x{3000}"

/* What Unicode 15.0, 15.1 and 16.0 added to the general categories. The pink heart among them
 * is in daily use: to a PCRE2 of Unicode 14 it is no symbol, and would be cut otherwise. To
 * a newer one they are there twice. tests/oracle/check_bpe.py compares every character. */
static const struct {
    char category;
    const char *members;
} newer[] = {
    { 'L', "\\x{1c89}-\\x{1c8a}\\x{a7cb}-\\x{a7cd}\\x{a7da}-\\x{a7dc}\\x{105c0}-\\x{105f3}"
           "\\x{10d4a}-\\x{10d65}\\x{10d6f}-\\x{10d85}\\x{10ec2}-\\x{10ec4}\\x{1123f}-\\x{11240}"
           "\\x{11380}-\\x{11389}\\x{1138b}\\x{1138e}\\x{11390}-\\x{113b5}\\x{113b7}\\x{113d1}"
           "\\x{113d3}\\x{11bc0}-\\x{11be0}\\x{11f02}\\x{11f04}-\\x{11f10}\\x{11f12}-\\x{11f33}"
           "\\x{1342f}\\x{13441}-\\x{13446}\\x{13460}-\\x{143fa}\\x{16100}-\\x{1611d}"
           "\\x{16d40}-\\x{16d6c}\\x{18cff}\\x{1b132}\\x{1b155}\\x{1df25}-\\x{1df2a}"
           "\\x{1e030}-\\x{1e06d}\\x{1e4d0}-\\x{1e4eb}\\x{1e5d0}-\\x{1e5ed}\\x{1e5f0}\\x{2b739}"
           "\\x{2ebf0}-\\x{2ee5d}\\x{31350}-\\x{323af}" },
    { 'M', "\\x{897}\\x{cf3}\\x{ece}\\x{10d69}-\\x{10d6d}\\x{10efc}-\\x{10eff}\\x{11241}"
           "\\x{113b8}-\\x{113c0}\\x{113c2}\\x{113c5}\\x{113c7}-\\x{113ca}\\x{113cc}-\\x{113d0}"
           "\\x{113d2}\\x{113e1}-\\x{113e2}\\x{11f00}-\\x{11f01}\\x{11f03}\\x{11f34}-\\x{11f3a}"
           "\\x{11f3e}-\\x{11f42}\\x{11f5a}\\x{13440}\\x{13447}-\\x{13455}\\x{1611e}-\\x{1612f}"
           "\\x{1e08f}\\x{1e4ec}-\\x{1e4ef}\\x{1e5ee}-\\x{1e5ef}" },
    { 'N', "\\x{10d40}-\\x{10d49}\\x{116d0}-\\x{116e3}\\x{11bf0}-\\x{11bf9}\\x{11f50}-\\x{11f59}"
           "\\x{16130}-\\x{16139}\\x{16d70}-\\x{16d79}\\x{1ccf0}-\\x{1ccf9}\\x{1d2c0}-\\x{1d2d3}"
           "\\x{1e4f0}-\\x{1e4f9}\\x{1e5f1}-\\x{1e5fa}" },
    { 'P', "\\x{1b4e}-\\x{1b4f}\\x{1b7f}\\x{10d6e}\\x{113d4}-\\x{113d5}\\x{113d7}-\\x{113d8}"
           "\\x{11b00}-\\x{11b09}\\x{11be1}\\x{11f43}-\\x{11f4f}\\x{16d6d}-\\x{16d6f}\\x{1e5ff}" },
    { 'S', "\\x{2427}-\\x{2429}\\x{2ffc}-\\x{2fff}\\x{31e4}-\\x{31e5}\\x{31ef}"
           "\\x{10d8e}-\\x{10d8f}\\x{1cc00}-\\x{1ccef}\\x{1cd00}-\\x{1ceb3}\\x{1f6dc}"
           "\\x{1f774}-\\x{1f776}\\x{1f77b}-\\x{1f77f}\\x{1f7d9}\\x{1f8b2}-\\x{1f8bb}"
           "\\x{1f8c0}-\\x{1f8c1}\\x{1fa75}-\\x{1fa77}\\x{1fa87}-\\x{1fa89}\\x{1fa8f}"
           "\\x{1faad}-\\x{1faaf}\\x{1fabb}-\\x{1fabf}\\x{1fac6}\\x{1face}-\\x{1facf}"
           "\\x{1fada}-\\x{1fadc}\\x{1fadf}\\x{1fae8}-\\x{1fae9}\\x{1faf7}-\\x{1faf8}"
           "\\x{1fbcb}-\\x{1fbef}" },
};

static const char *newer_of(char category)
{
    for (size_t i = 0; i < sizeof newer / sizeof *newer; i++)
        if (newer[i].category == category)
            return newer[i].members;
    return "";
}

/* -------------------------------------------------------------- expressions */

typedef struct writer {
    char text[PATTERN];
    size_t len;
    bool full;
} writer;

static void put(writer *w, const char *s, size_t n)
{
    w->full = w->full || n > sizeof w->text - w->len;
    if (w->full)
        return;
    memcpy(w->text + w->len, s, n);
    w->len += n;
}

static void puts_to(writer *w, const char *s)
{
    put(w, s, strlen(s));
}

/* The expression with its classes in our terms: \p{L}, \s and \S, in brackets (the first two)
 * or outside. Returns what was read of it. */
static size_t put_escape(writer *w, const char *p, bool in_class)
{
    const bool property = p[1] == 'p';
    const bool other = !property && p[1] != 's' && p[1] != 'S';

    if (other) {
        put(w, p, 2);
        return 2;
    }
    if (!in_class)
        puts_to(w, p[1] == 'S' ? "[^" : "[");
    if (property) {
        put(w, p, strlen("\\p{L}"));
        puts_to(w, newer_of(p[3]));
    } else {
        puts_to(w, SPACES);
    }
    if (!in_class)
        puts_to(w, "]");
    return property ? strlen("\\p{L}") : 2;
}

static void expand(writer *w, const char *pattern)
{
    bool in_class = false;

    w->len = 0;
    w->full = false;
    for (const char *p = pattern; *p;) {
        if (*p == '\\') {
            p += put_escape(w, p, in_class);
            continue;
        }
        in_class = *p == '[' || (in_class && *p != ']');
        put(w, p++, 1);
    }
}

static void *allocate(size_t nbytes, void *mem)
{
    return rc_mem_get(mem, nbytes);
}

static void release(void *block, void *mem)
{
    rc_mem_put(mem, block);
}

static rc_code compile(rc_splitter *s, unsigned i, bool jit, pcre2_compile_context *how,
                       rc_err *err)
{
    writer w;
    int error = 0;
    PCRE2_SIZE at = 0;

    expand(&w, rc_joyai_splits[i]);
    if (w.full)
        return rc_fail(err, RC_E_INTERNAL, RC_NO_OFFSET, "expression %u is too long", i);
    s->code[i] = pcre2_compile((PCRE2_SPTR)w.text, w.len, PCRE2_UTF, &error, &at, how);
    if (!s->code[i] && error == PCRE2_ERROR_HEAP_FAILED)
        return rc_fail_nomem(err, s->mem, PATTERN);
    if (!s->code[i])
        return rc_fail(err, RC_E_INTERNAL, RC_NO_OFFSET,
                       "PCRE2 does not take expression %u: error %d at %zu", i, error, (size_t)at);
    s->fast[i] = jit && pcre2_jit_compile(s->code[i], PCRE2_JIT_COMPLETE) == 0;
    return RC_OK;
}

rc_code rc_splitter_new(rc_splitter **out, bool jit, rc_mem *mem, rc_err *err)
{
    rc_splitter *s = rc_mem_get(mem, sizeof *s);
    pcre2_compile_context *how = NULL;
    rc_code rc = RC_OK;

    *out = NULL;
    if (!s)
        return rc_fail_nomem(err, mem, sizeof *s);
    s->mem = mem;
    s->memory = pcre2_general_context_create(allocate, release, mem);
    if (s->memory)
        how = pcre2_compile_context_create(s->memory);
    if (!how)
        rc = rc_fail_nomem(err, mem, 256);
    for (unsigned i = 0; rc == RC_OK && i < RC_SPLITS; i++)
        rc = compile(s, i, jit, how, err);
    pcre2_compile_context_free(how);
    if (rc == RC_OK)
        *out = s;
    else
        rc_splitter_free(&s);
    return rc;
}

void rc_splitter_free(rc_splitter **sp)
{
    rc_splitter *s = *sp;

    *sp = NULL;
    if (!s)
        return;
    for (unsigned i = 0; i < RC_SPLITS; i++)
        pcre2_code_free(s->code[i]);
    pcre2_general_context_free(s->memory);
    rc_mem_put(s->mem, s);
}

/* ------------------------------------------------------------------- cutting */

typedef struct run {
    const rc_splitter *s;
    pcre2_match_data *match;
    pcre2_match_context *limits;
    rc_piece_fn *fn;
    void *ctx;
} run;

/* The next match in piece[len], from `from` on. *begin == len when there is none. */
static rc_code find(const run *r, unsigned stage, const char *piece, size_t len, size_t from,
                    size_t *begin, size_t *end, rc_err *err)
{
    const pcre2_code *code = r->s->code[stage];
    const PCRE2_SPTR text = (PCRE2_SPTR)piece;
    int rc = PCRE2_ERROR_JIT_STACKLIMIT;

    if (r->s->fast[stage])
        rc = pcre2_jit_match(code, text, len, from, 0, r->match, r->limits);
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT)
        rc = pcre2_match(code, text, len, from, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, r->match,
                         r->limits);
    if (rc == PCRE2_ERROR_NOMATCH) {
        *begin = *end = len;
        return RC_OK;
    }
    if (rc > 0) {
        const PCRE2_SIZE *at = pcre2_get_ovector_pointer(r->match);

        *begin = at[0];
        *end = at[1];
        if (*begin >= from && *begin < *end && *end <= len)
            return RC_OK;
        rc = PCRE2_ERROR_INTERNAL;
    }
    if (rc == PCRE2_ERROR_NOMEMORY)
        return rc_fail_nomem(err, r->s->mem, len);
    return rc_fail(err, rc == PCRE2_ERROR_INTERNAL ? RC_E_INTERNAL : RC_E_LIMIT, RC_NO_OFFSET,
                   "cutting a text of %zu bytes: PCRE2 gives up with error %d", len, rc);
}

/* Backtracking of an expression may take steps in proportion to what it looks at, not more. */
static void limit_steps(const run *r, size_t len)
{
    const size_t steps = 1000 + 8 * len;

    pcre2_set_match_limit(r->limits, steps < UINT32_MAX ? (uint32_t)steps : UINT32_MAX);
}

static rc_code cut(const run *r, unsigned stage, const char *piece, size_t len, rc_err *err)
{
    if (len == 0)
        return RC_OK;
    if (stage == RC_SPLITS)
        return r->fn(r->ctx, piece, len, err);
    for (size_t at = 0, begin = 0, end = 0; at < len; at = end) {
        limit_steps(r, len);
        RC_TRY(find(r, stage, piece, len, at, &begin, &end, err));
        RC_TRY(cut(r, stage + 1, piece + at, begin - at, err));
        RC_TRY(cut(r, stage + 1, piece + begin, end - begin, err));
    }
    return RC_OK;
}

rc_code rc_splitter_run(const rc_splitter *s, const char *text, size_t len, rc_piece_fn *fn,
                        void *ctx, rc_err *err)
{
    run r = { .s = s, .fn = fn, .ctx = ctx };
    rc_code rc;

    r.match = pcre2_match_data_create(1, s->memory);
    r.limits = pcre2_match_context_create(s->memory);
    if (r.match && r.limits) {
        pcre2_set_heap_limit(r.limits, HEAP_KIB);
        rc = cut(&r, 0, text, len, err);
    } else {
        rc = rc_fail_nomem(err, s->mem, 256);
    }
    pcre2_match_context_free(r.limits);
    pcre2_match_data_free(r.match);
    return rc;
}
