/* formats/pre_tokenizer.c - see pre_tokenizer.h. */
#include "formats/pre_tokenizer.h"

#include <string.h>

/* clang-format off */
const char *const rc_joyai_splits[RC_SPLITS] = {
    "\\p{N}{1,3}",
    "[一-龥぀-ゟ゠-ヿ]+",
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+"
        "|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"
        "| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+",
};
/* clang-format on */

static bool is(const rc_json_event *ev, const char *s)
{
    return ev->len == strlen(s) && memcmp(ev->text, s, ev->len) == 0;
}

static void copy_text(char *out, size_t n, const rc_json_event *ev)
{
    const size_t len = ev->len < n ? ev->len : n - 1;

    memcpy(out, ev->text, len);
    out[len] = '\0';
}

/* Is it that expression? Line ends may be spelled as themselves or as escapes. */
static bool same_regex(const char *want, const char *text, size_t len)
{
    size_t i = 0;

    for (; *want; want++) {
        const char escape = *want == '\r' ? 'r' : *want == '\n' ? 'n' : '\0';

        if (escape && i + 1 < len && text[i] == '\\' && text[i + 1] == escape)
            i += 2;
        else if (i < len && text[i] == *want)
            i++;
        else
            return false;
    }
    return i == len;
}

static void end_step(rc_pre_tokenizer *p)
{
    const rc_pre_step *s = &p->step;
    const bool split = s->is_split && s->regex && s->isolated && !s->inverted;
    const bool bytes = s->is_byte_level && !s->prefix_space && !s->use_regex;

    if (!(p->steps < RC_SPLITS ? split : p->steps == RC_SPLITS && bytes))
        p->is_joyai = false;
    p->steps++;
}

static void on_type(rc_pre_tokenizer *p, const rc_json_event *ev)
{
    if (ev->depth == 2) {
        rc_escape(p->kind, sizeof p->kind, ev->text, ev->len);
        p->in_sequence = is(ev, "Sequence");
    }
    p->step.is_split = is(ev, "Split");
    p->step.is_byte_level = is(ev, "ByteLevel");
    p->byte_level = p->byte_level || p->step.is_byte_level;
}

static void on_value(rc_pre_tokenizer *p, const rc_json_event *ev)
{
    rc_pre_step *s = &p->step;
    const bool yes = ev->type == RC_JSON_TRUE, text = ev->type == RC_JSON_STRING;

    if (text && strcmp(p->key, "type") == 0)
        on_type(p, ev);
    else if (text && strcmp(p->key, "Regex") == 0)
        s->regex = ev->depth == 5 && p->steps < RC_SPLITS &&
                   same_regex(rc_joyai_splits[p->steps], ev->text, ev->len);
    else if (text && strcmp(p->key, "behavior") == 0)
        s->isolated = is(ev, "Isolated");
    else if (strcmp(p->key, "invert") == 0)
        s->inverted = yes;
    else if (strcmp(p->key, "add_prefix_space") == 0)
        s->prefix_space = yes;
    else if (strcmp(p->key, "use_regex") == 0)
        s->use_regex = yes;
}

void rc_pre_begin(rc_pre_tokenizer *p)
{
    memset(p, 0, sizeof *p);
    p->is_joyai = true;
    rc_hash_begin(&p->hasher);
}

void rc_pre_event(rc_pre_tokenizer *p, const rc_json_event *ev)
{
    const uint8_t type = (uint8_t)ev->type;

    rc_hash_add(&p->hasher, &type, 1);
    if (ev->type == RC_JSON_KEY || ev->type == RC_JSON_STRING || ev->type == RC_JSON_NUMBER)
        rc_hash_field(&p->hasher, ev->text, ev->len);
    if (ev->type == RC_JSON_KEY)
        copy_text(p->key, sizeof p->key, ev);
    else if (ev->depth == 3 && ev->type == RC_JSON_OBJECT) /* with the library's defaults */
        p->step = (rc_pre_step){ .prefix_space = true, .use_regex = true };
    else if (ev->depth == 3 && ev->type == RC_JSON_OBJECT_END)
        end_step(p);
    else if (ev->type == RC_JSON_STRING || ev->type == RC_JSON_TRUE || ev->type == RC_JSON_FALSE)
        on_value(p, ev);
}

const char *rc_pre_name(const rc_pre_tokenizer *p)
{
    return p->in_sequence && p->is_joyai && p->steps == RC_SPLITS + 1 ? "joyai-llm" : NULL;
}
