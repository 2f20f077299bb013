/* formats/absorb.c - see absorb.h. */
#include "formats/absorb.h"

#include <stdio.h>
#include <string.h>

static const char *const norms[RC_ABSORB_COUNT] = {
    [RC_ABSORB_ATTN] = "attn_norm.weight",
    [RC_ABSORB_Q] = "attn.q_norm.weight",
    [RC_ABSORB_FFN] = "ffn_norm.weight",
};

/* Names within a block; w1 and w3 of experts are told by their role. */
static const struct {
    const char *name;
    rc_absorb point;
} readers[] = {
    { "attn.wq_a.weight", RC_ABSORB_ATTN },
    { "attn.wkv.weight", RC_ABSORB_ATTN },
    { "attn.compressor.wkv.weight", RC_ABSORB_ATTN },
    { "attn.compressor.wgate.weight", RC_ABSORB_ATTN },
    { "attn.indexer.weights_proj.weight", RC_ABSORB_ATTN },
    { "attn.indexer.compressor.wkv.weight", RC_ABSORB_ATTN },
    { "attn.indexer.compressor.wgate.weight", RC_ABSORB_ATTN },
    { "attn.wq_b.weight", RC_ABSORB_Q },
    { "attn.indexer.wq_b.weight", RC_ABSORB_Q },
    { "ffn.gate.weight", RC_ABSORB_FFN },
};

/* What follows "layers.3." or "mtp.0."; NULL outside of a block. */
static const char *in_block(const rc_param *p)
{
    const char *dot = strchr(p->name, '.');

    if (!dot || (strncmp(p->name, "layers.", 7) != 0 && strncmp(p->name, "mtp.", 4) != 0))
        return NULL;
    dot = strchr(dot + 1, '.');
    return dot ? dot + 1 : NULL;
}

const char *rc_absorb_norm(rc_absorb point)
{
    return norms[point];
}

bool rc_absorb_is_norm(const rc_param *param, rc_absorb *point)
{
    const char *name = in_block(param);

    for (unsigned i = 0; name && i < RC_ABSORB_COUNT; i++)
        if (strcmp(name, norms[i]) == 0) {
            *point = (rc_absorb)i;
            return true;
        }
    return false;
}

bool rc_absorb_reads(const rc_param *param, rc_absorb *point)
{
    const char *name = in_block(param), *end;

    if (!name)
        return false;
    for (unsigned i = 0; i < sizeof readers / sizeof *readers; i++)
        if (strcmp(name, readers[i].name) == 0) {
            *point = readers[i].point;
            return true;
        }
    end = name + strlen(name) - strlen(".w1.weight");
    *point = RC_ABSORB_FFN;
    return (param->role == RC_ROLE_EXPERT || param->role == RC_ROLE_SHARED) &&
           (strcmp(end, ".w1.weight") == 0 || strcmp(end, ".w3.weight") == 0);
}

const char *rc_absorb_norm_name(const rc_param *reader, rc_absorb point, char buf[64])
{
    snprintf(buf, 64, "%.*s%s", (int)(in_block(reader) - reader->name), reader->name, norms[point]);
    return buf;
}
