/* convert/pin.c - see pin.h. */
#include "convert/pin.h"

#include <string.h>

#include "formats/base/json.h"

enum { PIN_MAX = 1 << 16 }; /* bytes of the file */

static rc_code put(const rc_dir *dir, const char *name, const char *where, const char *commit,
                   rc_mem *mem, rc_err *err)
{
    rc_jsonw *w = rc_jsonw_new(mem, 2);
    const char *text = NULL;
    size_t len = 0;
    rc_code rc;

    if (w) {
        rc_jsonw_object(w);
        rc_jsonw_kstr(w, "where", where);
        rc_jsonw_kstr(w, "commit", commit);
        rc_jsonw_object_end(w);
        text = rc_jsonw_text(w, &len);
    }
    rc = text ? rc_dir_put(dir, name, text, len, err) : rc_fail_nomem(err, mem, 1);
    rc_jsonw_free(&w);
    return rc;
}

typedef struct pin {
    const char *where;
    bool is_where, is_commit; /* the key before the next value */
    bool same;
    char commit[RC_PIN_COMMIT];
} pin;

static bool is_key(const rc_json_event *e, const char *key)
{
    return e->len == strlen(key) && memcmp(e->text, key, e->len) == 0;
}

static rc_code note(void *ctx, const rc_json_event *e, rc_err *err)
{
    pin *p = ctx;

    (void)err;
    if (e->type == RC_JSON_KEY && e->depth == 1) {
        p->is_where = is_key(e, "where");
        p->is_commit = is_key(e, "commit");
    } else if (e->type == RC_JSON_STRING && e->depth == 1 && p->is_where) {
        p->same = is_key(e, p->where);
    } else if (e->type == RC_JSON_STRING && e->depth == 1 && p->is_commit &&
               e->len < sizeof p->commit) {
        memcpy(p->commit, e->text, e->len);
    }
    return RC_OK;
}

/* It goes into requests: hex digits only. */
static bool is_commit(const char *s)
{
    return s[0] && strspn(s, "0123456789abcdef") == strlen(s);
}

bool rc_pin_find(const rc_dir *dir, const char *name, const char *where, char commit[RC_PIN_COMMIT],
                 rc_mem *mem)
{
    pin p = { .where = where };
    char *text;
    size_t len;
    bool whole;

    if (!rc_dir_stat(dir, name, NULL) ||
        rc_dir_slurp(dir, name, PIN_MAX, &text, &len, mem, NULL) != RC_OK)
        return false;
    whole = rc_json_parse((const uint8_t *)text, len, 0, note, &p, mem, NULL) == RC_OK;
    rc_mem_put(mem, text);
    if (!whole || !p.same || !is_commit(p.commit))
        return false;
    memcpy(commit, p.commit, sizeof p.commit);
    return true;
}

rc_code rc_pin_put(const rc_dir *dir, const char *name, const rc_source *src, rc_mem *mem,
                   rc_err *err)
{
    const char *commit = rc_source_origin_of(src)->commit, *where = rc_source_where(src);
    char kept[RC_PIN_COMMIT];

    if (!commit || !rc_source_is_remote(src))
        return rc_dir_remove(dir, name, err);
    if (rc_pin_find(dir, name, where, kept, mem) && strcmp(kept, commit) == 0)
        return RC_OK;
    return put(dir, name, where, commit, mem, err);
}
