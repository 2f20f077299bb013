/* formats/base/text.h - a text that grows. */
#ifndef RC_FORMATS_BASE_TEXT_H
#define RC_FORMATS_BASE_TEXT_H

#include "formats/base/mem.h"

/* Begin with { .mem = mem }; rc_text_free() at the end. Adding to a text that has failed does
 * nothing, so that a writer may look once, when it is done. */
typedef struct rc_text {
    rc_mem *mem;
    char *at; /* NUL-terminated, unless nothing was ever added: then NULL */
    size_t len, room;
    bool failed; /* memory ran out */
} rc_text;

void rc_text_add(rc_text *t, const char *bytes, size_t len);
void rc_text_put(rc_text *t, const char *s); /* up to its NUL */
RC_PRINTF(2, 3)
void rc_text_printf(rc_text *t, const char *fmt, ...); /* any length */
void rc_text_free(rc_text *t);
/** What was written, as a block of its own: NUL-terminated, put it back to t->mem. RC_E_OS when
 *  memory ran out on the way; the text is empty afterwards, whatever came of it. */
RC_MUST_CHECK
rc_code rc_text_take(rc_text *t, char **out, size_t *len, rc_err *err);

#endif
