/* verify/agree_config.c - two config.json files, key by key.
 *
 * Both documents become sorted lists of leaves, "rope_scaling.factor" = 16, which
 * are merged. Numbers compare as numbers, so 1e-6 and 0.000001 agree. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/base/json.h"
#include "verify/agree.h"

enum { MAX_PATH = 512 };

struct leaf {
    const char *path;
    char type; /* s string, n number, t true, f false, z null, o empty object, a empty array */
    const char *text;
    double number;
};

struct leaves {
    struct leaf *at;
    size_t n, room;
    rc_mem *mem;
    rc_arena text;

    /* where the parser is */
    char path[MAX_PATH];
    struct {
        size_t base; /* length of the path of this container */
        bool array;
        uint64_t count;
    } level[RC_JSON_MAX_DEPTH + 1];
};

static rc_code add_leaf(struct leaves *l, char type, const rc_json_event *e, rc_err *err)
{
    struct leaf *leaf;

    if (l->n == l->room) {
        const size_t room = l->room ? 2 * l->room : 128;
        void *grown = rc_mem_grow(l->mem, l->at, room * sizeof *l->at);

        if (!grown)
            return rc_fail_nomem(err, l->mem, room * sizeof *l->at);
        l->at = grown;
        l->room = room;
    }
    leaf = &l->at[l->n++];
    *leaf = (struct leaf){ .type = type };
    leaf->path = rc_arena_strdup(&l->text, l->path, strlen(l->path));
    leaf->text = rc_arena_strdup(&l->text, e->text ? e->text : "", e->text ? e->len : 0);
    if (!leaf->path || !leaf->text)
        return rc_fail_nomem(err, l->mem, e->len);
    if (type == 'n' && !rc_json_f64(e, &leaf->number))
        return rc_fail(err, RC_E_DATA, e->offset, "number out of range");
    return RC_OK;
}

/* The path of what comes next inside container `depth`. */
static rc_code extend_path(struct leaves *l, unsigned depth, const rc_json_event *key, rc_err *err)
{
    const size_t base = l->level[depth].base;
    const size_t room = MAX_PATH - base;
    int k;

    if (l->level[depth].array)
        k = snprintf(l->path + base, room, "[%" PRIu64 "]", l->level[depth].count);
    else
        k = snprintf(l->path + base, room, "%s%.*s", base ? "." : "", (int)key->len, key->text);
    if (k < 0 || (size_t)k >= room)
        return rc_fail(err, RC_E_LIMIT, RC_NO_OFFSET, "keys nested longer than %d bytes", MAX_PATH);
    l->level[depth].count++;
    return RC_OK;
}

static rc_code on_event(void *ctx, const rc_json_event *e, rc_err *err)
{
    struct leaves *l = ctx;
    const bool end = e->type == RC_JSON_OBJECT_END || e->type == RC_JSON_ARRAY_END;

    if (e->type == RC_JSON_KEY)
        return e->len < MAX_PATH ? extend_path(l, e->depth, e, err)
                                 : rc_fail(err, RC_E_LIMIT, e->offset, "key too long");
    if (!end && e->depth > 0 && l->level[e->depth].array)
        RC_TRY(extend_path(l, e->depth, NULL, err));
    switch (e->type) {
    case RC_JSON_OBJECT:
    case RC_JSON_ARRAY:
        l->level[e->depth + 1].base = strlen(l->path);
        l->level[e->depth + 1].array = e->type == RC_JSON_ARRAY;
        l->level[e->depth + 1].count = 0;
        return RC_OK;
    case RC_JSON_OBJECT_END:
    case RC_JSON_ARRAY_END:
        l->path[l->level[e->depth + 1].base] = '\0';
        if (l->level[e->depth + 1].count == 0)
            return add_leaf(l, e->type == RC_JSON_OBJECT_END ? 'o' : 'a', e, err);
        return RC_OK;
    case RC_JSON_STRING:
        return add_leaf(l, 's', e, err);
    case RC_JSON_NUMBER:
        return add_leaf(l, 'n', e, err);
    case RC_JSON_TRUE:
        return add_leaf(l, 't', e, err);
    case RC_JSON_FALSE:
        return add_leaf(l, 'f', e, err);
    case RC_JSON_NULL:
        return add_leaf(l, 'z', e, err);
    default:
        return RC_OK;
    }
}

static int by_path(const void *a, const void *b)
{
    const struct leaf *x = a, *y = b;

    return strcmp(x->path, y->path);
}

static rc_code read_leaves(struct leaves *l, const rc_ckpt *ckpt, rc_mem *mem, rc_err *err)
{
    size_t len;
    const uint8_t *text = rc_ckpt_config_text(ckpt, &len);

    l->mem = l->text.mem = mem;
    RC_TRY(rc_json_parse(text, len, 0, on_event, l, mem, err));
    if (l->n)
        qsort(l->at, l->n, sizeof *l->at, by_path);
    return RC_OK;
}

static void free_leaves(struct leaves *l, rc_mem *mem)
{
    if (!l)
        return;
    if (l->mem) {
        rc_mem_put(mem, l->at);
        rc_arena_free(&l->text);
    }
    rc_mem_put(mem, l);
}

static bool equal(const struct leaf *a, const struct leaf *b)
{
    if (a->type != b->type)
        return false;
    return a->type == 'n' ? a->number == b->number : strcmp(a->text, b->text) == 0;
}

/* The key itself or anything under it. */
static bool is_under(const char *path, const char *key)
{
    const size_t n = strlen(key);

    return strncmp(path, key, n) == 0 && (path[n] == '\0' || path[n] == '.' || path[n] == '[');
}

/* Keys that no loader takes a decision from. */
static bool is_idle(const char *path)
{
    static const char *const keys[] = { "torch_dtype", "dtype",         "transformers_version",
                                        "use_cache",   "_name_or_path", "initializer_range" };

    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (is_under(path, keys[i]))
            return true;
    return false;
}

/* Keys that go with the draft, where CONVERTED has none. */
static bool is_draft(const char *path, uint32_t main_layers)
{
    unsigned long i;

    if (strcmp(path, "num_nextn_predict_layers") == 0 || strncmp(path, "dspark_", 7) == 0)
        return true;
    return sscanf(path, "compress_ratios[%9lu]", &i) == 1 && i >= main_layers;
}

/* Keys about the main layers, for which the file of a draft has stand-ins. */
static bool is_layers(const char *path)
{
    return is_under(path, "num_hidden_layers") || is_under(path, "num_hash_layers") ||
           is_under(path, "compress_ratios") || is_under(path, "num_nextn_predict_layers");
}

static const char *shown(const struct leaf *l, char buf[64])
{
    if (l->type == 's')
        snprintf(buf, 64, "\"%.60s\"", l->text);
    else
        snprintf(buf, 64, "%s",
                 l->type == 't'   ? "true"
                 : l->type == 'f' ? "false"
                 : l->type == 'z' ? "null"
                 : l->type == 'o' ? "{}"
                 : l->type == 'a' ? "[]"
                                  : l->text);
    return buf;
}

struct agreement {
    rc_findings *out;
    const char *file; /* CONVERTED's config.json or GGUF file, as the user would name it */
    bool partial;     /* one side is a GGUF file: silence is no difference */
    bool only_draft;  /* .. of a draft that does not know the main model */
    bool dropped_draft;
    uint32_t main_layers;
};

/* a or b is NULL where that side lacks the key. */
static void differ(const struct agreement *g, const char *path, const struct leaf *a,
                   const struct leaf *b)
{
    char key[128], x[64], y[64];
    rc_err *e;

    /* these two say how tensors are stored, and are held against the tensors */
    if (is_under(path, "expert_dtype") || is_under(path, "quantization_config"))
        return;
    if (g->dropped_draft && is_draft(path, g->main_layers))
        return;
    if (g->partial && (!a || !b || (g->only_draft && is_layers(path))))
        return;
    rc_escape(key, sizeof key, path, strlen(path));
    if (is_idle(path))
        e = rc_findings_add(g->out, RC_NOTE, RC_OK, "config", g->file, NULL,
                            "'%s' is not as in NATIVE (loaders do not read it)", key);
    else if (!a)
        e = rc_findings_add(g->out, RC_WARNING, RC_OK, "config", g->file, NULL,
                            "'%s' is not in NATIVE's config.json", key);
    else
        e = rc_findings_add(g->out, RC_FAULT, RC_DIFFERS, "config", g->file, NULL,
                            "'%s' is not as in NATIVE", key);
    if (e) {
        rc_err_want(e, "%s", a ? shown(a, x) : "nothing");
        rc_err_got(e, "%s", b ? shown(b, y) : "nothing");
    }
}

static void merge(const struct agreement *g, const struct leaves *a, const struct leaves *b)
{
    size_t i = 0, j = 0;

    while (i < a->n || j < b->n) {
        const int order = i == a->n ? 1 : j == b->n ? -1 : strcmp(a->at[i].path, b->at[j].path);
        const struct leaf *x = order <= 0 ? &a->at[i++] : NULL;
        const struct leaf *y = order >= 0 ? &b->at[j++] : NULL;

        if (!x)
            differ(g, y->path, NULL, y);
        else if (!y)
            differ(g, x->path, x, NULL);
        else if (!equal(x, y))
            differ(g, x->path, x, y);
    }
}

/* What the config says about storage, against the tensors of the same folder. What
 * contradicts outright was found when the tensors were bound; here is what only
 * some loader trips over. */
static void check_storage(const struct agreement *g, const rc_subject *a, const rc_subject *b)
{
    const rc_config *ca = rc_ckpt_config(a->ckpt), *cb = rc_ckpt_config(b->ckpt);
    const rc_traits *t = rc_model_traits(b->model);
    const bool fp8 = t->experts == RC_STORE_FP8;
    rc_err *e;

    if (fp8 && !cb->expert_dtype[0]) {
        e = rc_findings_add(g->out, RC_WARNING, RC_OK, "config", g->file, NULL,
                            "expert_dtype is absent: vLLM then expects FP4 experts");
        rc_err_hint(e, "add \"expert_dtype\": \"fp8\"");
    }
    if (fp8 && t->expert_scale == RC_DTYPE_F8_E8M0)
        rc_findings_add(g->out, RC_NOTE, RC_OK, "config", g->file, NULL,
                        "FP8 experts with E8M0 scales: vLLM up to 0.27.1 misreads them (F32 "
                        "scales are safe), SGLang reads both");
    if (!cb->has_quantization || t->experts == RC_STORE_PACKED || t->experts == RC_STORE_AWQ)
        return; /* INT4: held against the tensors when these were bound */
    if (strcmp(cb->quant_method, "fp8") != 0 && strcmp(cb->quant_method, "deepseek_v4_fp8") != 0) {
        e = rc_findings_add(g->out, RC_FAULT, RC_DIFFERS, "config", g->file, NULL,
                            "quantization_config.quant_method");
        rc_err_want(e, "fp8");
        rc_err_got(e, "%s", cb->quant_method[0] ? cb->quant_method : "nothing");
    }
    if (strcmp(cb->quant_activation, "dynamic") != 0) {
        e = rc_findings_add(g->out, RC_FAULT, RC_DIFFERS, "config", g->file, NULL,
                            "quantization_config.activation_scheme");
        rc_err_want(e, "dynamic");
        rc_err_got(e, "%s", cb->quant_activation[0] ? cb->quant_activation : "nothing");
    }
    if (cb->weight_block[0] != 128 || cb->weight_block[1] != 128) {
        e = rc_findings_add(g->out, RC_FAULT, RC_DIFFERS, "config", g->file, NULL,
                            "quantization_config.weight_block_size");
        rc_err_want(e, "[128, 128]");
        rc_err_got(e, "[%" PRIu32 ", %" PRIu32 "]", cb->weight_block[0], cb->weight_block[1]);
    }
    if (strcmp(ca->quant_scale_fmt, cb->quant_scale_fmt) != 0) {
        const bool absent = !cb->quant_scale_fmt[0];

        e = rc_findings_add(g->out, absent ? RC_WARNING : RC_FAULT, absent ? RC_OK : RC_DIFFERS,
                            "config", g->file, NULL,
                            absent ? "quantization_config.scale_fmt is absent: some loaders insist"
                                   : "quantization_config.scale_fmt");
        rc_err_want(e, "%s", ca->quant_scale_fmt[0] ? ca->quant_scale_fmt : "nothing");
        rc_err_got(e, "%s", absent ? "nothing" : cb->quant_scale_fmt);
    }
}

static bool is_draft_file(const rc_ckpt *ckpt)
{
    return rc_ckpt_gguf(ckpt) &&
           (rc_ckpt_kind(ckpt) == RC_GGUF_DSPARK || rc_ckpt_kind(ckpt) == RC_GGUF_MTP_DS4);
}

rc_code rc_agree_config(rc_findings *out, const rc_subject *a, const rc_subject *b,
                        bool dropped_draft, rc_mem *mem, rc_err *err)
{
    struct leaves *la = rc_mem_get(mem, sizeof *la), *lb = rc_mem_get(mem, sizeof *lb);
    struct agreement g = { .out = out, .dropped_draft = dropped_draft };
    char file[256];
    rc_code rc;

    g.file = rc_source_path(rc_ckpt_source(b->ckpt),
                            rc_ckpt_gguf(b->ckpt) ? rc_ckpt_shard(b->ckpt, 0)->name : "config.json",
                            file, sizeof file);
    g.partial = rc_ckpt_gguf(a->ckpt) || rc_ckpt_gguf(b->ckpt);
    g.only_draft = is_draft_file(a->ckpt) || is_draft_file(b->ckpt);
    g.main_layers = rc_ckpt_config(a->ckpt)->num_hidden_layers;
    if (!la || !lb)
        RC_TRY_GOTO(rc, done, rc_fail_nomem(err, mem, sizeof *la));
    RC_TRY_GOTO(rc, done, read_leaves(la, a->ckpt, mem, err));
    RC_TRY_GOTO(rc, done, read_leaves(lb, b->ckpt, mem, err));
    merge(&g, la, lb);
    if (!g.partial)
        check_storage(&g, a, b);
    rc = out->nomem ? rc_fail_nomem(err, mem, sizeof(rc_finding)) : RC_OK;
done:
    free_leaves(la, mem);
    free_leaves(lb, mem);
    return rc;
}
