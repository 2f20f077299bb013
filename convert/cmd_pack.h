/* convert/cmd_pack.h - the command `recast pack`. */
#ifndef RC_CONVERT_CMD_PACK_H
#define RC_CONVERT_CMD_PACK_H

int rc_cmd_pack(int argc, char **argv);

#endif
