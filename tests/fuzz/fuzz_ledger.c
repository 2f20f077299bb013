/* tests/fuzz/fuzz_ledger.c - what says of files what they have to be, from anybody: recast.json, a
 * line of recast.jsonl, SHA256SUMS. What is accepted stays in its folder. */
#include <stdlib.h>
#include <string.h>

#include "formats/ledger_read.h"
#include "verify/sha256sums.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(what)                                                                              \
    do {                                                                                           \
        if (!(what))                                                                               \
            abort();                                                                               \
    } while (0)

static void require_inside(const char *name)
{
    REQUIRE(rc_name_stays_inside(name, strlen(name)));
    REQUIRE(name[0] != '/' && strcmp(name, "..") != 0 && strncmp(name, "../", 3) != 0 &&
            !strstr(name, "/../"));
}

static void require_listed(const rc_listed *f)
{
    require_inside(f->name);
    REQUIRE(f->nbytes == RC_NO_BYTES || f->nbytes <= INT64_MAX);
    REQUIRE(!f->has_head || f->head_bytes <= f->nbytes);
}

static void fuzz_manifest(const uint8_t *data, size_t size, rc_mem *mem)
{
    rc_err err = { 0 };
    rc_manifest *m;
    const rc_code rc = rc_manifest_new(&m, data, size, mem, &err);

    if (rc != RC_OK) {
        REQUIRE(!m && err.code == rc && err.msg[0]);
        return;
    }
    require_inside(rc_manifest_ledger(m)->name);
    for (size_t i = 0; i < rc_manifest_shards(m); i++)
        require_listed(rc_manifest_shard(m, i));
    for (size_t i = 0; i < rc_manifest_files(m); i++)
        require_listed(rc_manifest_file(m, i));
    rc_manifest_free(&m);
}

static void fuzz_line(const uint8_t *data, size_t size, rc_mem *mem)
{
    rc_arena arena = { .mem = mem };
    rc_ledger_line line;
    rc_err err = { 0 };
    uint64_t end;

    if (rc_ledger_line_read(&line, data, size, &arena, &err) == RC_OK) {
        require_inside(line.shard);
        REQUIRE(line.nparts <= RC_LEDGER_PARTS);
        for (unsigned i = 0; i < line.nparts; i++) {
            const rc_ledger_part *p = &line.parts[i];

            REQUIRE(rc_add_u64(p->begin, p->span, &end) && p->span >= p->nbytes);
            REQUIRE(p->stride == 0 || (p->row_bytes && p->nbytes % p->row_bytes == 0));
        }
    } else {
        REQUIRE(err.msg[0]);
    }
    rc_arena_free(&arena);
}

static void fuzz_sums(const uint8_t *data, size_t size, rc_mem *mem)
{
    rc_sums sums, again;
    rc_err err = { 0 };
    char *text;
    size_t len;

    if (rc_sums_parse(&sums, data, size, mem, &err) == RC_OK) {
        for (size_t i = 0; i < sums.n; i++)
            require_inside(sums.at[i].name);
        REQUIRE(rc_sums_text(&sums, &text, &len, &err) == RC_OK);
        REQUIRE(rc_sums_parse(&again, (const uint8_t *)text, len, mem, &err) == RC_OK);
        REQUIRE(again.n == sums.n);
        for (size_t i = 0; i < sums.n; i++)
            REQUIRE(strcmp(again.at[i].name, sums.at[i].name) == 0);
        rc_sums_free(&again);
        rc_mem_put(mem, text);
    }
    rc_sums_free(&sums);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    rc_mem mem = { 0 };

    fuzz_manifest(data, size, &mem);
    fuzz_line(data, size, &mem);
    fuzz_sums(data, size, &mem);
    REQUIRE(mem.used == 0);
    return 0;
}
