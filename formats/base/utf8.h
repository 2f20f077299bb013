/* formats/base/utf8.h - text that arrives in pieces which may end inside a character. */
#ifndef RC_FORMATS_BASE_UTF8_H
#define RC_FORMATS_BASE_UTF8_H

#include <stddef.h>
#include <stdint.h>

#define RC_UTF8_HELD 3u /* bytes of a character that lacks its last one, at most */

/* What is held back. Begin with zeros. */
typedef struct rc_utf8_tail {
    char held[RC_UTF8_HELD];
    size_t n;
} rc_utf8_tail;

/** How many of the bytes can be shown: all but the beginning of a character at their end. Bytes
 *  that are no UTF-8 can be: nothing that comes will mend them. */
size_t rc_utf8_whole(const char *text, size_t len);

/** Take len more bytes; write what can be shown now to out[len + RC_UTF8_HELD] and return how much
 *  that is. The bytes written over time are the bytes taken, less t->held[t->n], which the
 *  caller shows at the end. */
size_t rc_utf8_push(rc_utf8_tail *t, const char *bytes, size_t len, char *out);

#endif
