/* formats/chat.c - turns into text; what a turn is, chat_read.c knows. The fixed texts are those of
 * the release's encoding/encoding_dsv4.py. */
#include "formats/chat.h"

#include <string.h>

#include "formats/chat_impl.h"
#include "formats/python_json.h"

#define BOS       "<｜begin▁of▁sentence｜>"
#define EOS       "<｜end▁of▁sentence｜>"
#define USER      "<｜User｜>"
#define ASSISTANT "<｜Assistant｜>"
#define REMINDER  "<｜latest_reminder｜>"
#define THINK     "<think>"
#define THOUGHT   "</think>"
#define DSML      "｜DSML｜"

/* clang-format off */
static const char effort_text[] =
    "Reasoning Effort: Absolute maximum with no shortcuts permitted.\n"
    "You MUST be very thorough in your thinking and comprehensively decompose the problem to "
    "resolve the root cause, rigorously stress-testing your logic against all potential paths, "
    "edge cases, and adversarial scenarios.\n"
    "Explicitly write out your entire deliberation process, documenting every intermediate step, "
    "considered alternative, and rejected hypothesis to ensure absolutely no assumption is left "
    "unchecked.\n\n";
static const char tools_text[] =
    "\n\n## Tools\n\n"
    "You have access to a set of tools to help answer the user's question. You can invoke tools "
    "by writing a \"<" DSML "tool_calls>\" block like the following:\n\n"
    "<" DSML "tool_calls>\n"
    "<" DSML "invoke name=\"$TOOL_NAME\">\n"
    "<" DSML "parameter name=\"$PARAMETER_NAME\" string=\"true|false\">$PARAMETER_VALUE"
    "</" DSML "parameter>\n"
    "...\n"
    "</" DSML "invoke>\n"
    "<" DSML "invoke name=\"$TOOL_NAME2\">\n"
    "...\n"
    "</" DSML "invoke>\n"
    "</" DSML "tool_calls>\n\n"
    "String parameters should be specified as is and set `string=\"true\"`. For all other types "
    "(numbers, booleans, arrays, objects), pass the value in JSON format and set "
    "`string=\"false\"`.\n\n"
    "If thinking_mode is enabled (triggered by " THINK "), you MUST output your complete "
    "reasoning inside " THINK "..." THOUGHT " BEFORE any tool calls or final response.\n\n"
    "Otherwise, output directly after " THOUGHT " with tool calls or final response.\n\n"
    "### Available Tool Schemas\n\n";
static const char tools_end_text[] =
    "\nYou MUST strictly follow the above defined tool name and parameter schemas to invoke tool "
    "calls.\n";
static const char format_text[] =
    "\n\n## Response Format:\n\nYou MUST strictly adhere to the following schema to reply:\n";
/* clang-format on */

typedef struct writer {
    rc_text *out;
    const rc_chat *chat;
    const rc_chat_opts *opts;
    bool keep;        /* reasoning of earlier turns */
    size_t last_user; /* the last turn of a user or developer; none: nturns */
} writer;

static void put(const writer *w, const char *s)
{
    rc_text_put(w->out, s);
}

static void begin(rc_text *out, const rc_chat_opts *opts, bool says_something)
{
    rc_text_put(out, BOS);
    if (says_something && opts->thinking && opts->max_effort)
        rc_text_put(out, effort_text);
}

static rc_code finish(const rc_text *out, rc_err *err)
{
    return out->failed ? rc_fail_nomem(err, out->mem, 2 * out->room) : RC_OK;
}

/* ------------------------------------------------------------------- messages */

static void put_content(const writer *w, const rc_message *m)
{
    if (rc_json_is(m->content, RC_JSON_STRING))
        rc_text_add(w->out, m->content->text, m->content->len);
    if (!rc_json_is(m->content, RC_JSON_ARRAY))
        return;
    for (const rc_json_node *part = m->content->child; part; part = part->next) {
        const rc_json_node *type = rc_json_member(part, "type");
        const rc_json_node *text = rc_json_member(part, "text");

        if (type && strcmp(type->text, "text") == 0) {
            put(w, text ? text->text : "");
        } else {
            put(w, "[Unsupported ");
            put(w, type ? type->text : "None");
            put(w, "]");
        }
        put(w, part->next ? "\n\n" : "");
    }
}

static void put_instructions(const writer *w, const rc_message *m)
{
    put_content(w, m);
    if (m->tools) {
        put(w, tools_text);
        for (const rc_json_node *tool = m->tools->child; tool; tool = tool->next) {
            rc_python_json(w->out, rc_json_member(tool, "function"));
            put(w, "\n");
        }
        put(w, tools_end_text);
    }
    if (m->format) {
        put(w, format_text);
        rc_python_json(w->out, m->format);
    }
}

static void put_user(const writer *w, const rc_turn *turn)
{
    put(w, USER);
    for (size_t i = turn->begin; i < turn->end; i++) {
        const rc_message *m = &w->chat->messages[i];
        const bool result = m->role == RC_CHAT_TOOL;

        put(w, i > turn->begin ? "\n\n" : "");
        put(w, result ? "<tool_result>" : "");
        put_content(w, m);
        put(w, result ? "</tool_result>" : "");
    }
}

/* ---------------------------------------------------------------------- calls */

static void put_parameter(const writer *w, const char *name, const rc_json_node *value)
{
    const bool text = value->type == RC_JSON_STRING;

    put(w, "<" DSML "parameter name=\"");
    put(w, name);
    put(w, text ? "\" string=\"true\">" : "\" string=\"false\">");
    if (text)
        rc_text_add(w->out, value->text, value->len);
    else
        rc_python_json(w->out, value);
    put(w, "</" DSML "parameter>\n");
}

/* The parameters as an object: given as one, or as its JSON text. *out is NULL when that is no
 * JSON. */
static rc_code read_arguments(const rc_json_node *arguments, rc_arena *arena,
                              const rc_json_node **out, rc_err *err)
{
    rc_err why = { 0 };
    rc_code rc = RC_OK;

    *out = arguments;
    if (arguments->type == RC_JSON_STRING)
        rc = rc_json_tree(out, (const uint8_t *)arguments->text, arguments->len, arena, &why);
    if (rc == RC_E_DATA)
        return RC_OK;
    if (rc != RC_OK && err)
        *err = why;
    if (rc == RC_OK && (*out)->type != RC_JSON_OBJECT)
        rc =
            rc_fail(err, RC_E_DATA, arguments->offset, "function.arguments is JSON, but no object");
    if (rc != RC_OK)
        *out = NULL;
    return rc;
}

static void put_parameters(const writer *w, const rc_json_node *arguments,
                           const rc_json_node *object)
{
    if (arguments && !object)
        put_parameter(w, "arguments", arguments);
    else if (!object || !object->child)
        put(w, "\n");
    for (const rc_json_node *n = object ? object->child : NULL; n; n = n->next)
        put_parameter(w, n->key, n);
}

static rc_code put_call(const writer *w, const rc_json_node *function, rc_err *err)
{
    const rc_json_node *arguments = rc_json_member(function, "arguments"), *object = NULL;
    rc_arena arena = { .mem = w->out->mem };
    rc_code rc = RC_OK;

    put(w, "<" DSML "invoke name=\"");
    put(w, rc_json_member(function, "name")->text);
    put(w, "\">\n");
    if (arguments)
        rc = read_arguments(arguments, &arena, &object, err);
    if (rc == RC_OK)
        put_parameters(w, arguments, object);
    put(w, "</" DSML "invoke>\n");
    rc_arena_free(&arena);
    return rc;
}

static rc_code put_answer(const writer *w, const rc_message *m, bool with_reasoning, rc_err *err)
{
    if (with_reasoning) {
        put(w, m->reasoning ? m->reasoning->text : "");
        put(w, THOUGHT);
    }
    put_content(w, m);
    if (m->calls) {
        put(w, "\n\n<" DSML "tool_calls>\n");
        for (const rc_json_node *call = m->calls->child; call; call = call->next)
            RC_TRY(put_call(w, rc_json_member(call, "function"), err));
        put(w, "</" DSML "tool_calls>");
    }
    put(w, m->open ? "" : EOS);
    return RC_OK;
}

/* ---------------------------------------------------------------------- turns */

static rc_code put_turn(const writer *w, size_t i, rc_err *err)
{
    const rc_turn *turn = &w->chat->turns[i];
    const rc_message *m = &w->chat->messages[turn->begin];

    switch (turn->role) {
    case RC_CHAT_DEVELOPER:
        put(w, USER);
        put_instructions(w, m);
        return RC_OK;
    case RC_CHAT_ASSISTANT: /* which does a task without thinking */
        return put_answer(w, m,
                          w->opts->thinking && !(i && turn[-1].task) &&
                              (w->keep || i > w->last_user || w->last_user == w->chat->nturns),
                          err);
    case RC_CHAT_REMINDER:
        put(w, REMINDER);
        put_content(w, m);
        return RC_OK;
    case RC_CHAT_SYSTEM:
        put_instructions(w, m);
        return RC_OK;
    default:
        put_user(w, turn);
        return RC_OK;
    }
}

static void put_task(const writer *w, const char *task)
{
    if (strcmp(task, "action") == 0) {
        put(w, ASSISTANT);
        put(w, w->opts->thinking ? THINK : THOUGHT);
    }
    put(w, "<｜");
    put(w, task);
    put(w, "｜>");
}

/* Whose turn it is next, where that is the model's. */
static void hand_over(const writer *w, size_t i)
{
    const rc_turn *turn = &w->chat->turns[i];

    if (i + 1 < w->chat->nturns && turn[1].role != RC_CHAT_ASSISTANT &&
        turn[1].role != RC_CHAT_REMINDER)
        return;
    if (turn->task) {
        put_task(w, turn->task);
    } else if (turn->role == RC_CHAT_USER || turn->role == RC_CHAT_DEVELOPER) {
        put(w, ASSISTANT);
        put(w, w->opts->thinking && (w->keep || i >= w->last_user) ? THINK : THOUGHT);
    }
}

static size_t last_user(const rc_chat *chat)
{
    size_t i = chat->nturns;

    while (i-- > 0)
        if (chat->turns[i].role == RC_CHAT_USER || chat->turns[i].role == RC_CHAT_DEVELOPER)
            return i;
    return chat->nturns;
}

/* Developers' messages go with the reasoning that followed them. */
static void drop_developers(rc_chat *chat)
{
    const size_t last = last_user(chat);
    size_t n = 0;

    for (size_t i = 0; i < chat->nturns; i++)
        if (chat->turns[i].role != RC_CHAT_DEVELOPER || i >= last)
            chat->turns[n++] = chat->turns[i];
    chat->nturns = n;
}

static rc_code put_all(rc_text *out, rc_chat *chat, const rc_chat_opts *opts, rc_err *err)
{
    writer w = { .out = out, .chat = chat, .opts = opts };

    w.keep = opts->keep_reasoning || chat->has_tools;
    if (opts->thinking && !w.keep)
        drop_developers(chat);
    w.last_user = last_user(chat);
    begin(out, opts, chat->nturns != 0);
    for (size_t i = 0; i < chat->nturns; i++) {
        RC_TRY(put_turn(&w, i, err));
        hand_over(&w, i);
    }
    return finish(out, err);
}

rc_code rc_chat_messages(rc_text *out, const char *json, size_t len, const rc_chat_opts *opts,
                         rc_err *err)
{
    rc_chat chat;
    rc_code rc = rc_chat_read(&chat, json, len, out->mem, err);

    if (rc == RC_OK)
        rc = put_all(out, &chat, opts, err);
    rc_arena_free(&chat.arena);
    return rc;
}

rc_code rc_chat_ask(rc_text *out, const char *system, const char *user, size_t user_len,
                    const rc_chat_opts *opts, rc_err *err)
{
    begin(out, opts, true);
    rc_text_put(out, system ? system : "");
    rc_text_put(out, USER);
    rc_text_add(out, user, user_len);
    rc_text_put(out, opts->thinking ? ASSISTANT THINK : ASSISTANT THOUGHT);
    return finish(out, err);
}
