/* formats/hub_listing.c - see hub_listing.h. */
#include "formats/hub_listing.h"

#include <stdlib.h>
#include <string.h>

#include "formats/base/json_tree.h"

static rc_code fail_at(rc_err *err, const rc_json_node *n, const char *what)
{
    return rc_fail(err, RC_E_DATA, n ? n->offset : RC_NO_OFFSET, "the hub's answer: %s", what);
}

rc_code rc_hub_commit(char commit[RC_HUB_COMMIT], const char *text, size_t len, rc_mem *mem,
                      rc_err *err)
{
    rc_arena arena = { .mem = mem };
    const rc_json_node *root, *sha;
    rc_content_id id;
    rc_code rc;

    commit[0] = '\0';
    rc = rc_json_tree(&root, (const uint8_t *)text, len, &arena, err);
    if (rc == RC_OK) {
        sha = rc_json_member(root, "sha");
        if (!rc_json_is(sha, RC_JSON_STRING) || sha->len != RC_HUB_COMMIT - 1 ||
            !rc_content_parse(&id, sha->text, sha->len))
            rc = fail_at(err, sha, "\"sha\" is no commit");
        else
            memcpy(commit, sha->text, RC_HUB_COMMIT);
    }
    rc_arena_free(&arena);
    return rc;
}

rc_code rc_hub_path_check(const char *path, rc_err *err)
{
    const char *p = path;
    bool good = *path != '\0';

    while (good && *p) {
        const size_t n = strcspn(p, "/");

        good = n > 0 && !(n == 1 && p[0] == '.') && !(n == 2 && p[0] == '.' && p[1] == '.');
        for (size_t i = 0; i < n && good; i++)
            good = (unsigned char)p[i] >= ' ' && p[i] != 127 && p[i] != '\\';
        p += n;
        if (*p == '/' && !*++p)
            good = false;
    }
    if (good)
        return RC_OK;
    rc_fail(err, RC_E_UNSAFEPATH, RC_NO_OFFSET, "the server lists a name that is no safe path");
    rc_err_file(err, path);
    return RC_E_UNSAFEPATH;
}

static bool u64_of(const rc_json_node *n, uint64_t *out)
{
    const rc_json_event e = { .type = RC_JSON_NUMBER,
                              .text = n ? n->text : NULL,
                              .len = n ? n->len : 0 };

    return rc_json_is(n, RC_JSON_NUMBER) && rc_json_u64(&e, out);
}

static bool digest_of(const rc_json_node *n, rc_content_kind kind, rc_content_id *id)
{
    return rc_json_is(n, RC_JSON_STRING) && rc_content_parse(id, n->text, n->len) &&
           id->kind == kind;
}

/* Large files are pointers in git, and "lfs" says to what. */
static rc_code identify(rc_hub_entry *e, const rc_json_node *file, rc_err *err)
{
    const rc_json_node *lfs = rc_json_member(file, "lfs");
    uint64_t nbytes;

    if (!lfs) {
        if (!digest_of(rc_json_member(file, "oid"), RC_CONTENT_GIT, &e->content))
            return fail_at(err, file, "\"oid\" of a file is no digest");
        return RC_OK;
    }
    if (!digest_of(rc_json_member(lfs, "oid"), RC_CONTENT_SHA256, &e->content))
        return fail_at(err, lfs, "\"oid\" of \"lfs\" is no SHA-256");
    if (!u64_of(rc_json_member(lfs, "size"), &nbytes) || nbytes != e->nbytes)
        return fail_at(err, lfs, "\"size\" of \"lfs\" is not that of the file");
    return RC_OK;
}

static rc_code entry_of(const rc_json_node *n, rc_hub_entry_fn *fn, void *ctx, rc_err *err)
{
    const rc_json_node *type = rc_json_member(n, "type"), *path = rc_json_member(n, "path");
    rc_hub_entry e = { 0 };

    if (!rc_json_is(type, RC_JSON_STRING) || !rc_json_is(path, RC_JSON_STRING))
        return fail_at(err, n, "an entry of the list without \"type\" and \"path\"");
    RC_TRY(rc_hub_path_check(path->text, err));
    if (strcmp(type->text, "file") != 0)
        return RC_OK;
    e.path = path->text;
    if (!u64_of(rc_json_member(n, "size"), &e.nbytes))
        return fail_at(err, n, "\"size\" of a file is no size");
    if (e.nbytes > RC_HUB_MAX_FILE) {
        rc_fail(err, RC_E_LIMIT, n->offset, "a file of %" PRIu64 " bytes", e.nbytes);
        rc_err_file(err, e.path);
        return RC_E_LIMIT;
    }
    RC_TRY(identify(&e, n, err));
    return fn(ctx, &e, err);
}

rc_code rc_hub_tree(const char *text, size_t len, rc_hub_entry_fn *fn, void *ctx, rc_mem *mem,
                    rc_err *err)
{
    rc_arena arena = { .mem = mem };
    const rc_json_node *root;
    rc_code rc = rc_json_tree(&root, (const uint8_t *)text, len, &arena, err);

    if (rc == RC_OK && root->type != RC_JSON_ARRAY)
        rc = fail_at(err, root, "not a list of files");
    if (rc == RC_OK)
        for (const rc_json_node *n = root->child; n && rc == RC_OK; n = n->next)
            rc = entry_of(n, fn, ctx, err);
    rc_arena_free(&arena);
    return rc;
}
