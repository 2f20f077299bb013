/* verify/report.h - the judge's answer as files for machines.
 *
 * JSON: one object. Its keys are an interface and only ever grow:
 *
 *   recast              version of the program
 *   verdict             "exact", "within bounds", "differs", "broken set"
 *   passes              true when the rules are met
 *   native, converted   {path, variant}
 *   rules               {exact, min_sqnr_db, min_sqnr_db_by_role, max_rel_err,
 *                       allow_missing_draft, tensors}: exact is true when no bound was
 *                       given; min_sqnr_db is null where roles have bounds of their own, and
 *                       by role null where a role has to be exact, or has no bound
 *   totals              as a role, without its name
 *   roles               [{role, native, converted, parameters, exact, failed, values, differ,
 * incomparable, max_abs_err, rel_err, worst_sqnr_db}] faults, warnings, notes   how many there are
 *   findings            [{level, topic, file, tensor, offset, message, want, got}]: the
 *                       first 100 of each level
 *   tensors             [{name, role, layer, draft, native, converted, shape, values,
 *                       exact, passes, differ, incomparable, max_abs_err, rel_err,
 *                       sqnr_db, cosine, nan, inf, worst}], in the schema's order;
 *                       native and converted say how it is stored; nan and inf are
 *                       [native, converted] counts; worst is {row, column, native,
 *                       converted, offset} or null when exact, its offset a byte of
 *                       CONVERTED's shard `shard`
 *
 * Numbers read back as the doubles that they were. What is not finite is null: a
 * sqnr_db of null with exact true is +inf. Verify README.md defines every figure.
 *
 * JUnit: one suite; a test case for the tensor set, the config, the side files, and
 * each role in each block, named layers.7 / expert. */
#ifndef RC_VERIFY_REPORT_H
#define RC_VERIFY_REPORT_H

#include "formats/base/json.h"
#include "verify/judge.h"

/** "exact", "within bounds", "differs", "broken set" */
const char *rc_report_verdict(const rc_judge *judge);

/** Write the object to `w`; whether memory sufficed shows in rc_jsonw_text(). */
void rc_report_json(rc_jsonw *w, const rc_judge *judge);

/** The XML text; NUL-terminated, put it back to mem. */
RC_MUST_CHECK
rc_code rc_report_junit(char **out, size_t *out_len, const rc_judge *judge, rc_mem *mem,
                        rc_err *err);

#endif
