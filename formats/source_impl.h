/* formats/source_impl.h - what a kind of source provides, and what all kinds share; for
 * source.c, source_*.c and stream.c only. */
#ifndef RC_FORMATS_SOURCE_IMPL_H
#define RC_FORMATS_SOURCE_IMPL_H

#include <pthread.h>

#include "formats/source.h"
#include "formats/stream.h"

typedef struct rc_source_ops {
    /** Release what is the kind's own; may be called on a half-made source. The list of files, its
     *  names, and the struct itself are released by the caller. */
    void (*close)(rc_source *src);
    /** As rc_source_read(). The range may lie past the listed end: say what is wrong. The caller
     *  adds the file's name to the error. */
    rc_code (*read)(rc_source *src, size_t i, uint64_t off, void *buf, size_t nbytes, rc_err *err);
    /** As rc_source_read_direct(); buf_len was checked. NULL: by read(). */
    rc_code (*read_direct)(rc_source *src, size_t i, uint64_t off, size_t nbytes, uint8_t *buf,
                           rc_err *err);
    /** As rc_source_recheck(). NULL: what was listed cannot change. */
    rc_code (*recheck)(rc_source *src, size_t i, rc_err *err);
    bool (*in_memory)(const rc_source *src);   /* NULL: no */
    uint64_t (*fetched)(const rc_source *src); /* NULL: 0 */
    bool remote;
} rc_source_ops;

/* What was read before a stream; see source_early.h. */
typedef struct rc_early_piece rc_early_piece;
typedef struct rc_early {
    pthread_mutex_t lock; /* while it grows */
    rc_early_piece *at;
    size_t n, room;
} rc_early;

struct rc_source {
    const rc_source_ops *ops;
    rc_mem *mem;
    rc_arena arena; /* names, and strings of `origin` */
    char *where;
    const char *named; /* in `where`: the file that was named, or NULL */
    rc_source_origin origin;
    rc_source_file *files;
    size_t count, capacity;
    rc_stream *stream; /* or NULL */
    rc_early early;
    /* The stream lets go: what is being read ahead may fail at once, with RC_E_STOPPED. */
    _Atomic bool leaving;
};

/** A source of `nbytes` (its struct begins with rc_source), zeroed, with `where` copied. */
RC_MUST_CHECK
rc_code rc_source_make(rc_source **out, size_t nbytes, const rc_source_ops *ops, const char *where,
                       rc_mem *mem, rc_err *err);
/** Add a file, with a copy of its name, "PREFIX" + "NAME". Its `own` is the number of files so far.
 *  RC_E_LIMIT */
RC_MUST_CHECK
rc_code rc_source_add(rc_source *src, const char *prefix, const rc_source_file *file, rc_err *err);
/** Sort the list by name, once it is whole. RC_E_DATA: two files of one name. */
RC_MUST_CHECK
rc_code rc_source_sort(rc_source *src, rc_err *err);

/** The kinds; errors as rc_source_open(). */
RC_MUST_CHECK
rc_code rc_source_open_local(rc_source **out, const char *where, rc_mem *mem, rc_err *err);

#endif
