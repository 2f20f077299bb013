/* convert/cmd_convert_print.h - what recast convert says on standard output; for cmd_convert.c. */
#ifndef RC_CONVERT_CMD_CONVERT_PRINT_H
#define RC_CONVERT_CMD_CONVERT_PRINT_H

#include "convert/convert.h"

/** --dry-run: what would be read and written for each target, file by file; for GGUF also by
 *  role; what is fetched for all of them together, and the memory. As JSON: an object, of several
 *  targets an array of them, in which fetch_bytes is what this target alone would fetch. */
RC_MUST_CHECK
rc_code rc_print_plans(const rc_convert_target *targets, size_t n, unsigned threads, rc_mem *mem,
                       rc_err *err);
RC_MUST_CHECK
rc_code rc_print_plans_json(const rc_convert_target *targets, size_t n, rc_mem *mem, rc_err *err);

/** What was exact, what was rounded and how. */
void rc_print_totals(const rc_plan *plan, const rc_totals *totals);
/** What came out. */
void rc_print_verdicts(const rc_convert_target *targets, size_t n);

/** The summary file of a result in `dir`. */
RC_MUST_CHECK
rc_code rc_print_summary_file(const rc_dir *dir, const rc_plan_names *names, rc_mem *mem,
                              rc_err *err);
/** The summary file, for whoever asked for JSON; of several targets an array of them. */
RC_MUST_CHECK
rc_code rc_print_summaries(const rc_convert_target *targets, size_t n, rc_mem *mem, rc_err *err);

#endif
