/* formats/gguf_names.h - where a parameter of the schema lies in a GGUF file.
 *
 * The native checkpoint has a tensor per expert; GGUF stacks the experts of a layer into
 * one 3-D tensor, expert outermost, and joins an MTP block's e_proj and h_proj side by side
 * into one matrix. A *place* says which rows and columns of which GGUF tensor are one
 * parameter's.
 * Source: llama.cpp conversion/deepseek.py (DeepseekV4Model, DeepseekV4DSparkModel),
 * gguf-py/gguf/constants.py; ds4 for its MTP file. */
#ifndef RC_FORMATS_GGUF_NAMES_H
#define RC_FORMATS_GGUF_NAMES_H

#include "formats/config.h"
#include "formats/gguf.h"
#include "formats/schema.h"

/* The files that hold (a part of) a model. */
typedef enum rc_gguf_kind {
    RC_GGUF_MAIN,   /* deepseek4 without draft */
    RC_GGUF_EMBED,  /* deepseek4, MTP blocks as blk.<layers>.. behind the main ones; no root
                       tensors of the draft's (its hc_head_* have no place) */
    RC_GGUF_MTP,    /* mainline's separate draft: deepseek4 with only the MTP blocks, and the
                       embedding, norm and head of the model; output_hc_* are the draft's */
    RC_GGUF_DSPARK, /* mainline's separate draft of DSpark: arch dflash */
    RC_GGUF_MTP_DS4 /* ds4's separate draft: mtp.0.* names */
} rc_gguf_kind;

typedef struct rc_gguf_place {
    char name[RC_GGUF_MAX_NAME + 1];
    unsigned rank;                    /* of the GGUF tensor */
    uint64_t shape[RC_GGUF_MAX_RANK]; /* outermost first; experts: [experts, rows, cols] */
    uint64_t row, col;                /* of the parameter's first element; rows count through
                                         the stack */
    bool part;                        /* the tensor holds other parameters besides */
} rc_gguf_place;

/** False when the parameter has no place in that kind of file (a draft's in MAIN, gate.bias
 *  of a hash layer, ..). Names are never longer than GGUF allows. */
bool rc_gguf_place_of(rc_gguf_place *out, const rc_param *param, const rc_config *config,
                      rc_gguf_kind kind);

#endif
