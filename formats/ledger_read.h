/* formats/ledger_read.h - recast.json and recast.jsonl as a reader has them: what files a result
 * consists of, and what is in them. Formats 1 and 2: docs/ledger.md.
 *
 * They come with a download: every name and number is hostile until checked. */
#ifndef RC_FORMATS_LEDGER_READ_H
#define RC_FORMATS_LEDGER_READ_H

#include "formats/base/hash.h"
#include "formats/base/mem.h"
#include "formats/content.h"

#define RC_MANIFEST_NAME      "recast.json" /* beside a GGUF file: NAME.recast.json */
#define RC_MANIFEST_FORMAT    2u
#define RC_MANIFEST_MAX_BYTES ((size_t)64 << 20) /* ours */
#define RC_LEDGER_MAX_LINE    ((size_t)1 << 20)  /* bytes of a line of recast.jsonl; ours */
#define RC_LEDGER_PARTS       4u                 /* tensors that one line speaks of */

/* A file of a result. */
typedef struct rc_listed {
    const char *name;      /* relative to the result's folder */
    uint64_t nbytes;       /* RC_NO_BYTES: not stated */
    bool has_head;         /* a shard of format 2 */
    uint64_t head_bytes;   /* at most nbytes */
    rc_digest head;        /* of its first head_bytes */
    rc_content_id content; /* of the whole file; UNKNOWN where that is not stated */
} rc_listed;

#define RC_NO_BYTES UINT64_MAX

typedef struct rc_manifest rc_manifest; /* immutable */

/** Read recast.json.
 *    RC_E_DATA         malformed; a file that is listed twice
 *    RC_E_UNSUPPORTED  a newer format
 *    RC_E_UNSAFEPATH   a name that leads out of the folder
 *    RC_E_INTEGRITY    the digest of its own bytes is another
 *  with the offset of what is wrong. */
RC_MUST_CHECK
rc_code rc_manifest_new(rc_manifest **out, const uint8_t *text, size_t len, rc_mem *mem,
                        rc_err *err);
void rc_manifest_free(rc_manifest **manifest);

unsigned rc_manifest_format(const rc_manifest *m);
const char *rc_manifest_tool(const rc_manifest *m); /* "recast 0.1.0"; "" where it is not said */
const rc_listed *rc_manifest_ledger(const rc_manifest *m);
rc_digest rc_manifest_ledger_digest(const rc_manifest *m); /* of all its bytes */
size_t rc_manifest_shards(const rc_manifest *m);
const rc_listed *rc_manifest_shard(const rc_manifest *m, size_t i);
size_t rc_manifest_files(const rc_manifest *m); /* small ones; none in format 1 */
const rc_listed *rc_manifest_file(const rc_manifest *m, size_t i);

/* An output tensor, or a parameter's part of one, by the ledger. */
typedef struct rc_ledger_part {
    const char *tensor;
    uint64_t nbytes;
    bool placed;                /* false: format 1 does not say where it lies */
    uint64_t begin;             /* in its shard's file */
    uint64_t row_bytes, stride; /* of rows that do not lie side by side; else 0, 0 */
    uint64_t span;              /* bytes from its first to its last one */
    bool stacked;               /* one matrix of a stack, and which */
    uint64_t expert;
    rc_digest digest;
} rc_ledger_part;

typedef struct rc_ledger_line {
    const char *shard;
    rc_ledger_part parts[RC_LEDGER_PARTS];
    unsigned nparts;
} rc_ledger_line;

/** Read one line of recast.jsonl, without its newline. Strings live in the arena.
 *  RC_E_DATA with the offset in the line. */
RC_MUST_CHECK
rc_code rc_ledger_line_read(rc_ledger_line *out, const uint8_t *line, size_t len, rc_arena *arena,
                            rc_err *err);

/** Does a relative name stay in its folder? No empty name, no "." or ".." on the way, no slash in
 *  front, no NUL. What else is in it is the file system's business. */
bool rc_name_stays_inside(const char *name, size_t len);

#endif
