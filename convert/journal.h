/* convert/journal.h - what of a conversion is done, kept through any kind of end.
 *
 * A file of fixed records, appended one write at a time, each with its own
 * checksum: a torn or damaged record is no record, and its piece is done again.
 * It says what was *written*; whether the bytes survived is for the resume to
 * check, except for shards recorded as synced.
 *
 *     record: | magic 4 | kind 4 | index 8 | payload 296 | XXH3-64 of the rest 8 |  */
#ifndef RC_CONVERT_JOURNAL_H
#define RC_CONVERT_JOURNAL_H

#include "convert/cast.h"
#include "formats/base/hash.h"
#include "formats/base/io.h"
#include "formats/base/log.h"

/* All that is known of a finished job. */
typedef struct rc_result {
    rc_verdict verdict;
    rc_digest in[RC_PART_COUNT], out[RC_PART_COUNT]; /* zero where there is none */
} rc_result;

/* What must be the same for a resume to make sense. */
typedef struct rc_journal_id {
    char version[24]; /* of recast */
    char recipe[160]; /* for people; cut to fit */
    rc_digest recipe_digest, source_digest;
} rc_journal_id;

typedef struct rc_journal rc_journal;

/** Open or begin the file `name`. `restart` discards what is there. `log` is told of damage.
 *    RC_E_RESUME  an unfinished run of another source, recipe or version; says which */
RC_MUST_CHECK
rc_code rc_journal_open(rc_journal **out, const rc_dir *dir, const char *name,
                        const rc_journal_id *id, size_t njobs, size_t nshards, bool restart,
                        const rc_log *log, rc_mem *mem, rc_err *err);
void rc_journal_close(rc_journal **journal);

/** Jobs depend on scalings of this digest, from here on.
 *    RC_E_RESUME  those that are done depend on others */
RC_MUST_CHECK
rc_code rc_journal_bind(rc_journal *journal, uint64_t smooth, rc_err *err);

/** The scalings that jobs depend on; false: on none. */
bool rc_journal_bound(const rc_journal *journal, uint64_t *smooth);

/** The result of a finished job, or NULL. */
const rc_result *rc_journal_result(const rc_journal *journal, size_t job);
/** Record a finished job. Thread-safe. */
RC_MUST_CHECK
rc_code rc_journal_add(rc_journal *journal, size_t job, const rc_result *result, rc_err *err);
/** Its bytes are not there after all. */
RC_MUST_CHECK
rc_code rc_journal_forget(rc_journal *journal, size_t job, rc_err *err);

/** Shard s is whole and on the disk. Thread-safe. */
RC_MUST_CHECK
rc_code rc_journal_add_shard(rc_journal *journal, size_t shard, rc_err *err);
/** Durable before it returns: the file may be made anew afterwards. */
RC_MUST_CHECK
rc_code rc_journal_forget_shard(rc_journal *journal, size_t shard, rc_err *err);
bool rc_journal_has_shard(const rc_journal *journal, size_t shard);

/** Every shard is; from here on final names may appear. */
RC_MUST_CHECK
rc_code rc_journal_add_publish(rc_journal *journal, rc_err *err);
bool rc_journal_has_publish(const rc_journal *journal);

/** Was there an earlier run, and how many jobs had it finished? */
bool rc_journal_is_resumed(const rc_journal *journal);
size_t rc_journal_done(const rc_journal *journal);

#endif
