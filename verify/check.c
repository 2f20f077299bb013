/* verify/check.c - see check.h. What is to be checked, and what has to be true of the whole. */
#include "verify/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "formats/base/io.h"
#include "verify/check_impl.h"

void rc_check_fault(rc_checking *c, const char *file, const char *tensor, uint64_t offset,
                    const char *want, const char *got, const char *fmt, ...)
{
    char msg[256];
    va_list args;
    rc_err *e;

    va_start(args, fmt);
    vsnprintf(msg, sizeof msg, fmt, args);
    va_end(args);
    pthread_mutex_lock(&c->lock);
    e = rc_findings_add(&c->result->findings, RC_FAULT, RC_E_INTEGRITY, "bytes", file, tensor, "%s",
                        msg);
    rc_err_offset(e, offset);
    if (want)
        rc_err_want(e, "%s", want);
    if (got)
        rc_err_got(e, "%s", got);
    pthread_mutex_unlock(&c->lock);
}

static void warn(rc_checking *c, const char *file, const char *msg)
{
    rc_findings_add(&c->result->findings, RC_WARNING, RC_OK, "files", file, NULL, "%s", msg);
}

static bool ends_in(const char *name, const char *suffix)
{
    const size_t n = strlen(name), k = strlen(suffix);

    return n >= k && strcmp(name + n - k, suffix) == 0;
}

/* ------------------------------------------------------------ what is named */

/* Is this a folder that is called like a file, or a repository (hf://ORG/NAME)? */
static bool is_folder(const char *where)
{
    const char *rest = strncmp(where, "hf://", 5) == 0 ? where + 5 : NULL, *slash;
    rc_err ignored;
    rc_dir dir;

    if (!ends_in(where, ".gguf"))
        return true;
    if (rest) {
        slash = strchr(rest, '/');
        return !slash || !strchr(slash + 1, '/');
    }
    if (strstr(where, "://") || rc_dir_open(&dir, where, false, &ignored) != RC_OK)
        return false;
    rc_dir_close(&dir);
    return true;
}

/* Of "DIR/NAME.gguf" and "DIR/NAME-00002-of-00003.gguf": DIR and NAME. */
static rc_code take_apart(rc_checking *c, const char *where, rc_err *err)
{
    const char *slash = strrchr(where, '/'), *name = slash ? slash + 1 : where;
    size_t len = strlen(name) - strlen(".gguf");
    rc_split_name split;

    if (rc_split_name_of(&split, name))
        len = split.prefix;
    c->folder = !slash           ? rc_mem_strdup(c->mem, ".", 1)
                : slash == where ? rc_mem_strdup(c->mem, "/", 1)
                                 : rc_mem_strdup(c->mem, where, (size_t)(slash - where));
    c->stem = rc_arena_strdup(&c->arena, name, len);
    return c->folder && c->stem ? RC_OK : rc_fail_nomem(err, c->mem, strlen(where));
}

static rc_code open_folder(rc_checking *c, const char *where, rc_err *err)
{
    if (!is_folder(where))
        RC_TRY(take_apart(c, where, err));
    else
        c->folder = rc_mem_strdup(c->mem, where, strlen(where));
    if (!c->folder)
        return rc_fail_nomem(err, c->mem, strlen(where));
    return rc_source_open(&c->src, c->folder, c->source_opts, c->mem, err);
}

/* Is a name that of a split or a draft of the GGUF file? */
static bool is_of_set(const char *name, const char *stem)
{
    static const char *const before[] = { "", "mtp-", "dspark-" };

    for (unsigned i = 0; i < 3; i++) {
        const size_t k = strlen(before[i]), n = strlen(stem);
        rc_split_name split;

        if (strncmp(name, before[i], k) != 0 || strncmp(name + k, stem, n) != 0)
            continue;
        if (strcmp(name + k + n, ".gguf") == 0 ||
            (rc_split_name_of(&split, name) && split.prefix == k + n))
            return true;
    }
    return false;
}

static rc_code list_files(rc_checking *c, rc_err *err)
{
    c->nfiles = rc_source_count(c->src);
    c->files = rc_mem_get(c->mem, c->nfiles * sizeof *c->files);
    if (!c->files)
        return rc_fail_nomem(err, c->mem, c->nfiles * sizeof *c->files);
    for (size_t i = 0; i < c->nfiles; i++) {
        c->files[i].at = rc_source_at(c->src, i);
        c->files[i].mine = !c->stem || is_of_set(c->files[i].at->name, c->stem);
    }
    return RC_OK;
}

/* ------------------------------------------------------------- recast.json */

static bool is_summary(const rc_checking *c, const char *name)
{
    const size_t n = c->stem ? strlen(c->stem) : 0;

    if (c->stem)
        return strncmp(name, c->stem, n) == 0 && strcmp(name + n, "." RC_MANIFEST_NAME) == 0;
    return !strchr(name, '/') &&
           (strcmp(name, RC_MANIFEST_NAME) == 0 || ends_in(name, "." RC_MANIFEST_NAME));
}

static rc_code read_summary(rc_checking *c, size_t i, rc_err *err)
{
    rc_manifest **m = &c->manifests[c->nmanifests];
    uint8_t *text;
    size_t len;
    rc_code rc;

    RC_TRY(rc_source_slurp(c->src, i, RC_MANIFEST_MAX_BYTES, &text, &len, c->mem, err));
    rc = rc_manifest_new(m, text, len, c->mem, err);
    rc_mem_put(c->mem, text);
    if (rc != RC_OK) {
        rc_err_file(err, c->files[i].at->name);
        return rc;
    }
    c->nmanifests++;
    c->files[i].mine = c->files[i].known = true;
    if (!c->result->format || rc_manifest_format(*m) < c->result->format)
        c->result->format = rc_manifest_format(*m);
    return RC_OK;
}

static rc_code read_summaries(rc_checking *c, rc_err *err)
{
    size_t n = 0;

    for (size_t i = 0; i < c->nfiles; i++)
        n += is_summary(c, c->files[i].at->name);
    c->manifests = rc_mem_get(c->mem, n * sizeof *c->manifests);
    if (!c->manifests)
        return rc_fail_nomem(err, c->mem, n * sizeof *c->manifests);
    for (size_t i = 0; i < c->nfiles; i++)
        if (is_summary(c, c->files[i].at->name))
            RC_TRY(read_summary(c, i, err));
    c->result->manifests = c->nmanifests;
    return RC_OK;
}

/* --------------------------------------------------------------- SHA256SUMS */

/* Its name: beside a GGUF file one that carries its name goes first. False: there is none. */
static bool find_sums(const rc_checking *c, size_t *file, char *name, size_t n)
{
    if (c->stem) {
        snprintf(name, n, "%s." RC_SUMS_NAME, c->stem);
        if (rc_source_find(c->src, name, file))
            return true;
    }
    snprintf(name, n, RC_SUMS_NAME);
    return rc_source_find(c->src, name, file);
}

static bool is_sums(const char *name)
{
    return strcmp(name, RC_SUMS_NAME) == 0 || ends_in(name, "." RC_SUMS_NAME);
}

/* What a GGUF file's companions are called; in a folder everything counts. */
static bool concerns(const rc_checking *c, const char *name)
{
    const size_t n = c->stem ? strlen(c->stem) : 0;

    return !c->stem || is_of_set(name, c->stem) ||
           (strncmp(name, c->stem, n) == 0 && strncmp(name + n, ".recast.json", 12) == 0);
}

/* Sources list two levels, and nothing that is hidden. */
static bool is_unlisted(const char *name)
{
    const char *slash = strchr(name, '/');

    return name[0] == '.' || (slash && strchr(slash + 1, '/'));
}

static void expect_sum(rc_checking *c, const rc_sum *sum)
{
    rc_check_file *f;
    size_t i;

    if (is_sums(sum->name) || !concerns(c, sum->name))
        return;
    if (is_unlisted(sum->name)) {
        warn(c, sum->name, "is in a hidden or a deep folder: it is not compared");
        return;
    }
    c->result->by_sums++;
    if (!rc_source_find(c->src, sum->name, &i)) {
        rc_check_fault(c, sum->name, NULL, RC_NO_OFFSET, NULL, NULL,
                       "is missing: line %zu of %s names it", sum->line, c->result->sums);
        return;
    }
    f = &c->files[i];
    f->mine = f->known = true;
    f->wants[f->nwants++] = (rc_check_want){ sum->content, c->result->sums };
}

static rc_code read_sums(rc_checking *c, rc_err *err)
{
    char name[sizeof c->result->sums];
    uint8_t *text;
    size_t file, len;
    rc_code rc;

    if (c->opts->sums == RC_SUMS_OFF || c->opts->sums == RC_SUMS_WRITE)
        return RC_OK;
    if (!find_sums(c, &file, name, sizeof name)) {
        if (c->opts->sums == RC_SUMS_AUTO)
            return RC_OK;
        rc = rc_fail(err, RC_E_NOINPUT, RC_NO_OFFSET, "there is no " RC_SUMS_NAME);
        rc_err_file(err, c->folder);
        rc_err_hint(err, "--sums write makes one");
        return rc;
    }
    memcpy(c->result->sums, name, sizeof name);
    RC_TRY(rc_source_slurp(c->src, file, RC_SUMS_MAX_BYTES, &text, &len, c->mem, err));
    rc = rc_sums_parse(&c->sums, text, len, c->mem, err);
    rc_mem_put(c->mem, text);
    if (rc != RC_OK) {
        rc_err_file(err, name);
        return rc;
    }
    for (size_t i = 0; i < c->sums.n; i++)
        expect_sum(c, &c->sums.at[i]);
    return RC_OK;
}

/* Nobody may certify what is wrong, or a folder that is not ours to write to. */
static rc_code refuse_writing(const rc_checking *c, rc_err *err)
{
    if (strcmp(rc_source_origin_of(c->src)->kind, "folder") == 0)
        return RC_OK;
    rc_fail(err, RC_E_USAGE, RC_NO_OFFSET, RC_SUMS_NAME " can be written to a local folder only");
    rc_err_file(err, c->folder);
    return RC_E_USAGE;
}

/* In a folder all that is in it; of a GGUF file what is known of its set. */
static void sum_all(rc_checking *c)
{
    for (size_t i = 0; i < c->nfiles; i++) {
        rc_check_file *f = &c->files[i];

        if (is_sums(f->at->name) || (c->stem && !f->mine))
            continue;
        f->mine = f->known = f->sha256 = true;
    }
}

static rc_code write_sums(rc_checking *c, rc_err *err)
{
    rc_check_result *r = c->result;
    char *text;
    rc_dir dir;
    size_t len;
    rc_code rc;

    for (size_t i = 0; i < c->nfiles; i++) {
        const rc_check_file *f = &c->files[i];

        if (f->mine && f->sha256)
            RC_TRY(rc_sums_add(&c->sums, f->at->name, strlen(f->at->name), &f->content, err));
    }
    RC_TRY(rc_sums_text(&c->sums, &text, &len, err));
    snprintf(r->sums, sizeof r->sums, "%s%s" RC_SUMS_NAME, c->stem ? c->stem : "",
             c->stem ? "." : "");
    rc = rc_dir_open(&dir, c->folder, false, err);
    if (rc == RC_OK) {
        rc = rc_dir_put(&dir, r->sums, text, len, err);
        rc_dir_close(&dir);
    }
    rc_mem_put(c->mem, text);
    r->wrote = rc == RC_OK;
    r->by_sums = c->sums.n;
    return rc;
}

/* -------------------------------------------------------------- all of them */

/* What the hub states, or the name of a file in its cache. */
static void expect_stated(rc_checking *c)
{
    for (size_t i = 0; i < c->nfiles; i++) {
        rc_check_file *f = &c->files[i];

        if (!f->mine || f->at->content.kind == RC_CONTENT_UNKNOWN)
            continue;
        f->known = true;
        f->wants[f->nwants++] =
            (rc_check_want){ f->at->content,
                             rc_source_is_remote(c->src) ? "the hub" : "the hub's cache" };
        c->result->by_stated++;
    }
}

static bool is_unfinished(const char *name)
{
    return ends_in(name, "recast.journal") || ends_in(name, ".partial");
}

/* Nothing says what the files have to be. */
static rc_code fail_unknown(const rc_checking *c, rc_err *err)
{
    bool unfinished = false;

    for (size_t i = 0; i < c->nfiles && !unfinished; i++)
        unfinished = is_unfinished(c->files[i].at->name) &&
                     (!c->stem || strncmp(c->files[i].at->name, c->stem, strlen(c->stem)) == 0);
    rc_fail(err, RC_E_NOINPUT, RC_NO_OFFSET,
            unfinished ? "is an unfinished conversion"
                       : "there is no recast.json and no " RC_SUMS_NAME
                         ": nothing says what its files have to be");
    rc_err_file(err, c->where);
    rc_err_hint(err, unfinished ? "repeat the command that began it: it goes on where it stopped"
                                : "--sums write makes a " RC_SUMS_NAME " of what is there now");
    return RC_E_NOINPUT;
}

static bool is_known(const rc_checking *c)
{
    for (size_t i = 0; i < c->nfiles; i++)
        if (c->files[i].known)
            return true;
    return c->nmanifests || c->sums.n;
}

/* What is missing and had as many bytes; or NULL. */
static const char *missing_of_size(const rc_checking *c, uint64_t nbytes)
{
    size_t i;

    for (size_t m = 0; m < c->nmanifests; m++) {
        const rc_manifest *now = c->manifests[m];

        for (size_t k = 0; k < rc_manifest_shards(now) + rc_manifest_files(now); k++) {
            const size_t n = rc_manifest_shards(now);
            const rc_listed *l = k < n ? rc_manifest_shard(now, k) : rc_manifest_file(now, k - n);

            if (l->nbytes == nbytes && !rc_source_find(c->src, l->name, &i))
                return l->name;
        }
    }
    return NULL;
}

/* Beside GGUF files that share a folder, its subfolders are other people's. */
static bool is_elsewhere(const rc_checking *c, const char *name)
{
    size_t i;

    return c->nmanifests && strchr(name, '/') && !rc_source_find(c->src, RC_MANIFEST_NAME, &i);
}

/* Files that nobody knows. Format 1 knows of no small ones, so there they are nothing strange. */
static void tell_strangers(rc_checking *c)
{
    for (size_t i = 0; i < c->nfiles; i++)
        c->result->compared |= c->files[i].known;
    if (!c->result->compared && c->result->findings.total[RC_FAULT] == 0)
        return; /* all of them: there is no need to name each */
    for (size_t i = 0; i < c->nfiles; i++) {
        const rc_check_file *f = &c->files[i];
        const char *missing;
        rc_err *e;

        if (!f->mine || f->known || is_sums(f->at->name) || c->result->format == 1 ||
            is_elsewhere(c, f->at->name))
            continue;
        e = rc_findings_add(&c->result->findings, RC_WARNING, RC_OK, "files", f->at->name, NULL,
                            "%s",
                            is_unfinished(f->at->name) ? "is of an unfinished conversion"
                                                       : "is not known: it is not compared");
        missing = missing_of_size(c, f->at->nbytes);
        if (missing) {
            char shown[128];

            rc_err_hint(e, "it has the size of %s, which is missing: was it renamed?",
                        rc_escape(shown, sizeof shown, missing, strlen(missing)));
        }
    }
}

static rc_code check(rc_checking *c, const char *where, rc_err *err)
{
    RC_TRY(open_folder(c, where, err));
    if (c->opts->sums == RC_SUMS_WRITE)
        RC_TRY(refuse_writing(c, err));
    RC_TRY(list_files(c, err));
    RC_TRY(read_summaries(c, err));
    RC_TRY(rc_check_expect(c, err));
    RC_TRY(read_sums(c, err));
    expect_stated(c);
    if (!is_known(c) && (c->opts->sums != RC_SUMS_WRITE || c->stem))
        return fail_unknown(c, err);
    tell_strangers(c);
    if (c->opts->sums == RC_SUMS_WRITE)
        sum_all(c);
    RC_TRY(rc_check_read(c, err));
    if (c->result->findings.nomem)
        return rc_fail_nomem(err, c->mem, 1);
    if (c->opts->sums == RC_SUMS_WRITE && !c->result->findings.total[RC_FAULT])
        return write_sums(c, err);
    return RC_OK;
}

rc_code rc_check(rc_check_result *out, const char *where, const rc_check_opts *opts,
                 const rc_source_opts *source, rc_mem *mem, rc_err *err)
{
    rc_checking c = { .mem = mem,
                      .where = where,
                      .arena.mem = mem,
                      .opts = opts,
                      .source_opts = source,
                      .sums.arena.mem = mem,
                      .result = out };
    rc_code rc;

    *out = (rc_check_result){ .findings.mem = mem };
    pthread_mutex_init(&c.lock, NULL);
    rc = check(&c, where, err);
    pthread_mutex_destroy(&c.lock);
    for (size_t i = 0; i < c.nmanifests; i++)
        rc_manifest_free(&c.manifests[i]);
    rc_mem_put(mem, c.manifests);
    rc_mem_put(mem, c.pieces);
    rc_mem_put(mem, c.files);
    rc_mem_put(mem, c.folder);
    rc_sums_free(&c.sums);
    rc_source_close(&c.src);
    rc_arena_free(&c.arena);
    return rc;
}
