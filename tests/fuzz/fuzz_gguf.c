/* tests/fuzz/fuzz_gguf.c - the head of a GGUF file from anybody, and what its keys say.
 *
 * The input is taken twice: as a whole file, and as the head of a file that is as long as
 * its last eight bytes say, so that tensors larger than the input get a hearing. */
#include <stdlib.h>
#include <string.h>

#include "formats/gguf_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(what)                                                                              \
    do {                                                                                           \
        if (!(what))                                                                               \
            abort();                                                                               \
    } while (0)

static void look(const rc_gguf *g, uint64_t file_len)
{
    uint64_t at = rc_gguf_data_off(g);

    for (size_t i = 0; i < rc_gguf_kvs(g); i++) {
        const rc_gguf_kv *kv = rc_gguf_kv_at(g, i);
        const uint8_t *next = kv->data;
        uint64_t n = 0, u;
        const char *s;
        char text[16];
        size_t len;
        double f;

        REQUIRE(rc_gguf_find(g, kv->key) == kv);
        (void)rc_gguf_get_u64(g, kv->key, &u);
        (void)rc_gguf_get_f64(g, kv->key, &f);
        (void)rc_gguf_get_str(g, kv->key, text, sizeof text);
        if (kv->type != RC_GGUF_ARR)
            continue;
        while (rc_gguf_arr_str(kv, &next, &n, &s, &len))
            if (len)
                REQUIRE(s[len - 1] == s[len - 1]); /* readable */
        if (kv->count) {
            (void)rc_gguf_arr_u64(kv, kv->count - 1, &u);
            (void)rc_gguf_arr_f64(kv, kv->count - 1, &f);
        }
    }
    for (size_t i = 0; i < rc_gguf_tensors(g); i++) {
        const rc_gguf_tensor *t = rc_gguf_tensor_at(g, i);

        REQUIRE(t->begin >= at && t->nbytes > 0 && t->rank >= 1 && t->rank <= RC_GGUF_MAX_RANK);
        at = t->begin + t->nbytes;
    }
    REQUIRE(at <= file_len);
}

static bool has(void *ctx, const char *name)
{
    const rc_gguf *g = ctx;

    for (size_t i = 0; i < rc_gguf_tensors(g); i++)
        if (strcmp(rc_gguf_tensor_at(g, i)->name, name) == 0)
            return true;
    return false;
}

/* The keys as a config, of whatever kind. */
static void describe(rc_gguf *g, rc_mem *mem)
{
    rc_gguf_facts facts = { .vocab = 384, .markov_rank = 64 };
    rc_config config;
    uint8_t *text;
    rc_err err = { 0 };
    size_t len;

    if (rc_gguf_kind_of(&facts.kind, g, has, g, &err) != RC_OK) {
        REQUIRE(err.msg[0]);
        return;
    }
    if (rc_gguf_config(&config, &text, &len, g, &facts, NULL, mem, &err) == RC_OK) {
        REQUIRE(config.num_hidden_layers >= 1);
        REQUIRE(config.num_hidden_layers <= RC_CONFIG_MAX_LAYERS);
        REQUIRE(config.n_compress_ratios >= config.num_hidden_layers);
        REQUIRE(text && strlen((const char *)text) == len);
        rc_mem_put(mem, text);
    } else {
        REQUIRE(!text && err.msg[0]);
    }
}

static void try_head(const uint8_t *data, size_t size, uint64_t file_len)
{
    rc_mem mem = { .limit = (size_t)64 << 20 };
    rc_err err = { 0 };
    uint64_t need;
    char line[1200];
    rc_gguf *g;
    uint8_t *head;
    rc_code rc = rc_gguf_need(data, size, file_len, &need, &err);

    REQUIRE(rc == RC_OK || (need == 0 && err.code == rc));
    if (rc == RC_OK && need > size)
        return;
    head = rc_mem_get(&mem, size);
    REQUIRE(head);
    memcpy(head, data, size);
    rc = rc_gguf_new(&g, head, size, file_len, NULL, &mem, &err);
    if (rc == RC_OK) {
        look(g, file_len);
        describe(g, &mem);
        rc_gguf_free(&g);
    } else {
        REQUIRE(!g && err.code == rc && err.msg[0]);
        REQUIRE(err.offset == RC_NO_OFFSET || err.offset <= file_len);
        REQUIRE(!strchr(rc_err_line(&err, line, sizeof line), '\n'));
        rc_mem_put(&mem, head);
    }
    REQUIRE(mem.used == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    try_head(data, size, size);
    if (size > 8) {
        uint64_t file_len;

        memcpy(&file_len, data + size - 8, sizeof file_len);
        try_head(data, size - 8, file_len < size - 8 ? size - 8 : file_len);
    }
    return 0;
}
