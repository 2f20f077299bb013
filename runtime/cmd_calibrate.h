/* runtime/cmd_calibrate.h - `recast calibrate`. */
#ifndef RC_RUNTIME_CMD_CALIBRATE_H
#define RC_RUNTIME_CMD_CALIBRATE_H

int rc_cmd_calibrate(int argc, char **argv);

#endif
