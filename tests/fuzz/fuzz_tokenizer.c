/* tests/fuzz/fuzz_tokenizer.c - a tokenizer from anybody: tokenizer.json, and behind a NUL its
 * tokenizer_config.json. What is accepted is whole: a text for each id, merges of tokens. */
#include <stdlib.h>
#include <string.h>

#include "formats/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(what)                                                                              \
    do {                                                                                           \
        if (!(what))                                                                               \
            abort();                                                                               \
    } while (0)
enum { VOCAB = 300 };

static void inspect(const rc_tokenizer *t)
{
    uint32_t id = 0;

    REQUIRE(rc_tokenizer_count(t) == VOCAB);
    for (uint32_t i = 0; i < VOCAB; i++) {
        rc_token_type type;
        size_t len;
        const char *text = rc_tokenizer_token(t, i, &len, &type);

        REQUIRE(len > 0 && strlen(text) == len);
        REQUIRE(type >= RC_TOKEN_NORMAL && type <= RC_TOKEN_BYTE);
    }
    for (size_t i = 0; i < rc_tokenizer_merges(t); i++) {
        size_t len;
        const char *text = rc_tokenizer_merge(t, i, &len), *space = strchr(text, ' ');

        REQUIRE(strlen(text) == len && space && space > text && space[1]);
        REQUIRE(!strchr(space + 1, ' '));
    }
    REQUIRE(!rc_tokenizer_bos(t, &id) || id < VOCAB);
    REQUIRE(!rc_tokenizer_eos(t, &id) || id < VOCAB);
    REQUIRE(!rc_tokenizer_pad(t, &id) || id < VOCAB);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    rc_mem mem = { .limit = (size_t)64 << 20 };
    rc_err err = { 0 };
    rc_tokenizer *t;
    const uint8_t *nul = size ? memchr(data, 0, size) : NULL;
    const size_t len = nul ? (size_t)(nul - data) : size;
    const rc_code rc = rc_tokenizer_parse(&t, data, len, nul ? nul + 1 : NULL,
                                          nul ? size - len - 1 : 0, VOCAB, NULL, &mem, &err);

    if (rc != RC_OK) {
        REQUIRE(!t && err.code == rc && err.msg[0]);
        REQUIRE(err.offset == RC_NO_OFFSET || err.offset <= size);
    } else {
        inspect(t);
    }
    rc_tokenizer_free(&t);
    REQUIRE(mem.used == 0);
    return 0;
}
