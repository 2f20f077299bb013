/* formats/base/json_tree.h - a whole JSON document in memory, for small ones that are looked at
 * more than once. Large ones are read by events (json.h). */
#ifndef RC_FORMATS_BASE_JSON_TREE_H
#define RC_FORMATS_BASE_JSON_TREE_H

#include "formats/base/json.h"

/* A value. Immutable; lives in the arena that it was read into. */
typedef struct rc_json_node {
    rc_json_type type; /* OBJECT, ARRAY, STRING, NUMBER, TRUE, FALSE or NULL */
    const char *key;   /* of a member of an object, else NULL; NUL-terminated */
    const char *text;  /* STRING: unescaped; NUMBER: as written; NUL-terminated */
    size_t len;        /* of text */
    uint64_t offset;   /* of the value in the document */
    const struct rc_json_node *child, *next; /* first member or element; the one behind this */
} rc_json_node;

/** Read a document, as rc_json_parse(): same codes, same strictness. */
RC_MUST_CHECK
rc_code rc_json_tree(const rc_json_node **root, const uint8_t *text, size_t len, rc_arena *arena,
                     rc_err *err);

/** A member by its key; NULL when there is none, its value is null, or `object` is no object. */
const rc_json_node *rc_json_member(const rc_json_node *object, const char *key);

static inline bool rc_json_is(const rc_json_node *n, rc_json_type type)
{
    return n && n->type == type;
}

#endif
