/* formats/golden.h - .rgf, a recording of what a model says about a text. docs/golden.md specifies
 * the bytes; version 1.
 *
 *     magic, version, length of the header
 *     header     JSON: provenance, sizes, how the text was cut
 *     section    kind, index, raw and stored lengths; a zstd frame           ... many
 *     end        counts of the sections, XXH3-128 of all that stands before
 *
 * Sections follow in the order tokens, layers, logits. Written in one go, read section by section:
 * of a file of gigabytes (top-k "all") a few megabytes are in memory. Files come from elsewhere:
 * every length is hostile until checked. */
#ifndef RC_FORMATS_GOLDEN_H
#define RC_FORMATS_GOLDEN_H

#include "formats/base/hash.h"
#include "formats/base/mem.h"
#include "formats/base/status.h"

#define RC_GOLDEN_VERSION     1u
#define RC_GOLDEN_NO_BOS      UINT32_MAX
#define RC_GOLDEN_RUN         256u  /* positions in a section of logits, at most */
#define RC_GOLDEN_DIMS        16u   /* numbers in the sketch of a token */
#define RC_GOLDEN_LEAST_K     10u   /* likeliest tokens kept of a position */
#define RC_GOLDEN_MOST_K      4096u /* more than that: keep all */
#define RC_GOLDEN_DRAWS       8u    /* tokens drawn from the rest of a position */
#define RC_GOLDEN_MOST_DRAWS  64u
#define RC_GOLDEN_STEPS       2048u       /* of a log-probability, in a nat */
#define RC_GOLDEN_MAX_HEADER  65536u      /* bytes */
#define RC_GOLDEN_MAX_SECTION (16u << 20) /* bytes, raw */
#define RC_GOLDEN_MAX_TEXT    (4u << 20)  /* tokens */
#define RC_GOLDEN_MAX_TOKENS  (16u << 20) /* in all windows together, which may overlap */

/* What the header says. Strings are "" when the file says nothing, and escaped: they come from
 * elsewhere and may go to a terminal. */
typedef struct rc_golden_head {
    char version[64]; /* of the program that recorded */
    char native[256], variant[160], revision[160], text[256], numerics[16];
    char config[33], tokens[33]; /* digests: of config.json; of the windows' tokens as u32 */

    uint32_t vocab, layers, streams, hidden;
    uint32_t ctx, stride, skip, bos; /* how the text was cut: runtime/windows.h */
    uint64_t text_tokens;            /* in the file */
    uint64_t windows, window_tokens, scored;

    uint32_t top_k; /* 0: every logit */
    uint32_t draws; /* tokens drawn from what is past the top-k; 0 when nothing is */
    uint32_t run;   /* positions in a section of logits, but for the last of a window */
    uint32_t every; /* one token of so many is sketched */
} rc_golden_head;

/** Choose `run`, `every` and `draws`: the sketches take at most 50 bytes for each token of the
 * text, a section of logits a few megabytes. Then look at all numbers as a reader does. RC_E_LIMIT
 * a text, vocabulary or number of layers beyond what the format takes. */
RC_MUST_CHECK
rc_code rc_golden_plan(rc_golden_head *head, rc_err *err);
/** Tokens that are sketched: one of each group of `every`. */
uint64_t rc_golden_sketched(const rc_golden_head *head);
/** The index, into all windows' tokens, of the one that group g < sketched has. */
uint64_t rc_golden_sketched_at(const rc_golden_head *head, uint64_t g);
/** The signs of element i of a token's streams: bit j set, projection j takes it negative. */
uint16_t rc_golden_signs(uint64_t i);
/** In [0, 1): the i-th of the numbers that tokens of the rest are drawn by. */
double rc_golden_uniform(uint64_t i);

/* A checksum of one window's streams: the first 8 bytes of XXH3-128. */
typedef struct rc_golden_sum {
    uint8_t bytes[8];
} rc_golden_sum;

/* What a model said at the n positions of a section: k candidates each, and m draws from the
 * others, each with its share of their probability. */
typedef struct rc_golden_said {
    rc_digest digest;      /* of the logits' rows, f32 */
    uint32_t *id;          /* [n, k] likeliest first; of equals the lowest first */
    double *logprob;       /* [n, k] of these; read: as stored, not brought to a sum of 1 */
    uint32_t *drawn;       /* [n, m] */
    double *drawn_logprob; /* [n, m] */
    float *tail;           /* [n] probability of all but the candidates together */
    float *next;           /* [n] log-probability of the token that came */
} rc_golden_said;

typedef struct rc_golden rc_golden;

/** Open a file, and look at every byte of it once.
 *    RC_E_DATA         no golden file, cut short, or its parts contradict each other
 *    RC_E_INTEGRITY    it is whole, but its checksum is not that of its bytes
 *    RC_E_UNSUPPORTED  another version of the format
 *    RC_E_LIMIT        sizes past what this program takes
 *    RC_E_NOINPUT, RC_E_DENIED, RC_E_IO, RC_E_OS */
RC_MUST_CHECK
rc_code rc_golden_open(rc_golden **out, const char *path, rc_mem *mem, rc_err *err);
/** The same of bytes, which are copied. */
RC_MUST_CHECK
rc_code rc_golden_parse(rc_golden **out, const uint8_t *bytes, size_t len, rc_mem *mem,
                        rc_err *err);
void rc_golden_close(rc_golden **golden);

const rc_golden_head *rc_golden_head_of(const rc_golden *golden);
/** Sections of logits. */
uint64_t rc_golden_runs(const rc_golden *golden);

/* Sections may be read in any order; in the file's it costs nothing to find them. All report
 * RC_E_DATA with the section's place, RC_E_INTEGRITY when the file has changed, RC_E_OS. */

/** The text: id[text_tokens], all below `vocab`. */
RC_MUST_CHECK
rc_code rc_golden_tokens(rc_golden *golden, uint32_t *id, rc_err *err);
/** A layer: sum[windows], sketch[sketched, RC_GOLDEN_DIMS]. */
RC_MUST_CHECK
rc_code rc_golden_layer(rc_golden *golden, uint32_t layer, rc_golden_sum *sum, float *sketch,
                        rc_err *err);
/** Positions in section i < runs. */
RC_MUST_CHECK
rc_code rc_golden_positions(rc_golden *golden, uint64_t i, size_t *n, rc_err *err);
/** Section i of a file with a top-k; `out` has room for its positions. */
RC_MUST_CHECK
rc_code rc_golden_read_said(rc_golden *golden, uint64_t i, rc_golden_said *out, rc_err *err);
/** Section i of a file with every logit: logits [positions, vocab]. */
RC_MUST_CHECK
rc_code rc_golden_read_rows(rc_golden *golden, uint64_t i, rc_digest *digest, float *logits,
                            rc_err *err);

#endif
