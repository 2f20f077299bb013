/* formats/pre_tokenizer.h - which pre-tokenizer a tokenizer.json defines: how text is cut
 * before merging.
 *
 * Expressions are compared, never run. An engine that reads GGUF knows a pre-tokenizer by a
 * name; another one's tokens would be plausible and wrong. */
#ifndef RC_FORMATS_PRE_TOKENIZER_H
#define RC_FORMATS_PRE_TOKENIZER_H

#include "formats/base/hash.h"
#include "formats/base/json.h"

#define RC_SPLITS 3u

/** The expressions of DeepSeek-V3's and V4's, each Isolated and applied inside the pieces that
 *  the one before left; ByteLevel follows, which cuts nothing. llama.cpp: "joyai-llm". */
extern const char *const rc_joyai_splits[RC_SPLITS];

/* One element of a Sequence. */
typedef struct rc_pre_step {
    bool is_split, is_byte_level;
    bool regex, isolated, inverted; /* regex: the one expected at this step */
    bool prefix_space, use_regex;
} rc_pre_step;

/* What was seen so far. Fill with rc_pre_begin(). */
typedef struct rc_pre_tokenizer {
    rc_hasher hasher;
    char key[24], kind[24]; /* the last key; the outermost type, for a message ("" if none) */
    bool byte_level;        /* ByteLevel is in it */
    bool in_sequence, is_joyai;
    unsigned steps;
    rc_pre_step step;
} rc_pre_tokenizer;

void rc_pre_begin(rc_pre_tokenizer *p);
/** An event inside the object that is the root's member "pre_tokenizer". */
void rc_pre_event(rc_pre_tokenizer *p, const rc_json_event *ev);
/** The name that llama.cpp has for it, or NULL. */
const char *rc_pre_name(const rc_pre_tokenizer *p);

#endif
