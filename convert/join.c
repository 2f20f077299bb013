/* convert/join.c - see join.h. */
#include "convert/join.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "convert/publish.h"
#include "convert/readback.h"
#include "formats/base/par.h"

typedef struct join {
    rc_plan *plan;
    rc_dir dir;
    const rc_join_opts *opts;
    rc_mem *mem;
    rc_journal_id id;
    rc_plan_names names; /* of the whole */
    rc_parts parts;
    rc_journal *journal; /* join's own */
    rc_smooth *smooth;
    bool *unfinished; /* by part, from 0 */
    bool running;     /* one of them is under way now */
} join;

/* ---------------------------------------------------------- what the parts left */

/* What the part found must be what its tensors depend on. */
static rc_code take_scalings(join *j, const rc_journal *journal, rc_err *err)
{
    const rc_digest identity = rc_hash(&j->id, sizeof j->id);
    const char *name = rc_plan_names_of(j->plan)->smooth;
    rc_smooth *found;
    uint64_t bound;
    rc_code rc = rc_smooth_kept(&found, j->plan, &j->dir, name, &identity, j->mem, err);

    if (rc != RC_OK || !found)
        return rc;
    if (!rc_journal_bound(journal, &bound) || bound != rc_smooth_digest(found)) {
        rc = rc_fail(err, RC_E_RESUME, RC_NO_OFFSET,
                     "other scalings of channels than the part's tensors were made with");
        rc_err_file(err, name);
        rc_err_hint(err, "make this part anew: the same command with --restart");
    } else if (!j->smooth) {
        j->smooth = found;
        return RC_OK;
    } else {
        rc = rc_smooth_merge(j->smooth, found, err);
    }
    rc_smooth_free(&found);
    return rc;
}

static rc_code take_results(join *j, const rc_journal *journal, rc_err *err)
{
    for (size_t i = 0; i < rc_plan_jobs(j->plan); i++)
        if (rc_plan_is_mine(j->plan, rc_plan_job(j->plan, i)->shard) &&
            !rc_journal_result(j->journal, i))
            RC_TRY(rc_journal_add(j->journal, i, rc_journal_result(journal, i), err));
    return RC_OK;
}

/* A part's journal, under its lock: nobody is writing it. */
static rc_code take_journal(join *j, bool *finished, rc_err *err)
{
    rc_journal *journal;
    rc_code rc;

    *finished = false;
    if (!rc_dir_stat(&j->dir, rc_plan_names_of(j->plan)->journal, NULL))
        return RC_OK;
    RC_TRY(rc_journal_open(&journal, &j->dir, rc_plan_names_of(j->plan)->journal, &j->id,
                           rc_plan_jobs(j->plan), rc_plan_shards(j->plan), false, j->opts->log,
                           j->mem, err));
    *finished = rc_part_is_finished(j->plan, &j->dir, journal, rc_journal_has_publish(j->journal));
    rc = *finished ? take_results(j, journal, err) : RC_OK;
    if (rc == RC_OK && *finished) {
        rc = take_scalings(j, journal, err);
        if (rc == RC_E_NOINPUT) { /* the same command finds them again */
            *finished = false;
            rc = RC_OK;
        }
    }
    rc_journal_close(&journal);
    return rc;
}

static rc_code take_part(join *j, uint32_t no, rc_err *err)
{
    const char *lock_name;
    bool finished = false;
    int lock;
    rc_code rc;

    RC_TRY(rc_plan_take_share(j->plan, (rc_share){ .no = no, .count = j->parts.count }, err));
    lock_name = rc_plan_names_of(j->plan)->lock;
    rc = rc_dir_lock(&j->dir, lock_name, &lock, err);
    if (rc == RC_OK) {
        rc = take_journal(j, &finished, err);
        rc_dir_unlock(&j->dir, lock_name, lock);
    } else if (rc == RC_E_LOCKED) {
        j->running = true;
        rc = RC_OK;
    }
    j->unfinished[no - 1] = !finished;
    return rc;
}

/* "2, 5-7" */
static size_t list_unfinished(const join *j, char *buf, size_t n)
{
    size_t at = 0, count = 0;

    buf[0] = '\0';
    for (uint32_t k = 0; k < j->parts.count; k++) {
        uint32_t last = k;

        if (!j->unfinished[k])
            continue;
        while (last + 1 < j->parts.count && j->unfinished[last + 1])
            last++;
        count += last - k + 1;
        if (at + 32 < n)
            at += (size_t)snprintf(buf + at, n - at, last > k ? "%s%u-%u" : "%s%u", at ? ", " : "",
                                   k + 1, last + 1);
        else if (at + 8 < n)
            at += (size_t)snprintf(buf + at, n - at, ", ..");
        k = last;
    }
    return count;
}

static void hint_command(const join *j, uint32_t no, rc_err *err)
{
    char line[160] = "";
    size_t at = 0;

    for (size_t i = 0; i < j->parts.arguments && at < sizeof line; i++)
        at += (size_t)snprintf(line + at, sizeof line - at, " %s", j->parts.argument[i]);
    if (at < 60 && strlen(j->parts.source) + strlen(j->dir.path) < 70 &&
        rc_plan_recipe(j->plan)->target != RC_TO_GGUF)
        rc_err_hint(err, "for each: recast convert %s %s%s --part %u/%u", j->parts.source,
                    j->dir.path, line, no, j->parts.count);
    else
        rc_err_hint(err, "for each the same command as for the others, with --part %u/%u, ..", no,
                    j->parts.count);
}

static rc_code refuse_unfinished(const join *j, rc_err *err)
{
    char list[96];
    const size_t n = list_unfinished(j, list, sizeof list);
    uint32_t first = 0;
    rc_code rc;

    if (n == 0)
        return RC_OK;
    while (!j->unfinished[first])
        first++;
    rc = rc_fail(err, j->running ? RC_E_LOCKED : RC_E_NOINPUT, RC_NO_OFFSET,
                 "part%s %s of %u %s missing or unfinished%s", n > 1 ? "s" : "", list,
                 j->parts.count, n > 1 ? "are" : "is", j->running ? ", and at work" : "");
    rc_err_file(err, j->dir.path);
    if (j->running)
        rc_err_hint(err, "wait for what is at work, then join again");
    else
        hint_command(j, first + 1, err);
    return rc;
}

static rc_code take_parts(join *j, rc_err *err)
{
    rc_code rc = RC_OK;
    rc_err ignored;

    j->unfinished = rc_mem_get(j->mem, j->parts.count * sizeof *j->unfinished);
    if (!j->unfinished)
        return rc_fail_nomem(err, j->mem, j->parts.count);
    for (uint32_t no = 1; no <= j->parts.count && rc == RC_OK; no++)
        rc = take_part(j, no, err);
    if (rc_plan_take_share(j->plan, (rc_share){ 0 }, &ignored) != RC_OK && rc == RC_OK)
        rc = rc_fail(err, RC_E_INTERNAL, RC_NO_OFFSET, "a plan that is not of the whole");
    return rc == RC_OK ? refuse_unfinished(j, err) : rc;
}

/* ------------------------------------------------------------------- checking */

/* One shard that is read back by several. */
typedef struct check {
    const join *j;
    size_t shard;
    rc_out *out;
    const size_t *jobs;
    uint8_t *buf[RC_PAR_MAX_SLOTS];
} check;

static const char *file_of(const join *j, size_t shard, char buf[RC_PARTIAL_NAME])
{
    const rc_plan_shard *s = rc_plan_shard_at(j->plan, shard);

    rc_partial_name(s, buf);
    if (!rc_dir_stat(&j->dir, buf, NULL) && rc_journal_has_publish(j->journal))
        snprintf(buf, RC_PARTIAL_NAME, "%s", s->name);
    return buf;
}

static uint32_t part_of(const join *j, size_t shard)
{
    uint32_t no = 1;
    rc_err ignored;

    while (no < j->parts.count) {
        const rc_code rc =
            rc_plan_take_share(j->plan, (rc_share){ .no = no, .count = j->parts.count }, &ignored);

        if (rc == RC_OK && rc_plan_is_mine(j->plan, shard))
            break;
        no++;
    }
    if (rc_plan_take_share(j->plan, (rc_share){ 0 }, &ignored) != RC_OK)
        return 0;
    return no;
}

/* Which tensor, once the crew has stopped. */
static rc_code fail_differs(const join *j, size_t shard, const rc_dest *d, rc_err *err)
{
    char name[RC_PARTIAL_NAME];

    rc_fail(err, RC_E_INTEGRITY, d ? d->begin : 0, "not the bytes that its part wrote");
    if (d)
        rc_err_tensor(err, d->name);
    rc_err_file(err, file_of(j, shard, name));
    return RC_E_INTEGRITY;
}

static rc_code check_job(void *ctx, rc_par *par, unsigned slot, uint64_t item, rc_err *err)
{
    const check *c = ctx;
    const size_t i = c->jobs[item];
    const rc_job *job = rc_plan_job(c->j->plan, i);
    const rc_dest *differs;
    rc_code rc;

    rc_par_compute_begin(par);
    rc = rc_readback(c->out, job, rc_journal_result(c->j->journal, i), c->buf[slot], &differs, err);
    rc_par_compute_end(par);
    if (rc == RC_OK && differs)
        rc = fail_differs(c->j, c->shard, differs, err);
    for (unsigned part = 0; part < RC_PART_COUNT && c->j->opts->progress; part++)
        atomic_fetch_add(&c->j->opts->progress->done, job->out[part].nbytes);
    return rc;
}

static rc_code check_head(const check *c, rc_err *err)
{
    const rc_plan_shard *s = rc_plan_shard_at(c->j->plan, c->shard);

    for (size_t off = 0; off < s->head_len; off += RC_READBACK) {
        const size_t n = s->head_len - off < RC_READBACK ? s->head_len - off : RC_READBACK;

        RC_TRY(rc_out_read(c->out, off, c->buf[0], n, err));
        if (memcmp(c->buf[0], s->head + off, n) != 0)
            return fail_differs(c->j, c->shard, NULL, err);
    }
    return RC_OK;
}

static rc_code check_shard(check *c, size_t *jobs, rc_err *err)
{
    const join *j = c->j;
    const rc_plan_shard *shard = rc_plan_shard_at(j->plan, c->shard);
    char name[RC_PARTIAL_NAME];
    rc_err ignored;
    size_t n = 0;
    rc_code rc, closed;

    for (size_t i = 0; i < rc_plan_jobs(j->plan); i++)
        if (rc_plan_job(j->plan, i)->shard == c->shard)
            jobs[n++] = i;
    RC_TRY(rc_out_open(&c->out, &j->dir, file_of(j, c->shard, name), shard->nbytes, RC_OUT_RESUME,
                       j->mem, err));
    rc = check_head(c, err);
    if (rc == RC_OK)
        rc = rc_par_run(n, j->opts->threads, j->opts->threads, check_job, c, err);
    closed = rc_out_close(&c->out, rc == RC_OK ? err : &ignored);
    return rc == RC_OK ? closed : rc;
}

static void name_part(const join *j, size_t shard, rc_err *err)
{
    const uint32_t no = part_of(j, shard);

    if (err->code != RC_E_INTEGRITY)
        return;
    snprintf(err->msg, sizeof err->msg, "not the bytes that part %u/%u wrote", no, j->parts.count);
    rc_err_hint(err, "remove this file, run --part %u/%u again, then join", no, j->parts.count);
}

/* Shard by shard, each noted; those that an earlier join has checked are not read again. */
static rc_code check_shards(join *j, rc_err *err)
{
    const unsigned slots = j->opts->threads;
    size_t *jobs = rc_mem_get(j->mem, rc_plan_jobs(j->plan) * sizeof *jobs);
    check c = { .j = j, .jobs = jobs };
    rc_code rc = jobs ? RC_OK : rc_fail_nomem(err, j->mem, rc_plan_jobs(j->plan) * sizeof *jobs);

    for (unsigned i = 0; i < slots && rc == RC_OK; i++) {
        c.buf[i] = rc_mem_get_pages(j->mem, RC_READBACK);
        if (!c.buf[i])
            rc = rc_fail_nomem(err, j->mem, RC_READBACK);
    }
    for (c.shard = 0; c.shard < rc_plan_shards(j->plan) && rc == RC_OK; c.shard++) {
        if (rc_journal_has_shard(j->journal, c.shard)) {
            if (j->opts->progress) {
                const uint64_t n = rc_plan_shard_at(j->plan, c.shard)->tensor_bytes;

                atomic_fetch_add(&j->opts->progress->done, n);
                atomic_fetch_add(&j->opts->progress->kept, n);
            }
            continue;
        }
        rc = check_shard(&c, jobs, err);
        if (rc == RC_OK)
            rc = rc_journal_add_shard(j->journal, c.shard, err);
        else
            name_part(j, c.shard, err);
    }
    for (unsigned i = 0; i < slots; i++)
        rc_mem_put(j->mem, c.buf[i]);
    rc_mem_put(j->mem, jobs);
    return rc;
}

/* ------------------------------------------------------------------------ end */

typedef struct leftovers {
    const rc_dir *dir;
    char begin[RC_PLAN_NAME + 16]; /* "recast.part-" */
    rc_err *err;
    rc_code rc;
} leftovers;

static bool remove_leftover(void *ctx, const char *name)
{
    leftovers *l = ctx;
    const size_t n = strlen(l->begin), dot = name[0] == '.';

    if (strncmp(name + dot, l->begin, n) == 0)
        l->rc = rc_dir_remove(l->dir, name, l->err);
    return l->rc != RC_OK;
}

/* What only the parts needed. As long as the common file is there somebody may ask again, and the
 * record of publishing says that all is well. */
static rc_code clean_up(const join *j, rc_err *err)
{
    const size_t stem = strlen(j->names.parts) - strlen("s.json");
    leftovers l = { .dir = &j->dir, .err = err };

    snprintf(l.begin, sizeof l.begin, "%.*s-", (int)stem, j->names.parts);
    (void)rc_dir_any(&j->dir, remove_leftover, &l);
    RC_TRY(l.rc);
    RC_TRY(rc_dir_remove(&j->dir, j->names.parts, err));
    RC_TRY(rc_dir_sync(&j->dir, err));
    return rc_dir_remove(&j->dir, j->names.join, err);
}

static rc_code publish(join *j, rc_convert_report *report, double started, rc_err *err)
{
    const rc_finished done = { j->plan, j->journal, j->smooth };

    RC_TRY(rc_totals_of(&done, &report->totals, err));
    report->run.seconds = rc_now() - started;
    return rc_publish(&done, &j->dir, &report->run, &report->totals, j->parts.replace, j->opts->log,
                      j->mem, err);
}

/* Is the plan that of the parts? */
static rc_code same_work(join *j, rc_err *err)
{
    char hex[2][33];
    rc_parts now;

    RC_TRY(rc_parts_read(&j->parts, &j->dir, j->names.parts, j->mem, err));
    rc_part_describe(&now, j->plan, &j->id, NULL, hex);
    now.count = j->parts.count;
    RC_TRY(rc_parts_agree(&j->parts, &now, j->names.parts, err));
    if (j->parts.count <= rc_plan_shards(j->plan))
        return RC_OK;
    rc_fail(err, RC_E_DATA, RC_NO_OFFSET, "more parts than shards");
    rc_err_file(err, j->names.parts);
    return RC_E_DATA;
}

static rc_code run_locked(join *j, rc_convert_report *report, rc_err *err)
{
    const double started = rc_now();

    RC_TRY(same_work(j, err));
    RC_TRY(rc_publish_check_sides(j->plan, err));
    RC_TRY(rc_publish_rehearse(j->plan, j->mem, err));
    RC_TRY(rc_journal_open(&j->journal, &j->dir, j->names.join, &j->id, rc_plan_jobs(j->plan),
                           rc_plan_shards(j->plan), false, j->opts->log, j->mem, err));
    report->run.resumed = rc_journal_is_resumed(j->journal);
    report->already_complete =
        rc_journal_has_publish(j->journal) && rc_publish_is_complete(j->plan, &j->dir);
    if (!report->already_complete) {
        RC_TRY(take_parts(j, err));
        if (!j->opts->trust)
            RC_TRY(check_shards(j, err));
        RC_TRY(publish(j, report, started, err));
    }
    return clean_up(j, err);
}

rc_code rc_join(rc_plan *plan, const char *dst, const rc_join_opts *opts, rc_convert_report *report,
                rc_mem *mem, rc_err *err)
{
    join j = { .plan = plan, .opts = opts, .mem = mem, .id = rc_convert_identity(plan) };
    char folder[PATH_MAX];
    int lock;
    rc_code rc;

    memset(report, 0, sizeof *report);
    rc_plan_whole_names(plan, &j.names);
    RC_TRY(rc_dir_open(&j.dir, rc_convert_folder(plan, dst, folder), false, err));
    rc = rc_dir_lock(&j.dir, j.names.lock, &lock, err);
    if (rc == RC_OK) {
        rc = run_locked(&j, report, err);
        rc_smooth_free(&j.smooth);
        rc_journal_close(&j.journal);
        rc_parts_free(&j.parts);
        rc_mem_put(mem, j.unfinished);
        rc_dir_unlock(&j.dir, j.names.lock, lock);
    }
    rc_dir_close(&j.dir);
    return rc;
}
