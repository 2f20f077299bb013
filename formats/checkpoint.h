/* formats/checkpoint.h - a folder of shards, or a GGUF file, as one set of named tensors. */
#ifndef RC_FORMATS_CHECKPOINT_H
#define RC_FORMATS_CHECKPOINT_H

#include "formats/base/hash.h"
#include "formats/config.h"
#include "formats/dtype.h"
#include "formats/gguf_names.h"
#include "formats/safetensors.h"
#include "formats/source.h"

#define RC_CKPT_MAX_TENSORS 4000000u /* in all shards; ours */

typedef struct rc_ckpt rc_ckpt;

typedef struct rc_tensor {
    const char *name;
    rc_dtype dtype;           /* RC_DTYPE_COUNT: one of ggml's that we cannot decode */
    const rc_ggml_type *ggml; /* in a GGUF file, else NULL */
    unsigned rank;
    uint64_t shape[RC_ST_MAX_RANK];
    size_t shard;   /* see rc_ckpt_shard() */
    uint64_t begin; /* bytes from the start of the shard's file */
    uint64_t nbytes;
} rc_tensor;

/** "BF16", "Q4_K": also of types that we cannot decode. */
static inline const char *rc_tensor_type(const rc_tensor *t)
{
    return t->ggml ? t->ggml->name : rc_dtype_name(t->dtype);
}

typedef struct rc_shard {
    const char *name;
    size_t file;       /* index into the source */
    uint64_t nbytes;   /* of the whole file */
    uint64_t data_off; /* where tensor data begins */
} rc_shard;

/** Open a folder: config.json, the index (or the single .safetensors file), every shard's
 *  header. Reads headers only. The index and the headers must tell the same story.
 *    RC_E_NOINPUT    config.json, the index (with several shards) or shards missing
 *    RC_E_DATA       any of the files malformed
 *    RC_E_TENSORSET  a tensor doubled, absent, or in another shard than stated
 *    RC_E_UNSUPPORTED  weights only as .bin/.pt/.gguf; model_type not ours
 *    RC_E_LIMIT      more than RC_CKPT_MAX_TENSORS tensors, JSON files over their caps
 *  and whatever the source reports. Warns of shards that the index does not list (they
 *  are not used) and of a wrong total_size. `src` is taken over, on failure too.
 *
 *  Open a GGUF file: its head, and those of the files of its set, of which the first must be
 *  named. The config is what the keys say.
 *    RC_E_NOINPUT      another file of the set was named
 *    RC_E_TENSORSET    a file of the set is missing, or tells another story: number, count,
 *                      alignment
 *  and what rc_gguf_new(), rc_gguf_kind_of() and rc_gguf_config() report. */
RC_MUST_CHECK
rc_code rc_ckpt_open(rc_ckpt **out, rc_source *src, const rc_log *log, rc_mem *mem, rc_err *err);
void rc_ckpt_close(rc_ckpt **ckpt);

#define RC_CKPT_FAULTS 8u

/* What files say against each other. */
typedef struct rc_ckpt_faults {
    rc_err config;             /* code RC_OK, or why rc_ckpt_config() is empty */
    rc_err at[RC_CKPT_FAULTS]; /* of index, headers, sets of files: the first ones */
    size_t n;                  /* all that there are */
} rc_ckpt_faults;

/** The same for whoever is to say what is wrong with a checkpoint (lint): what can be read is
 *  read, and what the files say against each other is in *faults instead of being an error:
 *  a config.json, or keys, that rc_config_parse() refuses; an index and headers, or files of a
 *  GGUF set, that disagree; a tensor in two shards, of which the first is the one in the table.
 *  Other errors as rc_ckpt_open(). */
RC_MUST_CHECK
rc_code rc_ckpt_open_lax(rc_ckpt **out, rc_ckpt_faults *faults, rc_source *src, const rc_log *log,
                         rc_mem *mem, rc_err *err);

rc_source *rc_ckpt_source(const rc_ckpt *ckpt);
const rc_config *rc_ckpt_config(const rc_ckpt *ckpt);
/** config.json as it was read; as it would be, for a GGUF file. */
const uint8_t *rc_ckpt_config_text(const rc_ckpt *ckpt, size_t *len);

/** What tells a checkpoint from another, and from itself before somebody touched it, to a resumed
 *  run: the config's text, and name, size and content (where it is stated, else time) of every
 *  shard. */
void rc_ckpt_identity(const rc_ckpt *ckpt, rc_hasher *hasher);

/** The head of the (first) GGUF file; NULL for a folder of safetensors. */
const rc_gguf *rc_ckpt_gguf(const rc_ckpt *ckpt);
rc_gguf_kind rc_ckpt_kind(const rc_ckpt *ckpt); /* of a GGUF file */

size_t rc_ckpt_shards(const rc_ckpt *ckpt);
const rc_shard *rc_ckpt_shard(const rc_ckpt *ckpt, size_t i); /* sorted by name */
size_t rc_ckpt_count(const rc_ckpt *ckpt);
const rc_tensor *rc_ckpt_at(const rc_ckpt *ckpt, size_t i); /* by shard, then by position */
const rc_tensor *rc_ckpt_find(const rc_ckpt *ckpt, const char *name); /* or NULL; O(1) */
uint64_t rc_ckpt_nbytes(const rc_ckpt *ckpt);                         /* tensor bytes in all */

/** Read bytes [off, off + nbytes) of a tensor, as rc_source_read_direct(); errors
 *  name shard, tensor and file offset. RC_E_INTERNAL past the tensor's end. */
RC_MUST_CHECK
rc_code rc_ckpt_read(rc_ckpt *ckpt, const rc_tensor *t, uint64_t off, size_t nbytes, uint8_t *buf,
                     size_t buf_len, const uint8_t **data, rc_err *err);

#endif
