/* verify/report_parts.h - what the reports share among themselves; for report_*.c only. */
#ifndef RC_VERIFY_REPORT_PARTS_H
#define RC_VERIFY_REPORT_PARTS_H

#include "verify/report.h"

/** The keys gates, behaviour, layers, ablation. */
void rc_report_json_behaviour(rc_jsonw *w, const rc_outcome *o);

/* Pieces of the page, in its order; each writes nothing when the outcome has nothing for it. */
void rc_html_gates(rc_text *t, const rc_outcome *o);
void rc_html_layers_plot(rc_text *t, const rc_layers *l);
void rc_html_layers_table(rc_text *t, const rc_layers *l);
void rc_html_ablation(rc_text *t, const rc_ablation *a);
void rc_html_histogram(rc_text *t, const rc_behaviour *b);
void rc_html_behaviour(rc_text *t, const rc_behaviour *b);
void rc_html_moments(rc_text *t, const rc_outcome *o);
void rc_html_roles(rc_text *t, const rc_judge *judge);
void rc_html_worst(rc_text *t, const rc_judge *judge);
void rc_html_findings(rc_text *t, const rc_findings *list);
void rc_html_provenance(rc_text *t, const rc_outcome *o);
void rc_html_definitions(rc_text *t, const rc_outcome *o);

/** The beginning of a table that may be wider than the page: it can be scrolled, also by keyboard.
 */
void rc_html_table(rc_text *t, const char *label);
void rc_html_table_end(rc_text *t);
/** Text of our own or a stranger's. */
void rc_html_put(rc_text *t, const char *s);

#endif
