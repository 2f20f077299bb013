/* runtime/piece.c - see piece.h. */
#include "runtime/piece.h"

#include <string.h>

#include "kernels/int4_turn.h"

#define BAND_BYTES (2u << 20) /* of a transposed tensor that are read together, or one group's */

/* Reading direct wants whole pages around the bytes. */
static size_t pages(size_t nbytes)
{
    return nbytes ? (nbytes + 3 * RC_PAGE - 1) / RC_PAGE * RC_PAGE : 0;
}

size_t rc_piece_room(const rc_bound *bound, uint64_t row, uint64_t nrows)
{
    rc_extent x = rc_decoder_extent(bound, row, nrows);

    if (!rc_decoder_whole(bound) && (rc_decoder_of(bound)->tile_rows > 1 || x.zero_len)) {
        /* rows that begin inside a tile, or inside a word, may touch one more of them */
        const rc_extent one = rc_decoder_extent(bound, row, 1);

        x.scale_len += one.scale_len;
        x.zero_len += one.zero_len;
    }
    return pages(x.weight_len) + pages(x.scale_len) + pages(x.zero_len);
}

/* -- AutoAWQ: [columns, rows] ------------------------------------------------- */

/* Columns of codes read together, a multiple of a tile's where there are as many. */
static uint64_t band_cols(const rc_bound *b, uint64_t col_bytes)
{
    const uint64_t n = BAND_BYTES / col_bytes / 32 * 32, cols = b->param->shape[1];

    return n == 0 ? 32 : n < cols ? n : cols;
}

size_t rc_piece_scratch(const rc_bound *bound)
{
    uint64_t codes, scales;

    if (!rc_decoder_whole(bound))
        return 0;
    codes = bound->param->shape[0] / 2;
    scales = bound->param->shape[0] * rc_decoder_of(bound)->scale_bytes;
    codes *= band_cols(bound, codes);
    scales = scales > BAND_BYTES ? scales : BAND_BYTES;
    return pages((size_t)(codes > scales ? codes : scales));
}

/* What one transposed tensor is turned with. */
typedef struct turn {
    rc_ckpt *ckpt;
    const rc_tensor *from;
    size_t row_bytes; /* of the file: all outputs of one column */
    size_t outputs;
    uint8_t *scratch;
    size_t room;
} turn;

static turn turn_of(rc_ckpt *ckpt, const rc_bound *b, const rc_tensor *from, uint8_t *scratch)
{
    return (turn){ .ckpt = ckpt,
                   .from = from,
                   .row_bytes = (size_t)(from->nbytes / from->shape[0]),
                   .outputs = (size_t)b->param->shape[0],
                   .scratch = scratch,
                   .room = rc_piece_scratch(b) };
}

static rc_code read_band(const turn *t, uint64_t first, uint64_t n, const uint8_t **data,
                         rc_err *err)
{
    return rc_ckpt_read(t->ckpt, t->from, first * t->row_bytes, (size_t)(n * t->row_bytes),
                        t->scratch, t->room, data, err);
}

static rc_code read_codes(const turn *t, uint8_t *out, const rc_bound *b, rc_err *err)
{
    const uint64_t cols = b->param->shape[1], step = band_cols(b, t->row_bytes);

    for (uint64_t col = 0; col < cols; col += step) {
        const uint64_t n = cols - col < step ? cols - col : step;
        const uint8_t *band;

        RC_TRY(read_band(t, col, n, &band, err));
        rc_int4_turn(out + col / 2, (size_t)cols / 2, band, t->row_bytes, t->outputs, (size_t)n);
    }
    return RC_OK;
}

/* Groups of zero points or scales read together. */
static uint64_t band_groups(const turn *t)
{
    const uint64_t n = BAND_BYTES / t->row_bytes;

    return n == 0 ? 1 : n < t->from->shape[0] ? n : t->from->shape[0];
}

static rc_code read_scales(const turn *t, uint8_t *out, unsigned bytes, rc_err *err)
{
    const uint64_t groups = t->from->shape[0], step = band_groups(t);

    for (uint64_t g = 0; g < groups; g += step) {
        const uint64_t n = groups - g < step ? groups - g : step;
        const uint8_t *band;

        RC_TRY(read_band(t, g, n, &band, err));
        for (size_t r = 0; r < t->outputs; r++)
            for (uint64_t k = 0; k < n; k++) {
                uint8_t *to = out + (r * groups + g + k) * bytes;
                const uint8_t *from = band + k * t->row_bytes + r * bytes;

                if (bytes == 2) /* a move, not a call */
                    memcpy(to, from, 2);
                else
                    memcpy(to, from, 4);
            }
    }
    return RC_OK;
}

/* Words stay words; the order of their nibbles and of themselves changes. */
static rc_code read_zeros(const turn *t, uint8_t *out, rc_err *err)
{
    const uint64_t groups = t->from->shape[0], step = band_groups(t);

    for (uint64_t g = 0; g < groups; g += step) {
        const uint64_t n = groups - g < step ? groups - g : step;
        const uint8_t *band;

        RC_TRY(read_band(t, g, n, &band, err));
        for (uint64_t k = 0; k < n; k++)
            for (size_t r = 0; r < t->outputs / 8; r++) {
                uint32_t word;

                memcpy(&word, band + k * t->row_bytes + 4 * r, sizeof word);
                word = rc_int4_word_of_awq(word);
                memcpy(out + (r * groups + g + k) * 4, &word, sizeof word);
            }
    }
    return RC_OK;
}

static rc_code read_turned(uint8_t *at[3], rc_ckpt *ckpt, const rc_bound *b, uint8_t *scratch,
                           rc_err *err)
{
    const turn codes = turn_of(ckpt, b, b->weight, scratch);
    const turn scales = turn_of(ckpt, b, b->scale, scratch);
    const turn zeros = turn_of(ckpt, b, b->zero, scratch);

    RC_TRY(read_codes(&codes, at[0], b, err));
    RC_TRY(read_scales(&scales, at[1], rc_decoder_of(b)->scale_bytes, err));
    return read_zeros(&zeros, at[2], err);
}

/* -- any layout --------------------------------------------------------------- */

rc_code rc_piece_read(rc_piece *piece, rc_ckpt *ckpt, const rc_bound *bound, uint64_t row,
                      uint64_t nrows, uint8_t *buf, size_t room, uint8_t *scratch, rc_err *err)
{
    const bool whole = rc_decoder_whole(bound);
    const rc_extent x = rc_decoder_extent(bound, row, nrows);
    const size_t weights = pages(x.weight_len), scales = pages(x.scale_len);
    uint8_t *at[3] = { buf, buf + weights, buf + weights + scales };

    rc_decoder_lay_out(piece, bound);
    piece->row0 = whole ? 0 : row;
    piece->weight = at[0];
    piece->scale = x.scale_len ? at[1] : NULL;
    piece->zero = x.zero_len ? at[2] : NULL;
    if (weights + scales + pages(x.zero_len) > room)
        return rc_fail(err, RC_E_INTERNAL, RC_NO_OFFSET, "%s: no room for %" PRIu64 " rows",
                       bound->param->name, nrows);
    if (whole)
        return read_turned(at, ckpt, bound, scratch, err);
    RC_TRY(rc_ckpt_read(ckpt, bound->weight, x.weight_off, x.weight_len, at[0], weights,
                        &piece->weight, err));
    if (x.scale_len)
        RC_TRY(rc_ckpt_read(ckpt, bound->scale, x.scale_off, x.scale_len, at[1], scales,
                            &piece->scale, err));
    if (x.zero_len)
        RC_TRY(rc_ckpt_read(ckpt, bound->zero, x.zero_off, x.zero_len, at[2], pages(x.zero_len),
                            &piece->zero, err));
    return RC_OK;
}
