/* formats/hub_listing.h - what the API of a hub says about a repository. Source: the documents
 * that huggingface_hub reads. Parsing only; everything in them is hostile.
 *
 *   GET /api/models/REPO/revision/REV     {"sha": COMMIT, ...}
 *   GET /api/models/REPO/tree/COMMIT/...  [{"type": "file", "path": .., "size": .., "oid": ..,
 *                                           "lfs": {"oid": SHA-256, "size": ..}}, ...] */
#ifndef RC_FORMATS_HUB_LISTING_H
#define RC_FORMATS_HUB_LISTING_H

#include "formats/base/mem.h"
#include "formats/content.h"

#define RC_HUB_COMMIT   41u                 /* 40 hex digits and a NUL */
#define RC_HUB_MAX_FILE ((uint64_t)1 << 50) /* bytes; ours */
#define RC_HUB_MAX_PAGE ((size_t)16 << 20)  /* bytes of one document; ours */

/** The commit of a model's info. RC_E_DATA: there is none. */
RC_MUST_CHECK
rc_code rc_hub_commit(char commit[RC_HUB_COMMIT], const char *text, size_t len, rc_mem *mem,
                      rc_err *err);

typedef struct rc_hub_entry {
    const char *path; /* in the repository; safe: see rc_hub_path_check() */
    uint64_t nbytes;
    rc_content_id content;
} rc_hub_entry;

typedef rc_code rc_hub_entry_fn(void *ctx, const rc_hub_entry *entry, rc_err *err);

/** Call `fn` for every file of a page of the tree.
 *  RC_E_DATA, RC_E_UNSAFEPATH (see below), RC_E_LIMIT for a file of more than RC_HUB_MAX_FILE, and
 *  what `fn` returns. */
RC_MUST_CHECK
rc_code rc_hub_tree(const char *text, size_t len, rc_hub_entry_fn *fn, void *ctx, rc_mem *mem,
                    rc_err *err);

/** A path that stays where it belongs: relative, no part that is empty, "." or "..", no
 *  backslash, no control character. RC_E_UNSAFEPATH */
RC_MUST_CHECK
rc_code rc_hub_path_check(const char *path, rc_err *err);

#endif
