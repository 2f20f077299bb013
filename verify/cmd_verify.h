#ifndef RC_VERIFY_CMD_VERIFY_H
#define RC_VERIFY_CMD_VERIFY_H

/** `recast verify`: argv[0] is the command's name. Returns the exit code. */
int rc_cmd_verify(int argc, char **argv);

#endif
