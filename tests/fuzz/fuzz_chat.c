/* tests/fuzz/fuzz_chat.c - a conversation from anybody, as JSON, in each way of encoding it. */
#include <stdlib.h>
#include <string.h>

#include "formats/chat.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(what)                                                                              \
    do {                                                                                           \
        if (!(what))                                                                               \
            abort();                                                                               \
    } while (0)

static void encode(const char *json, size_t len, const rc_chat_opts *opts)
{
    static const char bos[] = "<｜begin▁of▁sentence｜>";
    rc_mem mem = { .limit = (size_t)256 << 20 };
    rc_text out = { .mem = &mem };
    rc_err err = { 0 };
    const rc_code rc = rc_chat_messages(&out, json, len, opts, &err);

    REQUIRE(rc == RC_OK || rc == RC_E_DATA);
    REQUIRE(rc == err.code);
    if (rc == RC_OK)
        REQUIRE(out.len >= strlen(bos) && memcmp(out.at, bos, strlen(bos)) == 0);
    else
        REQUIRE(err.msg[0] && (err.offset == RC_NO_OFFSET || err.offset <= len));
    rc_text_free(&out);
    REQUIRE(mem.used == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (unsigned i = 0; i < 4; i++) {
        const rc_chat_opts opts = { .thinking = i & 1,
                                    .keep_reasoning = i & 2,
                                    .max_effort = i & 2 };

        encode((const char *)data, size, &opts);
    }
    return 0;
}
