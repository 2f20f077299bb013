/* formats/base/json.h - strict JSON: an adapter to YAJL, in both directions.
 *
 * Reading is by events, so a header of 100 MB costs no tree. On top of YAJL's
 * grammar: strict UTF-8 (no overlong forms, no surrogates, also not as \u
 * escapes), no NUL in strings, no byte order mark, no duplicate key in any
 * object, a depth limit, and the byte offset of everything. */
#ifndef RC_FORMATS_BASE_JSON_H
#define RC_FORMATS_BASE_JSON_H

#include "formats/base/mem.h"
#include "formats/base/status.h"

#define RC_JSON_MAX_DEPTH 512u

typedef enum rc_json_type {
    RC_JSON_OBJECT,     /* { */
    RC_JSON_OBJECT_END, /* } */
    RC_JSON_ARRAY,      /* [ */
    RC_JSON_ARRAY_END,  /* ] */
    RC_JSON_KEY,
    RC_JSON_STRING,
    RC_JSON_NUMBER, /* text as written */
    RC_JSON_TRUE,
    RC_JSON_FALSE,
    RC_JSON_NULL
} rc_json_type;

typedef struct rc_json_event {
    rc_json_type type;
    unsigned depth;   /* open containers around this event; for OBJECT/ARRAY and their ENDs,
                         the container itself does not count */
    const char *text; /* KEY, STRING (unescaped, no NUL inside), NUMBER; not NUL-terminated */
    size_t len;
    uint64_t offset; /* of the token's first byte, from the start of the text + base */
} rc_json_event;

/** Called for each event. Returning anything but RC_OK stops the parse and is
 *  passed on; fill `err` with the event's offset first. */
typedef rc_code rc_json_fn(void *ctx, const rc_json_event *event, rc_err *err);

/** Parse one JSON document that fills text[len] (white space around it is fine).
 *  `base` is added to every offset. RC_E_DATA with the offset when malformed
 *  (a document cut short reports its end); RC_E_OS when `mem` refuses. */
RC_MUST_CHECK
rc_code rc_json_parse(const uint8_t *text, size_t len, uint64_t base, rc_json_fn *fn, void *ctx,
                      rc_mem *mem, rc_err *err);

/** A NUMBER event as a whole number: digits only, no sign, fits 64 bits. */
bool rc_json_u64(const rc_json_event *event, uint64_t *out);
/** A NUMBER event as a finite double (1e400 is refused, so are 1024 characters). */
bool rc_json_f64(const rc_json_event *event, double *out);

/* Writing: into a growing buffer, keys in the order given, strings escaped. */
typedef struct rc_jsonw rc_jsonw;

/** indent: 0 for one line, else two spaces a level and a newline at the end.
 *  At most 127 levels deep. NULL when `mem` refuses. */
rc_jsonw *rc_jsonw_new(rc_mem *mem, unsigned indent);
void rc_jsonw_free(rc_jsonw **w);
void rc_jsonw_object(rc_jsonw *w);
void rc_jsonw_object_end(rc_jsonw *w);
void rc_jsonw_array(rc_jsonw *w);
void rc_jsonw_array_end(rc_jsonw *w);
void rc_jsonw_key(rc_jsonw *w, const char *key);
void rc_jsonw_str(rc_jsonw *w, const char *s); /* invalid UTF-8 is escaped as in rc_escape */
void rc_jsonw_strn(rc_jsonw *w, const char *s, size_t len);
void rc_jsonw_u64(rc_jsonw *w, uint64_t v);
void rc_jsonw_i64(rc_jsonw *w, int64_t v);
void rc_jsonw_f64(rc_jsonw *w, double v); /* shortest that reads back; null if not finite */
void rc_jsonw_bool(rc_jsonw *w, bool v);
void rc_jsonw_null(rc_jsonw *w);
void rc_jsonw_raw(rc_jsonw *w, const char *number, size_t len); /* a NUMBER's own text */
/* key + value in one call */
void rc_jsonw_kstr(rc_jsonw *w, const char *key, const char *s);
void rc_jsonw_ku64(rc_jsonw *w, const char *key, uint64_t v);
void rc_jsonw_kf64(rc_jsonw *w, const char *key, double v);
void rc_jsonw_kbool(rc_jsonw *w, const char *key, bool v);
/** The text so far, NUL-terminated, valid until the next call; NULL when memory
 *  ran out on the way, or the calls made no JSON (each was harmless). */
const char *rc_jsonw_text(rc_jsonw *w, size_t *len);
/** The text as a block of its own, with a newline behind it; put it back to mem. */
RC_MUST_CHECK
rc_code rc_jsonw_finish(rc_jsonw *w, char **out, size_t *len, rc_mem *mem, rc_err *err);
/** Forget the text (a complete document) and start another. */
void rc_jsonw_reset(rc_jsonw *w);

/* Editing: the same document with some root keys set or taken out. Everything
 * else keeps its bytes: order, number spelling, escapes, inner line breaks. */
typedef struct rc_json_edit {
    const char *key;
    const char *value; /* JSON text, or NULL to take the key out */
} rc_json_edit;

/** *out is a NUL-terminated text of *out_len bytes (put it back to mem): the
 *  members of the root one a line, two spaces in, ending in a newline. A key to be
 *  set that is not there is appended at the end. RC_E_DATA when the text is not a
 *  JSON object; RC_E_INTERNAL when a new value is not JSON or a key comes twice. */
RC_MUST_CHECK
rc_code rc_json_edit_root(const uint8_t *text, size_t len, const rc_json_edit *edits, size_t nedits,
                          char **out, size_t *out_len, rc_mem *mem, rc_err *err);

#endif
