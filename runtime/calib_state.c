/* runtime/calib_state.c - see calib_state.h. */
#include "runtime/calib_state.h"

#include <string.h>

#include "formats/base/stop.h"

#define MAGIC "recast calibration 1"

/* As it lies in the file. */
typedef struct record {
    char magic[24];
    rc_calib_state state;
    rc_digest self; /* of all before it */
} record;

_Static_assert(sizeof(record) == 24 + 4 * 16 + 4 * 4 + 16, "no holes: they would have no value");

static rc_digest digest_of(const record *r)
{
    return rc_hash(r, offsetof(record, self));
}

rc_code rc_calib_state_read(const rc_dir *dir, const char *name, rc_calib_state *state, bool *found,
                            rc_err *err)
{
    rc_mem mem = { 0 };
    rc_digest want;
    uint64_t nbytes = sizeof(record);
    char *text = NULL;
    size_t len = 0;
    record r;
    bool sound;

    *found = rc_dir_has(dir, name, NULL);
    if (!*found)
        return RC_OK;
    (void)rc_dir_stat(dir, name, &nbytes); /* no file: the next says what it is */
    if (nbytes <= sizeof r)
        RC_TRY(rc_dir_slurp(dir, name, sizeof r, &text, &len, &mem, err));
    sound = text && len == sizeof r;
    if (sound) {
        memcpy(&r, text, sizeof r);
        want = digest_of(&r);
        sound = strcmp(r.magic, MAGIC) == 0 && rc_digest_equal(&want, &r.self) && r.state.slot < 2;
        *state = r.state;
    }
    rc_mem_put(&mem, text);
    if (sound)
        return RC_OK;
    rc_fail(err, RC_E_INTEGRITY, RC_NO_OFFSET, "this is not the state that was written");
    rc_err_file(err, name);
    rc_err_hint(err, "--restart throws it away and begins anew");
    return RC_E_INTEGRITY;
}

rc_code rc_calib_state_put(const rc_dir *dir, const char *name, const rc_calib_state *state,
                           rc_err *err)
{
    record r = { .magic = MAGIC, .state = *state };

    r.self = digest_of(&r);
    return rc_dir_put(dir, name, &r, sizeof r, err);
}

rc_code rc_calib_state_match(const rc_calib_state *state, const rc_calib_id *mine, rc_err *err)
{
    const char *what = NULL;

    if (!rc_digest_equal(&state->id.model, &mine->model))
        what = "another model";
    else if (!rc_digest_equal(&state->id.tokens, &mine->tokens))
        what = "another text";
    else if (!rc_digest_equal(&state->id.options, &mine->options))
        what = "other options";
    if (!what)
        return RC_OK;
    rc_fail(err, RC_E_RESUME, RC_NO_OFFSET, "a calibration with %s was begun here", what);
    rc_err_hint(err, "run that command again to finish it, or give --restart to begin anew");
    return RC_E_RESUME;
}

/* -------------------------------------------------------------------- streams */

/* Some tokens at a time, a page of memory being a page of the file. */
typedef struct porter {
    rc_forward *f;
    rc_out *out;
    rc_hasher hasher;
    uint8_t *pages;
    size_t wide;
} porter;

static rc_code save_some(porter *p, size_t at, size_t n, rc_err *err)
{
    const size_t nbytes = n * p->wide * sizeof(float);

    RC_TRY(rc_forward_streams(p->f, at, n, (float *)(void *)p->pages, err));
    rc_hash_add(&p->hasher, p->pages, nbytes);
    return rc_out_write(p->out, at * p->wide * sizeof(float), p->pages, nbytes, err);
}

static rc_code load_some(porter *p, size_t at, size_t n, rc_err *err)
{
    const size_t nbytes = n * p->wide * sizeof(float);

    RC_TRY(rc_out_read(p->out, at * p->wide * sizeof(float), p->pages, nbytes, err));
    rc_hash_add(&p->hasher, p->pages, nbytes);
    return rc_forward_set_streams(p->f, at, n, (const float *)(void *)p->pages, err);
}

static rc_code carry(rc_code (*some)(porter *, size_t, size_t, rc_err *), rc_forward *f,
                     rc_out *out, size_t tokens, size_t wide, rc_digest *digest, rc_mem *mem,
                     rc_err *err)
{
    const size_t run = rc_forward_run(f), room = run * wide * sizeof(float);
    porter *p = rc_mem_get_pages(mem, sizeof *p); /* the hasher wants to be aligned */
    rc_code rc = RC_OK;

    if (!p)
        return rc_fail_nomem(err, mem, sizeof *p);
    p->f = f;
    p->out = out;
    p->wide = wide;
    p->pages = rc_mem_get_pages(mem, room);
    if (!p->pages)
        rc = rc_fail_nomem(err, mem, room);
    rc_hash_begin(&p->hasher);
    for (size_t at = 0; rc == RC_OK && at < tokens; at += run) {
        rc = rc_stop_check(err);
        if (rc == RC_OK)
            rc = some(p, at, tokens - at < run ? tokens - at : run, err);
    }
    *digest = rc_hash_end(&p->hasher);
    rc_mem_put(mem, p->pages);
    rc_mem_put(mem, p);
    return rc;
}

rc_code rc_calib_streams_save(rc_forward *f, rc_out *out, size_t tokens, size_t wide,
                              rc_digest *digest, rc_mem *mem, rc_err *err)
{
    RC_TRY(carry(save_some, f, out, tokens, wide, digest, mem, err));
    return rc_out_sync(out, err);
}

rc_code rc_calib_streams_load(rc_forward *f, rc_out *out, size_t tokens, size_t wide,
                              const rc_digest *digest, rc_mem *mem, rc_err *err)
{
    rc_digest got;

    RC_TRY(carry(load_some, f, out, tokens, wide, &got, mem, err));
    if (rc_digest_equal(&got, digest))
        return RC_OK;
    rc_fail(err, RC_E_INTEGRITY, RC_NO_OFFSET,
            "the streams of the unfinished calibration are not those that were written");
    rc_err_hint(err, "--restart throws them away and begins anew");
    return RC_E_INTEGRITY;
}
