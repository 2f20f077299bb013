/* convert/cmd_join.c - recast join DST. */
#include "convert/cmd_join.h"

#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "convert/cmd_convert.h"
#include "convert/cmd_convert_int4.h"
#include "convert/cmd_convert_print.h"
#include "convert/join.h"
#include "formats/base/io.h"
#include "formats/base/par.h"
#include "formats/cmd_source.h"

/* ------------------------------------------------- the words of a conversion */

static const char *text_of(rc_arena *arena, const char *text)
{
    return rc_arena_strdup(arena, text, strlen(text));
}

/* A file that is there is named so that it is found from any folder; addresses are none. */
static const char *name_for_all(rc_arena *arena, const char *path)
{
    char cwd[PATH_MAX], whole[2 * PATH_MAX];

    if (path[0] == '/' || access(path, F_OK) != 0 || !getcwd(cwd, sizeof cwd))
        return text_of(arena, path);
    snprintf(whole, sizeof whole, "%s/%s", cwd, path);
    return text_of(arena, whole);
}

static void add_word(rc_part_words *w, const char *word, bool *whole)
{
    *whole = *whole && word && w->origin.arguments < RC_PARTS_MAX_ARGUMENTS;
    if (*whole)
        w->at[w->origin.arguments++] = word;
}

static void add_option(rc_part_words *w, const char *option, const char *value, bool *whole)
{
    char name[40];

    if (!value)
        return;
    snprintf(name, sizeof name, "--%s", option);
    add_word(w, text_of(&w->arena, name), whole);
    add_word(w, text_of(&w->arena, value), whole);
}

static void add_file(rc_part_words *w, const char *option, const char *path, bool *whole)
{
    if (path)
        add_option(w, option, name_for_all(&w->arena, path), whole);
}

static void add_size(rc_part_words *w, const char *option, uint64_t nbytes, bool *whole)
{
    char number[24];

    snprintf(number, sizeof number, "%" PRIu64, nbytes);
    add_option(w, option, nbytes ? number : NULL, whole);
}

static void add_list(rc_part_words *w, const char *option, const rc_opt_list *list, bool *whole)
{
    for (unsigned i = 0; i < list->n; i++)
        add_option(w, option, list->at[i], whole);
}

/* Of the options those that decide bytes; is_word() knows the same. */
static void add_all(rc_part_words *w, const rc_to *to, bool *whole)
{
    const rc_to_words *given = &to->words;
    const rc_int4_words *int4 = &given->int4;

    add_option(w, "to", to->format, whole);
    add_option(w, "scale-dtype", given->scale_dtype, whole);
    add_option(w, "draft", given->draft, whole);
    add_file(w, "recipe", given->recipe, whole);
    add_list(w, "type", &given->types, whole);
    add_file(w, "imatrix", given->imatrix, whole);
    add_option(w, "effort", given->effort, whole);
    add_size(w, "split-size", given->split_size, whole);
    add_option(w, "group", int4->group, whole);
    if (int4->symmetric)
        add_word(w, "--symmetric", whole);
    if (int4->asymmetric)
        add_word(w, "--asymmetric", whole);
    add_option(w, "scope", int4->scope, whole);
    add_file(w, "stats", int4->stats, whole);
    add_option(w, "method", int4->method, whole);
    add_option(w, "smooth", int4->smooth, whole);
    add_option(w, "names", int4->names, whole);
    add_size(w, "shard-size", given->shard_size, whole);
    add_list(w, "tensors", &given->tensors, whole);
}

/* Where the parts' common file is, or would be. */
static rc_code find_common(const char *dst, bool gguf, char folder[PATH_MAX], rc_plan_names *names,
                           rc_err *err)
{
    char stem[RC_PLAN_NAME], buf[PATH_MAX];

    if (gguf)
        RC_TRY(rc_convert_stem(dst, stem, err));
    snprintf(buf, sizeof buf, "%s", dst);
    snprintf(folder, PATH_MAX, "%s", gguf ? dirname(buf) : buf);
    rc_plan_name_files(names, gguf ? stem : NULL, (rc_share){ 0 });
    return RC_OK;
}

/* No folder, no parts: what is wrong with DST is for others to say. */
static rc_code read_common(rc_parts *out, const char *dst, bool gguf, rc_mem *mem, rc_err *err)
{
    char folder[PATH_MAX];
    rc_plan_names names;
    rc_dir dir;
    rc_code rc = RC_OK;

    RC_TRY(find_common(dst, gguf, folder, &names, err));
    if (rc_dir_open(&dir, folder, false, NULL) != RC_OK)
        return RC_OK;
    if (rc_dir_stat(&dir, names.parts, NULL))
        rc = rc_parts_read(out, &dir, names.parts, mem, err);
    rc_dir_close(&dir);
    return rc;
}

rc_code rc_part_words_of(rc_part_words *w, const char *src, const rc_to *to, rc_mem *mem,
                         rc_err *err)
{
    bool whole = true;

    memset(w, 0, sizeof *w);
    w->arena.mem = mem;
    w->origin.argument = w->at;
    w->origin.source = name_for_all(&w->arena, src);
    add_all(w, to, &whole);
    if (!w->origin.source || !whole)
        return rc_fail_nomem(err, mem, PATH_MAX);
    return read_common(&w->common, to->dst, rc_to_is_gguf(to), mem, err);
}

void rc_part_words_free(rc_part_words *w)
{
    rc_arena_free(&w->arena);
    rc_parts_free(&w->common);
}

/* ------------------------------------------------------------ what a part says */

void rc_print_share(const rc_plan *plan)
{
    const rc_share share = rc_plan_share(plan);
    const rc_share_size size = rc_plan_share_size(plan);
    char a[16], b[16];

    if (!share.count)
        return;
    printf("part      %u/%u: %zu of %zu shards, the first %s; writes %" PRIu64
           " bytes (%s), reads %s\n",
           share.no, share.count, size.shards, rc_plan_shards(plan),
           rc_plan_shard_at(plan, size.first)->name, size.file_bytes,
           rc_human_bytes(a, size.file_bytes), rc_human_bytes(b, size.read_bytes));
}

void rc_write_part(rc_jsonw *w, const rc_plan *plan)
{
    const rc_share share = rc_plan_share(plan);
    const rc_share_size size = rc_plan_share_size(plan);

    if (!share.count)
        return;
    rc_jsonw_key(w, "part");
    rc_jsonw_object(w);
    rc_jsonw_ku64(w, "part", share.no);
    rc_jsonw_ku64(w, "parts", share.count);
    rc_jsonw_ku64(w, "source_bytes", size.read_bytes);
    rc_jsonw_ku64(w, "tensor_bytes", size.tensor_bytes);
    rc_jsonw_ku64(w, "file_bytes", size.file_bytes);
    rc_jsonw_key(w, "shards");
    rc_jsonw_array(w);
    for (size_t i = size.first; i < size.first + size.shards; i++)
        rc_jsonw_str(w, rc_plan_shard_at(plan, i)->name);
    rc_jsonw_array_end(w);
    rc_jsonw_object_end(w);
}

rc_code rc_print_part_json(const rc_plan *plan, rc_mem *mem, rc_err *err)
{
    rc_jsonw *w = rc_jsonw_new(mem, 2);
    const char *text;
    rc_code rc = RC_OK;

    if (!w)
        return rc_fail_nomem(err, mem, 1);
    rc_jsonw_object(w);
    rc_write_part(w, plan);
    rc_jsonw_kbool(w, "finished", true);
    rc_jsonw_object_end(w);
    text = rc_jsonw_text(w, NULL);
    if (text)
        puts(text);
    else
        rc = rc_fail_nomem(err, mem, 1);
    rc_jsonw_free(&w);
    return rc;
}

void rc_print_part(const rc_convert_target *target)
{
    const rc_plan *plan = target->plan;
    const rc_convert_report *report = &target->report;
    const char *dst = target->dst;
    const rc_share share = rc_plan_share(plan);
    const rc_share_size size = rc_plan_share_size(plan);
    const double seconds = report->run.seconds > 1e-3 ? report->run.seconds : 1e-3;
    const uint64_t kept = report->kept, now = size.tensor_bytes - kept;
    char a[16], b[24], c[16];

    if (report->already_complete) {
        printf("part %u/%u of %s is complete already\n", share.no, share.count, dst);
        return;
    }
    rc_print_totals(plan, &report->totals);
    printf("part      %u/%u of %s: %zu of %zu shards, %s\n", share.no, share.count, dst,
           size.shards, rc_plan_shards(plan), rc_human_bytes(a, size.file_bytes));
    printf("time      %s, %s written now (%s/s)", rc_human_time(b, report->run.seconds),
           rc_human_bytes(a, now), rc_human_bytes(c, (uint64_t)((double)now / seconds)));
    if (kept)
        printf(", %s kept from an earlier run", rc_human_bytes(a, kept));
    printf("\nnext      when all %u parts are: recast join %s\n", share.count, dst);
}

/* ------------------------------------------------------------------------ join */

rc_code rc_join_and_tell(rc_plan *plan, const char *dst, const rc_join_how *how, unsigned threads,
                         rc_mem *mem, rc_err *err)
{
    rc_progress told = { .total = how->trust ? 0 : rc_plan_tensor_bytes(plan) };
    rc_ticker *ticker = how->trust ? NULL : rc_ticker_start("checked", &told);
    const rc_join_opts opts = {
        .threads = threads, .trust = how->trust, .log = rc_cli_log(), .progress = &told
    };
    rc_convert_target target = { .plan = plan, .dst = dst };
    const rc_convert_report *report = &target.report;
    const rc_code rc = rc_join(plan, dst, &opts, &target.report, mem, err);
    char a[16], b[24];

    rc_ticker_stop(&ticker);
    if (rc != RC_OK)
        return rc;
    rc_int4_warn(plan, &report->totals.int4);
    if (how->json)
        return rc_print_summaries(&target, 1, mem, err);
    if (rc_cli.quiet)
        return RC_OK;
    if (report->already_complete) {
        printf("%s was complete already\n", dst);
        return RC_OK;
    }
    rc_print_totals(plan, &report->totals);
    if (how->trust)
        printf("checked   sizes only, as asked: --check full reads everything back\n");
    else
        printf("checked   %s read back, every tensor as its part wrote it\n",
               rc_human_bytes(a, told.done - told.kept));
    printf("wrote     %s: %zu tensors, %s in %zu shards, ledger %s\n", dst, rc_plan_tensors(plan),
           rc_human_bytes(a, rc_plan_tensor_bytes(plan)), rc_plan_shards(plan),
           rc_plan_names_of(plan)->ledger);
    printf("time      %s\n", rc_human_time(b, report->run.seconds));
    return RC_OK;
}

typedef struct options {
    const char *check, *source, *stats, *imatrix, *recipe;
    uint64_t threads, mem_limit;
    bool json;
} options;

static const char about[] =
    "When every recast convert SRC DST --part I/N is finished: reads back what the parts wrote,\n"
    "compares every tensor with what they noted, and gives final names. The result is, to the\n"
    "byte, that of one run without --part. Stopped or killed, the same command goes on.\n"
    "\n"
    "The source is needed for its headers and small files; DST remembers where it was, but not\n"
    "--endpoint (HF_ENDPOINT): give that again.\n"
    "\n"
    "examples:\n"
    "  recast join V4-Flash-FP8\n"
    "  recast join V4-Flash.gguf --source /mnt/other/DeepSeek-V4-Flash\n"
    "  for i in 1 2 3 4; do recast convert SRC DST --to fp8 --part $i/4 & done; wait; recast join "
    "DST\n";

/* Only words that rc_part_words_of() would have written: the file may be anybody's. */
static bool is_word(const char *word)
{
    static const char *const words[] = { "to",      "scale-dtype", "draft",      "recipe",
                                         "type",    "imatrix",     "effort",     "split-size",
                                         "group",   "symmetric",   "asymmetric", "scope",
                                         "stats",   "method",      "smooth",     "names",
                                         "tensors", "shard-size" };

    for (unsigned i = 0; i < sizeof words / sizeof *words; i++)
        if (strncmp(word, "--", 2) == 0 && strcmp(word + 2, words[i]) == 0)
            return true;
    return false;
}

static bool takes_value(const char *word)
{
    return strcmp(word, "--symmetric") != 0 && strcmp(word, "--asymmetric") != 0;
}

/* Where the file that the word names lies now, if that was said. */
static const char *moved(const options *o, const char *word)
{
    return strcmp(word, "--stats") == 0     ? o->stats
           : strcmp(word, "--imatrix") == 0 ? o->imatrix
           : strcmp(word, "--recipe") == 0  ? o->recipe
                                            : NULL;
}

typedef struct words {
    const char *at[2 * RC_PARTS_MAX_ARGUMENTS];
    int n;
    char threads[24], limit[24];
} words;

/* The command line that the parts had. */
static rc_code say_again(words *w, const rc_parts *parts, const char *dst, const options *o,
                         rc_err *err)
{
    w->at[w->n++] = "join";
    for (size_t i = 0; i < parts->arguments; i++) {
        const char *word = parts->argument[i], *elsewhere = moved(o, word);

        if (!is_word(word) || (takes_value(word) && i + 1 == parts->arguments))
            return rc_fail(err, RC_E_DATA, RC_NO_OFFSET,
                           "holds arguments that no part was given by recast");
        w->at[w->n++] = word;
        if (takes_value(word)) {
            i++;
            w->at[w->n++] = elsewhere ? elsewhere : parts->argument[i];
        }
    }
    snprintf(w->threads, sizeof w->threads, "%" PRIu64, o->threads);
    w->at[w->n++] = "--threads";
    w->at[w->n++] = w->threads;
    if (o->mem_limit) {
        snprintf(w->limit, sizeof w->limit, "%" PRIu64, o->mem_limit);
        w->at[w->n++] = "--mem-limit";
        w->at[w->n++] = w->limit;
    }
    if (rc_cli.errors_json)
        w->at[w->n++] = "--errors=json";
    w->at[w->n++] = "--";
    w->at[w->n++] = o->source ? o->source : parts->source;
    w->at[w->n++] = dst;
    return RC_OK;
}

/* Nothing to join: is it done, or was it never begun? A join that died at its very end left its
 * journal. */
static int no_parts(const rc_dir *dir, const rc_plan_names *names, const char *dst, bool json,
                    rc_mem *mem, rc_err *err)
{
    if (rc_dir_stat(dir, names->summary, NULL)) {
        if (rc_dir_remove(dir, names->join, err) != RC_OK)
            return rc_cli_fail(err);
        if (json)
            return rc_print_summary_file(dir, names, mem, err) == RC_OK ? 0 : rc_cli_fail(err);
        if (!rc_cli.quiet)
            printf("%s is complete: there are no parts to join\n", dst);
        return 0;
    }
    rc_fail(err, RC_E_NOINPUT, RC_NO_OFFSET, "there are no parts of a conversion here");
    rc_err_file(err, dst);
    rc_err_hint(err, "name the DST of recast convert SRC DST --part I/N");
    return rc_cli_fail(err);
}

static bool is_gguf_name(const char *dst)
{
    const size_t n = strlen(dst), k = strlen(".gguf");
    struct stat st;

    return n > k && strcmp(dst + n - k, ".gguf") == 0 &&
           !(stat(dst, &st) == 0 && S_ISDIR(st.st_mode));
}

/* The arguments are handed on as strings that nobody writes to. */
static int hand_on(words *w, const rc_join_how *how)
{
    union {
        const char **read;
        char **argv;
    } same = { .read = w->at };

    return rc_cmd_convert_or_join(w->n, same.argv, how);
}

static int run(const char *dst, const options *o, rc_err *err)
{
    const bool gguf = is_gguf_name(dst);
    char folder[PATH_MAX];
    rc_plan_names names;
    rc_join_how how = { .trust = o->check && strcmp(o->check, "sizes") == 0, .json = o->json };
    rc_mem mem = { 0 };
    rc_parts parts;
    rc_dir dir;
    words w = { .n = 0 };
    int code;

    if (find_common(dst, gguf, folder, &names, err) != RC_OK ||
        rc_dir_open(&dir, folder, false, err) != RC_OK)
        return rc_cli_fail(err);
    if (!rc_dir_stat(&dir, names.parts, NULL)) {
        code = no_parts(&dir, &names, dst, o->json, &mem, err);
        rc_dir_close(&dir);
        return code;
    }
    if (rc_parts_read(&parts, &dir, names.parts, &mem, err) != RC_OK) {
        rc_dir_close(&dir);
        return rc_cli_fail(err);
    }
    rc_dir_close(&dir);
    how.commit = parts.commit;
    if (say_again(&w, &parts, dst, o, err) == RC_OK) {
        code = hand_on(&w, &how);
    } else {
        rc_err_file(err, names.parts);
        code = rc_cli_fail(err);
    }
    rc_parts_free(&parts);
    return code;
}

int rc_cmd_join(int argc, char **argv)
{
    options o = { .threads = rc_par_cpus() };
    const rc_opt opts[] = {
        { "check", RC_OPT_CHOICE, "full|sizes",
          "read back everything the parts wrote (default), or look at sizes only", &o.check, 0, 0 },
        { "source", RC_OPT_STR, "SRC", "where the source lies now, if it has moved", &o.source, 0,
          0 },
        { "stats", RC_OPT_STR, "FILE", "the same of the parts' --stats", &o.stats, 0, 0 },
        { "imatrix", RC_OPT_STR, "FILE", "the same of the parts' --imatrix", &o.imatrix, 0, 0 },
        { "recipe", RC_OPT_STR, "FILE", "the same of the parts' --recipe", &o.recipe, 0, 0 },
        { "threads", RC_OPT_U64, "N", "threads that read back (default: processors)", &o.threads, 1,
          RC_PAR_MAX_SLOTS },
        { "mem-limit", RC_OPT_SIZE, "BYTES", "memory to stay under (default: as convert)",
          &o.mem_limit, 1 << 20, UINT64_MAX >> 1 },
        { "json", RC_OPT_FLAG, NULL, "print the summary as JSON", &o.json, 0, 0 },
        { 0 },
    };
    const rc_cmd cmd = {
        .name = "join",
        .usage = "DST [options]",
        .summary = "Check and finish a conversion that was made in parts.",
        .about = about,
        .min_args = 1,
        .max_args = 1,
        .opts = opts,
        .group = &rc_source_group,
    };
    rc_err err = { .offset = RC_NO_OFFSET };
    const char *dst;
    unsigned nargs;
    const int code = rc_cli_parse(&cmd, argc, argv, &dst, &nargs);

    return code >= 0 ? code : run(dst, &o, &err);
}
