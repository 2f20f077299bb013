/* verify/agree_files.c - the files beside the weights. */
#include <stdio.h>
#include <string.h>

#include "formats/index.h"
#include "verify/agree.h"

enum { PIECE = 1 << 20 };
#define MAX_COMPARED ((uint64_t)1 << 28) /* bytes; a tokenizer.json has 10 MB */

static bool ends_with(const char *s, const char *suffix)
{
    const size_t n = strlen(s), k = strlen(suffix);

    return n >= k && strcmp(s + n - k, suffix) == 0;
}

/* Judged elsewhere, or written anew by every converter. */
static bool is_ours(const char *name)
{
    return ends_with(name, ".safetensors") || strcmp(name, RC_INDEX_NAME) == 0 ||
           strcmp(name, "config.json") == 0;
}

/* Without these a server answers with the wrong words. */
static bool is_needed(const char *name)
{
    return strcmp(name, "tokenizer.json") == 0 || strcmp(name, "tokenizer_config.json") == 0 ||
           strcmp(name, "generation_config.json") == 0 || strncmp(name, "chat_template", 13) == 0 ||
           strncmp(name, "encoding/", 9) == 0;
}

static rc_code same_bytes(bool *same, rc_source *a, size_t i, rc_source *b, size_t j,
                          uint64_t nbytes, uint8_t *buf, rc_err *err)
{
    *same = true;
    for (uint64_t off = 0; off < nbytes && *same; off += PIECE) {
        const size_t n = nbytes - off < PIECE ? (size_t)(nbytes - off) : PIECE;

        RC_TRY(rc_source_read(a, i, off, buf, n, err));
        RC_TRY(rc_source_read(b, j, off, buf + PIECE, n, err));
        *same = memcmp(buf, buf + PIECE, n) == 0;
    }
    return RC_OK;
}

rc_code rc_agree_side_files(rc_findings *out, const rc_subject *a, const rc_subject *b, rc_mem *mem,
                            rc_err *err)
{
    rc_source *sa = rc_ckpt_source(a->ckpt), *sb = rc_ckpt_source(b->ckpt);
    uint8_t *buf;
    rc_code rc = RC_OK;
    char path[512];

    if (rc_ckpt_gguf(a->ckpt) || rc_ckpt_gguf(b->ckpt)) /* has none: they are inside */
        return RC_OK;
    buf = rc_mem_get(mem, (size_t)2 * PIECE);
    if (!buf)
        return rc_fail_nomem(err, mem, (size_t)2 * PIECE);
    for (size_t i = 0; i < rc_source_count(sa) && rc == RC_OK; i++) {
        const rc_source_file *f = rc_source_at(sa, i);
        const rc_level level = is_needed(f->name) ? RC_WARNING : RC_NOTE;
        bool same = true;
        size_t j;

        if (is_ours(f->name))
            continue;
        snprintf(path, sizeof path, "%s/%s", rc_source_where(sb), f->name);
        if (!rc_source_find(sb, f->name, &j)) {
            rc_findings_add(out, level, RC_OK, "side files", path, NULL,
                            "NATIVE has this file, CONVERTED has not");
            continue;
        }
        if (rc_source_at(sb, j)->nbytes != f->nbytes)
            same = false;
        else if (f->nbytes <= MAX_COMPARED)
            rc = same_bytes(&same, sa, i, sb, j, f->nbytes, buf, err);
        if (rc == RC_OK && !same)
            rc_findings_add(out, level, RC_OK, "side files", path, NULL,
                            "the bytes are not NATIVE's");
    }
    rc_mem_put(mem, buf);
    if (rc == RC_OK && out->nomem)
        rc = rc_fail_nomem(err, mem, sizeof(rc_finding));
    return rc;
}
