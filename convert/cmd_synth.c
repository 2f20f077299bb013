/* convert/cmd_synth.c - the command `recast synth`. */
#include "convert/cmd_synth.h"

#include <stdio.h>

#include "convert/synth.h"
#include "formats/base/cli.h"
#include "formats/base/json.h"
#include "formats/base/par.h"

static void print_json(const char *dst, const rc_synth_options *o, const rc_synth_result *r,
                       double seconds, rc_mem *mem)
{
    rc_jsonw *w = rc_jsonw_new(mem, 2);
    const char *text;
    size_t len;

    if (!w)
        return;
    rc_jsonw_object(w);
    rc_jsonw_kstr(w, "path", dst);
    rc_jsonw_kstr(w, "like", o->like);
    rc_jsonw_ku64(w, "seed", o->seed);
    rc_jsonw_kbool(w, "hollow", o->hollow);
    rc_jsonw_ku64(w, "shards", r->shards);
    rc_jsonw_ku64(w, "tensors", r->tensors);
    rc_jsonw_ku64(w, "tensor_bytes", r->tensor_bytes);
    rc_jsonw_ku64(w, "file_bytes", r->file_bytes);
    rc_jsonw_kf64(w, "seconds", seconds);
    rc_jsonw_object_end(w);
    if ((text = rc_jsonw_text(w, &len)))
        puts(text);
    rc_jsonw_free(&w);
}

static void print_text(const char *dst, const rc_synth_options *o, const rc_synth_result *r,
                       double seconds)
{
    char size[16], rate[16], time[24];

    printf("%s: like %s, %" PRIu64 " shards, %" PRIu64 " tensors, %s%s, %s", dst, o->like,
           r->shards, r->tensors, rc_human_bytes(size, r->tensor_bytes),
           o->hollow ? " (hollow: headers only, the data read as zero)" : "",
           rc_human_time(time, seconds));
    if (!o->hollow && seconds > 0)
        printf(", %s/s", rc_human_bytes(rate, (uint64_t)((double)r->file_bytes / seconds)));
    putchar('\n');
}

int rc_cmd_synth(int argc, char **argv)
{
    static rc_progress progress;
    rc_synth_options o = { .done = &progress.done, .total = &progress.total };
    uint64_t first = 0, layers = 0, experts = 0, threads = rc_par_cpus();
    bool json = false;
    const rc_opt opts[] = {
        { "like", RC_OPT_CHOICE, RC_SYNTH_LIKE, "the release to imitate", (void *)&o.like, 0, 0 },
        { "layers", RC_OPT_U64, "N", "keep only N layers", &layers, 1, 512 },
        { "first", RC_OPT_U64, "N", "begin with layer N of the release (0)", &first, 0, 512 },
        { "experts", RC_OPT_U64, "N", "keep only N routed experts a layer", &experts, 1, 65536 },
        { "seed", RC_OPT_U64, "S", "other weights for another S (0)", &o.seed, 0, 0 },
        { "hollow", RC_OPT_FLAG, NULL, "write headers only, data as holes", &o.hollow, 0, 0 },
        { "threads", RC_OPT_U64, "N", "compute on N threads (all processors)", &threads, 1, 256 },
        { "force", RC_OPT_FLAG, NULL, "replace an earlier synthetic checkpoint", &o.force, 0, 0 },
        { "json", RC_OPT_FLAG, NULL, "print the summary as JSON", &json, 0, 0 },
        { 0 },
    };
    const rc_cmd cmd = {
        .name = "synth",
        .usage = "DST --like RELEASE [options]",
        .summary = "make a synthetic checkpoint of the true layout, at any size",
        .about =
            "Names, dtypes, shapes, shards, index and config are those of the release; the\n"
            "weights are random, quantized as the release quantizes. `tiny` is a whole model\n"
            "of a few megabytes with every kind of layer.\n\n"
            "  recast synth /tmp/tiny --like tiny\n"
            "  recast synth /data/flash2 --like flash --layers 2\n"
            "  recast synth /data/flash3 --like flash --first 1 --layers 3  # all three kinds\n"
            "  recast synth /tmp/pro --like pro --hollow\n",
        .min_args = 1,
        .max_args = 1,
        .opts = opts,
    };
    rc_mem mem = { 0 };
    rc_synth_result r;
    const char *args[1];
    rc_ticker *ticker;
    unsigned nargs;
    double start;
    rc_err err;
    rc_code rc;
    int code = rc_cli_parse(&cmd, argc, argv, args, &nargs);

    if (code >= 0)
        return code;
    if (!o.like)
        return rc_cli_usage("synth: --like is missing: one of %s", RC_SYNTH_LIKE);
    o.first = (uint32_t)first;
    o.layers = (uint32_t)layers;
    o.experts = (uint32_t)experts;
    o.threads = (unsigned)threads;

    start = rc_now();
    ticker = rc_ticker_start("synth", &progress);
    rc = rc_synth(args[0], &o, &r, &mem, &err);
    rc_ticker_stop(&ticker);
    if (rc != RC_OK)
        return rc_cli_fail(&err);
    if (json)
        print_json(args[0], &o, &r, rc_now() - start, &mem);
    else if (!rc_cli.quiet)
        print_text(args[0], &o, &r, rc_now() - start);
    return 0;
}
