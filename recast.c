/* recast.c - the program: a table of subcommands.
 *
 *   synth    convert/cmd_synth.c      make a checkpoint of the true layout
 *   pack     convert/cmd_pack.c       checkpoint -> one archive
 *   unpack   convert/cmd_unpack.c     and back, bit for bit
 *   inspect  verify/cmd_inspect.c     what is this checkpoint?
 *   convert  convert/cmd_convert.c    checkpoint -> checkpoint, resumable
 *   join     convert/cmd_join.c       the parts of a conversion, made one
 *   verify   verify/cmd_verify.c      was anything lost?
 *   check    verify/cmd_check.c       are the bytes still those that were delivered?
 *   lint     verify/cmd_lint.c        will an engine's loader take it?
 *   run      runtime/cmd_run.c        text, logits, traces
 *   calibrate runtime/cmd_calibrate.c what activations are like
 *   tokenize runtime/cmd_tokenize.c   text to ids, and back
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "convert/cmd_convert.h"
#include "convert/cmd_join.h"
#include "convert/cmd_pack.h"
#include "convert/cmd_synth.h"
#include "convert/cmd_unpack.h"
#include "formats/base/cli.h"
#include "formats/base/stop.h"
#include "runtime/cmd_calibrate.h"
#include "runtime/cmd_run.h"
#include "runtime/cmd_tokenize.h"
#include "verify/cmd_check.h"
#include "verify/cmd_inspect.h"
#include "verify/cmd_lint.h"
#include "verify/cmd_verify.h"

static const struct {
    const char *name, *summary;
    int (*run)(int argc, char **argv);
} commands[] = {
    { "inspect", "what a checkpoint is, and what is missing in it", rc_cmd_inspect },
    { "convert", "convert a checkpoint (FP8, GGUF, BF16), resumable and proven", rc_cmd_convert },
    { "join", "check and finish what recast convert --part I/N has made", rc_cmd_join },
    { "verify", "compare a converted checkpoint with its source: values, and what it says",
      rc_cmd_verify },
    { "check", "re-hash a result: are its bytes still those that were delivered?", rc_cmd_check },
    { "lint", "will vLLM, SGLang, llama.cpp or ds4 take it? rule by rule", rc_cmd_lint },
    { "calibrate", "statistics of activations for AWQ and for GGUF recipes, from a text",
      rc_cmd_calibrate },
    { "tokenize", "text to token ids as the model reads it, and ids to text", rc_cmd_tokenize },
    { "run", "run a model, native or converted: text, logits, traces", rc_cmd_run },
    { "pack", "put a checkpoint away in one archive: half of FP8, nine tenths of FP4",
      rc_cmd_pack },
    { "unpack", "restore the files of an archive, bit for bit", rc_cmd_unpack },
    { "synth", "make a synthetic checkpoint of the true layout, at any size", rc_cmd_synth },
};
enum { COMMANDS = sizeof commands / sizeof *commands };

static void print_usage(FILE *to)
{
    fputs("usage: recast COMMAND [arguments]\n\n"
          "Converts DeepSeek-V4 checkpoints for the hardware that you have, and proves that\n"
          "nothing was lost.\n\ncommands:\n",
          to);
    for (unsigned i = 0; i < COMMANDS; i++)
        fprintf(to, "  %-10s%s\n", commands[i].name, commands[i].summary);
    fputs("\nrecast COMMAND --help explains one of them. Start here:\n"
          "  recast inspect hf://deepseek-ai/DeepSeek-V4-Flash\n"
          "  recast convert DeepSeek-V4-Flash DeepSeek-V4-Flash-FP8 --to fp8\n"
          "  recast verify DeepSeek-V4-Flash DeepSeek-V4-Flash-FP8\n"
          "\nexit status:\n"
          "   0 done; verify: passed      1 verify: differs        64 command line\n"
          "  65 malformed input          66 input missing          69 unsupported input\n"
          "  70 internal error           71 memory, threads        73 cannot create output\n"
          "  74 disk error               75 network: run it again  76 server broke protocol\n"
          "  77 permission, token        78 environment            79 no space\n"
          "  80 bytes changed            81 NaN, inexact value     82 tensors missing or extra\n"
          "  83 unsafe path              84 limit passed           85 output is locked\n"
          "  86 resume mismatch         128+N stopped by signal N\n",
          to);
}

static int unknown_command(const char *name)
{
    char shown[64];

    rc_escape(shown, sizeof shown, name, strlen(name));
    for (unsigned i = 0; i < COMMANDS; i++)
        if (strncmp(commands[i].name, name, 3) == 0)
            return rc_cli_usage("unknown command '%s': did you mean '%s'?", shown,
                                commands[i].name);
    return rc_cli_usage("unknown command '%s': recast --help lists them", shown);
}

static int dispatch(int argc, char **argv)
{
    if (argc < 2) {
        print_usage(stderr);
        return RC_E_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        print_usage(stdout);
        return 0;
    }
    if (strcmp(argv[1], "--version") == 0) {
        puts("recast " RC_VERSION);
        return 0;
    }
    for (unsigned i = 0; i < COMMANDS; i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    return unknown_command(argv[1]);
}

static bool reader_left(void)
{
    struct pollfd out = { .fd = STDOUT_FILENO, .events = POLLOUT };

    return errno == EPIPE || (poll(&out, 1, 0) == 1 && (out.revents & POLLERR));
}

int main(int argc, char **argv)
{
    int code;

    rc_stop_install();
    code = dispatch(argc, argv);
    /* A result that did not reach its reader is not a success; a reader that has
     * seen enough (head) is. */
    if ((fflush(stdout) != 0 || ferror(stdout)) && !reader_left() && code <= 1) {
        rc_err err;

        rc_fail_errno(&err, errno ? errno : EIO, "cannot write to standard output");
        err.code = RC_E_IO;
        code = rc_cli_fail(&err);
    }
    if (code > 128 && rc_stop_signal()) { /* die by the signal, as shells expect */
        signal(rc_stop_signal(), SIG_DFL);
        raise(rc_stop_signal());
    }
    return code;
}
