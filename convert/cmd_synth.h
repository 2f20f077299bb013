#ifndef RC_CONVERT_CMD_SYNTH_H
#define RC_CONVERT_CMD_SYNTH_H

/** `recast synth`: argv[0] is the command's name. Returns the exit code. */
int rc_cmd_synth(int argc, char **argv);

#endif
