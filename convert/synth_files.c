/* convert/synth_files.c - presets, config.json in the releases' own order, and
 * stand-ins for the files beside it. */
#include "convert/synth_files.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "convert/synth_tokenizer.h"
#include "formats/base/json.h"

#define STAND_IN "synthetic stand-in made by recast synth; not the file of any release"

#define FLASH                                                                                      \
    .hidden_size = 4096, .num_hidden_layers = 43, .num_hash_layers = 3, .num_attention_heads = 64, \
    .head_dim = 512, .q_lora_rank = 1024, .o_groups = 8, .o_lora_rank = 1024, .index_n_heads = 64, \
    .index_topk = 512, .n_routed_experts = 256, .num_experts_per_tok = 6,                          \
    .moe_intermediate_size = 2048, .vocab_size = 129280, .max_position_embeddings = 1048576,       \
    .first_ratios = { 0, 0 }, .markov_rank = 256, .routed_scaling_factor = 1.5
#define PRO                                                                                        \
    .hidden_size = 7168, .num_hidden_layers = 61, .num_hash_layers = 3,                            \
    .num_attention_heads = 128, .head_dim = 512, .q_lora_rank = 1536, .o_groups = 16,              \
    .o_lora_rank = 1024, .index_n_heads = 64, .index_topk = 1024, .n_routed_experts = 384,         \
    .num_experts_per_tok = 6, .moe_intermediate_size = 3072, .vocab_size = 129280,                 \
    .max_position_embeddings = 1048576, .first_ratios = { 128, 128 }, .markov_rank = 512,          \
    .routed_scaling_factor = 2.5

static const rc_preset presets[] = {
    { .like = "flash", FLASH },
    { .like = "flash-0731", .dspark = true, FLASH },
    { .like = "flash-base", .fp8_experts = true, FLASH },
    { .like = "pro", PRO },
    { .like = "pro-0813", .dspark = true, PRO },
    /* Every kind of layer once: window only and routed by hash, HCA, CSA, HCA, CSA. */
    { .like = "tiny",
      .tiny = true,
      .hidden_size = 256,
      .num_hidden_layers = 5,
      .num_hash_layers = 1,
      .num_attention_heads = 4,
      .head_dim = 128,
      .q_lora_rank = 128,
      .o_groups = 2,
      .o_lora_rank = 128,
      .index_n_heads = 16,
      .index_topk = 8,
      .n_routed_experts = 8,
      .num_experts_per_tok = 2,
      .moe_intermediate_size = 256,
      .vocab_size = 384,
      .max_position_embeddings = 4096,
      .first_ratios = { 0, 128 },
      .routed_scaling_factor = 1.5 },
};

static rc_code check_cut(const char *what, uint32_t wanted, uint32_t least, uint32_t most,
                         rc_err *err)
{
    if (wanted >= least && wanted <= most)
        return RC_OK;
    rc_fail(err, RC_E_USAGE, RC_NO_OFFSET, "%s cannot be cut to that", what);
    rc_err_want(err, "%" PRIu32 " to %" PRIu32, least, most);
    rc_err_got(err, "%" PRIu32, wanted);
    return RC_E_USAGE;
}

static rc_code cut_layers(rc_preset *p, uint32_t first, uint32_t layers, rc_err *err)
{
    RC_TRY(check_cut("the first layer", first, 0, p->num_hidden_layers - 1, err));
    p->first_layer = first;
    p->num_hidden_layers -= first;
    p->num_hash_layers -= first < p->num_hash_layers ? first : p->num_hash_layers;
    if (layers) {
        RC_TRY(check_cut("the layers", layers, 1, p->num_hidden_layers, err));
        p->num_hidden_layers = layers;
        if (p->num_hash_layers > layers)
            p->num_hash_layers = layers;
    }
    return RC_OK;
}

rc_code rc_preset_find(rc_preset *out, const char *like, uint32_t first, uint32_t layers,
                       uint32_t experts, rc_err *err)
{
    for (size_t i = 0; i < sizeof presets / sizeof *presets; i++) {
        if (strcmp(presets[i].like, like) != 0)
            continue;
        *out = presets[i];
        RC_TRY(cut_layers(out, first, layers, err));
        if (experts) {
            RC_TRY(check_cut("the experts", experts, out->num_experts_per_tok,
                             out->n_routed_experts, err));
            out->n_routed_experts = experts;
        }
        return RC_OK;
    }
    return rc_fail(err, RC_E_USAGE, RC_NO_OFFSET, "there is no release '%s' to imitate", like);
}

static uint32_t ratio_of(const rc_preset *p, uint32_t i)
{
    const uint32_t layer = p->first_layer + i;

    return layer < 2 ? p->first_ratios[layer] : layer % 2 ? 128 : 4;
}

static void write_quantization(rc_jsonw *w)
{
    rc_jsonw_key(w, "quantization_config");
    rc_jsonw_object(w);
    rc_jsonw_kstr(w, "activation_scheme", "dynamic");
    rc_jsonw_kstr(w, "fmt", "e4m3");
    rc_jsonw_kstr(w, "quant_method", "fp8");
    rc_jsonw_kstr(w, "scale_fmt", "ue8m0");
    rc_jsonw_key(w, "weight_block_size");
    rc_jsonw_array(w);
    rc_jsonw_u64(w, 128);
    rc_jsonw_u64(w, 128);
    rc_jsonw_array_end(w);
    rc_jsonw_object_end(w);
}

static void write_rope_scaling(rc_jsonw *w)
{
    rc_jsonw_key(w, "rope_scaling");
    rc_jsonw_object(w);
    rc_jsonw_ku64(w, "beta_fast", 32);
    rc_jsonw_ku64(w, "beta_slow", 1);
    rc_jsonw_ku64(w, "factor", 16);
    rc_jsonw_ku64(w, "original_max_position_embeddings", 65536);
    rc_jsonw_kstr(w, "type", "yarn");
    rc_jsonw_object_end(w);
}

/* What a draft adds: DSpark reads the last main layers, as many as three. */
static void write_dspark(rc_jsonw *w, const rc_preset *p)
{
    const uint32_t L = p->num_hidden_layers, targets = L < 3 ? L : 3;

    rc_jsonw_ku64(w, "dspark_block_size", 5);
    rc_jsonw_ku64(w, "dspark_markov_rank", p->markov_rank);
    rc_jsonw_ku64(w, "dspark_noise_token_id", 128799);
    rc_jsonw_key(w, "dspark_target_layer_ids");
    rc_jsonw_array(w);
    for (uint32_t i = L - targets; i < L; i++)
        rc_jsonw_u64(w, i);
    rc_jsonw_array_end(w);
}

static void write_ratios(rc_jsonw *w, const rc_preset *p)
{
    rc_jsonw_key(w, "compress_ratios");
    rc_jsonw_array(w);
    for (uint32_t i = 0; i < p->num_hidden_layers; i++)
        rc_jsonw_u64(w, ratio_of(p, i));
    for (uint32_t i = 0; i < (p->dspark ? 3u : 1u); i++) /* the draft's */
        rc_jsonw_u64(w, 0);
    rc_jsonw_array_end(w);
}

static void write_config(rc_jsonw *w, const rc_preset *p)
{
    rc_jsonw_object(w);
    rc_jsonw_key(w, "architectures");
    rc_jsonw_array(w);
    rc_jsonw_str(w, "DeepseekV4ForCausalLM");
    rc_jsonw_array_end(w);
    rc_jsonw_kbool(w, "attention_bias", false);
    rc_jsonw_key(w, "attention_dropout");
    rc_jsonw_raw(w, "0.0", 3);
    rc_jsonw_ku64(w, "bos_token_id", 0);
    rc_jsonw_ku64(w, "eos_token_id", 1);
    rc_jsonw_kstr(w, "expert_dtype", p->fp8_experts ? "fp8" : "fp4");
    rc_jsonw_key(w, "hc_eps");
    rc_jsonw_raw(w, "1e-06", 5);
    rc_jsonw_ku64(w, "hc_mult", 4);
    rc_jsonw_ku64(w, "hc_sinkhorn_iters", 20);
    rc_jsonw_ku64(w, "head_dim", p->head_dim);
    rc_jsonw_kstr(w, "hidden_act", "silu");
    rc_jsonw_ku64(w, "hidden_size", p->hidden_size);
    rc_jsonw_ku64(w, "index_head_dim", 128);
    rc_jsonw_ku64(w, "index_n_heads", p->index_n_heads);
    rc_jsonw_ku64(w, "index_topk", p->index_topk);
    rc_jsonw_key(w, "initializer_range");
    rc_jsonw_raw(w, "0.02", 4);
    rc_jsonw_ku64(w, "max_position_embeddings", p->max_position_embeddings);
    rc_jsonw_kstr(w, "model_type", "deepseek_v4");
    rc_jsonw_ku64(w, "moe_intermediate_size", p->moe_intermediate_size);
    rc_jsonw_ku64(w, "n_routed_experts", p->n_routed_experts);
    rc_jsonw_ku64(w, "n_shared_experts", 1);
    rc_jsonw_kbool(w, "norm_topk_prob", true);
    rc_jsonw_ku64(w, "num_attention_heads", p->num_attention_heads);
    rc_jsonw_ku64(w, "num_experts_per_tok", p->num_experts_per_tok);
    rc_jsonw_ku64(w, "num_hidden_layers", p->num_hidden_layers);
    rc_jsonw_ku64(w, "num_hash_layers", p->num_hash_layers);
    rc_jsonw_ku64(w, "num_key_value_heads", 1);
    rc_jsonw_ku64(w, "num_nextn_predict_layers", 1);
    rc_jsonw_ku64(w, "o_groups", p->o_groups);
    rc_jsonw_ku64(w, "o_lora_rank", p->o_lora_rank);
    rc_jsonw_ku64(w, "q_lora_rank", p->q_lora_rank);
    rc_jsonw_ku64(w, "qk_rope_head_dim", 64);
    write_quantization(w);
    rc_jsonw_key(w, "rms_norm_eps");
    rc_jsonw_raw(w, "1e-06", 5);
    write_rope_scaling(w);
    rc_jsonw_ku64(w, "rope_theta", 10000);
    rc_jsonw_kf64(w, "routed_scaling_factor", p->routed_scaling_factor);
    rc_jsonw_kstr(w, "scoring_func", "sqrtsoftplus");
    rc_jsonw_ku64(w, "sliding_window", 128);
    rc_jsonw_key(w, "swiglu_limit");
    rc_jsonw_raw(w, "10.0", 4);
    rc_jsonw_kbool(w, "tie_word_embeddings", false);
    rc_jsonw_kstr(w, "topk_method", "noaux_tc");
    rc_jsonw_kstr(w, "torch_dtype", "bfloat16");
    rc_jsonw_kstr(w, "transformers_version", "4.57.1");
    rc_jsonw_kbool(w, "use_cache", true);
    rc_jsonw_ku64(w, "vocab_size", p->vocab_size);
    rc_jsonw_ku64(w, "compress_rope_theta", 160000);
    write_ratios(w, p);
    if (p->dspark)
        write_dspark(w, p);
    rc_jsonw_object_end(w);
}

rc_code rc_preset_config(const rc_preset *preset, char **text, size_t *len, rc_mem *mem,
                         rc_err *err)
{
    rc_jsonw *w = rc_jsonw_new(mem, 2);
    const char *json = NULL;

    *text = NULL;
    if (w) {
        write_config(w, preset);
        json = rc_jsonw_text(w, len);
    }
    if (json)
        *text = rc_mem_strdup(mem, json, *len);
    rc_jsonw_free(&w);
    return *text ? RC_OK : rc_fail_nomem(err, mem, 4096);
}

static void write_generation_config(rc_jsonw *w)
{
    rc_jsonw_object(w);
    rc_jsonw_kbool(w, "_from_model_config", true);
    rc_jsonw_ku64(w, "bos_token_id", 0);
    rc_jsonw_ku64(w, "eos_token_id", 1);
    rc_jsonw_kbool(w, "do_sample", true);
    rc_jsonw_key(w, "temperature");
    rc_jsonw_raw(w, "1.0", 3);
    rc_jsonw_key(w, "top_p");
    rc_jsonw_raw(w, "1.0", 3);
    rc_jsonw_kstr(w, "transformers_version", "4.46.3");
    rc_jsonw_object_end(w);
}

static void write_encoding_case(rc_jsonw *w)
{
    rc_jsonw_object(w);
    rc_jsonw_kstr(w, "_comment", STAND_IN);
    rc_jsonw_key(w, "messages");
    rc_jsonw_array(w);
    rc_jsonw_object(w);
    rc_jsonw_kstr(w, "role", "user");
    rc_jsonw_kstr(w, "content", "hello");
    rc_jsonw_object_end(w);
    rc_jsonw_array_end(w);
    rc_jsonw_object_end(w);
}

static const char license[] =
    "This is a " STAND_IN ".\n\n"
    "A release has its licence here. The weights of this folder are random numbers; there is\n"
    "nothing in them to license.\n";
static const char encoding_readme[] =
    "# encoding\n\nThis folder is a " STAND_IN ".\n"
    "A release keeps the code that turns chat messages into text here.\n";

/* A document, from a writer that has nothing to say of the preset. */
static rc_code make_document(void (*write)(rc_jsonw *w), char **text, size_t *len, rc_mem *mem,
                             rc_err *err)
{
    rc_jsonw *w = rc_jsonw_new(mem, 2);
    const char *json = NULL;

    if (w) {
        write(w);
        json = rc_jsonw_text(w, len);
    }
    *text = json ? rc_mem_strdup(mem, json, *len) : NULL;
    rc_jsonw_free(&w);
    return *text ? RC_OK : rc_fail_nomem(err, mem, 4096);
}

static rc_code make_generation_config(const rc_preset *p, char **text, size_t *len, rc_mem *mem,
                                      rc_err *err)
{
    (void)p;
    return make_document(write_generation_config, text, len, mem, err);
}

static rc_code make_encoding_case(const rc_preset *p, char **text, size_t *len, rc_mem *mem,
                                  rc_err *err)
{
    (void)p;
    return make_document(write_encoding_case, text, len, mem, err);
}

static rc_code make_tokenizer(const rc_preset *p, char **text, size_t *len, rc_mem *mem,
                              rc_err *err)
{
    return rc_synth_tokenizer(text, len, p->vocab_size, mem, err);
}

static rc_code make_tokenizer_config(const rc_preset *p, char **text, size_t *len, rc_mem *mem,
                                     rc_err *err)
{
    return rc_synth_tokenizer_config(text, len, STAND_IN, p->max_position_embeddings, mem, err);
}

static const struct {
    const char *name; /* "encoding/..." lies in that folder */
    rc_code (*make)(const rc_preset *p, char **text, size_t *len, rc_mem *mem, rc_err *err);
    const char *text; /* when it need not be made */
} side_files[] = {
    { "generation_config.json", make_generation_config, NULL },
    { "tokenizer.json", make_tokenizer, NULL },
    { "tokenizer_config.json", make_tokenizer_config, NULL },
    { "LICENSE", NULL, license },
    { "encoding/README.md", NULL, encoding_readme },
    { "encoding/test_input_1.json", make_encoding_case, NULL },
};
enum { SIDE_FILES = sizeof side_files / sizeof *side_files };

static const char in_encoding[] = "encoding/";

static rc_code put_side_file(const rc_dir *dir, const char *name, const char *text, size_t len,
                             rc_err *err)
{
    const size_t n = sizeof in_encoding - 1;
    rc_dir sub;
    rc_code rc;

    if (strncmp(name, in_encoding, n) != 0)
        return rc_dir_put(dir, name, text, len, err);
    RC_TRY(rc_dir_sub(&sub, dir, "encoding", err));
    rc = rc_dir_put(&sub, name + n, text, len, err);
    rc_dir_close(&sub);
    return rc;
}

rc_code rc_preset_side_files(const rc_preset *preset, const rc_dir *dir, rc_mem *mem, rc_err *err)
{
    rc_code rc = RC_OK;

    for (unsigned i = 0; rc == RC_OK && i < SIDE_FILES; i++) {
        const char *text = side_files[i].text;
        size_t len = text ? strlen(text) : 0;
        char *made = NULL;

        if (!text)
            rc = side_files[i].make(preset, &made, &len, mem, err);
        if (rc == RC_OK)
            rc = put_side_file(dir, side_files[i].name, text ? text : made, len, err);
        rc_mem_put(mem, made);
    }
    return rc;
}

void rc_preset_remove_side_files(const rc_dir *dir)
{
    rc_dir sub;
    rc_err err;

    /* Best effort: what is left carries no index, so it is no checkpoint. */
    for (unsigned i = 0; i < SIDE_FILES; i++)
        if (!strchr(side_files[i].name, '/'))
            (void)unlinkat(dir->fd, side_files[i].name, 0);
    if (rc_dir_sub(&sub, dir, "encoding", &err) == RC_OK) {
        for (unsigned i = 0; i < SIDE_FILES; i++)
            if (strchr(side_files[i].name, '/'))
                (void)unlinkat(sub.fd, side_files[i].name + sizeof in_encoding - 1, 0);
        rc_dir_close(&sub);
        (void)unlinkat(dir->fd, "encoding", AT_REMOVEDIR);
    }
}
