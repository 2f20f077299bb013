/* convert/pack_journal.h - which pieces of an unfinished archive are in it.
 *
 * Fixed records, one a piece, in order, each with its own sum: the first that is torn or out of
 * order ends what is known. A record says what was written, so the bytes in the archive are
 * compared with its sum before they are believed. With it goes the state of the file's
 * SHA-256 behind that piece, so that nothing of the source is read twice.
 *
 *     head:   | magic 8 | version 4 | bytes of a record 4 | digest of the run 16 | XXH3-64 8 |
 *     record: | index 8 | rc_archive_piece | rc_content_hasher | XXH3-64 8 |
 *
 * For the machine that wrote it: its bytes are the structures' own. */
#ifndef RC_CONVERT_PACK_JOURNAL_H
#define RC_CONVERT_PACK_JOURNAL_H

#include "formats/archive.h"
#include "formats/base/io.h"

typedef struct rc_pack_record {
    uint64_t index;
    rc_archive_piece piece;
    rc_content_hasher sha; /* of the file up to the end of the piece */
    uint64_t sum;          /* of all before */
} rc_pack_record;

typedef struct rc_pack_journal {
    int fd;       /* -1: not open */
    uint64_t end; /* of the records that count */
} rc_pack_journal;

/** Open the journal of a run; *found says that there is one. `restart` discards it.
 *  RC_E_RESUME: it is of another run. */
RC_MUST_CHECK
rc_code rc_pack_journal_open(rc_pack_journal *j, const rc_dir *dir, const char *name,
                             const rc_digest *run, bool restart, bool *found, rc_err *err);
/** The next record; false where there is none. */
bool rc_pack_journal_next(rc_pack_journal *j, uint64_t index, rc_pack_record *r);
/** Forget all records from `index` on. */
RC_MUST_CHECK
rc_code rc_pack_journal_cut(rc_pack_journal *j, uint64_t index, rc_err *err);
/** Add a record; its sum is made here. */
RC_MUST_CHECK
rc_code rc_pack_journal_add(rc_pack_journal *j, rc_pack_record *r, rc_err *err);
void rc_pack_journal_close(rc_pack_journal *j);

#endif
