/* runtime/calibration_text.h - a text to calibrate with where the user has none.
 *
 * Prose in a dozen languages, source code, mathematics, tables, and conversations in the chat
 * encoding, from runtime/calibration_text/ (its README says who wrote it) and from this
 * project's own sources. A text of the user's own domain is better. */
#ifndef RC_RUNTIME_CALIBRATION_TEXT_H
#define RC_RUNTIME_CALIBRATION_TEXT_H

#include "formats/base/text.h"

#define RC_CALIBRATION_TEXT "recast default text v1"

/** Append it. Conversations go through rc_chat_messages(). RC_E_OS when out->mem refuses. */
RC_MUST_CHECK
rc_code rc_calibration_text(rc_text *out, rc_err *err);

#endif
