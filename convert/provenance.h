/* convert/provenance.h - what recast.json says of files: which ones of the source were read and
 * how it is known what they are, and which small ones were written. Docs: docs/ledger.md. */
#ifndef RC_CONVERT_PROVENANCE_H
#define RC_CONVERT_PROVENANCE_H

#include "convert/plan.h"
#include "formats/base/json.h"

/* A file of the source, or a small one of the output. */
typedef struct rc_known_file {
    const char *name;
    uint64_t nbytes;
    rc_content_id content; /* UNKNOWN: nobody says, and it was too large to be read for that */
    const char *how;       /* "equal": computed, and what was stated; "stated"; "computed"; NULL */
} rc_known_file;

typedef struct rc_known_files {
    rc_known_file *at;
    size_t n, room;
} rc_known_files;

/* Begin with { .arena.mem = mem }. */
typedef struct rc_provenance {
    rc_arena arena; /* names */
    rc_known_files source, output;
} rc_provenance;

void rc_provenance_free(rc_provenance *p);

/** A shard of the source: what is stated of it, and whether the stream that it came by saw that. */
RC_MUST_CHECK
rc_code rc_provenance_shard(rc_provenance *p, const rc_source *src, size_t file, rc_err *err);

/** A small file of the source: read again and digested. RC_E_INTEGRITY: it is not what the hub, or
 *  the cache that it lies in, states. */
RC_MUST_CHECK
rc_code rc_provenance_small(rc_provenance *p, rc_source *src, size_t file, rc_err *err);

/** A file of the output, whole in memory. The list is kept sorted by name. */
RC_MUST_CHECK
rc_code rc_provenance_output(rc_provenance *p, const char *name, const void *data, size_t nbytes,
                             rc_err *err);

/** The keys "origin" and "files", in the object "source" that is open. Folders are nobody's
 *  business: of a local one only the commit, where its cache knows it. */
void rc_write_source(rc_jsonw *w, const rc_source *src, const rc_provenance *p);
/** The key "files" of the summary, in an object that is open. */
void rc_write_outputs(rc_jsonw *w, const rc_provenance *p);

#endif
