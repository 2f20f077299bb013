/* runtime/cmd_tokenize.c - `recast tokenize`: text to ids, and back.
 *
 * --json prints one object. Its keys are an interface and only ever grow:
 *
 *   bytes    of the text
 *   tokens   how many
 *   ids      [number]
 *   pieces   [text], with --pieces: what each id stands for
 *   text     with --ids or --text: the text
 *
 * A text that is not UTF-8 is escaped as a whole: \xNN for what does not print, \\ for a backslash.
 */
#include "runtime/cmd_tokenize.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "formats/base/cli.h"
#include "formats/base/json.h"
#include "formats/cmd_source.h"
#include "formats/bpe_load.h"
#include "runtime/prompt.h"

static struct {
    const char *prompt, *file, *ids, *messages, *system, *effort;
    bool chat, think, keep, text, pieces, json;
} want;

static const rc_opt options[] = {
    { "prompt", RC_OPT_STR, "TEXT", "the text (default: standard input)", &want.prompt, 0, 0 },
    { "file", RC_OPT_STR, "FILE", "a file that holds the text; - is standard input", &want.file, 0,
      0 },
    { "ids", RC_OPT_STR, "ID,ID,..", "the other way: print the text of these; - reads them",
      &want.ids, 0, 0 },
    { "chat", RC_OPT_FLAG, NULL, "the text is what a user says: put it into the chat encoding",
      &want.chat, 0, 0 },
    { "system", RC_OPT_STR, "TEXT", "with --chat: the system message", &want.system, 0, 0 },
    { "messages", RC_OPT_STR, "FILE", "a conversation as JSON: [{\"role\": .., \"content\": ..}]",
      &want.messages, 0, 0 },
    { "think", RC_OPT_FLAG, NULL, "with --chat or --messages: the model reasons first", &want.think,
      0, 0 },
    { "effort", RC_OPT_CHOICE, "high|max", "with --think: how much (default: high)", &want.effort,
      0, 0 },
    { "keep-reasoning", RC_OPT_FLAG, NULL, "with --messages: also the reasoning of earlier turns",
      &want.keep, 0, 0 },
    { "text", RC_OPT_FLAG, NULL, "print the text that would be tokenized, not its ids", &want.text,
      0, 0 },
    { "pieces", RC_OPT_FLAG, NULL, "print a line for each token: its id and its bytes",
      &want.pieces, 0, 0 },
    { "json", RC_OPT_FLAG, NULL, "print one JSON object", &want.json, 0, 0 },
    { 0 },
};
static const rc_letter letters[] = { { 'p', "prompt" }, { 'f', "file" }, { 's', "system" }, { 0 } };

static const rc_cmd command = {
    .name = "tokenize",
    .usage = "MODEL [-p TEXT | -f FILE] [options]",
    .summary = "Text to token ids as DeepSeek-V4 reads it, and ids to text.",
    .about =
        "MODEL is a folder with a tokenizer.json, such a file itself, or a GGUF file. Weights\n"
        "are not read. Special tokens may stand in the text, <think> is one; nothing is added\n"
        "to it, no end of line taken away. Ids give back exactly the bytes that they came from.\n"
        "\n"
        "  recast tokenize DeepSeek-V4-Flash -p 'Hello, world'\n"
        "  recast tokenize DeepSeek-V4-Flash -f book.txt --json\n"
        "  recast tokenize DeepSeek-V4-Flash --ids 19923,14,2058\n"
        "  recast tokenize DeepSeek-V4-Flash --chat -p Hi --pieces\n"
        "  recast tokenize DeepSeek-V4-Flash --messages talk.json --think --text\n",
    .min_args = 1,
    .max_args = 1,
    .opts = options,
    .letters = letters,
    .group = &rc_source_group,
};

/* --------------------------------------------------------------------- input */

static rc_code read_ids(rc_ids *ids, const rc_bpe *bpe, rc_err *err)
{
    rc_text list = { .mem = ids->mem };
    rc_code rc;

    const uint32_t count = rc_tokenizer_count(rc_bpe_tokenizer(bpe));

    if (strcmp(want.ids, "-") != 0)
        return rc_prompt_ids(ids, want.ids, "--ids", count, err);
    rc = rc_prompt_file(&list, NULL, err);
    if (rc == RC_OK)
        rc = rc_prompt_ids(ids, list.at, "--ids", count, err);
    rc_text_free(&list);
    return rc;
}

static rc_code decode(rc_text *out, const rc_ids *ids, const rc_bpe *bpe, rc_err *err)
{
    rc_text_add(out, "", 0);
    for (size_t i = 0; i < ids->n; i++) {
        size_t len;
        const char *bytes = rc_bpe_bytes(bpe, ids->at[i], &len);

        rc_text_add(out, bytes, len);
    }
    return out->failed ? rc_fail_nomem(err, out->mem, 2 * out->room) : RC_OK;
}

/* -------------------------------------------------------------------- output */

static void print_pieces(const rc_ids *ids, const rc_bpe *bpe)
{
    for (size_t i = 0; i < ids->n; i++) {
        char shown[4 * RC_TOKENIZER_MAX_TOKEN + 8];
        size_t len;
        const char *bytes = rc_bpe_bytes(bpe, ids->at[i], &len);

        printf("%" PRIu32 "\t%s\n", ids->at[i], rc_escape(shown, sizeof shown, bytes, len));
    }
}

static rc_code print_json(const rc_text *text, const rc_ids *ids, const rc_bpe *bpe, rc_err *err)
{
    rc_jsonw *w = rc_jsonw_new(text->mem, 0);
    const char *json;
    size_t len;

    rc_jsonw_object(w);
    rc_jsonw_ku64(w, "bytes", text->len);
    if (bpe) {
        rc_jsonw_ku64(w, "tokens", ids->n);
        rc_jsonw_key(w, "ids");
        rc_jsonw_array(w);
        for (size_t i = 0; i < ids->n; i++)
            rc_jsonw_u64(w, ids->at[i]);
        rc_jsonw_array_end(w);
    }
    if (bpe && want.pieces) {
        rc_jsonw_key(w, "pieces");
        rc_jsonw_array(w);
        for (size_t i = 0; i < ids->n; i++) {
            const char *bytes = rc_bpe_bytes(bpe, ids->at[i], &len);

            rc_jsonw_strn(w, bytes, len);
        }
        rc_jsonw_array_end(w);
    }
    if (want.ids || want.text) {
        rc_jsonw_key(w, "text");
        rc_jsonw_strn(w, text->at, text->len);
    }
    rc_jsonw_object_end(w);
    json = rc_jsonw_text(w, &len);
    if (json)
        printf("%s\n", json);
    rc_jsonw_free(&w);
    return json ? RC_OK : rc_fail_nomem(err, text->mem, text->len);
}

/* bpe is NULL where only the text is wanted. */
static rc_code print(const rc_text *text, const rc_ids *ids, const rc_bpe *bpe, rc_err *err)
{
    if (want.json)
        return print_json(text, ids, bpe, err);
    if (bpe && want.pieces) {
        print_pieces(ids, bpe);
    } else if (want.ids || want.text) {
        fwrite(text->at, 1, text->len, stdout);
    } else {
        for (size_t i = 0; i < ids->n; i++)
            printf("%s%" PRIu32, i ? " " : "", ids->at[i]);
        putchar('\n');
    }
    return RC_OK;
}

/* ------------------------------------------------------------------- command */

static int check_options(void)
{
    const int inputs = !!want.prompt + !!want.file + !!want.messages + !!want.ids;

    if (inputs > 1)
        return rc_cli_usage(
            "--prompt, --file, --messages and --ids are different inputs: give one");
    if (want.ids && (want.chat || want.text))
        return rc_cli_usage("--ids gives text: --%s makes no sense with it",
                            want.chat ? "chat" : "text");
    if (want.chat && want.messages)
        return rc_cli_usage("--messages is a chat already: leave out --chat");
    if (want.system && !want.chat)
        return rc_cli_usage("--system goes with --chat; in --messages it is a message");
    if (want.think && !want.chat && !want.messages)
        return rc_cli_usage("--think goes with --chat or --messages");
    if (want.effort && !want.think)
        return rc_cli_usage("--effort goes with --think");
    if (want.keep && !want.messages)
        return rc_cli_usage("--keep-reasoning goes with --messages");
    if (want.text && want.pieces)
        return rc_cli_usage("--text prints no tokens: leave out --pieces");
    return -1;
}

static rc_code tokenize(const rc_bpe *bpe, rc_text *text, rc_ids *ids, rc_err *err)
{
    if (want.ids) {
        RC_TRY(read_ids(ids, bpe, err));
        RC_TRY(decode(text, ids, bpe, err));
    } else {
        const rc_prompt_words words = {
            .text = want.prompt,
            .file = want.file,
            .messages = want.messages,
            .chat = want.chat,
            .system = want.system,
            .opts = { .thinking = want.think,
                      .keep_reasoning = want.keep,
                      .max_effort = want.effort && strcmp(want.effort, "max") == 0 },
        };

        RC_TRY(rc_prompt_text(text, &words, err));
        if (bpe)
            RC_TRY(rc_bpe_encode(bpe, text->at, text->len, ids, err));
    }
    return print(text, ids, bpe, err);
}

int rc_cmd_tokenize(int argc, char **argv)
{
    rc_mem mem = { 0 };
    rc_err err = { .offset = RC_NO_OFFSET };
    rc_text text = { .mem = &mem };
    rc_ids ids = { .mem = &mem };
    rc_bpe *bpe = NULL;
    const char *args[1];
    unsigned nargs;
    int code = rc_cli_parse(&command, argc, argv, args, &nargs);
    rc_code rc = RC_OK;

    if (code < 0)
        code = check_options();
    if (code >= 0)
        return code;
    if (!want.text) /* the text alone needs no vocabulary */
        rc = rc_bpe_open(&bpe, args[0], rc_cmd_sources(), rc_cli_log(), &mem, &err);
    if (rc == RC_OK)
        rc = tokenize(bpe, &text, &ids, &err);
    rc_bpe_free(&bpe);
    rc_text_free(&text);
    rc_mem_put(&mem, ids.at);
    return rc == RC_OK ? 0 : rc_cli_fail(&err);
}
