/* formats/base/http_try.c - see http_try.h.
 *
 * The head is judged when it is whole, before a byte of the body is looked at: an answer that is
 * not what was asked for is cut off there. Bytes go to the place that Content-Range was checked
 * against, and never past the range. */
#include "formats/base/http_try.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "formats/base/http_wait.h"

enum { MAX_SKIPPED = 64 << 10, BUFFER = 256 << 10, SLOW = 1024 /* bytes a second */ };

/* ------------------------------------------------------------ judging the head */

RC_PRINTF(4, 5)
static bool refuse(rc_http_conn *c, rc_code code, bool final, const char *fmt, ...)
{
    char text[200];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    c->refused = rc_fail(&c->err, code, RC_NO_OFFSET, "%s", text);
    c->final = final;
    return false;
}

static bool refuse_size(rc_http_conn *c, uint64_t got)
{
    refuse(c, RC_E_INTEGRITY, false, "the file has another size than was stated");
    rc_err_want(&c->err, "%" PRIu64 " bytes", c->ask->total);
    rc_err_got(&c->err, "%" PRIu64, got);
    return false;
}

/* 206 */
static bool judge_part(rc_http_conn *c)
{
    const rc_http_head *h = &c->head;
    const rc_http_ask *a = c->ask;
    const uint64_t begin = a->off + a->done, last = a->off + a->nbytes - 1;

    if (h->encoded)
        return refuse(c, RC_E_PROTOCOL, false, "the server compresses (Content-Encoding) a range");
    if (!h->has_range)
        return refuse(c, RC_E_PROTOCOL, false, "206 without a Content-Range that is one");
    if (h->has_total && a->total != RC_HTTP_UNKNOWN && h->total != a->total)
        return refuse_size(c, h->total);
    if (h->begin != begin || h->last > last || (h->has_total && h->last >= h->total) ||
        (h->has_length && h->length != h->last - h->begin + 1)) {
        refuse(c, RC_E_PROTOCOL, false, "the server answers with another range");
        rc_err_want(&c->err, "bytes %" PRIu64 "-%" PRIu64, begin, last);
        rc_err_got(&c->err, "%" PRIu64 "-%" PRIu64, h->begin, h->last);
        return false;
    }
    c->expected = (size_t)(h->last - h->begin) + 1; /* fewer than asked for is allowed */
    return true;
}

/* 200 for a range: good where the range is all there is. */
static bool judge_whole(rc_http_conn *c)
{
    const rc_http_head *h = &c->head;
    const rc_http_ask *a = c->ask;

    if (a->off == 0 && a->nbytes == a->total && !h->encoded) {
        if (!h->has_length || h->length == a->total) {
            c->ask->done = 0;
            c->expected = a->nbytes;
            return true;
        }
        if (!h->html)
            return refuse_size(c, h->length);
    }
    if (h->html)
        return refuse(c, RC_E_DATA, true, "looks like HTML: a page, not the file");
    return refuse(c, RC_E_PROTOCOL, false, "the server ignores Range: 200 with the whole file");
}

static bool judge_unsatisfied(rc_http_conn *c)
{
    const rc_http_head *h = &c->head;

    if (h->has_total && c->ask->total != RC_HTTP_UNKNOWN && h->total != c->ask->total)
        return refuse_size(c, h->total);
    return refuse(c, RC_E_PROTOCOL, false, "HTTP 416 for a range inside the file");
}

static bool judge_failure(rc_http_conn *c)
{
    const int status = c->head.status;
    char text[sizeof c->head.error_message] = "";
    const char *said = c->head.error_message;

    rc_escape(text, sizeof text, said, strlen(said));
    if (status == 407)
        return refuse(c, RC_E_DENIED, true, "HTTP 407: the proxy wants a name and a password");
    if (status == 408 || status == 429 || status >= 500)
        return refuse(c, RC_E_TEMPORARY, false, "HTTP %d", status);
    return refuse(c,
                  status == 401 || status == 403 || status == 451 ? RC_E_DENIED
                  : status == 404 || status == 410                ? RC_E_NOINPUT
                                                                  : RC_E_PROTOCOL,
                  true, "HTTP %d%s%s", status, text[0] ? ": " : "", text);
}

/* Is this an answer to go on with? */
static bool judge(rc_http_conn *c)
{
    const int status = c->head.status;
    const rc_http_what what = c->ask->what;

    c->checked = true;
    if (rc_http_is_redirect(status))
        return true;
    if (what == RC_HTTP_RANGE && status == 206)
        return judge_part(c);
    if (what == RC_HTTP_RANGE && status == 200)
        return judge_whole(c);
    if (what == RC_HTTP_RANGE && status == 416)
        return judge_unsatisfied(c);
    if (status != 200)
        return judge_failure(c);
    if (c->head.html)
        return refuse(c, RC_E_DATA, true, "looks like HTML: a page, not what was asked for");
    return true;
}

/* ------------------------------------------------------------------- callbacks */

static size_t on_header(char *line, size_t size, size_t n, void *ctx)
{
    rc_http_conn *c = ctx;

    n *= size;
    if (!rc_http_head_line(&c->head, line, n)) {
        refuse(c, RC_E_PROTOCOL, false, "the server's headers are none, too long or too many");
        return 0;
    }
    /* The body of an answer that is refused is read all the same, if it is short and no part of a
     * file: the connection can then be used again. */
    if (c->head.whole && !c->checked && !judge(c) && c->head.status < 300)
        return 0;
    return n;
}

static size_t on_body(char *data, size_t size, size_t n, void *ctx)
{
    rc_http_conn *c = ctx;
    rc_http_ask *a = c->ask;

    n *= size;
    if (c->refused || rc_http_is_redirect(c->head.status) || a->what == RC_HTTP_HEAD) {
        c->skipped += n;
        return c->skipped > MAX_SKIPPED ? 0 : n;
    }
    c->fetched += n;
    if (a->what == RC_HTTP_TEXT) {
        if (n > a->max - a->text->len) {
            refuse(c, RC_E_LIMIT, true, "the answer is larger than %zu bytes", a->max);
            return 0;
        }
        rc_text_add(a->text, data, n);
        return a->text->failed ? 0 : n;
    }
    if (n > c->expected) { /* drops the connection: nothing behind this is what it seems */
        memcpy(a->buf + a->done, data, c->expected);
        a->done += c->expected;
        c->expected = 0;
        return 0;
    }
    memcpy(a->buf + a->done, data, n);
    a->done += n;
    c->expected -= n;
    return n;
}

static int on_progress(void *ctx, curl_off_t a, curl_off_t b, curl_off_t x, curl_off_t y)
{
    const rc_http_try_opts *opts = ctx;

    (void)a, (void)b, (void)x, (void)y;
    return rc_http_go_on(opts->leaving, NULL) != RC_OK;
}

/* -------------------------------------------------------------------- one try */

static void prepare(rc_http_conn *c, const char *url, const char *range,
                    const rc_http_try_opts *opts, struct curl_slist *lines)
{
    CURL *h = c->curl;

    curl_easy_reset(h); /* options only: the connection stays open */
    curl_easy_setopt(h, CURLOPT_URL, url);
    curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(h, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(h, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(h, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    curl_easy_setopt(h, CURLOPT_USERAGENT, "recast/" RC_VERSION);
    curl_easy_setopt(h, CURLOPT_HTTPHEADER, lines);
    curl_easy_setopt(h, CURLOPT_BUFFERSIZE, (long)BUFFER);
    curl_easy_setopt(h, CURLOPT_ERRORBUFFER, c->said);
    curl_easy_setopt(h, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(h, CURLOPT_HEADERDATA, c);
    curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(h, CURLOPT_WRITEDATA, c);
    curl_easy_setopt(h, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(h, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(h, CURLOPT_XFERINFODATA, opts);
    curl_easy_setopt(h, CURLOPT_CONNECTTIMEOUT, (long)opts->timeout);
    curl_easy_setopt(h, CURLOPT_LOW_SPEED_LIMIT, (long)SLOW);
    curl_easy_setopt(h, CURLOPT_LOW_SPEED_TIME, (long)opts->timeout);
    if (opts->ca_file)
        curl_easy_setopt(h, CURLOPT_CAINFO, opts->ca_file);
    if (c->ask->what == RC_HTTP_RANGE)
        curl_easy_setopt(h, CURLOPT_RANGE, range);
    else if (c->ask->what == RC_HTTP_TEXT)
        curl_easy_setopt(h, CURLOPT_ACCEPT_ENCODING, "gzip");
    else
        curl_easy_setopt(h, CURLOPT_NOBODY, 1L);
}

static rc_code fail_curl(rc_http_conn *c, CURLcode code, unsigned timeout, rc_err *err)
{
    char said[160];

    rc_escape(said, sizeof said, c->said, strlen(c->said));
    switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT:
        rc_fail(err, RC_E_TEMPORARY, RC_NO_OFFSET, "%s", said[0] ? said : curl_easy_strerror(code));
        rc_err_hint(err, "is there a network, and is the address right (HF_ENDPOINT, https_proxy)? "
                         "Then run the same command again: it goes on where this one stopped");
        return RC_E_TEMPORARY;
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
        return rc_fail(err, strstr(said, "chunk") ? RC_E_PROTOCOL : RC_E_TEMPORARY, RC_NO_OFFSET,
                       "%s", said[0] ? said : curl_easy_strerror(code));
    case CURLE_SSL_CONNECT_ERROR:
        c->final = !strstr(said, "SYSCALL") && !strstr(said, "eof") && !strstr(said, "reset");
        return rc_fail(err, c->final ? RC_E_PROTOCOL : RC_E_TEMPORARY, RC_NO_OFFSET,
                       "no TLS connection: %s", said);
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
        return rc_fail(err, RC_E_TEMPORARY, RC_NO_OFFSET, "the connection was closed too early");
    case CURLE_OPERATION_TIMEDOUT:
        return rc_fail(err, RC_E_TEMPORARY, RC_NO_OFFSET,
                       "no answer, or less than 1 KB/s, for %u seconds", timeout);
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_INVALIDCERTSTATUS:
        c->final = true;
        rc_fail(err, RC_E_PROTOCOL, RC_NO_OFFSET, "the server's certificate is not believed: %s",
                said);
        rc_err_hint(err, "if it is your own server: --ca-file with the certificate of its issuer");
        return RC_E_PROTOCOL;
    case CURLE_SSL_CACERT_BADFILE:
        c->final = true;
        return rc_fail(err, RC_E_NOINPUT, RC_NO_OFFSET, "certificates cannot be read: %s", said);
    case CURLE_OUT_OF_MEMORY: /* also its own cap on the length of a header's line */
        if (c->head.status && !c->head.whole)
            return rc_fail(err, RC_E_PROTOCOL, RC_NO_OFFSET, "a header's line is too long");
        c->final = true;
        return rc_fail(err, RC_E_OS, RC_NO_OFFSET, "out of memory in the HTTP library");
    default:
        return rc_fail(err, RC_E_PROTOCOL, RC_NO_OFFSET, "broken HTTP: %s",
                       said[0] ? said : curl_easy_strerror(code));
    }
}

static rc_code fail_proxy(rc_http_conn *c, long status, rc_err *err)
{
    if (status != 407)
        return rc_fail(err, RC_E_TEMPORARY, RC_NO_OFFSET, "the proxy refuses: HTTP %ld", status);
    c->final = true;
    return rc_fail(err, RC_E_DENIED, RC_NO_OFFSET,
                   "HTTP 407: the proxy wants a name and a password");
}

static rc_code outcome(rc_http_conn *c, CURLcode code, const rc_http_try_opts *opts, rc_err *err)
{
    const rc_http_ask *a = c->ask;
    long proxy = 0;

    RC_TRY(rc_http_go_on(opts->leaving, err));
    if (c->refused) {
        if (err)
            *err = c->err;
        return c->refused;
    }
    if (a->what == RC_HTTP_TEXT && a->text->failed) {
        c->final = true;
        return rc_fail_nomem(err, a->text->mem, a->max);
    }
    if (c->checked && rc_http_is_redirect(c->head.status))
        return RC_OK; /* whatever became of its body */
    if (a->what == RC_HTTP_RANGE && c->checked && a->done == a->nbytes)
        return RC_OK;
    if (code != CURLE_OK) {
        curl_easy_getinfo(c->curl, CURLINFO_HTTP_CONNECTCODE, &proxy);
        return proxy >= 300 && !c->head.status ? fail_proxy(c, proxy, err)
                                               : fail_curl(c, code, opts->timeout, err);
    }
    if (!c->checked)
        return rc_fail(err, RC_E_PROTOCOL, RC_NO_OFFSET, "the answer has no head that is whole");
    if (a->what == RC_HTTP_RANGE)
        return rc_fail(err, RC_E_TEMPORARY, RC_NO_OFFSET, "the answer ended too early");
    return RC_OK;
}

rc_code rc_http_try(rc_http_conn *c, rc_http_ask *ask, const char *url,
                    const rc_http_try_opts *opts, rc_err *err)
{
    struct curl_slist *lines = NULL;
    char range[64];
    CURLcode code;

    c->ask = ask;
    c->checked = c->final = false;
    c->refused = RC_OK;
    c->expected = c->skipped = 0;
    c->fetched = 0;
    c->said[0] = '\0';
    memset(&c->head, 0, sizeof c->head);
    if (ask->what == RC_HTTP_TEXT)
        ask->text->len = 0;
    else
        lines = curl_slist_append(lines, "Accept-Encoding: identity");
    if (opts->authorization) {
        struct curl_slist *more = curl_slist_append(lines, opts->authorization);

        if (!more) {
            curl_slist_free_all(lines);
            return rc_fail(err, RC_E_OS, RC_NO_OFFSET, "out of memory");
        }
        lines = more;
    }
    snprintf(range, sizeof range, "%" PRIu64 "-%" PRIu64, ask->off + ask->done,
             ask->off + ask->nbytes - 1);
    prepare(c, url, range, opts, lines);
    code = curl_easy_perform(c->curl);
    curl_slist_free_all(lines);
    return outcome(c, code, opts, err);
}

rc_http_conn *rc_http_conn_new(rc_mem *mem)
{
    rc_http_conn *c = rc_mem_get(mem, sizeof *c);

    if (!c)
        return NULL;
    c->curl = curl_easy_init();
    if (!c->curl) {
        rc_mem_put(mem, c);
        return NULL;
    }
    return c;
}

void rc_http_conn_free(rc_http_conn *c, rc_mem *mem)
{
    curl_easy_cleanup(c->curl);
    rc_mem_put(mem, c);
}
