/* formats/chat_read.c - JSON into messages, messages into turns. */
#include <stdlib.h>
#include <string.h>

#include "formats/base/names.h"
#include "formats/chat_impl.h"

static const char *const role_names[] = {
    [RC_CHAT_SYSTEM] = "system",       [RC_CHAT_USER] = "user",
    [RC_CHAT_DEVELOPER] = "developer", [RC_CHAT_ASSISTANT] = "assistant",
    [RC_CHAT_TOOL] = "tool",           [RC_CHAT_REMINDER] = "latest_reminder",
};
static const char *const tasks[] = {
    "action", "query", "authority", "domain", "title", "read_url"
};

/* -------------------------------------------------------------------- values */

static rc_code fail_type(rc_err *err, const rc_json_node *n, const char *key, const char *want)
{
    return rc_fail(err, RC_E_DATA, n->offset, "%s is not %s", key, want);
}

/* A member that must be of a type, if it is there and not null. */
static rc_code member(const rc_json_node *object, const char *key, rc_json_type type,
                      const char *want, const rc_json_node **out, rc_err *err)
{
    *out = rc_json_member(object, key);
    return !*out || (*out)->type == type ? RC_OK : fail_type(err, *out, key, want);
}

/* What Python holds for true. */
static bool is_true(const rc_json_node *n)
{
    if (!n || n->type == RC_JSON_FALSE)
        return false;
    if (n->type == RC_JSON_OBJECT || n->type == RC_JSON_ARRAY)
        return n->child != NULL;
    return n->type == RC_JSON_NUMBER   ? strtod(n->text, NULL) != 0
           : n->type == RC_JSON_STRING ? n->len != 0
                                       : n->type == RC_JSON_TRUE;
}

/* Which of the names a string is; n when none. */
static size_t which(const rc_json_node *s, const char *const *names, size_t n)
{
    size_t i = 0;

    while (i < n && strcmp(s->text, names[i]) != 0)
        i++;
    return i;
}

static rc_code fail_unknown(rc_err *err, const rc_json_node *n, const char *what)
{
    char shown[64];

    return rc_fail(err, RC_E_DATA, n->offset, "unknown %s: \"%s\"", what,
                   rc_escape(shown, sizeof shown, n->text, n->len));
}

/* ------------------------------------------------------------------- messages */

static rc_code read_content(rc_message *m, const rc_json_node *from, rc_err *err)
{
    m->content = rc_json_member(from, "content");
    if (!m->content || m->content->type == RC_JSON_STRING)
        return RC_OK;
    if (m->content->type != RC_JSON_ARRAY)
        return fail_type(err, m->content, "content", "a text or a list of parts");
    for (const rc_json_node *part = m->content->child; part; part = part->next) {
        const rc_json_node *value;

        if (part->type != RC_JSON_OBJECT)
            return fail_type(err, part, "a part of content", "an object");
        RC_TRY(member(part, "type", RC_JSON_STRING, "a string", &value, err));
        RC_TRY(member(part, "text", RC_JSON_STRING, "a string", &value, err));
    }
    return RC_OK;
}

static rc_code read_tools(const rc_json_node **out, const rc_json_node *from, rc_err *err)
{
    RC_TRY(member(from, "tools", RC_JSON_ARRAY, "a list", out, err));
    if (!is_true(*out))
        *out = NULL;
    for (const rc_json_node *tool = *out ? (*out)->child : NULL; tool; tool = tool->next)
        if (!rc_json_member(tool, "function"))
            return rc_fail(err, RC_E_DATA, tool->offset, "tools: one without a function");
    return RC_OK;
}

static rc_code read_calls(rc_message *m, const rc_json_node *from, rc_err *err)
{
    RC_TRY(member(from, "tool_calls", RC_JSON_ARRAY, "a list", &m->calls, err));
    if (!is_true(m->calls))
        m->calls = NULL;
    for (const rc_json_node *call = m->calls ? m->calls->child : NULL; call; call = call->next) {
        const rc_json_node *id, *function = rc_json_member(call, "function");
        const rc_json_node *arguments = rc_json_member(function, "arguments");

        if (!rc_json_is(rc_json_member(function, "name"), RC_JSON_STRING))
            return rc_fail(err, RC_E_DATA, call->offset, "tool_calls: one without a function.name");
        if (arguments && arguments->type != RC_JSON_STRING && arguments->type != RC_JSON_OBJECT)
            return fail_type(err, arguments, "function.arguments", "a JSON text or an object");
        RC_TRY(member(call, "id", RC_JSON_STRING, "a string", &id, err));
    }
    return RC_OK;
}

static rc_code read_task(rc_message *m, const rc_json_node *from, rc_err *err)
{
    const rc_json_node *task;

    RC_TRY(member(from, "task", RC_JSON_STRING, "a string", &task, err));
    if (!task)
        return RC_OK;
    if (which(task, tasks, sizeof tasks / sizeof *tasks) == sizeof tasks / sizeof *tasks)
        return fail_unknown(err, task, "task");
    m->task = task->text;
    return RC_OK;
}

static rc_code read_role(rc_message *m, const rc_json_node *from, rc_err *err)
{
    const rc_json_node *role = rc_json_member(from, "role");
    size_t i;

    if (!rc_json_is(role, RC_JSON_STRING))
        return rc_fail(err, RC_E_DATA, from->offset, "a message without a role");
    i = which(role, role_names, sizeof role_names / sizeof *role_names);
    if (i == sizeof role_names / sizeof *role_names)
        return fail_unknown(err, role, "role");
    m->role = (rc_chat_role)i;
    return RC_OK;
}

static rc_code read_answer(rc_message *m, const rc_json_node *from, rc_err *err)
{
    const rc_json_node *open = rc_json_member(from, "wo_eos");

    if (open && open->type != RC_JSON_TRUE && open->type != RC_JSON_FALSE)
        return fail_type(err, open, "wo_eos", "true or false");
    m->open = is_true(open);
    RC_TRY(member(from, "reasoning_content", RC_JSON_STRING, "a string", &m->reasoning, err));
    return read_calls(m, from, err);
}

static rc_code read_message(rc_message *m, const rc_json_node *from, rc_err *err)
{
    const rc_json_node *id;

    if (from->type != RC_JSON_OBJECT)
        return fail_type(err, from, "a message", "an object");
    m->offset = from->offset;
    RC_TRY(read_role(m, from, err));
    RC_TRY(read_content(m, from, err));
    RC_TRY(read_task(m, from, err));
    if (m->role == RC_CHAT_ASSISTANT)
        RC_TRY(read_answer(m, from, err));
    if (m->role == RC_CHAT_TOOL) {
        RC_TRY(member(from, "tool_call_id", RC_JSON_STRING, "a string", &id, err));
        m->call_id = id ? id->text : "";
    }
    if (m->role != RC_CHAT_USER && m->role != RC_CHAT_TOOL) {
        RC_TRY(read_tools(&m->tools, from, err));
        m->format = rc_json_member(from, "response_format");
        m->format = is_true(m->format) ? m->format : NULL;
    }
    if (m->role == RC_CHAT_DEVELOPER && !is_true(m->content))
        return rc_fail(err, RC_E_DATA, from->offset, "a developer's message without content");
    return RC_OK;
}

/* ---------------------------------------------------------------------- turns */

static bool joins(const rc_message *m)
{
    return m->role == RC_CHAT_USER || m->role == RC_CHAT_TOOL;
}

static void make_turns(rc_chat *chat)
{
    for (size_t i = 0; i < chat->nmessages; i++) {
        const rc_message *m = &chat->messages[i];
        rc_turn *last = chat->nturns ? &chat->turns[chat->nturns - 1] : NULL;

        if (last && joins(m) && joins(&chat->messages[last->begin]) &&
            (m->role == RC_CHAT_TOOL || !last->task)) {
            last->end = i + 1;
            continue;
        }
        chat->turns[chat->nturns++] = (rc_turn){ .begin = i,
                                                 .end = i + 1,
                                                 .role = joins(m) ? RC_CHAT_USER : m->role,
                                                 .task = m->role == RC_CHAT_TOOL ? NULL : m->task };
        chat->has_tools = chat->has_tools || m->tools;
    }
}

/* ------------------------------------------------- answers in the order of calls */

/* The calls of the newest message that has some, and their places by id. */
typedef struct calls {
    const char **ids;
    size_t n;
    rc_names names;
} calls;

static const char *id_at(const void *owner, size_t i)
{
    return ((const calls *)owner)->ids[i];
}

/* Of a call: its own, or else its function's. */
static const char *id_of(const rc_json_node *call)
{
    const rc_json_node *id = rc_json_member(call, "id");

    if (!is_true(id))
        id = rc_json_member(rc_json_member(call, "function"), "id");
    return rc_json_is(id, RC_JSON_STRING) ? id->text : "";
}

/* Of two calls with one id, the later one has it. */
static rc_code take_calls(rc_chat *chat, calls *c, const rc_json_node *list, rc_err *err)
{
    rc_mem *mem = chat->arena.mem;
    size_t n = 0;

    for (const rc_json_node *call = list->child; call; call = call->next)
        n++;
    rc_names_free(&c->names);
    rc_names_init(&c->names, mem, id_at, c);
    c->ids = rc_arena_get(&chat->arena, n * sizeof *c->ids);
    if (!c->ids)
        return rc_fail_nomem(err, mem, n * sizeof *c->ids);
    c->n = n;
    n = 0;
    for (const rc_json_node *call = list->child; call; call = call->next)
        c->ids[n++] = id_of(call);
    while (n--)
        if (*c->ids[n] && rc_names_find(&c->names, c->ids[n], strlen(c->ids[n])) == RC_NAMES_NONE &&
            !rc_names_add(&c->names, n))
            return rc_fail_nomem(err, mem, 8 * c->n);
    return RC_OK;
}

typedef struct answer {
    size_t call, at;
    rc_message message;
} answer;

static int by_call(const void *a, const void *b)
{
    const answer *x = a, *y = b;

    if (x->call != y->call)
        return x->call < y->call ? -1 : 1;
    return x->at < y->at ? -1 : x->at > y->at;
}

/* The answers of a turn change places among themselves. One to an unknown call counts as one
 * to the first. */
static rc_code sort_answers(rc_chat *chat, const calls *c, const rc_turn *turn, rc_err *err)
{
    rc_mem *mem = chat->arena.mem;
    answer *answers = rc_mem_get(mem, (turn->end - turn->begin) * sizeof *answers);
    size_t n = 0;

    if (!answers)
        return rc_fail_nomem(err, mem, (turn->end - turn->begin) * sizeof *answers);
    for (size_t i = turn->begin; i < turn->end; i++) {
        const rc_message *m = &chat->messages[i];

        if (m->role == RC_CHAT_TOOL) {
            const size_t call = rc_names_find(&c->names, m->call_id, strlen(m->call_id));

            answers[n] = (answer){ call == RC_NAMES_NONE ? 0 : call, n, *m };
            n++;
        }
    }
    qsort(answers, n, sizeof *answers, by_call);
    for (size_t i = turn->end; i-- > turn->begin;)
        if (chat->messages[i].role == RC_CHAT_TOOL)
            chat->messages[i] = answers[--n].message;
    rc_mem_put(mem, answers);
    return RC_OK;
}

static rc_code sort_all(rc_chat *chat, rc_err *err)
{
    calls c = { 0 };
    rc_code rc = RC_OK;

    rc_names_init(&c.names, chat->arena.mem, id_at, &c);
    for (size_t i = 0; rc == RC_OK && i < chat->nturns; i++) {
        const rc_turn *turn = &chat->turns[i];
        const rc_json_node *list = chat->messages[turn->begin].calls;

        if (list)
            rc = take_calls(chat, &c, list, err);
        else if (turn->role == RC_CHAT_USER)
            rc = sort_answers(chat, &c, turn, err);
    }
    rc_names_free(&c.names);
    return rc;
}

/* --------------------------------------------------------------- the document */

/* What stands beside the list belongs to the system message: the first one, or one that is put
 * before it. */
static rc_code place_common(rc_chat *chat, bool inserted, const rc_json_node *root, rc_err *err)
{
    rc_message *first = &chat->messages[0];
    const rc_json_node *tools, *format = rc_json_member(root, "response_format");

    RC_TRY(read_tools(&tools, root, err));
    if (inserted)
        *first = (rc_message){ .role = RC_CHAT_SYSTEM, .offset = root->offset };
    if (first->role != RC_CHAT_SYSTEM)
        return RC_OK;
    first->tools = first->tools ? first->tools : tools;
    first->format = first->format || !is_true(format) ? first->format : format;
    return RC_OK;
}

static bool begins_with_system(const rc_json_node *list)
{
    const rc_json_node *role = rc_json_member(list->child, "role");

    return rc_json_is(role, RC_JSON_STRING) && strcmp(role->text, "system") == 0;
}

static rc_code read_document(rc_chat *chat, const rc_json_node *root, rc_err *err)
{
    const rc_json_node *list = root->type == RC_JSON_ARRAY ? root : NULL;
    bool insert;
    size_t n = 0;

    if (!list)
        list = rc_json_member(root, "messages");
    if (!rc_json_is(list, RC_JSON_ARRAY))
        return rc_fail(err, RC_E_DATA, root->offset,
                       "neither a list of messages nor an object with \"messages\"");
    insert = !begins_with_system(list) && (is_true(rc_json_member(root, "tools")) ||
                                           is_true(rc_json_member(root, "response_format")));
    for (const rc_json_node *m = list->child; m; m = m->next)
        n++;
    n += insert;
    chat->messages = rc_arena_get(&chat->arena, n * sizeof *chat->messages);
    chat->turns = rc_arena_get(&chat->arena, n * sizeof *chat->turns);
    if (!chat->messages || !chat->turns)
        return rc_fail_nomem(err, chat->arena.mem, n * sizeof *chat->messages);
    chat->nmessages = insert;
    for (const rc_json_node *m = list->child; m; m = m->next)
        RC_TRY(read_message(&chat->messages[chat->nmessages++], m, err));
    return chat->nmessages ? place_common(chat, insert, root, err) : RC_OK;
}

rc_code rc_chat_read(rc_chat *chat, const char *json, size_t len, rc_mem *mem, rc_err *err)
{
    const rc_json_node *root;

    *chat = (rc_chat){ .arena = { .mem = mem } };
    if (len > RC_CHAT_MAX_BYTES) {
        rc_fail(err, RC_E_LIMIT, RC_NO_OFFSET, "the conversation is too long");
        rc_err_want(err, "at most %u bytes", RC_CHAT_MAX_BYTES);
        rc_err_got(err, "%zu", len);
        return RC_E_LIMIT;
    }
    RC_TRY(rc_json_tree(&root, (const uint8_t *)json, len, &chat->arena, err));
    RC_TRY(read_document(chat, root, err));
    make_turns(chat);
    return sort_all(chat, err);
}
