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
void rc_text_free(rc_text *t);

#endif
