/* formats/source_hub.c - a repository of a hub as a source.
 *
 * The revision becomes a commit with the first request, and every later one names that. The list
 * states what each file is: LFS and Xet files by their SHA-256, others by git's blob id. */
#include <stdio.h>
#include <string.h>

#include "formats/hub_address.h"
#include "formats/hub_listing.h"
#include "formats/index.h"
#include "formats/source_remote.h"

enum { MAX_PAGES = 4096 };

typedef struct hub {
    rc_source base;
    rc_remote remote;
    rc_hub_address at;
    rc_split_name split; /* of the file that was named; count 0: it stands alone */
    char *endpoint;
    char commit[RC_HUB_COMMIT];
} hub;

static hub *hub_of(rc_source *src)
{
    return (hub *)src; /* its first member */
}

/* ------------------------------------------------------------------- addresses */

/* {endpoint}/{before}{repo}{between}{path}, everything behind the endpoint percent-encoded; a
 * revision's slashes too. */
static rc_code address(char *url, size_t n, const hub *h, const char *before, const char *between,
                       const char *revision, const char *path, rc_err *err)
{
    char coded[3 * sizeof h->at.revision + 1] = "";
    bool fits = true;

    for (const char *p = revision; *p && fits; p++) {
        const char one[] = { *p, '\0' };

        fits = *p == '/' ? strlen(coded) + 3 < sizeof coded && strcat(coded, "%2F")
                         : rc_url_encode(coded, sizeof coded, one);
    }
    fits = fits && (size_t)snprintf(url, n, "%s/%s%s/%s/%s", h->endpoint, before, h->at.repo,
                                    between, coded) < n;
    if (fits && path[0])
        fits = strlen(url) + 1 < n && rc_url_encode(strcat(url, "/"), n, path);
    return fits ? RC_OK : rc_fail(err, RC_E_LIMIT, RC_NO_OFFSET, "an address that is too long");
}

/* ------------------------------------------------------------------ what it says */

/* One hint for each way to be refused. */
static rc_code explain(rc_code rc, const hub *h, const rc_http_head *head, bool has_token,
                       rc_err *err)
{
    const char *web = h->endpoint;

    if (rc == RC_E_DENIED && strcmp(head->error_code, "GatedRepo") == 0)
        rc_err_hint(err, "a gated model: accept its terms at %.60s/%.60s, then set HF_TOKEN", web,
                    h->at.repo);
    else if (rc == RC_E_DENIED && head->status == 401 && !has_token)
        rc_err_hint(err, "no such repository, or one that wants a token: set HF_TOKEN");
    else if (rc == RC_E_DENIED && head->status == 401)
        rc_err_hint(err, "the token is not accepted, or there is no such repository; see HF_TOKEN");
    else if (rc == RC_E_DENIED && head->status == 403)
        rc_err_hint(err, "the token (HF_TOKEN) has no right to read this repository");
    else if (rc == RC_E_DENIED && head->status == 451)
        rc_err_hint(err, "the hub does not hand this out for legal reasons");
    else if (rc == RC_E_NOINPUT && strcmp(head->error_code, "RevisionNotFound") == 0)
        rc_err_hint(err, "no such branch, tag or commit: %.100s", h->at.revision);
    else if (rc == RC_E_NOINPUT && h->at.folder[0])
        rc_err_hint(err, "look for it at %.60s/%.60s: no such repository, revision or folder", web,
                    h->at.repo);
    else if (rc == RC_E_NOINPUT)
        rc_err_hint(err, "look for it at %.60s/%.60s: no such repository or revision", web,
                    h->at.repo);
    return rc;
}

static rc_code find_commit(hub *h, const char *wanted, bool has_token, rc_err *err)
{
    const char *revision = wanted ? wanted : h->at.revision;
    char url[RC_URL_MAX], *text;
    rc_http_head head;
    size_t len;
    rc_code rc;

    RC_TRY(address(url, sizeof url, h, "api/models/", "revision", revision, "", err));
    rc = rc_http_text(h->remote.http, url, RC_HUB_MAX_PAGE, &text, &len, &head, h->base.mem, err);
    if (rc != RC_OK)
        return explain(rc, h, &head, has_token, err);
    rc = rc_hub_commit(h->commit, text, len, h->base.mem, err);
    rc_mem_put(h->base.mem, text);
    RC_TRY(rc);
    if (!wanted || strcmp(wanted, h->commit) == 0)
        return RC_OK;
    rc_fail(err, RC_E_INTEGRITY, RC_NO_OFFSET, "the hub answers with another commit");
    rc_err_want(err, "%s", wanted);
    rc_err_got(err, "%s", h->commit);
    return RC_E_INTEGRITY;
}

/* -------------------------------------------------------------------- the list */

/* Is it one of the files that this source is about? A file that was named stands for its set. */
static bool is_wanted(const hub *h, const char *name)
{
    rc_split_name s;

    if (!h->at.file[0])
        return true;
    if (strchr(name, '/'))
        return false;
    if (!h->split.count)
        return strcmp(name, h->at.file) == 0;
    return rc_split_name_of(&s, name) && s.count == h->split.count && s.prefix == h->split.prefix &&
           memcmp(name, h->at.file, s.prefix) == 0;
}

/* As a local folder is listed: two levels, and nothing hidden. Names that are not fit for every
 * file system ("what?.md") are no part of a checkpoint. */
static bool is_listed(const char *name)
{
    const char *slash = strchr(name, '/');

    return rc_name_is_safe(name, strlen(name), true) && name[0] != '.' &&
           !(slash && (slash[1] == '.' || strchr(slash + 1, '/')));
}

static rc_code add_entry(void *ctx, const rc_hub_entry *e, rc_err *err)
{
    hub *h = ctx;
    const size_t folder = strlen(h->at.folder);
    const char *name = e->path;
    rc_source_file file = { .nbytes = e->nbytes, .content = e->content };

    if (folder) {
        if (strncmp(name, h->at.folder, folder) != 0 || name[folder] != '/')
            return RC_OK;
        name += folder + 1;
    }
    if (!is_listed(name) || !is_wanted(h, name))
        return RC_OK;
    file.name = name;
    return rc_source_add(&h->base, "", &file, err);
}

static rc_code read_page(hub *h, char *url, bool has_token, rc_err *err)
{
    rc_http_head head;
    rc_origin here, there;
    char *text, *next;
    size_t len;
    rc_code rc =
        rc_http_text(h->remote.http, url, RC_HUB_MAX_PAGE, &text, &len, &head, h->base.mem, err);

    if (rc != RC_OK)
        return explain(rc, h, &head, has_token, err);
    rc = rc_hub_tree(text, len, add_entry, h, h->base.mem, err);
    rc_mem_put(h->base.mem, text);
    RC_TRY(rc);
    if (!head.next[0]) {
        url[0] = '\0';
        return RC_OK;
    }
    RC_TRY(rc_url_join(&next, url, head.next, h->base.mem, err));
    if (!rc_origin_of(&here, h->endpoint) || !rc_origin_of(&there, next) ||
        !rc_origin_equal(&here, &there))
        rc = rc_fail(err, RC_E_PROTOCOL, RC_NO_OFFSET,
                     "the hub's list goes on at another server (Link)");
    else if (strcmp(next, url) == 0)
        rc = rc_fail(err, RC_E_PROTOCOL, RC_NO_OFFSET, "a page of the hub's list follows itself");
    else
        strcpy(url, next); /* shorter than RC_URL_MAX: rc_url_join() */
    rc_mem_put(h->base.mem, next);
    return rc;
}

static rc_code read_list(hub *h, bool has_token, rc_err *err)
{
    char url[RC_URL_MAX];

    RC_TRY(address(url, sizeof url - 32, h, "api/models/", "tree", h->commit, h->at.folder, err));
    strcat(url, "?recursive=true");
    for (unsigned i = 0; url[0]; i++) {
        if (i == MAX_PAGES)
            return rc_fail(err, RC_E_PROTOCOL, RC_NO_OFFSET,
                           "the hub's list does not end after %d pages", MAX_PAGES);
        RC_TRY(read_page(h, url, has_token, err));
    }
    RC_TRY(rc_source_sort(&h->base, err));
    if (h->base.count == 0) {
        rc_fail(err, RC_E_NOINPUT, RC_NO_OFFSET,
                h->at.file[0]     ? "no such file in the repository"
                : h->at.folder[0] ? "no such folder in the repository"
                                  : "the repository has no files");
        return RC_E_NOINPUT;
    }
    return RC_OK;
}

/* --------------------------------------------------------------------- reading */

/* Bytes of file i from the hub itself. */
static rc_code fetch(void *ctx, size_t i, uint64_t off, void *buf, size_t nbytes, rc_err *err)
{
    rc_source *src = ctx;
    hub *h = hub_of(src);
    const rc_source_file *f = &src->files[i];
    char url[RC_URL_MAX], path[1024];
    rc_http_file *state = &h->remote.files[f->own];
    const bool nested = h->at.folder[0];
    rc_code rc;

    if ((size_t)snprintf(path, sizeof path, "%s%s%s", h->at.folder, nested ? "/" : "", f->name) >=
        sizeof path)
        return rc_fail(err, RC_E_LIMIT, RC_NO_OFFSET, "a name that is too long");
    RC_TRY(address(url, sizeof url, h, "", "resolve", h->commit, path, err));
    rc = rc_http_range(h->remote.http, url, state, off, buf, nbytes, err);
    if (rc == RC_E_DENIED)
        rc_err_hint(err,
                    "HF_TOKEN may lack the right to it, or terms want to be accepted: "
                    "%.60s/%.60s",
                    h->endpoint, h->at.repo);
    else if (rc == RC_E_NOINPUT)
        rc_err_hint(err, "the hub lists it, and does not have it");
    return rc;
}

static rc_code read_at(rc_source *src, size_t i, uint64_t off, void *buf, size_t nbytes,
                       rc_err *err)
{
    return rc_remote_read(&hub_of(src)->remote, src, i, off, buf, nbytes, fetch, err);
}

static void close_hub(rc_source *src)
{
    rc_remote_close(&hub_of(src)->remote, src);
    rc_mem_put(src->mem, hub_of(src)->endpoint);
}

static uint64_t fetched(const rc_source *src)
{
    const hub *h = (const hub *)src;

    return h->remote.http ? rc_http_fetched(h->remote.http) : 0;
}

/* --------------------------------------------------------------------- opening */

static rc_code set_endpoint(hub *h, const char *endpoint, rc_err *err)
{
    size_t len;

    endpoint = endpoint ? endpoint : RC_HUB_ENDPOINT;
    RC_TRY(rc_web_address_check(endpoint, "the endpoint", err));
    len = strlen(endpoint);
    while (len && endpoint[len - 1] == '/')
        len--;
    h->endpoint = rc_mem_strdup(h->base.mem, endpoint, len);
    return h->endpoint ? RC_OK : rc_fail_nomem(err, h->base.mem, len + 1);
}

static void set_origin(hub *h)
{
    rc_source_origin *o = &h->base.origin;

    o->kind = "hub";
    o->endpoint = h->endpoint;
    o->repo = h->at.repo;
    o->revision = h->at.revision;
    o->commit = h->commit;
    o->folder = h->at.folder[0] ? h->at.folder : NULL;
    if (h->at.file[0]) {
        h->base.named = strrchr(h->base.where, '/') + 1;
        (void)rc_split_name_of(&h->split, h->at.file);
    }
}

static rc_code open_repo(hub *h, const rc_source_opts *opts, rc_err *err)
{
    const bool has_token = opts->token != NULL;
    char owner[RC_URL_MAX];

    RC_TRY(rc_hub_address_parse(&h->at, h->base.where, err));
    RC_TRY(set_endpoint(h, opts->endpoint, err));
    set_origin(h);
    RC_TRY(rc_remote_open(&h->remote, &h->base, opts, h->endpoint, err));
    RC_TRY(find_commit(h, opts->revision, has_token, err));
    RC_TRY(read_list(h, has_token, err));
    RC_TRY(rc_remote_files(&h->remote, &h->base, err));
    for (size_t i = 0; i < h->base.count; i++)
        h->remote.files[i].commit = h->commit;
    if ((size_t)snprintf(owner, sizeof owner, "%s/%s", h->endpoint, h->at.repo) >= sizeof owner)
        return rc_fail(err, RC_E_LIMIT, RC_NO_OFFSET, "an address that is too long");
    return rc_remote_keep(&h->remote, &h->base, opts, owner, h->commit, h->base.origin.folder, err);
}

rc_code rc_source_open_hub(rc_source **out, const char *where, const rc_source_opts *opts,
                           rc_mem *mem, rc_err *err)
{
    static const rc_source_ops ops = {
        .close = close_hub, .read = read_at, .fetched = fetched, .remote = true
    };
    rc_code rc;

    RC_TRY(rc_source_make(out, sizeof(hub), &ops, where, mem, err));
    rc = open_repo(hub_of(*out), opts, err);
    if (rc != RC_OK) {
        rc_source_close(out);
        if (rc != RC_E_USAGE) /* what is no address may hold a secret */
            rc_err_file(err, where);
    }
    return rc;
}
