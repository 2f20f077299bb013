/* formats/source_url.c - a folder that any web server offers as a source.
 *
 * Nothing lists it. What is looked for are the files that a checkpoint may have, the shards that
 * its index names, and what SHA256SUMS names, where there is one; those that answer are there.
 * SHA256SUMS states contents, too. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/base/par.h"
#include "formats/hub_address.h"
#include "formats/index.h"
#include "formats/source_remote.h"

enum { PROBES = 8, MAX_SUMS = 16 << 20 };

/* Beside the shards; the first ones are what a folder is known by. */
static const char *const known[] = {
    "config.json",
    RC_INDEX_NAME,
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "generation_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "inference/config.json",
    "encoding/encoding_dsv4.py",
    "encoding/README.md",
    "LICENSE",
    "README.md",
    "recast.json",
    "recast.jsonl",
    "SYNTHETIC",
    "SHA256SUMS",
};
enum { KNOWN = sizeof known / sizeof *known };

typedef struct web {
    rc_source base;
    rc_remote remote;
    char *folder; /* address, '/' at its end */

    char *sums; /* SHA256SUMS, a NUL behind each line; or NULL */
    size_t sums_len;
    const char **names; /* that are looked for */
    size_t n;
    rc_http_file *found; /* of names[i], with codes[i] */
    rc_code *codes;
    rc_err first; /* why the first of them is not there */
} web;

static web *web_of(rc_source *src)
{
    return (web *)src; /* its first member */
}

static rc_code address(char *url, size_t n, const web *w, const char *name, rc_err *err)
{
    if (strlen(w->folder) < n) {
        strcpy(url, w->folder);
        if (rc_url_encode(url, n, name))
            return RC_OK;
    }
    return rc_fail(err, RC_E_LIMIT, RC_NO_OFFSET, "an address that is too long");
}

/* -------------------------------------------------------------- what is there */

/* Many servers say "forbidden" of what they do not have. */
static bool is_absent(rc_code rc)
{
    return rc == RC_E_NOINPUT || rc == RC_E_DENIED || rc == RC_E_DATA;
}

static rc_code probe(void *ctx, rc_par *par, unsigned slot, uint64_t i, rc_err *err)
{
    web *w = ctx;
    char url[RC_URL_MAX];
    rc_code rc;

    (void)par, (void)slot;
    RC_TRY(address(url, sizeof url, w, w->names[i], err));
    w->found[i].nbytes = RC_HTTP_UNKNOWN;
    rc = rc_http_probe(w->remote.http, url, &w->found[i], NULL, err);
    w->codes[i] = rc;
    if (rc != RC_OK && i == 0 && err)
        w->first = *err;
    if (rc != RC_OK)
        rc_err_file(err, w->names[i]);
    return is_absent(rc) ? RC_OK : rc;
}

/* Ask for all names, and list those that are there. */
static rc_code look_for_names(web *w, rc_err *err)
{
    rc_mem *mem = w->base.mem;
    const size_t n = w->n;
    rc_err own;

    w->found = rc_mem_get(mem, n * sizeof *w->found);
    w->codes = rc_mem_get(mem, n * sizeof *w->codes);
    if (!w->found || !w->codes)
        return rc_fail_nomem(err, mem, n * sizeof *w->found);
    RC_TRY(rc_par_run(n, n < PROBES ? (unsigned)n : PROBES, PROBES, probe, w, err ? err : &own));
    for (size_t i = 0; i < n; i++) {
        const rc_source_file file = { .name = w->names[i], .nbytes = w->found[i].nbytes };

        if (w->codes[i] == RC_OK)
            RC_TRY(rc_source_add(&w->base, "", &file, err));
    }
    if (w->base.count)
        return RC_OK;
    if (err)
        *err = w->first;
    rc_err_hint(err, "the address is that of a folder with config.json, or of a .gguf file; a "
                     "repository of a hub is hf://ORG/NAME");
    return w->codes[0];
}

/* A whole small text of the folder, or NULL where there is none. */
static rc_code small_text(web *w, const char *name, size_t max, char **text, size_t *len,
                          rc_err *err)
{
    char url[RC_URL_MAX];
    rc_code rc;

    *text = NULL;
    RC_TRY(address(url, sizeof url, w, name, err));
    rc = rc_http_text(w->remote.http, url, max, text, len, NULL, w->base.mem, err);
    return is_absent(rc) ? RC_OK : rc;
}

/* "DIGEST  NAME" or "DIGEST *NAME": what sha256sum writes. Lines of another kind are for other
 * programs. NULL, or the name. */
static const char *parse_sum(const char *line, rc_content_id *id)
{
    const char *name = line + 66;

    if (strlen(line) < 67 || line[64] != ' ' || (line[65] != ' ' && line[65] != '*') ||
        !rc_content_parse(id, line, 64))
        return NULL;
    return strncmp(name, "./", 2) == 0 ? name + 2 : name;
}

/* NULL asks for the first one, and is the answer behind the last. */
static const char *next_line(const web *w, const char *line)
{
    line = line ? line + strlen(line) + 1 : w->sums;
    return line && line < w->sums + w->sums_len ? line : NULL;
}

static rc_code read_sums(web *w, rc_err *err)
{
    RC_TRY(small_text(w, "SHA256SUMS", MAX_SUMS, &w->sums, &w->sums_len, err));
    for (size_t i = 0; i < w->sums_len; i++)
        if (w->sums[i] == '\n' || w->sums[i] == '\r')
            w->sums[i] = '\0';
    return RC_OK;
}

static void state_contents(web *w)
{
    for (const char *line = next_line(w, NULL); line; line = next_line(w, line)) {
        rc_content_id id;
        const char *name = parse_sum(line, &id);
        size_t i;

        if (name && rc_source_find(&w->base, name, &i))
            w->base.files[i].content = id;
    }
}

/* As a local folder is listed: two levels, nothing hidden; and nothing that leads elsewhere. */
static bool is_listed(const char *name)
{
    const char *slash = strchr(name, '/');

    return rc_name_is_safe(name, strlen(name), true) && name[0] != '.' &&
           !(slash && (slash[1] == '.' || strchr(slash + 1, '/')));
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* config.json stays the first: what is said when nothing is there is said of that. */
static void drop_doubles(web *w)
{
    size_t kept = 1;

    qsort(w->names + 1, w->n - 1, sizeof *w->names, by_name);
    for (size_t i = 1; i < w->n; i++)
        if (strcmp(w->names[i], w->names[kept - 1]) != 0 && strcmp(w->names[i], w->names[0]) != 0)
            w->names[kept++] = w->names[i];
    w->n = kept;
}

static rc_code look_for_all(web *w, const rc_index *index, rc_err *err)
{
    const size_t shards = index ? rc_index_shards(index) : 0;
    size_t most = KNOWN + shards;
    rc_content_id id;

    for (const char *line = next_line(w, NULL); line; line = next_line(w, line))
        most++;
    if (most > RC_SOURCE_MAX_FILES)
        return rc_fail(err, RC_E_LIMIT, RC_NO_OFFSET, "more than %u files: not a checkpoint folder",
                       RC_SOURCE_MAX_FILES);
    w->names = rc_mem_get(w->base.mem, most * sizeof *w->names);
    if (!w->names)
        return rc_fail_nomem(err, w->base.mem, most * sizeof *w->names);
    for (size_t i = 0; i < KNOWN; i++)
        w->names[w->n++] = known[i];
    for (size_t i = 0; i < shards; i++)
        w->names[w->n++] = rc_index_shard(index, i);
    for (const char *line = next_line(w, NULL); line; line = next_line(w, line)) {
        const char *name = parse_sum(line, &id);

        if (name && is_listed(name))
            w->names[w->n++] = name;
    }
    drop_doubles(w);
    return look_for_names(w, err);
}

static rc_code look_for_folder(web *w, rc_err *err)
{
    rc_index *index = NULL;
    size_t len;
    char *text;
    rc_code rc;

    RC_TRY(small_text(w, RC_INDEX_NAME, RC_INDEX_MAX_BYTES, &text, &len, err));
    if (text) {
        rc = rc_index_new(&index, (const uint8_t *)text, len, NULL, w->base.mem, err);
        rc_mem_put(w->base.mem, text);
        if (rc != RC_OK) {
            rc_err_file(err, RC_INDEX_NAME);
            return rc;
        }
    }
    rc = read_sums(w, err);
    if (rc == RC_OK)
        rc = look_for_all(w, index, err);
    rc_index_free(&index);
    return rc;
}

/* The file that is named, and the others of its set. */
static rc_code look_for_file(web *w, const char *name, rc_err *err)
{
    rc_split_name s;

    (void)rc_split_name_of(&s, name);
    w->names = rc_mem_get(w->base.mem, ((size_t)s.count + 1) * sizeof *w->names);
    if (!w->names)
        return rc_fail_nomem(err, w->base.mem, ((size_t)s.count + 1) * sizeof *w->names);
    w->names[w->n++] = name;
    for (uint32_t i = 1; i <= s.count; i++) {
        char other[512];

        if (i == s.no)
            continue;
        snprintf(other, sizeof other, "%.*s-%05" PRIu32 "-of-%05" PRIu32 ".gguf", (int)s.prefix,
                 name, i, s.count);
        w->names[w->n] = rc_arena_strdup(&w->base.arena, other, strlen(other));
        if (!w->names[w->n++])
            return rc_fail_nomem(err, w->base.mem, strlen(other));
    }
    return look_for_names(w, err);
}

/* What the probes learnt goes along: identity, and where redirects led. */
static rc_code keep_found(web *w, rc_err *err)
{
    size_t own = 0;

    RC_TRY(rc_remote_files(&w->remote, &w->base, err));
    for (size_t i = 0; i < w->n; i++)
        if (w->codes[i] == RC_OK) {
            rc_http_file *to = &w->remote.files[own++];

            to->resolved = w->found[i].resolved;
            to->identity = w->found[i].identity;
            w->found[i].resolved = w->found[i].identity = NULL;
        }
    for (size_t i = 0; i < w->base.count; i++)
        w->base.files[i].version = rc_http_version(&w->remote.files[w->base.files[i].own]);
    return RC_OK;
}

/* --------------------------------------------------------------------- reading */

static rc_code fetch(void *ctx, size_t i, uint64_t off, void *buf, size_t nbytes, rc_err *err)
{
    rc_source *src = ctx;
    web *w = web_of(src);
    const rc_source_file *f = &src->files[i];
    char url[RC_URL_MAX];

    RC_TRY(address(url, sizeof url, w, f->name, err));
    return rc_http_range(w->remote.http, url, &w->remote.files[f->own], off, buf, nbytes, err);
}

static rc_code read_at(rc_source *src, size_t i, uint64_t off, void *buf, size_t nbytes,
                       rc_err *err)
{
    return rc_remote_read(&web_of(src)->remote, src, i, off, buf, nbytes, fetch, err);
}

/* Nothing pins it to a version: is it still the one that was listed? */
static rc_code recheck(rc_source *src, size_t i, rc_err *err)
{
    uint8_t byte;

    return src->files[i].nbytes ? fetch(src, i, 0, &byte, 1, err) : RC_OK;
}

static void close_url(rc_source *src)
{
    web *w = web_of(src);

    for (size_t i = 0; i < w->n && w->found; i++)
        rc_http_forget(w->remote.http, &w->found[i]);
    rc_mem_put(src->mem, w->found);
    rc_mem_put(src->mem, w->codes);
    rc_mem_put(src->mem, w->names);
    rc_mem_put(src->mem, w->sums);
    rc_remote_close(&w->remote, src);
    rc_mem_put(src->mem, w->folder);
}

static uint64_t fetched(const rc_source *src)
{
    const web *w = (const web *)src;

    return w->remote.http ? rc_http_fetched(w->remote.http) : 0;
}

/* --------------------------------------------------------------------- opening */

static rc_code set_folder(web *w, rc_err *err)
{
    const char *where = w->base.where;
    size_t len = strlen(where);

    w->base.origin.kind = "url";
    w->base.origin.url = where;
    if (rc_names_file(where)) {
        w->base.named = strrchr(where, '/') + 1;
        len = (size_t)(w->base.named - where);
    }
    while (len && where[len - 1] == '/')
        len--;
    w->folder = rc_mem_get(w->base.mem, len + 2);
    if (!w->folder)
        return rc_fail_nomem(err, w->base.mem, len + 2);
    memcpy(w->folder, where, len);
    w->folder[len] = '/';
    return RC_OK;
}

static rc_code open_web(web *w, const rc_source_opts *opts, rc_err *err)
{
    rc_source_opts tokenless = *opts;

    tokenless.token = NULL; /* it is a hub's */
    RC_TRY(set_folder(w, err));
    RC_TRY(rc_remote_open(&w->remote, &w->base, &tokenless, w->folder, err));
    RC_TRY(w->base.named ? look_for_file(w, w->base.named, err) : look_for_folder(w, err));
    RC_TRY(rc_source_sort(&w->base, err));
    state_contents(w);
    RC_TRY(keep_found(w, err));
    return rc_remote_keep(&w->remote, &w->base, opts, w->folder, NULL, NULL, err);
}

rc_code rc_source_open_url(rc_source **out, const char *where, const rc_source_opts *opts,
                           rc_mem *mem, rc_err *err)
{
    static const rc_source_ops ops = {
        .close = close_url, .read = read_at, .recheck = recheck, .fetched = fetched, .remote = true
    };
    rc_code rc;

    *out = NULL;
    RC_TRY(rc_web_address_check(where, "the source", err)); /* before `where` is repeated */
    RC_TRY(rc_source_make(out, sizeof(web), &ops, where, mem, err));
    rc = open_web(web_of(*out), opts, err);
    if (rc != RC_OK) {
        rc_source_close(out);
        rc_err_file(err, where);
    }
    return rc;
}
