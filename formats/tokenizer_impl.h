/* formats/tokenizer_impl.h - the tables of a vocabulary from inside; for tokenizer*.c only.
 *
 * tokenizer_json.c and tokenizer_gguf.c fill them, each in its own way; what both must hold is
 * checked in tokenizer.c. */
#ifndef RC_FORMATS_TOKENIZER_IMPL_H
#define RC_FORMATS_TOKENIZER_IMPL_H

#include "formats/base/names.h"
#include "formats/tokenizer.h"

typedef struct rc_token {
    const char *text; /* NULL until something has this id */
    uint32_t len;
    const char *content; /* of an added token: as it stands in texts. NUL-terminated */
    uint32_t content_len;
    bool in_vocab, added;       /* where it was named */
    bool special, early, trims; /* of an added one; trims: or looks at what is beside it */
    rc_token_type type;
} rc_token;

typedef struct rc_merge {
    const char *text; /* "A B" */
    uint32_t len;
    uint32_t left, right, made; /* ids; set by rc_tokenizer_check_merges() */
    uint64_t offset;            /* in its file */
} rc_merge;

enum { RC_SPECIAL_BOS, RC_SPECIAL_EOS, RC_SPECIAL_PAD, RC_SPECIALS };

struct rc_tokenizer {
    rc_mem *mem;
    rc_arena text;
    rc_token *tokens;
    uint32_t count;
    rc_merge *merges;
    size_t nmerges, merge_cap;
    bool has[RC_SPECIALS];
    uint32_t id[RC_SPECIALS];
    int add_bos, add_eos;
    const char *pre, *chat_template;
    const char *extras;
    rc_digest pre_digest;
};

/** Tables of `count` ids without tokens; NULL when `mem` refuses. */
rc_tokenizer *rc_tokenizer_make(uint32_t count, rc_mem *mem);
/** The text of token i: what a table of names wants. */
const char *rc_tokenizer_name(const void *tokenizer, size_t i);

/** Check a token's text and keep a copy of it. RC_E_DATA: empty, too long. `where` begins the
 *  message. */
RC_MUST_CHECK
rc_code rc_tokenizer_keep(rc_tokenizer *t, const char *text, size_t len, const char *where,
                          uint64_t offset, const char **kept, rc_err *err);
/** Add the merge "A B". */
RC_MUST_CHECK
rc_code rc_tokenizer_add_merge(rc_tokenizer *t, const char *text, size_t len, uint64_t offset,
                               rc_err *err);
/** Find the tokens of every merge. `names` holds the tokens by text. RC_E_DATA for one that is
 *  not "A B" or whose sides or result are not in the vocabulary: a merge can then always be
 *  undone. `where` begins the message. */
RC_MUST_CHECK
rc_code rc_tokenizer_check_merges(rc_tokenizer *t, const rc_names *names, const char *where,
                                  rc_err *err);
/** What only the model itself knows must be spelled in bytes (RC_E_UNSUPPORTED); bytes that no
 *  token spells are a warning about `file`. */
RC_MUST_CHECK
rc_code rc_tokenizer_check_spelling(const rc_tokenizer *t, const char *file, const rc_log *log,
                                    rc_err *err);

#endif
