/* verify/sha256sums.h - SHA256SUMS: the list that `sha256sum` writes and checks.
 *
 *     DIGEST  NAME          two spaces, or a space and * (binary)
 *     \DIGEST  NA\\ME\n     a leading backslash: \\, \n and \r in the name are escapes
 *     SHA256 (NAME) = DIGEST   as the BSDs, and `sha256sum --tag`, write it
 *
 * Blank lines and lines that begin with # are skipped, a line may end in CR LF, "./" in front of a
 * name means nothing. Source: coreutils' manual, "md5sum invocation". */
#ifndef RC_VERIFY_SHA256SUMS_H
#define RC_VERIFY_SHA256SUMS_H

#include "formats/base/mem.h"
#include "formats/base/status.h"
#include "formats/content.h"

#define RC_SUMS_NAME      "SHA256SUMS"
#define RC_SUMS_MAX_BYTES ((size_t)64 << 20) /* ours */

typedef struct rc_sum {
    const char *name;
    rc_content_id content; /* SHA256 */
    size_t line;           /* counted from 1 */
} rc_sum;

typedef struct rc_sums {
    rc_arena arena; /* names */
    rc_sum *at;     /* sorted by name, bytewise */
    size_t n, room;
} rc_sums;

/** Parse. Whatever comes of it, rc_sums_free() it.
 *    RC_E_DATA        a line that is none; a name that is listed twice; nothing at all
 *    RC_E_UNSAFEPATH  a name that leads out of the folder
 *  with the offset of the line. */
RC_MUST_CHECK
rc_code rc_sums_parse(rc_sums *out, const uint8_t *text, size_t len, rc_mem *mem, rc_err *err);
/** Add one, behind the others. Begin with { .arena.mem = mem }. */
RC_MUST_CHECK
rc_code rc_sums_add(rc_sums *sums, const char *name, size_t len, const rc_content_id *content,
                    rc_err *err);
/** The text of the list, sorted: `sha256sum --check` reads it. Put it back to mem. */
RC_MUST_CHECK
rc_code rc_sums_text(rc_sums *sums, char **out, size_t *len, rc_err *err);
/** The entry of that name, or NULL. Once the list is sorted: parsed, or made a text of. */
const rc_sum *rc_sums_find(const rc_sums *sums, const char *name);
void rc_sums_free(rc_sums *sums);

#endif
