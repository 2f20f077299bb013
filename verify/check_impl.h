/* verify/check_impl.h - a check from inside; for check*.c only. */
#ifndef RC_VERIFY_CHECK_IMPL_H
#define RC_VERIFY_CHECK_IMPL_H

#include <pthread.h>

#include "formats/base/par.h"
#include "formats/ledger_read.h"
#include "verify/check.h"
#include "verify/sha256sums.h"

/* An output tensor, or a parameter's part of one. */
typedef struct rc_check_piece {
    rc_ledger_part what;
    size_t file;
    rc_hasher *hasher; /* while it is between two blocks */
    uint64_t seen;     /* bytes */
} rc_check_piece;

#define RC_CHECK_SAYERS 3u

/* What a digest of a whole file has to be, and who says so. */
typedef struct rc_check_want {
    rc_content_id content;
    const char *who;
} rc_check_want;

typedef struct rc_check_file {
    const rc_source_file *at;
    bool mine;               /* part of what is checked */
    bool known;              /* something says what it has to be */
    bool wrong_size;         /* said already: not read */
    const rc_listed *listed; /* a shard, of which nothing is interpreted; or NULL */
    bool whole;              /* the pieces and the head are all that is not zero */
    rc_check_piece *pieces;  /* by place */
    size_t npieces, first;   /* those before `first` are done */
    rc_check_want wants[RC_CHECK_SAYERS];
    unsigned nwants;
    bool sha256, git; /* to be computed */
    uint64_t nbytes;  /* to be read: all, or the head */
    bool full;        /* all */
    rc_content_hasher hashers[2];
    rc_content_id content; /* SHA256, once it is computed */
    rc_hasher *head;       /* while it is between two blocks */
    bool torn;             /* bytes that should be zero are not: said already */
    rc_turn turn;
} rc_check_file;

typedef struct rc_check_block {
    size_t file;
    uint64_t off;
    uint64_t ticket;
} rc_check_block;

typedef struct rc_checking {
    rc_mem *mem;
    rc_arena arena;
    rc_source *src;
    const rc_check_opts *opts;
    const rc_source_opts *source_opts;
    const char *where;    /* as it was named */
    char *folder;         /* where the files lie */
    const char *stem;     /* of a GGUF file and its companions, or NULL */
    rc_check_file *files; /* as the source lists them */
    size_t nfiles;
    rc_manifest **manifests;
    size_t nmanifests;
    rc_check_piece *pieces;
    size_t npieces, room;
    rc_sums sums;
    rc_check_result *result;
    pthread_mutex_t lock; /* of the findings */
} rc_checking;

/** A fault: thread-safe. Want and got may be NULL. */
RC_PRINTF(7, 8)
void rc_check_fault(rc_checking *c, const char *file, const char *tensor, uint64_t offset,
                    const char *want, const char *got, const char *fmt, ...);

/** check_ledger.c: what the manifests and their ledgers say of the files. */
RC_MUST_CHECK
rc_code rc_check_expect(rc_checking *c, rc_err *err);

/** check_read.c: read and compare. */
RC_MUST_CHECK
rc_code rc_check_read(rc_checking *c, rc_err *err);

#endif
