/* formats/base/cli.c - options, help and messages. Progress is in ticker.c. */
#include "formats/base/cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "formats/base/io.h"
#include "formats/base/json.h"
#include "formats/base/stop.h"

rc_common rc_cli;
static const char *errors_style;
static bool warned;

enum { OWN_OPTS = 64, GROUP_OPTS = 16 }; /* at most, of a command and of what commands share */

static const rc_opt common[] = {
    { "quiet", RC_OPT_FLAG, NULL, "only errors", &rc_cli.quiet, 0, 0 },
    { "strict", RC_OPT_FLAG, NULL, "treat warnings about the input as errors", &rc_cli.strict, 0,
      0 },
    { "errors", RC_OPT_CHOICE, "text|json", "how errors are printed (default: text)", &errors_style,
      0, 0 },
    { "cpu", RC_OPT_CHOICE, "ref|avx2|avx512|avx512bf16",
      "use these kernels at most (default: the best this machine has)", &rc_cli.cpu, 0, 0 },
    { 0 },
};

/* messages */

static void put_line(const char *text)
{
    char line[1400];
    const int n = snprintf(line, sizeof line, "%s\n", text);
    size_t left = n < 0 ? 0 : (size_t)n < sizeof line ? (size_t)n : sizeof line - 1;
    const char *p = line;

    /* One write a line, so that lines of several processes do not mix; patience
     * with a pipe that is set non-blocking. */
    for (unsigned tries = 0; left && tries < 2000; tries++) {
        const ssize_t w = write(STDERR_FILENO, p, left);

        if (w > 0) {
            p += w;
            left -= (size_t)w;
        } else if (w < 0 && errno == EAGAIN) {
            nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
        } else if (w < 0 && errno != EINTR) {
            return;
        }
    }
}

static void say_json(const rc_err *err, const char *level)
{
    rc_mem mem = { 0 };
    rc_jsonw *w = rc_jsonw_new(&mem, 0);
    const char *text;

    rc_jsonw_object(w);
    rc_jsonw_kstr(w, "level", level);
    rc_jsonw_kstr(w, "class", rc_code_class(err->code));
    rc_jsonw_ku64(w, "code", (uint64_t)err->code);
    rc_jsonw_kstr(w, "message", err->msg);
    if (err->file[0])
        rc_jsonw_kstr(w, "file", err->file);
    if (err->tensor[0])
        rc_jsonw_kstr(w, "tensor", err->tensor);
    if (err->offset != RC_NO_OFFSET)
        rc_jsonw_ku64(w, "offset", err->offset);
    if (err->want[0]) {
        rc_jsonw_kstr(w, "want", err->want);
        rc_jsonw_kstr(w, "got", err->got);
    }
    if (err->hint[0])
        rc_jsonw_kstr(w, "hint", err->hint);
    rc_jsonw_kbool(w, "resumable", rc_code_resumable(err->code));
    rc_jsonw_object_end(w);
    text = rc_jsonw_text(w, NULL);
    put_line(text ? text : "{\"class\":\"os\",\"code\":71}");
    rc_jsonw_free(&w);
}

static void say(const rc_err *err, const char *level)
{
    char line[1200], text[1300];

    if (rc_cli.errors_json) {
        say_json(err, level);
        return;
    }
    rc_err_line(err, line, sizeof line);
    if (strcmp(level, "error") != 0) /* the others have no class: they change no exit code */
        *(strrchr(line, '[') - 1) = '\0';
    snprintf(text, sizeof text, "recast: %s: %s", level, line);
    put_line(text);
    if (err->hint[0]) {
        snprintf(text, sizeof text, "recast: hint: %s", err->hint);
        put_line(text);
    }
}

int rc_cli_fail(const rc_err *err)
{
    rc_err told = *err;

    if (told.code == RC_E_STOPPED) /* the status that the shell will see */
        told.code = (rc_code)(RC_E_STOPPED + rc_stop_signal());
    say(&told, "error");
    return (int)told.code;
}

int rc_cli_usage(const char *fmt, ...)
{
    rc_err err = { .code = RC_E_USAGE, .offset = RC_NO_OFFSET };
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(err.msg, sizeof err.msg, fmt, ap);
    va_end(ap);
    return rc_cli_fail(&err);
}

static void print_warning(void *ctx, const rc_err *warning)
{
    (void)ctx;
    warned = true;
    if (!rc_cli.quiet)
        say(warning, "warning");
}

static void print_note(void *ctx, const rc_err *note)
{
    (void)ctx;
    if (!rc_cli.quiet)
        say(note, "note");
}

const rc_log *rc_cli_log(void)
{
    static const rc_log log = { .warn = print_warning, .note = print_note, .ctx = NULL };

    return &log;
}

bool rc_cli_warned(void)
{
    return warned;
}

/* options */

static const rc_letter *letter_of(const rc_letter *letters, const char *name)
{
    for (; letters && letters->name; letters++)
        if (strcmp(letters->name, name) == 0)
            return letters;
    return NULL;
}

static void print_opts(const rc_opt *opts, const rc_letter *letters)
{
    for (; opts->name; opts++) {
        const rc_letter *l = letter_of(letters, opts->name);
        const char brief[] = { '-', l ? l->letter : '\0', ',', ' ', '\0' };
        char left[96];

        if (opts->kind == RC_OPT_REFUSED)
            continue;
        snprintf(left, sizeof left, "%s--%s%s%s", l ? brief : "", opts->name, opts->arg ? " " : "",
                 opts->arg ? opts->arg : "");
        printf("  %-34s%s%s\n", left,
               strlen(left) > 33 ? "\n                                    " : "", opts->help);
    }
}

static void print_help(const rc_cmd *cmd)
{
    printf("usage: recast %s %s\n\n%s\n", cmd->name, cmd->usage, cmd->summary);
    if (cmd->about)
        printf("\n%s", cmd->about);
    printf("\noptions:\n");
    print_opts(cmd->opts, cmd->letters);
    print_opts(common, NULL);
    printf("  %-34s%s\n", "--help", "this text");
    if (cmd->group) {
        printf("\n%s:\n", cmd->group->title);
        print_opts(cmd->group->opts, NULL);
    }
}

static const rc_opt *find(const rc_opt *opts, const char *name, size_t len)
{
    for (; opts->name; opts++)
        if (strlen(opts->name) == len && memcmp(opts->name, name, len) == 0)
            return opts;
    return NULL;
}

/* Levenshtein distance of two option names, for "did you mean". */
static unsigned distance(const char *a, size_t na, const char *b)
{
    unsigned row[64];
    const size_t nb = strlen(b);

    if (nb >= 64 || na >= 64)
        return 99;
    for (unsigned j = 0; j <= nb; j++)
        row[j] = j;
    for (size_t i = 1; i <= na; i++) {
        unsigned diagonal = row[0];

        row[0] = (unsigned)i;
        for (size_t j = 1; j <= nb; j++) {
            const unsigned above = row[j];
            unsigned best = diagonal + (a[i - 1] != b[j - 1]);

            if (above + 1 < best)
                best = above + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            diagonal = above;
            row[j] = best;
        }
    }
    return row[nb];
}

static int unknown(const rc_cmd *cmd, const char *name, size_t len)
{
    const rc_opt *const tables[] = { cmd->opts, common, cmd->group ? cmd->group->opts : NULL };
    const char *nearest = NULL;
    unsigned best = 4;
    rc_err err;
    char shown[64];

    for (unsigned t = 0; t < 3; t++)
        for (const rc_opt *o = tables[t]; o && o->name; o++) {
            unsigned d = distance(name, len, o->name);

            if (len >= 3 && strncmp(o->name, name, len) == 0)
                d = 1; /* a shortened name: not accepted, surely meant */
            if (d < best && o->kind != RC_OPT_REFUSED) {
                best = d;
                nearest = o->name;
            }
        }
    rc_fail(&err, RC_E_USAGE, RC_NO_OFFSET, "unknown option '--%s'",
            rc_escape(shown, sizeof shown, name, len));
    if (nearest)
        rc_err_hint(&err, "did you mean '--%s'?", nearest);
    else
        rc_err_hint(&err, "recast %s --help lists the options", cmd->name);
    return rc_cli_fail(&err);
}

/* Decimal digits only: no sign, space, exponent or base prefix. */
static const char *digits(const char *s, uint64_t *out)
{
    uint64_t v = 0;

    if (*s < '0' || *s > '9')
        return NULL;
    for (; *s >= '0' && *s <= '9'; s++)
        if (!rc_mul_u64(v, 10, &v) || !rc_add_u64(v, (uint64_t)(*s - '0'), &v))
            return NULL;
    *out = v;
    return s;
}

static bool parse_size(const char *s, uint64_t *out)
{
    static const char units[] = "KMGT";
    const char *unit;

    s = digits(s, out);
    if (!s)
        return false;
    if (!*s)
        return true;
    unit = strchr(units, *s);
    if (!unit)
        return false;
    if (s[1] && strcmp(s + 1, "B") != 0 && strcmp(s + 1, "iB") != 0)
        return false;
    for (long i = 0; i <= unit - units; i++)
        if (!rc_mul_u64(*out, strcmp(s + 1, "B") == 0 ? 1000 : 1024, out))
            return false;
    return true;
}

static bool is_choice(const char *choices, const char *s)
{
    const size_t len = strlen(s);

    for (const char *p = choices; *p;) {
        const size_t k = strcspn(p, "|");

        if (k == len && memcmp(p, s, len) == 0)
            return true;
        p += k + (p[k] == '|');
    }
    return false;
}

static bool store(const rc_opt *o, const char *value)
{
    uint64_t u;
    double d;
    char *end;

    switch (o->kind) {
    case RC_OPT_U64:
    case RC_OPT_SIZE:
        if (o->kind == RC_OPT_SIZE ? !parse_size(value, &u)
                                   : !(end = (char *)digits(value, &u)) || *end)
            return false;
        if (u < o->min || (o->max && u > o->max))
            return false;
        *(uint64_t *)o->dest = u;
        return true;
    case RC_OPT_F64:
        d = strtod(value, &end);
        if (end == value || *end || d != d || d - d != 0)
            return false;
        *(double *)o->dest = d;
        return true;
    case RC_OPT_CHOICE:
        if (!is_choice(o->arg, value))
            return false;
        break;
    case RC_OPT_LIST: {
        rc_opt_list *list = o->dest;

        if (list->n == RC_OPT_LIST_MAX)
            return false;
        list->at[list->n++] = value;
        return true;
    }
    default:
        break;
    }
    *(const char **)o->dest = value;
    return *value != '\0';
}

static int bad_value(const rc_opt *o, const char *value)
{
    char shown[64];

    rc_escape(shown, sizeof shown, value, strlen(value));
    if (o->kind == RC_OPT_CHOICE)
        return rc_cli_usage("--%s: '%s' is not one of %s", o->name, shown, o->arg);
    if (o->kind == RC_OPT_U64 && o->max)
        return rc_cli_usage("--%s: '%s' is not a whole number from %" PRIu64 " to %" PRIu64,
                            o->name, shown, o->min, o->max);
    if (o->kind == RC_OPT_U64)
        return rc_cli_usage("--%s: '%s' is not a whole number of at least %" PRIu64, o->name, shown,
                            o->min);
    if (o->kind == RC_OPT_SIZE)
        return rc_cli_usage("--%s: '%s' is not a size such as 512M, or is out of range", o->name,
                            shown);
    return rc_cli_usage("--%s: value '%s' does not fit", o->name, shown);
}

static int set_option(const rc_cmd *cmd, const char *name, int argc, char **argv, int *i,
                      bool *seen)
{
    const char *eq = strchr(name, '=');
    const size_t len = eq ? (size_t)(eq - name) : strlen(name);
    const rc_opt *const tables[] = { cmd->opts, common, cmd->group ? cmd->group->opts : NULL };
    static const size_t places[] = { 0, OWN_OPTS, OWN_OPTS + GROUP_OPTS };
    const rc_opt *o = NULL;
    const char *value = eq ? eq + 1 : NULL;
    size_t at = 0;

    for (unsigned t = 0; t < 3 && !o; t++) {
        o = tables[t] ? find(tables[t], name, len) : NULL;
        at = o ? places[t] + (size_t)(o - tables[t]) : 0;
    }
    if (!o)
        return unknown(cmd, name, len);
    if (o->kind == RC_OPT_REFUSED)
        return rc_cli_usage("--%s is not taken: %s", o->name, o->help);
    if (seen[at] && o->kind != RC_OPT_LIST)
        return rc_cli_usage("--%s is given twice", o->name);
    seen[at] = true;
    if (o->kind == RC_OPT_FLAG) {
        if (value)
            return rc_cli_usage("--%s takes no value", o->name);
        *(bool *)o->dest = true;
        return -1;
    }
    if (!value) {
        if (*i + 1 >= argc)
            return rc_cli_usage("--%s needs a value: %s", o->name, o->arg);
        value = argv[++*i];
    }
    if (!*value)
        return rc_cli_usage("--%s needs a value that is not empty", o->name);
    return store(o, value) ? -1 : bad_value(o, value);
}

/* "-p": the option that has this letter. */
static int set_by_letter(const rc_cmd *cmd, const char *word, int argc, char **argv, int *i,
                         bool *seen)
{
    for (const rc_letter *l = cmd->letters; l && l->name; l++)
        if (l->letter == word[0] && !word[1])
            return set_option(cmd, l->name, argc, argv, i, seen);
    return unknown(cmd, word, strlen(word));
}

/* Known before anything else, so that a mistake anywhere on the line is told in the way
 * that was asked for. */
static bool wants_json(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--errors=json") == 0 ||
            (strcmp(argv[i], "--errors") == 0 && i + 1 < argc && strcmp(argv[i + 1], "json") == 0))
            return true;
    return false;
}

int rc_cli_parse(const rc_cmd *cmd, int argc, char **argv, const char **args, unsigned *nargs)
{
    bool seen[OWN_OPTS + 2 * GROUP_OPTS] = { false }, only_args = false;

    *nargs = 0;
    rc_cli.errors_json = wants_json(argc, argv);
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            print_help(cmd);
            return 0;
        } else if (strcmp(argv[i], "--") == 0) {
            break;
        }
    for (int i = 1; i < argc; i++) {
        const char *a = argv[i];
        int rc = -1;

        if (!only_args && strcmp(a, "--") == 0)
            only_args = true;
        else if (!only_args && strncmp(a, "--", 2) == 0)
            rc = set_option(cmd, a + 2, argc, argv, &i, seen);
        else if (!only_args && a[0] == '-' && a[1])
            rc = set_by_letter(cmd, a + 1, argc, argv, &i, seen);
        else if (!*a)
            rc = rc_cli_usage("an argument is empty");
        else if (*nargs == cmd->max_args)
            rc = rc_cli_usage("too many arguments: recast %s %s", cmd->name, cmd->usage);
        else
            args[(*nargs)++] = a;
        if (rc >= 0)
            return rc;
    }
    if (*nargs < cmd->min_args)
        return rc_cli_usage("too few arguments: recast %s %s", cmd->name, cmd->usage);
    return cmd->group ? cmd->group->finish(args, *nargs) : -1;
}
