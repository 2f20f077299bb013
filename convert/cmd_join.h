/* convert/cmd_join.h - `recast join`, and what `recast convert --part` says. */
#ifndef RC_CONVERT_CMD_JOIN_H
#define RC_CONVERT_CMD_JOIN_H

#include "convert/cmd_convert_to.h"

int rc_cmd_join(int argc, char **argv);

/* How the parts are to be joined. */
typedef struct rc_join_how {
    bool trust, json;
    const char *commit; /* of the source, or NULL */
} rc_join_how;

/** Join, and say what came of it. `plan` as for rc_join(). */
RC_MUST_CHECK
rc_code rc_join_and_tell(rc_plan *plan, const char *dst, const rc_join_how *how, unsigned threads,
                         rc_mem *mem, rc_err *err);

/* The words of a command line that decide the output's bytes, for join to say again, and what the
 * parts that are there already have in common. */
typedef struct rc_part_words {
    rc_part_origin origin;
    rc_parts common; /* count 0: there are none */
    const char *at[RC_PARTS_MAX_ARGUMENTS];
    rc_arena arena;
} rc_part_words;

/** Of one target. Files are named so that they are found
 *  from any folder. Free the words in either case. RC_E_OS, RC_E_DATA. */
RC_MUST_CHECK
rc_code rc_part_words_of(rc_part_words *words, const char *src, const rc_to *to, rc_mem *mem,
                         rc_err *err);
void rc_part_words_free(rc_part_words *words);

/** Of a plan that is of a part (nothing for the whole): what --dry-run adds, as text and as a key
 *  of the open object. */
void rc_print_share(const rc_plan *plan);
void rc_write_part(rc_jsonw *w, const rc_plan *plan);
/** What came of a part. */
void rc_print_part(const rc_convert_target *target);
RC_MUST_CHECK
rc_code rc_print_part_json(const rc_plan *plan, rc_mem *mem, rc_err *err);

#endif
