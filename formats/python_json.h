/* formats/python_json.h - a JSON value as Python's json.dumps(value, ensure_ascii=False) writes
 * it: the spelling of schemas and arguments in DeepSeek-V4's prompts.
 *
 * ", " between elements, ": " behind keys, members in their order; only the quote, the backslash
 * and control characters are escaped; a number with a point or an exponent is a double, in the
 * fewest digits that read back. Source: Python's json.encoder and float.__repr__. */
#ifndef RC_FORMATS_PYTHON_JSON_H
#define RC_FORMATS_PYTHON_JSON_H

#include "formats/base/json_tree.h"
#include "formats/base/text.h"

/** Append the value. What runs out of memory shows in out->failed. */
void rc_python_json(rc_text *out, const rc_json_node *value);

#endif
