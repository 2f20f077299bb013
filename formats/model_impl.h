/* formats/model_impl.h - the model from inside; for model*.c only. */
#ifndef RC_FORMATS_MODEL_IMPL_H
#define RC_FORMATS_MODEL_IMPL_H

#include "formats/hf_names.h"
#include "formats/int4_config.h"
#include "formats/model.h"

enum { RC_MODEL_MAX_NOTES = 8 };

struct rc_tensor_list {
    const rc_tensor **at;
    size_t n, room;
};

struct rc_model {
    rc_mem *mem;
    rc_ckpt *ckpt;
    rc_traits traits;
    rc_schema *schema;
    rc_bound *bound; /* one a parameter */
    struct rc_tensor_list opaque, extra;

    rc_problem *problem;
    size_t nproblems, room, total;
    size_t kept[3]; /* by kind */
    rc_arena names;
    bool nomem; /* a problem could not be stored */

    rc_err note[RC_MODEL_MAX_NOTES];
    size_t nnotes;
    size_t f32_norms, plain_wo_a, fp4_draft;
    bool nvfp4; /* there are parts of ModelOpt's NVFP4 beside routed experts */

    /* 4-bit integers, see model_int4.c */
    rc_store int4; /* PACKED, AWQ, or RC_STORE_COUNT: none */
    bool hf;       /* names are those of transformers */
    rc_int4_config says;
    const rc_bound *undescribed; /* the first that the config does not describe, or NULL */
    uint64_t shape_seen[32][2];  /* whose ".weight_shape" was read */
    size_t nshapes;
    size_t wider; /* F16 or F32 where releases have BF16 */

    char variant[128];
};

/** A problem to be filled in, or NULL when this one is only counted. `where` may be NULL. */
rc_err *rc_model_add_problem(rc_model *m, rc_problem_kind kind, const char *tensor,
                             const rc_tensor *where);
/** A problem of config.json. */
void rc_model_config_problem(rc_model *m, const char *want, const char *got, const char *what);
rc_err *rc_model_add_note(rc_model *m);
/** The sentence of a problem or note; NULL is harmless. */
RC_PRINTF(2, 3) void rc_model_say(rc_err *e, const char *fmt, ...);
const char *rc_model_spell_shape(char buf[96], unsigned rank, const uint64_t *shape);
bool rc_model_push(rc_mem *mem, struct rc_tensor_list *list, const rc_tensor *t);
/** The schema, and a bound for each of its parameters. */
RC_MUST_CHECK
rc_code rc_model_expand(rc_model *m, const char *config_file, rc_err *err);

/** Everything that rc_model_new() does, for a GGUF file. */
RC_MUST_CHECK
rc_code rc_model_bind_gguf(rc_model *m, rc_err *err);

/** Tensors are bound under DeepSeek's names; in the file they may have those of transformers. */
bool rc_model_has_hf_names(const rc_ckpt *ckpt);
const char *rc_model_native(const rc_model *m, const char *name, char buf[RC_HF_NAME]);
const char *rc_model_filed(const rc_model *m, const char *native, char buf[RC_HF_NAME]);
const rc_tensor *rc_model_tensor(const rc_model *m, const char *native); /* or NULL */

/** The container that routed experts are in: PACKED, AWQ, or RC_STORE_COUNT. */
rc_store rc_model_find_int4(const rc_ckpt *ckpt);
/** Does the container have tensors that end so? */
bool rc_model_int4_name(const rc_model *m, const char *name);
bool rc_model_is_int4(const rc_tensor *weight);
/** Its quant_method; "" without 4-bit integers. */
const char *rc_model_int4_method(const rc_model *m);
RC_MUST_CHECK
rc_code rc_model_read_int4_config(rc_model *m, rc_err *err);
/** Store, group and parts of a bound whose weight is in 4-bit integers. What is malformed becomes
 *  a problem, and the group 0. Fails when numbers cannot be read. */
RC_MUST_CHECK
rc_code rc_model_check_int4(rc_model *m, rc_bound *b, rc_err *err);
/** The config against what was bound. */
void rc_model_check_int4_config(rc_model *m);

#endif
