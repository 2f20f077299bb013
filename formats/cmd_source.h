/* formats/cmd_source.h - options and environment of commands that open checkpoints. */
#ifndef RC_FORMATS_CMD_SOURCE_H
#define RC_FORMATS_CMD_SOURCE_H

#include "formats/base/cli.h"
#include "formats/source.h"

/** For rc_cmd.group. Where an argument lies on a server, the environment is read too: HF_ENDPOINT,
 *  HF_TOKEN or the token's file (HF_TOKEN_PATH, HF_HOME), HF_HUB_OFFLINE. */
extern const rc_opt_group rc_source_group;

/** What was said, once rc_cli_parse() is through; for rc_source_open(). */
const rc_source_opts *rc_cmd_sources(void);

/** What a command is to write, or NULL: an address is told of. The exit code, or -1. */
int rc_cmd_refuse_address(const char *dst);

#endif
