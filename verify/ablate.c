/* verify/ablate.c - see ablate.h. */
#include "verify/ablate.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RANGES = 4, MANY = 8, MOST_PARTS = 16, MAX_KINDS = 128 };
_Static_assert(MOST_PARTS >= (int)RC_ROLE_COUNT, "a split fits");
#define GO_DOWN 0.5 /* of what the parent wins */

/* A parameter that differs. */
typedef struct suspect {
    const rc_pair *pair;
    size_t index; /* in NATIVE's model */
    int32_t key[RC_ABLATE_LEVELS];
} suspect;

/* Some suspects on trial: what swaps ask about. */
typedef struct trial {
    const rc_model *native;
    const rc_scaled *scaled; /* what goes back has to fit into CONVERTED's channels */
    bool *back;              /* by NATIVE's parameters */
} trial;

typedef struct ablation {
    rc_ablation *out;
    rc_twin *twin;
    const rc_judge *judge;
    rc_model *native, *converted;
    rc_mem *mem;
    _Atomic uint64_t *done;
    trial trial;
    char kind[MAX_KINDS][64];
    size_t kinds;
} ablation;

/* -- suspects -------------------------------------------------------------- */

/* "layers.7.ffn.experts.3.w1.weight" -> "w1", "layers.7.attn.wq_b.weight" -> "attn.wq_b" */
static void stem(const rc_param *p, char out[64])
{
    const char *from = p->name, *dot;
    size_t len;

    if (p->layer >= 0 && (dot = strchr(from, '.')) != NULL && (dot = strchr(dot + 1, '.')) != NULL)
        from = dot + 1;
    if (p->expert >= 0 && (dot = strstr(from, "experts.")) != NULL &&
        (dot = strchr(dot + 8, '.')) != NULL)
        from = dot + 1;
    len = strlen(from);
    if (len > 7 && strcmp(from + len - 7, ".weight") == 0)
        len -= 7;
    snprintf(out, 64, "%.*s", (int)(len < 63 ? len : 63), from);
}

static int32_t kind_of(ablation *a, const rc_param *p)
{
    char name[64];
    size_t i = 0;

    stem(p, name);
    while (i < a->kinds && strcmp(a->kind[i], name) != 0)
        i++;
    if (i == a->kinds && i < MAX_KINDS)
        memcpy(a->kind[a->kinds++], name, sizeof name);
    return (int32_t)(i < MAX_KINDS ? i : MAX_KINDS - 1);
}

/* What differs and matters to the logits. */
static size_t list_suspects(ablation *a, suspect *s)
{
    size_t n = 0;

    for (size_t i = 0; i < rc_judge_pairs(a->judge); i++) {
        const rc_pair *p = rc_judge_pair(a->judge, i);

        if (!p->a || p->draft || p->role == RC_ROLE_VISION || rc_stats_exact(&p->stats))
            continue;
        s[n].pair = p;
        s[n].index = (size_t)(p->a - rc_model_at(a->native, 0));
        s[n].key[RC_ABLATE_ROLES] = (int32_t)p->role;
        s[n].key[RC_ABLATE_LAYERS] = p->layer;
        s[n].key[RC_ABLATE_KINDS] = kind_of(a, p->a->param);
        s[n].key[RC_ABLATE_EXPERTS] = p->a->param->expert;
        n++;
    }
    return n;
}

/* The first level whose keys are not all the same; RC_ABLATE_LEVELS when all are. */
static rc_ablation_level splits_by(const suspect *s, size_t n)
{
    for (unsigned level = 0; level < RC_ABLATE_LEVELS; level++)
        for (size_t i = 1; i < n; i++)
            if (s[i].key[level] != s[0].key[level])
                return (rc_ablation_level)level;
    return RC_ABLATE_LEVELS;
}

/* By the key of a level, else as in the model. qsort has no context: the key goes with the suspect.
 */
typedef struct ordered {
    int32_t key;
    suspect s;
} ordered;

static int by_key(const void *a, const void *b)
{
    const ordered *x = a, *y = b;

    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return x->s.index < y->s.index ? -1 : x->s.index > y->s.index;
}

static rc_code sort_by(ablation *a, suspect *s, size_t n, rc_ablation_level level, rc_err *err)
{
    ordered *o = rc_mem_get(a->mem, n * sizeof *o);

    if (!o)
        return rc_fail_nomem(err, a->mem, n * sizeof *o);
    for (size_t i = 0; i < n; i++)
        o[i] = (ordered){ s[i].key[level], s[i] };
    qsort(o, n, sizeof *o, by_key);
    for (size_t i = 0; i < n; i++)
        s[i] = o[i].s;
    rc_mem_put(a->mem, o);
    return RC_OK;
}

static size_t distinct(const suspect *s, size_t n, rc_ablation_level level)
{
    size_t keys = 1;

    for (size_t i = 1; i < n; i++)
        keys += s[i].key[level] != s[i - 1].key[level];
    return keys;
}

/* -- words ----------------------------------------------------------------- */

RC_PRINTF(2, 3)
static void say(char label[128], const char *fmt, ...)
{
    const size_t len = strlen(label);
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(label + len, 128 - len, fmt, ap);
    va_end(ap);
}

static void say_range(char label[128], const char *one, const suspect *s, size_t n,
                      rc_ablation_level level)
{
    int32_t least = INT32_MAX, most = INT32_MIN;

    for (size_t i = 0; i < n; i++) {
        least = s[i].key[level] < least ? s[i].key[level] : least;
        most = s[i].key[level] > most ? s[i].key[level] : most;
    }
    if (least < 0)
        return;
    if (least == most)
        say(label, ", %s %d", one, least);
    else
        say(label, ", %ss %d-%d", one, least, most);
}

static bool is_one(const suspect *s, size_t n, rc_ablation_level level)
{
    for (size_t i = 1; i < n; i++)
        if (s[i].key[level] != s[0].key[level])
            return false;
    return true;
}

static void label_of(const ablation *a, rc_ablation_group *g, const suspect *s, size_t n)
{
    g->label[0] = '\0';
    if (n == 1) {
        say(g->label, "%s", s->pair->name);
        return;
    }
    say(g->label, "%s", rc_role_name(s->pair->role));
    if (g->level >= RC_ABLATE_LAYERS || is_one(s, n, RC_ABLATE_LAYERS))
        say_range(g->label, "layer", s, n, RC_ABLATE_LAYERS);
    if (g->level >= RC_ABLATE_KINDS)
        say(g->label, ", %s", a->kind[s->key[RC_ABLATE_KINDS]]);
    if (g->level >= RC_ABLATE_EXPERTS)
        say_range(g->label, "expert", s, n, RC_ABLATE_EXPERTS);
}

/* The lowest SQNR first. */
static void name_worst(rc_ablation_group *g, const suspect *s, size_t n)
{
    const rc_pair *worst[RC_ABLATE_NAMES] = { NULL };

    for (size_t i = 0; i < n; i++) {
        const double db = rc_pair_sqnr(s[i].pair);
        size_t at = g->names;

        while (at > 0 && rc_pair_sqnr(worst[at - 1]) > db)
            at--;
        if (at == RC_ABLATE_NAMES)
            continue;
        if (g->names < RC_ABLATE_NAMES)
            g->names++;
        memmove(worst + at + 1, worst + at, (g->names - 1 - at) * sizeof *worst);
        worst[at] = s[i].pair;
    }
    for (size_t i = 0; i < g->names; i++)
        g->name[i] = worst[i]->name;
}

/* -- trials ---------------------------------------------------------------- */

static bool is_back(const void *ctx, const rc_param *param)
{
    const trial *t = ctx;
    const rc_bound *b = rc_model_find(t->native, param->name);

    return b && t->back[b - rc_model_at(t->native, 0)];
}

static const float *fit(const void *ctx, const rc_param *param)
{
    const trial *t = ctx;
    const rc_bound *b = rc_model_find(t->native, param->name);

    return b ? rc_scaled_fit(t->scaled, b) : NULL;
}

static bool all_of_it(const void *ctx, const rc_param *param)
{
    (void)ctx, (void)param;
    return true;
}

static rc_code add_group(ablation *a, const rc_ablation_group *g, rc_err *err)
{
    rc_ablation *out = a->out;

    if (out->n == out->room) {
        const size_t room = out->room ? 2 * out->room : 16;
        void *grown = rc_mem_grow(a->mem, out->group, room * sizeof *out->group);

        if (!grown)
            return rc_fail_nomem(err, a->mem, room * sizeof *out->group);
        out->group = grown;
        out->room = room;
    }
    out->group[out->n++] = *g;
    if (a->done)
        (*a->done)++;
    return RC_OK;
}

/* A model that says no numbers has an infinite divergence. */
static double won(double kl, double all)
{
    if (isinf(kl))
        return 0;
    return isinf(all) ? 1 : 1 - kl / all;
}

static rc_code try_group(ablation *a, rc_ablation_level level, const suspect *s, size_t n,
                         rc_err *err)
{
    rc_ablation_group g = { .level = level, .params = n };
    const rc_swap swap = { .from = a->native, .takes = is_back, .ctx = &a->trial, .columns = fit };

    for (size_t i = 0; i < n; i++)
        a->trial.back[s[i].index] = true;
    RC_TRY(rc_twin_swapped(a->twin, &swap, false, &g.kl, err));
    for (size_t i = 0; i < n; i++)
        a->trial.back[s[i].index] = false;
    g.won = won(g.kl, a->out->kl_all);
    label_of(a, &g, s, n);
    name_worst(&g, s, n);
    return add_group(a, &g, err);
}

/* NATIVE's model with every parameter from CONVERTED: only the config is put back. */
static rc_code try_config(ablation *a, rc_err *err)
{
    rc_ablation_group g = { .level = RC_ABLATE_ROLES, .label = "config.json", .config = true };
    const rc_swap swap = { .from = a->converted, .takes = all_of_it };

    RC_TRY(rc_twin_swapped(a->twin, &swap, true, &g.kl, err));
    g.won = won(g.kl, a->out->kl_all);
    return add_group(a, &g, err);
}

/* -- the way down ---------------------------------------------------------- */

/* Where the part that begins at `from` ends: one key, or a range of them. */
static size_t part_end(const suspect *s, size_t n, rc_ablation_level level, size_t from,
                       size_t keys_a_part)
{
    size_t end = from + 1, keys = 1;

    while (end < n) {
        if (s[end].key[level] != s[end - 1].key[level] && keys++ == keys_a_part)
            break;
        end++;
    }
    return end;
}

/* Of the groups tried since `first` the one that wins most, when that is enough; else NULL. */
static const rc_ablation_group *blame(ablation *a, size_t first, double at_least)
{
    const rc_ablation *out = a->out;
    size_t best = first;

    for (size_t i = first; i < out->n; i++)
        if (out->group[i].won > out->group[best].won)
            best = i;
    if (first == out->n || out->group[best].won <= 0 || out->group[best].won < at_least)
        return NULL;
    a->out->blamed = (int32_t)best;
    return &out->group[best];
}

typedef struct part {
    size_t begin, end;
} part;

/* Split s[n], which is sorted, and try each part: part i is group `first` + i of the answer. */
static rc_code try_parts(ablation *a, const suspect *s, size_t n, rc_ablation_level level,
                         part parts[MOST_PARTS], rc_err *err)
{
    const size_t keys = distinct(s, n, level);
    const bool ranges = level != RC_ABLATE_ROLES && keys > MANY;
    const size_t keys_a_part = ranges ? (keys + RANGES - 1) / RANGES : 1;
    unsigned i = 0;

    for (size_t begin = 0, end; begin < n; begin = end, i++) {
        end = part_end(s, n, level, begin, keys_a_part);
        parts[i] = (part){ begin, end };
        RC_TRY(try_group(a, level, s + begin, end - begin, err));
    }
    return RC_OK;
}

static rc_code go_down(ablation *a, suspect *s, size_t n, rc_err *err)
{
    const rc_ablation_group *best;
    size_t first = 0; /* groups of this split begin here */
    double parent = 0;

    /* All of one role: it is the parent of its parts. Two tensors that changed places win nothing
     * when only one of them is put back. */
    if (n > 1 && splits_by(s, n) != RC_ABLATE_ROLES) {
        RC_TRY(try_group(a, RC_ABLATE_ROLES, s, n, err));
        best = blame(a, first, 0);
        if (!best || best->config)
            return RC_OK;
        parent = best->won;
        first = a->out->n;
    }
    while (n > 0) {
        const rc_ablation_level level = splits_by(s, n);
        const size_t config = a->out->n - first;
        part parts[MOST_PARTS] = { { 0, n } };

        if (level == RC_ABLATE_LEVELS && parent > 0)
            return RC_OK; /* as far down as it goes */
        if (level == RC_ABLATE_LEVELS) {
            RC_TRY(try_group(a, RC_ABLATE_ROLES, s, n, err));
        } else {
            RC_TRY(sort_by(a, s, n, level, err));
            RC_TRY(try_parts(a, s, n, level, parts, err));
        }
        best = blame(a, first, GO_DOWN * parent);
        if (!best || best->config)
            return RC_OK;
        const part *p = &parts[(size_t)a->out->blamed - first - config];

        s += p->begin;
        n = p->end - p->begin;
        parent = best->won;
        first = a->out->n;
    }
    (void)blame(a, 0, 0); /* nothing but the config differs */
    return RC_OK;
}

static bool is_config_alike(const ablation *a)
{
    return rc_alike_config(rc_ckpt_config(rc_model_ckpt(a->native)),
                           rc_ckpt_config(rc_model_ckpt(a->converted)));
}

rc_code rc_ablate(rc_ablation *out, rc_twin *twin, const rc_judge *judge, _Atomic uint64_t *done,
                  rc_mem *mem, rc_err *err)
{
    const rc_behaviour *b = rc_twin_behaviour(twin);
    ablation *a = rc_mem_get(mem, sizeof *a);
    suspect *s = rc_mem_get(mem, (rc_judge_pairs(judge) + 1) * sizeof *s);
    rc_code rc = RC_OK;

    *out = (rc_ablation){ .kl_all = b->broken ? HUGE_VAL : b->kl.value,
                          .positions = b->positions,
                          .blamed = -1 };
    if (a && s) {
        a->out = out;
        a->twin = twin;
        a->judge = judge;
        a->native = rc_judge_native(judge)->model;
        a->converted = rc_judge_converted(judge)->model;
        a->mem = mem;
        a->done = done;
        a->trial.native = a->native;
        a->trial.scaled = rc_judge_scaled(judge);
        a->trial.back = rc_mem_get(mem, rc_model_count(a->native) + 1);
    }
    if (!a || !s || !a->trial.back)
        rc = rc_fail_nomem(err, mem, rc_judge_pairs(judge) * sizeof *s);
    if (rc == RC_OK && out->kl_all > 0 && !is_config_alike(a))
        rc = try_config(a, err);
    if (rc == RC_OK && out->kl_all > 0)
        rc = go_down(a, s, list_suspects(a, s), err);
    if (a)
        rc_mem_put(mem, a->trial.back);
    rc_mem_put(mem, s);
    rc_mem_put(mem, a);
    return rc;
}

void rc_ablation_free(rc_ablation *a, rc_mem *mem)
{
    rc_mem_put(mem, a->group);
    *a = (rc_ablation){ .blamed = -1 };
}
