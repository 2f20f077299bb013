/* tests/fuzz/fuzz_index.c - a shard index from anybody: what is accepted names
 * only plain files. */
#include <stdlib.h>
#include <string.h>

#include "formats/index.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(what)                                                                              \
    do {                                                                                           \
        if (!(what))                                                                               \
            abort();                                                                               \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    rc_mem mem = { .limit = (size_t)64 << 20 };
    rc_err err = { 0 };
    rc_index *x;
    const rc_code rc = rc_index_new(&x, data, size, NULL, &mem, &err);

    if (rc != RC_OK) {
        REQUIRE(!x && err.code == rc && err.msg[0]);
        REQUIRE(err.offset == RC_NO_OFFSET || err.offset <= size);
    } else {
        REQUIRE(rc_index_count(x) > 0 && rc_index_shards(x) > 0);
        for (size_t i = 0; i < rc_index_count(x); i++) {
            REQUIRE(rc_index_shard_of(x, i) < rc_index_shards(x));
            REQUIRE(rc_index_tensor(x, i)[0]);
        }
        for (size_t i = 0; i < rc_index_shards(x); i++) {
            const char *name = rc_index_shard(x, i);

            REQUIRE(rc_name_is_safe(name, strlen(name), false));
            REQUIRE(!strchr(name, '/') && strcmp(name, "..") != 0);
            REQUIRE(i == 0 || strcmp(rc_index_shard(x, i - 1), name) < 0);
        }
    }
    rc_index_free(&x);
    REQUIRE(mem.used == 0);
    return 0;
}
