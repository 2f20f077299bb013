/* formats/bpe_load.c - see bpe_load.h.
 *
 * What the parser of tokenizer.json warns of concerns a GGUF file to be written; whatever keeps a
 * text from being encoded is an error of rc_bpe_new(). So parsers get no log here. */
#include "formats/bpe_load.h"

#include <string.h>
#include <sys/stat.h>

#include "formats/archive.h"
#include "formats/hub_address.h"

#define TOKENIZER "tokenizer.json"
#define CONFIG    "tokenizer_config.json"

/* A file of the source, whole; *text is NULL when it is not there. */
static rc_code slurp(rc_source *src, const char *name, uint8_t **text, size_t *len, rc_mem *mem,
                     rc_err *err)
{
    size_t i;
    rc_code rc;

    *text = NULL;
    *len = 0;
    if (!rc_source_find(src, name, &i))
        return RC_OK;
    rc = rc_source_slurp(src, i, RC_TOKENIZER_MAX_BYTES, text, len, mem, err);
    rc_err_file(rc == RC_OK ? NULL : err, name);
    return rc;
}

static rc_code fail_missing(const char *name, rc_err *err)
{
    rc_fail(err, RC_E_NOINPUT, RC_NO_OFFSET, "not there: no text can be read or written");
    rc_err_file(err, name);
    rc_err_hint(err, "fetch it from the release that the weights are of, or give ids: --tokens "
                     "needs no tokenizer");
    return RC_E_NOINPUT;
}

/* From the files of a folder. vocab_size 0: that of the file. */
static rc_code parse_files(rc_tokenizer **out, rc_source *src, const char *name,
                           uint32_t vocab_size, rc_mem *mem, rc_err *err)
{
    uint8_t *json = NULL, *config = NULL;
    size_t json_len, config_len;
    rc_code rc;

    *out = NULL;
    RC_TRY_GOTO(rc, done, slurp(src, name, &json, &json_len, mem, err));
    if (!json) {
        rc = fail_missing(name, err);
        goto done;
    }
    RC_TRY_GOTO(rc, done, slurp(src, CONFIG, &config, &config_len, mem, err));
    rc = rc_tokenizer_parse(out, json, json_len, config, config_len, vocab_size, NULL, mem, err);
done:
    rc_mem_put(mem, json);
    rc_mem_put(mem, config);
    return rc;
}

static rc_code finish(rc_bpe **out, rc_tokenizer **t, const char *file, rc_code rc, rc_mem *mem,
                      rc_err *err)
{
    *out = NULL;
    if (rc == RC_OK)
        rc = rc_bpe_new(out, t, mem, err);
    rc_err_file(rc == RC_OK ? NULL : err, file);
    return rc;
}

rc_code rc_bpe_of_ckpt(rc_bpe **out, const rc_ckpt *ckpt, rc_mem *mem, rc_err *err)
{
    const uint32_t vocab_size = rc_ckpt_config(ckpt)->vocab_size;
    const rc_gguf *gguf = rc_ckpt_gguf(ckpt);
    const char *file = TOKENIZER;
    rc_tokenizer *t = NULL;
    rc_code rc;

    if (gguf) {
        file = rc_ckpt_shard(ckpt, 0)->name;
        rc = rc_tokenizer_from_gguf(&t, gguf, vocab_size, NULL, mem, err);
        if (rc == RC_E_NOINPUT)
            rc_err_hint(err, "give ids: --tokens needs no tokenizer");
    } else {
        rc = parse_files(&t, rc_ckpt_source(ckpt), TOKENIZER, vocab_size, mem, err);
    }
    return finish(out, &t, file, rc, mem, err);
}

/* ------------------------------------------------------------------- by name */

static bool is_gguf(const char *where)
{
    static const char end[] = ".gguf";
    const size_t n = strlen(where), k = sizeof end - 1;

    return n > k && strcmp(where + n - k, end) == 0;
}

static bool is_folder(const char *where)
{
    struct stat st;

    return stat(where, &st) == 0 && S_ISDIR(st.st_mode);
}

static bool is_remote(const char *where)
{
    return rc_is_hub_address(where) || rc_is_web_address(where);
}

static rc_code open_gguf(rc_bpe **out, const char *where, const rc_source_opts *opts,
                         const rc_log *log, rc_mem *mem, rc_err *err)
{
    rc_source *src;
    rc_ckpt *ckpt;
    rc_code rc;

    *out = NULL;
    RC_TRY(rc_source_open(&src, where, opts, mem, err));
    RC_TRY(rc_ckpt_open(&ckpt, src, log, mem, err));
    rc = rc_bpe_of_ckpt(out, ckpt, mem, err);
    rc_ckpt_close(&ckpt);
    return rc;
}

/* The folder of a path, and the name in it. False when the path is too long. */
static bool split_path(const char *where, char folder[4096], const char **name)
{
    const char *slash = strrchr(where, '/');
    const size_t n = slash ? (size_t)(slash - where) : 0;

    *name = slash ? slash + 1 : where;
    if (n >= 4096)
        return false;
    memcpy(folder, where, n);
    folder[n] = '\0';
    if (n == 0)
        strcpy(folder, slash ? "/" : ".");
    return true;
}

rc_code rc_bpe_open(rc_bpe **out, const char *where, const rc_source_opts *opts, const rc_log *log,
                    rc_mem *mem, rc_err *err)
{
    const char *folder = where, *name = TOKENIZER;
    char path[4096];
    rc_tokenizer *t = NULL;
    rc_source *src;
    rc_code rc;

    *out = NULL;
    if (is_gguf(where))
        return open_gguf(out, where, opts, log, mem, err);
    if (!is_remote(where) && !is_folder(where) && !rc_archive_is_name(where)) {
        if (!split_path(where, path, &name))
            return rc_fail(err, RC_E_NOINPUT, RC_NO_OFFSET, "the path is too long");
        folder = path;
    }
    RC_TRY(rc_source_open(&src, folder, opts, mem, err));
    rc = parse_files(&t, src, name, 0, mem, err);
    rc_source_close(&src);
    return finish(out, &t, name, rc, mem, err);
}
