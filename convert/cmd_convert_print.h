/* convert/cmd_convert_print.h - what recast convert says on standard output; for cmd_convert.c. */
#ifndef RC_CONVERT_CMD_CONVERT_PRINT_H
#define RC_CONVERT_CMD_CONVERT_PRINT_H

#include "convert/convert.h"

/** --dry-run: what would be read and written, file by file; for GGUF also by role. */
void rc_print_plan(const rc_plan *plan, const rc_convert_report *report, unsigned threads);
RC_MUST_CHECK
rc_code rc_print_plan_json(const rc_plan *plan, const rc_convert_report *report, rc_mem *mem,
                           rc_err *err);

/** What was exact, what was rounded and how. */
void rc_print_totals(const rc_plan *plan, const rc_totals *totals);
/** What came out; `kept` bytes were there from an earlier run. */
void rc_print_verdict(const rc_plan *plan, const char *dst, const rc_convert_report *report,
                      uint64_t kept);

/** The summary file, for whoever asked for JSON. */
RC_MUST_CHECK
rc_code rc_print_summary(const rc_plan *plan, const char *dst, rc_mem *mem, rc_err *err);

#endif
