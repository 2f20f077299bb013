/* convert/synth_text.h - the text that a synthetic checkpoint's tokenizer is trained on.
 *
 * Written for this: some prose about checkpoints, code, numbers, and the same few sentences in
 * several scripts, so that merges of each kind come out. */
#ifndef RC_CONVERT_SYNTH_TEXT_H
#define RC_CONVERT_SYNTH_TEXT_H

/** Paragraphs of UTF-8; NULL ends the list. */
extern const char *const rc_synth_text[];

#endif
