/* formats/model_impl.h - the model from inside; for model.c and model_gguf.c only. */
#ifndef RC_FORMATS_MODEL_IMPL_H
#define RC_FORMATS_MODEL_IMPL_H

#include "formats/model.h"

enum { RC_MODEL_MAX_NOTES = 5 };

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
    char variant[128];
};

/** A problem to be filled in, or NULL when this one is only counted. `where` may be NULL. */
rc_err *rc_model_add_problem(rc_model *m, rc_problem_kind kind, const char *tensor,
                             const rc_tensor *where);
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

#endif
