/* tests/unit/runtime_model.h - a made-up checkpoint, opened as the runtime opens it. */
#ifndef RC_TESTS_UNIT_RUNTIME_MODEL_H
#define RC_TESTS_UNIT_RUNTIME_MODEL_H

#include "convert/synth.h"
#include "runtime/engine.h"
#include "tests/unit/fixture.h"

typedef struct rm {
    rc_mem mem;
    rc_ckpt *ckpt;
    rc_model *model;
    rc_engine e;
} rm;

static inline void rm_synth(const char *path, const rc_synth_options *options)
{
    rc_mem mem = { 0 };
    rc_synth_result made;
    rc_err err;

    if (rc_synth(path, options, &made, &mem, &err) != RC_OK)
        fail_msg("%s", err.msg);
    assert_int_equal(mem.used, 0);
}

/** The checkpoint at `path`, on an account of its own. No weights yet. */
static inline void rm_open(rm *m, const char *path)
{
    rc_source *source;
    rc_err err;

    memset(m, 0, sizeof *m);
    if (rc_source_open(&source, path, NULL, &m->mem, &err) != RC_OK ||
        rc_ckpt_open(&m->ckpt, source, NULL, &m->mem, &err) != RC_OK ||
        rc_model_new(&m->model, m->ckpt, &m->mem, &err) != RC_OK)
        fail_msg("%s: %s", path, err.msg);
    m->e = (rc_engine){ .config = rc_ckpt_config(m->ckpt), .threads = 1, .mem = &m->mem };
}

static inline void rm_weights(rm *m, size_t budget, unsigned readers)
{
    rc_err err;

    if (rc_weights_open(&m->e.weights, m->model, NULL, budget, readers, &m->mem, &err) != RC_OK)
        fail_msg("%s", err.msg);
}

/** Close all; the account must be even. */
static inline void rm_close(rm *m)
{
    rc_weights_close(&m->e.weights);
    rc_model_free(&m->model);
    rc_ckpt_close(&m->ckpt);
    assert_int_equal(m->mem.used, 0);
}

static inline const rc_bound *rm_find(rm *m, const char *param)
{
    const rc_bound *b = rc_model_find(m->model, param);

    if (!b || !b->weight)
        fail_msg("no %s", param);
    return b;
}

/** Write into a file of the checkpoint, `off` bytes into a tensor. */
static inline void rm_poke(rm *m, const char *path, const rc_tensor *t, uint64_t off,
                           const void *data, size_t n)
{
    char file[1300];
    int fd;

    snprintf(file, sizeof file, "%s/%s", path, rc_ckpt_shard(m->ckpt, t->shard)->name);
    fd = open(file, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, data, n, (off_t)(t->begin + off)), (ssize_t)n);
    assert_int_equal(close(fd), 0);
}

#endif
