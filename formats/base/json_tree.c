/* formats/base/json_tree.c - see json_tree.h. */
#include "formats/base/json_tree.h"

#include <string.h>

typedef struct builder {
    rc_arena *arena;
    const rc_json_node *root;
    rc_json_node *open[RC_JSON_MAX_DEPTH + 1]; /* containers, outermost first */
    rc_json_node *last[RC_JSON_MAX_DEPTH + 1]; /* the newest child of each */
    const char *key;
} builder;

static rc_code fail_memory(const builder *b, size_t n, rc_err *err)
{
    return rc_fail_nomem(err, b->arena->mem, n);
}

/* Hang the node where the event stands. */
static void attach(builder *b, rc_json_node *n, unsigned depth)
{
    if (depth == 0)
        b->root = n;
    else if (b->last[depth - 1])
        b->last[depth - 1]->next = n;
    else
        b->open[depth - 1]->child = n;
    if (depth)
        b->last[depth - 1] = n;
}

static rc_code on_event(void *ctx, const rc_json_event *ev, rc_err *err)
{
    builder *b = ctx;
    const bool has_text = ev->type == RC_JSON_STRING || ev->type == RC_JSON_NUMBER;
    rc_json_node *n;

    if (ev->type == RC_JSON_OBJECT_END || ev->type == RC_JSON_ARRAY_END)
        return RC_OK;
    if (ev->type == RC_JSON_KEY) {
        b->key = rc_arena_strdup(b->arena, ev->text, ev->len);
        return b->key ? RC_OK : fail_memory(b, ev->len + 1, err);
    }
    n = rc_arena_get(b->arena, sizeof *n);
    if (!n)
        return fail_memory(b, sizeof *n, err);
    *n = (rc_json_node){ .type = ev->type, .offset = ev->offset };
    if (has_text) {
        n->text = rc_arena_strdup(b->arena, ev->text, ev->len);
        n->len = ev->len;
        if (!n->text)
            return fail_memory(b, ev->len + 1, err);
    }
    if (ev->depth && b->open[ev->depth - 1]->type == RC_JSON_OBJECT)
        n->key = b->key;
    attach(b, n, ev->depth);
    b->open[ev->depth] = n;
    b->last[ev->depth] = NULL;
    return RC_OK;
}

rc_code rc_json_tree(const rc_json_node **root, const uint8_t *text, size_t len, rc_arena *arena,
                     rc_err *err)
{
    builder b = { .arena = arena };

    *root = NULL;
    RC_TRY(rc_json_parse(text, len, 0, on_event, &b, arena->mem, err));
    *root = b.root;
    return RC_OK;
}

const rc_json_node *rc_json_member(const rc_json_node *object, const char *key)
{
    if (!rc_json_is(object, RC_JSON_OBJECT))
        return NULL;
    for (const rc_json_node *n = object->child; n; n = n->next)
        if (strcmp(n->key, key) == 0)
            return n->type == RC_JSON_NULL ? NULL : n;
    return NULL;
}
