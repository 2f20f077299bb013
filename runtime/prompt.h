/* runtime/prompt.h - what a user gives as input: a text, a file, a conversation, or ids. */
#ifndef RC_RUNTIME_PROMPT_H
#define RC_RUNTIME_PROMPT_H

#include "formats/base/text.h"
#include "formats/bpe.h"
#include "formats/chat.h"

/* As on the command line; borrowed. At most one of text, file and messages. */
typedef struct rc_prompt_words {
    const char *text, *file; /* "-": standard input */
    const char *messages;    /* a file with a conversation in JSON */
    bool chat;               /* text or file is what a user says */
    const char *system;      /* with chat */
    rc_chat_opts opts;       /* with chat or messages */
} rc_prompt_words;

/** A file whole, appended; NULL and "-" are standard input. RC_E_NOINPUT, RC_E_DENIED, RC_E_IO name
 * it. */
RC_MUST_CHECK
rc_code rc_prompt_file(rc_text *out, const char *path, rc_err *err);

/** Append the text that was asked for, in the chat encoding where that was asked for. */
RC_MUST_CHECK
rc_code rc_prompt_text(rc_text *out, const rc_prompt_words *words, rc_err *err);

/** Append decimal numbers with commas or white space between. RC_E_USAGE one that is not below
 *  `count`; `option` is named. */
RC_MUST_CHECK
rc_code rc_prompt_ids(rc_ids *ids, const char *list, const char *option, uint32_t count,
                      rc_err *err);

#endif
