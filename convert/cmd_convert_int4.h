/* convert/cmd_convert_int4.h - options of --to awq and --to w4a16; for cmd_convert.c. */
#ifndef RC_CONVERT_CMD_CONVERT_INT4_H
#define RC_CONVERT_CMD_CONVERT_INT4_H

#include "convert/ledger.h"
#include "formats/base/cli.h"

typedef struct rc_int4_words {
    const char *group, *scope, *stats, *method, *smooth, *names; /* NULL: not given */
    bool symmetric, asymmetric;
} rc_int4_words;

bool rc_int4_is_target(const char *to);

/** Is what was given together meant for --to `to`? -1, or the exit code of a usage error. */
int rc_int4_check(const rc_int4_words *words, const char *to, const char *src);

/** The words as a recipe, and the statistics that they name (the caller frees *stats after the
 *  plan). A source that holds 4-bit integers already gets none of the words that choose them.
 *    RC_E_USAGE  words that decide nothing for this source; and what opening and checking
 *                statistics report */
RC_MUST_CHECK
rc_code rc_int4_recipe_of(rc_int4_recipe *out, rc_calib **stats, const rc_int4_words *words,
                          const char *to, const rc_model *model, rc_mem *mem, rc_err *err);

/** What became of the integers, on standard output: nothing for other targets. */
void rc_int4_print(const rc_plan *plan, const rc_int4_totals *totals);
/** Warnings that a result gives reason for. */
void rc_int4_warn(const rc_plan *plan, const rc_int4_totals *totals);

#endif
