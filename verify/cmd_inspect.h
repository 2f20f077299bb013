#ifndef RC_VERIFY_CMD_INSPECT_H
#define RC_VERIFY_CMD_INSPECT_H

/** `recast inspect`: argv[0] is the command's name. Returns the exit code. */
int rc_cmd_inspect(int argc, char **argv);

#endif
