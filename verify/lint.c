/* verify/lint.c - the engines' tables, and the judgement. */
#include "verify/lint.h"

#include "verify/lint_rules.h"

static const struct {
    const char *name;
    const rc_lint_rule *rules;
    bool gguf; /* what it reads */
} engines[RC_ENGINES] = {
    [RC_ENGINE_VLLM] = { "vllm", rc_lint_rules_vllm, false },
    [RC_ENGINE_SGLANG] = { "sglang", rc_lint_rules_sglang, false },
    [RC_ENGINE_LLAMACPP] = { "llama.cpp", rc_lint_rules_llamacpp, true },
    [RC_ENGINE_DS4] = { "ds4", rc_lint_rules_ds4, true },
};

const char *rc_engine_name(rc_engine engine)
{
    return engines[engine].name;
}

const char *rc_lint_verdict_name(rc_lint_verdict verdict)
{
    static const char *const names[] = { "skipped", "ok", "note", "warning", "fails" };

    return names[verdict];
}

const rc_lint_rule *rc_lint_rules(rc_engine engine, size_t *n)
{
    const rc_lint_rule *rules = engines[engine].rules;

    for (*n = 0; rules[*n].id; ++*n)
        ;
    return rules;
}

bool rc_lint_reads(const rc_lint_facts *facts, rc_engine engine)
{
    return engines[engine].gguf == (rc_ckpt_gguf(facts->ckpt) != NULL);
}

/* The first rule of each table asks for the container: in another one the rest has nothing to
 * look at. */
rc_lint_verdict rc_lint_judge(rc_lint_finding *out, const rc_lint_facts *facts, rc_engine engine)
{
    rc_lint_verdict worst = RC_LINT_SKIPPED;
    size_t n;
    const rc_lint_rule *rules = rc_lint_rules(engine, &n);

    for (size_t i = 0; i < n; i++) {
        out[i] = (rc_lint_finding){ .rule = &rules[i], .verdict = RC_LINT_OK };
        if (i == 0 || rc_lint_reads(facts, engine))
            rules[i].check(facts, &out[i]);
        else
            rc_lint_skip(&out[i], "another container");
        worst = out[i].verdict > worst ? out[i].verdict : worst;
    }
    return worst;
}
