/* convert/cmd_unpack.h - the command `recast unpack`. */
#ifndef RC_CONVERT_CMD_UNPACK_H
#define RC_CONVERT_CMD_UNPACK_H

int rc_cmd_unpack(int argc, char **argv);

#endif
