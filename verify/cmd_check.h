#ifndef RC_VERIFY_CMD_CHECK_H
#define RC_VERIFY_CMD_CHECK_H

/** `recast check`: argv[0] is the command's name. Returns the exit code. */
int rc_cmd_check(int argc, char **argv);

#endif
