/* verify/draw.h - which parameters are looked at, when not all can be.
 *
 * Drawn by chance from a seed and the names alone, so that everybody who uses the seed looks at the
 * same ones. First the *cover*: one parameter of each role, then one of each layer not seen yet,
 * until half of what is drawn is spent. Then, *blind*, a simple random sample of all the others:
 * only that one allows a statement about what was not looked at. */
#ifndef RC_VERIFY_DRAW_H
#define RC_VERIFY_DRAW_H

#include "formats/base/mem.h"
#include "formats/base/status.h"
#include "verify/judge.h"

/** Draw `want` of pair[n], which has fewer than SIZE_MAX / 32: taken[i] says which, *cover how many
 * of them are cover. Uses names, roles, layers. RC_E_OS no memory. */
RC_MUST_CHECK
rc_code rc_draw(bool *taken, size_t *cover, const rc_pair *pair, size_t n, size_t want,
                uint64_t seed, rc_mem *mem, rc_err *err);

/** Layers, draft blocks included, that pair[n] belongs to; with `taken`, of those taken. */
size_t rc_draw_layers(const rc_pair *pair, size_t n, const bool *taken);

/** m of a population of M were drawn blindly, and each was found good: with 95 % confidence fewer
 * than the result are bad. That is the least D for which to miss all D has a probability of C(M -
 * D, m) / C(M, m) <= 0.05; about 3 M / m (the "rule of three"). M - m + 1, which says nothing, when
 * there is no such D. m <= M. */
uint64_t rc_draw_fewer_than(uint64_t population, uint64_t drawn);

#endif
