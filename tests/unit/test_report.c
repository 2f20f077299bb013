/* tests/unit/test_report.c - verdicts of whole outcomes, and the reports: well formed whatever
 * stands in them, complete, the same bytes every time. */
#include "tests/unit/fixture.h"

#include "tests/unit/outcomes.h"
#include "verify/markup.h"
#include "verify/report.h"

static struct oc oc;
static rc_mem mem;
static rc_err err;

static const struct {
    const char *name;
    rc_report_fn *fn;
} reports[] = {
    { "junit", rc_report_junit },
    { "ci", rc_report_ci },
    { "md", rc_report_md },
    { "html", rc_report_html },
};
enum { REPORTS = sizeof reports / sizeof *reports };

static char *written(rc_report_fn *fn, const rc_outcome *o)
{
    char *text;
    size_t len;

    assert_int_equal(fn(&text, &len, o, &mem, &err), RC_OK);
    assert_int_equal(strlen(text), len);
    return text;
}

static void done(char *text)
{
    rc_mem_put(&mem, text);
    assert_int_equal(mem.used, 0);
}

static size_t occurrences(const char *text, const char *what)
{
    size_t n = 0;

    for (const char *p = text; (p = strstr(p, what)); p += strlen(what))
        n++;
    return n;
}

static void assert_holds(const char *text, const char *what)
{
    if (!strstr(text, what))
        fail_msg("'%s' is not in\n%.2000s", what, text);
}

static void assert_lacks(const char *text, const char *what)
{
    if (strstr(text, what))
        fail_msg("'%s' is in\n%.400s", what, strstr(text, what));
}

/* verdicts */

static void test_equal_logits_are_exact(void **state)
{
    (void)state;
    oc_make_exact(&oc, 8);
    assert_string_equal(rc_outcome_verdict(&oc.o), "exact");
    assert_int_equal(rc_outcome_status(&oc.o, &err), RC_OK);
    oc_gate(&oc, RC_GATE_KL, 0.01, 0, true); /* more than was asked for is still exact */
    assert_string_equal(rc_outcome_verdict(&oc.o), "exact");
}

static void test_a_loss_needs_a_gate(void **state)
{
    (void)state;
    oc_make(&oc, 8);
    assert_string_equal(rc_outcome_verdict(&oc.o), "differs");
    assert_int_equal(rc_outcome_status(&oc.o, &err), RC_DIFFERS);
    assert_holds(err.msg, "2,000 of 2,044 positions");
    assert_holds(err.hint, "--max-kl");
    oc_gate(&oc, RC_GATE_KL, 0.05, 0.031234, true);
    assert_string_equal(rc_outcome_verdict(&oc.o), "within bounds");
    assert_int_equal(rc_outcome_status(&oc.o, &err), RC_OK);
}

static void test_a_failing_gate_names_figures_and_place(void **state)
{
    (void)state;
    oc_make(&oc, 43);
    oc_gate(&oc, RC_GATE_KL, 0.05, 0.031234, true);
    oc_gate(&oc, RC_GATE_TOP1, 0.98, 0.9668, false);
    assert_int_equal(rc_outcome_status(&oc.o, &err), RC_DIFFERS);
    assert_string_equal(rc_outcome_verdict(&oc.o), "differs");
    assert_holds(err.msg, "min-top1: 96.68 " RC_PLUS_MINUS " 0.56 %, wanted at least 98 %");
    assert_holds(err.msg, "layer 14, attention");
    assert_string_equal(err.tensor,
                        ""); /* a gate is of the model: where it goes wrong is in the message */
    assert_string_equal(err.file, "models/q4_k.gguf");
}

static void test_no_gate_admits_what_is_no_number(void **state)
{
    (void)state;
    oc_make(&oc, 8);
    oc.behaviour.broken = 3;
    oc.layers.at[5].sub[1].nonfinite = true;
    oc_gate(&oc, RC_GATE_KL, 0.05, 0.031234, true);
    assert_int_equal(rc_outcome_status(&oc.o, &err), RC_DIFFERS);
    assert_holds(err.msg, "3 of 2,044 positions");
    assert_holds(err.msg, "from layer 5, experts on");
}

static void test_a_golden_file_is_exact_by_its_checksums(void **state)
{
    (void)state;
    oc_make_exact(&oc, 8);
    oc.o.from.golden = "golden.rgf";
    oc.o.first_differing = 6;
    oc.behaviour.truncated = true;
    assert_int_equal(rc_outcome_status(&oc.o, &err), RC_DIFFERS);
    assert_holds(err.msg, "layer 6");
    oc_gate(&oc, RC_GATE_KL, 0.05, 0, true);
    assert_string_equal(rc_outcome_verdict(&oc.o), "within bounds");
    oc.o.same_logits = true;
    assert_string_equal(rc_outcome_verdict(&oc.o), "exact");
}

static void test_findings_without_a_judge_count(void **state)
{
    rc_findings list = { .mem = &mem };

    (void)state;
    oc_make_exact(&oc, 8);
    oc.o.findings = &list;
    rc_findings_add(&list, RC_FAULT, RC_DIFFERS, "config", "config.json", NULL, "it is another");
    assert_int_equal(rc_outcome_status(&oc.o, &err), RC_DIFFERS);
    assert_string_equal(err.msg, "it is another");
    rc_findings_add(&list, RC_FAULT, RC_E_TENSORSET, "tensors", NULL, "a.b", "it is missing");
    assert_int_equal(rc_outcome_status(&oc.o, &err), RC_E_TENSORSET);
    assert_string_equal(rc_outcome_verdict(&oc.o), "broken set");
    rc_findings_free(&list);
}

static void test_groups_by_what_they_win(void **state)
{
    const rc_ablation_group *best[3];

    (void)state;
    oc_make(&oc, 8);
    assert_int_equal(rc_outcome_groups(&oc.ablation, 0, best, 3), 9);
    assert_string_equal(best[0]->label, "expert");
    assert_true(best[0]->won >= best[1]->won && best[1]->won >= best[2]->won);
    assert_int_equal(rc_outcome_groups(&oc.ablation, 1, best, 3), 12);
    assert_string_equal(best[0]->label, "expert, layer 7");
    assert_int_equal(rc_outcome_groups(&oc.ablation, 3, best, 3), 0);
}

/* well formed */

/* XML, or HTML with its elements that have no end: tags are closed in order, attributes are quoted,
 * every & begins an entity. Says where it is not. */
static const char *badly_formed(const char *s, bool html)
{
    char open[64][24];
    size_t depth = 0;

    while (*s) {
        const char *begin = s;
        char name[24];
        size_t n;
        bool end;

        if (*s == '&') {
            n = strspn(s + 1, "#abcdefghijklmnopqrstuvwxyz0123456789");
            if (!n || s[n + 1] != ';')
                return begin;
        }
        if (*s++ != '<')
            continue;
        if (*s == '!' || *s == '?') {
            s += strcspn(s, ">");
            continue;
        }
        end = *s == '/';
        s += end;
        n = strspn(s, "abcdefghijklmnopqrstuvwxyz123");
        if (!n || n >= sizeof name)
            return begin;
        snprintf(name, sizeof name, "%.*s", (int)n, s);
        for (s += n; *s != '>'; s++) {
            if (!*s || *s == '<')
                return begin;
            if (*s == '"') {
                s = strchr(s + 1, '"');
                if (!s)
                    return begin;
            }
        }
        if (end) {
            if (!depth-- || strcmp(open[depth], name) != 0)
                return begin;
        } else if (s[-1] != '/' && !(html && strcmp(name, "meta") == 0)) {
            if (depth == 64)
                return begin;
            strcpy(open[depth++], name);
        }
    }
    return depth ? s : NULL;
}

/* Outcomes of all kinds, one after another; false when there are no more. */
static bool nth_outcome(unsigned i)
{
    oc_make(&oc, i == 2 ? 1 : 61);
    switch (i) {
    case 0:
        oc_gate(&oc, RC_GATE_TOP1, 0.98, 0.9668, false);
        return true;
    case 1:
        oc_make_exact(&oc, 8);
        return true;
    case 2: /* numbers that are none, or hardly any */
        oc.behaviour.broken = UINT64_MAX;
        oc.behaviour.positions = UINT64_MAX;
        oc.behaviour.kl = (rc_figure_se){ NAN, NAN };
        oc.behaviour.ppl[1] = (rc_figure_se){ 1e300, 1e299 };
        oc.behaviour.kl_max = INFINITY;
        oc.behaviour.worst[0].said[1] = (rc_saying){ .broken = true, .logprob = NAN };
        oc.layer[0].shared = false;
        oc.layer[0].sub[0] = (rc_sublayer_figures){ .rel_err = NAN, .own = NAN, .nonfinite = true };
        oc.layer[0].sub[1] = (rc_sublayer_figures){ .rel_err = 1e300, .own = 1e-300 };
        oc.group[0].won = NAN;
        oc_gate(&oc, RC_GATE_PPL_RATIO, 1.01, NAN, false);
        return true;
    case 3: /* nobody's names are to be trusted */
        oc.o.from.native = "</dd><script>alert(1)</script>\x1b[31m\n::error::x|`y``";
        oc.o.from.converted = "\xff\xfe&amp;\"'<!--";
        oc.o.from.text = oc.o.from.golden = oc.o.from.command = oc.o.from.native;
        oc.o.sample = "a <sample> | of some";
        snprintf(oc.group[0].label, sizeof oc.group[0].label, "x|<b>\n::stop-commands::y");
        oc.ablation.blamed = 0;
        return true;
    case 4: /* hardly anything */
        memset(&oc.o, 0, sizeof oc.o);
        oc.o.first_differing = -1;
        return true;
    default:
        return false;
    }
}

static void test_xml_and_html_are_well_formed(void **state)
{
    (void)state;
    for (unsigned i = 0; nth_outcome(i); i++)
        for (unsigned k = 0; k < REPORTS; k++) {
            const bool html = reports[k].fn == rc_report_html;
            char *text, *style;
            const char *bad;

            if (!html && reports[k].fn != rc_report_junit)
                continue;
            text = written(reports[k].fn, &oc.o);
            style = strstr(text, "<style>");
            if (html) { /* '>' and the like mean something else there */
                assert_non_null(style);
                memset(style + 7, ' ', (size_t)(strstr(style, "</style>") - style) - 7);
            }
            bad = badly_formed(text, html);
            if (bad)
                fail_msg("outcome %u, %s: %.80s", i, reports[k].name, bad);
            assert_lacks(text, "<script");
            assert_lacks(text, "\x1b");
            done(text);
        }
    assert_non_null(badly_formed("<a><b></a></b>", false)); /* the check sees something */
    assert_non_null(badly_formed("<a b=\"c>", false));
    assert_non_null(badly_formed("<a>&</a>", false));
    assert_null(badly_formed("<a b=\">\">&lt;<c/></a>", false));
}

static void test_the_same_bytes_every_time(void **state)
{
    (void)state;
    for (unsigned k = 0; k < REPORTS; k++) {
        char *once, *again;

        nth_outcome(0);
        once = written(reports[k].fn, &oc.o);
        nth_outcome(0);
        again = written(reports[k].fn, &oc.o);
        assert_string_equal(once, again);
        rc_mem_put(&mem, once);
        done(again);
    }
}

static void test_memory_may_run_out_anywhere(void **state)
{
    (void)state;
    nth_outcome(0);
    for (unsigned k = 0; k < REPORTS; k++) {
        rc_mem short_of = { 0 };
        rc_code rc;
        char *text;
        size_t len;

        do {
            short_of.fail_at++;
            short_of.calls = 0;
            rc = reports[k].fn(&text, &len, &oc.o, &short_of, &err);
            assert_true(rc == RC_OK || rc == RC_E_OS);
            assert_true(rc == RC_OK || text == NULL);
            rc_mem_put(&short_of, text);
            assert_int_equal(short_of.used, 0);
        } while (rc != RC_OK);
        assert_true(short_of.fail_at > 3);
    }
}

/* what is in them */

static void test_html_is_one_page_for_itself(void **state)
{
    char *text;

    (void)state;
    nth_outcome(0);
    text = written(rc_report_html, &oc.o);
    assert_holds(text, "<html lang=\"en\">");
    assert_holds(text, "name=\"viewport\"");
    assert_holds(text, "prefers-color-scheme: dark");
    assert_holds(text, "@media print");
    assert_lacks(text, "http");
    assert_lacks(text, "url(");
    assert_lacks(text, "@import");
    assert_lacks(text, " src=");
    assert_holds(text, "Differs");
    assert_holds(text, "layers.7.ffn.experts.&lt;b&gt;&quot;&amp;|`\\x01.w1.weight");
    assert_int_equal(occurrences(text, "<svg "), occurrences(text, "<title id=") + 1); /* icon */
    assert_int_equal(occurrences(text, "<article "), RC_WORST);
    assert_int_equal(occurrences(text, " id=\"kl-t\""), 1);
    done(text);
}

static void test_json_holds_every_part(void **state)
{
    static const char *const keys[] = { "behaviour",  "layers",  "ablation", "gates",
                                        "provenance", "sampled", "tensors",  "rules" };

    (void)state;
    for (unsigned i = 0; nth_outcome(i); i++) {
        rc_jsonw *w = rc_jsonw_new(&mem, 2);
        const char *text;
        char key[32];

        assert_non_null(w);
        rc_report_json(w, &oc.o);
        text = rc_jsonw_text(w, NULL); /* NULL if the calls made no JSON */
        assert_non_null(text);
        for (size_t k = 0; k < sizeof keys / sizeof *keys; k++) {
            snprintf(key, sizeof key, "\n  \"%s\": ", keys[k]);
            assert_int_equal(occurrences(text, key), 1);
        }
        if (i == 0) {
            assert_holds(text, "\"mean\": 0.031234,");
            assert_holds(text, "\"gate\": \"min-top1\",");
            assert_holds(text, "\"sublayer\": \"attention\"");
            assert_holds(text, "\"ctx\": 512,");
            assert_int_equal(occurrences(text, "\"rel_err\""), 2 * 61);
        }
        rc_jsonw_free(&w);
        assert_int_equal(mem.used, 0);
    }
}

static void test_junit_counts_its_cases(void **state)
{
    char want[48], *text;

    (void)state;
    for (unsigned i = 0; nth_outcome(i); i++) {
        text = written(rc_report_junit, &oc.o);
        snprintf(want, sizeof want, "tests=\"%zu\"", occurrences(text, "<testcase "));
        assert_holds(text, want);
        snprintf(want, sizeof want, "failures=\"%zu\"", occurrences(text, "<failure "));
        assert_holds(text, want);
        if (i == 0)
            assert_holds(text, "classname=\"gates\" name=\"min-top1\">");
        if (i == 1)
            assert_int_equal(occurrences(text, "<failure "), 0);
        done(text);
    }
}

/* Every line is a command of ours, whatever names say; % : , and line breaks are spelled out. */
static void test_annotations_stay_on_their_line(void **state)
{
    char *text;

    (void)state;
    for (unsigned i = 0; nth_outcome(i); i++) {
        text = written(rc_report_ci, &oc.o);
        for (char *line = text; *line; line = strchr(line, '\n') + 1) {
            assert_true(strncmp(line, "::error title=recast verify%3A ", 31) == 0 ||
                        strncmp(line, "::notice title=recast verify%3A ", 32) == 0);
            assert_non_null(strchr(line, '\n'));
        }
        if (i == 0)
            assert_holds(text, "96.68 " RC_PLUS_MINUS " 0.56 %25, wanted");
        if (i == 1)
            assert_true(strncmp(text, "::notice", 8) == 0 && occurrences(text, "\n") == 1);
        done(text);
    }
}

static size_t cells(const char *line)
{
    size_t n = 0;

    for (; *line && *line != '\n'; line++)
        if (*line == '\\' && line[1] && line[1] != '\n')
            line++;
        else
            n += *line == '|';
    return n;
}

static void test_markdown_tables_hold_together(void **state)
{
    (void)state;
    for (unsigned i = 0; nth_outcome(i); i++) {
        char *text = written(rc_report_md, &oc.o), *command = strstr(text, "To see for yourself");
        size_t want = 0;

        if (command)
            *command = '\0'; /* a shell's | is no table's */
        for (char *line = text; *line;) {
            if (*line == '|') {
                assert_true(!want || cells(line) == want);
                want = cells(line);
            } else {
                want = 0;
            }
            line += strcspn(line, "\n");
            line += *line == '\n';
        }
        if (i == 0)
            assert_holds(text, "| min-top1 | at least 98 % |");
        if (i == 3)
            assert_lacks(text, "\n::error");
        if (command)
            *command = 'T';
        done(text);
    }
}

/* pieces */

static void test_figures_show_what_is_known(void **state)
{
    char m[RC_FIGURE_MEAN], f[RC_FIGURE];

    (void)state;
    assert_string_equal(rc_figure_mean(m, 0.031234, 0.0021), "0.0312 " RC_PLUS_MINUS " 0.0021");
    assert_string_equal(rc_figure_mean(m, 12.345, 3.2), "12.3 " RC_PLUS_MINUS " 3.2");
    assert_string_equal(rc_figure_mean(m, 1234.5, 99), "1234 " RC_PLUS_MINUS " 99");
    assert_string_equal(rc_figure_mean(m, 3e-9, 2e-10), "3e-09 " RC_PLUS_MINUS " 2e-10");
    assert_string_equal(rc_figure_mean(m, 0, 0), "0");
    assert_string_equal(rc_figure_mean(m, NAN, NAN), "not a number");
    assert_string_equal(rc_figure_share(f, 1), "100 %");
    assert_string_equal(rc_figure_share(f, 0.99999), "99.999 %");
    assert_string_equal(rc_figure_share(f, 0.9668), "96.68 %");
    assert_string_equal(rc_figure_share(f, 0.00001), "0.001 %");
    assert_string_equal(rc_figure_share(f, -0.412), "-41.20 %");
    assert_string_equal(rc_figure_share_mean(m, 0.9668, 0.0056), "96.68 " RC_PLUS_MINUS " 0.56 %");
    assert_string_equal(rc_figure_percent(f, -0.021), "-2.1 %");
}

typedef void markup_fn(rc_text *t, const char *s, size_t len);

static void token(rc_text *t, const char *s, size_t len)
{
    rc_markup_token(t, s, len, false);
}

static void running(rc_text *t, const char *s, size_t len)
{
    rc_markup_token(t, s, len, true);
}

static void property(rc_text *t, const char *s, size_t len)
{
    rc_markup_command(t, s, len, true);
}

static void test_markup(void **state)
{
    static const struct {
        markup_fn *fn;
        const char *in, *out;
    } rows[] = {
        { rc_markup_xml, "a<b>&\"'", "a&lt;b&gt;&amp;&quot;&#39;" },
        { rc_markup_xml, "\x01\xff\xc3\xa9", "\\x01\\xff\xc3\xa9" },
        { rc_markup_xml, "\xe2\x80\xae\xef\xbf\xbf", "\\xe2\\x80\\xae\\xef\\xbf\\xbf" },
        { rc_markup_md, "a|b*c_d`", "a\\|b\\*c\\_d\\`" },
        { rc_markup_md_code, "a.b", "`a.b`" },
        { rc_markup_md_code, "a|b``", "``` a\\|b`` ```" },
        { property, "a:b,c%\nd", "a%3Ab%2Cc%25%0Ad" },
        { token, " the\n", "<i>\xc2\xb7</i>the<i>\xe2\x86\xb5</i>" },
        { running, " the\n", " the<i>\xe2\x86\xb5</i>\n" },
        { token, "\xe4\xb8", "\\xe4\\xb8" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        rc_text t = { .mem = &mem };

        rows[i].fn(&t, rows[i].in, strlen(rows[i].in));
        assert_string_equal(t.at, rows[i].out);
        rc_text_free(&t);
    }
    assert_int_equal(mem.used, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equal_logits_are_exact),
        cmocka_unit_test(test_a_loss_needs_a_gate),
        cmocka_unit_test(test_a_failing_gate_names_figures_and_place),
        cmocka_unit_test(test_no_gate_admits_what_is_no_number),
        cmocka_unit_test(test_a_golden_file_is_exact_by_its_checksums),
        cmocka_unit_test(test_findings_without_a_judge_count),
        cmocka_unit_test(test_groups_by_what_they_win),
        cmocka_unit_test(test_xml_and_html_are_well_formed),
        cmocka_unit_test(test_the_same_bytes_every_time),
        cmocka_unit_test(test_memory_may_run_out_anywhere),
        cmocka_unit_test(test_html_is_one_page_for_itself),
        cmocka_unit_test(test_json_holds_every_part),
        cmocka_unit_test(test_junit_counts_its_cases),
        cmocka_unit_test(test_annotations_stay_on_their_line),
        cmocka_unit_test(test_markdown_tables_hold_together),
        cmocka_unit_test(test_figures_show_what_is_known),
        cmocka_unit_test(test_markup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
