/* convert/provenance.c - see provenance.h. */
#include "convert/provenance.h"

#include <string.h>

#include "formats/stream.h"

enum { PIECE = 1 << 20 }; /* bytes of a small file that are read at a time */

void rc_provenance_free(rc_provenance *p)
{
    rc_mem_put(p->arena.mem, p->source.at);
    rc_mem_put(p->arena.mem, p->output.at);
    rc_arena_free(&p->arena);
    *p = (rc_provenance){ .arena.mem = p->arena.mem };
}

static rc_code add(rc_provenance *p, rc_known_files *list, const rc_known_file *file, rc_err *err)
{
    const size_t room = list->room ? 2 * list->room : 32, len = strlen(file->name);
    rc_mem *mem = p->arena.mem;

    if (list->n == list->room) {
        void *grown = rc_mem_grow(mem, list->at, room * sizeof *list->at);

        if (!grown)
            return rc_fail_nomem(err, mem, room * sizeof *list->at);
        list->at = grown;
        list->room = room;
    }
    list->at[list->n] = *file;
    list->at[list->n].name = rc_arena_strdup(&p->arena, file->name, len);
    if (!list->at[list->n].name)
        return rc_fail_nomem(err, mem, len + 1);
    list->n++;
    return RC_OK;
}

rc_code rc_provenance_shard(rc_provenance *p, const rc_source *src, size_t file, rc_err *err)
{
    const rc_source_file *f = rc_source_at(src, file);
    rc_known_file known = { .name = f->name, .nbytes = f->nbytes, .content = f->content };

    if (f->content.kind != RC_CONTENT_UNKNOWN)
        known.how = rc_stream_verdict_of(src, file) == RC_STREAM_EQUAL ? "equal" : "stated";
    return add(p, &p->source, &known, err);
}

static rc_code digest_file(rc_content_id *id, rc_source *src, size_t file, rc_mem *mem, rc_err *err)
{
    const uint64_t nbytes = rc_source_at(src, file)->nbytes;
    uint8_t *buf = rc_mem_get(mem, PIECE);
    rc_content_hasher hasher;
    rc_code rc = buf ? RC_OK : rc_fail_nomem(err, mem, PIECE);

    rc_content_begin(&hasher, id->kind, nbytes);
    for (uint64_t at = 0; at < nbytes && rc == RC_OK; at += PIECE) {
        const size_t n = nbytes - at < PIECE ? (size_t)(nbytes - at) : PIECE;

        rc = rc_source_read(src, file, at, buf, n, err);
        if (rc == RC_OK)
            rc_content_add(&hasher, buf, n);
    }
    rc_mem_put(mem, buf);
    *id = rc_content_end(&hasher);
    return rc;
}

rc_code rc_provenance_small(rc_provenance *p, rc_source *src, size_t file, rc_err *err)
{
    const rc_source_file *f = rc_source_at(src, file);
    const bool stated = f->content.kind != RC_CONTENT_UNKNOWN;
    rc_known_file known = { .name = f->name,
                            .nbytes = f->nbytes,
                            .content.kind = stated ? f->content.kind : RC_CONTENT_SHA256,
                            .how = stated ? "equal" : "computed" };

    RC_TRY(digest_file(&known.content, src, file, p->arena.mem, err));
    if (stated && !rc_content_equal(&known.content, &f->content))
        return rc_source_fail_content(src, file, &known.content, err);
    return add(p, &p->source, &known, err);
}

rc_code rc_provenance_output(rc_provenance *p, const char *name, const void *data, size_t nbytes,
                             rc_err *err)
{
    rc_known_file known = { .name = name, .nbytes = nbytes, .how = "computed" };
    rc_content_hasher hasher;
    size_t i;

    rc_content_begin(&hasher, RC_CONTENT_SHA256, nbytes);
    rc_content_add(&hasher, data, nbytes);
    known.content = rc_content_end(&hasher);
    RC_TRY(add(p, &p->output, &known, err));
    known = p->output.at[p->output.n - 1];
    for (i = p->output.n - 1; i > 0 && strcmp(p->output.at[i - 1].name, name) > 0; i--)
        p->output.at[i] = p->output.at[i - 1];
    p->output.at[i] = known;
    return RC_OK;
}

static void write_files(rc_jsonw *w, const rc_known_files *list, bool how)
{
    char hex[RC_CONTENT_HEX];

    rc_jsonw_key(w, "files");
    rc_jsonw_array(w);
    for (size_t i = 0; i < list->n; i++) {
        const rc_known_file *f = &list->at[i];

        rc_jsonw_object(w);
        rc_jsonw_kstr(w, "file", f->name);
        rc_jsonw_ku64(w, "bytes", f->nbytes);
        if (f->content.kind != RC_CONTENT_UNKNOWN)
            rc_jsonw_kstr(w, f->content.kind == RC_CONTENT_GIT ? "git_blob" : "sha256",
                          rc_content_hex(&f->content, hex));
        if (how && f->how)
            rc_jsonw_kstr(w, "known", f->how);
        rc_jsonw_object_end(w);
    }
    rc_jsonw_array_end(w);
}

static void write_word(rc_jsonw *w, const char *key, const char *word)
{
    if (word)
        rc_jsonw_kstr(w, key, word);
}

void rc_write_source(rc_jsonw *w, const rc_source *src, const rc_provenance *p)
{
    const rc_source_origin *o = rc_source_origin_of(src);

    rc_jsonw_key(w, "origin");
    rc_jsonw_object(w);
    rc_jsonw_kstr(w, "kind", o->kind);
    write_word(w, "endpoint", o->endpoint);
    write_word(w, "repo", o->repo);
    write_word(w, "revision", o->revision);
    write_word(w, "commit", o->commit);
    write_word(w, "folder", o->folder);
    write_word(w, "url", o->url);
    rc_jsonw_object_end(w);
    write_files(w, &p->source, true);
}

void rc_write_outputs(rc_jsonw *w, const rc_provenance *p)
{
    write_files(w, &p->output, false);
}
