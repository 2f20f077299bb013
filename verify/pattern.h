/* verify/pattern.h - regular expressions of others' configs, matched as Python's re.match() does.
 *
 * Names of modules are what they are matched against, so there is what such patterns use: literals,
 * . * + ? | ( ) (?: ) [..] ^ $ \d \w \s \D \W \S and escaped characters; greedy or lazy makes no
 * difference to yes or no. A pattern may be hostile: time is bounded by its length times the
 * text's, and nothing is allocated. */
#ifndef RC_VERIFY_PATTERN_H
#define RC_VERIFY_PATTERN_H

typedef enum rc_pattern_answer {
    RC_PATTERN_NO,
    RC_PATTERN_YES,
    RC_PATTERN_UNKNOWN /* malformed, too long, or of a kind that is not understood */
} rc_pattern_answer;

/** Does the pattern match at the beginning of the text (not necessarily all of it)? */
rc_pattern_answer rc_pattern_match(const char *pattern, const char *text);

#endif
