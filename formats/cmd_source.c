/* formats/cmd_source.c - see cmd_source.h. */
#include "formats/cmd_source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "formats/base/io.h"
#include "formats/hub_address.h"

enum { MAX_TOKEN = 4096, RETRIES = 8, TIMEOUT = 30 };

static struct {
    const char *endpoint, *ca_file, *cache, *token;
    uint64_t cache_limit, connections, retries, timeout;
    bool offline;
} want = { .retries = RETRIES, .timeout = TIMEOUT };

static rc_source_opts opts;
static char token[MAX_TOKEN + 2];

static const rc_opt options[] = {
    { "endpoint", RC_OPT_STR, "URL", "hub of hf:// (default: HF_ENDPOINT, or " RC_HUB_ENDPOINT ")",
      &want.endpoint, 0, 0 },
    { "connections", RC_OPT_U64, "N", "requests at a time, at most (default: found by trying)",
      &want.connections, 1, 64 },
    { "retries", RC_OPT_U64, "N", "tries of a request beyond the first (default: 8)", &want.retries,
      0, 1000 },
    { "timeout", RC_OPT_U64, "SECONDS", "below 1 KB/s for so long a try has failed (default: 30)",
      &want.timeout, 1, 3600 },
    { "ca-file", RC_OPT_STR, "FILE", "certificates to believe beside the system's (PEM)",
      &want.ca_file, 0, 0 },
    { "cache", RC_OPT_STR, "DIR", "keep what is fetched in this folder (default: nothing is kept)",
      &want.cache, 0, 0 },
    { "cache-limit", RC_OPT_SIZE, "BYTES", "what the folder may hold (default: as the disk allows)",
      &want.cache_limit, 1 << 20, UINT64_MAX >> 1 },
    { "offline", RC_OPT_FLAG, NULL, "open no socket (also: HF_HUB_OFFLINE=1)", &want.offline, 0,
      0 },
    { "token", RC_OPT_REFUSED, NULL,
      "a command line is seen by everybody on this machine: set HF_TOKEN, or log in with hf auth "
      "login",
      &want.token, 0, 0 },
    { 0 },
};

/* --------------------------------------------------------------------- tokens */

RC_PRINTF(1, 2)
static int fail_config(const char *fmt, ...)
{
    rc_err err;
    char text[200];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    rc_fail(&err, RC_E_CONFIG, RC_NO_OFFSET, "%s", text);
    return rc_cli_fail(&err);
}

/* What an editor or `cat` leaves around it is no part of a token; what would end a header's line,
 * and anything else that no token has, is not sent anywhere. `from` says where it was found. */
static int take_token(const char *text, const char *from)
{
    size_t len;

    text += strspn(text, " \t\r\n");
    len = strlen(text);
    while (len && strchr(" \t\r\n", text[len - 1]))
        len--;
    if (len > MAX_TOKEN)
        return fail_config("%s: too long for a token", from);
    for (size_t i = 0; i < len; i++)
        if (text[i] <= ' ' || text[i] > '~')
            return fail_config("%s: a token has no spaces and no control characters", from);
    memcpy(token, text, len);
    token[len] = '\0';
    opts.token = len ? token : NULL;
    return -1;
}

/* Where huggingface_hub keeps it. */
static void token_path(char *path, size_t n)
{
    static const struct {
        const char *variable, *rest;
    } places[] = { { "HF_TOKEN_PATH", "" },
                   { "HF_HOME", "/token" },
                   { "XDG_CACHE_HOME", "/huggingface/token" },
                   { "HOME", "/.cache/huggingface/token" } };

    path[0] = '\0';
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        const char *value = getenv(places[i].variable);

        if (value && *value) {
            if ((size_t)snprintf(path, n, "%s%s", value, places[i].rest) >= n)
                path[0] = '\0';
            return;
        }
    }
}

static int token_of_file(void)
{
    char path[4096], text[MAX_TOKEN + 64], shown[200];
    struct stat st;
    size_t len;
    int fd, errnum;

    token_path(path, sizeof path);
    fd = path[0] ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY) : -1;
    if (fd < 0)
        return -1; /* nobody logged in */
    errnum = fstat(fd, &st) == 0 ? rc_pread_all(fd, text, sizeof text - 1, 0, &len) : errno;
    close(fd);
    rc_escape(shown, sizeof shown, path, strlen(path));
    if (errnum > 0 || !S_ISREG(st.st_mode))
        return fail_config("%s: the token's file cannot be read", shown);
    text[len] = '\0';
    if (strlen(text) != len)
        return fail_config("%s: a token has no spaces and no control characters", shown);
    if (st.st_mode & 077)
        rc_warn(rc_cli_log(), path, NULL, RC_NO_OFFSET,
                "the token's file can be read by others: chmod 600");
    return take_token(text, shown);
}

static int find_token(void)
{
    static const char *const variables[] = { "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN" };

    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) {
        const char *value = getenv(variables[i]);

        if (value && *value)
            return take_token(value, variables[i]);
    }
    return token_of_file();
}

/* ----------------------------------------------------------------- environment */

static int find_endpoint(void)
{
    const char *value = getenv("HF_ENDPOINT");
    rc_err err;

    opts.endpoint = want.endpoint;
    if (want.endpoint)
        return rc_web_address_check(want.endpoint, "--endpoint", &err) == RC_OK ? -1
                                                                                : rc_cli_fail(&err);
    if (!value || !*value)
        return -1;
    opts.endpoint = value;
    if (rc_web_address_check(value, "HF_ENDPOINT", &err) == RC_OK)
        return -1;
    rc_recode(&err, RC_E_CONFIG);
    return rc_cli_fail(&err);
}

static bool is_offline(void)
{
    static const char *const yes[] = { "1", "on", "yes", "true" };
    const char *value = getenv("HF_HUB_OFFLINE");

    for (size_t i = 0; value && i < sizeof yes / sizeof *yes; i++)
        if (strcasecmp(value, yes[i]) == 0)
            return true;
    return false;
}

/* The environment is looked at where it matters: a token that is none disturbs nobody who works
 * on local files. */
static int finish(const char *const *args, unsigned nargs)
{
    bool hub = false, web = false;
    int code = -1;

    opts = (rc_source_opts){ .ca_file = want.ca_file,
                             .cache = want.cache,
                             .cache_limit = want.cache_limit,
                             .connections = (unsigned)want.connections,
                             .retries = (unsigned)want.retries,
                             .no_retries = want.retries == 0,
                             .timeout = (unsigned)want.timeout,
                             .offline = want.offline,
                             .log = rc_cli_log() };
    for (unsigned i = 0; i < nargs; i++) {
        hub = hub || rc_is_hub_address(args[i]);
        web = web || rc_is_web_address(args[i]);
    }
    if (want.cache_limit && !want.cache)
        return rc_cli_usage("--cache-limit is for --cache DIR");
    if (hub || web)
        opts.offline = want.offline || is_offline();
    if (hub && !opts.offline) {
        code = find_endpoint();
        if (code < 0)
            code = find_token();
    }
    return code;
}

const rc_opt_group rc_source_group = { "sources (hf://ORG/NAME[@REVISION], https://HOST/FOLDER)",
                                       options, finish };

const rc_source_opts *rc_cmd_sources(void)
{
    return &opts;
}

int rc_cmd_refuse_address(const char *dst)
{
    if (!dst || (!rc_is_hub_address(dst) && !rc_is_web_address(dst)))
        return -1;
    return rc_cli_usage("%s: results are written to this machine, not to an address", dst);
}
