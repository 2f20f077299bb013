/* tests/unit/model_world.h - whole checkpoints of any layout to bind, and one fault at a time.
 * Checkpoints are headers over holes: only names, dtypes and shapes matter here, and the
 * numbers of ".weight_shape". */
#ifndef RC_TESTS_UNIT_MODEL_WORLD_H
#define RC_TESTS_UNIT_MODEL_WORLD_H

#include "tests/unit/fixture.h"

#include "formats/model.h"

enum { MAX_TENSORS = 3000 };

typedef struct tensor {
    char name[160];
    rc_dtype dtype;
    unsigned rank;
    uint64_t shape[3];
    uint64_t numbers[2]; /* its bytes; 0, 0: a hole */
} tensor;

/* A checkpoint as it will be written. */
typedef struct world {
    char config[4096];
    tensor at[MAX_TENSORS];
    size_t n;
    /* when open */
    fx_dir dir;
    rc_mem mem;
    rc_ckpt *ckpt;
    rc_model *model;
} world;

static world w; /* one at a time; large */

static const rc_traits mtp = { .draft = RC_DRAFT_MTP,
                               .draft_blocks = 1,
                               .experts = RC_STORE_FP4,
                               .dense = RC_STORE_FP8,
                               .expert_scale = RC_DTYPE_F8_E8M0,
                               .dense_scale = RC_DTYPE_F8_E8M0 };

static inline void edit_config(const char *from, const char *to)
{
    char *at = strstr(w.config, from);
    char rest[sizeof w.config];

    assert_non_null(at);
    snprintf(rest, sizeof rest, "%s", at + strlen(from));
    snprintf(at, sizeof w.config - (size_t)(at - w.config), "%s%s", to, rest);
}

static inline void add(const char *name, rc_dtype dtype, unsigned rank, uint64_t a, uint64_t b,
                       uint64_t c)
{
    tensor *t = &w.at[w.n++];

    assert_true(w.n <= MAX_TENSORS);
    memset(t, 0, sizeof *t);
    assert_true((size_t)snprintf(t->name, sizeof t->name, "%s", name) < sizeof t->name);
    t->dtype = dtype;
    t->rank = rank;
    t->shape[0] = a;
    t->shape[1] = b;
    t->shape[2] = c;
}

/* A whole checkpoint of w.config, stored as `traits` says. */
static inline void fill(const rc_traits *traits)
{
    rc_mem mem = { 0 };
    rc_config config;
    rc_schema *schema;
    rc_err err;

    w.n = 0;
    if (rc_config_parse(&config, (const uint8_t *)w.config, strlen(w.config), NULL, &mem, &err) !=
            RC_OK ||
        rc_schema_new(&schema, &config, traits, &mem, &err) != RC_OK)
        fail_msg("%s", err.msg);
    for (size_t i = 0; i < rc_schema_count(schema); i++) {
        rc_want want[2];
        const unsigned n = rc_param_native(rc_schema_at(schema, i), traits, want);

        for (unsigned k = 0; k < n; k++)
            add(want[k].name, want[k].dtype, want[k].rank, want[k].shape[0], want[k].shape[1], 0);
    }
    rc_schema_free(&schema);
    assert_int_equal(mem.used, 0);
}

static inline void fresh(void)
{
    snprintf(w.config, sizeof w.config, "%s", fx_config);
    fill(&mtp);
}

static inline void fresh_dspark(void)
{
    rc_traits t = mtp;

    t.draft = RC_DRAFT_DSPARK;
    t.draft_blocks = 3;
    snprintf(w.config, sizeof w.config, "%s", fx_config);
    edit_config("4,128,0]", "4,128,0,0,0],\"dspark_block_size\":5,\"dspark_markov_rank\":64,"
                            "\"dspark_noise_token_id\":3,\"dspark_target_layer_ids\":[2,3,4]");
    fill(&t);
}

static inline tensor *find(const char *name)
{
    for (size_t i = 0; i < w.n; i++)
        if (strcmp(w.at[i].name, name) == 0)
            return &w.at[i];
    fail_msg("the test has no tensor %s", name);
    return NULL;
}

static inline void drop(const char *name)
{
    *find(name) = w.at[--w.n];
}

static inline bool ends_with(const char *s, const char *suffix)
{
    const size_t n = strlen(s), k = strlen(suffix);

    return n >= k && strcmp(s + n - k, suffix) == 0;
}

/* The tensors that are no holes; `at` is where the first one lies. */
static inline void write_numbers(uint64_t at)
{
    const int fd = open(fx_path(&w.dir, "model.safetensors"), O_WRONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    for (size_t i = 0; i < w.n; i++) {
        const tensor *t = &w.at[i];
        const uint32_t narrow[2] = { (uint32_t)t->numbers[0], (uint32_t)t->numbers[1] };
        uint64_t nbytes = rc_dtype_bits(t->dtype) / 8;

        for (unsigned k = 0; k < t->rank; k++)
            nbytes *= t->shape[k];
        if (t->numbers[0])
            assert_int_equal(pwrite(fd, nbytes == sizeof narrow ? (const void *)narrow : t->numbers,
                                    (size_t)nbytes, (off_t)at),
                             (ssize_t)nbytes);
        at += nbytes;
    }
    assert_int_equal(close(fd), 0);
}

static inline void write_world(void)
{
    char *header = malloc(MAX_TENSORS * 320), *p = header;
    uint64_t at = 0;

    w.dir = fx_open(NULL);
    fx_text(&w.dir, "config.json", w.config);
    p += sprintf(p, "{");
    for (size_t i = 0; i < w.n; i++) {
        const tensor *t = &w.at[i];
        uint64_t nbytes = rc_dtype_bits(t->dtype) / 8;

        p += sprintf(p, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[", i ? "," : "", t->name,
                     rc_dtype_name(t->dtype));
        for (unsigned k = 0; k < t->rank; k++) {
            p += sprintf(p, "%s%" PRIu64, k ? "," : "", t->shape[k]);
            nbytes *= t->shape[k];
        }
        p += sprintf(p, "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}", at, at + nbytes);
        at += nbytes;
    }
    p += sprintf(p, "}");
    fx_shard(&w.dir, "model.safetensors", header, 0, 0);
    assert_int_equal(
        truncate(fx_path(&w.dir, "model.safetensors"), (off_t)(8 + (uint64_t)(p - header) + at)),
        0);
    write_numbers(8 + (uint64_t)(p - header));
    free(header);
}

static inline void open_ckpt(void)
{
    rc_source *src;
    rc_err err;

    write_world();
    w.mem = (rc_mem){ 0 };
    if (rc_source_open(&src, w.dir.path, NULL, &w.mem, &err) != RC_OK ||
        rc_ckpt_open(&w.ckpt, src, NULL, &w.mem, &err) != RC_OK)
        fail_msg("%s (%s): want %s, got %s", err.msg, err.tensor, err.want, err.got);
}

static inline void open_world(void)
{
    rc_err err;

    open_ckpt();
    if (rc_model_new(&w.model, w.ckpt, &w.mem, &err) != RC_OK)
        fail_msg("%s (want %s, got %s)", err.msg, err.want, err.got);
}

static inline void close_world(void)
{
    rc_model_free(&w.model);
    rc_ckpt_close(&w.ckpt);
    fx_close(&w.dir);
    assert_int_equal(w.mem.used, 0);
}

static inline void print_problems(void)
{
    for (size_t i = 0; i < rc_model_problems(w.model) && i < 5; i++) {
        char line[1024];

        print_message("%s\n", rc_err_line(&rc_model_problem(w.model, i)->what, line, sizeof line));
    }
}

/* Open, expect no problems and `notes` notes; every parameter is bound. */
static inline void expect_whole(const char *variant, size_t notes)
{
    open_world();
    print_problems();
    assert_int_equal(rc_model_problems_total(w.model), 0);
    assert_int_equal(rc_model_problems(w.model), 0);
    assert_int_equal(rc_model_require_whole(w.model, NULL), RC_OK);
    assert_string_equal(rc_model_variant(w.model), variant);
    assert_int_equal(rc_model_notes(w.model), notes);
    for (size_t i = 0; i < rc_model_count(w.model); i++) {
        const rc_bound *b = rc_model_at(w.model, i);

        assert_non_null(b->weight);
        assert_int_equal(b->scale != NULL, b->store != RC_STORE_PLAIN);
        assert_ptr_equal(rc_model_find(w.model, b->param->name), b);
    }
    close_world();
}

/* Open, expect exactly one problem, and look at it. */
static inline void expect_problem(rc_problem_kind kind, const char *name, const char *says,
                                  const char *want, const char *got)
{
    const rc_problem *p;
    rc_err err;

    open_world();
    if (rc_model_problems_total(w.model) != 1)
        print_problems();
    assert_int_equal(rc_model_problems_total(w.model), 1);
    p = rc_model_problem(w.model, 0);
    assert_int_equal(p->kind, kind);
    assert_string_equal(p->tensor, name);
    assert_int_equal(p->what.code, RC_E_TENSORSET);
    if (!strstr(p->what.msg, says))
        fail_msg("\"%s\" does not say \"%s\"", p->what.msg, says);
    assert_string_equal(p->what.want, want);
    assert_string_equal(p->what.got, got);
    assert_string_equal(p->what.file, kind == RC_MISSING ? p->what.file
                                      : *name            ? "model.safetensors"
                                                         : "config.json");
    assert_int_equal(rc_model_require_whole(w.model, &err), RC_E_TENSORSET);
    assert_string_equal(err.msg, p->what.msg);
    close_world();
}

/* Open, expect that nothing sensible can be said. */
static inline void expect_refusal(rc_code code, const char *tensor_name, const char *says)
{
    rc_err err;

    open_ckpt();
    assert_int_equal(rc_model_new(&w.model, w.ckpt, &w.mem, &err), code);
    assert_null(w.model);
    assert_string_equal(err.tensor, tensor_name);
    if (!strstr(err.msg, says))
        fail_msg("\"%s\" does not say \"%s\"", err.msg, says);
    close_world();
}

#endif
