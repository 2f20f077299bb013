/* formats/base/http_head.h - the head of an HTTP answer: the lines that we care for. Parsing
 * only; lines are hostile. */
#ifndef RC_FORMATS_BASE_HTTP_HEAD_H
#define RC_FORMATS_BASE_HTTP_HEAD_H

#include "formats/base/http_url.h"

#define RC_HTTP_MAX_LINE  (64u << 10) /* bytes; signed addresses have 2 KB */
#define RC_HTTP_MAX_LINES 1000u       /* of one answer, interim ones included */

/* Texts are "" where the line is missing, or too long to be what it should be. */
typedef struct rc_http_head {
    int status; /* 0: no status line yet */
    bool whole; /* the empty line behind a final answer's head has been seen */
    unsigned lines;

    bool has_length, has_range, has_total, has_linked_size;
    uint64_t length;         /* Content-Length */
    uint64_t begin, last;    /* of Content-Range: bytes begin..last, when has_range */
    uint64_t total;          /* of Content-Range: the file's size, when has_total */
    uint64_t linked_size;    /* X-Linked-Size */
    bool encoded;            /* Content-Encoding is something else than identity */
    bool html;               /* Content-Type says so */
    char etag[200];          /* a strong one, with its quotes; a weak one is "" */
    char last_modified[64];  /* as it was sent */
    char linked_etag[100];   /* X-Linked-ETag, without quotes and weakness */
    char commit[64];         /* X-Repo-Commit */
    char error_code[64];     /* X-Error-Code */
    char error_message[160]; /* X-Error-Message */
    char retry_after[64], date[64];
    char rate_limit[128]; /* RateLimit: "api";r=0;t=55 */
    char location[RC_URL_MAX];
    char next[RC_URL_MAX]; /* of Link: the address with rel="next" */
} rc_http_head;

/** Take in one line, with or without its end. A status line begins a new head.
 *  False when the line cannot be one of a head: a NUL in it, too long, one too many. */
RC_MUST_CHECK
bool rc_http_head_line(rc_http_head *head, const char *line, size_t len);

/** Seconds that the server asks to wait before the next try, 0 when it does not; `now` counts
 *  where it sent no date of its own. */
double rc_http_head_wait(const rc_http_head *head, int64_t now);

#endif
