/* formats/imatrix.c - an index over the values, which stay in the file.
 *
 * Legacy .dat, all little-endian:
 *
 *     | i32 entries | entries | i32 chunks, i32 len, dataset[len] (or nothing) |
 *     entry: | i32 len | name[len] | i32 ncall | i32 nval | f32 values[nval] |
 *
 * with values = mean * ncall. GGUF: for each weight NAME the F32 tensors NAME.in_sum2
 * [matrices, columns] and NAME.counts [matrices, 1]; mean = sum / count. */
#include "formats/imatrix.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "formats/base/hash.h"
#include "formats/base/io.h"
#include "formats/base/names.h"

enum { CHUNK = 1 << 18 }; /* floats looked at at a time */

typedef struct entry {
    rc_imatrix_entry of;
    uint64_t off;  /* of the values, in bytes; 0 until they are known */
    float *counts; /* of GGUF: one a matrix, whole numbers */
    float ncall;   /* of a .dat: what the values were multiplied by; else 0 */
} entry;

struct rc_imatrix {
    rc_mem *mem;
    rc_arena text; /* names and counts */
    rc_names names;
    entry *entries;
    size_t count, cap;
    const char *path, *dataset;
    uint32_t chunks;
    uint64_t digest;
    rc_gguf *head; /* of a GGUF file */
    rc_digest head_digest;
    uint64_t nbytes; /* of the file */
    uint8_t *bytes;  /* its copy, if it came as bytes; else: */
    int fd;
    struct timespec mtime;
};

static const char *entry_name(const void *owner, size_t i)
{
    return ((const rc_imatrix *)owner)->entries[i].of.name;
}

/* Read what exists: callers compare with nbytes first. */
static rc_code fetch(const rc_imatrix *m, uint64_t off, void *buf, size_t n, rc_err *err)
{
    rc_code rc = RC_OK;
    int bad;

    if (m->bytes) {
        memcpy(buf, m->bytes + off, n);
        return RC_OK;
    }
    bad = rc_pread_all(m->fd, buf, n, off, NULL);
    if (bad > 0)
        rc = rc_fail_errno(err, bad, "cannot read");
    else if (bad < 0)
        rc = rc_fail(err, RC_E_INTEGRITY, off, "the file has become shorter");
    if (rc != RC_OK) {
        rc_err_offset(err, off);
        rc_err_file(err, m->path);
    }
    return rc;
}

/* ------------------------------------------------------------------- entries */

static rc_code add_entry(rc_imatrix *m, const char *name, size_t len, uint64_t at, entry **out,
                         rc_err *err)
{
    if (m->count == RC_IMATRIX_MAX_ENTRIES)
        return rc_fail(err, RC_E_LIMIT, at, "more than %u entries", RC_IMATRIX_MAX_ENTRIES);
    if (m->count == m->cap) {
        const size_t cap = m->cap ? 2 * m->cap : 256;
        entry *grown = rc_mem_grow(m->mem, m->entries, cap * sizeof *grown);

        if (!grown)
            return rc_fail_nomem(err, m->mem, cap * sizeof *grown);
        m->entries = grown;
        m->cap = cap;
    }
    *out = &m->entries[m->count];
    **out = (entry){ .of.name = rc_arena_strdup(&m->text, name, len) };
    if (!(*out)->of.name || !rc_names_add(&m->names, m->count))
        return rc_fail_nomem(err, m->mem, len + 1);
    m->count++;
    return RC_OK;
}

static rc_code bad_value(const entry *e, uint64_t i, float v, rc_err *err)
{
    rc_fail(err, RC_E_DATA, e->off + 4 * i, "value %" PRIu64 " is %s", i,
            isfinite(v) ? "negative" : "not finite");
    rc_err_got(err, "%g", (double)v);
    rc_err_tensor(err, e->of.name);
    return RC_E_DATA;
}

/* Look at every value once, and take it into the digest. */
static rc_code check_values(const rc_imatrix *m, const entry *e, float *buf, rc_hasher *hasher,
                            rc_err *err)
{
    for (uint64_t at = 0; at < e->of.values; at += CHUNK) {
        const uint64_t left = e->of.values - at;
        const size_t n = left < CHUNK ? (size_t)left : CHUNK;

        RC_TRY(fetch(m, e->off + 4 * at, buf, 4 * n, err));
        for (size_t i = 0; i < n; i++)
            if (!(buf[i] >= 0.0f && buf[i] <= 3.402823466e38f))
                return bad_value(e, at + i, buf[i], err);
        rc_hash_add(hasher, buf, 4 * n);
    }
    return RC_OK;
}

static rc_code check_entries(rc_imatrix *m, rc_err *err)
{
    float *buf = rc_mem_get(m->mem, CHUNK * sizeof *buf);
    rc_hasher hasher;
    rc_digest digest;
    rc_code rc = RC_OK;

    if (!buf)
        return rc_fail_nomem(err, m->mem, CHUNK * sizeof *buf);
    rc_hash_begin(&hasher);
    if (m->head)
        rc_hash_add(&hasher, m->head_digest.bytes, sizeof m->head_digest.bytes);
    for (size_t i = 0; i < m->count && rc == RC_OK; i++) {
        const entry *e = &m->entries[i];

        rc_hash_field(&hasher, e->of.name, strlen(e->of.name));
        rc_hash_field(&hasher, &e->ncall, sizeof e->ncall);
        rc_hash_field(&hasher, e->counts, e->counts ? e->of.rows * sizeof *e->counts : 0);
        rc_hash_add(&hasher, &e->of.values, sizeof e->of.values);
        rc = check_values(m, e, buf, &hasher, err);
    }
    rc_mem_put(m->mem, buf);
    digest = rc_hash_end(&hasher);
    for (unsigned i = 0; i < 8; i++)
        m->digest = m->digest << 8 | digest.bytes[i];
    return rc;
}

/* -------------------------------------------------------------------- legacy */

typedef struct cursor {
    rc_imatrix *m;
    uint64_t at;
} cursor;

static rc_code take(cursor *c, void *buf, size_t n, const char *what, rc_err *err)
{
    if (n > c->m->nbytes - c->at)
        return rc_fail(err, RC_E_DATA, c->m->nbytes, "the file ends in %s", what);
    RC_TRY(fetch(c->m, c->at, buf, n, err));
    c->at += n;
    return RC_OK;
}

/* A number from least up. */
static rc_code take_i32(cursor *c, int32_t least, const char *what, int32_t *out, rc_err *err)
{
    const uint64_t at = c->at;

    RC_TRY(take(c, out, sizeof *out, what, err));
    if (*out >= least)
        return RC_OK;
    rc_fail(err, RC_E_DATA, at, "%s cannot be", what);
    rc_err_want(err, "at least %" PRId32, least);
    rc_err_got(err, "%" PRId32, *out);
    return RC_E_DATA;
}

static rc_code take_name(cursor *c, char *name, int32_t *len, rc_err *err)
{
    const uint64_t at = c->at;

    RC_TRY(take_i32(c, 1, "the length of a name", len, err));
    if ((uint32_t)*len > RC_IMATRIX_MAX_NAME) {
        rc_fail(err, RC_E_DATA, at, "the name of an entry is too long; is this an imatrix?");
        rc_err_want(err, "at most %u bytes", RC_IMATRIX_MAX_NAME);
        rc_err_got(err, "%" PRId32, *len);
        return RC_E_DATA;
    }
    RC_TRY(take(c, name, (size_t)*len, "a name", err));
    if (memchr(name, 0, (size_t)*len))
        return rc_fail(err, RC_E_DATA, at + 4, "the name of an entry has a NUL in it");
    return RC_OK;
}

static rc_code read_entry(cursor *c, rc_err *err)
{
    char name[RC_IMATRIX_MAX_NAME + 1];
    const uint64_t at = c->at;
    int32_t len = 0, ncall = 0, nval = 0;
    entry *e;

    RC_TRY(take_name(c, name, &len, err));
    name[len] = '\0';
    if (rc_names_find(&c->m->names, name, (size_t)len) != RC_NAMES_NONE) {
        rc_fail(err, RC_E_DATA, at, "two entries of this name");
        rc_err_tensor(err, name);
        return RC_E_DATA;
    }
    RC_TRY(take_i32(c, 0, "the number of calls", &ncall, err));
    RC_TRY(take_i32(c, 1, "the number of values", &nval, err));
    RC_TRY(add_entry(c->m, name, (size_t)len, at, &e, err));
    e->of.rows = 1;
    e->of.values = (uint64_t)nval;
    e->off = c->at;
    e->ncall = (float)ncall;
    if (e->of.values > (c->m->nbytes - c->at) / 4) {
        rc_fail(err, RC_E_DATA, c->m->nbytes, "the file ends in the values of an entry");
        rc_err_want(err, "%" PRIu64 " bytes", 4 * e->of.values);
        rc_err_got(err, "%" PRIu64, c->m->nbytes - c->at);
        rc_err_tensor(err, name);
        return RC_E_DATA;
    }
    c->at += 4 * e->of.values;
    return RC_OK;
}

/* What may follow the entries: how much text was used, and its name. */
static rc_code read_tail(cursor *c, rc_err *err)
{
    rc_imatrix *m = c->m;
    int32_t chunks = 0, len = 0;
    char *text;

    if (c->at == m->nbytes)
        return RC_OK;
    RC_TRY(take_i32(c, 0, "the number of chunks", &chunks, err));
    m->chunks = (uint32_t)chunks;
    if (c->at == m->nbytes)
        return RC_OK;
    RC_TRY(take_i32(c, 0, "the length of the data set's name", &len, err));
    if ((uint64_t)len != m->nbytes - c->at) {
        rc_fail(err, RC_E_DATA, c->at, "the file does not end with the data set's name");
        rc_err_want(err, "%" PRId32 " bytes", len);
        rc_err_got(err, "%" PRIu64, m->nbytes - c->at);
        return RC_E_DATA;
    }
    text = rc_arena_get(&m->text, (size_t)len + 1);
    if (!text)
        return rc_fail_nomem(err, m->mem, (size_t)len + 1);
    m->dataset = text;
    return take(c, text, (size_t)len, "the data set's name", err);
}

static rc_code read_legacy(rc_imatrix *m, rc_err *err)
{
    cursor c = { .m = m };
    int32_t n = 0;

    RC_TRY(take_i32(&c, 1, "the number of entries", &n, err));
    for (int32_t i = 0; i < n; i++)
        RC_TRY(read_entry(&c, err));
    return read_tail(&c, err);
}

/* ---------------------------------------------------------------------- GGUF */

/* Is it "<base><suffix>"? */
static bool has_suffix(const char *name, const char *suffix, size_t *base)
{
    const size_t n = strlen(name), k = strlen(suffix);

    *base = n - k;
    return n > k && strcmp(name + n - k, suffix) == 0;
}

static uint64_t elements(const rc_gguf_tensor *t)
{
    return t->nbytes / 4;
}

static rc_code bad_pair(const char *name, const char *what, rc_err *err)
{
    rc_fail(err, RC_E_DATA, RC_NO_OFFSET, "%s", what);
    rc_err_tensor(err, name);
    return RC_E_DATA;
}

/* Counts are kept as means want them: whole, and 0 for "never seen". */
static rc_code read_counts(rc_imatrix *m, entry *e, const rc_gguf_tensor *t, rc_err *err)
{
    e->of.rows = elements(t);
    e->counts = rc_arena_get(&m->text, e->of.rows * sizeof *e->counts);
    if (!e->counts)
        return rc_fail_nomem(err, m->mem, e->of.rows * sizeof *e->counts);
    RC_TRY(fetch(m, t->begin, e->counts, e->of.rows * sizeof *e->counts, err));
    for (uint64_t i = 0; i < e->of.rows; i++) {
        if (!(e->counts[i] >= 0.0f && e->counts[i] <= 3.402823466e38f)) {
            rc_fail(err, RC_E_DATA, t->begin + 4 * i, "count %" PRIu64 " is no number of tokens",
                    i);
            rc_err_tensor(err, t->name);
            return RC_E_DATA;
        }
        e->counts[i] = roundf(e->counts[i]);
    }
    return RC_OK;
}

static rc_code take_tensor(rc_imatrix *m, const rc_gguf_tensor *t, bool *ours, rc_err *err)
{
    size_t len, i;
    const bool sums = has_suffix(t->name, ".in_sum2", &len);
    entry *e;

    *ours = sums || has_suffix(t->name, ".counts", &len);
    if (!*ours)
        return RC_OK;
    if (t->type->dtype != RC_DTYPE_F32)
        return bad_pair(t->name, "sums and counts must be F32", err);
    if (t->nbytes == 0)
        return bad_pair(t->name, "there are no values", err);
    i = rc_names_find(&m->names, t->name, len);
    if (i != RC_NAMES_NONE)
        e = &m->entries[i];
    else
        RC_TRY(add_entry(m, t->name, len, RC_NO_OFFSET, &e, err));
    if (!sums)
        return read_counts(m, e, t, err);
    e->off = t->begin;
    e->of.values = elements(t);
    return RC_OK;
}

static rc_code pair_up(entry *e, rc_err *err)
{
    if (!e->off)
        return bad_pair(e->of.name, "counts without sums", err);
    if (!e->counts)
        return bad_pair(e->of.name, "sums without counts", err);
    if (e->of.values % e->of.rows != 0)
        return bad_pair(e->of.name, "the sums do not divide among the counts", err);
    e->of.cols = e->of.values / e->of.rows;
    return RC_OK;
}

/* The first data set is the imatrix's name; mainline appends one for each file merged. */
static rc_code read_keys(rc_imatrix *m, const rc_gguf *g, rc_err *err)
{
    const rc_gguf_kv *sets = rc_gguf_find(g, "imatrix.datasets");
    const uint8_t *at = sets ? sets->data : NULL;
    uint64_t i = 0, chunks = 0;
    const char *s;
    size_t len;
    char type[16];

    if (!rc_gguf_get_str(g, "general.type", type, sizeof type) || strcmp(type, "imatrix") != 0)
        return rc_fail(err, RC_E_DATA, RC_NO_OFFSET, "this GGUF file is not an imatrix");
    if (rc_gguf_get_u64(g, "imatrix.chunk_count", &chunks) && chunks <= UINT32_MAX)
        m->chunks = (uint32_t)chunks;
    if (!sets || sets->type != RC_GGUF_ARR || sets->elem != RC_GGUF_STR ||
        !rc_gguf_arr_str(sets, &at, &i, &s, &len))
        return RC_OK;
    m->dataset = rc_arena_strdup(&m->text, s, len);
    return m->dataset ? RC_OK : rc_fail_nomem(err, m->mem, len + 1);
}

static rc_code read_tensors(rc_imatrix *m, const rc_gguf *g, const rc_log *log, rc_err *err)
{
    size_t others = 0;

    RC_TRY(read_keys(m, g, err));
    for (size_t i = 0; i < rc_gguf_tensors(g); i++) {
        bool ours;

        RC_TRY(take_tensor(m, rc_gguf_tensor_at(g, i), &ours, err));
        others += !ours;
    }
    if (others && !rc_gguf_find(g, "recast.calibration.version"))
        rc_warn(log, m->path, NULL, RC_NO_OFFSET, "%zu tensors are neither sums nor counts",
                others);
    if (m->count == 0)
        return rc_fail(err, RC_E_DATA, RC_NO_OFFSET, "the imatrix has no entries");
    for (size_t i = 0; i < m->count; i++)
        RC_TRY(pair_up(&m->entries[i], err));
    return RC_OK;
}

/* The head, growing as it turns out to be longer; *head is the caller's on any failure. */
static rc_code read_head(rc_imatrix *m, uint8_t **head, size_t *len, rc_err *err)
{
    uint64_t need = 1 << 16;

    *len = 0;
    while (need > *len && *len < m->nbytes) {
        const size_t want = need < m->nbytes ? (size_t)need : (size_t)m->nbytes;
        uint8_t *grown = rc_mem_grow(m->mem, *head, want);

        if (!grown)
            return rc_fail_nomem(err, m->mem, want);
        *head = grown;
        RC_TRY(fetch(m, *len, grown + *len, want - *len, err));
        *len = want;
        RC_TRY(rc_gguf_need(grown, *len, m->nbytes, &need, err));
    }
    return RC_OK;
}

static rc_code read_gguf(rc_imatrix *m, const rc_log *log, rc_err *err)
{
    uint8_t *head = NULL;
    size_t len = 0;
    rc_code rc = read_head(m, &head, &len, err);

    if (rc == RC_OK)
        rc = rc_gguf_new(&m->head, head, len, m->nbytes, log, m->mem, err);
    if (rc != RC_OK) {
        rc_mem_put(m->mem, head);
        return rc;
    }
    if (len > rc_gguf_data_off(m->head))
        len = (size_t)rc_gguf_data_off(m->head);
    m->head_digest = rc_hash(head, len); /* which m->head keeps */
    return read_tensors(m, m->head, log, err);
}

/* ---------------------------------------------------------------------- open */

static rc_code check_size(uint64_t nbytes, rc_err *err)
{
    if (nbytes <= RC_IMATRIX_MAX_BYTES)
        return RC_OK;
    rc_fail(err, RC_E_LIMIT, RC_NO_OFFSET, "the file is too large for an imatrix");
    rc_err_want(err, "at most %zu bytes", RC_IMATRIX_MAX_BYTES);
    rc_err_got(err, "%" PRIu64, nbytes);
    return RC_E_LIMIT;
}

static rc_code build(rc_imatrix *m, const rc_log *log, rc_err *err)
{
    char magic[4];

    RC_TRY(check_size(m->nbytes, err));
    if (m->nbytes < sizeof magic) {
        rc_fail(err, RC_E_DATA, m->nbytes, "the file is too short for an imatrix");
        rc_err_got(err, "%" PRIu64 " bytes", m->nbytes);
        return RC_E_DATA;
    }
    RC_TRY(fetch(m, 0, magic, sizeof magic, err));
    RC_TRY(memcmp(magic, "GGUF", 4) == 0 ? read_gguf(m, log, err) : read_legacy(m, err));
    return check_entries(m, err);
}

static rc_imatrix *new_imatrix(rc_mem *mem)
{
    rc_imatrix *m = rc_mem_get(mem, sizeof *m);

    if (m) {
        m->mem = m->text.mem = mem;
        m->fd = -1;
        m->dataset = "";
        rc_names_init(&m->names, mem, entry_name, m);
    }
    return m;
}

rc_code rc_imatrix_parse(rc_imatrix **out, const uint8_t *bytes, size_t len, const rc_log *log,
                         rc_mem *mem, rc_err *err)
{
    rc_imatrix *m = new_imatrix(mem);
    rc_code rc;

    *out = NULL;
    if (!m)
        return rc_fail_nomem(err, mem, sizeof *m);
    m->nbytes = len;
    m->bytes = rc_mem_get(mem, len);
    if (m->bytes) {
        if (len)
            memcpy(m->bytes, bytes, len);
        rc = build(m, log, err);
    } else {
        rc = rc_fail_nomem(err, mem, len);
    }
    if (rc == RC_OK)
        *out = m;
    else
        rc_imatrix_free(&m);
    return rc;
}

static rc_code open_file(rc_imatrix *m, const char *path, rc_err *err)
{
    struct stat st;

    m->path = rc_arena_strdup(&m->text, path, strlen(path));
    if (!m->path)
        return rc_fail_nomem(err, m->mem, strlen(path) + 1);
    /* not to wait for somebody to write into a FIFO */
    m->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (m->fd < 0 || fstat(m->fd, &st) != 0)
        return rc_fail_errno(err, errno, "cannot open");
    if (!S_ISREG(st.st_mode))
        return rc_fail(err, RC_E_NOINPUT, RC_NO_OFFSET, "not a file");
    m->nbytes = (uint64_t)st.st_size;
    m->mtime = st.st_mtim;
    return RC_OK;
}

rc_code rc_imatrix_open(rc_imatrix **out, const char *path, const rc_log *log, rc_mem *mem,
                        rc_err *err)
{
    rc_imatrix *m = new_imatrix(mem);
    rc_code rc;

    *out = NULL;
    if (!m)
        return rc_fail_nomem(err, mem, sizeof *m);
    rc = open_file(m, path, err);
    if (rc == RC_OK)
        rc = build(m, log, err);
    if (rc == RC_OK) {
        *out = m;
    } else {
        rc_err_file(err, path);
        rc_imatrix_free(&m);
    }
    return rc;
}

void rc_imatrix_free(rc_imatrix **mp)
{
    rc_imatrix *m = *mp;

    *mp = NULL;
    if (!m)
        return;
    if (m->fd >= 0)
        close(m->fd);
    rc_names_free(&m->names);
    rc_arena_free(&m->text);
    rc_gguf_free(&m->head);
    rc_mem_put(m->mem, m->entries);
    rc_mem_put(m->mem, m->bytes);
    rc_mem_put(m->mem, m);
}

/* ------------------------------------------------------------------- answers */

size_t rc_imatrix_count(const rc_imatrix *m)
{
    return m->count;
}

const rc_imatrix_entry *rc_imatrix_at(const rc_imatrix *m, size_t i)
{
    return &m->entries[i].of;
}

const char *rc_imatrix_dataset(const rc_imatrix *m)
{
    return m->dataset;
}

uint32_t rc_imatrix_chunks(const rc_imatrix *m)
{
    return m->chunks;
}

uint64_t rc_imatrix_digest(const rc_imatrix *m)
{
    return m->digest;
}

static const entry *find(const rc_imatrix *m, const char *name, size_t len)
{
    const size_t i = rc_names_find(&m->names, name, len);

    return i == RC_NAMES_NONE ? NULL : &m->entries[i];
}

/* ds4's spellings of an entry for one expert. */
static const entry *find_expert(const rc_imatrix *m, const char *name, uint64_t row)
{
    char one[RC_IMATRIX_MAX_NAME + 32];
    const entry *e = NULL;

    for (const char *dot = "._"; *dot && !e; dot++) {
        const int n = snprintf(one, sizeof one, "%s.expert%c%" PRIu64, name, *dot, row);

        if (n > 0 && (size_t)n < sizeof one)
            e = find(m, one, (size_t)n);
    }
    return e;
}

static bool fits(const entry *e, uint64_t rows, uint64_t cols)
{
    uint64_t values;

    /* One count for a whole stack is what mainline writes for one that is no experts'. */
    return rc_mul_u64(rows, cols, &values) && e->of.values == values &&
           (e->of.cols == 0 || e->of.rows == rows || e->of.rows == 1);
}

static bool all_are(const float *v, size_t n, float x)
{
    for (size_t i = 0; i < n; i++)
        if (v[i] != x)
            return false;
    return true;
}

/* A .dat says "never seen" by a mean of 1 throughout. */
static rc_code is_stand_in(const rc_imatrix *m, const entry *e, uint64_t off, uint64_t cols,
                           bool *yes, rc_err *err)
{
    const float one = e->ncall > 0.0f ? e->ncall : 1.0f;
    float some[1024];

    *yes = !e->counts;
    for (uint64_t at = 0; at < cols && *yes; at += 1024) {
        const size_t n = cols - at < 1024 ? (size_t)(cols - at) : 1024;

        RC_TRY(fetch(m, off + 4 * at, some, 4 * n, err));
        *yes = all_are(some, n, one);
    }
    return RC_OK;
}

static rc_code check_same_file(const rc_imatrix *m, rc_err *err)
{
    struct stat st;

    if (m->bytes)
        return RC_OK;
    if (fstat(m->fd, &st) == 0 && (uint64_t)st.st_size == m->nbytes &&
        st.st_mtim.tv_sec == m->mtime.tv_sec && st.st_mtim.tv_nsec == m->mtime.tv_nsec)
        return RC_OK;
    rc_fail(err, RC_E_INTEGRITY, RC_NO_OFFSET, "the imatrix was changed while in use");
    rc_err_file(err, m->path);
    return RC_E_INTEGRITY;
}

rc_code rc_imatrix_part(const rc_imatrix *m, const char *name, uint64_t row, uint64_t rows,
                        uint64_t cols, uint64_t col, uint64_t n, float *out,
                        rc_imatrix_found *found, rc_err *err)
{
    const entry *e = rows > 1 ? find_expert(m, name, row) : NULL;
    uint64_t off;
    float by;
    bool unseen = false;

    if (e) { /* an entry of its own: a stack of one */
        row = 0;
        rows = 1;
    } else {
        e = find(m, name, strlen(name));
    }
    *found = !e ? RC_IMATRIX_ABSENT : RC_IMATRIX_MISMATCH;
    if (!e || row >= rows || !fits(e, rows, cols) || col > cols || n > cols - col)
        return RC_OK;
    off = e->off + 4 * row * cols;
    by = e->counts ? e->counts[e->of.rows == 1 ? 0 : row] : e->ncall;
    RC_TRY(check_same_file(m, err));
    if (e->counts)
        unseen = by == 0.0f;
    else
        RC_TRY(is_stand_in(m, e, off, cols, &unseen, err));
    *found = unseen ? RC_IMATRIX_UNSEEN : RC_IMATRIX_FOUND;
    if (unseen || !out)
        return RC_OK;
    RC_TRY(fetch(m, off + 4 * col, out, (size_t)n * sizeof *out, err));
    for (uint64_t i = 0; by > 0.0f && i < n; i++)
        out[i] /= by;
    return RC_OK;
}

rc_code rc_imatrix_get(const rc_imatrix *m, const char *name, uint64_t row, uint64_t rows,
                       uint64_t cols, float *out, rc_imatrix_found *found, rc_err *err)
{
    return rc_imatrix_part(m, name, row, rows, cols, 0, cols, out, found, err);
}

/* ------------------------------------------------------------- the file itself */

const rc_gguf *rc_imatrix_gguf(const rc_imatrix *m)
{
    return m->head;
}

const char *rc_imatrix_path(const rc_imatrix *m)
{
    return m->path ? m->path : "";
}

rc_code rc_imatrix_read(const rc_imatrix *m, uint64_t off, void *buf, size_t n, rc_err *err)
{
    if (off > m->nbytes || n > m->nbytes - off)
        return rc_fail(err, RC_E_INTERNAL, off, "a read past the end of the imatrix");
    RC_TRY(check_same_file(m, err));
    return fetch(m, off, buf, n, err);
}
