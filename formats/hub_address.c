/* formats/hub_address.c - see hub_address.h. */
#include "formats/hub_address.h"

#include <string.h>
#include <strings.h>

#define FORM "hf://ORG/NAME[@REVISION][/SUBFOLDER]"

bool rc_is_hub_address(const char *where)
{
    return strncasecmp(where, "hf://", 5) == 0;
}

bool rc_is_web_address(const char *where)
{
    return strncasecmp(where, "https://", 8) == 0 || strncasecmp(where, "http://", 7) == 0;
}

static bool ends_with(const char *s, const char *end)
{
    const size_t len = strlen(s), n = strlen(end);

    return len > n && s[len - n - 1] != '/' && strcmp(s + len - n, end) == 0;
}

bool rc_names_file(const char *path)
{
    return ends_with(path, ".gguf") || ends_with(path, ".rcz");
}

static rc_code fail(rc_err *err, const char *what)
{
    rc_fail(err, RC_E_USAGE, RC_NO_OFFSET, "%s", what);
    rc_err_hint(err, "such an address looks like this: " FORM);
    return RC_E_USAGE;
}

/* What a hub allows in the name of a user or a repository. */
static bool is_name(const char *s, size_t len)
{
    if (len == 0 || len > 96 || s[0] == '.' || s[0] == '-' || s[len - 1] == '.' ||
        s[len - 1] == '-')
        return false;
    for (size_t i = 0; i < len; i++) {
        const bool letter = (s[i] | 32) >= 'a' && (s[i] | 32) <= 'z';

        if (!letter && !(s[i] >= '0' && s[i] <= '9') && (!s[i] || !strchr("-._", s[i])))
            return false;
        if (i && (s[i] == '.' || s[i] == '-') && s[i] == s[i - 1])
            return false;
    }
    return true;
}

/* "refs/pr/1" and "refs/convert/parquet" have slashes of their own. */
static size_t revision_length(const char *s)
{
    size_t n = strcspn(s, "/");

    if (strncmp(s, "refs/pr/", 8) == 0)
        n = 8 + strcspn(s + 8, "/");
    else if (strncmp(s, "refs/convert/", 13) == 0)
        n = 13 + strcspn(s + 13, "/");
    return n;
}

static int hex(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 87 : -1;
}

/* A branch may hold what an address may not: "refs%2Fpr%2F1". */
static bool copy_revision(char *to, size_t n, const char *s, size_t len)
{
    size_t k = 0;

    for (size_t i = 0; i < len; i++, k++) {
        const bool coded = i + 2 < len && s[i] == '%' && hex(s[i + 1]) >= 0 && hex(s[i + 2]) >= 0;
        const int c = coded ? 16 * hex(s[i + 1]) + hex(s[i + 2]) : (unsigned char)s[i];

        if (k + 1 >= n || c <= ' ' || c >= 127)
            return false;
        to[k] = (char)c;
        i += coded ? 2 : 0;
    }
    to[k] = '\0';
    return k > 0 && !strstr(to, "..");
}

/* "a/b": no empty part, none that is "." or "..", nothing that is no text. */
static bool is_path(const char *s)
{
    for (const char *p = s; *p;) {
        const size_t n = strcspn(p, "/");

        if (n == 0 || (n == 1 && p[0] == '.') || (n == 2 && p[0] == '.' && p[1] == '.'))
            return false;
        for (size_t i = 0; i < n; i++)
            if ((unsigned char)p[i] < ' ' || p[i] == 127 || strchr("\\?#", p[i]))
                return false;
        p += n;
        if (*p == '/' && !*++p)
            return false;
    }
    return true;
}

static rc_code parse_path(rc_hub_address *out, const char *s, rc_err *err)
{
    size_t len = strlen(s);
    char *slash;

    while (len && s[len - 1] == '/')
        len--;
    if (len >= sizeof out->folder)
        return fail(err, "the subfolder's name is too long");
    memcpy(out->folder, s, len);
    out->folder[len] = '\0';
    if (!is_path(out->folder))
        return fail(err, "a subfolder is named by its folders, without '..', '?' and the like");
    if (!rc_names_file(out->folder))
        return RC_OK;
    slash = strrchr(out->folder, '/');
    if (strlen(slash ? slash + 1 : out->folder) >= sizeof out->file)
        return fail(err, "the file's name is too long");
    strcpy(out->file, slash ? slash + 1 : out->folder);
    *(slash ? slash : out->folder) = '\0';
    return RC_OK;
}

rc_code rc_hub_address_parse(rc_hub_address *out, const char *where, rc_err *err)
{
    const char *org = where + 5, *name = strchr(org, '/'), *rest;
    size_t org_len, name_len;

    *out = (rc_hub_address){ .revision = "main" };
    if (!name)
        return fail(err, "an address of a hub has an organisation and a name");
    org_len = (size_t)(name++ - org);
    name_len = strcspn(name, "@/");
    rest = name + name_len;
    if ((org_len == 8 && memcmp(org, "datasets", 8) == 0) ||
        (org_len == 6 && memcmp(org, "spaces", 6) == 0))
        return fail(err, "only repositories of models are read");
    if (!is_name(org, org_len) || !is_name(name, name_len))
        return fail(err, "an address of a hub has an organisation and a name of letters, digits, "
                         "'-', '_' and '.'");
    memcpy(out->repo, org, org_len + 1 + name_len);
    if (*rest == '@') {
        const size_t n = revision_length(++rest);

        if (!copy_revision(out->revision, sizeof out->revision, rest, n))
            return fail(err, "behind '@' belongs a branch, a tag or a commit");
        rest += n;
    }
    return *rest ? parse_path(out, rest + 1, err) : RC_OK;
}

rc_code rc_web_address_check(const char *url, const char *what, rc_err *err)
{
    rc_origin o;

    if (!rc_origin_of(&o, url))
        return rc_fail(err, RC_E_USAGE, RC_NO_OFFSET, "%s is no https:// address", what);
    if (o.has_user) {
        rc_fail(err, RC_E_USAGE, RC_NO_OFFSET, "%s has a user or a password in its address", what);
        rc_err_hint(err, "addresses end up in logs and histories; a token belongs in HF_TOKEN");
        return RC_E_USAGE;
    }
    if (o.has_query)
        return rc_fail(err, RC_E_USAGE, RC_NO_OFFSET, "%s has a '?' or '#' in its address", what);
    if (!o.secure && !rc_origin_is_loopback(&o)) {
        rc_fail(err, RC_E_USAGE, RC_NO_OFFSET,
                "%s is plain http, which anybody on the way can "
                "read and change",
                what);
        rc_err_hint(err, "use https://; http:// is for this machine itself");
        return RC_E_USAGE;
    }
    return RC_OK;
}
