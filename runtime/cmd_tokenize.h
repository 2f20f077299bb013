/* runtime/cmd_tokenize.h - `recast tokenize`: text to ids, and back. */
#ifndef RC_RUNTIME_CMD_TOKENIZE_H
#define RC_RUNTIME_CMD_TOKENIZE_H

/** `recast tokenize`: argv[0] is the command's name. Returns the exit code. */
int rc_cmd_tokenize(int argc, char **argv);

#endif
