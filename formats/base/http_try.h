/* formats/base/http_try.h - one request, one answer, no redirect and no second try; for http.c
 * only. */
#ifndef RC_FORMATS_BASE_HTTP_TRY_H
#define RC_FORMATS_BASE_HTTP_TRY_H

#include <curl/curl.h>

#include "formats/base/http.h"
#include "formats/base/text.h"

typedef enum rc_http_what { RC_HTTP_RANGE, RC_HTTP_TEXT, RC_HTTP_HEAD } rc_http_what;

/* What is wanted; lives as long as the request, over all its tries. */
typedef struct rc_http_ask {
    rc_http_what what;
    uint64_t off; /* RANGE */
    uint8_t *buf;
    size_t nbytes, done; /* done: bytes of the range that are in buf */
    uint64_t total;      /* size of the file, RC_HTTP_UNKNOWN before it is known */
    rc_text *text;       /* TEXT */
    size_t max;
} rc_http_ask;

/* A connection, and the answer that came over it last. */
typedef struct rc_http_conn {
    struct rc_http_conn *next;
    CURL *curl;
    rc_http_head head;
    rc_http_ask *ask; /* of the try under way */
    bool checked;     /* the head was judged */
    size_t expected;  /* bytes of the range that this answer has */
    size_t skipped;   /* bytes of a body that nobody wants */
    bool final;       /* trying again is of no use */
    rc_code refused;  /* why the answer is not taken; `err` says it */
    rc_err err;
    uint64_t fetched; /* bytes of bodies in this try */
    char said[CURL_ERROR_SIZE];
} rc_http_conn;

typedef struct rc_http_try_opts {
    const char *authorization; /* a header line, or NULL */
    const char *ca_file;
    unsigned timeout;
    const _Atomic bool *leaving; /* or NULL */
} rc_http_try_opts;

/** NULL when memory is short. */
rc_http_conn *rc_http_conn_new(rc_mem *mem);
void rc_http_conn_free(rc_http_conn *conn, rc_mem *mem);

/** Ask `url`. RC_OK: the answer is what was asked for, or a redirect (conn->head.status is 3xx).
 *  RC_E_TEMPORARY, RC_E_PROTOCOL, RC_E_INTEGRITY may be tried again unless conn->final. */
RC_MUST_CHECK
rc_code rc_http_try(rc_http_conn *conn, rc_http_ask *ask, const char *url,
                    const rc_http_try_opts *opts, rc_err *err);

static inline bool rc_http_is_redirect(int status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

#endif
