/* convert/publish.c - see publish.h. */
#define _GNU_SOURCE /* O_DIRECTORY, O_NOFOLLOW */
#include "convert/publish.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "convert/execute.h"
#include "formats/base/json.h"
#include "formats/index.h"

enum { SIDE_MAX = 256 << 20 }; /* bytes of one side file: tokenizers are 10 MB */

bool rc_publish_is_complete(const rc_plan *plan, const rc_dir *dir)
{
    return rc_dir_stat(dir, rc_plan_names_of(plan)->summary, NULL);
}

/* A GGUF file carries everything inside. */
static bool is_folder(const rc_plan *plan)
{
    return rc_plan_recipe(plan)->target != RC_TO_GGUF;
}

/* ------------------------------------------------------------- side files */

typedef enum side { SIDE_COPY, SIDE_OURS, SIDE_UNWANTED } side;

/* A letter case of its own does not make a pickle harmless. */
static bool is_kind(const char *name, const char *suffix)
{
    const size_t n = strlen(name), k = strlen(suffix);

    return n >= k && strcasecmp(name + n - k, suffix) == 0;
}

/* What recast, or a person, says of the source's own bytes would be wrong of a result's. */
static bool is_of_recast(const char *name)
{
    static const char *const kinds[] = { "recast.json",   "recast.jsonl", "recast.journal",
                                         "recast.smooth", "recast.log",   ".rcz",
                                         "SHA256SUMS",    ".sha256sums",  ".SHA256SUMS" };
    const char *slash = strrchr(name, '/'), *leaf = slash ? slash + 1 : name;

    for (unsigned i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (is_kind(name, kinds[i]))
            return true;
    return strncmp(leaf, "recast.", 7) == 0;
}

/* Weights in other containers are not side files, and a pickle can run code where
 * it is opened. Python is copied, as data, only where the release keeps it
 * (encoding/, inference/). */
static side side_of(const rc_source_file *f)
{
    static const char *const ours[] = { "config.json", RC_INDEX_NAME };
    static const char *const unwanted[] = { ".bin", ".pt",   ".pth",     ".pkl", ".pickle", ".ckpt",
                                            ".h5",  ".gguf", ".msgpack", ".npz", ".onnx" };

    for (unsigned i = 0; i < sizeof ours / sizeof *ours; i++)
        if (strcmp(f->name, ours[i]) == 0)
            return SIDE_OURS;
    if (is_kind(f->name, ".safetensors") || is_kind(f->name, ".partial") || is_of_recast(f->name))
        return SIDE_OURS;
    for (unsigned i = 0; i < sizeof unwanted / sizeof *unwanted; i++)
        if (is_kind(f->name, unwanted[i]))
            return SIDE_UNWANTED;
    if (is_kind(f->name, ".py") && !strchr(f->name, '/'))
        return SIDE_UNWANTED;
    return f->nbytes > SIDE_MAX ? SIDE_UNWANTED : SIDE_COPY;
}

uint64_t rc_publish_side_bytes(const rc_plan *plan)
{
    const rc_source *src = rc_ckpt_source(rc_model_ckpt(rc_plan_model(plan)));
    uint64_t nbytes = 0;

    for (size_t i = 0; i < rc_source_count(src) && is_folder(plan); i++)
        if (side_of(rc_source_at(src, i)) == SIDE_COPY)
            nbytes += rc_source_at(src, i)->nbytes;
    return nbytes;
}

rc_code rc_publish_check_sides(const rc_plan *plan, rc_err *err)
{
    rc_source *src = rc_ckpt_source(rc_model_ckpt(rc_plan_model(plan)));

    for (size_t i = 0; i < rc_source_count(src) && is_folder(plan); i++)
        if (side_of(rc_source_at(src, i)) == SIDE_COPY)
            RC_TRY(rc_source_recheck(src, i, err));
    return RC_OK;
}

/* The official run-time config must not say FP4 when the experts are not. */
static rc_code fix_inference_config(const char *name, uint8_t **data, size_t *len,
                                    const rc_log *log, rc_mem *mem)
{
    const rc_json_edit edit = { "expert_dtype", NULL };
    char *edited;
    rc_err err;

    if (strcmp(name, "inference/config.json") != 0)
        return RC_OK;
    if (rc_json_edit_root(*data, *len, &edit, 1, &edited, len, mem, &err) != RC_OK) {
        rc_warn(log, name, NULL, err.offset, "copied as it is, it cannot be edited: %s", err.msg);
        return RC_OK;
    }
    rc_mem_put(mem, *data);
    *data = (uint8_t *)edited;
    return RC_OK;
}

/* The folder that a side file goes to, and its name there. */
static rc_code side_folder(rc_dir *sub, const char **leaf, const rc_dir *dir, const char *name,
                           rc_err *err)
{
    const char *slash = strrchr(name, '/');
    char folder[256];

    *sub = (rc_dir){ .fd = -1 };
    *leaf = slash ? slash + 1 : name;
    if (!slash)
        return RC_OK;
    snprintf(folder, sizeof folder, "%.*s", (int)(slash - name), name);
    return rc_dir_sub(sub, dir, folder, err);
}

static rc_code read_side(rc_source *src, size_t i, uint8_t **data, size_t *len, const rc_log *log,
                         rc_mem *mem, rc_err *err)
{
    const rc_source_file *f = rc_source_at(src, i);

    RC_TRY(rc_source_slurp(src, i, SIDE_MAX, data, len, mem, err));
    return fix_inference_config(f->name, data, len, log, mem);
}

/* What a run that died while it gave final names had staged: it is not read from the source
 * again, which may be gone by now. */
static bool find_staged(const rc_dir *dir, const char *leaf, uint8_t **data, size_t *len,
                        rc_mem *mem)
{
    char partial[RC_DIR_STAGED];
    rc_err ignored;

    rc_dir_staged_name(leaf, partial);
    return rc_dir_slurp(dir, rc_dir_stat(dir, partial, NULL) ? partial : leaf, SIDE_MAX,
                        (char **)data, len, mem, &ignored) == RC_OK;
}

static rc_code stage_side(rc_source *src, size_t i, const rc_dir *dir, bool resumed,
                          rc_provenance *files, const rc_log *log, rc_mem *mem, rc_err *err)
{
    const char *name = rc_source_at(src, i)->name, *leaf;
    uint8_t *data = NULL;
    rc_dir sub;
    size_t len;
    rc_code rc;

    RC_TRY(side_folder(&sub, &leaf, dir, name, err));
    if (!resumed || !find_staged(sub.fd >= 0 ? &sub : dir, leaf, &data, &len, mem)) {
        RC_TRY_GOTO(rc, done, read_side(src, i, &data, &len, log, mem, err));
        RC_TRY_GOTO(rc, done, rc_dir_stage(sub.fd >= 0 ? &sub : dir, leaf, data, len, err));
        if (sub.fd >= 0) /* after a power cut an older result's file is not to stand for it */
            RC_TRY_GOTO(rc, done, rc_dir_sync(&sub, err));
    }
    rc = rc_provenance_output(files, name, data, len, err);
done:
    rc_dir_close(&sub);
    rc_mem_put(mem, data);
    return rc;
}

/* Side files under temporary names: all reading comes before the first final name. */
static rc_code stage_sides(const rc_plan *plan, const rc_dir *dir, bool resumed,
                           rc_provenance *files, const rc_log *log, rc_mem *mem, rc_err *err)
{
    rc_source *src = rc_ckpt_source(rc_model_ckpt(rc_plan_model(plan)));

    for (size_t i = 0; i < rc_source_count(src); i++) {
        const rc_source_file *f = rc_source_at(src, i);
        const side s = side_of(f);

        if (s == SIDE_UNWANTED)
            rc_warn(log, f->name, NULL, RC_NO_OFFSET, "not copied (%s)",
                    f->nbytes > SIDE_MAX ? "too large for a side file"
                                         : "weights or code of another kind");
        if (s == SIDE_COPY)
            RC_TRY(stage_side(src, i, dir, resumed, files, log, mem, err));
    }
    return RC_OK;
}

static rc_code name_side(const rc_dir *dir, const char *name, rc_err *err)
{
    char partial[RC_DIR_STAGED];
    const char *leaf;
    rc_dir sub;
    rc_code rc;

    RC_TRY(side_folder(&sub, &leaf, dir, name, err));
    rc_dir_staged_name(leaf, partial);
    rc = rc_dir_stat(sub.fd >= 0 ? &sub : dir, partial, NULL)
             ? rc_dir_unstage(sub.fd >= 0 ? &sub : dir, leaf, err)
             : RC_OK; /* a resumed run had named it */
    rc_dir_close(&sub);
    return rc;
}

static rc_code name_sides(const rc_plan *plan, const rc_dir *dir, rc_err *err)
{
    const rc_source *src = rc_ckpt_source(rc_model_ckpt(rc_plan_model(plan)));

    for (size_t i = 0; i < rc_source_count(src); i++)
        if (side_of(rc_source_at(src, i)) == SIDE_COPY)
            RC_TRY(name_side(dir, rc_source_at(src, i)->name, err));
    return RC_OK;
}

/* What else decides the output's bytes. */
static bool is_read(const rc_plan *plan, const rc_source_file *f)
{
    static const char *const names[] = { "tokenizer.json", "tokenizer_config.json",
                                         "chat_template.jinja" };

    if (strcmp(f->name, "config.json") == 0 || strcmp(f->name, RC_INDEX_NAME) == 0)
        return true;
    if (is_folder(plan))
        return side_of(f) == SIDE_COPY;
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(f->name, names[i]) == 0)
            return true;
    return false;
}

/* Both lists are sorted by name. */
static rc_code know_source(rc_provenance *files, const rc_plan *plan, rc_err *err)
{
    const rc_ckpt *ckpt = rc_model_ckpt(rc_plan_model(plan));
    rc_source *src = rc_ckpt_source(ckpt);
    size_t shard = 0;

    for (size_t i = 0; i < rc_source_count(src); i++)
        if (shard < rc_ckpt_shards(ckpt) && rc_ckpt_shard(ckpt, shard)->file == i) {
            RC_TRY(rc_provenance_shard(files, src, i, err));
            shard++;
        } else if (is_read(plan, rc_source_at(src, i))) {
            RC_TRY(rc_provenance_small(files, src, i, err));
        }
    return RC_OK;
}

/* ----------------------------------------------------------------- ledger */

typedef struct ledger_file {
    FILE *f;
    rc_hasher *hasher;
    rc_content_hasher content;
} ledger_file;

static rc_code put_ledger_line(void *ctx, const char *line, size_t len, rc_err *err)
{
    ledger_file *l = ctx;

    rc_hash_add(l->hasher, line, len);
    rc_hash_add(l->hasher, "\n", 1);
    rc_content_add(&l->content, line, len);
    rc_content_add(&l->content, "\n", 1);
    if (fwrite(line, 1, len, l->f) != len || fputc('\n', l->f) == EOF)
        return rc_fail_errno(err, errno, "cannot write the ledger");
    return RC_OK;
}

static const char *ledger_partial(const rc_plan *plan, char *buf, size_t n)
{
    snprintf(buf, n, "%s.partial", rc_plan_names_of(plan)->ledger);
    return buf;
}

static rc_code write_ledger(const rc_finished *done, const rc_dir *dir, rc_ledger_sum *sum,
                            rc_mem *mem, rc_err *err)
{
    const rc_plan *plan = done->plan;
    _Alignas(64) rc_hasher hasher;
    ledger_file l = { .hasher = &hasher };
    char partial[RC_PLAN_NAME + 32];
    int fd;
    rc_code rc;

    ledger_partial(plan, partial, sizeof partial);
    RC_TRY(rc_dir_remove(dir, partial, err));
    fd = openat(dir->fd, partial, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (fd < 0 || !(l.f = fdopen(fd, "w"))) {
        rc = rc_fail_errno(err, errno, "cannot create the ledger");
        if (fd >= 0)
            close(fd);
        rc_err_file(err, rc_plan_names_of(plan)->ledger);
        return rc == RC_E_NOINPUT ? rc_recode(err, RC_E_CANTCREATE) : rc;
    }
    rc_hash_begin(&hasher);
    rc_content_begin(&l.content, RC_CONTENT_SHA256, 0);
    rc = rc_ledger_each(done, put_ledger_line, &l, mem, err);
    if (rc == RC_OK && (fflush(l.f) != 0 || fsync(fd) != 0))
        rc = rc_fail_errno(err, errno, "cannot write the ledger");
    if (fclose(l.f) != 0 && rc == RC_OK)
        rc = rc_fail_errno(err, errno, "cannot close the ledger");
    if (rc != RC_OK)
        rc_err_file(err, rc_plan_names_of(plan)->ledger);
    *sum = (rc_ledger_sum){ l.content.nbytes, rc_hash_end(&hasher), rc_content_end(&l.content) };
    return rc;
}

/* ------------------------------------------------------------ final names */

static bool planned(const rc_plan *plan, const char *name)
{
    for (size_t i = 0; i < rc_plan_shards(plan); i++)
        if (strcmp(rc_plan_shard_at(plan, i)->name, name) == 0)
            return true;
    return false;
}

/* What follows "N-of-M" in a name that starts with `stem`, a dash and such numbers; NULL
 * when it does not. */
static const char *after_numbers(const char *name, const char *stem, size_t stem_len)
{
    if (strncmp(name, stem, stem_len) != 0 || name[stem_len] != '-')
        return NULL;
    name += stem_len + 1;
    for (unsigned i = 0; i < 2; i++) {
        const size_t ndigits = strspn(name, "0123456789");

        if (ndigits < 5 || (i == 0 && strncmp(name + ndigits, "-of-", 4) != 0))
            return NULL;
        name += ndigits + (i == 0 ? 4 : 0);
    }
    return name;
}

/* STEM.EXT or STEM-N-of-M.EXT, with .partial or without: nobody else's file is. */
static bool is_shard_of(const char *name, const char *stem, const char *ext)
{
    const size_t stem_len = strlen(stem), ext_len = strlen(ext);
    const char *rest = after_numbers(name, stem, stem_len);

    if (!rest && strncmp(name, stem, stem_len) == 0)
        rest = name + stem_len;
    return rest && strncmp(rest, ext, ext_len) == 0 &&
           (rest[ext_len] == '\0' || strcmp(rest + ext_len, ".partial") == 0);
}

typedef struct strangers {
    const rc_plan *plan;
    const rc_dir *dir;
    bool replace;
    rc_err *err;
    rc_code rc;
    char *found;
} strangers;

static bool is_ours(const rc_plan *plan, const char *name)
{
    const char *stem = rc_plan_recipe(plan)->stem;
    char draft[RC_PLAN_NAME];

    if (is_folder(plan))
        return after_numbers(name, "model", 5) && is_shard_of(name, "model", ".safetensors");
    for (unsigned i = 0; i < 3; i++) {
        static const char *const before[] = { "", "mtp-", "dspark-" };

        snprintf(draft, sizeof draft, "%s%.200s", before[i], stem);
        if (is_shard_of(name, draft, ".gguf"))
            return true;
    }
    return false;
}

static bool is_partial(const char *name)
{
    const size_t n = strlen(name), k = strlen(".partial");

    return n > k && strcmp(name + n - k, ".partial") == 0;
}

/* In a folder of shards every such name is a shard's. Beside a GGUF file it may be
 * somebody's download: it goes only where --force says so. */
static bool remove_stranger(void *ctx, const char *name)
{
    strangers *s = ctx;

    if (is_ours(s->plan, name) && !planned(s->plan, name) &&
        (is_folder(s->plan) || s->replace || is_partial(name)))
        s->rc = rc_dir_remove(s->dir, name, s->err);
    return s->rc != RC_OK; /* and that is enough */
}

/* Shards of an older result that this one does not replace, and what a dead run
 * of another shape left behind. */
static rc_code remove_strangers(const rc_plan *plan, const rc_dir *dir, bool replace, rc_err *err)
{
    strangers s = { .plan = plan, .dir = dir, .replace = replace, .err = err };

    (void)rc_dir_any(dir, remove_stranger, &s);
    return s.rc;
}

static bool note_stranger(void *ctx, const char *name)
{
    strangers *s = ctx;
    const bool found = is_ours(s->plan, name) && !planned(s->plan, name) && !is_partial(name);

    if (found)
        snprintf(s->found, RC_PLAN_NAME, "%.247s", name);
    return found;
}

bool rc_publish_owns(const rc_plan *plan, const char *name)
{
    return is_ours(plan, name);
}

bool rc_publish_finds_stranger(const rc_plan *plan, const rc_dir *dir, char name[RC_PLAN_NAME])
{
    strangers s = { .plan = plan, .dir = dir, .found = name };

    return rc_dir_any(dir, note_stranger, &s);
}

static rc_code name_shards(const rc_plan *plan, const rc_dir *dir, rc_err *err)
{
    for (size_t i = 0; i < rc_plan_shards(plan); i++) {
        const rc_plan_shard *shard = rc_plan_shard_at(plan, i);
        char partial[RC_PARTIAL_NAME];

        if (rc_dir_stat(dir, rc_partial_name(shard, partial), NULL))
            RC_TRY(rc_dir_rename(dir, partial, shard->name, err));
    }
    return rc_dir_sync(dir, err);
}

/* `files` NULL: the summary, which does not speak of itself. */
static rc_code put_text(const rc_dir *dir, const char *name, char *text, size_t len,
                        rc_provenance *files, rc_mem *mem, rc_err *err)
{
    rc_code rc = rc_dir_put(dir, name, text, len, err);

    if (rc == RC_OK && files)
        rc = rc_provenance_output(files, name, text, len, err);
    rc_mem_put(mem, text);
    return rc;
}

static rc_code recheck_source(const rc_plan *plan, rc_err *err)
{
    rc_ckpt *ckpt = rc_model_ckpt(rc_plan_model(plan));

    for (size_t i = 0; i < rc_ckpt_shards(ckpt); i++)
        RC_TRY(rc_source_recheck(rc_ckpt_source(ckpt), rc_ckpt_shard(ckpt, i)->file, err));
    return RC_OK;
}

rc_code rc_publish_rehearse(const rc_plan *plan, rc_mem *mem, rc_err *err)
{
    const rc_source *src = rc_ckpt_source(rc_model_ckpt(rc_plan_model(plan)));
    uint64_t largest = 0;
    char *text;
    size_t len;
    void *buf;

    if (!is_folder(plan))
        return RC_OK;
    RC_TRY(rc_plan_config(plan, &text, &len, mem, err));
    rc_mem_put(mem, text);
    RC_TRY(rc_plan_index(plan, &text, &len, mem, err));
    rc_mem_put(mem, text);
    for (size_t i = 0; i < rc_source_count(src); i++)
        if (side_of(rc_source_at(src, i)) == SIDE_COPY && rc_source_at(src, i)->nbytes > largest)
            largest = rc_source_at(src, i)->nbytes;
    buf = rc_mem_get(mem, (size_t)largest + 1);
    rc_mem_put(mem, buf);
    return buf ? RC_OK : rc_fail_nomem(err, mem, (size_t)largest + 1);
}

/* What a folder of shards has besides them. */
static rc_code publish_folder(const rc_plan *plan, const rc_dir *dir, rc_provenance *files,
                              rc_mem *mem, rc_err *err)
{
    char *text;
    size_t len;

    RC_TRY(name_sides(plan, dir, err));
    RC_TRY(rc_plan_config(plan, &text, &len, mem, err));
    RC_TRY(put_text(dir, "config.json", text, len, files, mem, err));
    RC_TRY(rc_plan_index(plan, &text, &len, mem, err));
    return put_text(dir, RC_INDEX_NAME, text, len, files, mem, err);
}

rc_code rc_publish_clean_up(const rc_plan *plan, const rc_dir *dir, rc_err *err)
{
    const rc_plan_names *names = rc_plan_names_of(plan);

    RC_TRY(rc_dir_remove(dir, names->smooth, err));
    RC_TRY(rc_dir_remove(dir, names->state, err));
    RC_TRY(rc_dir_remove(dir, names->blocks, err));
    RC_TRY(rc_dir_remove(dir, names->source, err));
    return rc_dir_remove(dir, names->journal, err);
}

static rc_code publish(const rc_finished *done, const rc_dir *dir, const rc_run *run,
                       const rc_totals *totals, bool replace, rc_provenance *files,
                       const rc_log *log, rc_mem *mem, rc_err *err)
{
    const rc_plan *plan = done->plan;
    const rc_plan_names *names = rc_plan_names_of(plan);
    char partial[RC_PLAN_NAME + 32];
    rc_ledger_sum ledger;
    char *text;
    size_t len;

    RC_TRY(recheck_source(plan, err));
    RC_TRY(know_source(files, plan, err));
    if (is_folder(plan))
        RC_TRY(stage_sides(plan, dir, rc_journal_has_publish(done->journal), files, log, mem, err));
    RC_TRY(write_ledger(done, dir, &ledger, mem, err));
    /* The point of no return for an older result: what follows only renames and
     * writes small files. The older summary is gone for good before the journal
     * remembers that publishing has begun, so that from then on a summary in the
     * folder can only be this run's. */
    RC_TRY(rc_dir_remove(dir, names->summary, err));
    if (is_folder(plan))
        RC_TRY(rc_dir_remove(dir, RC_INDEX_NAME, err));
    RC_TRY(rc_dir_sync(dir, err));
    RC_TRY(rc_journal_add_publish(done->journal, err));
    RC_TRY(name_shards(plan, dir, err));
    RC_TRY(remove_strangers(plan, dir, replace, err));
    if (is_folder(plan))
        RC_TRY(publish_folder(plan, dir, files, mem, err));
    RC_TRY(rc_dir_rename(dir, ledger_partial(plan, partial, sizeof partial), names->ledger, err));
    RC_TRY(rc_summary_text(done, totals, &ledger, files, run, &text, &len, mem, err));
    RC_TRY(put_text(dir, names->summary, text, len, NULL, mem, err));
    /* Complete and durable. Should the journal come back after a power cut, the
     * next run sees that nothing is left to do. */
    return rc_publish_clean_up(plan, dir, err);
}

rc_code rc_publish(const rc_finished *done, const rc_dir *dir, const rc_run *run,
                   const rc_totals *totals, bool replace, const rc_log *log, rc_mem *mem,
                   rc_err *err)
{
    rc_provenance files = { .arena.mem = mem };
    const rc_code rc = publish(done, dir, run, totals, replace, &files, log, mem, err);

    rc_provenance_free(&files);
    return rc;
}
