/* formats/base/log.c - builds the record, hands it to the sink. */
#include "formats/base/log.h"

#include <stdarg.h>
#include <stdio.h>

void rc_warn(const rc_log *log, const char *file, const char *tensor, uint64_t offset,
             const char *fmt, ...)
{
    rc_err w = { .offset = offset };
    va_list ap;

    if (!log || !log->warn)
        return;
    va_start(ap, fmt);
    vsnprintf(w.msg, sizeof w.msg, fmt, ap);
    va_end(ap);
    if (file)
        rc_err_file(&w, file);
    if (tensor)
        rc_err_tensor(&w, tensor);
    log->warn(log->ctx, &w);
}
