/* formats/chat.h - a conversation as the text that DeepSeek-V4 was trained to continue.
 *
 *     <BOS>[effort][system]<User>question<Assistant><think>
 *     [reasoning</think>]answer[calls]<EOS><User>next question<Assistant></think>
 *
 * No white space is added between turns, and none is taken away. The text is met byte for byte
 * with the release's encoding/ (encode_messages() without a context); chat_template.jinja is the
 * same in Jinja, for GGUF. What the encoder takes apart by accident of Python is refused here or
 * read as the template reads it; the list is at rc_chat_messages(). */
#ifndef RC_FORMATS_CHAT_H
#define RC_FORMATS_CHAT_H

#include "formats/base/status.h"
#include "formats/base/text.h"

#define RC_CHAT_MAX_BYTES (64u << 20) /* of a conversation as JSON; ours */

typedef struct rc_chat_opts {
    bool thinking;       /* the model reasons before it answers */
    bool keep_reasoning; /* of earlier turns too; so it is anyway where a message has tools */
    bool max_effort;     /* when thinking: ask for all the effort there is */
} rc_chat_opts;

/** Append the prompt of one question, after `system` if that is not NULL. Any bytes will do.
 *  RC_E_OS when out->mem refuses. */
RC_MUST_CHECK
rc_code rc_chat_ask(rc_text *out, const char *system, const char *user, size_t user_len,
                    const rc_chat_opts *opts, rc_err *err);

/** Append the prompt of a conversation: a JSON list of messages, or an object with "messages" and
 *  perhaps "tools" and "response_format", which then belong to the system message (one without
 *  content, if there is none).
 *
 *    role               system, user, assistant, tool, latest_reminder, developer
 *    content            a text, null, or a list of {"type": "text", "text": ..}
 *    tools              [{"function": {..}}]         of system and developer
 *    response_format    any JSON                     of system and developer
 *    reasoning_content  a text                       of assistant
 *    tool_calls         [{"id", "function": {"name", "arguments"}}]   of assistant
 *    wo_eos             true: an answer to go on with
 *    tool_call_id       which call a tool's message answers
 *    task               action, query, authority, domain, title, read_url
 *
 *  Messages of users and tools that follow each other are one turn; a tool's answers come in the
 *  order of the calls. When thinking, developers' messages before the last question are dropped
 *  with the reasoning. Other keys are not looked at. A conversation that ends with an answer
 *  gets nothing to answer.
 *
 *  Where the encoder would raise an exception, or print None: null content is empty content;
 *  a list of parts is their texts with blank lines between; arguments that are an object and not
 *  a JSON text are the parameters; null arguments are none. Arguments that are no JSON become
 *  one parameter, as there; so do those that Python alone accepts (NaN, NUL, doubled keys).
 *
 *    RC_E_DATA   no JSON; not such a list; an unknown role or task (also where the encoder would
 *                have dropped the message); a developer without content; arguments that are JSON
 *                but no object. err->offset is the byte of the value
 *    RC_E_LIMIT  over RC_CHAT_MAX_BYTES
 *    RC_E_OS     out->mem refuses */
RC_MUST_CHECK
rc_code rc_chat_messages(rc_text *out, const char *json, size_t len, const rc_chat_opts *opts,
                         rc_err *err);

#endif
