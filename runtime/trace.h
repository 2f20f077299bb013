/* runtime/trace.h - what happened inside, written down: a watch that fills a .safetensors file.
 *
 *     tokens              I64 [n]              ids
 *     hidden.L            F32 [n, N, D]        the streams after layer L
 *     experts.L           I32 [n, K]           chosen experts, ascending
 *     expert_weights.L    F32 [n, K]
 *     blocks.L            I32 [n, B]           blocks that the indexer chose, ascending, then -1;
 * CSA layers, B = min(index_topk, n / ratio), at least 1
 *
 * for the first n positions. */
#ifndef RC_RUNTIME_TRACE_H
#define RC_RUNTIME_TRACE_H

#include "formats/config.h"
#include "runtime/tensor_file.h"
#include "runtime/watch.h"

typedef struct rc_trace rc_trace;

/** For layers [first, end). `token`: [n], copied into the file. */
RC_MUST_CHECK
rc_code rc_trace_new(rc_trace **out, const rc_target *target, const rc_config *config,
                     uint32_t first, uint32_t end, const uint32_t *token, size_t n, rc_mem *mem,
                     rc_err *err);
const rc_watch *rc_trace_watch(const rc_trace *t);
RC_MUST_CHECK
rc_code rc_trace_finish(rc_trace *t, rc_err *err);
void rc_trace_free(rc_trace **t);

#endif
