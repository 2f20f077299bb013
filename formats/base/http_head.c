/* formats/base/http_head.c - see http_head.h. */
#include "formats/base/http_head.h"

#include <curl/curl.h>
#include <string.h>
#include <strings.h>

typedef struct span {
    const char *at;
    size_t len;
} span;

static span trim(span s)
{
    while (s.len && (s.at[0] == ' ' || s.at[0] == '\t'))
        s = (span){ s.at + 1, s.len - 1 };
    while (s.len && strchr(" \t\r\n", s.at[s.len - 1]))
        s.len--;
    return s;
}

static bool is(span s, const char *word)
{
    return s.len == strlen(word) && strncasecmp(s.at, word, s.len) == 0;
}

static void copy(char *to, size_t n, span s)
{
    if (s.len >= n)
        s.len = 0;
    memcpy(to, s.at, s.len);
    to[s.len] = '\0';
}

/* Take a number off the front. */
static bool take_u64(span *s, uint64_t *out)
{
    size_t i = 0;

    *out = 0;
    for (; i < s->len && s->at[i] >= '0' && s->at[i] <= '9'; i++)
        if (!rc_mul_u64(*out, 10, out) || !rc_add_u64(*out, (uint64_t)(s->at[i] - '0'), out))
            return false;
    *s = (span){ s->at + i, s->len - i };
    return i > 0;
}

static bool take_char(span *s, char c)
{
    if (!s->len || s->at[0] != c)
        return false;
    *s = (span){ s->at + 1, s->len - 1 };
    return true;
}

static bool whole_u64(span s, uint64_t *out)
{
    return take_u64(&s, out) && s.len == 0;
}

/* bytes 0-9/100, bytes 0-9/<any>, bytes <any>/100 */
static void parse_range(rc_http_head *h, span s)
{
    h->has_range = h->has_total = false;
    if (s.len < 6 || strncasecmp(s.at, "bytes ", 6) != 0)
        return;
    s = trim((span){ s.at + 6, s.len - 6 });
    if (!take_char(&s, '*')) {
        if (!take_u64(&s, &h->begin) || !take_char(&s, '-') || !take_u64(&s, &h->last) ||
            h->last < h->begin)
            return;
        h->has_range = true;
    }
    if (!take_char(&s, '/'))
        h->has_range = false;
    else if (!is(s, "*"))
        h->has_total = whole_u64(s, &h->total);
}

/* <address>; rel="next", <address>; rel="last" */
static void parse_link(rc_http_head *h, span s)
{
    const char *at = s.at, *end = s.at + s.len;

    while (at < end) {
        const char *open = memchr(at, '<', (size_t)(end - at));
        const char *close = open ? memchr(open, '>', (size_t)(end - open)) : NULL;
        const char *stop;

        if (!close)
            return;
        stop = memchr(close, '<', (size_t)(end - close)); /* the next address begins */
        stop = stop ? stop : end;
        for (const char *p = close; p + 8 <= stop; p++)
            if (strncasecmp(p, "rel=next", 8) == 0 ||
                (p + 10 <= stop && strncasecmp(p, "rel=\"next\"", 10) == 0)) {
                copy(h->next, sizeof h->next, (span){ open + 1, (size_t)(close - open - 1) });
                return;
            }
        at = stop;
    }
}

/* W/"abc" -> abc */
static span bare_etag(span s)
{
    if (s.len > 2 && s.at[0] == 'W' && s.at[1] == '/')
        s = (span){ s.at + 2, s.len - 2 };
    if (s.len >= 2 && s.at[0] == '"' && s.at[s.len - 1] == '"')
        s = (span){ s.at + 1, s.len - 2 };
    return s;
}

static void parse_field(rc_http_head *h, span name, span value)
{
    if (is(name, "content-length")) {
        h->has_length = whole_u64(value, &h->length);
    } else if (is(name, "content-range")) {
        parse_range(h, value);
    } else if (is(name, "content-encoding")) {
        h->encoded = value.len && !is(value, "identity");
    } else if (is(name, "content-type")) {
        h->html = value.len >= 9 && strncasecmp(value.at, "text/html", 9) == 0;
    } else if (is(name, "etag")) {
        if (value.len > 2 && value.at[0] == '"')
            copy(h->etag, sizeof h->etag, value);
    } else if (is(name, "last-modified")) {
        copy(h->last_modified, sizeof h->last_modified, value);
    } else if (is(name, "location")) {
        copy(h->location, sizeof h->location, value);
    } else if (is(name, "link")) {
        parse_link(h, value);
    } else if (is(name, "retry-after")) {
        copy(h->retry_after, sizeof h->retry_after, value);
    } else if (is(name, "date")) {
        copy(h->date, sizeof h->date, value);
    } else if (is(name, "ratelimit")) {
        copy(h->rate_limit, sizeof h->rate_limit, value);
    } else if (is(name, "x-repo-commit")) {
        copy(h->commit, sizeof h->commit, value);
    } else if (is(name, "x-linked-size")) {
        h->has_linked_size = whole_u64(value, &h->linked_size);
    } else if (is(name, "x-linked-etag")) {
        copy(h->linked_etag, sizeof h->linked_etag, bare_etag(value));
    } else if (is(name, "x-error-code")) {
        copy(h->error_code, sizeof h->error_code, value);
    } else if (is(name, "x-error-message")) {
        copy(h->error_message, sizeof h->error_message, value);
    }
}

/* "HTTP/1.1 206 Partial Content" */
static bool parse_status(rc_http_head *h, span s)
{
    const char *space = memchr(s.at, ' ', s.len);
    const unsigned lines = h->lines;
    span rest;
    uint64_t status;

    if (!space)
        return false;
    rest = trim((span){ space, (size_t)(s.at + s.len - space) });
    if (!take_u64(&rest, &status) || status < 100 || status > 599)
        return false;
    memset(h, 0, sizeof *h);
    h->status = (int)status;
    h->lines = lines; /* interim answers are no way to send lines without end */
    return true;
}

bool rc_http_head_line(rc_http_head *head, const char *line, size_t len)
{
    span s = { line, len };
    const char *colon;

    if (len > RC_HTTP_MAX_LINE || ++head->lines > RC_HTTP_MAX_LINES || memchr(line, '\0', len))
        return false;
    if (head->whole)
        return true; /* trailers of a chunked body say nothing to us */
    s = trim(s);
    if (s.len >= 5 && memcmp(s.at, "HTTP/", 5) == 0)
        return parse_status(head, s);
    if (s.len == 0) {
        head->whole = head->status >= 200;
        return true;
    }
    colon = memchr(s.at, ':', s.len);
    if (colon)
        parse_field(head, (span){ s.at, (size_t)(colon - s.at) },
                    trim((span){ colon + 1, (size_t)(s.at + s.len - colon - 1) }));
    return true;
}

/* `"api";r=0;t=55`: none remain, more in 55 seconds. */
static double of_rate_limit(const char *text)
{
    const char *t = strstr(text, ";t=");
    uint64_t seconds;
    span s;

    if (!strstr(text, ";r=0") || !t)
        return 0;
    s = (span){ t + 3, strlen(t + 3) };
    return take_u64(&s, &seconds) ? (double)seconds : 0;
}

double rc_http_head_wait(const rc_http_head *head, int64_t now)
{
    const span s = { head->retry_after, strlen(head->retry_after) };
    uint64_t seconds;
    time_t until, from;

    if (!s.len)
        return of_rate_limit(head->rate_limit);
    if (whole_u64(s, &seconds))
        return (double)seconds;
    until = curl_getdate(head->retry_after, NULL);
    from = curl_getdate(head->date, NULL);
    if (until == -1)
        return 0;
    if (from == -1)
        from = (time_t)now;
    return until > from ? (double)(until - from) : 0;
}
