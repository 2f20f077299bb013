/* runtime/calib_state.h - what a calibration needs to go on after a crash; see calibrate.h. */
#ifndef RC_RUNTIME_CALIB_STATE_H
#define RC_RUNTIME_CALIB_STATE_H

#include "formats/base/hash.h"
#include "formats/base/io.h"
#include "runtime/forward.h"

/* Whose state it is. */
typedef struct rc_calib_id {
    rc_digest model, tokens, options;
} rc_calib_id;

typedef struct rc_calib_state {
    rc_calib_id id;
    uint32_t next;     /* layer */
    uint32_t few;      /* experts topped up so far */
    uint32_t slot;     /* which of the two files has the streams */
    uint32_t finished; /* the statistics are whole: only names are to be put right */
    rc_digest streams;
} rc_calib_state;

/** The state in `name`. *found false: there is none. RC_E_INTEGRITY one that is damaged. */
RC_MUST_CHECK
rc_code rc_calib_state_read(const rc_dir *dir, const char *name, rc_calib_state *state, bool *found,
                            rc_err *err);
/** Put it there, whole or not at all, and on the disk. */
RC_MUST_CHECK
rc_code rc_calib_state_put(const rc_dir *dir, const char *name, const rc_calib_state *state,
                           rc_err *err);
/** RC_E_RESUME when the state is not `mine`: says what is another. */
RC_MUST_CHECK
rc_code rc_calib_state_match(const rc_calib_state *state, const rc_calib_id *mine, rc_err *err);

/** The streams of `tokens` tokens of `wide` values to a file and back, with their digest. Loading:
 *  RC_E_INTEGRITY when it is not `digest`. */
RC_MUST_CHECK
rc_code rc_calib_streams_save(rc_forward *f, rc_out *out, size_t tokens, size_t wide,
                              rc_digest *digest, rc_mem *mem, rc_err *err);
RC_MUST_CHECK
rc_code rc_calib_streams_load(rc_forward *f, rc_out *out, size_t tokens, size_t wide,
                              const rc_digest *digest, rc_mem *mem, rc_err *err);

#endif
