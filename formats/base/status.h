/* formats/base/status.h - how every function says what went wrong.
 *
 * A code for the program, a sentence for the person, an offset for the hex
 * dump. An rc_err lives on the caller's stack and owns no memory, so running
 * out of memory reports like anything else. The value of a code is the
 * program's exit status (docs/reliability.md): one table, one truth. */
#ifndef RC_FORMATS_BASE_STATUS_H
#define RC_FORMATS_BASE_STATUS_H

#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RC_MUST_CHECK        __attribute__((warn_unused_result))
#define RC_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

typedef enum rc_code {
    RC_OK = 0,
    RC_DIFFERS = 1,        /* a comparison ran and says no */
    RC_E_USAGE = 64,       /* command line */
    RC_E_DATA = 65,        /* malformed input */
    RC_E_NOINPUT = 66,     /* input missing */
    RC_E_UNSUPPORTED = 69, /* well formed, not ours to handle */
    RC_E_INTERNAL = 70,    /* a self-check failed: our bug */
    RC_E_OS = 71,          /* memory, threads, descriptors */
    RC_E_CANTCREATE = 73,  /* output exists or cannot be made */
    RC_E_IO = 74,          /* the disk failed us */
    RC_E_TEMPORARY = 75,   /* gave up after retries */
    RC_E_PROTOCOL = 76,    /* the server broke its protocol */
    RC_E_DENIED = 77,      /* permission */
    RC_E_CONFIG = 78,      /* environment or configuration */
    RC_E_NOSPACE = 79,     /* disk full, or would be */
    RC_E_INTEGRITY = 80,   /* bytes are not those that were promised */
    RC_E_NUMERIC = 81,     /* NaN, Inf, a bad scale, an inexact tile */
    RC_E_TENSORSET = 82,   /* tensors missing, extra or contradictory */
    RC_E_UNSAFEPATH = 83,  /* a name that points outside */
    RC_E_LIMIT = 84,       /* one of our own caps */
    RC_E_LOCKED = 85,      /* another run holds the output */
    RC_E_RESUME = 86,      /* the journal belongs to something else */
    RC_E_STOPPED = 128     /* a signal asked us to stop */
} rc_code;

#define RC_NO_OFFSET UINT64_MAX

typedef struct rc_err {
    rc_code code;
    uint64_t offset;  /* byte from the start of `file`, or RC_NO_OFFSET */
    char file[256];   /* as the user would name it; "" when it does not apply */
    char tensor[272]; /* name in the input, escaped; "" when it does not apply */
    char msg[256];    /* one line: what is wrong */
    char want[96];    /* what was expected and what was found; "" to leave out */
    char got[96];
    char hint[200]; /* one line: what to do; "" when there is nothing to do */
} rc_err;

/** Fill `err` (may be NULL) afresh and return `code`. The message is one line,
 *  cut to fit; file, tensor, want, got and hint start empty. */
RC_PRINTF(4, 5)
rc_code rc_fail(rc_err *err, rc_code code, uint64_t offset, const char *fmt, ...);

/** The same for a failed system call: errno chooses the code (ENOSPC, EDQUOT,
 *  EFBIG -> NOSPACE; EACCES, EPERM, EROFS -> DENIED; ENOENT, ENOTDIR -> NOINPUT;
 *  ELOOP -> CANTCREATE: a link lies where we would write; ENOMEM, EMFILE, ENFILE, EAGAIN
 *  -> OS; else IO) and ends the message. */
RC_PRINTF(3, 4)
rc_code rc_fail_errno(rc_err *err, int errnum, const char *fmt, ...);

/** Change the code of an error already filled in, and return the new code. */
rc_code rc_recode(rc_err *err, rc_code code);

/* Context, added on the way up. The first, innermost answer stays. All accept
 * a NULL err. Names are escaped: control characters and invalid UTF-8 become \xNN. */
void rc_err_file(rc_err *err, const char *file);
void rc_err_tensor(rc_err *err, const char *tensor);
void rc_err_offset(rc_err *err, uint64_t offset);
RC_PRINTF(2, 3) void rc_err_want(rc_err *err, const char *fmt, ...);
RC_PRINTF(2, 3) void rc_err_got(rc_err *err, const char *fmt, ...);
RC_PRINTF(2, 3) void rc_err_hint(rc_err *err, const char *fmt, ...);

/** Class name of a code as it appears in messages: "data", "tensor-set", ... */
const char *rc_code_class(rc_code code);
/** True when the same command can simply be run again. */
bool rc_code_resumable(rc_code code);

/** The error line (no newline): FILE: TENSOR: @OFFSET: MSG (want X, got Y) [class/code].
 *  Cut to n bytes; returns buf. */
const char *rc_err_line(const rc_err *err, char *buf, size_t n);

/** Copy `s` into out[n] with everything but printable text escaped as \xNN,
 *  backslash doubled, and long text cut with "..". Bidi controls count as
 *  unprintable. Returns out. */
const char *rc_escape(char *out, size_t n, const char *s, size_t len);
/** Can a terminal or a page show this character as it is? No control characters, and none that
 *  reorder or hide the text around them. */
bool rc_printable(uint32_t c);

#define RC_TRY(call)                                                                               \
    do {                                                                                           \
        const rc_code rc_try_ = (call);                                                            \
        if (rc_try_ != RC_OK)                                                                      \
            return rc_try_;                                                                        \
    } while (0)

/** Forward to a function's single way out, which frees what it holds. `rc` is
 *  the rc_code that the function returns. */
#define RC_TRY_GOTO(rc, label, call)                                                               \
    do {                                                                                           \
        (rc) = (call);                                                                             \
        if ((rc) != RC_OK)                                                                         \
            goto label;                                                                            \
    } while (0)

/* Overflow-checked arithmetic: false when the result does not fit. */
static inline bool rc_mul_u64(uint64_t a, uint64_t b, uint64_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}

static inline bool rc_add_u64(uint64_t a, uint64_t b, uint64_t *out)
{
    return !__builtin_add_overflow(a, b, out);
}

static inline uint64_t rc_ceil_div(uint64_t a, uint64_t b)
{
    return a / b + (a % b != 0);
}

#endif
