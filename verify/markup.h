/* verify/markup.h - strangers' text inside of ours: names and tokens in XML, HTML, Markdown,
 * workflow commands. What cannot be shown becomes \xNN everywhere: control characters, those that
 * reorder text, bytes that are no UTF-8. */
#ifndef RC_VERIFY_MARKUP_H
#define RC_VERIFY_MARKUP_H

#include "formats/base/text.h"

/** Text or an attribute's value of XML or HTML. */
void rc_markup_xml(rc_text *t, const char *s, size_t len);
/** Text of GitHub-flavoured Markdown, also in a table: says exactly what it says. */
void rc_markup_md(rc_text *t, const char *s, size_t len);
/** The same as a code span: `layers.7.attn.wq_a.weight`. */
void rc_markup_md_code(rc_text *t, const char *s, size_t len);
/** The message of a GitHub workflow command; with `property`, the value of a property before it.
 *  Source: GitHub's actions/toolkit, packages/core/src/command.ts. */
void rc_markup_command(rc_text *t, const char *s, size_t len, bool property);

/** A model's token as HTML: a space is a visible dot, a line break an arrow, so is a tab. With
 *  `running` they stand in a text: the dot is left out, and after the arrow the line breaks. */
void rc_markup_token(rc_text *t, const char *bytes, size_t len, bool running);

#endif
