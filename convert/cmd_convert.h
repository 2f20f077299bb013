/* convert/cmd_convert.h - `recast convert`. */
#ifndef RC_CONVERT_CMD_CONVERT_H
#define RC_CONVERT_CMD_CONVERT_H

#include "convert/cmd_join.h"

int rc_cmd_convert(int argc, char **argv);

/** The command line of a conversion, for what `join` says instead of converting; NULL: to convert.
 */
int rc_cmd_convert_or_join(int argc, char **argv, const rc_join_how *join);

#endif
