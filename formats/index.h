/* formats/index.h - model.safetensors.index.json: which shard holds a tensor. */
#ifndef RC_FORMATS_INDEX_H
#define RC_FORMATS_INDEX_H

#include "formats/base/log.h"
#include "formats/base/mem.h"
#include "formats/base/status.h"

#define RC_INDEX_NAME      "model.safetensors.index.json"
#define RC_INDEX_MAX_BYTES 268435456u /* bytes; ours */

typedef struct rc_index rc_index;

/** Parse. Shard names are checked to be plain file names (no separators, no
 *  "..", no drive, no URL, no control characters): RC_E_UNSAFEPATH otherwise.
 *  RC_E_DATA malformed, weight_map missing or not an object of strings, keys
 *  doubled; RC_E_TENSORSET when names say "-of-000NN" and NN files are not listed;
 *  RC_E_LIMIT over RC_INDEX_MAX_BYTES. */
RC_MUST_CHECK
rc_code rc_index_new(rc_index **out, const uint8_t *text, size_t len, const rc_log *log,
                     rc_mem *mem, rc_err *err);
void rc_index_free(rc_index **index);

size_t rc_index_count(const rc_index *index);                 /* tensors */
const char *rc_index_tensor(const rc_index *index, size_t i); /* file order */
size_t rc_index_shard_of(const rc_index *index, size_t i);
size_t rc_index_shards(const rc_index *index);
const char *rc_index_shard(const rc_index *index, size_t shard); /* sorted by name */
/** metadata.total_size; false when absent or not a whole number. */
bool rc_index_total_size(const rc_index *index, uint64_t *out);

/** Is this a name that may be opened inside a checkpoint folder? Also used for
 *  side files; '/' separates folders when `allow_subfolders`. */
bool rc_name_is_safe(const char *name, size_t len, bool allow_subfolders);

#endif
