/* formats/bpe.c - see bpe.h.
 *
 * A piece is a list of symbols, at first one a byte. A heap has the pairs that could be joined,
 * by rank and then by place; joining two symbols makes two new pairs at most, and the pairs that
 * are no more are found out when they come up. So a piece of n bytes costs n log n. */
#include "formats/bpe.h"

#include <string.h>
#include <unistr.h>

#include "formats/byte_level.h"
#include "formats/splitter.h"
#include "formats/trie.h"

#define NONE UINT32_MAX

enum { LEAST_ROOM = 1024 }; /* symbols */

/* What two tokens make. made == NONE: a free slot of the table. */
typedef struct join {
    uint32_t left, right, made, rank;
} join;

struct rc_bpe {
    rc_mem *mem;
    rc_tokenizer *tokenizer;
    rc_splitter *splitter;
    rc_trie early, late; /* added tokens, by the pass that looks for them */
    join *joins;         /* open addressing */
    unsigned shift;      /* 64 - log2 of the number of slots */
    uint64_t seed;       /* odd; of this table: nobody can prepare merges that collide */
    uint32_t of_byte[256];
    char *bytes;  /* of all tokens, one after the other */
    size_t *ends; /* of each token in `bytes` */
};

bool rc_ids_add(rc_ids *ids, uint32_t id)
{
    if (ids->n == ids->room) {
        const size_t room = ids->room ? 2 * ids->room : 256;
        uint32_t *grown = rc_mem_grow(ids->mem, ids->at, room * sizeof *grown);

        if (!grown)
            return false;
        ids->at = grown;
        ids->room = room;
    }
    ids->at[ids->n++] = id;
    return true;
}

/* -------------------------------------------------------------- what joins */

/* Where a pair is, or would be. */
static join *slot_of(const rc_bpe *b, uint32_t left, uint32_t right)
{
    const size_t mask = ((size_t)1 << (64 - b->shift)) - 1;
    size_t i = (size_t)((((uint64_t)left << 32 | right) * b->seed) >> b->shift);

    while (b->joins[i].made != NONE && (b->joins[i].left != left || b->joins[i].right != right))
        i = (i + 1) & mask;
    return &b->joins[i];
}

static rc_code fill_joins(rc_bpe *b, rc_err *err)
{
    const size_t n = rc_tokenizer_merges(b->tokenizer);
    size_t slots = 16;

    for (b->shift = 60; slots < 2 * n; b->shift--)
        slots *= 2;
    b->seed = (uint64_t)(uintptr_t)b * UINT64_C(0x9e3779b97f4a7c15) | 1;
    b->joins = rc_mem_get(b->mem, slots * sizeof *b->joins);
    if (!b->joins)
        return rc_fail_nomem(err, b->mem, slots * sizeof *b->joins);
    for (size_t i = 0; i < slots; i++)
        b->joins[i].made = NONE;
    for (size_t i = 0; i < n; i++) {
        rc_merge_ids m;

        rc_tokenizer_merge_ids(b->tokenizer, i, &m);
        *slot_of(b, m.left, m.right) = (join){ m.left, m.right, m.made, (uint32_t)i };
    }
    return RC_OK;
}

/* ---------------------------------------------------------------- the tokens */

/* What a token stands for, at `out`, where there is room for its spelling. */
static size_t unspell(const rc_bpe *b, uint32_t id, char *out)
{
    rc_token_type type;
    size_t len, at = 0, n = 0;
    bool early;
    const char *text = rc_tokenizer_added(b->tokenizer, id, &len, &early);
    uint8_t byte;

    if (text) {
        memcpy(out, text, len);
        return len;
    }
    text = rc_tokenizer_token(b->tokenizer, id, &len, &type);
    if (type == RC_TOKEN_UNUSED)
        return 0;
    while (at < len && rc_byte_level_read(text, len, &at, &byte))
        out[n++] = (char)byte;
    return n;
}

static size_t room_for_bytes(const rc_tokenizer *t)
{
    size_t all = 0, len;

    for (uint32_t id = 0; id < rc_tokenizer_count(t); id++) {
        rc_token_type type;
        bool early;

        if (!rc_tokenizer_added(t, id, &len, &early))
            (void)rc_tokenizer_token(t, id, &len, &type);
        all += len;
    }
    return all;
}

static rc_code fill_bytes(rc_bpe *b, rc_err *err)
{
    const uint32_t count = rc_tokenizer_count(b->tokenizer);
    const size_t room = room_for_bytes(b->tokenizer);
    size_t n = 0;

    b->bytes = rc_mem_get(b->mem, room);
    b->ends = rc_mem_get(b->mem, count * sizeof *b->ends);
    if (!b->bytes || !b->ends)
        return rc_fail_nomem(err, b->mem, room + count * sizeof *b->ends);
    memset(b->of_byte, 0xff, sizeof b->of_byte); /* NONE */
    for (uint32_t id = 0; id < count; id++) {
        const size_t len = unspell(b, id, b->bytes + n);
        size_t added_len;
        bool early;

        if (len == 1 && rc_tokenizer_in_vocab(b->tokenizer, id) &&
            !rc_tokenizer_added(b->tokenizer, id, &added_len, &early))
            b->of_byte[(uint8_t)b->bytes[n]] = id;
        n += len;
        b->ends[id] = n;
    }
    return RC_OK;
}

static rc_code fill_added(rc_bpe *b, rc_err *err)
{
    for (uint32_t id = 0; id < rc_tokenizer_count(b->tokenizer); id++) {
        size_t len;
        bool early;
        const char *text = rc_tokenizer_added(b->tokenizer, id, &len, &early);

        if (text && !rc_trie_add(early ? &b->early : &b->late, text, len, id))
            return rc_fail_nomem(err, b->mem, len * sizeof(rc_trie_node));
    }
    return RC_OK;
}

/* -------------------------------------------------------------- the object */

static rc_code check_kind(const rc_tokenizer *t, rc_err *err)
{
    if (!rc_tokenizer_pre(t))
        return rc_fail(err, RC_E_UNSUPPORTED, RC_NO_OFFSET,
                       "its pre-tokenizer is not DeepSeek-V4's: text would be cut otherwise");
    if (rc_tokenizer_extras(t))
        return rc_fail(err, RC_E_UNSUPPORTED, RC_NO_OFFSET,
                       "the tokenizer has %s, which recast does not do", rc_tokenizer_extras(t));
    return RC_OK;
}

static rc_code fill(rc_bpe *b, rc_err *err)
{
    RC_TRY(check_kind(b->tokenizer, err));
    RC_TRY(fill_bytes(b, err));
    RC_TRY(fill_added(b, err));
    RC_TRY(fill_joins(b, err));
    return rc_splitter_new(&b->splitter, true, b->mem, err);
}

rc_code rc_bpe_new(rc_bpe **out, rc_tokenizer **tokenizer, rc_mem *mem, rc_err *err)
{
    rc_bpe *b = rc_mem_get(mem, sizeof *b);
    rc_code rc;

    *out = NULL;
    if (!b) {
        rc_tokenizer_free(tokenizer);
        return rc_fail_nomem(err, mem, sizeof *b);
    }
    b->mem = b->early.mem = b->late.mem = mem;
    b->tokenizer = *tokenizer;
    *tokenizer = NULL;
    rc = fill(b, err);
    if (rc == RC_OK)
        *out = b;
    else
        rc_bpe_free(&b);
    return rc;
}

void rc_bpe_free(rc_bpe **bp)
{
    rc_bpe *b = *bp;

    *bp = NULL;
    if (!b)
        return;
    rc_tokenizer_free(&b->tokenizer);
    rc_splitter_free(&b->splitter);
    rc_trie_free(&b->early);
    rc_trie_free(&b->late);
    rc_mem_put(b->mem, b->joins);
    rc_mem_put(b->mem, b->bytes);
    rc_mem_put(b->mem, b->ends);
    rc_mem_put(b->mem, b);
}

const rc_tokenizer *rc_bpe_tokenizer(const rc_bpe *b)
{
    return b->tokenizer;
}

const char *rc_bpe_bytes(const rc_bpe *b, uint32_t id, size_t *len)
{
    const size_t begin = id && id < rc_tokenizer_count(b->tokenizer) ? b->ends[id - 1] : 0;

    *len = 0;
    if (id >= rc_tokenizer_count(b->tokenizer))
        return NULL;
    *len = b->ends[id] - begin;
    return b->bytes + begin;
}

bool rc_bpe_added(const rc_bpe *b, const char *text, uint32_t *id)
{
    const rc_trie *const tries[] = { &b->early, &b->late };
    const size_t len = strlen(text);

    for (unsigned i = 0; i < 2; i++) {
        size_t begin, end;

        if (rc_trie_find(tries[i], text, len, 0, &begin, &end, id) && begin == 0 && end == len)
            return true;
    }
    return false;
}

/* ------------------------------------------------------------------- joining */

typedef struct symbol {
    uint32_t id;         /* NONE: joined to the one before */
    uint32_t prev, next; /* in the piece; NONE at its ends */
} symbol;

typedef struct encoder {
    const rc_bpe *b;
    rc_ids *ids;
    symbol *symbols;
    uint64_t *heap; /* rank << 32 | place, the least on top */
    size_t nheap;
    size_t room; /* symbols of the longest piece so far */
} encoder;

static void sift_up(uint64_t *heap, size_t i)
{
    const uint64_t moved = heap[i];

    for (; i && heap[(i - 1) / 2] > moved; i = (i - 1) / 2)
        heap[i] = heap[(i - 1) / 2];
    heap[i] = moved;
}

static void sift_down(uint64_t *heap, size_t n)
{
    const uint64_t moved = heap[0];
    size_t i = 0;

    for (size_t k = 1; k < n; k = 2 * i + 1) {
        k += k + 1 < n && heap[k + 1] < heap[k];
        if (heap[k] >= moved)
            break;
        heap[i] = heap[k];
        i = k;
    }
    heap[i] = moved;
}

static uint64_t pop(encoder *e)
{
    const uint64_t least = e->heap[0];

    e->heap[0] = e->heap[--e->nheap];
    if (e->nheap)
        sift_down(e->heap, e->nheap);
    return least;
}

/* The pair that begins at symbol i, if it makes something. */
static const join *pair_at(const encoder *e, uint32_t i)
{
    const symbol *s = &e->symbols[i];
    const join *j;

    if (s->id == NONE || s->next == NONE)
        return NULL;
    j = slot_of(e->b, s->id, e->symbols[s->next].id);
    return j->made == NONE ? NULL : j;
}

/* A piece of n symbols never has more than 2n pairs waiting: each of n at first, and two for
 * every two that were taken. */
static void push(encoder *e, uint32_t i)
{
    const join *j = pair_at(e, i);

    if (!j)
        return;
    e->heap[e->nheap++] = (uint64_t)j->rank << 32 | i;
    sift_up(e->heap, e->nheap - 1);
}

static rc_code make_room(encoder *e, size_t n, rc_err *err)
{
    rc_mem *mem = e->ids->mem;
    symbol *symbols;
    uint64_t *heap;

    if (n <= e->room)
        return RC_OK;
    n = n < LEAST_ROOM ? LEAST_ROOM : n;
    symbols = rc_mem_grow(mem, e->symbols, n * sizeof *symbols);
    if (!symbols)
        return rc_fail_nomem(err, mem, n * sizeof *symbols);
    e->symbols = symbols;
    heap = rc_mem_grow(mem, e->heap, 2 * n * sizeof *heap);
    if (!heap)
        return rc_fail_nomem(err, mem, 2 * n * sizeof *heap);
    e->heap = heap;
    e->room = n;
    return RC_OK;
}

static rc_code spell(encoder *e, const char *piece, size_t n, rc_err *err)
{
    for (size_t i = 0; i < n; i++) {
        const uint8_t byte = (uint8_t)piece[i];
        const uint32_t id = e->b->of_byte[byte];

        if (id == NONE)
            return rc_fail(err, RC_E_DATA, RC_NO_OFFSET,
                           "the vocabulary has no token for byte 0x%02x of the text", byte);
        e->symbols[i] = (symbol){ .id = id,
                                  .prev = i ? (uint32_t)i - 1 : NONE,
                                  .next = i + 1 < n ? (uint32_t)i + 1 : NONE };
    }
    return RC_OK;
}

/* Join symbol i with the one behind it. */
static void join_at(encoder *e, uint32_t i, uint32_t made)
{
    symbol *s = &e->symbols[i], *gone = &e->symbols[s->next];

    s->id = made;
    s->next = gone->next;
    gone->id = NONE;
    if (s->next != NONE)
        e->symbols[s->next].prev = i;
    if (s->prev != NONE)
        push(e, s->prev);
    push(e, i);
}

static rc_code on_piece(void *ctx, const char *piece, size_t n, rc_err *err)
{
    encoder *e = ctx;

    RC_TRY(make_room(e, n, err));
    RC_TRY(spell(e, piece, n, err));
    e->nheap = 0;
    for (size_t i = 0; i + 1 < n; i++)
        push(e, (uint32_t)i);
    while (e->nheap) {
        const uint64_t next = pop(e);
        const uint32_t i = (uint32_t)next;
        const join *j = pair_at(e, i);

        if (j && j->rank == next >> 32) /* else one of the two has been joined otherwise */
            join_at(e, i, j->made);
    }
    for (uint32_t i = 0; i != NONE; i = e->symbols[i].next)
        if (!rc_ids_add(e->ids, e->symbols[i].id))
            return rc_fail_nomem(err, e->ids->mem, 2 * e->ids->room * sizeof *e->ids->at);
    return RC_OK;
}

/* ------------------------------------------------------------------ encoding */

/* Length of the run of bytes at the head of the text that are no part of a character. */
static size_t broken_run(const uint8_t *text, size_t len)
{
    size_t n = 1;
    ucs4_t c;

    while (n < len && u8_mbtoucr(&c, text + n, len - n) < 0)
        n++;
    return n;
}

/* Text without added tokens. */
static rc_code encode_plain(encoder *e, const char *text, size_t len, rc_err *err)
{
    while (len) {
        const uint8_t *broken = u8_check((const uint8_t *)text, len);
        const size_t sound = broken ? (size_t)(broken - (const uint8_t *)text) : len;
        const size_t run = broken ? broken_run(broken, len - sound) : 0;

        RC_TRY(rc_splitter_run(e->b->splitter, text, sound, on_piece, e, err));
        if (run)
            RC_TRY(on_piece(e, text + sound, run, err));
        text += sound + run;
        len -= sound + run;
    }
    return RC_OK;
}

/* What lies between the tokens of the first trie is looked through for those of the second. */
static rc_code encode(encoder *e, const rc_trie *const *tries, const char *text, size_t len,
                      rc_err *err)
{
    size_t at = 0, begin, end;
    uint32_t id;

    if (!*tries)
        return encode_plain(e, text, len, err);
    while (rc_trie_find(*tries, text, len, at, &begin, &end, &id)) {
        RC_TRY(encode(e, tries + 1, text + at, begin - at, err));
        if (!rc_ids_add(e->ids, id))
            return rc_fail_nomem(err, e->ids->mem, 2 * e->ids->room * sizeof *e->ids->at);
        at = end;
    }
    return encode(e, tries + 1, text + at, len - at, err);
}

rc_code rc_bpe_encode(const rc_bpe *b, const char *text, size_t len, rc_ids *ids, rc_err *err)
{
    const rc_trie *const tries[] = { &b->early, &b->late, NULL };
    encoder e = { .b = b, .ids = ids };
    rc_code rc;

    if (len > RC_BPE_MAX_TEXT) {
        rc_fail(err, RC_E_LIMIT, RC_NO_OFFSET, "the text is too long");
        rc_err_want(err, "at most %u bytes", RC_BPE_MAX_TEXT);
        rc_err_got(err, "%zu", len);
        return RC_E_LIMIT;
    }
    rc = encode(&e, tries, text, len, err);
    rc_mem_put(ids->mem, e.symbols);
    rc_mem_put(ids->mem, e.heap);
    return rc;
}
