/* convert/parts_file.c - see parts_file.h. */
#include "convert/parts_file.h"

#include <string.h>

#include "convert/plan.h"
#include "formats/base/json.h"

enum { PARTS_MAX = 4 << 20 }; /* bytes */

typedef enum key {
    KEY_NONE,
    KEY_FORMAT,
    KEY_TOOL,
    KEY_PARTS,
    KEY_SOURCE,
    KEY_COMMIT,
    KEY_RECIPE,
    KEY_RECIPE_DIGEST,
    KEY_SOURCE_DIGEST,
    KEY_REPLACE,
    KEY_ARGUMENTS,
    KEY_COUNT
} key;

static const char *const keys[KEY_COUNT] = {
    [KEY_NONE] = "",
    [KEY_FORMAT] = "format",
    [KEY_TOOL] = "tool",
    [KEY_PARTS] = "parts",
    [KEY_SOURCE] = "source",
    [KEY_COMMIT] = "commit",
    [KEY_RECIPE] = "recipe",
    [KEY_RECIPE_DIGEST] = "recipe_digest",
    [KEY_SOURCE_DIGEST] = "source_digest",
    [KEY_REPLACE] = "replace",
    [KEY_ARGUMENTS] = "arguments",
};

typedef struct reader {
    rc_parts *parts;
    key at;
    uint64_t format, count;
} reader;

static rc_code malformed(const rc_json_event *e, rc_err *err)
{
    return rc_fail(err, RC_E_DATA, e->offset, "not what the parts of a conversion have in common");
}

static rc_code copy(reader *r, const rc_json_event *e, const char **to, rc_err *err)
{
    *to = rc_arena_strdup(&r->parts->arena, e->text, e->len);
    return *to ? RC_OK : rc_fail_nomem(err, r->parts->arena.mem, e->len);
}

static rc_code take_string(reader *r, const rc_json_event *e, rc_err *err)
{
    rc_parts *p = r->parts;
    const char **const to[KEY_COUNT] = {
        [KEY_TOOL] = &p->version,
        [KEY_SOURCE] = &p->source,
        [KEY_COMMIT] = &p->commit,
        [KEY_RECIPE] = &p->recipe,
        [KEY_RECIPE_DIGEST] = &p->recipe_digest,
        [KEY_SOURCE_DIGEST] = &p->source_digest,
    };

    if (r->at == KEY_ARGUMENTS && e->depth == 2 && p->arguments < RC_PARTS_MAX_ARGUMENTS)
        return copy(r, e, &p->argument[p->arguments++], err);
    return to[r->at] && e->depth == 1 ? copy(r, e, to[r->at], err) : malformed(e, err);
}

static rc_code take(void *ctx, const rc_json_event *e, rc_err *err)
{
    reader *r = ctx;

    switch (e->type) {
    case RC_JSON_KEY:
        r->at = KEY_NONE;
        for (unsigned k = 1; k < KEY_COUNT; k++)
            if (e->len == strlen(keys[k]) && memcmp(e->text, keys[k], e->len) == 0)
                r->at = (key)k;
        return r->at != KEY_NONE ? RC_OK : malformed(e, err);
    case RC_JSON_STRING:
        return take_string(r, e, err);
    case RC_JSON_NUMBER:
        if ((r->at == KEY_FORMAT && rc_json_u64(e, &r->format)) ||
            (r->at == KEY_PARTS && rc_json_u64(e, &r->count)))
            return RC_OK;
        return malformed(e, err);
    case RC_JSON_TRUE:
    case RC_JSON_FALSE:
        r->parts->replace = e->type == RC_JSON_TRUE;
        return r->at == KEY_REPLACE ? RC_OK : malformed(e, err);
    case RC_JSON_OBJECT:
    case RC_JSON_OBJECT_END:
        return e->depth == 0 ? RC_OK : malformed(e, err);
    case RC_JSON_ARRAY:
    case RC_JSON_ARRAY_END:
        return r->at == KEY_ARGUMENTS && e->depth == 1 ? RC_OK : malformed(e, err);
    default:
        return malformed(e, err);
    }
}

/* It goes into requests: hex digits only. */
static bool is_commit(const char *s)
{
    return s[0] && strlen(s) <= 64 && strspn(s, "0123456789abcdef") == strlen(s);
}

static rc_code check(const reader *r, rc_err *err)
{
    const rc_parts *p = r->parts;

    if (r->format != 1)
        return rc_fail(err, RC_E_UNSUPPORTED, RC_NO_OFFSET, "of format %" PRIu64 ", not 1",
                       r->format);
    if (!p->version || !p->source || !p->recipe || !p->recipe_digest || !p->source_digest ||
        !p->arguments || (p->commit && !is_commit(p->commit)) || r->count < 1 ||
        r->count > RC_SHARE_MAX)
        return rc_fail(err, RC_E_DATA, RC_NO_OFFSET, "something is missing or wrong in it");
    return RC_OK;
}

rc_code rc_parts_read(rc_parts *out, const rc_dir *dir, const char *name, rc_mem *mem, rc_err *err)
{
    reader r = { .parts = out };
    char *text;
    size_t len;
    rc_code rc;

    memset(out, 0, sizeof *out);
    out->arena.mem = mem;
    if (!rc_dir_stat(dir, name, NULL)) {
        rc = rc_fail(err, RC_E_NOINPUT, RC_NO_OFFSET, "there is no such file");
        rc_err_file(err, name);
        return rc;
    }
    RC_TRY(rc_dir_slurp(dir, name, PARTS_MAX, &text, &len, mem, err));
    rc = rc_json_parse((const uint8_t *)text, len, 0, take, &r, mem, err);
    rc_mem_put(mem, text);
    if (rc == RC_OK)
        rc = check(&r, err);
    if (rc != RC_OK) {
        rc_err_file(err, name);
        rc_parts_free(out);
        return rc;
    }
    out->count = (uint32_t)r.count;
    return RC_OK;
}

void rc_parts_free(rc_parts *parts)
{
    rc_arena_free(&parts->arena);
    memset(parts, 0, sizeof *parts);
}

rc_code rc_parts_write(const rc_parts *p, const rc_dir *dir, const char *name, rc_mem *mem,
                       rc_err *err)
{
    rc_jsonw *w = rc_jsonw_new(mem, 2);
    char *text;
    size_t len;
    rc_code rc;

    if (!w)
        return rc_fail_nomem(err, mem, 1);
    rc_jsonw_object(w);
    rc_jsonw_ku64(w, keys[KEY_FORMAT], 1);
    rc_jsonw_kstr(w, keys[KEY_TOOL], p->version);
    rc_jsonw_ku64(w, keys[KEY_PARTS], p->count);
    rc_jsonw_kstr(w, keys[KEY_SOURCE], p->source);
    if (p->commit)
        rc_jsonw_kstr(w, keys[KEY_COMMIT], p->commit);
    rc_jsonw_kstr(w, keys[KEY_RECIPE], p->recipe);
    rc_jsonw_kstr(w, keys[KEY_RECIPE_DIGEST], p->recipe_digest);
    rc_jsonw_kstr(w, keys[KEY_SOURCE_DIGEST], p->source_digest);
    rc_jsonw_kbool(w, keys[KEY_REPLACE], p->replace);
    rc_jsonw_key(w, keys[KEY_ARGUMENTS]);
    rc_jsonw_array(w);
    for (size_t i = 0; i < p->arguments; i++)
        rc_jsonw_str(w, p->argument[i]);
    rc_jsonw_array_end(w);
    rc_jsonw_object_end(w);
    rc = rc_jsonw_finish(w, &text, &len, mem, err);
    rc_jsonw_free(&w);
    RC_TRY(rc);
    rc = rc_dir_put(dir, name, text, len, err);
    rc_mem_put(mem, text);
    return rc;
}

rc_code rc_parts_agree(const rc_parts *then, const rc_parts *now, const char *name, rc_err *err)
{
    const bool commits = then->commit && now->commit;
    const char *what = NULL, *want = NULL, *got = NULL;

    if (strcmp(then->version, now->version) != 0) {
        what = "by another version of recast";
        want = then->version;
        got = now->version;
    } else if (strcmp(then->recipe_digest, now->recipe_digest) != 0) {
        what = "with other options, or files that these name";
        want = then->recipe;
        got = now->recipe;
    } else if (commits ? strcmp(then->commit, now->commit) != 0 : then->commit || now->commit) {
        what = "of another commit of the source";
        want = then->commit ? then->commit : "none";
        got = now->commit ? now->commit : "none";
    } else if (strcmp(then->source_digest, now->source_digest) != 0) {
        what = "of another source (other files, or copied with other times)";
    }
    if (!what && then->count == now->count)
        return RC_OK;
    if (what) {
        rc_fail(err, RC_E_RESUME, RC_NO_OFFSET, "the parts here are %s", what);
        if (want && strcmp(want, got) != 0) {
            rc_err_want(err, "%.90s", want);
            rc_err_got(err, "%.90s", got);
        }
    } else {
        rc_fail(err, RC_E_RESUME, RC_NO_OFFSET, "the work here is shared out in other parts");
        rc_err_want(err, "--part I/%u", then->count);
        rc_err_got(err, "I/%u", now->count);
    }
    rc_err_file(err, name);
    rc_err_hint(err, "go on as they began; to begin anew, remove recast.part* from the output");
    return RC_E_RESUME;
}
