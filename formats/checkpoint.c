/* formats/checkpoint.c - one table of tensors out of many headers; those of GGUF files are
 * read in ckpt_gguf.c.
 *
 * Shards are parsed one after the other and each header is freed before the next, so
 * that opening costs the table plus the largest header. The table holds its own copy of
 * the names: keeping the parsed headers instead would hold every entry twice. */
#include "formats/checkpoint_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "formats/base/par.h"
#include "formats/index.h"
#include "formats/source_early.h"

#define CONFIG_NAME "config.json"

enum { PEEK = 512, PEEK_FAR = 256 << 10, FAR_READS = 8, SHOWN = 10 /* names in one message */ };

void rc_file_log_warn(void *ctx, const rc_err *warning)
{
    const rc_file_log *log = ctx;
    rc_err named = *warning;

    rc_err_file(&named, log->file);
    if (log->to && log->to->warn)
        log->to->warn(log->to->ctx, &named);
}

static bool is_contradiction(rc_code rc)
{
    return rc == RC_E_DATA || rc == RC_E_TENSORSET || rc == RC_E_UNSUPPORTED;
}

rc_code rc_ckpt_excuse(rc_ckpt *ckpt, rc_code rc, rc_err *err)
{
    rc_ckpt_faults *f = ckpt->faults;

    if (!f || !is_contradiction(rc))
        return rc;
    if (f->n < RC_CKPT_FAULTS)
        f->at[f->n] = *err;
    f->n++;
    return RC_OK;
}

/* A config that was given up half filled. */
static rc_code excuse_config(rc_ckpt *ckpt, rc_code rc, rc_err *err)
{
    ckpt->config = (rc_config){ 0 };
    if (!ckpt->faults || !is_contradiction(rc))
        return rc;
    ckpt->faults->config = *err;
    return RC_OK;
}

/* A list of names cut to the size of a message: "a, b, .." */
typedef struct name_list {
    char text[200];
    size_t len, count;
    bool full;
} name_list;

static void list_name(name_list *list, const char *name)
{
    char shown[100];
    const char *sep = list->count ? ", " : "";
    const size_t room = sizeof list->text - sizeof ", .."; /* for the end, whatever comes */
    size_t need;

    rc_escape(shown, sizeof shown, name, strlen(name));
    need = strlen(sep) + strlen(shown);
    if (!list->full && list->count < SHOWN && list->len + need <= room) {
        memcpy(list->text + list->len, sep, strlen(sep));
        memcpy(list->text + list->len + strlen(sep), shown, strlen(shown) + 1);
        list->len += need;
    } else if (!list->full) {
        memcpy(list->text + list->len, ", ..", sizeof ", ..");
        list->full = true;
    }
    list->count++;
}

static bool ends_with(const char *name, const char *suffix)
{
    const size_t len = strlen(name), n = strlen(suffix);

    return len > n && strcasecmp(name + len - n, suffix) == 0;
}

/* ----------------------------------------------------------- what is there */

static bool is_shard_name(const char *name)
{
    return !strchr(name, '/') && ends_with(name, ".safetensors");
}

static bool is_foreign_weights(const char *name)
{
    static const char *const suffixes[] = { ".bin", ".pt", ".pth", ".pkl", ".ckpt", ".gguf" };

    if (strchr(name, '/'))
        return false;
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++)
        if (ends_with(name, suffixes[i]))
            return true;
    return false;
}

/* Weights that we do not read, and none that we do? They are named, never opened. */
static rc_code refuse_foreign(const rc_source *src, rc_err *err)
{
    name_list foreign = { 0 };
    bool gguf = false;
    size_t i;

    if (rc_source_find(src, RC_INDEX_NAME, &i))
        return RC_OK;
    for (i = 0; i < rc_source_count(src); i++) {
        const char *name = rc_source_at(src, i)->name;

        if (is_shard_name(name))
            return RC_OK;
        if (is_foreign_weights(name))
            list_name(&foreign, name);
        gguf = gguf || ends_with(name, ".gguf");
    }
    if (foreign.count == 0)
        return RC_OK;
    rc_fail(err, RC_E_UNSUPPORTED, RC_NO_OFFSET, "weights only in formats that are not read: %s",
            foreign.text);
    rc_err_hint(err, gguf ? "a .gguf file is named itself, not its folder"
                          : "only .safetensors checkpoints are read; pickled files are never "
                            "opened");
    return RC_E_UNSUPPORTED;
}

/* What to do about files that are missing: a conversion that was stopped looks much
 * like a download that was. */
static rc_code hint_unfinished(const rc_ckpt *ckpt, const char *otherwise, rc_err *err)
{
    size_t i;

    if (rc_source_find(ckpt->src, "recast.journal", &i))
        rc_err_hint(err, "an unfinished conversion: run its recast convert command again");
    else if (otherwise)
        rc_err_hint(err, "%s", otherwise);
    return RC_E_NOINPUT;
}

static rc_code read_config(rc_ckpt *ckpt, const rc_log *log, rc_err *err)
{
    rc_file_log named = { log, CONFIG_NAME };
    const rc_log sub = { .warn = rc_file_log_warn, .ctx = &named };
    size_t file;
    rc_code rc;

    if (!rc_source_find(ckpt->src, CONFIG_NAME, &file)) {
        rc_fail(err, RC_E_NOINPUT, RC_NO_OFFSET, "no %s: not a checkpoint folder", CONFIG_NAME);
        return hint_unfinished(ckpt, NULL, err);
    }
    RC_TRY(rc_source_slurp(ckpt->src, file, RC_CONFIG_MAX_BYTES, &ckpt->config_text,
                           &ckpt->config_len, ckpt->mem, err));
    rc = rc_config_parse(&ckpt->config, ckpt->config_text, ckpt->config_len, &sub, ckpt->mem, err);
    if (rc == RC_OK)
        return RC_OK;
    rc_err_file(err, CONFIG_NAME);
    return excuse_config(ckpt, rc, err);
}

static rc_code read_index(rc_index **index, rc_ckpt *ckpt, size_t file, const rc_log *log,
                          rc_err *err)
{
    rc_file_log named = { log, RC_INDEX_NAME };
    const rc_log sub = { .warn = rc_file_log_warn, .ctx = &named };
    uint8_t *text;
    size_t len;
    rc_code rc;

    RC_TRY(rc_source_slurp(ckpt->src, file, RC_INDEX_MAX_BYTES, &text, &len, ckpt->mem, err));
    rc = rc_index_new(index, text, len, &sub, ckpt->mem, err);
    rc_mem_put(ckpt->mem, text);
    if (rc != RC_OK)
        rc_err_file(err, RC_INDEX_NAME);
    return rc;
}

rc_code rc_ckpt_make_shards(rc_ckpt *ckpt, size_t n, rc_err *err)
{
    ckpt->shards = rc_mem_get(ckpt->mem, n * sizeof *ckpt->shards);
    if (!ckpt->shards)
        return rc_fail_nomem(err, ckpt->mem, n * sizeof *ckpt->shards);
    ckpt->nshards = n;
    return RC_OK;
}

void rc_ckpt_set_shard(rc_ckpt *ckpt, size_t i, size_t file)
{
    const rc_source_file *f = rc_source_at(ckpt->src, file);

    ckpt->shards[i] = (rc_shard){ .name = f->name, .file = file, .nbytes = f->nbytes };
}

static bool is_indexed(const rc_ckpt *ckpt, const char *name)
{
    size_t low = 0, high = ckpt->nshards;

    while (low < high) {
        const size_t mid = low + (high - low) / 2;
        const int order = strcmp(name, ckpt->shards[mid].name);

        if (order == 0)
            return true;
        if (order < 0)
            high = mid;
        else
            low = mid + 1;
    }
    return false;
}

/* The shards are those that the index lists: all of them, and no other. */
static rc_code shards_of_index(rc_ckpt *ckpt, const rc_index *index, const rc_log *log, rc_err *err)
{
    const size_t n = rc_index_shards(index);
    name_list missing = { 0 }, extra = { 0 };

    RC_TRY(rc_ckpt_make_shards(ckpt, n, err));
    for (size_t i = 0; i < n; i++) {
        size_t file;

        if (rc_source_find(ckpt->src, rc_index_shard(index, i), &file))
            rc_ckpt_set_shard(ckpt, i, file);
        else
            list_name(&missing, rc_index_shard(index, i));
    }
    if (missing.count) {
        rc_fail(err, RC_E_NOINPUT, RC_NO_OFFSET, "%zu of %zu shards missing: %s", missing.count, n,
                missing.text);
        rc_err_file(err, RC_INDEX_NAME);
        return hint_unfinished(ckpt, "finish the download, then run the same command", err);
    }
    for (size_t i = 0; i < rc_source_count(ckpt->src); i++) {
        const char *name = rc_source_at(ckpt->src, i)->name;

        if (is_shard_name(name) && !is_indexed(ckpt, name))
            list_name(&extra, name);
    }
    if (extra.count)
        rc_warn(log, RC_INDEX_NAME, NULL, RC_NO_OFFSET, "%zu shard%s not listed, not used: %s",
                extra.count, extra.count == 1 ? "" : "s", extra.text);
    return RC_OK;
}

/* "..-of-00046.safetensors" -> 46; 0 when the name does not say. */
static uint64_t shards_in_name(const char *name)
{
    static const char of[] = "-of-";
    const char *at = NULL;
    uint64_t n = 0;

    for (const char *p = strstr(name, of); p; p = strstr(p + 1, of))
        at = p + sizeof of - 1;
    if (!at)
        return 0;
    for (; *at >= '0' && *at <= '9' && n < 1000000000; at++)
        n = 10 * n + (uint64_t)(*at - '0');
    return *at == '.' ? n : 0;
}

/* Without an index there may be one shard only: nothing else says what is complete. */
static rc_code single_shard(rc_ckpt *ckpt, rc_err *err)
{
    size_t found = 0, file = 0;
    uint64_t stated;

    for (size_t i = 0; i < rc_source_count(ckpt->src); i++) {
        if (is_shard_name(rc_source_at(ckpt->src, i)->name)) {
            file = i;
            found++;
        }
    }
    if (found == 0) {
        rc_fail(err, RC_E_NOINPUT, RC_NO_OFFSET, "no .safetensors file in the folder");
        return hint_unfinished(ckpt, NULL, err);
    }
    stated = shards_in_name(rc_source_at(ckpt->src, file)->name);
    if (found > 1 || stated > 1) {
        rc_fail(err, RC_E_NOINPUT, RC_NO_OFFSET, "no %s beside %zu shard%s of %zu", RC_INDEX_NAME,
                found, found == 1 ? "" : "s", stated > found ? (size_t)stated : found);
        return hint_unfinished(ckpt, "finish the download: the index is part of it", err);
    }
    RC_TRY(rc_ckpt_make_shards(ckpt, 1, err));
    rc_ckpt_set_shard(ckpt, 0, file);
    return RC_OK;
}

/* ---------------------------------------------------------------- the table */

static rc_code reserve(rc_ckpt *ckpt, size_t n, rc_err *err)
{
    size_t capacity = ckpt->capacity + ckpt->capacity / 2;
    rc_tensor *grown;

    if (n > RC_CKPT_MAX_TENSORS)
        return rc_fail(err, RC_E_LIMIT, RC_NO_OFFSET, "more than %u tensors", RC_CKPT_MAX_TENSORS);
    if (n <= ckpt->capacity)
        return RC_OK;
    capacity = capacity > n ? capacity : n;
    grown = rc_mem_grow(ckpt->mem, ckpt->tensors, capacity * sizeof *grown);
    if (!grown)
        return rc_fail_nomem(err, ckpt->mem, capacity * sizeof *grown);
    ckpt->tensors = grown;
    ckpt->capacity = capacity;
    return RC_OK;
}

/* Give back what reserve() took too much. */
static rc_code fit(rc_ckpt *ckpt, rc_err *err)
{
    rc_tensor *fitted;

    if (ckpt->count == ckpt->capacity)
        return RC_OK;
    fitted = rc_mem_grow(ckpt->mem, ckpt->tensors, ckpt->count * sizeof *fitted);
    if (!fitted)
        return rc_fail_nomem(err, ckpt->mem, ckpt->count * sizeof *fitted);
    ckpt->tensors = fitted;
    ckpt->capacity = ckpt->count;
    return RC_OK;
}

rc_code rc_ckpt_add(rc_ckpt *ckpt, const rc_tensor *t, rc_err *err)
{
    const size_t len = strlen(t->name);
    rc_tensor *to;

    RC_TRY(reserve(ckpt, ckpt->count + 1, err));
    to = &ckpt->tensors[ckpt->count];
    *to = *t;
    to->name = rc_arena_strdup(&ckpt->text, t->name, len);
    if (!to->name)
        return rc_fail_nomem(err, ckpt->mem, len + 1);
    ckpt->count++;
    ckpt->nbytes += t->nbytes; /* a sum of parts of real files: fits */
    return RC_OK;
}

/* Copy a parsed header into the table. */
static rc_code append(rc_ckpt *ckpt, size_t shard, const rc_st *st, rc_err *err)
{
    const size_t n = rc_st_count(st);

    RC_TRY(reserve(ckpt, ckpt->count + n, err));
    for (size_t i = 0; i < n; i++) {
        const rc_st_entry *e = rc_st_at(st, i);
        rc_tensor t = { .name = e->name,
                        .dtype = e->dtype,
                        .rank = e->rank,
                        .shard = shard,
                        .begin = e->begin,
                        .nbytes = e->nbytes };

        memcpy(t.shape, e->shape, sizeof t.shape);
        RC_TRY(rc_ckpt_add(ckpt, &t, err));
    }
    ckpt->shards[shard].data_off = rc_st_data_off(st);
    return RC_OK;
}

/* The header's bytes; *head is the caller's, on failure too. Over a network one request a shard is
 * to be enough. */
static rc_code read_header(rc_ckpt *ckpt, size_t shard, uint8_t **head, size_t *len, rc_err *err)
{
    const rc_shard *s = &ckpt->shards[shard];
    const size_t most = rc_source_is_remote(ckpt->src) ? PEEK_FAR : PEEK;
    const size_t peek = s->nbytes < most ? (size_t)s->nbytes : most;
    uint8_t *grown;
    uint64_t end;

    *len = 0;
    *head = rc_mem_get(ckpt->mem, peek ? peek : 1);
    if (!*head)
        return rc_fail_nomem(err, ckpt->mem, peek);
    RC_TRY(rc_source_read_early(ckpt->src, s->file, 0, *head, peek, err));
    RC_TRY(rc_st_peek(*head, peek, s->nbytes, &end, err));
    *len = (size_t)end; /* at most 8 + RC_ST_MAX_HEADER, and in the file */
    if (*len <= peek)
        return RC_OK;
    grown = rc_mem_grow(ckpt->mem, *head, *len);
    if (!grown)
        return rc_fail_nomem(err, ckpt->mem, *len);
    *head = grown;
    return rc_source_read_early(ckpt->src, s->file, peek, *head + peek, *len - peek, err);
}

static rc_code take_header(rc_ckpt *ckpt, size_t shard, uint8_t **head, size_t len,
                           const rc_log *log, rc_err *err)
{
    const rc_shard *s = &ckpt->shards[shard];
    rc_file_log named = { log, s->name };
    const rc_log sub = { .warn = rc_file_log_warn, .ctx = &named };
    rc_st *st = NULL;
    rc_code rc = rc_st_new(&st, *head, len, s->nbytes, &sub, ckpt->mem, err);

    if (rc == RC_OK)
        rc = append(ckpt, shard, st, err);
    rc_st_free(&st);
    return rc;
}

/* ------------------------------------------------------------- all the shards */

/* Over a network several heads are fetched at a time; they are taken in one after the other. */
typedef struct crew {
    rc_ckpt *ckpt;
    rc_ckpt_fetch *fetch;
    rc_ckpt_take *take;
    const rc_log *log;
    rc_turn turn;
} crew;

static rc_code one_shard(crew *c, rc_par *par, size_t shard, rc_err *err)
{
    uint8_t *head = NULL;
    size_t len = 0;
    rc_code rc = c->fetch(c->ckpt, shard, &head, &len, err);

    if (rc == RC_OK && par && !rc_turn_wait(par, &c->turn, shard)) {
        rc_mem_put(c->ckpt->mem, head);
        return RC_OK; /* another one has failed, and says why */
    }
    if (rc == RC_OK)
        rc = c->take(c->ckpt, shard, &head, len, c->log, err);
    rc_mem_put(c->ckpt->mem, head);
    if (rc != RC_OK)
        rc_err_file(err, c->ckpt->shards[shard].name);
    else if (par)
        rc_turn_next(par, &c->turn);
    return rc;
}

static rc_code one_of_crew(void *ctx, rc_par *par, unsigned slot, uint64_t item, rc_err *err)
{
    (void)slot;
    return one_shard(ctx, par, (size_t)item, err);
}

rc_code rc_ckpt_each_shard(rc_ckpt *ckpt, rc_ckpt_fetch *fetch, rc_ckpt_take *take,
                           const rc_log *log, rc_err *err)
{
    crew c = { .ckpt = ckpt, .fetch = fetch, .take = take, .log = log };
    const size_t n = ckpt->nshards;

    if (rc_source_is_remote(ckpt->src) && n > 1)
        return rc_par_run(n, n < FAR_READS ? (unsigned)n : FAR_READS, FAR_READS, one_of_crew, &c,
                          err);
    for (size_t i = 0; i < n; i++)
        RC_TRY(one_shard(&c, NULL, i, err));
    return RC_OK;
}

static const char *name_at(const void *owner, size_t i)
{
    return ((const rc_ckpt *)owner)->tensors[i].name;
}

static rc_code name_tensors(rc_ckpt *ckpt, rc_err *err)
{
    if (!rc_names_reserve(&ckpt->names, ckpt->count))
        return rc_fail_nomem(err, ckpt->mem, 2 * ckpt->count * sizeof *ckpt->names.slot);
    for (size_t i = 0; i < ckpt->count; i++) {
        const rc_tensor *t = &ckpt->tensors[i], *twin = rc_ckpt_find(ckpt, t->name);

        if (twin) {
            const char *other = ckpt->shards[twin->shard].name;
            char shown[128];

            rc_fail(err, RC_E_TENSORSET, RC_NO_OFFSET, "tensor is in two shards; also in %s",
                    rc_escape(shown, sizeof shown, other, strlen(other)));
            rc_err_file(err, ckpt->shards[t->shard].name);
            rc_err_tensor(err, t->name);
            RC_TRY(rc_ckpt_excuse(ckpt, RC_E_TENSORSET, err));
        } else if (!rc_names_add(&ckpt->names, i))
            return rc_fail_nomem(err, ckpt->mem, 2 * ckpt->count * sizeof *ckpt->names.slot);
    }
    return RC_OK;
}

/* ------------------------------------------------------- index and headers */

static rc_code fail_set(rc_err *err, const char *file, const char *tensor, const char *msg,
                        const char *want, const char *got)
{
    char shown[80];

    rc_fail(err, RC_E_TENSORSET, RC_NO_OFFSET, "%s", msg);
    rc_err_file(err, file);
    rc_err_tensor(err, tensor);
    rc_err_want(err, "%s", rc_escape(shown, sizeof shown, want, strlen(want)));
    rc_err_got(err, "%s", rc_escape(shown, sizeof shown, got, strlen(got)));
    return RC_E_TENSORSET;
}

/* Every tensor of the index is in the shard that it states, and the other way round. */
static rc_code compare(const rc_ckpt *ckpt, const rc_index *index, rc_err *err)
{
    for (size_t i = 0; i < rc_index_count(index); i++) {
        const char *name = rc_index_tensor(index, i);
        const rc_tensor *t = rc_ckpt_find(ckpt, name);
        const size_t stated = rc_index_shard_of(index, i);

        /* Both lists of shards are the same, in the same order. */
        if (!t)
            return fail_set(err, RC_INDEX_NAME, name, "tensor is in the index but in no shard",
                            rc_index_shard(index, stated), "none");
        if (t->shard != stated)
            return fail_set(err, RC_INDEX_NAME, name, "tensor is in another shard than stated",
                            rc_index_shard(index, stated), ckpt->shards[t->shard].name);
    }
    return RC_OK;
}

/* compare() found count(index) different tensors: more than those is one too many. */
static rc_code find_unlisted(const rc_ckpt *ckpt, const rc_index *index, rc_err *err)
{
    const size_t extra = ckpt->count - rc_index_count(index);
    const rc_tensor *first = NULL;
    uint8_t *seen;

    if (extra == 0)
        return RC_OK;
    seen = rc_mem_get(ckpt->mem, ckpt->count);
    if (!seen)
        return rc_fail_nomem(err, ckpt->mem, ckpt->count);
    for (size_t i = 0; i < rc_index_count(index); i++)
        seen[rc_ckpt_find(ckpt, rc_index_tensor(index, i)) - ckpt->tensors] = 1;
    for (size_t i = 0; i < ckpt->count && !first; i++)
        if (!seen[i])
            first = &ckpt->tensors[i];
    rc_mem_put(ckpt->mem, seen);
    rc_fail(err, RC_E_TENSORSET, RC_NO_OFFSET,
            "tensor is in the shard but not in the index; %zu such in all", extra);
    rc_err_file(err, ckpt->shards[first->shard].name);
    rc_err_tensor(err, first->name);
    return RC_E_TENSORSET;
}

static rc_code cross_check(const rc_ckpt *ckpt, const rc_index *index, const rc_log *log,
                           rc_err *err)
{
    uint64_t stated;

    RC_TRY(compare(ckpt, index, err));
    RC_TRY(find_unlisted(ckpt, index, err));
    if (rc_index_total_size(index, &stated) && stated != ckpt->nbytes)
        rc_warn(log, RC_INDEX_NAME, NULL, RC_NO_OFFSET,
                "total_size is %" PRIu64 ", the tensors have %" PRIu64 " bytes", stated,
                ckpt->nbytes);
    return RC_OK;
}

/* ---------------------------------------------------------------- interface */

static rc_code load_folder(rc_ckpt *ckpt, const rc_log *log, rc_err *err)
{
    rc_index *index = NULL;
    size_t file;
    rc_code rc;

    RC_TRY(refuse_foreign(ckpt->src, err));
    RC_TRY(read_config(ckpt, log, err));
    if (rc_source_find(ckpt->src, RC_INDEX_NAME, &file)) {
        RC_TRY(read_index(&index, ckpt, file, log, err));
        RC_TRY_GOTO(rc, done, shards_of_index(ckpt, index, log, err));
    } else {
        RC_TRY(single_shard(ckpt, err));
    }
    RC_TRY_GOTO(rc, done, rc_ckpt_each_shard(ckpt, read_header, take_header, log, err));
    RC_TRY_GOTO(rc, done, fit(ckpt, err));
    RC_TRY_GOTO(rc, done, name_tensors(ckpt, err));
    if (index)
        rc = rc_ckpt_excuse(ckpt, cross_check(ckpt, index, log, err), err);
done:
    rc_index_free(&index);
    return rc;
}

static rc_code load_file(rc_ckpt *ckpt, const rc_log *log, rc_err *err)
{
    rc_code rc;

    RC_TRY(rc_ckpt_load_gguf(ckpt, log, err));
    RC_TRY(fit(ckpt, err));
    RC_TRY(name_tensors(ckpt, err));
    rc = rc_ckpt_describe_gguf(ckpt, log, err);
    return rc == RC_OK ? RC_OK : excuse_config(ckpt, rc, err);
}

static rc_code load(rc_ckpt *ckpt, const rc_log *log, rc_err *err)
{
    return rc_source_named(ckpt->src) ? load_file(ckpt, log, err) : load_folder(ckpt, log, err);
}

static rc_code open_with(rc_ckpt **out, rc_ckpt_faults *faults, rc_source *src, const rc_log *log,
                         rc_mem *mem, rc_err *err)
{
    rc_ckpt *ckpt = rc_mem_get(mem, sizeof *ckpt);
    rc_code rc;

    *out = NULL;
    if (!ckpt) {
        rc_source_close(&src);
        return rc_fail_nomem(err, mem, sizeof *ckpt);
    }
    ckpt->mem = mem;
    ckpt->text.mem = mem;
    rc_names_init(&ckpt->names, mem, name_at, ckpt);
    ckpt->src = src;
    ckpt->faults = faults;
    rc = load(ckpt, log, err);
    ckpt->faults = NULL;
    if (rc == RC_OK) {
        *out = ckpt;
    } else {
        rc_err_file(err, rc_source_where(src));
        rc_ckpt_close(&ckpt);
    }
    return rc;
}

rc_code rc_ckpt_open(rc_ckpt **out, rc_source *src, const rc_log *log, rc_mem *mem, rc_err *err)
{
    return open_with(out, NULL, src, log, mem, err);
}

rc_code rc_ckpt_open_lax(rc_ckpt **out, rc_ckpt_faults *faults, rc_source *src, const rc_log *log,
                         rc_mem *mem, rc_err *err)
{
    rc_err own;

    *faults = (rc_ckpt_faults){ 0 };
    return open_with(out, faults, src, log, mem, err ? err : &own);
}

void rc_ckpt_close(rc_ckpt **pckpt)
{
    rc_ckpt *ckpt = *pckpt;

    *pckpt = NULL;
    if (!ckpt)
        return;
    rc_source_close(&ckpt->src);
    rc_gguf_free(&ckpt->gguf);
    rc_mem_put(ckpt->mem, ckpt->config_text);
    rc_mem_put(ckpt->mem, ckpt->shards);
    rc_mem_put(ckpt->mem, ckpt->tensors);
    rc_names_free(&ckpt->names);
    rc_arena_free(&ckpt->text);
    rc_mem_put(ckpt->mem, ckpt);
}

rc_source *rc_ckpt_source(const rc_ckpt *ckpt)
{
    return ckpt->src;
}

const rc_config *rc_ckpt_config(const rc_ckpt *ckpt)
{
    return &ckpt->config;
}

const uint8_t *rc_ckpt_config_text(const rc_ckpt *ckpt, size_t *len)
{
    *len = ckpt->config_len;
    return ckpt->config_text;
}

void rc_ckpt_identity(const rc_ckpt *ckpt, rc_hasher *hasher)
{
    rc_hash_field(hasher, ckpt->config_text, ckpt->config_len);
    for (size_t i = 0; i < rc_ckpt_shards(ckpt); i++) {
        const rc_source_file *f = rc_source_at(rc_ckpt_source(ckpt), rc_ckpt_shard(ckpt, i)->file);

        rc_hash_field(hasher, f->name, strlen(f->name));
        rc_hash_field(hasher, &f->nbytes, sizeof f->nbytes);
        if (f->content.kind != RC_CONTENT_UNKNOWN)
            rc_hash_field(hasher, f->content.bytes, sizeof f->content.bytes);
        else
            rc_hash_field(hasher, f->version ? &f->version : &f->mtime_ns, sizeof f->mtime_ns);
    }
}

const rc_gguf *rc_ckpt_gguf(const rc_ckpt *ckpt)
{
    return ckpt->gguf;
}

rc_gguf_kind rc_ckpt_kind(const rc_ckpt *ckpt)
{
    return ckpt->kind;
}

size_t rc_ckpt_shards(const rc_ckpt *ckpt)
{
    return ckpt->nshards;
}

const rc_shard *rc_ckpt_shard(const rc_ckpt *ckpt, size_t i)
{
    return &ckpt->shards[i];
}

size_t rc_ckpt_count(const rc_ckpt *ckpt)
{
    return ckpt->count;
}

const rc_tensor *rc_ckpt_at(const rc_ckpt *ckpt, size_t i)
{
    return &ckpt->tensors[i];
}

const rc_tensor *rc_ckpt_find(const rc_ckpt *ckpt, const char *name)
{
    const size_t i = rc_names_find(&ckpt->names, name, strlen(name));

    return i == RC_NAMES_NONE ? NULL : &ckpt->tensors[i];
}

uint64_t rc_ckpt_nbytes(const rc_ckpt *ckpt)
{
    return ckpt->nbytes;
}

/* What a stream found out about another file, or about this one as a whole, was merely noticed
 * while this tensor was read. */
static bool is_of_file(const rc_ckpt *ckpt, const rc_shard *s, rc_code rc, const rc_err *err)
{
    if (!err || !err->file[0] || !rc_source_is_remote(ckpt->src))
        return false;
    return strcmp(err->file, s->name) != 0 || (rc == RC_E_INTEGRITY && err->offset == RC_NO_OFFSET);
}

rc_code rc_ckpt_read(rc_ckpt *ckpt, const rc_tensor *t, uint64_t off, size_t nbytes, uint8_t *buf,
                     size_t buf_len, const uint8_t **data, rc_err *err)
{
    const rc_shard *s = &ckpt->shards[t->shard];
    rc_code rc;

    if (off > t->nbytes || nbytes > t->nbytes - off) {
        *data = NULL;
        rc = rc_fail(err, RC_E_INTERNAL, t->begin, "asked for bytes past the end of the tensor");
        rc_err_want(err, "at most %" PRIu64, t->nbytes);
        rc_err_got(err, "%" PRIu64 " + %zu", off, nbytes);
    } else {
        rc = rc_source_read_direct(ckpt->src, s->file, t->begin + off, nbytes, buf, buf_len, data,
                                   err);
    }
    if (rc != RC_OK && !is_of_file(ckpt, s, rc, err)) {
        rc_err_file(err, s->name);
        rc_err_tensor(err, t->name);
        rc_err_offset(err, t->begin + off);
    }
    return rc;
}
