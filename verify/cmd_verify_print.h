/* verify/cmd_verify_print.h - what `verify` says on the terminal. For cmd_verify.c only. */
#ifndef RC_VERIFY_CMD_VERIFY_PRINT_H
#define RC_VERIFY_CMD_VERIFY_PRINT_H

#include "verify/outcome.h"

/** Print everything on stdout, at most 100 columns wide but for names: who is compared, roles,
 *  behaviour, layers, ablation, gates, findings, the worst parameters, the verdict. Under --quiet
 * only the warnings among the findings, on stderr. */
void rc_verify_print(const rc_outcome *o);

/** The command line as a shell takes it again, for rc_provenance.command: words that need it stand
 *  in single quotes, options that change no answer (threads, memory, reports) are left out. */
void rc_verify_command(rc_text *out, int argc, char *const *argv);

#endif
