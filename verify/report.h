/* verify/report.h - what verify found out, as files: for programs, CI servers and people.
 *
 * Each of them takes an outcome whose parts may be missing (NULL), writes the same bytes whenever
 * the outcome is the same (no times, no machine), and trusts no name in it.
 *
 * JSON: one object. Its keys are an interface and only ever grow:
 *
 *   recast              version of the program
 *   verdict             "exact", "within bounds", "differs", "broken set"
 *   passes              true when the rules and gates are met
 *   message             why not, or what stands behind the verdict
 *   native, converted   {path, variant}
 *   rules               {exact, min_sqnr_db, min_sqnr_db_by_role, max_rel_err,
 *                       allow_missing_draft, tensors}: exact is true when no bound was
 *                       given; min_sqnr_db is null where roles have bounds of their own, and
 *                       by role null where a role has to be exact, or has no bound. null when no
 *                       values were compared (a golden file)
 *   totals              as a role, without its name; or null
 *   roles               [{role, native, converted, parameters, exact, failed, values, differ,
 *                       incomparable, max_abs_err, rel_err, worst_sqnr_db}]
 *   sampled             null, or {parameters, of, says}: only so many were compared
 *   scaling             null, or {norms, readers, astray, powers_of_two, least, most, says,
 *                       points}: norms that CONVERTED has scaled (and their readers), all compared
 *                       with that undone; astray: how many have not taken part in it as they
 *                       should; points [{norm, layer, draft, channels, scaled, powers_of_two,
 *                       least, most, divided}]: the norm is divided by the factors to the power
 *                       `divided`, which should be 1
 *   faults, warnings, notes   how many there are
 *   findings            [{level, topic, file, tensor, offset, message, want, got}]: the
 *                       first 100 of each level
 *   gates               [{gate, bound, measured, passes}]: of behaviour, then of values
 *   behaviour           null, or {positions, broken, vocabulary, kl, same_top, overlap5, overlap10,
 *                       perplexity, probability_shift, truncated, histogram, worst}:
 *                       kl is {mean, se, median, p90, p95, p99, p999, max, zero}, in nats;
 *                       perplexity {native, converted, ratio}, each {value, se};
 *                       probability_shift {mean, rms, min, p1, p5, median, p95, p99, max};
 *                       truncated null or {tail_mean, tail_max};
 *                       histogram {log10_first, log10_step, counts}, positions by kl;
 *                       worst [{index, kl, token, came, native, converted}]: token the one at the
 *                       position, came the one that came, {id, text}; native and
 *                       converted {probability (of what came), top: [{id, text, probability}]}
 *   layers              null, or {streams, estimated, threshold, shared, first, worst_own, at}:
 *                       first and worst_own null or {layer, sublayer}; at [{layer, ratio, hash,
 *                       shared, attention, experts, chosen, flipped, blocks, blocks_flipped}],
 *                       attention and experts {rel_err, own, cosine, cosine_min, nonfinite}
 *   ablation            null, or {kl, positions, blamed, groups}: blamed an index into groups or
 *                       null; groups [{by, label, config, parameters, kl, won, tensors}]: by is
 *                       "role", "layer", "kind" or "expert"; tensors the first eight of them
 *   provenance          {text, ctx, stride, skip, tokens, numerics, golden, golden_version,
 *                       revision, config, tokens_digest, command}: null where it does not apply
 *   tensors             [{name, role, layer, draft, native, converted, shape, values,
 *                       exact, passes, differ, incomparable, max_abs_err, rel_err,
 *                       sqnr_db, cosine, nan, inf, scaling, worst}], in the schema's order;
 *                       scaling null where nothing is, else "undone" or what is wrong with it;
 *                       native and converted say how it is stored; nan and inf are
 *                       [native, converted] counts; worst is {row, column, native,
 *                       converted, offset} or null when exact, its offset a byte of
 *                       CONVERTED's shard `shard`
 *
 * Numbers read back as the doubles that they were. What is not finite is null: a
 * sqnr_db of null with exact true is +inf. Verify README.md defines every figure.
 *
 * JUnit: one suite, the figures of behaviour its properties; a test case for each gate, for the
 * behaviour (every position has numbers; where nothing accepts a loss, equal logits), the layers,
 * the tensor set, the config, and each role in each block, named layers.7 / expert. */
#ifndef RC_VERIFY_REPORT_H
#define RC_VERIFY_REPORT_H

#include "formats/base/json.h"
#include "verify/outcome.h"

/** Write the object to `w`; whether memory sufficed shows in rc_jsonw_text(). */
void rc_report_json(rc_jsonw *w, const rc_outcome *o);

/* A text; NUL-terminated, put it back to mem. RC_E_OS when memory runs out. */
typedef rc_code rc_report_fn(char **out, size_t *out_len, const rc_outcome *o, rc_mem *mem,
                             rc_err *err);

/** XML for CI servers. */
rc_report_fn rc_report_junit;
/** GitHub workflow commands, a line each: the verdict as ::notice or ::error, then what failed:
 * gates, findings, the worst parameters; of each kind at most ten, as GitHub shows no more. */
rc_report_fn rc_report_ci;
/** Markdown for a model card: verdict, figures, roles, gates, provenance. */
rc_report_fn rc_report_md;
/** A page of its own for people: no script, nothing from elsewhere. */
rc_report_fn rc_report_html;

#endif
