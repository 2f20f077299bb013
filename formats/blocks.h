/* formats/blocks.h - how many weights share one scale. */
#ifndef RC_FORMATS_BLOCKS_H
#define RC_FORMATS_BLOCKS_H

#define RC_FP4_GROUP 32u  /* weights of one row under one E8M0 scale of an FP4 matrix */
#define RC_FP8_TILE  128u /* rows, and columns, under one scale of an FP8 matrix */

#endif
