/* formats/int4_config.c - see int4_config.h. */
#include "formats/int4_config.h"

#include <string.h>

#include "formats/base/json.h"

enum { DEPTH = 5 }; /* quantization_config / config_groups / group_0 / weights / num_bits */

/* A description under way. */
typedef struct draft {
    rc_int4_says says;
    uint64_t bits;
    bool integer;
} draft;

typedef struct reader {
    rc_int4_config *out;
    char key[DEPTH + 1][24]; /* by depth, cut short */
    char format[32];         /* of all groups */
    draft awq, group;
} reader;

static bool is(const reader *r, unsigned depth, const char *name)
{
    return strcmp(r->key[depth], name) == 0;
}

static void keep_text(char *out, size_t room, const rc_json_event *e)
{
    if (e->type != RC_JSON_STRING || e->len >= room)
        return;
    memcpy(out, e->text, e->len);
    out[e->len] = '\0';
}

static void keep_number(uint64_t *out, const rc_json_event *e)
{
    uint64_t v;

    if (e->type == RC_JSON_NUMBER && rc_json_u64(e, &v))
        *out = v;
}

static void keep_group(uint32_t *out, const rc_json_event *e)
{
    uint64_t v = 0;

    keep_number(&v, e);
    *out = v < UINT32_MAX ? (uint32_t)v : 0;
}

static void on_awq(reader *r, const rc_json_event *e)
{
    if (is(r, 2, "bits") || is(r, 2, "w_bit"))
        keep_number(&r->awq.bits, e);
    else if (is(r, 2, "group_size") || is(r, 2, "q_group_size"))
        keep_group(&r->awq.says.group, e);
    else if (is(r, 2, "zero_point"))
        r->awq.says.symmetric = e->type == RC_JSON_FALSE;
    else if (is(r, 2, "version"))
        keep_text(r->out->version, sizeof r->out->version, e);
    else if (is(r, 2, "format"))
        keep_text(r->format, sizeof r->format, e);
}

static void on_weights(reader *r, const rc_json_event *e)
{
    draft *g = &r->group;

    if (is(r, 5, "num_bits"))
        keep_number(&g->bits, e);
    else if (is(r, 5, "type"))
        g->integer = e->type == RC_JSON_STRING && e->len == 3 && memcmp(e->text, "int", 3) == 0;
    else if (is(r, 5, "symmetric"))
        g->says.symmetric = e->type != RC_JSON_FALSE;
    else if (is(r, 5, "group_size"))
        keep_group(&g->says.group, e);
    else if (is(r, 5, "actorder"))
        keep_text(g->says.actorder, sizeof g->says.actorder, e);
}

static void hand_in(reader *r, const draft *d)
{
    if (d->bits == 4 && d->integer && r->out->n < RC_INT4_SAYS)
        r->out->at[r->out->n++] = d->says;
}

static rc_code on_event(void *ctx, const rc_json_event *e, rc_err *err)
{
    reader *r = ctx;
    const bool end = e->type == RC_JSON_OBJECT_END || e->type == RC_JSON_ARRAY_END;

    (void)err;
    if (e->type == RC_JSON_KEY && e->depth <= DEPTH) {
        const size_t n = e->len < sizeof r->key[0] ? e->len : sizeof r->key[0] - 1;

        memcpy(r->key[e->depth], e->text, n);
        r->key[e->depth][n] = '\0';
        return RC_OK;
    }
    if (e->depth < 2 || e->depth > DEPTH || !is(r, 1, "quantization_config"))
        return RC_OK;
    if (e->depth == 2 && !end) {
        on_awq(r, e);
        return RC_OK;
    }
    if (!is(r, 2, "config_groups"))
        return RC_OK;
    if (e->depth == 3 && e->type == RC_JSON_OBJECT)
        r->group = (draft){ .integer = true, .says.symmetric = true };
    else if (e->depth == 3 && e->type == RC_JSON_OBJECT_END)
        hand_in(r, &r->group);
    else if (e->depth == 4 && is(r, 4, "format"))
        keep_text(r->group.says.format, sizeof r->group.says.format, e);
    else if (e->depth == 5 && is(r, 4, "weights"))
        on_weights(r, e);
    return RC_OK;
}

rc_code rc_int4_config_parse(rc_int4_config *out, const uint8_t *text, size_t len, rc_mem *mem,
                             rc_err *err)
{
    reader r = { .out = out, .awq.integer = true };

    *out = (rc_int4_config){ 0 };
    RC_TRY(rc_json_parse(text, len, 0, on_event, &r, mem, err));
    hand_in(&r, &r.awq);
    for (unsigned i = 0; i < out->n; i++)
        if (!out->at[i].format[0])
            memcpy(out->at[i].format, r.format, sizeof r.format);
    return RC_OK;
}
