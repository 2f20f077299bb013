/* convert/smooth.c - site after site; see smooth.h. */
#include "convert/smooth.h"

#include <stdio.h>
#include <string.h>

#include "convert/smooth_impl.h"
#include "formats/base/stop.h"

/* What is found for a site, and how it is kept: */
typedef struct found {
    uint64_t site;
    double ratio, before, after;
    uint64_t channels; /* floats that follow: s; 0: no scaling */
} found;

struct rc_smooth {
    rc_mem *mem;
    const rc_model *model;
    rc_smooth_site *site;
    const rc_bound **readers;
    rc_smooth_point *point; /* by site */
    float **s, **inverse;   /* NULL: none */
    bool *wanted, *has;     /* that the plan's share needs; that are searched */
    size_t sites, n;        /* n of them are searched */
};

/* -------------------------------------------------------- what was found */

size_t rc_smooth_count(const rc_smooth *s)
{
    return s ? s->sites : 0;
}

const rc_smooth_point *rc_smooth_at(const rc_smooth *s, size_t i)
{
    return &s->point[i];
}

const float *rc_smooth_factors(const rc_smooth *s, const rc_param *param)
{
    rc_absorb point;
    char name[64];
    const bool norm = rc_absorb_is_norm(param, &point);

    if (!s || (!norm && !rc_absorb_reads(param, &point)))
        return NULL;
    if (!norm)
        (void)rc_absorb_norm_name(param, point, name);
    for (size_t i = 0; i < s->sites; i++)
        if (strcmp(s->point[i].norm, norm ? param->name : name) == 0)
            return norm ? s->inverse[i] : s->s[i];
    return NULL;
}

uint64_t rc_smooth_digest(const rc_smooth *s)
{
    rc_hasher hasher;
    rc_digest d;
    uint64_t out = 0;

    rc_hash_begin(&hasher);
    for (size_t i = 0; i < rc_smooth_count(s); i++)
        if (s->s[i]) {
            rc_hash_field(&hasher, s->point[i].norm, strlen(s->point[i].norm));
            rc_hash_field(&hasher, s->s[i], s->site[i].n * sizeof(float));
        }
    d = rc_hash_end(&hasher);
    memcpy(&out, d.bytes, sizeof out);
    return out;
}

void rc_smooth_free(rc_smooth **smooth)
{
    rc_smooth *s = *smooth;

    *smooth = NULL;
    if (!s)
        return;
    for (size_t i = 0; i < s->sites && s->s && s->inverse; i++) {
        rc_mem_put(s->mem, s->s[i]);
        rc_mem_put(s->mem, s->inverse[i]);
    }
    rc_mem_put(s->mem, s->s);
    rc_mem_put(s->mem, s->inverse);
    rc_mem_put(s->mem, s->wanted);
    rc_mem_put(s->mem, s->has);
    rc_mem_put(s->mem, s->point);
    rc_mem_put(s->mem, s->site);
    rc_mem_put(s->mem, s->readers);
    rc_mem_put(s->mem, s);
}

/* Note the outcome of a site; s[channels] is copied. */
static rc_code add(rc_smooth *m, const found *f, const float *s, rc_err *err)
{
    const size_t i = (size_t)f->site;
    rc_smooth_point *p = &m->point[i];

    p->ratio = f->ratio;
    p->before = f->before;
    p->after = f->after;
    m->has[i] = true;
    m->n++;
    if (!f->channels)
        return RC_OK;
    m->s[i] = rc_mem_get(m->mem, f->channels * sizeof(float));
    m->inverse[i] = rc_mem_get(m->mem, f->channels * sizeof(float));
    if (!m->s[i] || !m->inverse[i])
        return rc_fail_nomem(err, m->mem, f->channels * sizeof(float));
    memcpy(m->s[i], s, f->channels * sizeof(float));
    p->least = p->most = s[0];
    for (size_t k = 0; k < f->channels; k++) {
        m->inverse[i][k] = 1 / s[k];
        p->least = s[k] < p->least ? s[k] : p->least;
        p->most = s[k] > p->most ? s[k] : p->most;
    }
    return RC_OK;
}

/* ------------------------------------------------------------ the kept file
 *
 *     | magic 8 | identity 16 | per site: found, s[channels] | XXH3-128 of all before 16 | */

static const char magic[8] = { 'R', 'C', 'S', 'M', 'O', 'O', 'T', '2' };
enum { HEAD = sizeof magic + sizeof(rc_digest), TAIL = sizeof(rc_digest) };
#define MAX_KEPT ((size_t)1 << 30)

static size_t kept_bytes(const rc_smooth *m)
{
    size_t n = HEAD + TAIL;

    for (size_t i = 0; i < m->sites; i++)
        if (m->has[i])
            n += sizeof(found) + (m->s[i] ? m->site[i].n * sizeof(float) : 0);
    return n;
}

static found found_of(const rc_smooth *m, size_t i)
{
    const rc_smooth_point *p = &m->point[i];

    return (found){ i, p->ratio, p->before, p->after, m->s[i] ? m->site[i].n : 0 };
}

static rc_code keep(const rc_smooth *m, const rc_dir *dir, const char *name,
                    const rc_digest *identity, rc_err *err)
{
    const size_t n = kept_bytes(m);
    uint8_t *text = rc_mem_get(m->mem, n), *to = text;
    rc_digest check;
    rc_code rc;

    if (!text)
        return rc_fail_nomem(err, m->mem, n);
    memcpy(to, magic, sizeof magic);
    memcpy(to + sizeof magic, identity, sizeof *identity);
    to += HEAD;
    for (size_t i = 0; i < m->sites; i++) {
        const found f = found_of(m, i);

        if (!m->has[i])
            continue;
        memcpy(to, &f, sizeof f);
        to += sizeof f;
        if (f.channels)
            memcpy(to, m->s[i], f.channels * sizeof(float));
        to += f.channels * sizeof(float);
    }
    check = rc_hash(text, n - TAIL);
    memcpy(to, &check, sizeof check);
    rc = rc_dir_put(dir, name, text, n, err);
    rc_mem_put(m->mem, text);
    return rc;
}

/* A file that is damaged or of another run is not believed: the search starts over. */
static bool is_ours(const char *text, size_t len, const rc_digest *identity)
{
    rc_digest check;

    if (len < HEAD + TAIL || memcmp(text, magic, sizeof magic) != 0 ||
        memcmp(text + sizeof magic, identity, sizeof *identity) != 0)
        return false;
    check = rc_hash(text, len - TAIL);
    return memcmp(text + len - TAIL, &check, sizeof check) == 0;
}

static rc_code take_kept(rc_smooth *m, const rc_dir *dir, const char *name,
                         const rc_digest *identity, rc_err *err)
{
    char *text;
    uint64_t nbytes;
    size_t len, at = HEAD;
    rc_code rc = RC_OK;

    if (!rc_dir_stat(dir, name, &nbytes) || nbytes > MAX_KEPT)
        return RC_OK;
    RC_TRY(rc_dir_slurp(dir, name, MAX_KEPT, &text, &len, m->mem, err));
    if (is_ours(text, len, identity))
        while (rc == RC_OK && len - TAIL - at >= sizeof(found)) {
            found f;
            float *s;

            memcpy(&f, text + at, sizeof f);
            at += sizeof f;
            if (f.site >= m->sites || m->has[f.site])
                break;
            if (f.channels &&
                (f.channels != m->site[f.site].n || len - TAIL - at < f.channels * sizeof(float)))
                break;
            s = rc_mem_get(m->mem, (f.channels + 1) * sizeof *s);
            if (!s) {
                rc = rc_fail_nomem(err, m->mem, (f.channels + 1) * sizeof *s);
                break;
            }
            memcpy(s, text + at, f.channels * sizeof(float));
            at += f.channels * sizeof(float);
            rc = add(m, &f, s, err);
            rc_mem_put(m->mem, s);
        }
    rc_mem_put(m->mem, text);
    return rc;
}

/* -------------------------------------------------------------- the search */

/* Snapped to powers of two, many ratios give no scaling at all, or the same. */
static bool is_new(const rc_smooth_search *search, unsigned c, const unsigned *pick, unsigned picks)
{
    const size_t n = search->site->n;
    bool scales = false;

    for (size_t k = 0; k < n && !scales; k++)
        scales = search->s[c][k] != 1;
    for (unsigned i = 0; i < picks && scales; i++)
        scales = memcmp(search->s[c], search->s[pick[i]], n * sizeof(float)) != 0;
    return scales;
}

/* The candidates with the least losses, least first; of equal ones the smaller ratio. Returns how
 * many. */
static unsigned pick_best(const rc_smooth_search *search, unsigned pick[RC_SMOOTH_FINAL])
{
    unsigned n = 0;

    while (n < RC_SMOOTH_FINAL) {
        unsigned best = RC_SMOOTH_TRIES;

        for (unsigned c = 0; c < RC_SMOOTH_TRIES; c++)
            if (is_new(search, c, pick, n) &&
                (best == RC_SMOOTH_TRIES || search->loss[1 + c] < search->loss[1 + best]))
                best = c;
        if (best == RC_SMOOTH_TRIES)
            break;
        pick[n++] = best;
    }
    return n;
}

static rc_code decide(const rc_smooth_search *search, found *f, const float **s, rc_err *err)
{
    unsigned pick[RC_SMOOTH_FINAL], best = 0;
    const unsigned picks = pick_best(search, pick);
    double loss[1 + RC_SMOOTH_FINAL];
    bool measured;

    loss[0] = search->loss[0];
    RC_TRY(rc_smooth_by_output(search, pick, picks, loss, &measured, err));
    if (!measured)
        for (unsigned i = 0; i < picks; i++)
            loss[1 + i] = search->loss[1 + pick[i]];
    for (unsigned i = 1; i < 1 + picks; i++)
        if (loss[i] < loss[best])
            best = i;
    *f = (found){ .ratio = best ? (double)pick[best - 1] / RC_AWQ_GRID : -1,
                  .before = loss[0],
                  .after = loss[best],
                  .channels = best ? search->site->n : 0 };
    *s = best ? search->s[pick[best - 1]] : NULL;
    return RC_OK;
}

static rc_code search_site(rc_smooth *m, size_t site, const rc_plan *plan,
                           const rc_smooth_opts *opts, rc_err *err)
{
    const rc_int4_recipe *recipe = &rc_plan_recipe(plan)->int4;
    rc_smooth_search search = {
        .plan = plan,
        .config = rc_ckpt_config(rc_model_ckpt(m->model)),
        .stats = recipe->stats,
        .site = &m->site[site],
        .kind = { .group = recipe->group,
                  .symmetric = recipe->symmetric,
                  .scale = recipe->scale,
                  .search = recipe->method == RC_METHOD_AWQ_PLUS ? RC_INT4_BEST : RC_INT4_CLIP },
        .way = recipe->smooth,
        .threads = opts->threads,
        .mem = m->mem,
    };
    const size_t n = search.site->n;
    float *s = rc_mem_get_pages(m->mem, RC_SMOOTH_TRIES * n * sizeof *s);
    const float *chosen = NULL;
    found f = { .ratio = -1 };
    bool known = false;
    rc_code rc;

    if (!s)
        return rc_fail_nomem(err, m->mem, RC_SMOOTH_TRIES * n * sizeof *s);
    for (unsigned i = 0; i < RC_SMOOTH_TRIES; i++)
        search.s[i] = s + i * n;
    rc = rc_smooth_by_weights(&search, &known, err);
    if (rc == RC_OK && known)
        rc = decide(&search, &f, &chosen, err);
    f.site = site;
    if (rc == RC_OK)
        rc = add(m, &f, chosen, err);
    rc_mem_put(m->mem, s);
    return rc;
}

/* Part of a model cannot be scaled: the other readers are not written. */
static bool asked_for(const rc_recipe *r)
{
    return r->int4.stats && r->int4.method != RC_METHOD_RTN && r->int4.smooth != RC_SMOOTH_OFF &&
           r->nglobs == 0;
}

/* A site is wanted where its norm, or a reader, is written: by several parts, some of them. */
static void want(rc_smooth *m, const rc_plan *plan)
{
    for (size_t i = 0; i < rc_plan_jobs(plan); i++) {
        const rc_job *job = rc_plan_job(plan, i);
        rc_absorb point;
        char name[64];

        if (!job->smoothed || !rc_plan_is_mine(plan, job->shard))
            continue;
        if (rc_absorb_is_norm(job->param, &point))
            snprintf(name, sizeof name, "%s", job->param->name);
        else if (rc_absorb_reads(job->param, &point))
            (void)rc_absorb_norm_name(job->param, point, name);
        else
            continue;
        for (size_t k = 0; k < m->sites; k++)
            m->wanted[k] |= strcmp(m->point[k].norm, name) == 0;
    }
}

static bool is_whole(const rc_smooth *m)
{
    for (size_t i = 0; i < m->sites; i++)
        if (m->wanted[i] && !m->has[i])
            return false;
    return true;
}

static rc_code begin(rc_smooth **out, const rc_plan *plan, rc_mem *mem, rc_err *err)
{
    rc_smooth *m = rc_mem_get(mem, sizeof *m);

    *out = m;
    if (!m)
        return rc_fail_nomem(err, mem, sizeof *m);
    m->mem = mem;
    m->model = rc_plan_model(plan);
    RC_TRY(rc_smooth_list(plan, &m->site, &m->readers, &m->sites, mem, err));
    m->point = rc_mem_get(mem, (m->sites + 1) * sizeof *m->point);
    m->s = rc_mem_get(mem, (m->sites + 1) * sizeof *m->s);
    m->inverse = rc_mem_get(mem, (m->sites + 1) * sizeof *m->inverse);
    m->wanted = rc_mem_get(mem, m->sites + 1);
    m->has = rc_mem_get(mem, m->sites + 1);
    if (!m->point || !m->s || !m->inverse || !m->wanted || !m->has)
        return rc_fail_nomem(err, mem, m->sites * sizeof *m->point);
    for (size_t i = 0; i < m->sites; i++)
        m->point[i] = (rc_smooth_point){
            .norm = m->site[i].norm->param->name, .ratio = -1, .least = 1, .most = 1
        };
    want(m, plan);
    return RC_OK;
}

rc_code rc_smooth_find(rc_smooth **out, const rc_plan *plan, const rc_dir *dir, const char *name,
                       const rc_smooth_opts *opts, rc_mem *mem, rc_err *err)
{
    rc_code rc;

    *out = NULL;
    if (!asked_for(rc_plan_recipe(plan)))
        return RC_OK;
    rc = begin(out, plan, mem, err);
    if (rc == RC_OK)
        rc = take_kept(*out, dir, name, &opts->identity, err);
    if (rc == RC_OK && opts->steps)
        atomic_fetch_add(opts->steps, (*out)->n);
    for (size_t i = 0; rc == RC_OK && i < (*out)->sites; i++) {
        if ((*out)->has[i] || !(*out)->wanted[i])
            continue;
        rc = rc_stop_check(err);
        if (rc == RC_OK)
            rc = search_site(*out, i, plan, opts, err);
        if (rc == RC_OK)
            rc = keep(*out, dir, name, &opts->identity, err);
        if (rc == RC_OK && opts->steps)
            atomic_fetch_add(opts->steps, 1);
    }
    if (rc != RC_OK)
        rc_smooth_free(out);
    return rc;
}

rc_code rc_smooth_kept(rc_smooth **out, const rc_plan *plan, const rc_dir *dir, const char *name,
                       const rc_digest *identity, rc_mem *mem, rc_err *err)
{
    rc_code rc;

    *out = NULL;
    if (!asked_for(rc_plan_recipe(plan)))
        return RC_OK;
    rc = begin(out, plan, mem, err);
    if (rc == RC_OK)
        rc = take_kept(*out, dir, name, identity, err);
    if (rc == RC_OK && !is_whole(*out)) {
        rc = rc_fail(err, RC_E_NOINPUT, RC_NO_OFFSET, "scalings of channels are missing");
        rc_err_file(err, name);
    }
    if (rc != RC_OK)
        rc_smooth_free(out);
    return rc;
}

static bool same_outcome(const rc_smooth *a, const rc_smooth *b, size_t i)
{
    const found x = found_of(a, i), y = found_of(b, i);

    return memcmp(&x, &y, sizeof x) == 0 &&
           (!x.channels || memcmp(a->s[i], b->s[i], x.channels * sizeof(float)) == 0);
}

rc_code rc_smooth_merge(rc_smooth *into, const rc_smooth *from, rc_err *err)
{
    for (size_t i = 0; i < from->sites; i++) {
        const found f = found_of(from, i);

        if (!from->has[i])
            continue;
        if (!into->has[i]) {
            RC_TRY(add(into, &f, from->s[i], err));
        } else if (!same_outcome(into, from, i)) {
            rc_fail(err, RC_E_RESUME, RC_NO_OFFSET,
                    "two parts found different scalings of this norm's channels");
            rc_err_tensor(err, into->point[i].norm);
            return RC_E_RESUME;
        }
    }
    return RC_OK;
}

size_t rc_smooth_sites(const rc_plan *plan, rc_mem *mem)
{
    rc_smooth *m;
    size_t n = 0;

    if (!asked_for(rc_plan_recipe(plan)))
        return 0;
    if (begin(&m, plan, mem, NULL) == RC_OK)
        for (size_t i = 0; i < m->sites; i++)
            n += m->wanted[i];
    rc_smooth_free(&m);
    return n;
}
