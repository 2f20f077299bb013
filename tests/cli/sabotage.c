/* tests/cli/sabotage.c - copies of a checkpoint, each damaged in one known way.
 *
 *     sabotage --list [OF]           a line a case, fields apart by tabs (see list())
 *     sabotage CASE FROM TO          make folder TO: FROM's files, as links where they stay whole
 *
 * What verify has to find is known before it looks: --list says which parameters or which key were
 * touched, and where the damage first shows in the hidden states. The cases are those that happen
 * to converters: mixed up, shifted, transposed, forgotten, zeroed. They are written for
 * tests/data/sample: three layers (window, CSA, HCA), the first routed by a table. A step that
 * would change nothing is an error: that case would prove nothing. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "formats/base/json.h"
#include "formats/absorb.h"
#include "kernels/codes.h"
#include "verify/subject.h"

typedef struct body body;

/* One step: what is done to a tensor, to two, or to the config. */
typedef struct step {
    void (*harm)(body *, const struct step *);
    const char *tensor, *other; /* other: a second tensor, or a key's new value as JSON */
    uint32_t a, b, n;           /* rows, bytes or elements, as the harm says */
    double x;
    bool lax; /* may change nothing: scales beside a weight that does */
} step;

enum { STEPS = 12 };

/* Where it shows first: after a sublayer; in the logits alone; in rounding errors alone; nowhere,
 * because the main model does not use it; not at all, because the model cannot be run. */
typedef enum shows { ATTN, FFN, LOGITS, ROUNDING, NOTHING, REFUSED } shows;

typedef struct harm_case {
    const char *name, *what;
    rc_role role; /* RC_ROLE_COUNT: the config */
    int layer;    /* of the sublayer; else -1 */
    shows shows;
    step step[STEPS];
} harm_case;

/* -- a folder to do harm to -------------------------------------------------- */

struct body {
    const char *where; /* the new folder */
    rc_subject from;
    rc_mem mem;
    bool owned[64]; /* shards that are copies, not links */
};

static void die(const char *what, const char *name)
{
    fprintf(stderr, "sabotage: %s: %s\n", name, what);
    exit(2);
}

static void *memory(size_t n)
{
    void *p = malloc(n ? n : 1);

    if (!p)
        die("no memory", "malloc");
    return p;
}

static const char *in(const char *folder, const char *name)
{
    static char path[2][4096];
    static unsigned turn;
    char *p = path[turn++ % 2];

    if (snprintf(p, sizeof path[0], "%s/%s", folder, name) >= (int)sizeof path[0])
        die("path too long", name);
    return p;
}

static uint8_t *slurp(const char *path, size_t *len)
{
    FILE *f = fopen(path, "rb");
    struct stat st;
    uint8_t *data;

    if (!f || fstat(fileno(f), &st) != 0)
        die(strerror(errno), path);
    *len = (size_t)st.st_size;
    data = memory(*len);
    if (fread(data, 1, *len, f) != *len)
        die("cannot read", path);
    fclose(f);
    return data;
}

/* In the place of what is there: a link's other names keep their bytes. */
static void replace(const char *path, const void *data, size_t len)
{
    FILE *f;

    if (unlink(path) != 0 && errno != ENOENT)
        die(strerror(errno), path);
    f = fopen(path, "wb");
    if (!f || fwrite(data, 1, len, f) != len || fclose(f) != 0)
        die("cannot write", path);
}

static void link_all(const char *from, const char *to)
{
    DIR *d = opendir(from);
    struct dirent *e;
    struct stat st;

    if (!d || mkdir(to, 0777) != 0)
        die(strerror(errno), d ? to : from);
    while ((e = readdir(d))) {
        const char *source = in(from, e->d_name), *target = in(to, e->d_name);

        if (stat(source, &st) != 0 || !S_ISREG(st.st_mode))
            continue;
        if (link(source, target) != 0) { /* another file system */
            size_t len;
            uint8_t *data = slurp(source, &len);

            replace(target, data, len);
            free(data);
        }
    }
    closedir(d);
}

static const rc_tensor *find(const body *b, const char *name)
{
    const rc_tensor *t = rc_ckpt_find(b->from.ckpt, name);

    if (!t)
        die("no such tensor", name);
    return t;
}

static const char *shard_of(const body *b, const rc_tensor *t)
{
    return rc_ckpt_shard(b->from.ckpt, t->shard)->name;
}

/* The tensor's bytes as they are in the new folder; free() them. */
static uint8_t *load(const body *b, const rc_tensor *t)
{
    uint8_t *data = memory((size_t)t->nbytes);
    const int fd = open(in(b->where, shard_of(b, t)), O_RDONLY);

    if (fd < 0 || pread(fd, data, (size_t)t->nbytes, (off_t)t->begin) != (ssize_t)t->nbytes)
        die("cannot read", t->name);
    close(fd);
    return data;
}

static void store(body *b, const step *s, const rc_tensor *t, const uint8_t *data)
{
    const char *path = in(b->where, shard_of(b, t));
    uint8_t *old = load(b, t);
    int fd;

    if (memcmp(old, data, (size_t)t->nbytes) == 0 && !s->lax)
        die("the step changes nothing", t->name);
    free(old);
    if (t->shard >= sizeof b->owned / sizeof *b->owned)
        die("too many shards", path);
    if (!b->owned[t->shard]) {
        size_t len;
        uint8_t *whole = slurp(path, &len);

        replace(path, whole, len);
        free(whole);
        b->owned[t->shard] = true;
    }
    fd = open(path, O_WRONLY);
    if (fd < 0 || pwrite(fd, data, (size_t)t->nbytes, (off_t)t->begin) != (ssize_t)t->nbytes)
        die("cannot write", path);
    close(fd);
}

/* -- harm ---------------------------------------------------------------------- */

static void exchange_bytes(uint8_t *x, uint8_t *y, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const uint8_t v = x[i];

        x[i] = y[i];
        y[i] = v;
    }
}

/* Two tensors of one shape change places. */
static void exchange(body *b, const step *s)
{
    const rc_tensor *t = find(b, s->tensor), *u = find(b, s->other);
    uint8_t *x = load(b, t), *y = load(b, u);

    if (t->nbytes != u->nbytes)
        die("not of one size", s->tensor);
    store(b, s, t, y);
    store(b, s, u, x);
    free(x);
    free(y);
}

/* Rows [a, a + n) and [b, b + n) of a tensor change places. */
static void exchange_rows(body *b, const step *s)
{
    const rc_tensor *t = find(b, s->tensor);
    const size_t row = (size_t)(t->nbytes / t->shape[0]);
    uint8_t *x = load(b, t);

    exchange_bytes(x + s->a * row, x + s->b * row, s->n * row);
    store(b, s, t, x);
    free(x);
}

static void turn_bytes(uint8_t *x, size_t n, size_t by)
{
    uint8_t *old = memory(n);

    memcpy(old, x, n);
    for (size_t i = 0; i < n; i++)
        x[(i + by) % n] = old[i];
    free(old);
}

/* The whole tensor moves on by n bytes; its end comes round to the front. */
static void turn(body *b, const step *s)
{
    const rc_tensor *t = find(b, s->tensor);
    uint8_t *x = load(b, t);

    turn_bytes(x, (size_t)t->nbytes, s->n);
    store(b, s, t, x);
    free(x);
}

/* Rows [a, a + b) move on by n bytes, each within itself. */
static void turn_rows(body *b, const step *s)
{
    const rc_tensor *t = find(b, s->tensor);
    const size_t row = (size_t)(t->nbytes / t->shape[0]);
    uint8_t *x = load(b, t);

    for (uint32_t i = s->a; i < s->a + s->b; i++)
        turn_bytes(x + i * row, row, s->n);
    store(b, s, t, x);
    free(x);
}

/* x is added to n bytes from a on (0: to all): powers of two in E8M0. */
static void add(body *b, const step *s)
{
    const rc_tensor *t = find(b, s->tensor);
    const size_t n = s->n ? s->n : (size_t)t->nbytes;
    uint8_t *x = load(b, t);

    for (size_t i = 0; i < n; i++)
        x[s->a + i] = (uint8_t)(x[s->a + i] + (int)s->x);
    store(b, s, t, x);
    free(x);
}

/* A square matrix of bytes. */
static void transpose(body *b, const step *s)
{
    const rc_tensor *t = find(b, s->tensor);
    const size_t n = (size_t)t->shape[0];
    uint8_t *x = load(b, t);

    if (t->nbytes != n * n)
        die("not square", s->tensor);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < i; k++)
            exchange_bytes(x + i * n + k, x + k * n + i, 1);
    store(b, s, t, x);
    free(x);
}

static void swap_nibbles(body *b, const step *s)
{
    const rc_tensor *t = find(b, s->tensor);
    uint8_t *x = load(b, t);

    for (uint64_t i = 0; i < t->nbytes; i++)
        x[i] = (uint8_t)(x[i] << 4 | x[i] >> 4);
    store(b, s, t, x);
    free(x);
}

/* x is added to every nibble, modulo 16. */
static void add_to_nibbles(body *b, const step *s)
{
    const rc_tensor *t = find(b, s->tensor);
    const unsigned by = (unsigned)(int)s->x;
    uint8_t *x = load(b, t);

    for (uint64_t i = 0; i < t->nbytes; i++)
        x[i] = (uint8_t)((((x[i] >> 4) + by) & 15) << 4 | ((x[i] + by) & 15));
    store(b, s, t, x);
    free(x);
}

/* AWQ's order of nibbles, of what is in it already. */
static void order_again(body *b, const step *s)
{
    static const unsigned order[8] = { 0, 2, 4, 6, 1, 3, 5, 7 };
    const rc_tensor *t = find(b, s->tensor);
    uint8_t *x = load(b, t);

    for (uint64_t i = 0; i + 4 <= t->nbytes; i += 4) {
        uint32_t old = 0, word = 0;

        for (unsigned k = 0; k < 4; k++)
            old |= (uint32_t)x[i + k] << 8 * k;
        for (unsigned k = 0; k < 8; k++)
            word |= (old >> 4 * order[k] & 15) << 4 * k;
        for (unsigned k = 0; k < 4; k++)
            x[i + k] = (uint8_t)(word >> 8 * k);
    }
    store(b, s, t, x);
    free(x);
}

/* The sign bit of every byte in row a. */
static void negate_fp8_row(body *b, const step *s)
{
    const rc_tensor *t = find(b, s->tensor);
    const size_t row = (size_t)(t->nbytes / t->shape[0]);
    uint8_t *x = load(b, t);

    for (size_t i = 0; i < row; i++)
        x[s->a * row + i] ^= 0x80;
    store(b, s, t, x);
    free(x);
}

/* One bit: the top one of the exponent, of the largest code that has it clear and becomes no NaN.
 */
static void flip_exponent(body *b, const step *s)
{
    const rc_tensor *t = find(b, s->tensor);
    uint8_t *x = load(b, t);
    size_t best = 0;

    for (size_t i = 0; i < t->nbytes; i++)
        if ((x[i] & 0x7f) < 0x3f && ((x[i] & 0x7f) > (x[best] & 0x7f) || x[best] & 0x40))
            best = i;
    x[best] ^= 0x40;
    store(b, s, t, x);
    free(x);
}

static float value_at(const rc_tensor *t, const uint8_t *x, size_t i)
{
    uint32_t bits;
    float v;

    if (t->dtype == RC_DTYPE_F32)
        memcpy(&bits, x + 4 * i, 4);
    else
        bits = (uint32_t)x[2 * i] << 16 | (uint32_t)x[2 * i + 1] << 24;
    memcpy(&v, &bits, 4);
    return v;
}

static void put_value(const rc_tensor *t, uint8_t *x, size_t i, float v)
{
    const uint16_t bits = rc_bf16_round(v);

    if (t->dtype == RC_DTYPE_F32)
        memcpy(x + 4 * i, &v, 4);
    else
        memcpy(x + 2 * i, &bits, 2);
}

static size_t values(const rc_tensor *t)
{
    return (size_t)t->nbytes / (t->dtype == RC_DTYPE_F32 ? 4 : 2);
}

static void scale(body *b, const step *s)
{
    const rc_tensor *t = find(b, s->tensor);
    uint8_t *data = load(b, t);

    for (size_t i = 0; i < values(t); i++)
        put_value(t, data, i, value_at(t, data, i) * (float)s->x);
    store(b, s, t, data);
    free(data);
}

static void fill(body *b, const step *s)
{
    const rc_tensor *t = find(b, s->tensor);
    uint8_t *data = load(b, t);

    for (size_t i = 0; i < values(t); i++)
        put_value(t, data, i, (float)s->x);
    store(b, s, t, data);
    free(data);
}

/* The factor of a channel: powers of two from 0.25 to 4; with x, something odd near 1. */
static float factor(const step *s, size_t k)
{
    return s->x == 0 ? ldexpf(1, (int)((7 * k + k / 5) % 5) - 2)
                     : (float)(1 + s->x * (double)((7 * k + k / 5) % 11));
}

static void scale_columns(body *b, const step *s, const char *name, int power)
{
    const rc_tensor *t = find(b, name);
    const size_t cols = (size_t)t->shape[t->rank - 1];
    uint8_t *data;

    if (power == 0)
        return;
    data = load(b, t);
    for (size_t i = 0; i < values(t); i++)
        put_value(t, data, i, value_at(t, data, i) * powf(factor(s, i % cols), (float)power));
    store(b, s, t, data);
    free(data);
}

/* Scale a norm and its readers, as AWQ does: the norm is divided. Those whose names have `other` in
 * them take up the factors to the power of a. */
static void smooth(body *b, const step *s)
{
    for (size_t i = 0; i < rc_model_count(b->from.model); i++) {
        const rc_param *p = rc_model_at(b->from.model, i)->param;
        const bool odd = s->other && strstr(p->name, s->other);
        rc_absorb point;
        char norm[64];

        if (strcmp(p->name, s->tensor) == 0)
            scale_columns(b, s, p->name, odd ? -(int)s->a : -1);
        else if (rc_absorb_reads(p, &point) &&
                 strcmp(rc_absorb_norm_name(p, point, norm), s->tensor) == 0)
            scale_columns(b, s, p->name, odd ? (int)s->a : 1);
    }
}

/* Key `tensor` of config.json, up to a dot, becomes `other`. */
static void set_key(body *b, const step *s)
{
    const char *path = in(b->where, "config.json");
    char key[64], *text;
    const rc_json_edit edit = { key, s->other };
    size_t len, out_len;
    uint8_t *old = slurp(path, &len);
    rc_err err;

    snprintf(key, sizeof key, "%.*s", (int)strcspn(s->tensor, "."), s->tensor);
    if (rc_json_edit_root(old, len, &edit, 1, &text, &out_len, &b->mem, &err) != RC_OK)
        die(err.msg, s->tensor);
    replace(path, text, out_len);
    rc_mem_put(&b->mem, text);
    free(old);
}

/* -- the cases ----------------------------------------------------------------- */

#define EXCHANGE(t, u)                                                                             \
    {                                                                                              \
        .harm = exchange, .tensor = t, .other = u                                                  \
    }
#define EXCHANGE_BOTH(t, u)                                                                        \
    EXCHANGE(t ".weight", u ".weight"),                                                            \
    {                                                                                              \
        .harm = exchange, .tensor = t ".scale", .other = u ".scale", .lax = true                   \
    }
#define EXCHANGE_ROWS(t, i, k, count)                                                              \
    {                                                                                              \
        .harm = exchange_rows, .tensor = t, .a = i, .b = k, .n = count                             \
    }
#define EXCHANGE_SCALES(t, i, k)                                                                   \
    {                                                                                              \
        .harm = exchange_rows, .tensor = t, .a = i, .b = k, .n = 1, .lax = true                    \
    }
#define TURN(t, bytes)                                                                             \
    {                                                                                              \
        .harm = turn, .tensor = t, .n = bytes                                                      \
    }
#define TURN_ROWS(t, i, rows, bytes)                                                               \
    {                                                                                              \
        .harm = turn_rows, .tensor = t, .a = i, .b = rows, .n = bytes                              \
    }
#define ADD(t, i, count, what)                                                                     \
    {                                                                                              \
        .harm = add, .tensor = t, .a = i, .n = count, .x = what                                    \
    }
#define SCALE(t, by)                                                                               \
    {                                                                                              \
        .harm = scale, .tensor = t, .x = by                                                        \
    }
#define FILL(t, with)                                                                              \
    {                                                                                              \
        .harm = fill, .tensor = t, .x = with                                                       \
    }
#define DO(what, t, i)                                                                             \
    {                                                                                              \
        .harm = what, .tensor = t, .a = i                                                          \
    }
#define NIBBLES(t, plus)                                                                           \
    {                                                                                              \
        .harm = add_to_nibbles, .tensor = t, .x = plus                                             \
    }
#define KEY(k, json)                                                                               \
    {                                                                                              \
        .harm = set_key, .tensor = k, .other = json                                                \
    }

#define SMOOTH(n)                                                                                  \
    {                                                                                              \
        .harm = smooth, .tensor = n                                                                \
    }
#define SMOOTH_BUT(n, odd_ones, power)                                                             \
    {                                                                                              \
        .harm = smooth, .tensor = n, .other = odd_ones, .a = (uint32_t)(power)                     \
    }

#define L0 "layers.0."
#define L1 "layers.1."
#define L2 "layers.2."

/* clang-format off */
static const harm_case cases[] = {
    /* routed experts */
    { "experts-exchanged", "experts 1 and 2 of a layer in each other's place",
      RC_ROLE_EXPERT, 1, FFN, { EXCHANGE_BOTH(L1 "ffn.experts.1.w1", L1 "ffn.experts.2.w1"),
                                EXCHANGE_BOTH(L1 "ffn.experts.1.w2", L1 "ffn.experts.2.w2"),
                                EXCHANGE_BOTH(L1 "ffn.experts.1.w3", L1 "ffn.experts.2.w3") } },
    { "expert-block-binade", "the scale of 32 values of an expert twice what it was",
      RC_ROLE_EXPERT, 2, FFN, { ADD(L2 "ffn.experts.3.w2.scale", 40, 1, 1) } },
    { "expert-scale-binade", "all scales of a matrix of an expert half of what they were",
      RC_ROLE_EXPERT, 1, FFN, { ADD(L1 "ffn.experts.0.w2.scale", 0, 0, -1) } },
    { "expert-gate-up", "w1 and w3 of an expert exchanged",
      RC_ROLE_EXPERT, 0, FFN, { EXCHANGE_BOTH(L0 "ffn.experts.5.w1", L0 "ffn.experts.5.w3") } },
    { "expert-nibbles", "high nibble first in a matrix of an expert",
      RC_ROLE_EXPERT, 2, FFN, { DO(swap_nibbles, L2 "ffn.experts.4.w1.weight", 0) } },
    { "expert-scale-shifted", "16 rows of an expert's scales moved on by one",
      RC_ROLE_EXPERT, 1, FFN, { TURN_ROWS(L1 "ffn.experts.6.w3.scale", 16, 16, 1) } },
    { "expert-rows", "two rows of an expert's w2 exchanged, scales left behind",
      RC_ROLE_EXPERT, 0, FFN, { EXCHANGE_ROWS(L0 "ffn.experts.2.w2.weight", 7, 200, 1) } },
    /* attention */
    { "dense-scale-transposed", "the 2 x 2 scales of wo_b transposed",
      RC_ROLE_ATTN, 1, ATTN, { DO(transpose, L1 "attn.wo_b.scale", 0) } },
    { "dense-scale-tile", "the scale of one tile of wkv twice what it was",
      RC_ROLE_ATTN, 2, ATTN, { ADD(L2 "attn.wkv.scale", 1, 1, 1) } },
    { "head-scale", "all scales of wq_b twice what they were: each head is normed again",
      RC_ROLE_ATTN, -1, ROUNDING, { ADD(L2 "attn.wq_b.scale", 0, 0, 1) } },
    { "sinks-zeroed", "attention sinks set to 0",
      RC_ROLE_ATTN, 0, ATTN, { FILL(L0 "attn.attn_sink", 0) } },
    { "sinks-of-all-zeroed", "attention sinks of all layers set to 0",
      RC_ROLE_ATTN, 0, ATTN, { FILL(L0 "attn.attn_sink", 0), FILL(L1 "attn.attn_sink", 0),
                               FILL(L2 "attn.attn_sink", 0) } },
    { "attention-of-other-layer", "attention matrices of two layers exchanged",
      RC_ROLE_ATTN, 1, ATTN, { EXCHANGE_BOTH(L1 "attn.wq_a", L2 "attn.wq_a"),
                               EXCHANGE_BOTH(L1 "attn.wq_b", L2 "attn.wq_b"),
                               EXCHANGE_BOTH(L1 "attn.wkv", L2 "attn.wkv"),
                               EXCHANGE_BOTH(L1 "attn.wo_a", L2 "attn.wo_a"),
                               EXCHANGE_BOTH(L1 "attn.wo_b", L2 "attn.wo_b") } },
    { "query-heads", "the rows of two heads in wq_b exchanged",
      RC_ROLE_ATTN, 0, ATTN, { EXCHANGE_ROWS(L0 "attn.wq_b.weight", 0, 128, 128),
                               EXCHANGE_SCALES(L0 "attn.wq_b.scale", 0, 1) } },
    { "output-groups", "the two groups of wo_a exchanged",
      RC_ROLE_ATTN, 2, ATTN, { EXCHANGE_ROWS(L2 "attn.wo_a.weight", 0, 128, 128),
                               EXCHANGE_SCALES(L2 "attn.wo_a.scale", 0, 1) } },
    { "exponent-bit", "one bit of wkv flipped: the top one of an exponent",
      RC_ROLE_ATTN, 1, ATTN, { DO(flip_exponent, L1 "attn.wkv.weight", 0) } },
    /* norms */
    { "attn-norm-doubled", "gains of the norm before attention doubled",
      RC_ROLE_NORM, 1, ATTN, { SCALE(L1 "attn_norm.weight", 2) } },
    { "ffn-norm-doubled", "gains of the norm before the experts doubled",
      RC_ROLE_NORM, 2, FFN, { SCALE(L2 "ffn_norm.weight", 2) } },
    { "q-norm-flat", "gains of q_norm forgotten: all 1",
      RC_ROLE_NORM, 0, ATTN, { FILL(L0 "attn.q_norm.weight", 1) } },
    { "kv-norm-flat", "gains of kv_norm forgotten: all 1",
      RC_ROLE_NORM, 2, ATTN, { FILL(L2 "attn.kv_norm.weight", 1) } },
    { "final-norm-flat", "gains of the last norm forgotten: all 1",
      RC_ROLE_NORM, -1, LOGITS, { FILL("norm.weight", 1) } },
    /* compressors and the indexer */
    { "ape-zeroed", "the compressor's positions set to 0",
      RC_ROLE_COMPRESSOR, 1, ATTN, { FILL(L1 "attn.compressor.ape", 0) } },
    { "compressor-exchanged", "wkv and wgate of a compressor exchanged",
      RC_ROLE_COMPRESSOR, 2, ATTN, { EXCHANGE(L2 "attn.compressor.wkv.weight",
                                              L2 "attn.compressor.wgate.weight") } },
    { "indexer-negated", "weights_proj of the indexer negated",
      RC_ROLE_INDEXER, 1, ATTN, { SCALE(L1 "attn.indexer.weights_proj.weight", -1) } },
    { "indexer-heads", "heads of the indexer's wq_b moved on by one",
      RC_ROLE_INDEXER, 1, ATTN, { TURN(L1 "attn.indexer.wq_b.weight", 128 * 128),
                                  TURN(L1 "attn.indexer.wq_b.scale", 1) } },
    /* routing */
    { "router-bias-zeroed", "the router's bias set to 0",
      RC_ROLE_ROUTER, 1, FFN, { FILL(L1 "ffn.gate.bias", 0) } },
    { "router-rows", "rows of two experts in gate.weight exchanged",
      RC_ROLE_ROUTER, 2, FFN, { EXCHANGE_ROWS(L2 "ffn.gate.weight", 1, 4, 1) } },
    { "table-shifted", "the table of experts by token moved on by one token",
      RC_ROLE_ROUTER, 0, FFN, { TURN(L0 "ffn.gate.tid2eid", 16) } },
    /* shared experts */
    { "shared-row-negated", "a row of a shared expert's w2 with the other sign",
      RC_ROLE_SHARED, 1, FFN, { DO(negate_fp8_row, L1 "ffn.shared_experts.w2.weight", 33) } },
    { "shared-gate-up", "w1 and w3 of a shared expert exchanged",
      RC_ROLE_SHARED, 0, FFN, { EXCHANGE_BOTH(L0 "ffn.shared_experts.w1",
                                               L0 "ffn.shared_experts.w3") } },
    /* hyper-connections */
    { "hc-streams", "columns of hc_attn_fn moved on by one stream",
      RC_ROLE_HC, 1, ATTN, { TURN_ROWS(L1 "hc_attn_fn", 0, 24, 256 * 4) } },
    { "hc-zeroed", "hc_attn_fn set to 0",
      RC_ROLE_HC, 0, ATTN, { FILL(L0 "hc_attn_fn", 0) } },
    { "hc-base-shifted", "hc_ffn_base moved on by one",
      RC_ROLE_HC, 2, FFN, { TURN(L2 "hc_ffn_base", 4) } },
    { "hc-scale", "the three numbers of hc_ffn_scale moved on by one",
      RC_ROLE_HC, 1, FFN, { TURN(L1 "hc_ffn_scale", 4) } },
    { "hc-head-rows", "two rows of hc_head_fn exchanged",
      RC_ROLE_HC, -1, LOGITS, { EXCHANGE_ROWS("hc_head_fn", 0, 1, 1) } },
    /* embedding and head */
    { "embed-rows", "rows of two frequent tokens exchanged in the embedding",
      RC_ROLE_EMBED, 0, ATTN, { EXCHANGE_ROWS("embed.weight", 14, 270, 1) } },
    { "head-rows", "rows of two frequent tokens exchanged in the head",
      RC_ROLE_HEAD, -1, LOGITS, { EXCHANGE_ROWS("head.weight", 14, 270, 1) } },
    /* the draft: only a comparison of tensors can see it */
    { "draft-projections", "e_proj and h_proj of the draft exchanged",
      RC_ROLE_DRAFT, -1, NOTHING, { EXCHANGE_BOTH("mtp.0.e_proj", "mtp.0.h_proj") } },
    /* the config: perfect weights, read wrongly */
    { "rope-theta", "rope_theta 1000000 instead of 10000",
      RC_ROLE_COUNT, 0, ATTN, { KEY("rope_theta", "1000000") } },
    { "compress-rope-theta", "compress_rope_theta 10000 instead of 160000",
      RC_ROLE_COUNT, 1, ATTN, { KEY("compress_rope_theta", "10000") } },
    { "rope-factor", "rope_scaling.factor 1 instead of 16",
      RC_ROLE_COUNT, 1, ATTN, { KEY("rope_scaling.factor", "{\"beta_fast\": 32, \"beta_slow\": 1, "
        "\"factor\": 1, \"original_max_position_embeddings\": 65536, \"type\": \"yarn\"}") } },
    { "swiglu-limit", "swiglu_limit 1 instead of 10",
      RC_ROLE_COUNT, 0, FFN, { KEY("swiglu_limit", "1.0") } },
    { "routed-scaling", "routed_scaling_factor 2.5 (that of Pro) instead of 1.5",
      RC_ROLE_COUNT, 0, FFN, { KEY("routed_scaling_factor", "2.5") } },
    { "sliding-window", "sliding_window 64 instead of 128",
      RC_ROLE_COUNT, 0, ATTN, { KEY("sliding_window", "64") } },
    { "norm-eps", "rms_norm_eps 0.01 instead of 0.000001",
      RC_ROLE_COUNT, 0, ATTN, { KEY("rms_norm_eps", "1e-2") } },
    { "index-topk", "index_topk 1 instead of 16",
      RC_ROLE_COUNT, 1, ATTN, { KEY("index_topk", "1") } },
    { "sinkhorn-iters", "hc_sinkhorn_iters 1 instead of 20",
      RC_ROLE_COUNT, 0, FFN, { KEY("hc_sinkhorn_iters", "1") } },
    { "experts-per-token", "num_experts_per_tok 1 instead of 2: contradicts the table of layer 0",
      RC_ROLE_COUNT, -1, REFUSED, { KEY("num_experts_per_tok", "1") } },
};

/* Done to a copy in BF16: channels scaled as AWQ does, but not by all that have to take part. */
static const harm_case cases_bf16[] = {
    { "scaled-router", "channels of ffn_norm and its readers scaled, the router forgotten",
      RC_ROLE_ROUTER, 1, FFN, { SMOOTH_BUT(L1 "ffn_norm.weight", "ffn.gate.weight", 0) } },
    { "scaled-expert", "the same, w3 of one expert forgotten",
      RC_ROLE_EXPERT, 2, FFN, { SMOOTH_BUT(L2 "ffn_norm.weight", "experts.3.w3", 0) } },
    { "scaled-shared", "the same, the shared expert forgotten",
      RC_ROLE_SHARED, 0, FFN, { SMOOTH_BUT(L0 "ffn_norm.weight", "shared_experts", 0) } },
    { "scaled-compressor", "channels of attn_norm scaled, wgate of the compressor forgotten",
      RC_ROLE_COMPRESSOR, 2, ATTN, { SMOOTH_BUT(L2 "attn_norm.weight", "attn.compressor.wgate", 0) } },
    { "scaled-indexer", "channels of q_norm scaled, wq_b of the indexer forgotten",
      RC_ROLE_INDEXER, 1, ATTN, { SMOOTH_BUT(L1 "attn.q_norm.weight", "indexer.wq_b", 0) } },
    { "scaled-norm", "the readers of ffn_norm scaled, the norm not divided",
      RC_ROLE_NORM, 2, FFN, { SMOOTH_BUT(L2 "ffn_norm.weight", "norm", 0) } },
    { "scaled-norm-twice", "the readers of ffn_norm scaled, the norm divided twice",
      RC_ROLE_NORM, 1, FFN, { SMOOTH_BUT(L1 "ffn_norm.weight", "norm", 2) } },
    { "scaled-norm-inverse", "the readers of ffn_norm scaled, the norm multiplied",
      RC_ROLE_NORM, 0, FFN, { SMOOTH_BUT(L0 "ffn_norm.weight", "norm", -1) } },
    { "scaled-twice", "channels of ffn_norm scaled, w1 of one expert twice",
      RC_ROLE_EXPERT, 1, FFN, { SMOOTH_BUT(L1 "ffn_norm.weight", "experts.2.w1", 2) } },
};

/* Done to the sample with routed experts in 4-bit integers, as compressed-tensors has them ... */
static const harm_case cases_w4a16[] = {
    { "int4-nibbles", "high nibble first in a matrix of an expert",
      RC_ROLE_EXPERT, 2, FFN, { DO(swap_nibbles, L2 "ffn.experts.4.w1.weight_packed", 0) } },
    { "int4-scales-exchanged", "scales of two experts exchanged",
      RC_ROLE_EXPERT, 1, FFN, { EXCHANGE(L1 "ffn.experts.1.w2.weight_scale",
                                         L1 "ffn.experts.2.w2.weight_scale") } },
    { "int4-group-shifted", "an expert's scales moved on by one group",
      RC_ROLE_EXPERT, 0, FFN, { TURN(L0 "ffn.experts.2.w2.weight_scale", 2) } },
    { "int4-zeros-flat", "zero points of an expert moved on by a group of rows",
      RC_ROLE_EXPERT, 1, FFN, { TURN(L1 "ffn.experts.0.w3.weight_zero_point", 32) } },
};

/* ... and as AWQ has them. */
static const harm_case cases_awq[] = {
    { "awq-zeros-gptq", "zero points of an expert less 1, as GPTQ stores them",
      RC_ROLE_EXPERT, 1, FFN, { NIBBLES(L1 "ffn.experts.3.w1.qzeros", -1) } },
    { "awq-order-twice", "AWQ's order of nibbles applied twice",
      RC_ROLE_EXPERT, 0, FFN, { DO(order_again, L0 "ffn.experts.5.w2.qweight", 0) } },
    { "awq-zeros-order", "the same of the zero points alone",
      RC_ROLE_EXPERT, 2, FFN, { DO(order_again, L2 "ffn.experts.1.w2.qzeros", 0) } },
    { "awq-scales-rows", "an expert's scales moved on by one output",
      RC_ROLE_EXPERT, 2, FFN, { TURN(L2 "ffn.experts.6.w2.scales", 2) } },
};

/* What does no harm, for other tests. */
static const harm_case harmless[] = {
    { "smoothed", "channels of all norms that can be are scaled by powers of two",
      RC_ROLE_NORM, -1, NOTHING, { SMOOTH(L0 "ffn_norm.weight"), SMOOTH(L1 "ffn_norm.weight"),
                                   SMOOTH(L2 "ffn_norm.weight"), SMOOTH(L0 "attn_norm.weight"),
                                   SMOOTH(L1 "attn_norm.weight"), SMOOTH(L2 "attn_norm.weight"),
                                   SMOOTH(L0 "attn.q_norm.weight"), SMOOTH(L1 "attn.q_norm.weight"),
                                   SMOOTH(L2 "attn.q_norm.weight"),
                                   SMOOTH("mtp.0.ffn_norm.weight") } },
    { "smoothed-oddly", "channels of two norms are scaled by factors that are no powers of two",
      RC_ROLE_NORM, -1, NOTHING, { { .harm = smooth, .tensor = L1 "ffn_norm.weight", .x = 0.11 },
                                   { .harm = smooth, .tensor = L2 "attn_norm.weight", .x = 0.3 } } },
};
/* clang-format on */
#define COUNT(a) (sizeof(a) / sizeof *(a))

static const struct {
    const char *of; /* what it is done to; NULL: the sample */
    const harm_case *at;
    size_t n;
} sets[] = {
    { NULL, cases, COUNT(cases) },
    { "bf16", cases_bf16, COUNT(cases_bf16) },
    { "w4a16", cases_w4a16, COUNT(cases_w4a16) },
    { "awq", cases_awq, COUNT(cases_awq) },
    { "harmless", harmless, COUNT(harmless) },
};

/* -- the program ----------------------------------------------------------------- */

/* The parameter that verify names: of its parts it is the weight. */
static void parameter_of(char out[128], const char *tensor)
{
    static const char *const ends[] = { ".scale",   ".weight_packed", ".weight_scale",
                                        ".qweight", ".scales",        ".weight_zero_point",
                                        ".qzeros" };
    const size_t n = strlen(tensor);

    snprintf(out, 128, "%s", tensor);
    for (size_t i = 0; i < COUNT(ends); i++) {
        const size_t k = strlen(ends[i]);

        if (n > k && strcmp(tensor + n - k, ends[i]) == 0)
            snprintf(out, 128, "%.*s.weight", (int)(n - k), tensor);
    }
}

static void add_name(char *list, size_t room, const char *tensor)
{
    char name[128], *at = list;

    parameter_of(name, tensor);
    for (size_t n = strlen(name); (at = strstr(at, name)) != NULL; at += n)
        if ((at == list || at[-1] == ',') && (at[n] == '\0' || at[n] == ','))
            return;
    snprintf(list + strlen(list), room - strlen(list), "%s%s", *list ? "," : "", name);
}

/* Those that a smoothing leaves astray, without a model to ask: the block's name and the part's. */
static void add_odd_ones(char *list, size_t room, const step *s)
{
    static const char *const whole[] = { "ffn.gate.weight",
                                         "attn.compressor.wgate.weight",
                                         "attn.indexer.wq_b.weight",
                                         "ffn.experts.3.w3.weight",
                                         "ffn.experts.2.w1.weight",
                                         "ffn.shared_experts.w1.weight",
                                         "ffn.shared_experts.w3.weight",
                                         "ffn_norm.weight" };
    char name[128];

    for (size_t i = 0; i < COUNT(whole); i++)
        if (strstr(whole[i], s->other)) {
            snprintf(name, sizeof name, "%.9s%s", s->tensor, whole[i]);
            add_name(list, room, name);
        }
}

/* case; role or "config"; layer or "-"; "attn", "ffn", "logits", "nothing" or "refused";
 * parameters, by commas, or config:KEY; what it is. */
static void list(const harm_case *c)
{
    static const char *const shown[] = {
        "attn", "ffn", "logits", "rounding", "nothing", "refused"
    };
    char names[1024] = "";

    for (size_t i = 0; i < STEPS && c->step[i].harm; i++) {
        const step *s = &c->step[i];

        if (s->harm == set_key) {
            snprintf(names, sizeof names, "config:%s", s->tensor);
            continue;
        }
        if (s->harm == smooth) {
            add_odd_ones(names, sizeof names, s);
            continue;
        }
        add_name(names, sizeof names, s->tensor);
        if (s->other)
            add_name(names, sizeof names, s->other);
    }
    printf("%s\t%s\t", c->name, c->role == RC_ROLE_COUNT ? "config" : rc_role_name(c->role));
    if (c->layer < 0)
        printf("-");
    else
        printf("%d", c->layer);
    printf("\t%s\t", shown[c->shows]);
    printf("%s\t%s\n", names, c->what);
}

static void sabotage(const harm_case *c, const char *from, const char *to)
{
    body b = { .where = to };
    rc_err err;

    if (rc_subject_open(&b.from, from, NULL, NULL, &b.mem, &err) != RC_OK)
        die(err.msg, from);
    link_all(from, to);
    for (size_t i = 0; i < STEPS && c->step[i].harm; i++)
        c->step[i].harm(&b, &c->step[i]);
    rc_subject_close(&b.from);
}

static const harm_case *case_of(const char *name)
{
    for (size_t i = 0; i < COUNT(sets); i++)
        for (size_t k = 0; k < sets[i].n; k++)
            if (strcmp(sets[i].at[k].name, name) == 0)
                return &sets[i].at[k];
    return NULL;
}

static void list_all(const char *of)
{
    for (size_t i = 0; i < COUNT(sets); i++)
        for (size_t k = 0; k < sets[i].n; k++)
            if (strcmp(of ? of : "", sets[i].of ? sets[i].of : "") == 0)
                list(&sets[i].at[k]);
}

int main(int argc, char **argv)
{
    const harm_case *found = argc == 4 ? case_of(argv[1]) : NULL;

    if (argc >= 2 && argc <= 3 && strcmp(argv[1], "--list") == 0) {
        list_all(argv[2]);
        return 0;
    }
    if (!found) {
        fprintf(stderr, "usage: sabotage --list [bf16|w4a16|awq] | sabotage CASE FROM TO\n");
        return 64;
    }
    sabotage(found, argv[2], argv[3]);
    return 0;
}
