/* formats/base/names.c - linear probing, at most half full. */
#include "formats/base/names.h"

#include <string.h>
#include <xxhash.h>

void rc_names_init(rc_names *t, rc_mem *mem, rc_names_at *at, const void *owner)
{
    *t = (rc_names){ .mem = mem, .at = at, .owner = owner };
    t->seed = (uint64_t)(uintptr_t)owner * UINT64_C(0xff51afd7ed558ccd) ^ (uintptr_t)&t;
}

static void enter(rc_names *t, size_t i)
{
    const char *name = t->at(t->owner, i);
    size_t s = (size_t)XXH3_64bits_withSeed(name, strlen(name), t->seed) & (t->nslots - 1);

    while (t->slot[s])
        s = (s + 1) & (t->nslots - 1);
    t->slot[s] = (uint32_t)i + 1;
}

bool rc_names_reserve(rc_names *t, size_t count)
{
    size_t nslots = t->nslots ? t->nslots : 64;
    uint32_t *old = t->slot;
    const size_t nold = t->nslots;

    while (nslots / 2 < count)
        nslots *= 2;
    if (nslots == t->nslots)
        return true;
    t->slot = rc_mem_get(t->mem, nslots * sizeof *t->slot);
    if (!t->slot) {
        t->slot = old;
        return false;
    }
    t->nslots = nslots;
    for (size_t i = 0; i < nold; i++)
        if (old[i])
            enter(t, old[i] - 1);
    rc_mem_put(t->mem, old);
    return true;
}

bool rc_names_add(rc_names *t, size_t i)
{
    if (!rc_names_reserve(t, t->count + 1))
        return false;
    enter(t, i);
    t->count++;
    return true;
}

size_t rc_names_find(const rc_names *t, const char *name, size_t len)
{
    if (!t->nslots)
        return RC_NAMES_NONE;
    for (size_t s = (size_t)XXH3_64bits_withSeed(name, len, t->seed) & (t->nslots - 1); t->slot[s];
         s = (s + 1) & (t->nslots - 1)) {
        const char *have = t->at(t->owner, t->slot[s] - 1);

        if (strncmp(have, name, len) == 0 && !have[len])
            return t->slot[s] - 1;
    }
    return RC_NAMES_NONE;
}

void rc_names_free(rc_names *t)
{
    if (t->mem)
        rc_mem_put(t->mem, t->slot);
    t->slot = NULL;
    t->nslots = t->count = 0;
}
