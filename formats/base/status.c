/* formats/base/status.c - error records, their classes, their one-line form. */
#include "formats/base/status.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistr.h>

static const struct {
    rc_code code;
    bool resumable;
    const char *class;
} classes[] = {
    { RC_OK, false, "ok" },
    { RC_DIFFERS, false, "differs" },
    { RC_E_USAGE, false, "usage" },
    { RC_E_DATA, false, "data" },
    { RC_E_NOINPUT, false, "no-input" },
    { RC_E_UNSUPPORTED, false, "unsupported" },
    { RC_E_INTERNAL, false, "internal" },
    { RC_E_OS, true, "os" },
    { RC_E_CANTCREATE, false, "cannot-create" },
    { RC_E_IO, true, "io" },
    { RC_E_TEMPORARY, true, "temporary" },
    { RC_E_PROTOCOL, false, "protocol" },
    { RC_E_DENIED, false, "denied" },
    { RC_E_CONFIG, false, "config" },
    { RC_E_NOSPACE, true, "no-space" },
    { RC_E_INTEGRITY, false, "integrity" },
    { RC_E_NUMERIC, false, "numeric" },
    { RC_E_TENSORSET, false, "tensor-set" },
    { RC_E_UNSAFEPATH, false, "unsafe-path" },
    { RC_E_LIMIT, false, "limit" },
    { RC_E_LOCKED, true, "locked" },
    { RC_E_RESUME, false, "resume-mismatch" },
    { RC_E_STOPPED, true, "signal" },
};

const char *rc_code_class(rc_code code)
{
    if (code > RC_E_STOPPED) /* 128 + the signal, as a shell sees it */
        return "signal";
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
        if (classes[i].code == code)
            return classes[i].class;
    return "internal";
}

bool rc_code_resumable(rc_code code)
{
    if (code > RC_E_STOPPED)
        return true;
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
        if (classes[i].code == code)
            return classes[i].resumable;
    return false;
}

static void start(rc_err *err, rc_code code, uint64_t offset)
{
    memset(err, 0, sizeof *err);
    err->code = code;
    err->offset = offset;
}

rc_code rc_fail(rc_err *err, rc_code code, uint64_t offset, const char *fmt, ...)
{
    if (err) {
        va_list ap;
        start(err, code, offset);
        va_start(ap, fmt);
        vsnprintf(err->msg, sizeof err->msg, fmt, ap);
        va_end(ap);
    }
    return code;
}

static rc_code code_of_errno(int errnum)
{
    switch (errnum) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return RC_E_NOSPACE;
    case EACCES:
    case EPERM:
    case EROFS:
        return RC_E_DENIED;
    case ENOENT:
    case ENOTDIR:
        return RC_E_NOINPUT;
    case ELOOP: /* O_NOFOLLOW found a link */
        return RC_E_CANTCREATE;
    case ENOMEM:
    case EMFILE:
    case ENFILE:
    case EAGAIN:
        return RC_E_OS;
    default:
        return RC_E_IO;
    }
}

rc_code rc_fail_errno(rc_err *err, int errnum, const char *fmt, ...)
{
    const rc_code code = code_of_errno(errnum);

    if (err) {
        char reason[96];
        va_list ap;
        int n;

        start(err, code, RC_NO_OFFSET);
        va_start(ap, fmt);
        n = vsnprintf(err->msg, sizeof err->msg, fmt, ap);
        va_end(ap);
        if (strerror_r(errnum, reason, sizeof reason) != 0)
            snprintf(reason, sizeof reason, "error %d", errnum);
        if (n >= 0 && (size_t)n < sizeof err->msg)
            snprintf(err->msg + n, sizeof err->msg - (size_t)n, ": %s", reason);
    }
    return code;
}

rc_code rc_recode(rc_err *err, rc_code code)
{
    if (err)
        err->code = code;
    return code;
}

void rc_err_file(rc_err *err, const char *file)
{
    if (err && !err->file[0])
        rc_escape(err->file, sizeof err->file, file, strlen(file));
}

void rc_err_tensor(rc_err *err, const char *tensor)
{
    if (err && !err->tensor[0])
        rc_escape(err->tensor, sizeof err->tensor, tensor, strlen(tensor));
}

void rc_err_offset(rc_err *err, uint64_t offset)
{
    if (err && err->offset == RC_NO_OFFSET)
        err->offset = offset;
}

#define FILL_ONCE(field)                                                                           \
    if (err && !err->field[0]) {                                                                   \
        va_list ap;                                                                                \
        va_start(ap, fmt);                                                                         \
        vsnprintf(err->field, sizeof err->field, fmt, ap);                                         \
        va_end(ap);                                                                                \
    }

void rc_err_want(rc_err *err, const char *fmt, ...)
{
    FILL_ONCE(want)
}

void rc_err_got(rc_err *err, const char *fmt, ...)
{
    FILL_ONCE(got)
}

void rc_err_hint(rc_err *err, const char *fmt, ...){ FILL_ONCE(hint) }

/* snprintf that appends, and stays put once the buffer is full. */
RC_PRINTF(4, 5) static void append(char *buf, size_t n, size_t *at, const char *fmt, ...)
{
    va_list ap;
    int k;

    if (*at + 1 >= n)
        return;
    va_start(ap, fmt);
    k = vsnprintf(buf + *at, n - *at, fmt, ap);
    va_end(ap);
    if (k > 0)
        *at = (size_t)k < n - *at ? *at + (size_t)k : n - 1;
}

const char *rc_err_line(const rc_err *err, char *buf, size_t n)
{
    size_t at = 0;

    buf[0] = '\0';
    if (err->file[0])
        append(buf, n, &at, "%s: ", err->file);
    if (err->tensor[0])
        append(buf, n, &at, "%s: ", err->tensor);
    if (err->offset != RC_NO_OFFSET)
        append(buf, n, &at, "@%" PRIu64 ": ", err->offset);
    append(buf, n, &at, "%s", err->msg);
    if (err->want[0])
        append(buf, n, &at, err->got[0] ? " (want %s, got %s)" : " (want %s)", err->want, err->got);
    append(buf, n, &at, " [%s/%d]", rc_code_class(err->code), (int)err->code);
    return buf;
}

/* Not C0, C1, DEL, the characters that reorder or hide text on a terminal, the last two of the
 * basic plane (which XML has no place for). */
bool rc_printable(uint32_t c)
{
    return c >= 0x20 && !(c >= 0x7f && c < 0xa0) && c != 0x061c && !(c >= 0x200b && c <= 0x200f) &&
           !(c >= 0x2028 && c <= 0x202e) && !(c >= 0x2060 && c <= 0x2069) && c != 0xfeff &&
           c != 0xfffe && c != 0xffff;
}

const char *rc_escape(char *out, size_t n, const char *s, size_t len)
{
    static const char hex[] = "0123456789abcdef";
    const uint8_t *p = (const uint8_t *)s;
    size_t at = 0;

    if (n < 3) { /* no room for ".." */
        if (n)
            *out = '\0';
        return out;
    }
    for (size_t i = 0; i < len;) {
        ucs4_t c;
        const int k = u8_mbtoucr(&c, p + i, len - i);
        const size_t step = k > 0 ? (size_t)k : 1;
        const bool raw = k > 0 && rc_printable(c) && c != '\\';
        const size_t need = raw ? step : c == '\\' && k > 0 ? 2 : 4 * step;

        if (at + need + 3 > n) { /* room for ".." and NUL */
            memcpy(out + at, "..", 2);
            at += 2;
            break;
        }
        if (raw) {
            memcpy(out + at, p + i, step);
            at += step;
        } else if (k > 0 && c == '\\') {
            memcpy(out + at, "\\\\", 2);
            at += 2;
        } else {
            for (size_t j = 0; j < step; j++) {
                out[at++] = '\\';
                out[at++] = 'x';
                out[at++] = hex[p[i + j] >> 4];
                out[at++] = hex[p[i + j] & 15];
            }
        }
        i += step;
    }
    out[at] = '\0';
    return out;
}
