/* formats/golden.h - .rgf, a recording of what a model says about a text. docs/golden.md specifies
 * the bytes; version 1.
 *
 *     magic, version, length of the header
 *     header     JSON: provenance, sizes, how the text was cut
 *     section    kind, index, raw and stored lengths; a zstd frame           ... many
 *     end        counts of the sections, XXH3-128 of all that stands before
 *
 * Sections follow in the order tokens, layers, logits. Written in one go, read section by section: of a
 * file of gigabytes (top-k "all") a few megabytes are in memory. Files come from elsewhere: every length
 * is hostile until checked. */
#ifndef RC_FORMATS_GOLDEN_H
#define RC_FORMATS_GOLDEN_H

#include "formats/base/mem.h"
#include "formats/base/status.h"
#include "formats/base/target.h"

typedef struct rc_golden rc_golden;

#endif
