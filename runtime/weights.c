/* runtime/weights.c - see weights.h. One mutex guards everything: pieces are megabytes, so it is
 * taken a few thousand times a second at most. */
#include "runtime/weights.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

#include "formats/base/stop.h"
#include "runtime/piece.h"
#include "runtime/weights_impl.h"

#define PIECE_BYTES                                                                                \
    (4u << 20)         /* of stored weights; large enough for a disk, small enough to overlap */
#define STEP_ROWS 128u /* rows under one FP8 scale */

typedef enum state { ABSENT, QUEUED, READING, READY, FAILED } state;

typedef struct rc_weights_entry entry;

/* One piece. */
struct rc_weights_entry {
    const rc_bound *bound;
    uint64_t row, n;
    state state;
    bool wanted;
    unsigned held;
    uint64_t used; /* when it was got last */
    uint8_t *buf;  /* weight, scales, zero points; page aligned */
    size_t buf_len;
    const uint8_t *weight, *scale, *zero; /* inside buf */
    entry *next, *prev;                   /* in the queue, or among the ready ones */
};

typedef struct list {
    entry *first, *last;
} list;

typedef struct buffer {
    uint8_t *at;
    size_t len;
} buffer;

enum { MAX_READERS = 16, SPARE = 32 };

struct rc_weights {
    rc_model *model;
    const rc_swap *swap; /* or NULL */
    rc_mem *mem;
    size_t budget, resident; /* bytes of buffers, spare ones included */
    rc_arena arena;
    entry **of; /* by parameter, the other model's last: its pieces, or NULL until asked for */

    pthread_mutex_t lock;
    pthread_cond_t work, ready;
    list queue, kept;
    uint8_t
        *scratch[MAX_READERS + 1]; /* that nobody reads with; none where no layout asks for it */
    size_t scratch_len;
    unsigned nscratch;
    buffer spare[SPARE]; /* of pieces gone: fresh memory costs as much as reading */
    unsigned nspare, reading;
    uint64_t clock;
    bool closing;
    entry *failed; /* read ahead in vain, and why: for whoever gets it */
    rc_err error;

    pthread_t reader[MAX_READERS];
    unsigned nreaders;
    rc_weights_stats stats;
};

static void list_add(list *l, entry *e)
{
    e->next = NULL;
    e->prev = l->last;
    *(l->last ? &l->last->next : &l->first) = e;
    l->last = e;
}

static void list_remove(list *l, entry *e)
{
    *(e->prev ? &e->prev->next : &l->first) = e->next;
    *(e->next ? &e->next->prev : &l->last) = e->prev;
    e->next = e->prev = NULL;
}

/* -- two models ------------------------------------------------------------ */

static bool is_of(const rc_model *m, const rc_bound *b)
{
    const uintptr_t at = (uintptr_t)b, first = (uintptr_t)rc_model_at(m, 0);

    return at >= first && at < first + rc_model_count(m) * sizeof *b;
}

/* Whose a parameter is. */
static rc_model *owner(const rc_weights *w, const rc_bound *b)
{
    return w->swap && is_of(w->swap->from, b) ? w->swap->from : w->model;
}

/* Where its pieces are noted. */
static entry **pieces_at(const rc_weights *w, const rc_bound *b)
{
    const rc_model *m = owner(w, b);

    return w->of + (m == w->model ? 0 : rc_model_count(w->model)) + (b - rc_model_at(m, 0));
}

/* What columns of a parameter are multiplied by, or NULL. */
const float *rc_weights_columns(const rc_weights *w, const rc_bound *bound)
{
    return w->swap && w->swap->columns && owner(w, bound) == w->swap->from
               ? w->swap->columns(w->swap->ctx, bound->param)
               : NULL;
}

/* What stands for a parameter of the model; NULL when the other has none. */
static const rc_bound *stand_in(const rc_weights *w, const rc_bound *own)
{
    return w->swap && w->swap->takes(w->swap->ctx, own->param)
               ? rc_model_find(w->swap->from, own->param->name)
               : own;
}

const rc_bound *rc_weights_bound(const rc_weights *w, const char *param)
{
    const rc_bound *own = rc_model_find(w->model, param);

    return own ? stand_in(w, own) : NULL;
}

rc_ckpt *rc_weights_ckpt(const rc_weights *w, const rc_bound *bound)
{
    return rc_model_ckpt(owner(w, bound));
}

/* -- pieces ---------------------------------------------------------------- */

static uint64_t rows_of(const rc_bound *b)
{
    return b->param->rank == 2 ? b->param->shape[0] : 1;
}

uint64_t rc_weights_step(const rc_weights *w, const rc_bound *bound)
{
    const rc_extent one = rc_decoder_extent(bound, 0, 1);
    const uint64_t rows = rows_of(bound);
    uint64_t step = PIECE_BYTES / (one.weight_len ? one.weight_len : 1) / STEP_ROWS * STEP_ROWS;

    (void)w;
    if (rc_decoder_whole(bound))
        return rows;
    if (step == 0)
        step = STEP_ROWS;
    return step < rows ? step : rows;
}

size_t rc_weights_pieces(const rc_weights *w, const rc_bound *bound)
{
    return (size_t)rc_ceil_div(rows_of(bound), rc_weights_step(w, bound));
}

/* The pieces of a parameter; made on first use. NULL: no memory. */
static entry *pieces_of(rc_weights *w, const rc_bound *bound)
{
    entry **at = pieces_at(w, bound);
    const uint64_t step = rc_weights_step(w, bound), rows = rows_of(bound);
    const size_t n = rc_weights_pieces(w, bound);

    if (!*at && (*at = rc_arena_get(&w->arena, n * sizeof **at)) != NULL)
        for (size_t i = 0; i < n; i++) {
            (*at)[i].bound = bound;
            (*at)[i].row = i * step;
            (*at)[i].n = rows - i * step < step ? rows - i * step : step;
        }
    return *at;
}

/* -- room ------------------------------------------------------------------ */

static void drop_spare(rc_weights *w, unsigned i)
{
    w->resident -= w->spare[i].len;
    rc_mem_put(w->mem, w->spare[i].at);
    w->spare[i] = w->spare[--w->nspare];
}

/* Take the buffer off an entry. Of many spare ones the smallest goes. */
static void take_buffer(rc_weights *w, entry *e)
{
    if (w->nspare == SPARE) {
        unsigned least = 0;

        for (unsigned i = 1; i < w->nspare; i++)
            if (w->spare[i].len < w->spare[least].len)
                least = i;
        drop_spare(w, least);
    }
    w->spare[w->nspare++] = (buffer){ e->buf, e->buf_len };
    e->buf = NULL;
    e->weight = e->scale = e->zero = NULL;
}

static void evict(rc_weights *w, entry *e)
{
    list_remove(&w->kept, e);
    e->state = ABSENT;
    take_buffer(w, e);
}

/* The piece to go: the one used last of those that nobody wants; when somebody waits, of all. */
static entry *victim(const rc_weights *w, bool urgent)
{
    entry *best = NULL;

    for (entry *e = w->kept.first; e; e = e->next)
        if (e->held == 0 && (urgent || !e->wanted) &&
            (!best || (best->wanted && !e->wanted) ||
             (best->wanted == e->wanted && e->used > best->used)))
            best = e;
    return best;
}

/* A spare buffer that is not far too large. */
static bool reuse(rc_weights *w, entry *e, size_t need)
{
    unsigned best = SPARE;

    for (unsigned i = 0; i < w->nspare; i++)
        if (w->spare[i].len >= need && w->spare[i].len / 2 <= need &&
            (best == SPARE || w->spare[i].len < w->spare[best].len))
            best = i;
    if (best == SPARE)
        return false;
    e->buf = w->spare[best].at;
    e->buf_len = w->spare[best].len;
    w->spare[best] = w->spare[--w->nspare];
    return true;
}

/* A buffer for an entry; evicts. False: there is no room now. */
static bool make_room(rc_weights *w, entry *e, bool urgent)
{
    const size_t need = rc_piece_room(e->bound, e->row, e->n);

    for (;;) {
        entry *old;

        if (reuse(w, e, need))
            return true;
        if (w->resident + need <= w->budget && (e->buf = rc_mem_get_pages(w->mem, need)) != NULL) {
            e->buf_len = need;
            w->resident += need;
            return true;
        }
        if (w->nspare)
            drop_spare(w, w->nspare - 1);
        else if ((old = victim(w, urgent)) != NULL)
            evict(w, old);
        else
            return false;
    }
}

/* -- readers --------------------------------------------------------------- */

static rc_code read_piece(rc_weights *w, entry *e, uint8_t *scratch, rc_err *err)
{
    rc_piece piece;

    RC_TRY(rc_piece_read(&piece, rc_weights_ckpt(w, e->bound), e->bound, e->row, e->n, e->buf,
                         e->buf_len, scratch, err));
    e->weight = piece.weight;
    e->scale = piece.scale;
    e->zero = piece.zero;
    return RC_OK;
}

/* Read e, whose buffer is there. Locked on entry and on return. */
static rc_code fetch(rc_weights *w, entry *e, rc_err *err)
{
    uint8_t *scratch = w->nscratch ? w->scratch[--w->nscratch] : NULL; /* there is one for each */
    rc_code rc;

    e->state = READING;
    w->reading++;
    pthread_mutex_unlock(&w->lock);
    rc = read_piece(w, e, scratch, err);
    pthread_mutex_lock(&w->lock);
    w->reading--;
    if (scratch)
        w->scratch[w->nscratch++] = scratch;
    e->state = rc == RC_OK ? READY : ABSENT;
    if (rc == RC_OK) {
        const rc_extent x = rc_decoder_extent(e->bound, e->row, e->n);

        w->stats.bytes_read += x.weight_len + x.scale_len + x.zero_len;
        w->stats.pieces_read++;
        e->used = ++w->clock;
        list_add(&w->kept, e);
    } else {
        take_buffer(w, e);
    }
    pthread_cond_broadcast(&w->ready);
    return rc;
}

/* One failure is remembered; another piece will be read again by whoever needs it. */
static void fetch_ahead(rc_weights *w, entry *e)
{
    rc_err err;

    if (fetch(w, e, &err) != RC_OK && !w->failed) {
        e->state = FAILED;
        w->failed = e;
        w->error = err;
    }
}

static void forget_failure(rc_weights *w, entry *e)
{
    e->state = ABSENT;
    w->failed = NULL;
}

static void *read_ahead(void *arg)
{
    rc_weights *w = arg;

    pthread_mutex_lock(&w->lock);
    while (!w->closing) {
        entry *e = w->queue.first;

        if (e && make_room(w, e, false)) {
            list_remove(&w->queue, e);
            fetch_ahead(w, e);
        } else {
            pthread_cond_wait(&w->work, &w->lock);
        }
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

/* -- the caller's side ----------------------------------------------------- */

void rc_weights_want(rc_weights *w, const rc_bound *bound)
{
    const size_t n = rc_weights_pieces(w, bound);
    entry *e;

    pthread_mutex_lock(&w->lock);
    e = pieces_of(w, bound);
    for (size_t i = 0; e && i < n; i++) {
        e[i].wanted = true;
        if (e[i].state == ABSENT) {
            e[i].state = QUEUED;
            list_add(&w->queue, &e[i]);
        }
    }
    pthread_cond_broadcast(&w->work);
    pthread_mutex_unlock(&w->lock);
}

void rc_weights_done(rc_weights *w, const rc_bound *bound)
{
    const size_t n = rc_weights_pieces(w, bound);
    entry *e;

    pthread_mutex_lock(&w->lock);
    e = *pieces_at(w, bound);
    for (size_t i = 0; e && i < n; i++) {
        e[i].wanted = false;
        if (e[i].state == QUEUED) {
            list_remove(&w->queue, &e[i]);
            e[i].state = ABSENT;
        } else if (e[i].state == FAILED) {
            forget_failure(w, &e[i]);
        }
    }
    pthread_cond_broadcast(&w->work);
    pthread_mutex_unlock(&w->lock);
}

static double seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Until e is ready. A piece that no reader has begun is read here, before its turn. */
static rc_code await(rc_weights *w, entry *e, rc_err *err)
{
    const double begin = seconds();

    while (e->state != READY) {
        if (e->state == FAILED) {
            *err = w->error;
            forget_failure(w, e);
            return err->code;
        }
        if (e->state == READING) {
            pthread_cond_wait(&w->ready, &w->lock);
        } else if (make_room(w, e, true)) {
            if (e->state == QUEUED)
                list_remove(&w->queue, e);
            RC_TRY(fetch(w, e, err));
        } else if (w->reading) { /* the room is being read into: what is ready can go */
            pthread_cond_wait(&w->ready, &w->lock);
        } else {
            return rc_fail_nomem(err, w->mem, rc_piece_room(e->bound, e->row, e->n));
        }
    }
    w->stats.wait_s += seconds() - begin;
    return RC_OK;
}

rc_code rc_weights_get(rc_weights *w, const rc_bound *bound, size_t i, rc_held *held, rc_err *err)
{
    rc_code rc = RC_OK;
    rc_err local;
    entry *e;

    *held = (rc_held){ 0 };
    RC_TRY(rc_stop_check(err));
    pthread_mutex_lock(&w->lock);
    e = pieces_of(w, bound);
    if (!e) {
        rc = rc_fail_nomem(err, w->mem, sizeof *e);
    } else {
        e += i;
        if (e->state == READY)
            w->stats.pieces_kept++;
        rc = await(w, e, err ? err : &local);
    }
    if (rc == RC_OK) {
        e->held++;
        e->used = ++w->clock;
        rc_decoder_lay_out(&held->piece, bound);
        held->piece.weight = e->weight;
        held->piece.scale = e->scale;
        held->piece.zero = e->zero;
        held->piece.columns = rc_weights_columns(w, bound);
        held->piece.row0 = held->row = e->row;
        held->n = e->n;
        held->entry = e;
    }
    pthread_mutex_unlock(&w->lock);
    return rc;
}

void rc_weights_put(rc_weights *w, rc_held *held)
{
    if (!held->entry)
        return;
    pthread_mutex_lock(&w->lock);
    held->entry->held--;
    pthread_cond_broadcast(&w->work);
    pthread_mutex_unlock(&w->lock);
    held->entry = NULL;
}

rc_weights_stats rc_weights_statistics(const rc_weights *weights)
{
    rc_weights *w = (rc_weights *)(uintptr_t)weights;
    rc_weights_stats s;

    pthread_mutex_lock(&w->lock);
    s = w->stats;
    pthread_mutex_unlock(&w->lock);
    return s;
}

size_t rc_weights_fit(const rc_weights *w, const rc_bound *bound)
{
    const size_t one =
        rc_weights_pieces(w, bound) * rc_piece_room(bound, 0, rc_weights_step(w, bound));

    return one < w->budget ? w->budget / one : 1;
}

rc_mem *rc_weights_mem(const rc_weights *w)
{
    return w->mem;
}

void rc_weights_count_bytes(rc_weights *w, uint64_t nbytes)
{
    pthread_mutex_lock(&w->lock);
    w->stats.bytes_read += nbytes;
    pthread_mutex_unlock(&w->lock);
}

/* -- open and close -------------------------------------------------------- */

static rc_code require_shape(const rc_param *own, const rc_param *other, rc_err *err)
{
    if (own->rank == other->rank && memcmp(own->shape, other->shape, sizeof own->shape) == 0)
        return RC_OK;
    rc_fail(err, RC_E_TENSORSET, RC_NO_OFFSET, "the models differ in the shape of a parameter");
    rc_err_tensor(err, own->name);
    return RC_E_TENSORSET;
}

/* The largest piece that a product may ask for, and what reading any of them needs besides. */
static rc_code measure(rc_weights *w, size_t *largest, rc_err *err)
{
    *largest = 0;
    for (size_t i = 0; i < rc_model_count(w->model); i++) {
        const rc_bound *own = rc_model_at(w->model, i), *b = stand_in(w, own);

        if (b)
            RC_TRY(require_shape(own->param, b->param, err));
        if (b && b->weight && rc_decoder_of(b)) {
            const size_t n = rc_piece_room(b, 0, rc_weights_step(w, b));
            const size_t scratch = rc_piece_scratch(b);

            *largest = n > *largest ? n : *largest;
            w->scratch_len = scratch > w->scratch_len ? scratch : w->scratch_len;
        }
    }
    return RC_OK;
}

/* Scratch memory of `readers` and of the caller comes out of the budget. */
static rc_code judge_budget(rc_weights *w, unsigned readers, rc_err *err)
{
    size_t largest, besides;

    RC_TRY(measure(w, &largest, err));
    besides = w->scratch_len * (readers + 1);
    if (w->budget >= 3 * largest + besides) {
        w->budget -= besides;
        return RC_OK;
    }
    rc_fail(err, RC_E_LIMIT, RC_NO_OFFSET, "the memory limit leaves too little for weights");
    rc_err_want(err, "at least %zu bytes", 3 * largest + besides);
    rc_err_got(err, "%zu", w->budget);
    rc_err_hint(err, "raise --mem-limit");
    return RC_E_LIMIT;
}

static rc_code get_scratch(rc_weights *w, unsigned n, rc_err *err)
{
    while (w->scratch_len && w->nscratch < n) {
        w->scratch[w->nscratch] = rc_mem_get_pages(w->mem, w->scratch_len);
        if (!w->scratch[w->nscratch])
            return rc_fail_nomem(err, w->mem, w->scratch_len);
        w->nscratch++;
    }
    return RC_OK;
}

rc_code rc_weights_open(rc_weights **out, rc_model *model, const rc_swap *swap, size_t budget,
                        unsigned readers, rc_mem *mem, rc_err *err)
{
    const size_t params = rc_model_count(model) + (swap ? rc_model_count(swap->from) : 0);
    const unsigned crew = readers < MAX_READERS ? readers : MAX_READERS;
    rc_weights *w = rc_mem_get(mem, sizeof *w);
    rc_code rc;

    *out = NULL;
    if (!w)
        return rc_fail_nomem(err, mem, sizeof *w);
    w->model = model;
    w->swap = swap;
    w->mem = w->arena.mem = mem;
    w->budget = budget;
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->work, NULL);
    pthread_cond_init(&w->ready, NULL);
    w->of = rc_mem_get(mem, params * sizeof(entry *));
    rc = w->of ? judge_budget(w, crew, err) : rc_fail_nomem(err, mem, params * sizeof(entry *));
    if (rc == RC_OK)
        rc = get_scratch(w, crew + 1, err);
    if (rc != RC_OK) {
        rc_weights_close(&w);
        return rc;
    }
    for (unsigned i = 0; i < crew; i++, w->nreaders++)
        if (pthread_create(&w->reader[i], NULL, read_ahead, w) != 0)
            break; /* without readers the caller reads */
    *out = w;
    return RC_OK;
}

void rc_weights_close(rc_weights **weights)
{
    rc_weights *w = *weights;

    if (!w)
        return;
    pthread_mutex_lock(&w->lock);
    w->closing = true;
    pthread_cond_broadcast(&w->work);
    pthread_mutex_unlock(&w->lock);
    for (unsigned i = 0; i < w->nreaders; i++)
        pthread_join(w->reader[i], NULL);
    while (w->kept.first)
        evict(w, w->kept.first);
    while (w->nspare)
        drop_spare(w, w->nspare - 1);
    while (w->nscratch)
        rc_mem_put(w->mem, w->scratch[--w->nscratch]);
    rc_arena_free(&w->arena);
    rc_mem_put(w->mem, w->of);
    pthread_cond_destroy(&w->work);
    pthread_cond_destroy(&w->ready);
    pthread_mutex_destroy(&w->lock);
    rc_mem_put(w->mem, w);
    *weights = NULL;
}
