/* convert/synth.c - from a preset to a folder.
 *
 * config.json is written first, in memory, and read back by the parser that reads
 * real ones; the schema then says which tensors there are. Parameters come in the
 * order of the shards, so a shard is a run of the schema. */
#include "convert/synth.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "convert/synth_files.h"
#include "convert/synth_fill.h"
#include "formats/base/io.h"
#include "formats/base/json.h"
#include "formats/base/par.h"
#include "formats/base/stop.h"
#include "formats/config.h"
#include "formats/index.h"
#include "formats/safetensors_write.h"
#include "formats/schema.h"

enum { CHUNK = 4 << 20 }; /* bytes of a shard that one thread makes at a time */

static const char lock_name[] = ".recast.lock";

struct shard {
    char name[64];
    size_t first, end; /* parameters */
};

struct job {
    const rc_synth_options *opt;
    rc_mem *mem;
    rc_dir dir;
    rc_preset preset;
    rc_config config;
    rc_traits traits;
    char *config_text;
    size_t config_len;
    rc_schema *schema;
    rc_fill *fill;
    struct shard *shard;
    size_t nshards, written; /* shards that may have left files */
    rc_synth_result sum;
    rc_jsonw *index;
};

/* One shard while it is written. */
struct writing {
    const struct job *job;
    rc_st_put *put; /* in file order; the tag is an rc_fill_tensor */
    rc_fill_tensor *plan;
    size_t n;
    rc_arena names;
    char *head;
    size_t head_len;
    uint64_t file_len;
    rc_out *out;
    uint8_t *buf[RC_PAR_MAX_SLOTS];
};

/* planning */

/* Shard 1 is the embedding, then one a layer, then the output, then one a draft
 * block. */
static size_t shard_of(const struct job *j, const rc_param *p)
{
    const size_t layers = j->config.num_hidden_layers;

    if (p->draft)
        return layers + 2 + (size_t)p->layer;
    if (p->layer >= 0)
        return 1 + (size_t)p->layer;
    return p->role == RC_ROLE_EMBED ? 0 : layers + 1;
}

static rc_code plan(struct job *j, rc_err *err)
{
    const bool base = j->preset.fp8_experts;

    RC_TRY(rc_preset_config(&j->preset, &j->config_text, &j->config_len, j->mem, err));
    RC_TRY(rc_config_parse(&j->config, (const uint8_t *)j->config_text, j->config_len, NULL, j->mem,
                           err));
    j->traits = (rc_traits){
        .draft = j->preset.dspark ? RC_DRAFT_DSPARK : RC_DRAFT_MTP,
        .draft_blocks = j->preset.dspark ? 3 : 1,
        .experts = base ? RC_STORE_FP8 : RC_STORE_FP4,
        .dense = RC_STORE_FP8,
        .expert_scale = base ? RC_DTYPE_F32 : RC_DTYPE_F8_E8M0,
        .dense_scale = base ? RC_DTYPE_F32 : RC_DTYPE_F8_E8M0,
    };
    RC_TRY(rc_schema_new(&j->schema, &j->config, &j->traits, j->mem, err));

    j->nshards = j->config.num_hidden_layers + 2 + j->traits.draft_blocks;
    if (!(j->shard = rc_mem_get(j->mem, j->nshards * sizeof *j->shard)))
        return rc_fail_nomem(err, j->mem, j->nshards * sizeof *j->shard);
    for (size_t i = 0; i < j->nshards; i++)
        snprintf(j->shard[i].name, sizeof j->shard[i].name, "model-%05zu-of-%05zu.safetensors",
                 i + 1, j->nshards);
    for (size_t i = 0; i < rc_schema_count(j->schema); i++) {
        const rc_param *p = rc_schema_at(j->schema, i);
        struct shard *s = &j->shard[shard_of(j, p)];
        rc_want want[2];
        const unsigned n = rc_param_native(p, &j->traits, want);

        if (s->end == 0)
            s->first = i;
        s->end = i + 1;
        for (unsigned k = 0; k < n; k++)
            j->sum.tensor_bytes += want[k].nbytes;
        j->sum.tensors += n;
    }
    j->sum.shards = j->nshards;
    return RC_OK;
}

/* the folder */

static bool is_shard_name(const char *name)
{
    unsigned a, b;
    int end = 0;

    return sscanf(name, "model-%5u-of-%5u.safetensors%n", &a, &b, &end) == 2 && end > 0 &&
           (!name[end] || strcmp(name + end, ".partial") == 0);
}

/* Walk the folder: find out whether shards are there, or remove them. */
static rc_code sweep(const struct job *j, bool remove, bool *found, rc_err *err)
{
    const int fd = openat(j->dir.fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    rc_code rc = RC_OK;
    const struct dirent *e;

    *found = false;
    if (!d) {
        if (fd >= 0)
            close(fd);
        return rc_fail(err, RC_E_IO, RC_NO_OFFSET, "cannot list the output folder");
    }
    while (rc == RC_OK && (e = readdir(d)))
        if (is_shard_name(e->d_name)) {
            *found = true;
            if (remove)
                rc = rc_dir_remove(&j->dir, e->d_name, err);
        }
    closedir(d);
    return rc;
}

/* May we write here? An earlier synthetic checkpoint is replaced with --force, a
 * real one never: it may have cost days to download. */
static rc_code claim(struct job *j, rc_err *err)
{
    bool weights;

    if (rc_dir_is_empty(&j->dir))
        return RC_OK;
    RC_TRY(sweep(j, false, &weights, err));
    weights = weights || rc_dir_stat(&j->dir, RC_INDEX_NAME, NULL);
    if (!j->opt->force || (weights && !rc_dir_stat(&j->dir, RC_SYNTH_MARK, NULL))) {
        rc_fail(err, RC_E_CANTCREATE, RC_NO_OFFSET,
                j->opt->force ? "holds a checkpoint that recast synth did not make"
                              : "the output folder is not empty");
        rc_err_file(err, j->dir.path);
        rc_err_hint(err, j->opt->force ? "remove it yourself if it is not needed"
                                       : "--force replaces an earlier synthetic checkpoint");
        return RC_E_CANTCREATE;
    }
    RC_TRY(rc_dir_remove(&j->dir, RC_INDEX_NAME, err)); /* no longer a whole checkpoint */
    RC_TRY(rc_dir_sync(&j->dir, err));
    return sweep(j, true, &weights, err);
}

static rc_code check_space(const struct job *j, rc_err *err)
{
    uint64_t avail;

    if (j->opt->hollow)
        return RC_OK;
    RC_TRY(rc_dir_free(&j->dir, &avail, err));
    if (avail >= j->sum.tensor_bytes)
        return RC_OK;
    rc_fail(err, RC_E_NOSPACE, RC_NO_OFFSET, "not enough space for the checkpoint");
    rc_err_file(err, j->dir.path);
    rc_err_want(err, "%" PRIu64 " bytes", j->sum.tensor_bytes);
    rc_err_got(err, "%" PRIu64 " free", avail);
    rc_err_hint(err, "--layers and --experts make it smaller, --hollow writes headers only");
    return RC_E_NOSPACE;
}

/* one shard */

static rc_code put_tensor(struct writing *w, const rc_param *p, const rc_want *want, bool is_scale,
                          rc_err *err)
{
    const struct job *j = w->job;
    rc_st_put *put = &w->put[w->n];

    put->name = rc_arena_strdup(&w->names, want->name, strlen(want->name));
    if (!put->name)
        return rc_fail_nomem(err, j->mem, sizeof want->name);
    put->dtype = want->dtype;
    put->rank = want->rank;
    memcpy(put->shape, want->shape, sizeof want->shape);
    put->tag = &w->plan[w->n];
    if (j->fill)
        rc_fill_plan(&w->plan[w->n], j->fill, p, want, is_scale, j->config.n_routed_experts);
    w->n++;
    return RC_OK;
}

static rc_code lay_out(struct writing *w, const struct shard *s, rc_err *err)
{
    const struct job *j = w->job;
    const size_t room = 2 * (s->end - s->first);

    w->put = rc_mem_get(j->mem, room * sizeof *w->put);
    w->plan = rc_mem_get(j->mem, room * sizeof *w->plan);
    if (!w->put || !w->plan)
        return rc_fail_nomem(err, j->mem, room * sizeof *w->put);
    for (size_t i = s->first; i < s->end; i++) {
        const rc_param *p = rc_schema_at(j->schema, i);
        rc_want want[2];
        const unsigned n = rc_param_native(p, &j->traits, want);

        for (unsigned k = 0; k < n; k++) {
            RC_TRY(put_tensor(w, p, &want[k], k == 1, err));
            rc_jsonw_kstr(j->index, want[k].name, s->name);
        }
    }
    return rc_st_layout(w->put, w->n, &w->head, &w->head_len, &w->file_len, j->mem, err);
}

/* The tensor that byte `at` of the file belongs to. */
static size_t tensor_at(const struct writing *w, uint64_t at)
{
    size_t lo = 0, hi = w->n;

    while (hi - lo > 1) {
        const size_t mid = lo + (hi - lo) / 2;

        if (w->put[mid].begin <= at)
            lo = mid;
        else
            hi = mid;
    }
    return lo;
}

static void make_bytes(const struct writing *w, uint64_t from, uint64_t to, uint8_t *out)
{
    uint64_t at = from;

    if (at < w->head_len) {
        const uint64_t end = to < w->head_len ? to : w->head_len;

        memcpy(out, w->head + at, (size_t)(end - at));
        at = end;
    }
    for (size_t i = tensor_at(w, at); at < to; i++) {
        const rc_st_put *p = &w->put[i];
        const uint64_t end = p->begin + p->nbytes < to ? p->begin + p->nbytes : to;

        rc_fill_bytes(w->job->fill, p->tag, at - p->begin, out + (at - from), (size_t)(end - at));
        at = end;
    }
}

static rc_code write_chunk(void *ctx, rc_par *par, unsigned slot, uint64_t item, rc_err *err)
{
    struct writing *w = ctx;
    const uint64_t from = item * CHUNK;
    const uint64_t to = w->file_len - from < CHUNK ? w->file_len : from + CHUNK;

    rc_par_compute_begin(par);
    make_bytes(w, from, to, w->buf[slot]);
    rc_par_compute_end(par);
    RC_TRY(rc_out_write(w->out, from, w->buf[slot], (size_t)(to - from), err));
    if (w->job->opt->done)
        atomic_fetch_add(w->job->opt->done, to - from);
    return RC_OK;
}

static rc_code write_data(struct writing *w, rc_err *err)
{
    const struct job *j = w->job;
    const uint64_t chunks = rc_ceil_div(w->file_len, CHUNK);
    const unsigned threads = j->opt->threads ? j->opt->threads : 1;
    unsigned slots = threads < RC_PAR_MAX_SLOTS / 2 ? 2 * threads : RC_PAR_MAX_SLOTS;

    if (j->opt->hollow)
        return rc_out_write(w->out, 0, w->head, w->head_len, err);
    slots = slots > chunks ? (unsigned)chunks : slots;
    for (unsigned i = 0; i < slots; i++)
        if (!(w->buf[i] = rc_mem_get_pages(j->mem, CHUNK)))
            return rc_fail_nomem(err, j->mem, CHUNK);
    return rc_par_run(chunks, slots, threads, write_chunk, w, err);
}

static rc_code write_shard(struct job *j, const struct shard *s, rc_err *err)
{
    struct writing w = { .job = j, .names = { .mem = j->mem } };
    char partial[80];
    rc_err closing;
    rc_code rc, closed;

    RC_TRY(rc_stop_check(err));
    RC_TRY_GOTO(rc, done, lay_out(&w, s, err));
    j->sum.file_bytes += w.file_len;
    snprintf(partial, sizeof partial, "%s.partial", s->name);
    RC_TRY_GOTO(rc, done,
                rc_out_open(&w.out, &j->dir, partial, w.file_len,
                            j->opt->hollow ? RC_OUT_HOLES : RC_OUT_NEW, j->mem, err));
    RC_TRY_GOTO(rc, done, write_data(&w, err));
    rc = rc_out_sync(w.out, err);
done:
    closed = rc_out_close(&w.out, &closing);
    if (rc == RC_OK && closed != RC_OK) {
        rc = closed;
        if (err)
            *err = closing;
    }
    for (unsigned i = 0; i < RC_PAR_MAX_SLOTS; i++)
        rc_mem_put(j->mem, w.buf[i]);
    rc_mem_put(j->mem, w.head);
    rc_mem_put(j->mem, w.put);
    rc_mem_put(j->mem, w.plan);
    rc_arena_free(&w.names);
    return rc;
}

/* the whole */

static rc_code start_index(struct job *j, rc_err *err)
{
    if (!(j->index = rc_jsonw_new(j->mem, 2)))
        return rc_fail_nomem(err, j->mem, 1);
    rc_jsonw_object(j->index);
    rc_jsonw_key(j->index, "metadata");
    rc_jsonw_object(j->index);
    rc_jsonw_ku64(j->index, "total_size", j->sum.tensor_bytes);
    rc_jsonw_object_end(j->index);
    rc_jsonw_key(j->index, "weight_map");
    rc_jsonw_object(j->index);
    return RC_OK;
}

static rc_code put_mark(const struct job *j, rc_err *err)
{
    char text[512];
    const int n = snprintf(text, sizeof text,
                           "The weights in this folder are random numbers, made by\n"
                           "  recast synth --like %s --first %" PRIu32 " --layers %" PRIu32
                           " --experts %" PRIu32 " --seed %" PRIu64 "%s\n"
                           "Layout and config are those of a DeepSeek-V4 release; the other files\n"
                           "are stand-ins. %s may replace this folder.\n",
                           j->preset.like, j->preset.first_layer, j->preset.num_hidden_layers,
                           j->preset.n_routed_experts, j->opt->seed,
                           j->opt->hollow ? " --hollow" : "", "recast synth --force");

    return rc_dir_put(&j->dir, RC_SYNTH_MARK, text, (size_t)n, err);
}

/* Everything is on the disk: give the shards their names, the index last. */
static rc_code publish(struct job *j, rc_err *err)
{
    const char *text;
    size_t len;

    for (size_t i = 0; i < j->nshards; i++) {
        char partial[80];

        snprintf(partial, sizeof partial, "%s.partial", j->shard[i].name);
        RC_TRY(rc_dir_rename(&j->dir, partial, j->shard[i].name, err));
    }
    RC_TRY(rc_dir_sync(&j->dir, err));
    RC_TRY(rc_preset_side_files(&j->preset, &j->dir, j->mem, err));
    RC_TRY(rc_dir_put(&j->dir, "config.json", j->config_text, j->config_len, err));
    rc_jsonw_object_end(j->index);
    rc_jsonw_object_end(j->index);
    if (!(text = rc_jsonw_text(j->index, &len)))
        return rc_fail_nomem(err, j->mem, 1);
    RC_TRY(rc_stop_check(err));
    return rc_dir_put(&j->dir, RC_INDEX_NAME, text, len, err);
}

/* After a failure: nothing of ours stays. Best effort, the first error counts. */
static void clean_up(const struct job *j)
{
    for (size_t i = 0; i < j->written; i++) {
        char partial[80];

        snprintf(partial, sizeof partial, "%s.partial", j->shard[i].name);
        (void)unlinkat(j->dir.fd, partial, 0);
        (void)unlinkat(j->dir.fd, j->shard[i].name, 0);
    }
    (void)unlinkat(j->dir.fd, RC_INDEX_NAME, 0);
    (void)unlinkat(j->dir.fd, "config.json", 0);
    rc_preset_remove_side_files(&j->dir);
    (void)unlinkat(j->dir.fd, RC_SYNTH_MARK, 0);
}

static rc_code write_all(struct job *j, rc_err *err)
{
    RC_TRY(put_mark(j, err));
    RC_TRY(start_index(j, err));
    if (!j->opt->hollow)
        RC_TRY(rc_fill_new(&j->fill, j->opt->seed, j->mem, err));
    if (j->opt->total)
        atomic_store(j->opt->total, j->opt->hollow ? 0 : j->sum.tensor_bytes);
    for (; j->written < j->nshards; j->written++) {
        const rc_code rc = write_shard(j, &j->shard[j->written], err);

        if (rc != RC_OK) {
            j->written++; /* the failed one may have left a file, too */
            return rc;
        }
    }
    return publish(j, err);
}

static void free_job(struct job *j)
{
    rc_fill_free(&j->fill);
    rc_jsonw_free(&j->index);
    rc_schema_free(&j->schema);
    rc_mem_put(j->mem, j->shard);
    rc_mem_put(j->mem, j->config_text);
}

rc_code rc_synth(const char *dst, const rc_synth_options *options, rc_synth_result *result,
                 rc_mem *mem, rc_err *err)
{
    struct job j = { .opt = options, .mem = mem, .dir = { .fd = -1 } };
    const bool there = access(dst, F_OK) == 0;
    int lock = -1;
    bool ours = false;
    rc_code rc;

    RC_TRY_GOTO(rc, done,
                rc_preset_find(&j.preset, options->like, options->first, options->layers,
                               options->experts, err));
    RC_TRY_GOTO(rc, done, plan(&j, err));
    RC_TRY_GOTO(rc, done, rc_dir_open(&j.dir, dst, true, err));
    if (!options->force && !rc_dir_is_empty(&j.dir))
        RC_TRY_GOTO(rc, done, claim(&j, err)); /* says no, and leaves no lock behind */
    RC_TRY_GOTO(rc, done, check_space(&j, err));
    RC_TRY_GOTO(rc, done, rc_dir_lock(&j.dir, lock_name, &lock, err));
    if (options->force)
        RC_TRY_GOTO(rc, done, claim(&j, err));
    ours = true;
    RC_TRY_GOTO(rc, done, write_all(&j, err));
    *result = j.sum;
done:
    if (rc != RC_OK && ours)
        clean_up(&j);
    if (lock >= 0)
        rc_dir_unlock(&j.dir, lock_name, lock);
    rc_dir_close(&j.dir);
    if (rc != RC_OK && !there)
        (void)rmdir(dst); /* if it is empty: the folder was ours, too */
    free_job(&j);
    return rc;
}
