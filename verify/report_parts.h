/* verify/report_parts.h - what the reports share among themselves; for report_*.c only. */
#ifndef RC_VERIFY_REPORT_PARTS_H
#define RC_VERIFY_REPORT_PARTS_H

#include "verify/report.h"

/** The keys gates, behaviour, layers, ablation. */
void rc_report_json_behaviour(rc_jsonw *w, const rc_outcome *o);

#endif
