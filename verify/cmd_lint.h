#ifndef RC_VERIFY_CMD_LINT_H
#define RC_VERIFY_CMD_LINT_H

/** `recast lint`: argv[0] is the command's name. Returns the exit code. */
int rc_cmd_lint(int argc, char **argv);

#endif
