/* verify/report_html_tokens.c - see report.h: where the models disagree most, as text. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "formats/base/utf8.h"
#include "verify/markup.h"
#include "verify/report_parts.h"

enum {
    OPEN = 6, /* moments shown at once; the others unfold */
    CANDIDATES = 5,
    BEFORE = 48,   /* tokens of context, at most, */
    CONTEXT = 420, /* and bytes */
    TOKEN = 60,    /* bytes of a token */
};

/* Its bytes, cut to what fits a line; NULL when ids are all there is. */
static const char *bytes_of(const rc_bpe *bpe, uint32_t id, size_t *len, bool *cut)
{
    const char *bytes = bpe ? rc_bpe_bytes(bpe, id, len) : NULL;

    *cut = bytes && *len > TOKEN;
    if (*cut)
        *len = rc_utf8_whole(bytes, TOKEN);
    return bytes;
}

static void put_token(rc_text *t, const rc_bpe *bpe, uint32_t id, bool running)
{
    size_t len = 0;
    bool cut;
    const char *bytes = bytes_of(bpe, id, &len, &cut);

    if (bytes && len)
        rc_markup_token(t, bytes, len, running);
    else
        rc_text_printf(t, "<i>#%" PRIu32 "</i>%s", id, running ? " " : "");
    if (cut)
        rc_text_put(t, "<i>\xe2\x80\xa6</i>");
}

/* The tokens before, joined: characters that took several tokens are whole. */
static void join(rc_text *out, const rc_outcome *o, uint64_t begin, uint64_t end)
{
    for (uint64_t i = begin; i < end; i++) {
        size_t len = 0;
        const char *bytes = rc_bpe_bytes(o->bpe, o->windows->token[i], &len);

        if (bytes)
            rc_text_add(out, bytes, len);
    }
}

static void put_before(rc_text *t, const rc_outcome *o, uint64_t begin, uint64_t end)
{
    rc_text joined = { .mem = t->mem };
    size_t from = 0;

    if (!o->bpe) {
        for (uint64_t i = begin; i < end; i++)
            put_token(t, NULL, o->windows->token[i], true);
        return;
    }
    join(&joined, o, begin, end);
    if (joined.len > CONTEXT)
        from = joined.len - CONTEXT;
    while (from && from < joined.len && ((unsigned char)joined.at[from] & 0xc0) == 0x80)
        from++; /* not in the middle of a character */
    if (begin % o->windows->ctx || from)
        rc_text_put(t, "<i>\xe2\x80\xa6 </i>");
    if (joined.len)
        rc_markup_token(t, joined.at + from, joined.len - from, true);
    t->failed = t->failed || joined.failed;
    rc_text_free(&joined);
}

static void put_context(rc_text *t, const rc_outcome *o, uint64_t index)
{
    const rc_windows *w = o->windows;
    const uint64_t window = index - index % w->ctx;
    const uint64_t begin = index - window >= BEFORE ? index + 1 - BEFORE : window;

    rc_text_put(t, "<p class=\"context mono\">");
    put_before(t, o, begin, index + 1);
    rc_text_put(t, "<mark title=\"the token that came\">");
    put_token(t, o->bpe, w->token[index + 1], false);
    rc_text_put(t, "</mark></p>\n");
}

static void put_candidate(rc_text *t, const rc_outcome *o, const rc_candidate *c, bool came)
{
    const double p = exp((double)c->logprob);
    char share[RC_FIGURE];

    rc_text_put(t, "<tr><td class=\"token mono\">");
    rc_text_put(t, came ? "<span class=\"came\">" : "");
    put_token(t, o->bpe, c->id, false);
    rc_text_put(t, came ? "</span>" : "");
    rc_text_printf(t,
                   "</td><td><i class=\"bar\" style=\"--w:%.1f%%\"></i></td><td "
                   "class=\"p\">%s</td></tr>\n",
                   p > 0 && p <= 1 ? 100 * p : 0.0, rc_figure_share(share, p));
}

static void put_saying(rc_text *t, const rc_outcome *o, const rc_moment *m, unsigned side,
                       uint32_t came)
{
    const rc_saying *s = &m->said[side];
    char share[RC_FIGURE];

    rc_text_printf(t, "<table%s>\n<caption><b>%s</b>", side ? " class=\"q\"" : "",
                   side ? "CONVERTED" : "NATIVE");
    if (came != RC_NO_TOKEN)
        rc_text_printf(t, ", %s for the token that came", rc_figure_share(share, exp(s->logprob)));
    rc_text_put(t, "</caption>\n<tbody>\n");
    if (s->broken)
        rc_text_put(t, "<tr><td class=\"fail\">no numbers</td></tr>\n");
    for (size_t i = 0; i < CANDIDATES && !s->broken && s->top[i].id != RC_NO_TOKEN; i++)
        put_candidate(t, o, &s->top[i], s->top[i].id == came);
    rc_text_put(t, "</tbody>\n</table>\n");
}

static void put_moment(rc_text *t, const rc_outcome *o, const rc_moment *m)
{
    const bool shown = o->windows && m->index + 1 < o->windows->tokens;
    const uint32_t came = shown ? o->windows->token[m->index + 1] : RC_NO_TOKEN;
    char kl[RC_FIGURE], n[RC_FIGURE];

    rc_text_printf(t, "<article class=\"moment\">\n<h3>KL %s nats <span>",
                   rc_figure_plain(kl, m->kl));
    if (shown && o->windows->windows > 1)
        rc_text_printf(t, "window %" PRIu64 ", position %" PRIu64, m->index / o->windows->ctx,
                       m->index % o->windows->ctx);
    else
        rc_text_printf(t, "position %s", rc_figure_count(n, m->index));
    rc_text_put(t, "</span></h3>\n");
    if (shown)
        put_context(t, o, m->index);
    rc_text_put(t, "<div class=\"sayings\">\n");
    put_saying(t, o, m, 0, came);
    put_saying(t, o, m, 1, came);
    rc_text_put(t, "</div>\n</article>\n");
}

void rc_html_moments(rc_text *t, const rc_outcome *o)
{
    const rc_behaviour *b = o->behaviour;

    if (!b || !b->nworst || b->worst[0].kl == 0)
        return;
    rc_text_put(t, "<section>\n<h2>Where they disagree most</h2>\n<p>The positions with the "
                   "largest divergence: the text so far, the token that came next "
                   "(<span class=\"came\">marked</span>), and what each model held likely."
                   "</p>\n");
    for (size_t i = 0; i < b->nworst && b->worst[i].kl != 0; i++) {
        if (i == OPEN)
            rc_text_printf(t, "<details class=\"more\">\n<summary>%zu more</summary>\n",
                           b->nworst - OPEN);
        put_moment(t, o, &b->worst[i]);
    }
    rc_text_put(t, b->nworst > OPEN ? "</details>\n</section>\n" : "</section>\n");
}
