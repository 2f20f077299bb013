/* formats/checkpoint_impl.h - the table of tensors from inside; for checkpoint.c and
 * ckpt_gguf.c only. */
#ifndef RC_FORMATS_CHECKPOINT_IMPL_H
#define RC_FORMATS_CHECKPOINT_IMPL_H

#include "formats/base/names.h"
#include "formats/checkpoint.h"

struct rc_ckpt {
    rc_mem *mem;
    rc_source *src;
    rc_ckpt_faults *faults; /* while it is opened leniently, else NULL */
    rc_config config;
    uint8_t *config_text;
    size_t config_len;
    rc_gguf *gguf; /* the first file's head, or NULL */
    rc_gguf_kind kind;

    rc_arena text;    /* of tensors' names */
    rc_shard *shards; /* names belong to src */
    size_t nshards;
    rc_tensor *tensors;
    size_t count, capacity;
    rc_names names; /* positions in `tensors` */
    uint64_t nbytes;
};

/* Parsers do not know the name of the file that they warn about: a log that adds it. */
typedef struct rc_file_log {
    const rc_log *to;
    const char *file;
} rc_file_log;
void rc_file_log_warn(void *file_log, const rc_err *warning);

/** Where faults are collected: keep what contradicts the rest and go on (RC_OK). Otherwise, and
 *  for errors of any other kind, `rc` itself. */
rc_code rc_ckpt_excuse(rc_ckpt *ckpt, rc_code rc, rc_err *err);

/** Room for n shards, then file `file` of the source as shard i. */
RC_MUST_CHECK
rc_code rc_ckpt_make_shards(rc_ckpt *ckpt, size_t n, rc_err *err);
void rc_ckpt_set_shard(rc_ckpt *ckpt, size_t i, size_t file);

/* A shard's head: fetch its bytes, by several threads at a time, and take them in, in order.
 * *head belongs to whoever calls; take may keep it and leave NULL. */
typedef rc_code rc_ckpt_fetch(rc_ckpt *ckpt, size_t shard, uint8_t **head, size_t *len,
                              rc_err *err);
typedef rc_code rc_ckpt_take(rc_ckpt *ckpt, size_t shard, uint8_t **head, size_t len,
                             const rc_log *log, rc_err *err);
/** Errors name the shard. */
RC_MUST_CHECK
rc_code rc_ckpt_each_shard(rc_ckpt *ckpt, rc_ckpt_fetch *fetch, rc_ckpt_take *take,
                           const rc_log *log, rc_err *err);

/** Add a tensor, with a copy of its name. */
RC_MUST_CHECK
rc_code rc_ckpt_add(rc_ckpt *ckpt, const rc_tensor *t, rc_err *err);

/** The shards of a GGUF file and their tensors; then, when the tensors can be found by name,
 *  the kind of file and the config. */
RC_MUST_CHECK
rc_code rc_ckpt_load_gguf(rc_ckpt *ckpt, const rc_log *log, rc_err *err);
RC_MUST_CHECK
rc_code rc_ckpt_describe_gguf(rc_ckpt *ckpt, const rc_log *log, rc_err *err);

#endif
