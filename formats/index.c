/* formats/index.c - the weight map, and the rule for names that may be opened. */
#include "formats/index.h"

#include <stdlib.h>
#include <string.h>

#include "formats/base/json.h"
#include "formats/base/names.h"

typedef struct tensor {
    const char *name;
    uint32_t shard;
} tensor;

struct rc_index {
    rc_mem *mem;
    rc_arena text; /* names of tensors and shards */
    tensor *tensors;
    size_t count, cap;
    const char **shards; /* in order of appearance until sort_shards() */
    size_t nshards, shard_cap;
    bool has_total_size;
    uint64_t total_size;
};

bool rc_name_is_safe(const char *name, size_t len, bool allow_subfolders)
{
    size_t part = 0; /* bytes of the current path component */

    for (size_t i = 0; i < len; i++) {
        const unsigned char c = (unsigned char)name[i];

        if (c == '/' && !allow_subfolders)
            return false;
        if (c == '/' && part == 0) /* absolute, or "a//b" */
            return false;
        if (c < 0x20 || c == 0x7f || strchr("\\:?#*\"<>|", c))
            return false;
        part = c == '/' ? 0 : part + 1;
        if (part > 255)
            return false;
        /* "." and ".." as a whole component */
        if (c != '/' && (i + 1 == len || name[i + 1] == '/') &&
            ((part == 1 && c == '.') || (part == 2 && c == '.' && name[i - 1] == '.')))
            return false;
    }
    return part > 0;
}

/* --------------------------------------------------------------------- parse */

typedef struct builder {
    rc_index *index;
    const rc_log *log;
    rc_names shards;
    enum { OTHER, METADATA, WEIGHT_MAP } section; /* the current root key */
    bool is_total_size;                           /* the current key in metadata */
    bool has_map;
} builder;

static const char *shard_at(const void *owner, size_t i)
{
    return ((const rc_index *)owner)->shards[i];
}

static bool is(const rc_json_event *ev, const char *s)
{
    return ev->len == strlen(s) && memcmp(ev->text, s, ev->len) == 0;
}

/* Room for one more element of `size` bytes. */
static void *room(rc_mem *mem, void *array, size_t count, size_t *cap, size_t size)
{
    const size_t want = *cap ? *cap + *cap / 2 : 64;

    if (count < *cap)
        return array;
    array = rc_mem_grow(mem, array, want * size);
    if (array)
        *cap = want;
    return array;
}

static rc_code add_tensor(rc_index *x, const rc_json_event *ev, rc_err *err)
{
    void *grown;
    char *name;

    if (ev->len == 0)
        return rc_fail(err, RC_E_DATA, ev->offset, "weight_map: tensor name is empty");
    if (x->count == UINT32_MAX / 4)
        return rc_fail(err, RC_E_LIMIT, ev->offset, "weight_map: more than %zu tensors", x->count);
    grown = room(x->mem, x->tensors, x->count, &x->cap, sizeof *x->tensors);
    if (!grown)
        return rc_fail_nomem(err, x->mem, x->cap * sizeof *x->tensors);
    x->tensors = grown;
    name = rc_arena_strdup(&x->text, ev->text, ev->len);
    if (!name)
        return rc_fail_nomem(err, x->mem, ev->len + 1);
    x->tensors[x->count++] = (tensor){ .name = name };
    return RC_OK;
}

static rc_code fail_shard(rc_err *err, rc_code code, const rc_json_event *ev, const char *name,
                          const char *what)
{
    char shown[160];

    rc_fail(err, code, ev->offset, "%s: \"%s\"", what,
            rc_escape(shown, sizeof shown, ev->text, ev->len));
    rc_err_tensor(err, name);
    return code;
}

static rc_code set_shard(builder *b, const rc_json_event *ev, rc_err *err)
{
    rc_index *x = b->index;
    tensor *t = &x->tensors[x->count - 1];
    size_t i;

    if (ev->type != RC_JSON_STRING) {
        rc_fail(err, RC_E_DATA, ev->offset, "weight_map: the shard is not a string");
        rc_err_tensor(err, t->name);
        return RC_E_DATA;
    }
    if (ev->len == 0 || is(ev, "."))
        return fail_shard(err, RC_E_DATA, ev, t->name, "weight_map: no shard name");
    if (!rc_name_is_safe(ev->text, ev->len, false))
        return fail_shard(err, RC_E_UNSAFEPATH, ev, t->name,
                          "weight_map: shard name is not a plain file name");
    i = rc_names_find(&b->shards, ev->text, ev->len);
    if (i == RC_NAMES_NONE) {
        void *grown = room(x->mem, x->shards, x->nshards, &x->shard_cap, sizeof *x->shards);

        i = x->nshards;
        if (!grown)
            return rc_fail_nomem(err, x->mem, x->shard_cap * sizeof *x->shards);
        x->shards = grown;
        x->shards[i] = rc_arena_strdup(&x->text, ev->text, ev->len);
        if (!x->shards[i])
            return rc_fail_nomem(err, x->mem, ev->len + 1);
        x->nshards++;
        if (!rc_names_add(&b->shards, i))
            return rc_fail_nomem(err, x->mem, 8 * x->nshards);
    }
    t->shard = (uint32_t)i;
    return RC_OK;
}

/* Only ever shown and compared: a wrong one is worth a warning, not a refusal. */
static void set_total_size(builder *b, const rc_json_event *ev)
{
    char shown[48];

    b->index->has_total_size = rc_json_u64(ev, &b->index->total_size);
    if (!b->index->has_total_size)
        rc_warn(b->log, NULL, NULL, ev->offset,
                "metadata.total_size is not a whole number of bytes: %s",
                rc_escape(shown, sizeof shown, ev->text, ev->len));
}

static rc_code on_event(void *ctx, const rc_json_event *ev, rc_err *err)
{
    builder *b = ctx;

    if (ev->depth == 0) {
        if (ev->type != RC_JSON_OBJECT && ev->type != RC_JSON_OBJECT_END)
            return rc_fail(err, RC_E_DATA, ev->offset, "the index is not a JSON object");
        return RC_OK;
    }
    if (ev->depth == 1 && ev->type == RC_JSON_KEY) {
        b->section = is(ev, "weight_map") ? WEIGHT_MAP : is(ev, "metadata") ? METADATA : OTHER;
        return RC_OK;
    }
    if (ev->depth == 1 && b->section == WEIGHT_MAP) {
        b->has_map = true;
        if (ev->type != RC_JSON_OBJECT && ev->type != RC_JSON_OBJECT_END)
            return rc_fail(err, RC_E_DATA, ev->offset, "weight_map is not an object");
        return RC_OK;
    }
    if (ev->depth == 2 && b->section == WEIGHT_MAP)
        return ev->type == RC_JSON_KEY ? add_tensor(b->index, ev, err) : set_shard(b, ev, err);
    if (ev->depth == 2 && b->section == METADATA) {
        if (ev->type == RC_JSON_KEY)
            b->is_total_size = is(ev, "total_size");
        else if (b->is_total_size && ev->type != RC_JSON_OBJECT_END &&
                 ev->type != RC_JSON_ARRAY_END)
            set_total_size(b, ev);
    }
    return RC_OK;
}

/* -------------------------------------------------------------------- shards */

typedef struct ranked {
    const char *name;
    uint32_t was; /* position in order of appearance */
} ranked;

static int compare_ranked(const void *a, const void *b)
{
    return strcmp(((const ranked *)a)->name, ((const ranked *)b)->name);
}

static rc_code sort_shards(rc_index *x, rc_err *err)
{
    ranked *order = rc_mem_get(x->mem, x->nshards * sizeof *order);
    uint32_t *now = rc_mem_get(x->mem, x->nshards * sizeof *now);
    rc_code rc = RC_OK;

    if (!order || !now) {
        rc = rc_fail_nomem(err, x->mem, x->nshards * sizeof *order);
        goto done;
    }
    for (size_t i = 0; i < x->nshards; i++)
        order[i] = (ranked){ x->shards[i], (uint32_t)i };
    qsort(order, x->nshards, sizeof *order, compare_ranked);
    for (size_t i = 0; i < x->nshards; i++) {
        x->shards[i] = order[i].name;
        now[order[i].was] = (uint32_t)i;
    }
    for (size_t i = 0; i < x->count; i++)
        x->tensors[i].shard = now[x->tensors[i].shard];
done:
    rc_mem_put(x->mem, order);
    rc_mem_put(x->mem, now);
    return rc;
}

/* A name "PREFIX-K-of-N.safetensors": one of a set that promises N files. */
typedef struct member {
    const char *name, *total; /* total: the text of N, inside name */
    size_t prefix_len, total_len;
} member;

static bool split_name(const char *name, member *out)
{
    const char *of = NULL;
    size_t digits, k;

    for (const char *p = strstr(name, "-of-"); p; p = strstr(p + 1, "-of-"))
        of = p;
    if (!of)
        return false;
    digits = strspn(of + 4, "0123456789");
    if (digits == 0 || strcmp(of + 4 + digits, ".safetensors") != 0)
        return false;
    for (k = (size_t)(of - name); k > 0 && name[k - 1] >= '0' && name[k - 1] <= '9';)
        k--;
    if (name + k == of || k == 0 || name[k - 1] != '-')
        return false;
    *out = (member){ name, of + 4, k, digits };
    return true;
}

static int compare_text(const char *a, size_t alen, const char *b, size_t blen)
{
    return alen != blen ? (alen < blen ? -1 : 1) : memcmp(a, b, alen);
}

/* Members of one set come out equal, and so next to each other. */
static int compare_set(const void *a, const void *b)
{
    const member *x = a, *y = b;
    const int prefix = compare_text(x->name, x->prefix_len, y->name, y->prefix_len);

    return prefix ? prefix : compare_text(x->total, x->total_len, y->total, y->total_len);
}

static rc_code check_set(const member *set, size_t have, rc_err *err)
{
    uint64_t want = 0;
    char shown[160];

    for (size_t k = 0; k < set->total_len && want <= UINT32_MAX; k++)
        want = want * 10 + (uint64_t)(set->total[k] - '0');
    if (have == want)
        return RC_OK;
    rc_fail(err, RC_E_TENSORSET, RC_NO_OFFSET,
            "weight_map does not list the whole set that %s belongs to",
            rc_escape(shown, sizeof shown, set->name, strlen(set->name)));
    rc_err_want(err, "%.*s files", (int)(set->total_len > 20 ? 20 : set->total_len), set->total);
    rc_err_got(err, "%zu", have);
    return RC_E_TENSORSET;
}

static rc_code check_totals(const rc_index *x, rc_err *err)
{
    member *sets = rc_mem_get(x->mem, x->nshards * sizeof *sets);
    size_t n = 0;
    rc_code rc = RC_OK;

    if (!sets)
        return rc_fail_nomem(err, x->mem, x->nshards * sizeof *sets);
    for (size_t i = 0; i < x->nshards; i++)
        n += split_name(x->shards[i], &sets[n]);
    qsort(sets, n, sizeof *sets, compare_set);
    for (size_t i = 0, end; i < n && rc == RC_OK; i = end) {
        for (end = i + 1; end < n && compare_set(&sets[i], &sets[end]) == 0;)
            end++;
        rc = check_set(&sets[i], end - i, err);
    }
    rc_mem_put(x->mem, sets);
    return rc;
}

static rc_code build(rc_index *x, const uint8_t *text, size_t len, const rc_log *log, rc_err *err)
{
    builder b = { .index = x, .log = log };
    rc_code rc;

    rc_names_init(&b.shards, x->mem, shard_at, x);
    rc = rc_json_parse(text, len, 0, on_event, &b, x->mem, err);
    rc_names_free(&b.shards);
    if (rc != RC_OK)
        return rc;
    if (!b.has_map)
        return rc_fail(err, RC_E_DATA, 0, "weight_map is missing");
    if (x->count == 0)
        return rc_fail(err, RC_E_DATA, 0, "weight_map is empty");
    RC_TRY(sort_shards(x, err));
    return check_totals(x, err);
}

rc_code rc_index_new(rc_index **out, const uint8_t *text, size_t len, const rc_log *log,
                     rc_mem *mem, rc_err *err)
{
    rc_index *x;
    rc_code rc;

    *out = NULL;
    if (len > RC_INDEX_MAX_BYTES) {
        rc_fail(err, RC_E_LIMIT, RC_NO_OFFSET, "the index is too large");
        rc_err_want(err, "at most %u bytes", RC_INDEX_MAX_BYTES);
        rc_err_got(err, "%zu", len);
        return RC_E_LIMIT;
    }
    x = rc_mem_get(mem, sizeof *x);
    if (!x)
        return rc_fail_nomem(err, mem, sizeof *x);
    x->mem = x->text.mem = mem;
    rc = build(x, text, len, log, err);
    if (rc == RC_OK)
        *out = x;
    else
        rc_index_free(&x);
    return rc;
}

void rc_index_free(rc_index **xp)
{
    rc_index *x = *xp;

    *xp = NULL;
    if (!x)
        return;
    rc_arena_free(&x->text);
    rc_mem_put(x->mem, x->tensors);
    rc_mem_put(x->mem, x->shards);
    rc_mem_put(x->mem, x);
}

size_t rc_index_count(const rc_index *x)
{
    return x->count;
}

const char *rc_index_tensor(const rc_index *x, size_t i)
{
    return x->tensors[i].name;
}

size_t rc_index_shard_of(const rc_index *x, size_t i)
{
    return x->tensors[i].shard;
}

size_t rc_index_shards(const rc_index *x)
{
    return x->nshards;
}

const char *rc_index_shard(const rc_index *x, size_t shard)
{
    return x->shards[shard];
}

bool rc_index_total_size(const rc_index *x, uint64_t *out)
{
    if (x->has_total_size)
        *out = x->total_size;
    return x->has_total_size;
}
