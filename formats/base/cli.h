/* formats/base/cli.h - what every command shares: options from one table, help
 * made of the same table, messages, progress.
 *
 * Only recast.c and cmd_*.c use this: they alone print and choose exit codes. */
#ifndef RC_FORMATS_BASE_CLI_H
#define RC_FORMATS_BASE_CLI_H

#include <stdatomic.h>

#include "formats/base/log.h"
#include "formats/base/mem.h"
#include "formats/base/status.h"

typedef enum rc_opt_kind {
    RC_OPT_FLAG,   /* bool *: --name */
    RC_OPT_U64,    /* uint64_t *: decimal digits, min..max */
    RC_OPT_SIZE,   /* uint64_t *: bytes; suffix K M G T (powers of 1024) or KB MB GB TB (of 1000) */
    RC_OPT_F64,    /* double *: finite */
    RC_OPT_STR,    /* const char **: not empty */
    RC_OPT_CHOICE, /* const char **: one of `choices` ("fp8|bf16") */
    RC_OPT_LIST,   /* rc_opt_list *: may be repeated */
    RC_OPT_REFUSED /* none of ours, but often tried: `help` says why not. Its value is not shown */
} rc_opt_kind;

#define RC_OPT_LIST_MAX 64u
typedef struct rc_opt_list {
    const char *at[RC_OPT_LIST_MAX];
    unsigned n;
} rc_opt_list;

typedef struct rc_opt {
    const char *name; /* without "--" */
    rc_opt_kind kind;
    const char *arg; /* "BYTES"; NULL for a flag; the choices for CHOICE */
    const char *help;
    void *dest;
    uint64_t min, max; /* U64 and SIZE; max 0 = no bound */
} rc_opt;

/* A short name of an option: "-p TEXT" for "--prompt TEXT". */
typedef struct rc_letter {
    char letter; /* not 'h': that is --help */
    const char *name;
} rc_letter;

/* Options that several commands have in common. */
typedef struct rc_opt_group {
    const char *title;  /* in --help */
    const rc_opt *opts; /* ends with a NULL name; at most 16 */
    /** When the command line is read: -1, or the exit code after a message. */
    int (*finish)(const char *const *args, unsigned nargs);
} rc_opt_group;

typedef struct rc_cmd {
    const char *name;
    const char *usage;   /* "SRC DST --to FORMAT [options]" */
    const char *summary; /* one line */
    const char *about;   /* paragraphs and examples for --help */
    unsigned min_args, max_args;
    const rc_opt *opts;        /* ends with a NULL name; options of all commands are added */
    const rc_letter *letters;  /* ends with a NULL name; NULL when there are none */
    const rc_opt_group *group; /* or NULL */
} rc_cmd;

/* What all commands accept. */
typedef struct rc_common {
    bool quiet;       /* --quiet: only errors */
    bool strict;      /* --strict: warnings are errors */
    bool errors_json; /* --errors=json */
    const char *cpu;  /* --cpu ref|avx2|avx512|avx512bf16, or NULL */
} rc_common;
extern rc_common rc_cli;

/** Parse argv[1..]. Positional arguments land in args[cmd->max_args], *nargs of them.
 *  "--opt value" and "--opt=value", or "-o value" by its letter (one letter a word); "--" ends
 *  options; no abbreviations.
 *  Returns -1 to go on, else the exit code: 0 after --help, 64 after a message
 *  (an unknown option names the nearest one). */
int rc_cli_parse(const rc_cmd *cmd, int argc, char **argv, const char **args, unsigned *nargs);

/** Print the error line and the hint on stderr (or one JSON object), and return the
 *  exit code. For RC_E_STOPPED: what was said, then 128 + the signal. */
int rc_cli_fail(const rc_err *err);
/** rc_fail + rc_cli_fail for a command line that contradicts itself. */
RC_PRINTF(1, 2) int rc_cli_usage(const char *fmt, ...);
/** A sink that prints warnings as `recast: warning: ...`. */
const rc_log *rc_cli_log(void);
/** True once a warning was printed. */
bool rc_cli_warned(void);

/* Progress: the work counts, a thread tells. */
typedef struct rc_progress {
    _Atomic uint64_t done;  /* bytes */
    _Atomic uint64_t kept;  /* of these, by an earlier run: no part of the speed */
    _Atomic uint64_t total; /* 0 until known; set last. With a unit and never known: no ETA */
    const char *unit;       /* NULL: bytes; else what is counted, "layers" */
    uint64_t parts;         /* of a unit: these are counted, and shown as tenths of it; 0: whole */
    /* Bytes that came over a network so far, of `source`; NULL: none do. */
    uint64_t (*fetched)(const void *source);
    const void *source;
} rc_progress;

typedef struct rc_ticker rc_ticker;
/** Redraw `verb done/total rate ETA` on a terminal 6 times a second, or print a line
 *  every 5 seconds elsewhere, every 30 after a minute; nothing under --quiet. NULL when it cannot:
 * harmless. */
rc_ticker *rc_ticker_start(const char *verb, const rc_progress *progress);
void rc_ticker_stop(rc_ticker **ticker);

/** "1.5 GB" (powers of 1000) into buf[16]; returns buf. */
const char *rc_human_bytes(char buf[16], uint64_t nbytes);
/** "1:02:03", "4:05", "12 s" into buf[24]; returns buf. */
const char *rc_human_time(char buf[24], double seconds);
/** Seconds on a clock that never jumps. */
double rc_now(void);

#endif
