/* convert/plan_share.c - which output shards a run makes: see "A plan is of the whole" in plan.h.
 */
#include <stdio.h>
#include <string.h>

#include "convert/plan_impl.h"

bool rc_share_parse(const char *text, rc_share *out)
{
    uint32_t n[2] = { 0 };

    for (unsigned i = 0; i < 2; i++) {
        const char *from = text;

        while (*text >= '0' && *text <= '9' && n[i] <= RC_SHARE_MAX)
            n[i] = n[i] * 10 + (uint32_t)(*text++ - '0');
        if (text == from || *from == '0' || n[i] > RC_SHARE_MAX || *text++ != (i ? '\0' : '/'))
            return false;
    }
    *out = (rc_share){ .no = n[0], .count = n[1] };
    return n[0] <= n[1];
}

/* How many runs of shards, none above `most` bytes, there have to be. */
static size_t runs_below(const rc_plan *p, uint64_t most)
{
    uint64_t sum = 0;
    size_t runs = 1;

    for (size_t i = 0; i < p->nshards; i++) {
        if (sum && p->shards[i].nbytes > most - sum) {
            runs++;
            sum = 0;
        }
        sum += p->shards[i].nbytes;
    }
    return runs;
}

/* The least size that the largest of `count` runs can have. */
static uint64_t least_most(const rc_plan *p, uint32_t count)
{
    uint64_t low = 0, high = 0;

    for (size_t i = 0; i < p->nshards; i++) {
        low = p->shards[i].nbytes > low ? p->shards[i].nbytes : low;
        high += p->shards[i].nbytes;
    }
    while (low < high) {
        const uint64_t middle = low + (high - low) / 2;

        if (runs_below(p, middle) <= count)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* Where run `no` (from 0) begins, each taking as much as it may and leaving one shard at least to
 * each that follows. */
static size_t run_begin(const rc_plan *p, uint32_t no, uint32_t count, uint64_t most)
{
    size_t at = 0;

    for (uint32_t k = 0; k < no; k++) {
        uint64_t sum = p->shards[at++].nbytes;

        while (p->nshards - at > count - 1 - k && p->shards[at].nbytes <= most - sum)
            sum += p->shards[at++].nbytes;
    }
    return at;
}

static rc_code refuse_many(const rc_plan *p, rc_share share, rc_err *err)
{
    rc_fail(err, RC_E_USAGE, RC_NO_OFFSET,
            "--part %u/%u: the result has %zu shard%s, a part is at least one of them", share.no,
            share.count, p->nshards, p->nshards == 1 ? "" : "s");
    rc_err_hint(err, "%s BYTES makes more of them, each smaller; or take fewer parts",
                p->recipe.target == RC_TO_GGUF ? "--split-size" : "--shard-size");
    return RC_E_USAGE;
}

static const char *stem_of(const rc_plan *p)
{
    return p->recipe.target == RC_TO_GGUF ? p->recipe.stem : NULL;
}

rc_code rc_plan_take_share(rc_plan *p, rc_share share, rc_err *err)
{
    if (share.count > p->nshards)
        return refuse_many(p, share, err);
    p->share = share;
    p->mine = 0;
    p->nmine = p->nshards;
    if (share.count) {
        const uint64_t most = least_most(p, share.count);

        p->mine = run_begin(p, share.no - 1, share.count, most);
        p->nmine = share.no == share.count ? p->nshards - p->mine
                                           : run_begin(p, share.no, share.count, most) - p->mine;
    }
    rc_plan_name_files(&p->names, stem_of(p), share);
    return RC_OK;
}

rc_share rc_plan_share(const rc_plan *p)
{
    return p->share;
}

bool rc_plan_is_mine(const rc_plan *p, size_t shard)
{
    return shard >= p->mine && shard - p->mine < p->nmine;
}

rc_share_size rc_plan_share_size(const rc_plan *p)
{
    rc_share_size size = { .first = p->mine, .shards = p->nmine };

    for (size_t s = p->mine; s < p->mine + p->nmine; s++) {
        size.tensor_bytes += p->shards[s].tensor_bytes;
        size.file_bytes += p->shards[s].nbytes;
    }
    for (size_t i = 0; i < p->njobs; i++) {
        if (!rc_plan_is_mine(p, p->jobs[i].shard))
            continue;
        size.jobs++;
        for (unsigned part = 0; part < RC_PART_COUNT; part++) {
            const rc_tensor *t = rc_job_in(&p->jobs[i], (rc_part)part);

            size.read_bytes += t ? t->nbytes : 0;
        }
    }
    return size;
}

void rc_plan_name_files(rc_plan_names *n, const char *stem, rc_share share)
{
    const char *dot = stem ? "." : "";
    char part[40] = "";

    stem = stem ? stem : "";
    if (share.count)
        snprintf(part, sizeof part, "part-%u-of-%u.", share.no, share.count);
    snprintf(n->journal, sizeof n->journal, "%.200s%srecast.%sjournal", stem, dot, part);
    snprintf(n->smooth, sizeof n->smooth, "%.200s%srecast.%ssmooth", stem, dot, part);
    snprintf(n->source, sizeof n->source, "%.200s%srecast.%ssource", stem, dot, part);
    snprintf(n->blocks, sizeof n->blocks, "%.200s%srecast.%sblocks", stem, dot, part);
    snprintf(n->state, sizeof n->state, "%.200s%srecast.%sstate", stem, dot, part);
    snprintf(n->lock, sizeof n->lock, ".%.200s%srecast.%slock", stem, dot, part);
    snprintf(n->ledger, sizeof n->ledger, "%.200s%srecast.jsonl", stem, dot);
    snprintf(n->summary, sizeof n->summary, "%.200s%srecast.json", stem, dot);
    snprintf(n->parts, sizeof n->parts, "%.200s%srecast.parts.json", stem, dot);
    snprintf(n->join, sizeof n->join, "%.200s%srecast.join.journal", stem, dot);
}

void rc_plan_whole_names(const rc_plan *p, rc_plan_names *names)
{
    rc_plan_name_files(names, stem_of(p), (rc_share){ 0 });
}
