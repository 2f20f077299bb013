/* formats/ledger_read.c - see ledger_read.h. */
#include "formats/ledger_read.h"

#include <stdlib.h>
#include <string.h>

#include "formats/base/json_tree.h"
#include "formats/base/names.h"

struct rc_manifest {
    rc_mem *mem;
    rc_arena arena;
    unsigned format;
    const char *tool;
    rc_listed *all; /* the ledger, shards, small files */
    size_t nshards, nfiles;
    rc_digest ledger;
};

bool rc_name_stays_inside(const char *name, size_t len)
{
    const char *end = name + len;

    if (memchr(name, '\0', len))
        return false;
    for (;;) {
        const char *slash = memchr(name, '/', (size_t)(end - name));
        const size_t part = (size_t)((slash ? slash : end) - name);

        if (part == 0 || (part == 1 && name[0] == '.') || (part == 2 && memcmp(name, "..", 2) == 0))
            return false;
        if (!slash)
            return true;
        name = slash + 1;
    }
}

/* ------------------------------------------------------------------- values */

static uint64_t offset_of(const rc_json_node *n)
{
    return n ? n->offset : 0;
}

/* A member that has to be there, of one type. */
static rc_code need(const rc_json_node **out, const rc_json_node *object, const char *key,
                    rc_json_type type, rc_err *err)
{
    *out = rc_json_member(object, key);
    if (rc_json_is(*out, type))
        return RC_OK;
    return rc_fail(err, RC_E_DATA, offset_of(*out ? *out : object), "\"%s\" is %s", key,
                   *out ? "of another type" : "missing");
}

static bool number(const rc_json_node *n, uint64_t *out)
{
    const rc_json_event event = { .type = RC_JSON_NUMBER, .text = n->text, .len = n->len };

    return rc_json_u64(&event, out);
}

static rc_code need_u64(uint64_t *out, const rc_json_node *object, const char *key, rc_err *err)
{
    const rc_json_node *n;

    RC_TRY(need(&n, object, key, RC_JSON_NUMBER, err));
    return number(n, out) ? RC_OK
                          : rc_fail(err, RC_E_DATA, n->offset, "\"%s\" is no whole number", key);
}

/* A number that may be absent: then *out stays. */
static rc_code may_u64(uint64_t *out, const rc_json_node *object, const char *key, rc_err *err)
{
    return rc_json_member(object, key) ? need_u64(out, object, key, err) : RC_OK;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static rc_code need_digest(rc_digest *out, const rc_json_node *object, const char *key, rc_err *err)
{
    const rc_json_node *n;

    RC_TRY(need(&n, object, key, RC_JSON_STRING, err));
    for (size_t i = 0; i < 32; i++) {
        const int digit = n->len == 32 ? hex_digit(n->text[i]) : -1;

        if (digit < 0)
            return rc_fail(err, RC_E_DATA, n->offset, "\"%s\" is no digest of 32 hex digits", key);
        out->bytes[i / 2] = (uint8_t)(out->bytes[i / 2] << 4 | digit);
    }
    return RC_OK;
}

static rc_code may_sha256(rc_content_id *out, const rc_json_node *object, rc_err *err)
{
    const rc_json_node *n = rc_json_member(object, "sha256");

    if (!n)
        return RC_OK;
    if (!rc_json_is(n, RC_JSON_STRING) || !rc_content_parse(out, n->text, n->len) ||
        out->kind != RC_CONTENT_SHA256)
        return rc_fail(err, RC_E_DATA, n->offset, "\"sha256\" is no digest of 64 hex digits");
    return RC_OK;
}

static rc_code need_name(const char **out, const rc_json_node *object, const char *key, rc_err *err)
{
    const rc_json_node *n;

    RC_TRY(need(&n, object, key, RC_JSON_STRING, err));
    *out = n->text;
    if (rc_name_stays_inside(n->text, n->len))
        return RC_OK;
    rc_fail(err, RC_E_UNSAFEPATH, n->offset, "lists a file outside its folder");
    rc_err_got(err, "%.80s", n->text);
    return RC_E_UNSAFEPATH;
}

/* -------------------------------------------------------------- recast.json */

static rc_code read_head(rc_listed *f, const rc_json_node *n, rc_err *err)
{
    f->has_head = rc_json_member(n, "head_bytes") != NULL;
    if (!f->has_head)
        return RC_OK;
    RC_TRY(need_u64(&f->head_bytes, n, "head_bytes", err));
    if (f->head_bytes > f->nbytes)
        return rc_fail(err, RC_E_DATA, n->offset, "a head that is longer than its file");
    return need_digest(&f->head, n, "head_xxh3_128", err);
}

static rc_code read_listed(rc_listed *f, const rc_json_node *n, rc_err *err)
{
    *f = (rc_listed){ .nbytes = RC_NO_BYTES };
    if (!rc_json_is(n, RC_JSON_OBJECT))
        return rc_fail(err, RC_E_DATA, offset_of(n), "no object that describes a file");
    RC_TRY(need_name(&f->name, n, "file", err));
    RC_TRY(may_u64(&f->nbytes, n, "bytes", err));
    RC_TRY(may_sha256(&f->content, n, err));
    return read_head(f, n, err);
}

/* Shards have sizes and, since format 2, heads; small files have digests. */
static rc_code check_listed(const rc_manifest *m, const rc_listed *f, bool shard,
                            const rc_json_node *n, rc_err *err)
{
    if (f->nbytes == RC_NO_BYTES || f->nbytes > INT64_MAX)
        return rc_fail(err, RC_E_DATA, n->offset, "a file without a size");
    if (shard ? m->format >= 2 && !f->has_head : f->content.kind == RC_CONTENT_UNKNOWN)
        return rc_fail(err, RC_E_DATA, n->offset, "a file without a digest");
    return RC_OK;
}

static size_t length(const rc_json_node *array)
{
    size_t n = 0;

    for (const rc_json_node *c = array->child; c; c = c->next)
        n++;
    return n;
}

static rc_code read_lists(rc_manifest *m, const rc_json_node *shards, const rc_json_node *files,
                          rc_err *err)
{
    rc_listed *next = m->all + 1;

    for (const rc_json_node *n = shards->child; n; n = n->next, next++) {
        RC_TRY(read_listed(next, n, err));
        RC_TRY(check_listed(m, next, true, n, err));
    }
    for (const rc_json_node *n = files ? files->child : NULL; n; n = n->next, next++) {
        RC_TRY(read_listed(next, n, err));
        RC_TRY(check_listed(m, next, false, n, err));
    }
    return RC_OK;
}

static const char *listed_name(const void *owner, size_t i)
{
    return ((const rc_listed *)owner)[i].name;
}

static rc_code refuse_doubles(const rc_manifest *m, rc_err *err)
{
    const size_t n = 1 + m->nshards + m->nfiles;
    rc_code rc = RC_OK;
    rc_names names;

    rc_names_init(&names, m->mem, listed_name, m->all);
    for (size_t i = 0; i < n && rc == RC_OK; i++) {
        const char *name = m->all[i].name;

        if (rc_names_find(&names, name, strlen(name)) != RC_NAMES_NONE) {
            rc = rc_fail(err, RC_E_DATA, RC_NO_OFFSET, "lists a file twice");
            rc_err_got(err, "%.80s", name);
        } else if (!rc_names_add(&names, i)) {
            rc = rc_fail_nomem(err, m->mem, 8 * n);
        }
    }
    rc_names_free(&names);
    return rc;
}

static rc_code read_format(rc_manifest *m, const rc_json_node *root, rc_err *err)
{
    uint64_t format;

    RC_TRY(need_u64(&format, root, "format", err));
    if (format == 0)
        return rc_fail(err, RC_E_DATA, 0, "format 0 never was");
    if (format > RC_MANIFEST_FORMAT) {
        rc_fail(err, RC_E_UNSUPPORTED, RC_NO_OFFSET, "is of a newer format");
        rc_err_want(err, "at most %u", RC_MANIFEST_FORMAT);
        rc_err_got(err, "%" PRIu64, format);
        rc_err_hint(err, "use the version of recast that wrote it, or a later one");
        return RC_E_UNSUPPORTED;
    }
    m->format = (unsigned)format;
    return RC_OK;
}

/* The digits of the text's own digest count as zeros. */
static rc_code check_self(const rc_json_node *root, const uint8_t *text, size_t len, rc_err *err)
{
    static const uint8_t zeros[32] = "00000000000000000000000000000000";
    const rc_json_node *run, *own;
    _Alignas(64) rc_hasher hasher;
    rc_digest want = { 0 }, got;
    size_t at;

    RC_TRY(need(&run, root, "run", RC_JSON_OBJECT, err));
    RC_TRY(need_digest(&want, run, "xxh3_128", err));
    own = rc_json_member(run, "xxh3_128");
    at = (size_t)own->offset + 1; /* behind its quote */
    if (at + 32 > len)            /* digits written as escapes */
        return rc_fail(err, RC_E_DATA, own->offset, "a digest that is not written plainly");
    rc_hash_begin(&hasher);
    rc_hash_add(&hasher, text, at);
    rc_hash_add(&hasher, zeros, sizeof zeros);
    rc_hash_add(&hasher, text + at + 32, len - at - 32);
    got = rc_hash_end(&hasher);
    if (rc_digest_equal(&got, &want))
        return RC_OK;
    rc_fail(err, RC_E_INTEGRITY, RC_NO_OFFSET, "was changed: it is not what its own digest says");
    rc_err_hint(err, "convert again, or restore it from where the result came from");
    return RC_E_INTEGRITY;
}

static rc_code read_manifest(rc_manifest *m, const uint8_t *text, size_t len, rc_err *err)
{
    const rc_json_node *root, *ledger, *shards, *files = NULL, *tool;

    RC_TRY(rc_json_tree(&root, text, len, &m->arena, err));
    if (!rc_json_is(root, RC_JSON_OBJECT))
        return rc_fail(err, RC_E_DATA, 0, "is no JSON object");
    RC_TRY(read_format(m, root, err));
    RC_TRY(need(&ledger, root, "ledger", RC_JSON_OBJECT, err));
    RC_TRY(need(&shards, root, "shards", RC_JSON_ARRAY, err));
    if (m->format >= 2)
        RC_TRY(need(&files, root, "files", RC_JSON_ARRAY, err));
    tool = rc_json_member(root, "tool");
    m->tool = rc_json_is(tool, RC_JSON_STRING) ? tool->text : "";
    m->nshards = length(shards);
    m->nfiles = files ? length(files) : 0;
    m->all = rc_arena_get(&m->arena, (1 + m->nshards + m->nfiles) * sizeof *m->all);
    if (!m->all)
        return rc_fail_nomem(err, m->mem, (1 + m->nshards + m->nfiles) * sizeof *m->all);
    RC_TRY(read_listed(&m->all[0], ledger, err));
    RC_TRY(need_digest(&m->ledger, ledger, "xxh3_128", err));
    RC_TRY(read_lists(m, shards, files, err));
    RC_TRY(refuse_doubles(m, err));
    return m->format >= 2 ? check_self(root, text, len, err) : RC_OK;
}

rc_code rc_manifest_new(rc_manifest **out, const uint8_t *text, size_t len, rc_mem *mem,
                        rc_err *err)
{
    rc_manifest *m = rc_mem_get(mem, sizeof *m);
    rc_code rc;

    *out = NULL;
    if (!m)
        return rc_fail_nomem(err, mem, sizeof *m);
    m->mem = mem;
    m->arena.mem = mem;
    rc = read_manifest(m, text, len, err);
    if (rc == RC_OK)
        *out = m;
    else
        rc_manifest_free(&m);
    return rc;
}

void rc_manifest_free(rc_manifest **manifest)
{
    rc_manifest *m = *manifest;

    *manifest = NULL;
    if (!m)
        return;
    rc_arena_free(&m->arena);
    rc_mem_put(m->mem, m);
}

unsigned rc_manifest_format(const rc_manifest *m)
{
    return m->format;
}

const char *rc_manifest_tool(const rc_manifest *m)
{
    return m->tool;
}

const rc_listed *rc_manifest_ledger(const rc_manifest *m)
{
    return &m->all[0];
}

rc_digest rc_manifest_ledger_digest(const rc_manifest *m)
{
    return m->ledger;
}

size_t rc_manifest_shards(const rc_manifest *m)
{
    return m->nshards;
}

const rc_listed *rc_manifest_shard(const rc_manifest *m, size_t i)
{
    return &m->all[1 + i];
}

size_t rc_manifest_files(const rc_manifest *m)
{
    return m->nfiles;
}

const rc_listed *rc_manifest_file(const rc_manifest *m, size_t i)
{
    return &m->all[1 + m->nshards + i];
}

/* ------------------------------------------------------------- recast.jsonl */

static rc_code read_rows(rc_ledger_part *p, const rc_json_node *n, rc_err *err)
{
    RC_TRY(may_u64(&p->row_bytes, n, "row_bytes", err));
    RC_TRY(may_u64(&p->stride, n, "stride", err));
    p->span = p->nbytes;
    if (!p->row_bytes && !p->stride)
        return RC_OK;
    if (!p->row_bytes || p->stride < p->row_bytes || !p->nbytes || p->nbytes % p->row_bytes ||
        !rc_mul_u64(p->nbytes / p->row_bytes - 1, p->stride, &p->span) ||
        !rc_add_u64(p->span, p->row_bytes, &p->span))
        return rc_fail(err, RC_E_DATA, n->offset, "rows that cannot be");
    return RC_OK;
}

static rc_code read_part(rc_ledger_part *p, const rc_json_node *n, uint64_t expert, rc_err *err)
{
    const rc_json_node *name;
    uint64_t end;

    *p = (rc_ledger_part){ .stacked = expert != UINT64_MAX,
                           .expert = expert,
                           .placed = rc_json_member(n, "begin") != NULL };
    RC_TRY(need(&name, n, "tensor", RC_JSON_STRING, err));
    p->tensor = name->text;
    RC_TRY(need_u64(&p->nbytes, n, "bytes", err));
    RC_TRY(may_u64(&p->begin, n, "begin", err));
    RC_TRY(need_digest(&p->digest, n, "xxh3_128", err));
    RC_TRY(read_rows(p, n, err));
    if (!rc_add_u64(p->begin, p->span, &end))
        return rc_fail(err, RC_E_DATA, n->offset, "a place beyond all files");
    return RC_OK;
}

rc_code rc_ledger_line_read(rc_ledger_line *out, const uint8_t *line, size_t len, rc_arena *arena,
                            rc_err *err)
{
    const rc_json_node *root, *places;
    uint64_t expert = UINT64_MAX;

    *out = (rc_ledger_line){ 0 };
    RC_TRY(rc_json_tree(&root, line, len, arena, err));
    RC_TRY(need_name(&out->shard, root, "shard", err));
    RC_TRY(may_u64(&expert, root, "expert", err));
    RC_TRY(need(&places, root, "out", RC_JSON_OBJECT, err));
    for (const rc_json_node *n = places->child; n; n = n->next) {
        if (out->nparts == RC_LEDGER_PARTS)
            return rc_fail(err, RC_E_DATA, n->offset, "more tensors than a parameter has");
        RC_TRY(read_part(&out->parts[out->nparts++], n, expert, err));
    }
    return RC_OK;
}
