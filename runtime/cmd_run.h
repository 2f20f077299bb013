#ifndef RC_RUNTIME_CMD_RUN_H
#define RC_RUNTIME_CMD_RUN_H

/** `recast run`: argv[0] is the command's name. Returns the exit code. */
int rc_cmd_run(int argc, char **argv);

#endif
