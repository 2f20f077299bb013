/* formats/base/http_url.h - addresses of the web: their origin, where they may lead, and how they
 * are shown. An adapter to libcurl's URL parser, so that what is judged here is what it connects
 * to ("0x7f.1" is 127.0.0.1 to both). */
#ifndef RC_FORMATS_BASE_HTTP_URL_H
#define RC_FORMATS_BASE_HTTP_URL_H

#include "formats/base/mem.h"
#include "formats/base/status.h"

#define RC_URL_MAX 8192u /* bytes of an address; signed ones have 2,000 */

/* What decides who may see a secret: the origin of RFC 6454. */
typedef struct rc_origin {
    bool secure;    /* https; else http */
    bool has_user;  /* a user or a password is in the address */
    bool has_query; /* or a fragment */
    char host[256]; /* lower case; numeric IPv4 in its usual form, IPv6 in brackets */
    char port[8];
} rc_origin;

/** False for anything that is no http or https address. */
bool rc_origin_of(rc_origin *out, const char *url);
bool rc_origin_equal(const rc_origin *a, const rc_origin *b);
/** This machine itself: 127.0.0.0/8, ::1, "localhost" and names under it. */
bool rc_origin_is_loopback(const rc_origin *o);
/** A literal address that is no public one: loopback, link-local, private, unspecified. Names are
 *  not resolved: an https server at a name has to prove that it is that name. */
bool rc_origin_is_inside(const rc_origin *o);

/** May an answer of `from`, reached from the user's own address `first`, send us to `to`? Never
 *  from https to http; http only within this machine; never from outside to this machine, its
 *  network neighbours or private addresses.
 *    RC_E_PROTOCOL    from https to http, or to plain http on another machine
 *    RC_E_UNSAFEPATH  to an address inside */
RC_MUST_CHECK
rc_code rc_origin_may_lead(const rc_origin *first, const rc_origin *from, const rc_origin *to,
                           rc_err *err);

/** Where `location`, absolute or relative, leads from `base`: *out is put back to mem.
 *    RC_E_PROTOCOL    it is no address, or longer than RC_URL_MAX
 *    RC_E_UNSAFEPATH  neither http nor https */
RC_MUST_CHECK
rc_code rc_url_join(char **out, const char *base, const char *location, rc_mem *mem, rc_err *err);

/** "https://host/path": without user, password, query and fragment, escaped, cut to n bytes. */
const char *rc_url_show(const char *url, char *buf, size_t n);

/** Append a path's segments, percent-encoded, '/' kept: to[n]. False when it does not fit. */
bool rc_url_encode(char *to, size_t n, const char *path);

#endif
