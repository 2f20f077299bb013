/* tests/fuzz/fuzz_hub_listing.c - what a hub lists, from anybody: what is accepted is a path that
 * stays inside, with a size and a digest. */
#include <stdlib.h>
#include <string.h>

#include "formats/hub_listing.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(what)                                                                              \
    do {                                                                                           \
        if (!(what))                                                                               \
            abort();                                                                               \
    } while (0)

static rc_code see(void *ctx, const rc_hub_entry *e, rc_err *err)
{
    (void)ctx, (void)err;
    REQUIRE(e->path[0] && e->path[0] != '/' && e->path[strlen(e->path) - 1] != '/');
    REQUIRE(!strstr(e->path, "//") && !strchr(e->path, '\\') && !strchr(e->path, '\n'));
    REQUIRE(strncmp(e->path, "../", 3) != 0 && !strstr(e->path, "/../"));
    REQUIRE(e->nbytes <= RC_HUB_MAX_FILE && e->content.kind != RC_CONTENT_UNKNOWN);
    return RC_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    rc_mem mem = { .limit = (size_t)256 << 20 };
    rc_err err = { 0 };
    char commit[RC_HUB_COMMIT];
    rc_code rc = rc_hub_tree((const char *)data, size, see, NULL, &mem, &err);

    REQUIRE(rc == RC_OK || (err.code == rc && err.msg[0]));
    rc = rc_hub_commit(commit, (const char *)data, size, &mem, &err);
    REQUIRE(rc == RC_OK ? strlen(commit) == 40 : err.code == rc && !commit[0]);
    REQUIRE(mem.used == 0);
    return 0;
}
