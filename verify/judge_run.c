/* verify/judge_run.c - the comparison: read a chunk of both sides, decode it a
 * few rows at a time into the cache, compare, add up.
 *
 * Chunks finish in any order and are added in theirs: the sums of a pair's chunks
 * wait in an array until the last one is there. Chunks start in order, so at most
 * one pair a slot is under way, and one whose next chunk nobody has taken yet:
 * that many arrays serve for all. Nobody ever waits for a neighbour. */
#include <pthread.h>
#include <string.h>

#include "formats/base/par.h"
#include "runtime/piece.h"
#include "verify/judge_impl.h"

enum {
    TILE_VALUES = 1 << 15, /* decoded at once: two of them stay in a core's cache */
    /* Read at once. A disk wants large requests and many: a whole chunk, by more slots than
     * can compute. From memory the copy should stay in cache until it is decoded. */
    MEMORY_VALUES = 1 << 19,
    DISK_SLOTS = 8 /* beyond two for each thread */
};

/* What one slot works with; sizes are the largest that any pair asks for. */
struct slot {
    uint8_t *raw[2]; /* bytes of both sides as read */
    uint8_t *scratch;
    float *value[2];
    void *work;
};

struct sizes {
    size_t raw[2], scratch, value, work;
    size_t partial; /* of a pair, in an array of them all */
};

struct run {
    rc_judge *judge;
    struct slot *slot;
    unsigned nslots;
    struct sizes size;
    bool in_memory; /* both sides: nothing waits for a disk */
    _Atomic uint64_t *done;

    pthread_mutex_t lock; /* of what follows, and of chunks_done and partial of the pairs */
    rc_stats **spare;     /* arrays that no pair uses now */
    unsigned nspare;
};

/* a side's chunk */

static const rc_bound *bound_of(const rc_pair *p, unsigned side)
{
    return side ? p->b : p->a;
}

/* Is that side read all at once? */
static bool is_whole(const rc_pair *p, unsigned side)
{
    return p->values && rc_decoder_whole(bound_of(p, side));
}

/* cols is 1 and the layout plain where no values are compared. */
static rc_extent extent(const rc_pair *p, unsigned side, uint64_t row, uint64_t nrows)
{
    if (p->values)
        return rc_decoder_extent(bound_of(p, side), row, nrows);
    return (rc_extent){ .weight_off = row * p->unit[side],
                        .weight_len = (size_t)(nrows * p->unit[side]) };
}

static uint64_t nbytes_of(const rc_extent *e)
{
    return (uint64_t)e->weight_len + e->scale_len + e->zero_len;
}

static rc_code load(struct run *run, const struct slot *s, const rc_pair *p, unsigned side,
                    uint64_t row, uint64_t nrows, rc_piece *out, rc_err *err)
{
    const rc_subject *from = side ? &run->judge->b : &run->judge->a;
    const rc_extent e = extent(p, side, row, nrows);
    rc_code rc;

    if (p->values)
        rc = rc_piece_read(out, from->ckpt, bound_of(p, side), row, nrows, s->raw[side],
                           run->size.raw[side], s->scratch, err);
    else
        rc = rc_ckpt_read(from->ckpt, side ? p->tb : p->ta, e.weight_off, e.weight_len,
                          s->raw[side], run->size.raw[side], &out->weight, err);
    if (rc != RC_OK)
        rc_subject_name(err, from);
    else if (run->done)
        atomic_fetch_add(run->done, nbytes_of(&e));
    out->work = s->work;
    return rc;
}

/* comparing */

/* Rows decoded at once: a power of two, so that the steps through a chunk, and with them the
 * digits of its sums, do not depend on how it is read. */
static size_t tile_rows(const rc_pair *p)
{
    size_t rows = 1;

    while (2 * rows * p->cols <= TILE_VALUES)
        rows *= 2;
    return rows;
}

/* Rows read at once. */
static uint64_t piece_rows(const struct run *run, const rc_pair *p)
{
    const uint64_t step = p->values ? tile_rows(p) : 1;
    const uint64_t rows = MEMORY_VALUES / p->cols / step * step;

    if (!run->in_memory || rows >= p->chunk_rows)
        return p->chunk_rows;
    return rows ? rows : step;
}

enum { WEIGHED = 8 }; /* every so many rows of a scaled matrix */

/* Undo the scaling of n rows of CONVERTED, and see whether this reader has taken part in it. */
static void undo_scaling(rc_stats *out, const rc_pair *p, const struct slot *s, uint64_t row,
                         size_t n)
{
    const bool norm = rc_pair_is_scaled_norm(p);
    const size_t cols = (size_t)p->cols;

    for (size_t i = 0; i < n; i++) {
        const float *a = s->value[0] + i * cols;
        float *b = s->value[1] + i * cols;

        rc_scaled_undo(p->scaled, norm, a, b);
        if (!norm && (row + i) % WEIGHED == 0)
            rc_scaled_weigh(&out->powers, p->scaled, a, b);
    }
}

static void compare_values(rc_stats *out, const rc_pair *p, const rc_piece *a, const rc_piece *b,
                           const struct slot *s, uint64_t row, uint64_t nrows, bool same_bytes)
{
    const size_t step = tile_rows(p);

    for (uint64_t r = row; r < row + nrows; r += step) {
        const size_t n = row + nrows - r < step ? (size_t)(row + nrows - r) : step;

        for (size_t i = 0; i < n; i++) {
            rc_piece_row(s->value[0] + i * a->cols, a, (size_t)(r - a->row0) + i);
            if (!same_bytes)
                rc_piece_row(s->value[1] + i * b->cols, b, (size_t)(r - b->row0) + i);
        }
        if (p->scaled)
            undo_scaling(out, p, s, r, n);
        rc_stats_add(out, s->value[0], s->value[same_bytes ? 0 : 1], n * a->cols, r * p->cols);
    }
}

/* A little-endian integer with its sign. */
static int64_t integer(const uint8_t *p, unsigned n)
{
    uint64_t v = 0;

    for (unsigned i = n; i-- > 0;)
        v = v << 8 | p[i];
    if (n < 8 && v >> (8 * n - 1))
        v |= UINT64_MAX << (8 * n);
    return (int64_t)v;
}

/* Elements that are no values: the same bytes, or the same integers of two widths. */
static bool same_element(const rc_pair *p, const uint8_t *a, const uint8_t *b, uint64_t i)
{
    const uint8_t *x = a + i * p->unit[0], *y = b + i * p->unit[1];

    return p->unit[0] == p->unit[1] ? memcmp(x, y, p->unit[0]) == 0
                                    : integer(x, p->unit[0]) == integer(y, p->unit[1]);
}

static void compare_elements(rc_stats *out, const rc_pair *p, const uint8_t *a, const uint8_t *b,
                             uint64_t row, uint64_t nrows)
{
    out->n += nrows;
    if (p->unit[0] == p->unit[1] && memcmp(a, b, (size_t)(nrows * p->unit[0])) == 0)
        return;
    for (uint64_t i = 0; i < nrows; i++) {
        if (same_element(p, a, b, i))
            continue;
        if (out->bad_at == UINT64_MAX)
            out->bad_at = row + i;
        out->incomparable++;
        out->sum.differ++;
    }
}

/* Equal bytes under one layout are equal values; decoding once is enough. */
static bool same_layout(const rc_pair *p)
{
    return rc_decoder_of(p->a) == rc_decoder_of(p->b) && p->a->gain == p->b->gain &&
           p->a->group == p->b->group && !p->a->zero == !p->b->zero && p->a->pitch == p->cols &&
           p->b->pitch == p->cols;
}

static bool same_bytes(const rc_pair *p, const rc_piece *a, const rc_piece *b, const rc_extent *e)
{
    return !p->scaled && same_layout(p) && memcmp(a->weight, b->weight, e->weight_len) == 0 &&
           (!e->scale_len || memcmp(a->scale, b->scale, e->scale_len) == 0) &&
           (!e->zero_len || memcmp(a->zero, b->zero, e->zero_len) == 0);
}

/* The chunks of one item. A side that is read whole is read once: all of them. */
static uint64_t chunks_of_item(const rc_pair *p)
{
    return is_whole(p, 0) || is_whole(p, 1) ? p->chunks : 1;
}

static rc_pair *pair_of_item(const rc_judge *j, uint64_t item)
{
    size_t lo = 0, hi = j->npairs; /* the last pair whose first item is not beyond */

    while (hi - lo > 1) {
        const size_t mid = lo + (hi - lo) / 2;

        if (j->pair[mid].first_item <= item)
            lo = mid;
        else
            hi = mid;
    }
    return &j->pair[lo];
}

/* The sums of one chunk are there; with the last one, those of the pair. */
static void hand_in(struct run *run, rc_pair *p, uint64_t chunk, const rc_stats *stats)
{
    bool last;

    if (p->chunks == 1) {
        p->stats = *stats;
        return;
    }
    pthread_mutex_lock(&run->lock);
    if (!p->partial)
        p->partial = run->spare[--run->nspare];
    p->partial[chunk] = *stats;
    last = ++p->chunks_done == p->chunks;
    pthread_mutex_unlock(&run->lock);
    if (!last)
        return;
    for (uint64_t i = 0; i < p->chunks; i++)
        rc_stats_merge(&p->stats, &p->partial[i]);
    pthread_mutex_lock(&run->lock);
    run->spare[run->nspare++] = p->partial;
    p->partial = NULL;
    pthread_mutex_unlock(&run->lock);
}

/* What one item has of both sides, and whether that is the same bytes. */
struct sides {
    rc_piece piece[2];
    bool same; /* known when both are whole */
};

/* Sides that are read whole. */
static rc_code load_whole(struct run *run, const struct slot *s, const rc_pair *p,
                          struct sides *sides, rc_err *err)
{
    const bool both = is_whole(p, 0) && is_whole(p, 1);

    for (unsigned side = 0; side < 2; side++)
        if (is_whole(p, side))
            RC_TRY(load(run, s, p, side, 0, p->rows, &sides->piece[side], err));
    if (both) {
        const rc_extent e = extent(p, 0, 0, p->rows);

        sides->same = same_bytes(p, &sides->piece[0], &sides->piece[1], &e);
    }
    return RC_OK;
}

/* Rows [row, row + nrows), a part of a chunk. */
static rc_code compare_piece(struct run *run, rc_par *par, const struct slot *s, const rc_pair *p,
                             struct sides *sides, uint64_t row, uint64_t nrows, rc_stats *stats,
                             rc_err *err)
{
    rc_piece *a = &sides->piece[0], *b = &sides->piece[1];

    for (unsigned side = 0; side < 2; side++)
        if (!is_whole(p, side))
            RC_TRY(load(run, s, p, side, row, nrows, &sides->piece[side], err));
    rc_par_compute_begin(par);
    if (p->values) {
        const rc_extent e = extent(p, 0, row, nrows);
        const bool apart = !is_whole(p, 0) && !is_whole(p, 1);

        compare_values(stats, p, a, b, s, row, nrows,
                       apart ? same_bytes(p, a, b, &e) : sides->same);
    } else {
        compare_elements(stats, p, a->weight, b->weight, row, nrows);
    }
    rc_par_compute_end(par);
    return RC_OK;
}

static rc_code compare_chunk(struct run *run, rc_par *par, const struct slot *s, rc_pair *p,
                             struct sides *sides, uint64_t chunk, rc_err *err)
{
    const uint64_t row = chunk * p->chunk_rows, step = piece_rows(run, p);
    const uint64_t nrows = p->rows - row < p->chunk_rows ? p->rows - row : p->chunk_rows;
    rc_stats stats = RC_STATS_NONE;

    for (uint64_t done = 0; done < nrows; done += step)
        RC_TRY(compare_piece(run, par, s, p, sides, row + done,
                             nrows - done < step ? nrows - done : step, &stats, err));
    hand_in(run, p, chunk, &stats);
    return RC_OK;
}

static rc_code compare_item(void *ctx, rc_par *par, unsigned slot, uint64_t item, rc_err *err)
{
    struct run *run = ctx;
    const struct slot *s = &run->slot[slot];
    rc_pair *p = pair_of_item(run->judge, item);
    const uint64_t n = chunks_of_item(p), first = (item - p->first_item) * n;
    struct sides sides = { 0 };

    RC_TRY(load_whole(run, s, p, &sides, err));
    for (uint64_t i = 0; i < n; i++)
        RC_TRY(compare_chunk(run, par, s, p, &sides, first + i, err));
    return RC_OK;
}

/* memory */

static void grow(size_t *size, size_t need)
{
    if (need > *size)
        *size = need;
}

static struct sizes measure(const struct run *run)
{
    const rc_judge *j = run->judge;
    struct sizes z = { 0 };

    for (size_t i = 0; i < j->npairs; i++) {
        const rc_pair *p = &j->pair[i];
        const uint64_t step = piece_rows(run, p), nrows = p->rows < step ? p->rows : step;

        for (unsigned side = 0; side < 2; side++) {
            if (!p->values) {
                grow(&z.raw[side], extent(p, side, 0, nrows).weight_len + 2 * RC_PAGE);
                continue;
            }
            grow(&z.raw[side], rc_piece_room(bound_of(p, side), 0, nrows));
            grow(&z.scratch, rc_piece_scratch(bound_of(p, side)));
        }
        if (p->chunks > 1)
            grow(&z.partial, (size_t)p->chunks * sizeof(rc_stats));
        if (p->values) {
            const size_t cols = (size_t)p->cols;

            grow(&z.value, (cols > TILE_VALUES ? cols : TILE_VALUES) * sizeof(float));
            grow(&z.work, rc_decoder_work(cols));
        }
    }
    return z;
}

static void free_slot(rc_mem *mem, struct slot *s)
{
    for (unsigned side = 0; side < 2; side++) {
        rc_mem_put(mem, s->raw[side]);
        rc_mem_put(mem, s->value[side]);
    }
    rc_mem_put(mem, s->scratch);
    rc_mem_put(mem, s->work);
    *s = (struct slot){ 0 };
}

static bool fill_slot(rc_mem *mem, struct slot *s, const struct sizes *z)
{
    bool ok = (s->work = rc_mem_get_pages(mem, z->work)) != NULL;

    if (z->scratch)
        ok = ok && (s->scratch = rc_mem_get_pages(mem, z->scratch)) != NULL;
    for (unsigned side = 0; side < 2; side++) {
        ok = ok && (s->raw[side] = rc_mem_get_pages(mem, z->raw[side])) != NULL;
        ok = ok && (s->value[side] = rc_mem_get_pages(mem, z->value)) != NULL;
    }
    if (!ok)
        free_slot(mem, s);
    return ok;
}

static rc_code fail_slots(const struct run *run, const struct sizes *z, rc_err *err)
{
    const rc_mem *mem = run->judge->mem;
    const size_t each =
        z->raw[0] + z->raw[1] + z->scratch + 2 * z->value + z->work + 2 * z->partial;

    rc_fail(err, RC_E_OS, RC_NO_OFFSET, "not enough memory for one set of buffers (%zu bytes)",
            each);
    if (mem->limit) {
        rc_err_want(err, "--mem-limit %zuM", ((mem->used + each + each / 16) >> 20) + 1);
        rc_err_got(err, "%zu bytes", mem->limit);
    }
    return RC_E_OS;
}

static bool fill_spare(struct run *run, const struct sizes *z)
{
    rc_stats *array = rc_mem_get(run->judge->mem, z->partial);

    if (array)
        run->spare[run->nspare++] = array;
    return array != NULL;
}

/* As many slots as are wanted and the limit allows; some wait for the disk while
 * others compute. */
static rc_code make_slots(struct run *run, unsigned threads, rc_err *err)
{
    rc_mem *mem = run->judge->mem;
    const struct sizes z = run->size = measure(run);
    const unsigned crew = run->in_memory ? threads : 2 * threads + DISK_SLOTS;
    const unsigned wanted = crew < RC_PAR_MAX_SLOTS ? crew : RC_PAR_MAX_SLOTS;

    run->slot = rc_mem_get(mem, wanted * sizeof *run->slot);
    run->spare = rc_mem_get(mem, (wanted + 1) * sizeof *run->spare);
    if (!run->slot || !run->spare)
        return rc_fail_nomem(err, mem, wanted * sizeof *run->slot);
    if (run->judge->nitems == 0)
        return RC_OK;
    if (!fill_spare(run, &z))
        return fail_slots(run, &z, err);
    while (run->nslots < wanted && run->nslots < run->judge->nitems && fill_spare(run, &z)) {
        if (!fill_slot(mem, &run->slot[run->nslots], &z))
            break;
        run->nslots++;
    }
    return run->nslots ? RC_OK : fail_slots(run, &z, err);
}

static void free_slots(struct run *run)
{
    rc_mem *mem = run->judge->mem;

    for (size_t i = 0; i < run->judge->npairs; i++) { /* of a run that failed half way */
        rc_pair *p = &run->judge->pair[i];

        if (p->partial)
            run->spare[run->nspare++] = p->partial;
        p->partial = NULL;
    }
    for (unsigned i = 0; i < run->nspare; i++)
        rc_mem_put(mem, run->spare[i]);
    for (unsigned i = 0; i < run->nslots; i++)
        free_slot(mem, &run->slot[i]);
    rc_mem_put(mem, run->spare);
    rc_mem_put(mem, run->slot);
}

static rc_code recheck(const rc_subject *side, rc_err *err)
{
    rc_code rc = RC_OK;

    for (size_t i = 0; i < rc_ckpt_shards(side->ckpt) && rc == RC_OK; i++)
        rc = rc_source_recheck(rc_ckpt_source(side->ckpt), rc_ckpt_shard(side->ckpt, i)->file, err);
    if (rc != RC_OK)
        rc_subject_name(err, side);
    return rc;
}

/* A warning of a kind is given once, at the first parameter that it holds for. */
struct warning {
    const rc_pair *first;
    uint64_t n;
};

static void count(struct warning *w, bool holds, const rc_pair *p)
{
    if (!holds)
        return;
    w->first = w->first ? w->first : p;
    w->n++;
}

static void warn_of(rc_judge *j, const struct warning *w, unsigned side, const char *what,
                    const char *units, const char *more)
{
    const rc_subject *s = side ? &j->b : &j->a;
    const rc_tensor *t;
    char path[512];

    if (!w->first)
        return;
    t = side ? w->first->tb : w->first->ta;
    rc_findings_add(&j->findings, RC_WARNING, RC_OK, "values",
                    rc_judge_path(path, sizeof path, s, rc_ckpt_shard(s->ckpt, t->shard)->name),
                    w->first->name, "%s %" PRIu64 " %s in all%s", what, w->n, units, more);
}

/* What the values themselves give reason to say. */
static void report_values(rc_judge *j)
{
    struct warning zero = { 0 }, odd_a = { 0 }, odd_b = { 0 };

    for (size_t i = 0; i < j->npairs; i++) {
        const rc_pair *p = &j->pair[i];
        const rc_comparison *c = &p->stats.sum;

        if (!p->values)
            continue;
        /* aa is over places that are finite on both sides */
        count(&zero,
              p->a->param->quant != RC_QUANT_NONE && c->aa == 0 && !c->nan_a && !c->inf_a &&
                  !c->nan_b && !c->inf_b,
              p);
        count(&odd_a, c->nan_a || c->inf_a, p);
        count(&odd_b, c->nan_b > c->nan_a || c->inf_b > c->inf_a, p);
    }
    warn_of(j, &zero, 0, "all zero in NATIVE, as", zero.n == 1 ? "matrix" : "matrices",
            ": is it whole?");
    warn_of(j, &odd_a, 0, "NaN or infinity in NATIVE, in",
            odd_a.n == 1 ? "parameter" : "parameters", "");
    warn_of(j, &odd_b, 1, "NaN or infinity in CONVERTED, in",
            odd_b.n == 1 ? "parameter" : "parameters", " that are finite in NATIVE");
}

rc_code rc_judge_run(rc_judge *judge, unsigned threads, _Atomic uint64_t *done, rc_err *err)
{
    struct run run = { .judge = judge, .done = done, .lock = PTHREAD_MUTEX_INITIALIZER };
    rc_code rc;

    run.in_memory = rc_source_in_memory(rc_ckpt_source(judge->a.ckpt)) &&
                    rc_source_in_memory(rc_ckpt_source(judge->b.ckpt));

    for (size_t i = 0; i < judge->npairs; i++) { /* a run may be repeated */
        judge->pair[i].stats = RC_STATS_NONE;
        judge->pair[i].chunks_done = 0;
    }
    rc = make_slots(&run, threads, err);
    if (rc == RC_OK)
        rc = rc_par_run(judge->nitems, run.nslots, threads, compare_item, &run, err);
    if (rc == RC_OK)
        rc = recheck(&judge->a, err);
    if (rc == RC_OK)
        rc = recheck(&judge->b, err);
    free_slots(&run);
    pthread_mutex_destroy(&run.lock);
    if (rc == RC_OK) {
        report_values(judge);
        rc_judge_report_scaling(judge);
    }
    return rc;
}
