/* tests/fuzz/fuzz_safetensors.c - a shard's header from anybody.
 *
 * The input is taken twice: as a whole file, and as a header text behind a
 * length field that fits it (its first two bytes then say how much data follows),
 * so that the fuzzer need not learn to count. */
#include <stdlib.h>
#include <string.h>

#include "formats/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(what)                                                                              \
    do {                                                                                           \
        if (!(what))                                                                               \
            abort();                                                                               \
    } while (0)

static void try_head(const uint8_t *head, size_t head_len, uint64_t file_len)
{
    rc_mem mem = { .limit = (size_t)64 << 20 };
    rc_err err = { 0 };
    uint64_t header_end, at;
    char line[1200];
    rc_st *st;
    rc_code rc = rc_st_peek(head, head_len < 512 ? head_len : 512, file_len, &header_end, &err);

    REQUIRE(header_end <= file_len);
    if (rc == RC_OK && header_end > head_len)
        return;
    rc = rc_st_new(&st, head, head_len, file_len, NULL, &mem, &err);
    if (rc != RC_OK) {
        REQUIRE(!st && err.code == rc && err.msg[0]);
        REQUIRE(err.offset == RC_NO_OFFSET || err.offset <= file_len);
        REQUIRE(!strchr(rc_err_line(&err, line, sizeof line), '\n'));
        REQUIRE(mem.used == 0);
        return;
    }
    REQUIRE(rc_st_data_off(st) == header_end);
    at = header_end;
    for (size_t i = 0; i < rc_st_count(st); i++) {
        const rc_st_entry *t = rc_st_at(st, i);

        REQUIRE(t->begin == at);
        REQUIRE(t->rank <= RC_ST_MAX_RANK && rc_dtype_usable(t->dtype));
        REQUIRE(rc_st_find(st, t->name) == t);
        at += t->nbytes;
    }
    REQUIRE(at == file_len);
    rc_st_free(&st);
    REQUIRE(mem.used == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    try_head(data, size, size);
    if (size >= 2) {
        const size_t n = size - 2;
        uint8_t *head = malloc(8 + n);

        if (!head)
            return 0;
        for (int i = 0; i < 8; i++)
            head[i] = (uint8_t)((uint64_t)n >> (8 * i));
        memcpy(head + 8, data + 2, n);
        try_head(head, 8 + n, 8 + n + data[0] + 256u * data[1]);
        free(head);
    }
    return 0;
}
