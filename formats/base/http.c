/* formats/base/http.c - see http.h: connections, redirects, tries. */
#include "formats/base/http.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "formats/base/hash.h"
#include "formats/base/http_try.h"
#include "formats/base/http_wait.h"

enum {
    MAX_HOPS = 10,
    WORTH_A_NOTE = 4, /* seconds of waiting */
    NOTES_APART = 15,
};

struct rc_http {
    rc_mem *mem;
    char *authorization; /* header line, or NULL */
    rc_origin token_origin;
    char *ca_file;
    unsigned retries, timeout, connections;
    _Atomic uint64_t fetched;
    const _Atomic bool *leaving; /* or NULL */
    const rc_log *log;           /* or NULL */
    _Atomic uint64_t told;       /* second of the last note, of rc_http_now(); 0: none yet */

    pthread_mutex_t lock; /* of what follows, and of files' `resolved` and `identity` */
    pthread_cond_t returned;
    rc_http_conn *idle; /* the one used last comes first: it is the one still open */
    unsigned busy;
    uint64_t chance;
};

/* ------------------------------------------------------------- making, freeing */

static bool library_failed;

static void start_library(void)
{
    library_failed = curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK;
}

static char *authorization_of(const char *token, rc_mem *mem)
{
    static const char begin[] = "Authorization: Bearer ";
    char *line = rc_mem_get(mem, sizeof begin + strlen(token));

    if (line) {
        strcpy(line, begin);
        strcpy(line + sizeof begin - 1, token);
    }
    return line;
}

rc_code rc_http_new(rc_http **out, const rc_http_opts *opts, rc_mem *mem, rc_err *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    rc_http *http = rc_mem_get(mem, sizeof *http);
    struct timespec now;

    *out = NULL;
    if (!http)
        return rc_fail_nomem(err, mem, sizeof *http);
    pthread_once(&once, start_library);
    clock_gettime(CLOCK_MONOTONIC, &now);
    http->mem = mem;
    http->retries = opts->retries;
    http->timeout = opts->timeout;
    http->connections = opts->connections;
    http->leaving = opts->leaving;
    http->log = opts->log;
    http->chance = ((uint64_t)now.tv_nsec << 20 ^ (uint64_t)now.tv_sec ^ (uintptr_t)http) | 1;
    pthread_mutex_init(&http->lock, NULL);
    pthread_cond_init(&http->returned, NULL);
    if (opts->ca_file)
        http->ca_file = rc_mem_strdup(mem, opts->ca_file, strlen(opts->ca_file));
    if (opts->token && rc_origin_of(&http->token_origin, opts->token_origin))
        http->authorization = authorization_of(opts->token, mem);
    if ((opts->ca_file && !http->ca_file) ||
        (opts->token && http->token_origin.host[0] && !http->authorization) || library_failed) {
        rc_http_free(&http);
        return rc_fail_nomem(err, mem, sizeof *http);
    }
    *out = http;
    return RC_OK;
}

void rc_http_free(rc_http **phttp)
{
    rc_http *http = *phttp;

    *phttp = NULL;
    if (!http)
        return;
    while (http->idle) {
        rc_http_conn *c = http->idle;

        http->idle = c->next;
        rc_http_conn_free(c, http->mem);
    }
    pthread_cond_destroy(&http->returned);
    pthread_mutex_destroy(&http->lock);
    rc_mem_put(http->mem, http->ca_file);
    rc_mem_put(http->mem, http->authorization);
    rc_mem_put(http->mem, http);
}

uint64_t rc_http_fetched(const rc_http *http)
{
    return http->fetched;
}

uint64_t rc_http_version(const rc_http_file *file)
{
    uint64_t n = 0;
    rc_digest d;

    if (!file->identity)
        return 0;
    d = rc_hash(file->identity, strlen(file->identity));
    memcpy(&n, d.bytes, sizeof n);
    return n;
}

void rc_http_forget(rc_http *http, rc_http_file *file)
{
    rc_mem_put(http->mem, file->resolved);
    rc_mem_put(http->mem, file->identity);
    file->resolved = file->identity = NULL;
}

/* ----------------------------------------------------------------- connections */

static rc_code borrow(rc_http *http, rc_http_conn **out, rc_err *err)
{
    rc_http_conn *c;

    pthread_mutex_lock(&http->lock);
    while (http->connections && http->busy >= http->connections)
        pthread_cond_wait(&http->returned, &http->lock);
    http->busy++;
    c = http->idle;
    if (c)
        http->idle = c->next;
    pthread_mutex_unlock(&http->lock);
    if (!c)
        c = rc_http_conn_new(http->mem);
    *out = c;
    if (c)
        return RC_OK;
    pthread_mutex_lock(&http->lock);
    http->busy--;
    pthread_cond_signal(&http->returned);
    pthread_mutex_unlock(&http->lock);
    return rc_fail(err, RC_E_OS, RC_NO_OFFSET, "out of memory for a connection");
}

static void give_back(rc_http *http, rc_http_conn *c)
{
    pthread_mutex_lock(&http->lock);
    c->next = http->idle;
    http->idle = c;
    http->busy--;
    pthread_cond_signal(&http->returned);
    pthread_mutex_unlock(&http->lock);
}

/* 0 .. 1, for jitter only */
static double draw(rc_http *http)
{
    uint64_t x;

    pthread_mutex_lock(&http->lock);
    x = http->chance;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    http->chance = x;
    pthread_mutex_unlock(&http->lock);
    return (double)(x >> 11) / 9007199254740992.0;
}

/* ------------------------------------------------------------- what is learnt */

/* Messages say which server it was. */
static void name_host(rc_err *err, const char *url)
{
    rc_origin origin;
    char text[180], host[72];

    if (!err || !rc_origin_of(&origin, url))
        return;
    rc_escape(host, sizeof host, origin.host, strlen(origin.host));
    snprintf(text, sizeof text, "%.179s", err->msg);
    if (!strstr(text, host))
        snprintf(err->msg, sizeof err->msg, "%s (%s)", text, host);
}

/* What a hub says about a file along with the bytes or with the way to them. */
static rc_code check_stated(rc_http_conn *c, const rc_http_file *file, rc_err *err)
{
    const rc_http_head *h = &c->head;
    char shown[80];

    if (file->commit && h->commit[0] && strcmp(h->commit, file->commit) != 0) {
        rc_fail(err, RC_E_INTEGRITY, RC_NO_OFFSET, "the server answers from another commit");
        rc_err_want(err, "%s", file->commit);
        rc_err_got(err, "%s", rc_escape(shown, sizeof shown, h->commit, strlen(h->commit)));
        return RC_E_INTEGRITY;
    }
    if (h->has_linked_size && file->nbytes != RC_HTTP_UNKNOWN && h->linked_size != file->nbytes) {
        rc_fail(err, RC_E_INTEGRITY, RC_NO_OFFSET, "the file has another size than was listed");
        rc_err_want(err, "%" PRIu64 " bytes", file->nbytes);
        rc_err_got(err, "%" PRIu64, h->linked_size);
        return RC_E_INTEGRITY;
    }
    if (file->linked && strlen(h->linked_etag) == strlen(file->linked) &&
        strcmp(h->linked_etag, file->linked) != 0) {
        rc_fail(err, RC_E_INTEGRITY, RC_NO_OFFSET, "the file has another SHA-256 than was listed");
        rc_err_want(err, "%s", file->linked);
        rc_err_got(err, "%s", rc_escape(shown, sizeof shown, h->linked_etag, 64));
        return RC_E_INTEGRITY;
    }
    return RC_OK;
}

/* Is this answer about the same bytes as the first one? Where a file is spread over several hosts
 * each has its own way to make ETags: they are compared where the host is the same. */
static rc_code check_identity(rc_http *http, rc_http_conn *c, rc_http_file *file, const char *url,
                              rc_err *err)
{
    const char *tag = c->head.etag[0] ? c->head.etag : c->head.last_modified;
    char now[640], before[640] = "";
    rc_origin at;
    size_t host;

    if (!tag[0] || !rc_origin_of(&at, url))
        return RC_OK;
    host = (size_t)snprintf(now, sizeof now, "%s:%s ", at.host, at.port);
    snprintf(now + host, sizeof now - host, "%s", tag);
    pthread_mutex_lock(&http->lock);
    if (file->identity)
        snprintf(before, sizeof before, "%s", file->identity);
    if (strncmp(before, now, host) != 0) {
        rc_mem_put(http->mem, file->identity);
        file->identity = rc_mem_strdup(http->mem, now, strlen(now)); /* NULL: not compared */
        before[0] = '\0';
    }
    pthread_mutex_unlock(&http->lock);
    if (!before[0] || strcmp(before, now) == 0 || (before[host] == '"') != (now[host] == '"'))
        return RC_OK;
    c->final = true; /* no passing fault: what came before is of the other one */
    rc_fail(err, RC_E_INTEGRITY, RC_NO_OFFSET, "the file at the server is another now (ETag)");
    rc_err_want(err, "%.90s", before + host);
    rc_err_got(err, "%.90s", now + host);
    return RC_E_INTEGRITY;
}

static rc_code check(rc_http *http, rc_http_conn *c, rc_http_file *file, const char *url,
                     rc_err *err)
{
    rc_origin at;

    if (!file)
        return RC_OK;
    /* A second host has no say about commits. */
    if (!http->token_origin.host[0] ||
        (rc_origin_of(&at, url) && rc_origin_equal(&at, &http->token_origin)))
        RC_TRY(check_stated(c, file, err));
    return rc_http_is_redirect(c->head.status) ? RC_OK : check_identity(http, c, file, url, err);
}

/* ------------------------------------------------------------------- redirects */

static void set_resolved(rc_http *http, rc_http_file *file, const char *url)
{
    if (!file)
        return;
    pthread_mutex_lock(&http->lock);
    rc_mem_put(http->mem, file->resolved);
    file->resolved = url ? rc_mem_strdup(http->mem, url, strlen(url)) : NULL;
    pthread_mutex_unlock(&http->lock);
}

/* Where to ask first: where redirects led before, or the address itself. A copy. */
static rc_code first_address(char **out, rc_http *http, const rc_http_file *file, const char *url,
                             bool *resolved, rc_err *err)
{
    pthread_mutex_lock(&http->lock);
    *resolved = file && file->resolved;
    url = *resolved ? file->resolved : url;
    *out = rc_mem_strdup(http->mem, url, strlen(url));
    pthread_mutex_unlock(&http->lock);
    return *out ? RC_OK : rc_fail_nomem(err, http->mem, strlen(url));
}

static rc_code ask_one(rc_http *http, rc_http_conn *c, rc_http_ask *ask, rc_http_file *file,
                       const char *url, rc_err *err)
{
    rc_http_try_opts opts = { .ca_file = http->ca_file,
                              .timeout = http->timeout,
                              .leaving = http->leaving };
    const size_t done = ask->done;
    rc_origin at;
    rc_code rc;

    if (http->authorization && rc_origin_of(&at, url) && rc_origin_equal(&at, &http->token_origin))
        opts.authorization = http->authorization;
    rc = rc_http_try(c, ask, url, &opts, err);
    http->fetched += c->fetched;
    /* Bytes of a file that is another one are not kept, however the answer ended. */
    if (c->checked && c->refused == RC_OK && rc != RC_E_STOPPED) {
        rc_err other;
        const rc_code changed = check(http, c, file, url, &other);

        if (changed != RC_OK) {
            ask->done = done < ask->done ? done : ask->done;
            if (err)
                *err = other;
            rc = changed;
        }
    }
    if (rc != RC_OK)
        name_host(err, url);
    return rc;
}

static rc_code follow(rc_http *http, const rc_http_conn *c, const char *first, char **url,
                      unsigned hops, rc_err *err)
{
    rc_origin origin, from, to;
    char *next;
    rc_code rc;

    if (hops == MAX_HOPS)
        return rc_fail(err, RC_E_PROTOCOL, RC_NO_OFFSET, "%d redirects lead nowhere", MAX_HOPS);
    if (!c->head.location[0])
        return rc_fail(err, RC_E_PROTOCOL, RC_NO_OFFSET,
                       "HTTP %d, a redirect without a Location, after %u", c->head.status, hops);
    RC_TRY(rc_url_join(&next, *url, c->head.location, http->mem, err));
    if (!rc_origin_of(&origin, first) || !rc_origin_of(&from, *url) || !rc_origin_of(&to, next))
        rc = rc_fail(err, RC_E_PROTOCOL, RC_NO_OFFSET, "a redirect to what is no address");
    else
        rc = rc_origin_may_lead(&origin, &from, &to, err);
    if (rc != RC_OK) {
        rc_mem_put(http->mem, next);
        return rc;
    }
    rc_mem_put(http->mem, *url);
    *url = next;
    return RC_OK;
}

/* An address that was given out some time ago and is refused now has to be asked for again. */
static bool has_expired(const rc_http_conn *c)
{
    const int s = c->head.status;

    return c->checked && (s == 400 || s == 401 || s == 403 || s == 404 || s == 410);
}

/* One try: along all redirects. *expired: a redirect's target refused. */
static rc_code once(rc_http *http, rc_http_conn *c, rc_http_ask *ask, rc_http_file *file,
                    const char *first, bool *expired, rc_err *err)
{
    unsigned hops = 0;
    bool elsewhere;
    char *url;
    rc_code rc;

    *expired = false;
    RC_TRY(first_address(&url, http, file, first, &elsewhere, err));
    for (;;) {
        rc = ask_one(http, c, ask, file, url, err);
        if (rc != RC_OK || !rc_http_is_redirect(c->head.status))
            break;
        rc = follow(http, c, first, &url, hops, err);
        if (rc != RC_OK) {
            c->final = true;
            name_host(err, url);
            break;
        }
        hops++;
        elsewhere = true;
    }
    if (elsewhere && rc != RC_OK) {
        *expired = has_expired(c);
        set_resolved(http, file, NULL);
    } else if (hops && rc == RC_OK) {
        set_resolved(http, file, url);
    }
    rc_mem_put(http->mem, url);
    return rc;
}

/* ----------------------------------------------------------------------- tries */

static rc_code give_up(rc_http_tries tries, rc_code rc, rc_err *err)
{
    char text[sizeof err->msg];

    if (!err)
        return rc;
    if (tries.failed > 1) {
        snprintf(text, sizeof text, "%s", err->msg);
        snprintf(err->msg, sizeof err->msg, "%.200s; tried %u times", text, tries.failed);
    }
    if (rc == RC_E_TEMPORARY)
        rc_err_hint(err, "run the same command again: it goes on where this one stopped");
    return rc;
}

/* Whoever watches should know why nothing moves: of long waits, of one connection for all. */
static void tell_wait(rc_http *http, double seconds, const rc_err *why)
{
    const uint64_t now = (uint64_t)rc_http_now() + 1;
    uint64_t before = http->told;
    rc_err note = *why;

    if (seconds < WORTH_A_NOTE || !http->log || !http->log->note ||
        (before && now - before < NOTES_APART) ||
        !atomic_compare_exchange_strong(&http->told, &before, now))
        return;
    snprintf(note.msg, sizeof note.msg, "%.200s: tries again in %.0f s", why->msg, seconds);
    note.hint[0] = '\0';
    http->log->note(http->log->ctx, &note);
}

static bool may_pass(rc_code rc)
{
    return rc == RC_E_TEMPORARY || rc == RC_E_PROTOCOL || rc == RC_E_INTEGRITY;
}

static rc_code run(rc_http *http, rc_http_conn *c, rc_http_ask *ask, rc_http_file *file,
                   const char *url, rc_err *err)
{
    rc_http_tries tries = { 0 };
    bool renewed = false;
    double began = rc_http_now();
    rc_err own = { 0 };

    if (!err)
        err = &own;
    for (;;) {
        const size_t before = ask->done;
        bool expired;
        double asked, wait;
        const rc_code rc = once(http, c, ask, file, url, &expired, err);
        const uint64_t more = ask->done > before ? ask->done - before : 0;

        if (rc == RC_OK || rc == RC_E_STOPPED)
            return rc;
        renewed = renewed && !more;
        if (expired && !renewed) {
            renewed = true;
            continue;
        }
        if (!(expired || (may_pass(rc) && !c->final)) ||
            !rc_http_again(&tries, http->retries, rc, more, rc_http_now() - began))
            return give_up(tries, rc, err);
        asked = rc_http_head_wait(&c->head, (int64_t)time(NULL));
        if (asked > RC_HTTP_HOPELESS) {
            rc_err_got(err, "to wait for %.0f seconds", asked);
            rc_err_want(err, "at most %.0f", RC_HTTP_HOPELESS);
            return give_up(tries, rc, err);
        }
        began = rc_http_now();
        wait = rc_http_backoff(tries.failed, draw(http), asked);
        tell_wait(http, wait, err);
        RC_TRY(rc_http_wait(wait, http->leaving, err));
    }
}

/* ------------------------------------------------------------------- interface */

rc_code rc_http_range(rc_http *http, const char *url, rc_http_file *file, uint64_t off, void *buf,
                      size_t nbytes, rc_err *err)
{
    rc_http_ask ask = {
        .what = RC_HTTP_RANGE, .off = off, .buf = buf, .nbytes = nbytes, .total = file->nbytes
    };
    rc_http_conn *c;
    rc_code rc;

    RC_TRY(borrow(http, &c, err));
    rc = run(http, c, &ask, file, url, err);
    if (rc == RC_OK && file->nbytes == RC_HTTP_UNKNOWN && c->head.has_total)
        file->nbytes = c->head.total;
    give_back(http, c);
    if (rc != RC_OK)
        rc_err_offset(err, off + ask.done);
    return rc;
}

/* Servers that make answers only for GET say so in many ways. */
static bool has_no_head(int status)
{
    return status == 400 || status == 403 || status == 405 || status == 501;
}

rc_code rc_http_probe(rc_http *http, const char *url, rc_http_file *file, int *status, rc_err *err)
{
    rc_http_ask ask = { .what = RC_HTTP_HEAD, .total = RC_HTTP_UNKNOWN };
    rc_http_conn *c;
    uint8_t byte;
    rc_code rc;

    RC_TRY(borrow(http, &c, err));
    rc = run(http, c, &ask, file, url, err);
    if ((rc == RC_OK && !c->head.has_length) || (rc != RC_OK && has_no_head(c->head.status))) {
        ask = (rc_http_ask){
            .what = RC_HTTP_RANGE, .buf = &byte, .nbytes = 1, .total = RC_HTTP_UNKNOWN
        };
        rc = run(http, c, &ask, file, url, err);
        if (rc == RC_OK && !c->head.has_total)
            rc = rc_fail(err, RC_E_PROTOCOL, RC_NO_OFFSET, "the server does not tell a size");
        if (rc == RC_OK)
            file->nbytes = c->head.total;
    } else if (rc == RC_OK) {
        file->nbytes = c->head.length;
    }
    if (status)
        *status = c->head.status;
    give_back(http, c);
    return rc;
}

rc_code rc_http_text(rc_http *http, const char *url, size_t max, char **out, size_t *len,
                     rc_http_head *head, rc_mem *mem, rc_err *err)
{
    rc_text text = { .mem = mem };
    rc_http_ask ask = { .what = RC_HTTP_TEXT, .text = &text, .max = max };
    rc_http_conn *c;
    rc_code rc;

    *out = NULL;
    *len = 0;
    if (head)
        *head = (rc_http_head){ 0 };
    RC_TRY(borrow(http, &c, err));
    rc = run(http, c, &ask, NULL, url, err);
    if (head)
        *head = c->head;
    give_back(http, c);
    if (rc == RC_OK)
        rc_text_add(&text, "", 0); /* a text of nothing is one too */
    if (rc == RC_OK && text.len && text.at[strspn(text.at, " \t\r\n")] == '<')
        rc = rc_fail(err, RC_E_DATA, RC_NO_OFFSET,
                     "looks like HTML: a page, not what was asked "
                     "for");
    if (rc == RC_OK)
        return rc_text_take(&text, out, len, err);
    rc_text_free(&text);
    return rc;
}
