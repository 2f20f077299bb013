/* verify/settings.h - small files of lines `name = value`; '#' begins a comment. */
#ifndef RC_VERIFY_SETTINGS_H
#define RC_VERIFY_SETTINGS_H

#include "formats/base/status.h"

/** A piece of somebody's text, without the blanks around it. */
typedef struct rc_word {
    const char *at;
    size_t len;
} rc_word;

rc_word rc_word_trim(const char *at, size_t len);
bool rc_word_is(rc_word w, const char *s);
/** A decimal number, finite: "12", "-0.5", "1e-3". */
bool rc_word_number(rc_word w, double *out);

/* One line. The words are borrowed, and may be empty. */
typedef rc_code rc_setting_fn(void *ctx, rc_word name, rc_word value, rc_err *err);

/** All lines but the empty ones, in order. `form` says what a line is, as in "role = dB".
 * RC_E_USAGE with the line's number, also when fn fails. */
RC_MUST_CHECK
rc_code rc_settings_read(const char *text, size_t len, const char *form, rc_setting_fn *fn,
                         void *ctx, rc_err *err);

#endif
