/* formats/base/http_url.c - see http_url.h. */
#include "formats/base/http_url.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* ------------------------------------------------------------------- origins */

static bool copy_part(char *to, size_t n, CURLU *u, CURLUPart part, unsigned flags)
{
    char *text = NULL;
    bool fits = false;

    if (curl_url_get(u, part, &text, flags) == CURLUE_OK && strlen(text) < n) {
        strcpy(to, text);
        fits = true;
    }
    curl_free(text);
    return fits;
}

static bool has_part(CURLU *u, CURLUPart part)
{
    char *text = NULL;
    const bool there = curl_url_get(u, part, &text, 0) == CURLUE_OK;

    curl_free(text);
    return there;
}

bool rc_origin_of(rc_origin *out, const char *url)
{
    CURLU *u = curl_url();
    char scheme[8];
    bool ok;

    *out = (rc_origin){ 0 };
    if (!u)
        return false;
    ok = strlen(url) < RC_URL_MAX && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK &&
         copy_part(scheme, sizeof scheme, u, CURLUPART_SCHEME, 0) &&
         (strcmp(scheme, "https") == 0 || strcmp(scheme, "http") == 0) &&
         copy_part(out->host, sizeof out->host, u, CURLUPART_HOST, 0) &&
         copy_part(out->port, sizeof out->port, u, CURLUPART_PORT, CURLU_DEFAULT_PORT);
    if (ok) {
        out->secure = strcmp(scheme, "https") == 0;
        out->has_user = has_part(u, CURLUPART_USER) || has_part(u, CURLUPART_PASSWORD);
        out->has_query = strchr(url, '?') || strchr(url, '#');
        for (char *c = out->host; *c; c++)
            *c = (char)(*c >= 'A' && *c <= 'Z' ? *c + 32 : *c);
    }
    curl_url_cleanup(u);
    return ok && out->host[0];
}

bool rc_origin_equal(const rc_origin *a, const rc_origin *b)
{
    return a->secure == b->secure && strcmp(a->host, b->host) == 0 && strcmp(a->port, b->port) == 0;
}

/* The host as an IPv6 address, IPv4 mapped into it; false for a name. */
static bool literal(const rc_origin *o, uint8_t ip[16])
{
    static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
    char host[64];
    const size_t len = strlen(o->host);
    char *zone;

    memcpy(ip, mapped, sizeof mapped);
    if (inet_pton(AF_INET, o->host, ip + 12) == 1)
        return true;
    if (len < 4 || len >= sizeof host || o->host[0] != '[')
        return false;
    memcpy(host, o->host + 1, len - 2);
    host[len - 2] = '\0';
    zone = strchr(host, '%');
    if (zone)
        *zone = '\0';
    return inet_pton(AF_INET6, host, ip) == 1;
}

static bool is_v4(const uint8_t ip[16])
{
    static const uint8_t zero[10] = { 0 };

    return memcmp(ip, zero, 10) == 0 && ip[10] == 0xff && ip[11] == 0xff;
}

/* ::1 and ::; what is left of the ten first zeros is no IPv4 then. */
static bool is_tiny(const uint8_t ip[16])
{
    for (int i = 0; i < 15; i++)
        if (ip[i])
            return false;
    return ip[15] <= 1;
}

static bool named_here(const char *host)
{
    static const char here[] = "localhost";
    size_t len = strlen(host);
    const size_t n = sizeof here - 1;

    if (len && host[len - 1] == '.')
        len--;
    if (len < n || memcmp(host + len - n, here, n) != 0)
        return false;
    return len == n || host[len - n - 1] == '.';
}

bool rc_origin_is_loopback(const rc_origin *o)
{
    uint8_t ip[16];

    if (!literal(o, ip))
        return named_here(o->host);
    return is_v4(ip) ? ip[12] == 127 : is_tiny(ip) && ip[15] == 1;
}

bool rc_origin_is_inside(const rc_origin *o)
{
    uint8_t ip[16];
    const uint8_t *v4 = ip + 12;

    if (!literal(o, ip))
        return named_here(o->host);
    if (!is_v4(ip))
        return is_tiny(ip) || (ip[0] & 0xfe) == 0xfc || (ip[0] == 0xfe && (ip[1] & 0xc0) >= 0x80) ||
               ip[0] == 0xff;
    return v4[0] == 0 || v4[0] == 10 || v4[0] == 127 || (v4[0] == 100 && (v4[1] & 0xc0) == 64) ||
           (v4[0] == 169 && v4[1] == 254) || (v4[0] == 172 && (v4[1] & 0xf0) == 16) ||
           (v4[0] == 192 && v4[1] == 168) || v4[0] >= 224;
}

rc_code rc_origin_may_lead(const rc_origin *first, const rc_origin *from, const rc_origin *to,
                           rc_err *err)
{
    char host[256];

    rc_escape(host, sizeof host, to->host, strlen(to->host));
    if (from->secure && !to->secure)
        return rc_fail(err, RC_E_PROTOCOL, RC_NO_OFFSET,
                       "refused a redirect from https to plain http at %s", host);
    if (rc_origin_is_inside(to) && !rc_origin_is_loopback(first) && !rc_origin_equal(first, to))
        return rc_fail(err, RC_E_UNSAFEPATH, RC_NO_OFFSET,
                       "refused a redirect to the inner address %s", host);
    if (!to->secure && !rc_origin_is_loopback(to))
        return rc_fail(err, RC_E_PROTOCOL, RC_NO_OFFSET, "refused a redirect to plain http at %s",
                       host);
    return RC_OK;
}

/* ----------------------------------------------------------------- addresses */

/* "file:///x", "data:,x": a scheme, and not ours. */
static bool foreign_scheme(const char *location)
{
    size_t n = 0;

    while ((location[n] | 32) >= 'a' && (location[n] | 32) <= 'z')
        n++;
    return n && location[n] == ':' && strncasecmp(location, "http:", 5) != 0 &&
           strncasecmp(location, "https:", 6) != 0;
}

rc_code rc_url_join(char **out, const char *base, const char *location, rc_mem *mem, rc_err *err)
{
    CURLU *u = curl_url();
    char *text = NULL;
    rc_code rc = RC_OK;
    rc_origin origin;

    *out = NULL;
    if (!u)
        return rc_fail(err, RC_E_OS, RC_NO_OFFSET, "out of memory");
    if (foreign_scheme(location))
        rc = rc_fail(err, RC_E_UNSAFEPATH, RC_NO_OFFSET,
                     "refused a redirect to what is neither http nor https");
    else if (strlen(location) >= RC_URL_MAX ||
             curl_url_set(u, CURLUPART_URL, base, 0) != CURLUE_OK ||
             curl_url_set(u, CURLUPART_URL, location, CURLU_URLENCODE) != CURLUE_OK ||
             curl_url_set(u, CURLUPART_FRAGMENT, NULL, 0) != CURLUE_OK ||
             curl_url_get(u, CURLUPART_URL, &text, 0) != CURLUE_OK || strlen(text) >= RC_URL_MAX ||
             !rc_origin_of(&origin, text) || origin.has_user)
        rc =
            rc_fail(err, RC_E_PROTOCOL, RC_NO_OFFSET, "the server redirects to what is no address");
    if (rc == RC_OK) {
        *out = rc_mem_strdup(mem, text, strlen(text));
        if (!*out)
            rc = rc_fail_nomem(err, mem, strlen(text) + 1);
    }
    curl_free(text);
    curl_url_cleanup(u);
    return rc;
}

const char *rc_url_show(const char *url, char *buf, size_t n)
{
    const char *host = strstr(url, "://"), *at, *end;
    char scheme[16] = "";

    if (host && (size_t)(host - url) < sizeof scheme - 3) {
        memcpy(scheme, url, (size_t)(host - url) + 3);
        url = host + 3;
    }
    end = url + strcspn(url, "?#");
    for (at = url + strcspn(url, "/?#"); at > url && at[-1] != '@'; at--)
        ;
    if (at > url)
        url = at; /* user and password lie before the '@' of the authority */
    if (n > strlen(scheme)) {
        strcpy(buf, scheme);
        rc_escape(buf + strlen(scheme), n - strlen(scheme), url, (size_t)(end - url));
    } else if (n) {
        buf[0] = '\0';
    }
    return buf;
}

bool rc_url_encode(char *to, size_t n, const char *path)
{
    size_t len = strlen(to);

    for (; *path; path++) {
        const unsigned char c = (unsigned char)*path;
        const bool plain = (c | 32) >= 'a' ? (c | 32) <= 'z' && c < 128
                                           : (c >= '0' && c <= '9') || strchr("-._~/", c);

        if (len + 4 > n)
            return false;
        if (plain)
            to[len++] = (char)c;
        else
            len += (size_t)snprintf(to + len, 4, "%%%02X", c);
        to[len] = '\0';
    }
    return true;
}
