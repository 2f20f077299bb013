/* verify/draw.c - see draw.h. */
#include "verify/draw.h"

#include <stdlib.h>
#include <string.h>

#include "formats/base/hash.h"

enum { PLACES = 1 << 16 }; /* layers told apart: main ones, then those of the draft */

/* The cover takes the first of their kind, which are early ones: the blind draw needs an order that
 * is independent of it, or small groups would be drawn too rarely. */
struct lot {
    uint64_t cover, blind; /* places in the two orders */
    const rc_pair *pair;
};

static uint64_t big_endian(const uint8_t *p)
{
    uint64_t v = 0;

    for (unsigned i = 0; i < 8; i++)
        v = v << 8 | p[i];
    return v;
}

static struct lot lot_of(const rc_pair *p, uint64_t seed)
{
    uint8_t text[8 + 256];
    const size_t len = strnlen(p->name, 256);
    rc_digest d;

    for (unsigned i = 0; i < 8; i++)
        text[i] = (uint8_t)(seed >> 8 * i);
    memcpy(text + 8, p->name, len);
    d = rc_hash(text, 8 + len);
    return (struct lot){ big_endian(d.bytes), big_endian(d.bytes + 8), p };
}

static int in_order(uint64_t a, uint64_t b, const char *name_a, const char *name_b)
{
    return a != b ? (a < b ? -1 : 1) : strcmp(name_a, name_b);
}

static int by_cover(const void *a, const void *b)
{
    const struct lot *x = a, *y = b;

    return in_order(x->cover, y->cover, x->pair->name, y->pair->name);
}

static int by_blind(const void *a, const void *b)
{
    const struct lot *x = a, *y = b;

    return in_order(x->blind, y->blind, x->pair->name, y->pair->name);
}

/* 0 for what belongs to no layer. */
static size_t place_of(const rc_pair *p)
{
    if (p->layer < 0)
        return 0;
    return (size_t)(1 + 2 * (p->layer % (PLACES / 2 - 1)) + (p->draft ? 1 : 0));
}

struct cover {
    bool role[RC_ROLE_COUNT], *place; /* seen; place[PLACES] */
    bool *taken;
    const rc_pair *first;
    size_t n;
};

static void take(struct cover *c, const rc_pair *p)
{
    c->taken[p - c->first] = true;
    c->role[p->role] = true;
    c->place[place_of(p)] = true;
    c->n++;
}

/* Roles first, where it can be had in a layer not seen yet; then layers. */
static void cover(struct cover *c, const struct lot *lot, size_t n, size_t want)
{
    c->place[0] = true; /* no layer */
    for (unsigned pass = 0; pass < 3; pass++)
        for (size_t i = 0; i < n && c->n < want; i++) {
            const rc_pair *p = lot[i].pair;
            const bool new_place = !c->place[place_of(p)], new_role = !c->role[p->role];

            if (pass == 0   ? new_role && (new_place || p->layer < 0)
                : pass == 1 ? new_role
                            : new_place && c->n < want / 2)
                take(c, p);
        }
}

rc_code rc_draw(bool *taken, size_t *covered, const rc_pair *pair, size_t n, size_t want,
                uint64_t seed, rc_mem *mem, rc_err *err)
{
    struct lot *lot = rc_mem_get(mem, (n + 1) * sizeof *lot);
    struct cover c = { .taken = taken, .first = pair };
    rc_code rc = RC_OK;

    c.place = rc_mem_get(mem, PLACES * sizeof *c.place);
    if (!lot || !c.place) {
        rc = rc_fail_nomem(err, mem, n * sizeof *lot);
    } else {
        size_t left;

        for (size_t i = 0; i < n; i++) {
            taken[i] = false;
            lot[i] = lot_of(&pair[i], seed);
        }
        qsort(lot, n, sizeof *lot, by_cover);
        cover(&c, lot, n, want);
        qsort(lot, n, sizeof *lot, by_blind);
        left = want - c.n;
        for (size_t i = 0; i < n && left; i++) {
            bool *t = &taken[lot[i].pair - pair];

            left -= !*t;
            *t = true;
        }
    }
    *covered = c.n;
    rc_mem_put(mem, c.place);
    rc_mem_put(mem, lot);
    return rc;
}

/* Pairs are in the order of the model: those of a layer stand together. */
size_t rc_draw_layers(const rc_pair *pair, size_t n, const bool *taken)
{
    const rc_pair *last = NULL;
    size_t layers = 0;

    for (size_t i = 0; i < n; i++) {
        const rc_pair *p = &pair[i];

        if (p->layer < 0 || (taken && !taken[i]))
            continue;
        layers += !last || last->layer != p->layer || last->draft != p->draft;
        last = p;
    }
    return layers;
}

uint64_t rc_draw_fewer_than(uint64_t population, uint64_t drawn)
{
    const uint64_t unseen = population - drawn;
    double missed = 1;

    for (uint64_t d = 0; d < unseen; d++) {
        missed *= (double)(unseen - d) / (double)(population - d);
        if (missed <= 0.05)
            return d + 1;
    }
    return unseen + 1;
}
