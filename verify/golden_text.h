/* verify/golden_text.h - the text's ids, taken back out of windows. */
#ifndef RC_VERIFY_GOLDEN_TEXT_H
#define RC_VERIFY_GOLDEN_TEXT_H

#include "verify/golden_run.h"

/** How many tokens the windows reach of the text. */
size_t rc_golden_text_length(const rc_windows *w);
/** Those, to id[n]: cut as `w` was they give its windows again. */
void rc_golden_text_ids(const rc_windows *w, uint32_t *id, size_t n);

#endif
