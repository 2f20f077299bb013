/* convert/ledger_int4.h - what the ledger says of 4-bit integers and scaled channels; for
 * ledger.c. */
#ifndef RC_CONVERT_LEDGER_INT4_H
#define RC_CONVERT_LEDGER_INT4_H

#include "convert/ledger.h"

/** Add a job to the totals. */
RC_MUST_CHECK
rc_code rc_totals_int4(rc_int4_totals *t, const rc_finished *done, const rc_job *job,
                       const rc_result *result, rc_err *err);

/** The members of a job's line; of one that has none: nothing. */
RC_MUST_CHECK
rc_code rc_ledger_int4(rc_jsonw *w, const rc_finished *done, const rc_job *job,
                       const rc_result *result, rc_err *err);

/** Members of the summary's recipe. */
void rc_recipe_int4(rc_jsonw *w, const rc_recipe *recipe);
/** The key "int4" of the summary's totals. */
void rc_summary_int4(rc_jsonw *w, const rc_int4_totals *t);

#endif
