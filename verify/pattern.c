/* verify/pattern.c - see pattern.h. A program of small steps, run for all its states at once. */
#include "verify/pattern.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { MOST_STEPS = 512, MOST_SETS = 32, MOST_DEPTH = 64 };

typedef enum kind { CHAR, ANY, SET, BEGIN, END, SPLIT, JUMP, DONE } kind;

typedef struct stepping {
    uint8_t kind, c;  /* a character, or which set */
    int16_t one, two; /* where to go, from here; one is also that of JUMP */
} stepping;

typedef struct program {
    stepping at[MOST_STEPS];
    int n;
    uint8_t set[MOST_SETS][32]; /* bits by character */
    int sets;
    const char *p; /* what is left of the pattern */
    int depth;
    bool bad;
} program;

/* -- from pattern to program ------------------------------------------------- */

static void put(program *g, kind k, uint8_t c, int one, int two)
{
    if (g->n == MOST_STEPS) {
        g->bad = true;
        return;
    }
    g->at[g->n++] = (stepping){ (uint8_t)k, c, (int16_t)one, (int16_t)two };
}

/* Steps are relative, so what follows may be moved. */
static void insert(program *g, int at, kind k, int one, int two)
{
    put(g, k, 0, 0, 0);
    if (g->bad)
        return;
    memmove(&g->at[at + 1], &g->at[at], (size_t)(g->n - 1 - at) * sizeof *g->at);
    g->at[at] = (stepping){ (uint8_t)k, 0, (int16_t)one, (int16_t)two };
}

static void add_range(uint8_t set[32], int from, int to)
{
    for (int c = from; c <= to; c++)
        set[c / 8] |= (uint8_t)(1u << c % 8);
}

/* \d and its like; false: no class. */
static bool add_class(uint8_t set[32], char letter)
{
    uint8_t own[32] = { 0 };

    switch (tolower((unsigned char)letter)) {
    case 'w':
        add_range(own, 'a', 'z');
        add_range(own, 'A', 'Z');
        add_range(own, '_', '_');
        /* fall through */
    case 'd':
        add_range(own, '0', '9');
        break;
    case 's':
        add_range(own, '\t', '\r');
        add_range(own, ' ', ' ');
        break;
    default:
        return false;
    }
    for (int i = 0; i < 32; i++)
        set[i] |= (uint8_t)(isupper((unsigned char)letter) ? ~own[i] : own[i]);
    return true;
}

static uint8_t *new_set(program *g)
{
    if (g->sets == MOST_SETS) {
        g->bad = true;
        return g->set[0];
    }
    put(g, SET, (uint8_t)g->sets, 1, 0);
    return g->set[g->sets++];
}

/* One character of a class, or of an escape in it; -1: it was a class of its own. */
static int class_char(program *g, uint8_t *set)
{
    if (*g->p == '\\') {
        const char c = *++g->p;

        if (c == '\0' || (isalnum((unsigned char)c) && !strchr("dwsDWS", c)))
            g->bad = true;
        else
            g->p++;
        return !g->bad && add_class(set, c) ? -1 : (unsigned char)c;
    }
    return (unsigned char)*g->p++;
}

/* Behind the '['. */
static void put_set(program *g)
{
    uint8_t *set = new_set(g);
    const bool negated = *g->p == '^';
    bool first = true;

    g->p += negated;
    for (; !g->bad && (*g->p != ']' || first); first = false) {
        int from, to;

        if (*g->p == '\0') {
            g->bad = true;
            return;
        }
        from = to = class_char(g, set);
        if (from >= 0 && g->p[0] == '-' && g->p[1] != ']' && g->p[1] != '\0') {
            g->p++;
            to = class_char(g, set);
        }
        g->bad = g->bad || to < from;
        if (!g->bad && from >= 0)
            add_range(set, from, to);
    }
    if (g->bad)
        return;
    g->p++;
    for (int i = 0; negated && i < 32; i++)
        set[i] = (uint8_t)~set[i];
}

static void put_escape(program *g)
{
    const char c = *g->p;

    if (c == '\0' || (isalnum((unsigned char)c) && !strchr("dwsDWSZ", c))) {
        g->bad = true;
        return;
    }
    g->p++;
    if (c == 'Z')
        put(g, END, 0, 1, 0);
    else if (strchr("dwsDWS", c))
        (void)add_class(new_set(g), c);
    else
        put(g, CHAR, (uint8_t)c, 1, 0);
}

static void put_either(program *g);

/* Behind the '('. */
static void put_group(program *g)
{
    if (g->p[0] == '?' && g->p[1] == ':')
        g->p += 2;
    else if (g->p[0] == '?')
        g->bad = true; /* looks ahead, names, flags */
    if (++g->depth > MOST_DEPTH)
        g->bad = true;
    if (g->bad)
        return;
    put_either(g);
    g->depth--;
    if (*g->p == ')')
        g->p++;
    else
        g->bad = true;
}

static void put_atom(program *g)
{
    const char c = *g->p++;

    switch (c) {
    case '(':
        put_group(g);
        break;
    case '[':
        put_set(g);
        break;
    case '\\':
        put_escape(g);
        break;
    case '.':
        put(g, ANY, 0, 1, 0);
        break;
    case '^':
        put(g, BEGIN, 0, 1, 0);
        break;
    case '$':
        put(g, END, 0, 1, 0);
        break;
    case '*':
    case '+':
    case '?':
    case '{': /* counts, which such patterns do without */
        g->bad = true;
        break;
    default:
        put(g, CHAR, (uint8_t)c, 1, 0);
    }
}

/* The atom that begins at `at` may be there more than once, or not at all. */
static void put_repeat(program *g, int at)
{
    const int len = g->n - at;
    const char c = *g->p;

    if (c == '{')
        g->bad = true;
    if (g->bad || (c != '*' && c != '+' && c != '?'))
        return;
    g->p++;
    if (*g->p == '?') /* lazy */
        g->p++;
    else if (*g->p == '+' || *g->p == '*')
        g->bad = true;
    if (c == '+') {
        put(g, SPLIT, 0, -len, 1);
        return;
    }
    insert(g, at, SPLIT, 1, len + (c == '*' ? 2 : 1));
    if (c == '*')
        put(g, JUMP, 0, -len - 1, 0);
}

static void put_either(program *g)
{
    const int at = g->n;
    int jump;

    while (!g->bad && *g->p && *g->p != '|' && *g->p != ')') {
        const int atom = g->n;

        put_atom(g);
        put_repeat(g, atom);
    }
    if (g->bad || *g->p != '|')
        return;
    g->p++;
    if (++g->depth > MOST_DEPTH) {
        g->bad = true;
        return;
    }
    insert(g, at, SPLIT, 1, g->n - at + 2);
    jump = g->n;
    put(g, JUMP, 0, 0, 0);
    put_either(g);
    g->depth--;
    if (!g->bad)
        g->at[jump].one = (int16_t)(g->n - jump);
}

/* -- running it ---------------------------------------------------------------- */

typedef struct states {
    int16_t at[MOST_STEPS];
    int n;
    bool in[MOST_STEPS];
} states;

/* The state, and all that can be reached from it without a character. */
static void enter(const program *g, states *s, int from, bool begin, bool end)
{
    int16_t stack[2 * MOST_STEPS + 1];
    int n = 0;

    stack[n++] = (int16_t)from;
    while (n) {
        const int at = stack[--n];
        const stepping *p = &g->at[at];

        if (s->in[at])
            continue;
        s->in[at] = true;
        s->at[s->n++] = (int16_t)at;
        if (p->kind == SPLIT || p->kind == JUMP || (p->kind == BEGIN && begin) ||
            (p->kind == END && end))
            stack[n++] = (int16_t)(at + p->one);
        if (p->kind == SPLIT)
            stack[n++] = (int16_t)(at + p->two);
    }
}

static bool takes(const program *g, const stepping *p, unsigned char c)
{
    return (p->kind == CHAR && p->c == c) || (p->kind == ANY && c != '\n') ||
           (p->kind == SET && g->set[p->c][c / 8] >> c % 8 & 1);
}

static bool run(const program *g, const char *text)
{
    states two[2], *now = &two[0], *next = &two[1];

    memset(now, 0, sizeof *now);
    enter(g, now, 0, true, *text == '\0');
    for (;; text++) {
        memset(next, 0, sizeof *next);
        for (int i = 0; i < now->n; i++) {
            const stepping *p = &g->at[now->at[i]];

            if (p->kind == DONE)
                return true;
            if (*text && takes(g, p, (unsigned char)*text))
                enter(g, next, now->at[i] + 1, false, text[1] == '\0');
        }
        if (*text == '\0' || next->n == 0)
            return false;
        {
            states *t = now;

            now = next;
            next = t;
        }
    }
}

rc_pattern_answer rc_pattern_match(const char *pattern, const char *text)
{
    program g = { .p = pattern };

    put_either(&g);
    if (*g.p)
        g.bad = true; /* a ')' too many */
    put(&g, DONE, 0, 0, 0);
    return g.bad ? RC_PATTERN_UNKNOWN : run(&g, text) ? RC_PATTERN_YES : RC_PATTERN_NO;
}
