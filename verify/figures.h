/* verify/figures.h - numbers as people read them in a table. */
#ifndef RC_VERIFY_FIGURES_H
#define RC_VERIFY_FIGURES_H

#include <stdint.h>

#include "formats/model.h"

enum { RC_FIGURE = 32, RC_FIGURE_MEAN = 64 }; /* bytes that hold any figure */
#define RC_PLUS_MINUS "\xc2\xb1"              /* U+00B1 */

/** "149,782" */
const char *rc_figure_count(char buf[RC_FIGURE], uint64_t n);
/** "284.3 B", "1.57 T": thousands K, millions M, 10^9 B, 10^12 T. */
const char *rc_figure_params(char buf[RC_FIGURE], uint64_t n);
/** "0", "3.05e-05": an error, three significant digits. */
const char *rc_figure_error(char buf[RC_FIGURE], double x);
/** "exact", "41.2 dB", "-inf dB". */
const char *rc_figure_sqnr(char buf[RC_FIGURE], double db);
/** "0.0312", "3.1e-07", "not a number": four significant digits. */
const char *rc_figure_plain(char buf[RC_FIGURE], double x);
/** "98.72 %", a share that is not quite whole is not rounded to 100 %, nor to 0 %. */
const char *rc_figure_share(char buf[RC_FIGURE], double x);
/** "98.7 %", "-2.1 %": three significant digits are enough. */
const char *rc_figure_percent(char buf[RC_FIGURE], double x);
/** "0.0312 ± 0.0021": as many digits as the error has two of; the value alone when that is 0. */
const char *rc_figure_mean(char buf[RC_FIGURE_MEAN], double value, double se);
/** The same of a share, in percent: "98.72 ± 0.11 %". */
const char *rc_figure_share_mean(char buf[RC_FIGURE_MEAN], double value, double se);
/** "2048 x 4096", "4096", "scalar" */
const char *rc_figure_shape(char *buf, unsigned n, unsigned rank, const uint64_t *shape);
/** How a parameter is stored: "FP4+E8M0", "FP8+F32", "BF16", "Q8_0"; "-" when it is not there. */
const char *rc_figure_layout(char buf[RC_FIGURE], const rc_bound *bound);
/** Append a label to a list like "BF16, F32", unless it is in there; cut with "..". */
void rc_figure_add(char list[64], const char *label);

#endif
