#ifndef RC_CONVERT_CMD_CONVERT_H
#define RC_CONVERT_CMD_CONVERT_H

/** `recast convert`: argv[0] is the command's name. Returns the exit code. */
int rc_cmd_convert(int argc, char **argv);

#endif
