/* formats/base/http.h - reading files from web servers that may do anything. An adapter to
 * libcurl.
 *
 * Many threads ask at once; each request borrows a connection that an earlier one left open.
 * HTTP/1.1 only: over HTTP/2 all requests would share one TCP connection, which is what several
 * connections are to avoid, and its framing is one more thing that a server can get wrong.
 *
 * Redirects are followed here, not by libcurl, by the rules of rc_origin_may_lead(): the token
 * goes to its own origin only. What may pass is tried again (rc_http_backoff), a body that ended
 * early is gone on with at its next byte. What a server does wrong every time is its error.
 *
 * Connection resets must not kill the process: see rc_stop_install() for SIGPIPE. Proxies are
 * taken from the environment, by libcurl. Addresses are shown without queries, and tokens never.
 *
 * Codes of all functions, besides their own:
 *   RC_E_TEMPORARY  tries are used up, or the server asks to wait for too long; the last failure
 *                   is named
 *   RC_E_PROTOCOL   the server broke HTTP or TLS, ignores ranges, leads in circles
 *   RC_E_DENIED     401, 403, 407, 451
 *   RC_E_NOINPUT    404, 410
 *   RC_E_DATA       a page in HTML where something else was asked for
 *   RC_E_UNSAFEPATH a redirect to where none may lead
 *   RC_E_STOPPED    a signal: waits and transfers end at once */
#ifndef RC_FORMATS_BASE_HTTP_H
#define RC_FORMATS_BASE_HTTP_H

#include "formats/base/http_head.h"
#include "formats/base/log.h"

typedef struct rc_http rc_http;

typedef struct rc_http_opts {
    const char *token;           /* or NULL */
    const char *token_origin;    /* address whose origin, and no other, sees the token */
    const char *ca_file;         /* certificates to believe beside the system's; or NULL */
    unsigned retries;            /* tries of one request beyond the first */
    unsigned timeout;            /* seconds; below 1 KB/s for so long a try has failed */
    unsigned connections;        /* requests at a time, at most; 0: as many as threads ask */
    const _Atomic bool *leaving; /* borrowed: true ends all requests with RC_E_STOPPED; or NULL */
    const rc_log *log;           /* borrowed: is told of waits of some seconds; or NULL */
} rc_http_opts;

/** Strings of `opts` are copied. RC_E_OS */
RC_MUST_CHECK
rc_code rc_http_new(rc_http **out, const rc_http_opts *opts, rc_mem *mem, rc_err *err);
/** No request may be under way. NULL is harmless. */
void rc_http_free(rc_http **http);
/** Bytes of bodies that came in so far. */
uint64_t rc_http_fetched(const rc_http *http);

#define RC_HTTP_UNKNOWN UINT64_MAX

/* A file at a server: what it has to be, and what was learnt about it. */
typedef struct rc_http_file {
    uint64_t nbytes;    /* RC_HTTP_UNKNOWN until it is known */
    const char *commit; /* X-Repo-Commit has to be this, where it is sent; or NULL */
    const char *linked; /* X-Linked-ETag has to be this, where it is sent; or NULL */
    /* The rest belongs to http.c: begins as NULL. */
    char *resolved; /* where redirects led; asked first until that is refused */
    char *identity; /* of the first answer: host, ETag or Last-Modified */
} rc_http_file;
/** A number that tells versions of the file apart, of what the first answer said; 0: nothing. */
uint64_t rc_http_version(const rc_http_file *file);
void rc_http_forget(rc_http *http, rc_http_file *file);

/** Bytes off .. off + nbytes of a file, nbytes > 0, into buf. Where file->nbytes is unknown it is
 *  learnt. Any number of threads, of the same file too.
 *    RC_E_INTEGRITY  size, ETag, commit or digest are not what they were, or were said to be */
RC_MUST_CHECK
rc_code rc_http_range(rc_http *http, const char *url, rc_http_file *file, uint64_t off, void *buf,
                      size_t nbytes, rc_err *err);

/** Size and identity of a file: by HEAD, or by its first byte where a server has no HEAD.
 *  *status (may be NULL) is that of the last answer. */
RC_MUST_CHECK
rc_code rc_http_probe(rc_http *http, const char *url, rc_http_file *file, int *status, rc_err *err);

/** A small body whole: NUL-terminated, put back to mem, at most max bytes after decompression
 *  (RC_E_LIMIT). *head (may be NULL) is that of the last answer, on failure too. */
RC_MUST_CHECK
rc_code rc_http_text(rc_http *http, const char *url, size_t max, char **out, size_t *len,
                     rc_http_head *head, rc_mem *mem, rc_err *err);

#endif
