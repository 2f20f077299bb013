/* convert/cmd_unpack.c - recast unpack ARCHIVE.rcz DST. */
#include "convert/cmd_unpack.h"

#include <stdio.h>
#include <string.h>

#include "convert/unpack.h"
#include "formats/base/json.h"
#include "formats/base/par.h"
#include "formats/cmd_source.h"

typedef struct options {
    uint64_t threads, mem_limit;
    bool list, json, force;
} options;

static const char about[] =
    "Writes every file of an archive into DST, with the bytes that were packed: each piece and "
    "the\n"
    "SHA-256 of each file is checked before any file gets its name. What an earlier run left\n"
    "is compared and kept: the same command resumes.\n"
    "\n"
    "examples:\n"
    "  recast unpack flash-fp8.rcz DeepSeek-V4-Flash-FP8\n"
    "  recast unpack flash-fp8.rcz --list\n";

/* What a file takes in the archive, and how its pieces are packed. */
typedef struct share {
    uint64_t stored;
    uint64_t modes[RC_PACK_MODES]; /* bytes restored */
} share;

static share share_of(const rc_archive *a, const rc_archive_file *f)
{
    share s = { 0 };

    for (size_t k = f->first; k < f->first + f->count; k++) {
        s.stored += rc_archive_stored(&a->pieces[k].packed);
        s.modes[a->pieces[k].packed.mode] += a->pieces[k].packed.nbytes;
    }
    return s;
}

static double ratio(uint64_t a, uint64_t b)
{
    return b ? (double)a / (double)b : 1;
}

static void list_text(const rc_archive *a)
{
    char shown[RC_ARCHIVE_MAX_NAME + 64];

    printf("%15s %15s  ratio  file\n", "bytes", "packed");
    for (size_t i = 0; i < a->nfiles; i++) {
        const rc_archive_file *f = &a->files[i];
        const share s = share_of(a, f);
        const char *gap = "  (";

        printf("%15" PRIu64 " %15" PRIu64 "  %.3f  %s", f->nbytes, s.stored,
               ratio(s.stored, f->nbytes),
               rc_escape(shown, sizeof shown, f->name, strlen(f->name)));
        for (unsigned m = 0; m < RC_PACK_MODES; m++)
            if (s.modes[m]) {
                printf("%s%s", gap, rc_pack_mode_name((rc_pack_mode)m));
                gap = ", ";
            }
        puts(*gap == ',' ? ")" : "");
    }
    printf("%15" PRIu64 " %15" PRIu64 "  %.3f  %zu files, %zu pieces\n", a->nbytes, a->archive,
           ratio(a->archive, a->nbytes), a->nfiles, a->npieces);
}

static void put_file(rc_jsonw *w, const rc_archive *a, const rc_archive_file *f)
{
    const share s = share_of(a, f);
    char hex[RC_CONTENT_HEX];

    rc_jsonw_object(w);
    rc_jsonw_kstr(w, "name", f->name);
    rc_jsonw_ku64(w, "bytes", f->nbytes);
    rc_jsonw_ku64(w, "packed", s.stored);
    rc_jsonw_kstr(w, "sha256", rc_content_hex(&f->content, hex));
    rc_jsonw_key(w, "modes");
    rc_jsonw_object(w);
    for (unsigned m = 0; m < RC_PACK_MODES; m++)
        if (s.modes[m])
            rc_jsonw_ku64(w, rc_pack_mode_name((rc_pack_mode)m), s.modes[m]);
    rc_jsonw_object_end(w);
    rc_jsonw_object_end(w);
}

static rc_code print_jsonw(rc_jsonw *w, rc_mem *mem, rc_err *err)
{
    size_t len;
    const char *text = rc_jsonw_text(w, &len);

    if (!text)
        return rc_fail_nomem(err, mem, 4096);
    puts(text);
    return RC_OK;
}

static rc_code list_json(const rc_archive *a, rc_mem *mem, rc_err *err)
{
    rc_jsonw *w = rc_jsonw_new(mem, 2);
    rc_code rc;

    if (!w)
        return rc_fail_nomem(err, mem, 4096);
    rc_jsonw_object(w);
    rc_jsonw_ku64(w, "version", RC_ARCHIVE_VERSION);
    rc_jsonw_ku64(w, "bytes", a->nbytes);
    rc_jsonw_ku64(w, "archive_bytes", a->archive);
    rc_jsonw_ku64(w, "pieces", a->npieces);
    rc_jsonw_key(w, "files");
    rc_jsonw_array(w);
    for (size_t i = 0; i < a->nfiles; i++)
        put_file(w, a, &a->files[i]);
    rc_jsonw_array_end(w);
    rc_jsonw_object_end(w);
    rc = print_jsonw(w, mem, err);
    rc_jsonw_free(&w);
    return rc;
}

static rc_code summary_json(const rc_unpack_report *r, const char *dst, double seconds, rc_mem *mem,
                            rc_err *err)
{
    rc_jsonw *w = rc_jsonw_new(mem, 2);
    rc_code rc;

    if (!w)
        return rc_fail_nomem(err, mem, 4096);
    rc_jsonw_object(w);
    rc_jsonw_kstr(w, "path", dst);
    rc_jsonw_ku64(w, "files", r->files);
    rc_jsonw_ku64(w, "bytes", r->nbytes);
    rc_jsonw_ku64(w, "pieces", r->pieces);
    rc_jsonw_ku64(w, "pieces_kept", r->kept);
    rc_jsonw_kbool(w, "complete_already", r->complete);
    rc_jsonw_kf64(w, "seconds", seconds);
    rc_jsonw_object_end(w);
    rc = print_jsonw(w, mem, err);
    rc_jsonw_free(&w);
    return rc;
}

static void summary_text(const rc_unpack_report *r, const char *dst, double seconds)
{
    char size[16], rate[16], time[24];

    if (r->complete) {
        printf("%s was complete already\n", dst);
        return;
    }
    printf("unpacked  %s: %zu files, %s, every SHA-256 as packed; %s, %s/s\n", dst, r->files,
           rc_human_bytes(size, r->nbytes), rc_human_time(time, seconds),
           rc_human_bytes(rate, (uint64_t)((double)r->nbytes / (seconds > 0 ? seconds : 1))));
}

static rc_code unpack(rc_source *src, const char *dst, const options *o, rc_mem *mem, rc_err *err)
{
    rc_progress progress = { 0 };
    const rc_unpack_opts opts = { .threads = (unsigned)o->threads,
                                  .force = o->force,
                                  .progress = &progress };
    rc_ticker *ticker = rc_ticker_start("unpacked", &progress);
    const double start = rc_now();
    rc_unpack_report report;
    const rc_code rc = rc_unpack_run(src, dst, &opts, &report, mem, err);

    rc_ticker_stop(&ticker);
    if (rc != RC_OK) {
        if (rc_code_resumable(rc))
            rc_err_hint(err, "the same command resumes");
        return rc;
    }
    if (o->json)
        return summary_json(&report, dst, rc_now() - start, mem, err);
    if (!rc_cli.quiet)
        summary_text(&report, dst, rc_now() - start);
    return RC_OK;
}

static rc_code run(const char *archive, const char *dst, const options *o, rc_mem *mem, rc_err *err)
{
    rc_source *src;
    rc_code rc;

    RC_TRY(rc_source_open(&src, archive, rc_cmd_sources(), mem, err));
    if (o->list && !rc_source_archive(src)) {
        rc = rc_fail(err, RC_E_NOINPUT, RC_NO_OFFSET, "is no archive: its name has to end in .rcz");
        rc_err_file(err, archive);
    } else if (o->list && o->json) {
        rc = list_json(rc_source_archive(src), mem, err);
    } else if (o->list) {
        list_text(rc_source_archive(src));
        rc = RC_OK;
    } else {
        rc = unpack(src, dst, o, mem, err);
    }
    rc_source_close(&src);
    return rc;
}

int rc_cmd_unpack(int argc, char **argv)
{
    options o = { .threads = rc_par_cpus(), .mem_limit = (uint64_t)1 << 30 };
    const rc_opt opts[] = {
        { "list", RC_OPT_FLAG, NULL, "print what is in the archive; needs no DST", &o.list, 0, 0 },
        { "threads", RC_OPT_U64, "N", "compute on N threads (all processors)", &o.threads, 1,
          RC_PAR_MAX_SLOTS },
        { "mem-limit", RC_OPT_SIZE, "BYTES", "memory to stay under (1G)", &o.mem_limit, 1 << 20,
          UINT64_MAX >> 1 },
        { "json", RC_OPT_FLAG, NULL, "print the summary, or the list, as JSON", &o.json, 0, 0 },
        { "force", RC_OPT_FLAG, NULL, "write among other files, and over those of the same names",
          &o.force, 0, 0 },
        { 0 },
    };
    const rc_cmd cmd = {
        .name = "unpack",
        .usage = "ARCHIVE.rcz DST [options]",
        .summary = "Restore the files of an archive, bit for bit.",
        .about = about,
        .min_args = 1,
        .max_args = 2,
        .opts = opts,
        .group = &rc_source_group,
    };
    rc_mem mem = { 0 };
    rc_err err = { .offset = RC_NO_OFFSET };
    const char *args[2];
    unsigned nargs;
    int code = rc_cli_parse(&cmd, argc, argv, args, &nargs);

    if (code >= 0)
        return code;
    if (nargs < 2 && !o.list)
        return rc_cli_usage("unpack needs a folder to write to, or --list");
    if (nargs == 2 && o.list)
        return rc_cli_usage("--list writes nothing: leave the folder out");
    code = rc_cmd_refuse_address(nargs == 2 ? args[1] : NULL);
    if (code >= 0)
        return code;
    mem.limit = (size_t)o.mem_limit;
    return run(args[0], nargs == 2 ? args[1] : NULL, &o, &mem, &err) == RC_OK ? 0
                                                                              : rc_cli_fail(&err);
}
