/* convert/part.c - see part.h. */
#include "convert/part.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "convert/execute.h"
#include "convert/publish.h"
#include "formats/base/stop.h"

enum { TRIES = 400, NAP_MS = 50 }; /* for the whole's lock: parts hold it for a moment only */

/* A folder of parts, or one that another part is just entering: it was empty before that one took
 * the whole's lock, and has the common file when it lets it go. */
static bool is_ours(const rc_plan *plan, const rc_dir *dir, const rc_plan_names *names)
{
    const bool folder = rc_plan_recipe(plan)->target != RC_TO_GGUF;

    if (folder && rc_dir_is_empty(dir))
        return true;
    if (folder && rc_dir_stat(dir, names->lock, NULL) && !rc_publish_is_complete(plan, dir))
        return true;
    return rc_dir_stat(dir, names->parts, NULL);
}

rc_code rc_part_refuse(const rc_plan *plan, const rc_dir *dir, bool *ours, rc_err *err)
{
    const bool whole = rc_plan_share(plan).count == 0;
    rc_plan_names names;

    rc_plan_whole_names(plan, &names);
    *ours = !whole && is_ours(plan, dir, &names);
    if (whole && rc_dir_stat(dir, names.parts, NULL)) {
        rc_fail(err, RC_E_RESUME, RC_NO_OFFSET, "an unfinished conversion in parts is here");
        rc_err_file(err, names.parts);
        rc_err_hint(err, "finish it: --part I/N, then recast join; or remove recast.part* from the "
                         "output to discard it");
        return RC_E_RESUME;
    }
    if (!whole && rc_dir_stat(dir, names.journal, NULL)) {
        rc_fail(err, RC_E_RESUME, RC_NO_OFFSET,
                "an unfinished conversion is here that is not in parts");
        rc_err_file(err, names.journal);
        rc_err_hint(err, "finish it with the same command, without --part; or remove this file to "
                         "discard it");
        return RC_E_RESUME;
    }
    return RC_OK;
}

/* ------------------------------------------------------------------ entering */

/* The others let it go within a moment; a whole run and join do not. */
static rc_code lock_whole(const rc_plan *plan, const rc_dir *dir, const rc_plan_names *names,
                          int *lock, rc_err *err)
{
    const struct timespec nap = { .tv_nsec = NAP_MS * 1000000L };
    rc_code rc = rc_dir_lock(dir, names->lock, lock, err);
    bool ours;

    for (unsigned i = 0; i < TRIES && rc == RC_E_LOCKED; i++) {
        RC_TRY(rc_part_refuse(plan, dir, &ours, err));
        RC_TRY(rc_stop_check(err));
        nanosleep(&nap, NULL);
        rc = rc_dir_lock(dir, names->lock, lock, err);
    }
    return rc;
}

void rc_part_describe(rc_parts *out, const rc_plan *plan, const rc_journal_id *id,
                      const rc_part_origin *origin, char hex[2][33])
{
    const rc_source *src = rc_ckpt_source(rc_model_ckpt(rc_plan_model(plan)));

    memset(out, 0, sizeof *out);
    out->count = rc_plan_share(plan).count;
    out->version = id->version;
    out->commit = rc_source_origin_of(src)->commit;
    out->recipe = id->recipe;
    out->recipe_digest = rc_digest_hex(&id->recipe_digest, hex[0]);
    out->source_digest = rc_digest_hex(&id->source_digest, hex[1]);
    if (!origin)
        return;
    out->source = origin->source;
    out->arguments =
        origin->arguments < RC_PARTS_MAX_ARGUMENTS ? origin->arguments : RC_PARTS_MAX_ARGUMENTS;
    for (size_t i = 0; i < out->arguments; i++)
        out->argument[i] = origin->argument[i];
}

/* Under the whole's lock. The first to come says what the work is. */
static rc_code agree(const rc_parts *now, const rc_dir *dir, const rc_plan_names *names,
                     rc_mem *mem, rc_err *err)
{
    rc_parts then;
    rc_code rc;

    if (!rc_dir_stat(dir, names->parts, NULL)) {
        RC_TRY(rc_dir_remove(dir, names->join, err)); /* of parts that were joined long ago */
        return rc_parts_write(now, dir, names->parts, mem, err);
    }
    RC_TRY(rc_parts_read(&then, dir, names->parts, mem, err));
    rc = rc_parts_agree(&then, now, names->parts, err);
    rc_parts_free(&then);
    return rc;
}

/* Once join has begun to give names there is no way back. */
static rc_code refuse_joined(const rc_plan *plan, const rc_dir *dir, const rc_plan_names *names,
                             const rc_journal_id *id, rc_mem *mem, rc_err *err)
{
    rc_journal *journal;
    bool publishing;

    if (!rc_dir_stat(dir, names->join, NULL))
        return RC_OK;
    RC_TRY(rc_journal_open(&journal, dir, names->join, id, rc_plan_jobs(plan), rc_plan_shards(plan),
                           false, NULL, mem, err));
    publishing = rc_journal_has_publish(journal);
    rc_journal_close(&journal);
    if (!publishing)
        return RC_OK;
    rc_fail(err, RC_E_RESUME, RC_NO_OFFSET, "the parts here are being joined");
    rc_err_file(err, names->join);
    rc_err_hint(err, "recast join finishes it");
    return RC_E_RESUME;
}

rc_code rc_part_enter(const rc_plan *plan, const rc_dir *dir, const rc_journal_id *id,
                      const rc_part_origin *origin, bool force, int *lock, rc_mem *mem, rc_err *err)
{
    rc_plan_names names;
    rc_parts now;
    char hex[2][33];
    int whole;
    bool ours;
    rc_code rc;

    *lock = -1;
    rc_plan_whole_names(plan, &names);
    rc_part_describe(&now, plan, id, origin, hex);
    now.replace = force;
    RC_TRY(lock_whole(plan, dir, &names, &whole, err));
    rc = rc_part_refuse(plan, dir, &ours, err);
    if (rc == RC_OK)
        rc = agree(&now, dir, &names, mem, err);
    if (rc == RC_OK)
        rc = refuse_joined(plan, dir, &names, id, mem, err);
    if (rc == RC_OK)
        rc = rc_dir_lock(dir, rc_plan_names_of(plan)->lock, lock, err);
    rc_dir_unlock(dir, names.lock, whole);
    return rc;
}

/* -------------------------------------------------------------------- state */

static bool has_shard_file(const rc_plan_shard *shard, const rc_dir *dir, bool named)
{
    char partial[RC_PARTIAL_NAME];
    uint64_t nbytes;

    if (rc_dir_stat(dir, rc_partial_name(shard, partial), &nbytes))
        return nbytes == shard->nbytes;
    return named && rc_dir_stat(dir, shard->name, &nbytes) && nbytes == shard->nbytes;
}

bool rc_part_is_finished(const rc_plan *plan, const rc_dir *dir, const rc_journal *journal,
                         bool named)
{
    for (size_t s = 0; s < rc_plan_shards(plan); s++)
        if (rc_plan_is_mine(plan, s) && (!rc_journal_has_shard(journal, s) ||
                                         !has_shard_file(rc_plan_shard_at(plan, s), dir, named)))
            return false;
    for (size_t i = 0; i < rc_plan_jobs(plan); i++)
        if (rc_plan_is_mine(plan, rc_plan_job(plan, i)->shard) && !rc_journal_result(journal, i))
            return false;
    return true;
}

rc_code rc_part_spoil_join(const rc_plan *plan, const rc_dir *dir, rc_err *err)
{
    return rc_dir_remove(dir, rc_plan_names_of(plan)->join, err);
}
