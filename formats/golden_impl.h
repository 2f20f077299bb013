/* formats/golden_impl.h - what reader and writer of .rgf share; for golden*.c only. */
#ifndef RC_FORMATS_GOLDEN_IMPL_H
#define RC_FORMATS_GOLDEN_IMPL_H

#include "formats/golden.h"

#define RC_GOLDEN_MAGIC "\x89RGF\r\n\x1a\n" /* no text; cut by what changes line ends */

enum { RC_GOLDEN_END, RC_GOLDEN_TOKENS, RC_GOLDEN_LAYER, RC_GOLDEN_LOGITS }; /* kinds */

typedef struct rc_golden_start {
    char magic[8];
    uint32_t version, header; /* bytes of JSON that follow */
} rc_golden_start;

/* In front of every frame. Of the end: the number of sections, and both sums; a digest follows. */
typedef struct rc_golden_mark {
    uint32_t kind, index;
    uint64_t raw, stored; /* bytes */
} rc_golden_mark;

/* Raw bytes of the sections. */
uint64_t rc_golden_layer_bytes(const rc_golden_head *head);
uint64_t rc_golden_logits_bytes(const rc_golden_head *head, uint64_t positions);

/** Are all numbers ones that a file can have? RC_E_DATA, RC_E_LIMIT. */
RC_MUST_CHECK
rc_code rc_golden_head_check(const rc_golden_head *head, rc_err *err);
/** The JSON text; put it back to mem. */
RC_MUST_CHECK
rc_code rc_golden_head_text(const rc_golden_head *head, char **out, size_t *len, rc_mem *mem,
                            rc_err *err);
/** And back, checked. */
RC_MUST_CHECK
rc_code rc_golden_head_parse(rc_golden_head *out, const uint8_t *text, size_t len, rc_mem *mem,
                             rc_err *err);

/* Byte planes: all first (lowest) bytes, all second ones, ..: what is alike lies together.
 * Both return where they ended. */
uint8_t *rc_golden_split(uint8_t *out, const void *in, size_t n, size_t width);
const uint8_t *rc_golden_join(void *out, const uint8_t *in, size_t n, size_t width);

/** Log-probabilities of n positions, k each, falling: as the differences of whole steps, rank after
 *  rank (all positions' likeliest first). */
void rc_golden_quantize(uint16_t *out, const double *logprob, size_t n, size_t k);
void rc_golden_dequantize(double *logprob, const uint16_t *in, size_t n, size_t k);

enum { RC_GOLDEN_MOST_EDGES = 24 }; /* of a section */

/* zstd, in memory that an account pays. */
typedef struct rc_golden_zstd {
    rc_mem *mem;
    void *pack, *unpack; /* its contexts, made when they are first needed */
} rc_golden_zstd;

size_t rc_golden_pack_bound(size_t nbytes, size_t nedges);
/** One frame of raw[nbytes]. A block ends at each edge (bytes from the start, rising, the last is
 *  nbytes), so that each plane is coded by statistics of its own. `out` has room for pack_bound().
 */
RC_MUST_CHECK
rc_code rc_golden_pack(rc_golden_zstd *z, uint8_t *out, size_t *stored, const uint8_t *raw,
                       const size_t *edge, size_t nedges, rc_err *err);
/** Exactly nbytes come out, or RC_E_DATA. */
RC_MUST_CHECK
rc_code rc_golden_unpack(rc_golden_zstd *z, uint8_t *raw, size_t nbytes, const uint8_t *stored,
                         size_t nstored, rc_err *err);
void rc_golden_zstd_free(rc_golden_zstd *z);

#endif
