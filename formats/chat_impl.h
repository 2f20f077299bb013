/* formats/chat_impl.h - a conversation between its JSON (chat_read.c) and its text (chat.c). */
#ifndef RC_FORMATS_CHAT_IMPL_H
#define RC_FORMATS_CHAT_IMPL_H

#include "formats/base/json_tree.h"
#include "formats/chat.h"

typedef enum rc_chat_role {
    RC_CHAT_SYSTEM,
    RC_CHAT_USER,
    RC_CHAT_DEVELOPER,
    RC_CHAT_ASSISTANT,
    RC_CHAT_TOOL,
    RC_CHAT_REMINDER
} rc_chat_role;

/* A message, checked: the nodes are of the types that the comments say, or NULL. */
typedef struct rc_message {
    rc_chat_role role;
    const rc_json_node *content;   /* string, or array of objects */
    const rc_json_node *tools;     /* array, not empty, of objects with "function" */
    const rc_json_node *format;    /* anything that Python holds for true */
    const rc_json_node *reasoning; /* string */
    const rc_json_node *calls;     /* array, not empty: see rc_call */
    const char *call_id;           /* of a tool's answer; "" if not said */
    const char *task;              /* NULL: none */
    bool open;                     /* wo_eos */
    uint64_t offset;
} rc_message;

/* Messages [begin, end) that are one turn. */
typedef struct rc_turn {
    size_t begin, end;
    rc_chat_role role; /* a run of users and tools is a user's */
    const char *task;  /* of the first, if that is no tool */
} rc_turn;

typedef struct rc_chat {
    rc_arena arena; /* of everything here */
    rc_message *messages;
    size_t nmessages;
    rc_turn *turns;
    size_t nturns;
    bool has_tools;
} rc_chat;

/** Read, check, and put into turns. What `chat` holds is the caller's on failure too:
 *  rc_arena_free(&chat->arena). */
RC_MUST_CHECK
rc_code rc_chat_read(rc_chat *chat, const char *json, size_t len, rc_mem *mem, rc_err *err);

#endif
