/* verify/lint_tp.c - what --tp must divide. Ranks get equal parts of heads, output groups and
 * inner columns of the experts, and FP8 weights can only be cut between their blocks of 128.
 * Not here: the vocabulary, which both engines pad, and the indexer, which every rank has whole. */
#include "verify/lint_rules.h"

enum { BLOCK = 128 };

/* Does the rule apply, and what is the size? */
static bool size_of(const rc_lint_facts *f, rc_lint_finding *out, const char *key, uint64_t *size)
{
    if (f->tp < 2) {
        rc_lint_skip(out, "one rank");
        return false;
    }
    if (rc_lint_u64(f->config, key, size))
        return true;
    rc_lint_skip(out, "not judged: %s is not in config.json", key);
    return false;
}

static void divides(const rc_lint_facts *f, rc_lint_finding *out, const char *key, uint64_t unit,
                    rc_lint_verdict verdict)
{
    uint64_t size;
    rc_err *e;

    if (!size_of(f, out, key, &size) || size % (f->tp * unit) == 0)
        return;
    e = unit == 1 ? rc_lint_say(out, verdict, "%s cannot be split over %u ranks", key, f->tp)
                  : rc_lint_say(out, verdict,
                                "%s split over %u ranks does not end between blocks of %" PRIu64,
                                key, f->tp, unit);
    rc_err_file(e, "config.json");
    rc_err_want(e, "a multiple of %" PRIu64, f->tp * unit);
    rc_err_got(e, "%" PRIu64, size);
    rc_err_hint(e, "start with fewer ranks, or with expert or data parallelism");
}

void rc_lint_tp_heads(const rc_lint_facts *f, rc_lint_finding *out)
{
    divides(f, out, "num_attention_heads", 1, RC_LINT_FAILS);
}

void rc_lint_tp_groups(const rc_lint_facts *f, rc_lint_finding *out)
{
    divides(f, out, "o_groups", 1, RC_LINT_FAILS);
}

void rc_lint_tp_experts(const rc_lint_facts *f, rc_lint_finding *out)
{
    divides(f, out, "n_routed_experts", 1, RC_LINT_FAILS);
}

/* FP4 experts are padded by their kernels; it is the shared experts' FP8 that versions without
 * padding trip over. */
void rc_lint_tp_intermediate(const rc_lint_facts *f, rc_lint_finding *out)
{
    divides(f, out, "moe_intermediate_size", BLOCK,
            rc_lint_experts(f) == RC_STORE_FP8 ? RC_LINT_FAILS : RC_LINT_WARNING);
}

/* The sides of wq_b and wo_b that are split. */
void rc_lint_tp_blocks(const rc_lint_facts *f, rc_lint_finding *out)
{
    static const struct {
        const char *what, *count, *each;
    } sides[] = { { "attn.wq_b rows", "num_attention_heads", "head_dim" },
                  { "attn.wo_b columns", "o_groups", "o_lora_rank" } };

    for (unsigned i = 0; i < 2; i++) {
        uint64_t n, each;
        rc_err *e;

        if (!size_of(f, out, sides[i].count, &n) || !size_of(f, out, sides[i].each, &each))
            return;
        if (n > UINT32_MAX || each > UINT32_MAX || n * each % ((uint64_t)f->tp * BLOCK) == 0)
            continue;
        e = rc_lint_say(out, RC_LINT_FAILS,
                        "%s split over %u ranks do not end between blocks of %d", sides[i].what,
                        f->tp, BLOCK);
        rc_err_file(e, "config.json");
        rc_err_want(e, "a multiple of %u", f->tp * BLOCK);
        rc_err_got(e, "%" PRIu64, n * each);
    }
}
