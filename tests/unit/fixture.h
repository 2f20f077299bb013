/* tests/unit/fixture.h - small files for tests, in a folder that goes away.
 *
 * Static functions in a header: a unit test is one object and the library. */
#ifndef RC_TESTS_UNIT_FIXTURE_H
#define RC_TESTS_UNIT_FIXTURE_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <setjmp.h>
#include <cmocka.h>

typedef struct fx_dir {
    char path[256];
} fx_dir;

/** A new folder under `parent`, or where temporary files go if that is NULL. */
static inline fx_dir fx_open(const char *parent)
{
    const char *tmp = getenv("TMPDIR");
    fx_dir dir;

    snprintf(dir.path, sizeof dir.path, "%s/recast-test-XXXXXX",
             parent ? parent : (tmp && *tmp ? tmp : "/tmp"));
    if (!mkdtemp(dir.path))
        fail_msg("cannot make %s", dir.path);
    return dir;
}

static inline void fx_remove(const char *path)
{
    struct stat st;

    if (lstat(path, &st) != 0)
        return;
    if (S_ISDIR(st.st_mode)) {
        DIR *dir = opendir(path);
        const struct dirent *e;

        while (dir && (e = readdir(dir)) != NULL) {
            char *inner;

            if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
                continue;
            inner = malloc(strlen(path) + strlen(e->d_name) + 2);
            assert_non_null(inner);
            sprintf(inner, "%s/%s", path, e->d_name);
            fx_remove(inner);
            free(inner);
        }
        if (dir)
            closedir(dir);
        rmdir(path);
    } else {
        unlink(path);
    }
}

static inline void fx_close(fx_dir *dir)
{
    fx_remove(dir->path);
    dir->path[0] = '\0';
}

/** dir/name in one of eight rotating buffers: for a few at a time. */
static inline const char *fx_path(const fx_dir *dir, const char *name)
{
    static char paths[8][1024];
    static unsigned next;
    char *path = paths[next++ % 8];

    snprintf(path, sizeof paths[0], "%s/%s", dir->path, name);
    return path;
}

static inline void fx_mkdir(const fx_dir *dir, const char *name)
{
    assert_int_equal(mkdir(fx_path(dir, name), 0777), 0);
}

static inline void fx_link(const fx_dir *dir, const char *target, const char *name)
{
    assert_int_equal(symlink(target, fx_path(dir, name)), 0);
}

/** Write a file, over what was there. */
static inline void fx_write(const fx_dir *dir, const char *name, const void *bytes, size_t len)
{
    FILE *f = fopen(fx_path(dir, name), "wb");

    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

static inline void fx_text(const fx_dir *dir, const char *name, const char *text)
{
    fx_write(dir, name, text, strlen(text));
}

/* Byte `i` of every fixture's data: no period that a page or a block has. */
static inline uint8_t fx_byte(uint64_t i)
{
    return (uint8_t)((i * 2654435761u) >> 13);
}

/** A file of fx_byte(seed), fx_byte(seed + 1), ... */
static inline void fx_pattern(const fx_dir *dir, const char *name, uint64_t seed, size_t len)
{
    uint8_t *bytes = malloc(len + 1);

    assert_non_null(bytes);
    for (size_t i = 0; i < len; i++)
        bytes[i] = fx_byte(seed + i);
    fx_write(dir, name, bytes, len);
    free(bytes);
}

/** A .safetensors file: `header` as given, then `nbytes` of fx_byte(seed..). */
static inline void fx_shard(const fx_dir *dir, const char *name, const char *header, uint64_t seed,
                            size_t nbytes)
{
    const size_t n = strlen(header);
    uint8_t *bytes = malloc(8 + n + nbytes);

    assert_non_null(bytes);
    for (size_t i = 0; i < 8; i++)
        bytes[i] = (uint8_t)((uint64_t)n >> (8 * i));
    memcpy(bytes + 8, header, n);
    for (size_t i = 0; i < nbytes; i++)
        bytes[8 + n + i] = fx_byte(seed + i);
    fx_write(dir, name, bytes, 8 + n + nbytes);
    free(bytes);
}

/* The smallest config.json of the V4 family that says everything. */
static const char fx_config[] =
    "{\"architectures\":[\"DeepseekV4ForCausalLM\"],\"model_type\":\"deepseek_v4\","
    "\"bos_token_id\":0,\"eos_token_id\":1,\"expert_dtype\":\"fp4\",\"hc_eps\":1e-06,"
    "\"hc_mult\":4,\"hc_sinkhorn_iters\":20,\"head_dim\":128,\"hidden_size\":256,"
    "\"index_head_dim\":128,\"index_n_heads\":16,\"index_topk\":8,"
    "\"max_position_embeddings\":4096,\"moe_intermediate_size\":128,\"n_routed_experts\":6,"
    "\"n_shared_experts\":1,\"norm_topk_prob\":true,\"num_attention_heads\":4,"
    "\"num_experts_per_tok\":2,\"num_hidden_layers\":5,\"num_hash_layers\":1,"
    "\"num_key_value_heads\":1,\"num_nextn_predict_layers\":1,\"o_groups\":2,"
    "\"o_lora_rank\":128,\"q_lora_rank\":128,\"qk_rope_head_dim\":64,"
    "\"quantization_config\":{\"activation_scheme\":\"dynamic\",\"fmt\":\"e4m3\","
    "\"quant_method\":\"fp8\",\"scale_fmt\":\"ue8m0\",\"weight_block_size\":[128,128]},"
    "\"rms_norm_eps\":1e-06,\"rope_scaling\":{\"beta_fast\":32,\"beta_slow\":1,\"factor\":16,"
    "\"original_max_position_embeddings\":65536,\"type\":\"yarn\"},\"rope_theta\":10000,"
    "\"routed_scaling_factor\":1.5,\"scoring_func\":\"sqrtsoftplus\",\"sliding_window\":128,"
    "\"swiglu_limit\":10.0,\"tie_word_embeddings\":false,\"topk_method\":\"noaux_tc\","
    "\"torch_dtype\":\"bfloat16\",\"vocab_size\":384,\"compress_rope_theta\":160000,"
    "\"compress_ratios\":[0,4,128,4,128,0]}";

#endif
