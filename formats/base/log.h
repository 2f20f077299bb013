/* formats/base/log.h - where warnings go. The library never prints: a command
 * hands a sink down, a test collects, NULL drops. */
#ifndef RC_FORMATS_BASE_LOG_H
#define RC_FORMATS_BASE_LOG_H

#include "formats/base/status.h"

typedef struct rc_log {
    void (*warn)(void *ctx, const rc_err *warning); /* may be called from any thread */
    void (*note)(void *ctx, const rc_err *note);    /* the same; or NULL. Nothing is wrong with
                                                       the input: why it takes so long */
    void *ctx;
} rc_log;

/** Report a warning about a file and a tensor (either may be NULL). */
RC_PRINTF(5, 6)
void rc_warn(const rc_log *log, const char *file, const char *tensor, uint64_t offset,
             const char *fmt, ...);

#endif
