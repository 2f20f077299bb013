/* verify/lint.h - will an engine's loader take this model? Judged by rules, from headers and
 * config alone.
 *
 * A rule is a row of a table: what it catches, the source that it was read from, and a function
 * that looks at the facts. Nothing is run and no weight is read: a folder of 900 GB costs a few
 * megabytes. The tables: lint_vllm.c, lint_sglang.c, lint_llamacpp.c, lint_ds4.c. */
#ifndef RC_VERIFY_LINT_H
#define RC_VERIFY_LINT_H

#include "formats/source.h"
#include "formats/base/log.h"
#include "formats/base/mem.h"
#include "formats/base/status.h"

typedef enum rc_engine {
    RC_ENGINE_VLLM,
    RC_ENGINE_SGLANG,
    RC_ENGINE_LLAMACPP,
    RC_ENGINE_DS4,
    RC_ENGINES
} rc_engine;

typedef enum rc_lint_verdict {
    RC_LINT_SKIPPED, /* does not apply, or cannot be judged: the reason is in what.msg, if any */
    RC_LINT_OK,
    RC_LINT_NOTE,    /* accepted; what whoever starts the engine should know */
    RC_LINT_WARNING, /* accepted, but not as it should be, or not by every version */
    RC_LINT_FAILS    /* refused, or loaded into garbage */
} rc_lint_verdict;

/* Where a rule comes from: a file of the engine as it was read. */
typedef struct rc_lint_source {
    const char *repo, *path;
    const char *version; /* of the file that was read: a commit or a release */
} rc_lint_source;

typedef struct rc_lint_facts rc_lint_facts;
typedef struct rc_lint_finding rc_lint_finding;
typedef void rc_lint_fn(const rc_lint_facts *facts, rc_lint_finding *out);

typedef struct rc_lint_rule {
    const char *id;      /* "vllm/expert-dtype-missing": an interface, never reused */
    const char *catches; /* one line */
    const rc_lint_source *source;
    rc_lint_fn *check;
} rc_lint_rule;

struct rc_lint_finding {
    const rc_lint_rule *rule;
    rc_lint_verdict verdict;
    size_t count; /* tensors, keys, .. that the worst verdict holds for */
    rc_err what;  /* the first of them: file, tensor, message, want, got, hint (code RC_OK) */
};

/** "vllm", "sglang", "llama.cpp", "ds4". */
const char *rc_engine_name(rc_engine engine);
const char *rc_lint_verdict_name(rc_lint_verdict verdict); /* "ok", "warning", .. */
/** An engine's rules in the order in which they are judged. */
const rc_lint_rule *rc_lint_rules(rc_engine engine, size_t *n);

/** Open a folder or a GGUF file; `opts` of the source, or NULL. What its files say against each
 * other is for the rules; errors are those of rc_source_open() and rc_ckpt_open_lax() (nothing can
 * be said about what cannot be read), and RC_E_UNSUPPORTED for V4.1. `tp`: tensor-parallel ranks, 0
 * when it was not asked. */
RC_MUST_CHECK
rc_code rc_lint_open(rc_lint_facts **out, const char *where, const rc_source_opts *opts,
                     uint32_t tp, rc_mem *mem, rc_err *err);
void rc_lint_close(rc_lint_facts **facts);

/** Is it of the container that the engine reads (a folder of safetensors, or GGUF)? */
bool rc_lint_reads(const rc_lint_facts *facts, rc_engine engine);

/** All rules of an engine: out[n of rc_lint_rules()]. Returns the worst verdict. */
rc_lint_verdict rc_lint_judge(rc_lint_finding *out, const rc_lint_facts *facts, rc_engine engine);

#endif
