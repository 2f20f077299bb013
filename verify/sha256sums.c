/* verify/sha256sums.c - see sha256sums.h. */
#include "verify/sha256sums.h"

#include <stdlib.h>
#include <string.h>

#include "formats/base/text.h"
#include "formats/ledger_read.h"

enum { HEX = 64 };

static int by_name(const void *a, const void *b)
{
    return strcmp(((const rc_sum *)a)->name, ((const rc_sum *)b)->name);
}

static void sort(rc_sums *sums)
{
    if (sums->n)
        qsort(sums->at, sums->n, sizeof *sums->at, by_name);
}

rc_code rc_sums_add(rc_sums *sums, const char *name, size_t len, const rc_content_id *content,
                    rc_err *err)
{
    const size_t room = sums->room ? 2 * sums->room : 64;
    rc_mem *mem = sums->arena.mem;
    char *copy;

    if (sums->n == sums->room) {
        void *grown = rc_mem_grow(mem, sums->at, room * sizeof *sums->at);

        if (!grown)
            return rc_fail_nomem(err, mem, room * sizeof *sums->at);
        sums->at = grown;
        sums->room = room;
    }
    copy = rc_arena_strdup(&sums->arena, name, len);
    if (!copy)
        return rc_fail_nomem(err, mem, len + 1);
    sums->at[sums->n++] = (rc_sum){ .name = copy, .content = *content };
    return RC_OK;
}

/* ------------------------------------------------------------------ reading */

/* A line as it is taken apart. */
typedef struct line {
    const char *at;
    size_t len;
    bool escaped;
    const char *name;
    size_t name_len;
    const char *hex;
} line;

/* DIGEST, a space, a space or a star, NAME */
static bool is_plain(line *l)
{
    if (l->len < HEX + 3 || l->at[HEX] != ' ' || (l->at[HEX + 1] != ' ' && l->at[HEX + 1] != '*'))
        return false;
    l->hex = l->at;
    l->name = l->at + HEX + 2;
    l->name_len = l->len - HEX - 2;
    return true;
}

/* SHA256 (NAME) = DIGEST. The name may hold parentheses: the digest is found from the end. */
static bool is_tagged(line *l)
{
    static const char before[] = "SHA256 (", between[] = ") = ";
    const size_t nbefore = sizeof before - 1, nbetween = sizeof between - 1;

    if (l->len <= nbefore + nbetween + HEX || memcmp(l->at, before, nbefore) != 0 ||
        memcmp(l->at + l->len - HEX - nbetween, between, nbetween) != 0)
        return false;
    l->name = l->at + nbefore;
    l->name_len = l->len - nbefore - nbetween - HEX;
    l->hex = l->at + l->len - HEX;
    return true;
}

static bool digest_of(const line *l, rc_content_id *id)
{
    char lower[HEX];

    for (size_t i = 0; i < HEX; i++)
        lower[i] = l->hex[i] >= 'A' && l->hex[i] <= 'F' ? (char)(l->hex[i] - 'A' + 'a') : l->hex[i];
    return rc_content_parse(id, lower, HEX);
}

/* Take the escapes out of name[*len], in place. */
static bool unescape(char *name, size_t *len)
{
    size_t n = 0;

    for (size_t i = 0; i < *len; i++) {
        char c = name[i];

        if (c == '\\') {
            if (++i == *len)
                return false;
            c = name[i] == '\\' ? '\\' : name[i] == 'n' ? '\n' : name[i] == 'r' ? '\r' : '\0';
            if (!c)
                return false;
        }
        name[n++] = c;
    }
    name[n] = '\0';
    *len = n;
    return true;
}

static rc_code add_line(rc_sums *sums, const line *l, uint64_t offset, rc_err *err)
{
    size_t len = l->name_len;
    rc_content_id id;
    char *name;

    if (!digest_of(l, &id))
        return rc_fail(err, RC_E_DATA, offset, "line has no SHA-256 of 64 hex digits");
    RC_TRY(rc_sums_add(sums, l->name, len, &id, err));
    name = (char *)(uintptr_t)sums->at[sums->n - 1].name; /* the arena's, and ours to write */
    if (l->escaped && !unescape(name, &len))
        return rc_fail(err, RC_E_DATA, offset, "an escape that is none");
    while (len > 2 && memcmp(name, "./", 2) == 0) {
        name += 2;
        len -= 2;
    }
    sums->at[sums->n - 1].name = name;
    if (rc_name_stays_inside(name, len))
        return RC_OK;
    rc_fail(err, RC_E_UNSAFEPATH, offset, "lists a file outside its folder");
    rc_err_got(err, "%.80s", name);
    return RC_E_UNSAFEPATH;
}

static rc_code read_line(rc_sums *sums, line l, uint64_t offset, rc_err *err)
{
    if (l.len && l.at[l.len - 1] == '\r')
        l.len--;
    if (l.len == 0 || l.at[0] == '#')
        return RC_OK;
    l.escaped = l.at[0] == '\\';
    l.at += l.escaped;
    l.len -= l.escaped;
    if (!is_tagged(&l) && !is_plain(&l))
        return rc_fail(err, RC_E_DATA, offset, "is no line of `sha256sum`");
    return add_line(sums, &l, offset, err);
}

static rc_code refuse_doubles(const rc_sums *sums, rc_err *err)
{
    for (size_t i = 1; i < sums->n; i++)
        if (by_name(&sums->at[i - 1], &sums->at[i]) == 0) {
            rc_fail(err, RC_E_DATA, RC_NO_OFFSET, "lists a file twice");
            rc_err_got(err, "%.80s", sums->at[i].name);
            return RC_E_DATA;
        }
    return sums->n ? RC_OK : rc_fail(err, RC_E_DATA, RC_NO_OFFSET, "lists nothing");
}

rc_code rc_sums_parse(rc_sums *out, const uint8_t *text, size_t len, rc_mem *mem, rc_err *err)
{
    static const char mark[] = "\xef\xbb\xbf"; /* some editors begin with it */
    size_t at = len >= 3 && memcmp(text, mark, 3) == 0 ? 3 : 0, number = 0;

    *out = (rc_sums){ .arena.mem = mem };
    while (at < len) {
        const uint8_t *end = memchr(text + at, '\n', len - at);
        const size_t stop = end ? (size_t)(end - text) : len, before = out->n;

        number++;
        RC_TRY(read_line(out, (line){ .at = (const char *)text + at, .len = stop - at }, at, err));
        if (out->n > before)
            out->at[before].line = number;
        at = stop + 1;
    }
    sort(out);
    return refuse_doubles(out, err);
}

/* ------------------------------------------------------------------ writing */

static bool needs_escapes(const char *name)
{
    return strpbrk(name, "\\\n\r") != NULL;
}

static void put_name(rc_text *t, const char *name)
{
    for (; *name; name++) {
        const char *escape = *name == '\\'   ? "\\\\"
                             : *name == '\n' ? "\\n"
                             : *name == '\r' ? "\\r"
                                             : NULL;

        if (escape)
            rc_text_put(t, escape);
        else
            rc_text_add(t, name, 1);
    }
}

rc_code rc_sums_text(rc_sums *sums, char **out, size_t *len, rc_err *err)
{
    rc_text t = { .mem = sums->arena.mem };
    char hex[RC_CONTENT_HEX];

    sort(sums);
    rc_text_put(&t, "");
    for (size_t i = 0; i < sums->n; i++) {
        rc_text_printf(&t, "%s%s  ", needs_escapes(sums->at[i].name) ? "\\" : "",
                       rc_content_hex(&sums->at[i].content, hex));
        put_name(&t, sums->at[i].name);
        rc_text_put(&t, "\n");
    }
    return rc_text_take(&t, out, len, err);
}

const rc_sum *rc_sums_find(const rc_sums *sums, const char *name)
{
    const rc_sum key = { .name = name };

    return sums->n ? bsearch(&key, sums->at, sums->n, sizeof key, by_name) : NULL;
}

void rc_sums_free(rc_sums *sums)
{
    rc_mem_put(sums->arena.mem, sums->at);
    rc_arena_free(&sums->arena);
    *sums = (rc_sums){ .arena.mem = sums->arena.mem };
}
