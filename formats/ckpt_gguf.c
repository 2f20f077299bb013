/* formats/ckpt_gguf.c - a GGUF file, or a set of them, as a checkpoint.
 *
 * The head of the first file stays: it holds the keys and the tokenizer. Of the others only
 * the tensors are wanted. */
#include <stdio.h>
#include <string.h>

#include "formats/checkpoint_impl.h"
#include "formats/gguf_config.h"
#include "formats/source_early.h"

enum { FIRST_READ = 1 << 16, FIRST_READ_FAR = 1 << 18, NEXT_READ = 1 << 20 };

/* --------------------------------------------------------------------- the files */

static rc_code refuse_other_than_first(const rc_source *src, const rc_split_name *s, rc_err *err)
{
    const char *name = rc_source_named(src);

    rc_fail(err, RC_E_NOINPUT, RC_NO_OFFSET, "file %" PRIu32 " of a set of %" PRIu32, s->no,
            s->count);
    rc_err_hint(err, "name the first: %.*s-00001-of-%05" PRIu32 ".gguf",
                s->prefix < 100 ? (int)s->prefix : 100, name, s->count);
    return RC_E_NOINPUT;
}

/* The files of the set, in order. */
static rc_code list_set(rc_ckpt *ckpt, const rc_split_name *s, rc_err *err)
{
    const char *named = rc_source_named(ckpt->src);
    size_t missing = 0;
    char first[512] = "";

    RC_TRY(rc_ckpt_make_shards(ckpt, s->count, err));
    for (uint32_t i = 0; i < s->count; i++) {
        char name[512];
        size_t file;

        snprintf(name, sizeof name, "%.*s-%05" PRIu32 "-of-%05" PRIu32 ".gguf", (int)s->prefix,
                 named, i + 1, s->count);
        if (rc_source_find(ckpt->src, name, &file))
            rc_ckpt_set_shard(ckpt, i, file);
        else if (missing++ == 0)
            memcpy(first, name, sizeof first);
    }
    if (!missing)
        return RC_OK;
    rc_fail(err, RC_E_TENSORSET, RC_NO_OFFSET, "missing: %zu of the %" PRIu32 " files of the set",
            missing, s->count);
    rc_err_file(err, first);
    rc_err_hint(err, "finish the download, then run the same command");
    return RC_E_TENSORSET;
}

static rc_code list_files(rc_ckpt *ckpt, rc_err *err)
{
    rc_split_name s;
    size_t file;

    if (!rc_source_find(ckpt->src, rc_source_named(ckpt->src), &file))
        return rc_fail(err, RC_E_INTEGRITY, RC_NO_OFFSET, "the file went away");
    if (rc_split_name_of(&s, rc_source_named(ckpt->src))) {
        if (s.no != 1)
            return refuse_other_than_first(ckpt->src, &s, err);
        return list_set(ckpt, &s, err);
    }
    RC_TRY(rc_ckpt_make_shards(ckpt, 1, err));
    rc_ckpt_set_shard(ckpt, 0, file);
    return RC_OK;
}

/* --------------------------------------------------------------------- the heads */

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Read on until the head is whole: a little more each time than is known to be needed, and
 * never more than the file has. */
static rc_code read_head(rc_ckpt *ckpt, size_t shard, uint8_t **head, size_t *len, rc_err *err)
{
    const rc_shard *s = &ckpt->shards[shard];
    const uint64_t first = rc_source_is_remote(ckpt->src) ? FIRST_READ_FAR : FIRST_READ;
    uint64_t want = smaller(first, s->nbytes), need;

    for (;;) {
        uint8_t *grown = rc_mem_grow(ckpt->mem, *head, want ? (size_t)want : 1);

        if (!grown)
            return rc_fail_nomem(err, ckpt->mem, (size_t)want);
        *head = grown;
        RC_TRY(
            rc_source_read_early(ckpt->src, s->file, *len, *head + *len, (size_t)want - *len, err));
        *len = (size_t)want;
        RC_TRY(rc_gguf_need(*head, *len, s->nbytes, &need, err));
        if (need <= want)
            return RC_OK;
        want += want / 2 < NEXT_READ ? NEXT_READ : want / 2;
        want = smaller(want > need ? want : need, s->nbytes);
    }
}

static rc_code append(rc_ckpt *ckpt, size_t shard, const rc_gguf *g, rc_err *err)
{
    for (size_t i = 0; i < rc_gguf_tensors(g); i++) {
        const rc_gguf_tensor *from = rc_gguf_tensor_at(g, i);
        rc_tensor t = { .name = from->name,
                        .dtype = from->type->dtype,
                        .ggml = from->type,
                        .rank = from->rank,
                        .shard = shard,
                        .begin = from->begin,
                        .nbytes = from->nbytes };

        memcpy(t.shape, from->shape, sizeof from->shape);
        RC_TRY(rc_ckpt_add(ckpt, &t, err));
    }
    ckpt->shards[shard].data_off = rc_gguf_data_off(g);
    return RC_OK;
}

/* ----------------------------------------------------------- one story, many files */

static rc_code fail_split(rc_err *err, const char *file, const char *key, uint64_t want, bool there,
                          uint64_t got)
{
    rc_fail(err, RC_E_TENSORSET, RC_NO_OFFSET, "%s is not that of this set", key);
    rc_err_file(err, file);
    rc_err_want(err, "%" PRIu64, want);
    if (there)
        rc_err_got(err, "%" PRIu64, got);
    else
        rc_err_got(err, "nothing");
    return RC_E_TENSORSET;
}

static rc_code expect(const rc_gguf *g, const char *key, uint64_t want, const char *file,
                      rc_err *err)
{
    uint64_t got = 0;
    const bool there = rc_gguf_get_u64(g, key, &got);

    return there && got == want ? RC_OK : fail_split(err, file, key, want, there, got);
}

static uint64_t alignment_of(const rc_gguf *g)
{
    uint64_t v;

    return rc_gguf_get_u64(g, "general.alignment", &v) ? v : RC_GGUF_ALIGNMENT;
}

/* A file that says it is one of several, under a name that does not say which. */
static rc_code check_alone(const rc_ckpt *ckpt, rc_err *err)
{
    uint64_t count;

    if (!rc_gguf_get_u64(ckpt->gguf, "split.count", &count) || count <= 1)
        return RC_OK;
    rc_fail(err, RC_E_TENSORSET, RC_NO_OFFSET,
            "one of a set of %" PRIu64 " files, but its name does not say so", count);
    rc_err_file(err, ckpt->shards[0].name);
    rc_err_hint(err, "give the files back their names: NAME-00001-of-%05" PRIu64 ".gguf", count);
    return RC_E_TENSORSET;
}

static rc_code check_split(const rc_ckpt *ckpt, size_t shard, const rc_gguf *g, rc_err *err)
{
    const rc_gguf *first = ckpt->gguf ? ckpt->gguf : g;
    const char *file = ckpt->shards[shard].name;
    uint64_t tensors = 0;

    RC_TRY(expect(g, "split.count", ckpt->nshards, file, err));
    RC_TRY(expect(g, "split.no", shard, file, err));
    (void)rc_gguf_get_u64(first, "split.tensors.count", &tensors);
    RC_TRY(expect(g, "split.tensors.count", tensors, file, err));
    if (alignment_of(g) != alignment_of(first))
        return fail_split(err, file, "general.alignment", alignment_of(first), true,
                          alignment_of(g));
    return RC_OK;
}

static rc_code check_total(const rc_ckpt *ckpt, rc_err *err)
{
    uint64_t stated = 0;

    if (!rc_gguf_get_u64(ckpt->gguf, "split.tensors.count", &stated) || stated == ckpt->count)
        return RC_OK;
    return fail_split(err, ckpt->shards[0].name, "split.tensors.count", ckpt->count, true, stated);
}

/* Loaders skip what lies between tensors, so it may hold anything: a sign of a writer that is
 * not careful. Said once a file. */
static rc_code check_padding(rc_ckpt *ckpt, const rc_shard *s, const rc_gguf *g, const rc_log *log,
                             rc_err *err)
{
    uint8_t buf[256];

    for (size_t i = 0; i < rc_gguf_tensors(g); i++) {
        const rc_gguf_tensor *t = rc_gguf_tensor_at(g, i);
        const uint64_t end = t->begin + t->nbytes;
        const uint64_t next =
            i + 1 < rc_gguf_tensors(g) ? rc_gguf_tensor_at(g, i + 1)->begin : s->nbytes;
        const size_t n = (size_t)smaller(next - end, sizeof buf);

        if (n == 0)
            continue;
        RC_TRY(rc_source_read(ckpt->src, s->file, end, buf, n, err));
        for (size_t k = 0; k < n; k++)
            if (buf[k]) {
                rc_warn(log, s->name, t->name, end + k, "padding after the tensor is not zero");
                return RC_OK;
            }
    }
    return RC_OK;
}

static rc_code take_head(rc_ckpt *ckpt, size_t i, uint8_t **head, size_t len, const rc_log *log,
                         rc_err *err)
{
    const rc_shard *s = &ckpt->shards[i];
    rc_file_log named = { log, s->name };
    const rc_log sub = { .warn = rc_file_log_warn, .ctx = &named };
    rc_split_name split;
    rc_gguf *g;
    rc_code rc;

    RC_TRY(rc_gguf_new(&g, *head, len, s->nbytes, &sub, ckpt->mem, err));
    *head = NULL; /* it keeps them */
    if (rc_split_name_of(&split, rc_source_named(ckpt->src)))
        rc = rc_ckpt_excuse(ckpt, check_split(ckpt, i, g, err), err);
    else
        rc = RC_OK;
    /* A request for each gap between tensors would be thousands. */
    if (rc == RC_OK && !rc_source_is_remote(ckpt->src))
        rc = check_padding(ckpt, s, g, log, err);
    if (rc == RC_OK)
        rc = append(ckpt, i, g, err);
    if (i == 0)
        ckpt->gguf = g;
    else
        rc_gguf_free(&g);
    return rc;
}

rc_code rc_ckpt_load_gguf(rc_ckpt *ckpt, const rc_log *log, rc_err *err)
{
    rc_split_name s;
    const bool in_set = rc_split_name_of(&s, rc_source_named(ckpt->src));

    RC_TRY(list_files(ckpt, err));
    RC_TRY(rc_ckpt_each_shard(ckpt, read_head, take_head, log, err));
    if (!in_set)
        RC_TRY(rc_ckpt_excuse(ckpt, check_alone(ckpt, err), err));
    return rc_ckpt_excuse(ckpt, check_total(ckpt, err), err);
}

/* ------------------------------------------------------------------ what it is */

static bool has(void *ctx, const char *name)
{
    return rc_ckpt_find(ctx, name) != NULL;
}

/* Dimension `axis` of a matrix, or 0 when there is no such matrix. */
static uint64_t side_of(const rc_ckpt *ckpt, const char *name, unsigned axis)
{
    const rc_tensor *t = rc_ckpt_find(ckpt, name);

    return t && t->rank == 2 ? t->shape[axis] : 0;
}

rc_code rc_ckpt_describe_gguf(rc_ckpt *ckpt, const rc_log *log, rc_err *err)
{
    rc_file_log named = { log, ckpt->shards[0].name };
    const rc_log sub = { .warn = rc_file_log_warn, .ctx = &named };
    rc_gguf_facts facts = { 0 };
    rc_code rc = rc_gguf_kind_of(&ckpt->kind, ckpt->gguf, has, ckpt, err);

    if (rc == RC_OK) {
        facts.kind = ckpt->kind;
        facts.vocab = side_of(ckpt, "token_embd.weight", 0);
        facts.markov_rank = side_of(ckpt, "markov_w1.weight", 1);
        if (!facts.vocab)
            facts.vocab = side_of(ckpt, "markov_w1.weight", 0);
        rc = rc_gguf_config(&ckpt->config, &ckpt->config_text, &ckpt->config_len, ckpt->gguf,
                            &facts, &sub, ckpt->mem, err);
    }
    if (rc != RC_OK)
        rc_err_file(err, ckpt->shards[0].name);
    return rc;
}
