/* runtime/calibration_text.c - see calibration_text.h. The assembler takes the files in, as it does
 * with formats/chat_template.jinja. */
#include "runtime/calibration_text.h"

#include <string.h>

#include "formats/chat.h"

/* A file of the tree as bytes: NAME_begin .. NAME_end. */
#define TAKE_IN(name, path)                                                                        \
    extern const char rc_##name##_begin[], rc_##name##_end[];                                      \
    __asm__(".pushsection .rodata\n"                                                               \
            ".global rc_" #name "_begin\n"                                                         \
            "rc_" #name "_begin:\n"                                                                \
            ".incbin \"" path "\"\n"                                                               \
            ".global rc_" #name "_end\n"                                                           \
            "rc_" #name "_end:\n"                                                                  \
            ".popsection\n")

#define TEXTS "runtime/calibration_text/"

TAKE_IN(text_english, TEXTS "english.txt");
TAKE_IN(text_languages, TEXTS "languages.txt");
TAKE_IN(text_more_languages, TEXTS "more_languages.txt");
TAKE_IN(text_mathematics, TEXTS "mathematics.md");
TAKE_IN(text_code, TEXTS "code.txt");
TAKE_IN(text_data, TEXTS "data.txt");
TAKE_IN(text_plain_attention, "runtime/plain_attention.c");
TAKE_IN(text_plain_experts, "runtime/plain_experts.c");
TAKE_IN(text_pairs, "kernels/pairs_avx2.c");
TAKE_IN(text_train_sample, "scripts/train-sample");
TAKE_IN(text_test, "scripts/test");
TAKE_IN(text_reliability, "docs/reliability.md");
TAKE_IN(text_chats, TEXTS "chats.jsonl");

static rc_code add_conversations(rc_text *out, const char *begin, const char *end, rc_err *err);

static void add(rc_text *out, const char *begin, const char *end)
{
    rc_text_add(out, begin, (size_t)(end - begin));
    rc_text_put(out, "\n\n");
}

rc_code rc_calibration_text(rc_text *out, rc_err *err)
{
    add(out, rc_text_english_begin, rc_text_english_end);
    RC_TRY(add_conversations(out, rc_text_chats_begin, rc_text_chats_end, err));
    add(out, rc_text_languages_begin, rc_text_languages_end);
    add(out, rc_text_plain_attention_begin, rc_text_plain_attention_end);
    add(out, rc_text_mathematics_begin, rc_text_mathematics_end);
    add(out, rc_text_code_begin, rc_text_code_end);
    add(out, rc_text_train_sample_begin, rc_text_train_sample_end);
    add(out, rc_text_more_languages_begin, rc_text_more_languages_end);
    add(out, rc_text_data_begin, rc_text_data_end);
    add(out, rc_text_pairs_begin, rc_text_pairs_end);
    add(out, rc_text_test_begin, rc_text_test_end);
    add(out, rc_text_reliability_begin, rc_text_reliability_end);
    add(out, rc_text_plain_experts_begin, rc_text_plain_experts_end);
    return out->failed ? rc_fail_nomem(err, out->mem, out->room) : RC_OK;
}

/* -- conversations ------------------------------------------------------------ */

/* The file is one conversation a line, so that it can be read and cut without a parser; those that
 * begin with a space think. */
static rc_code add_conversations(rc_text *out, const char *begin, const char *end, rc_err *err)
{
    for (const char *at = begin; at < end;) {
        const char *eol = memchr(at, '\n', (size_t)(end - at));
        const size_t len = (size_t)((eol ? eol : end) - at);
        const rc_chat_opts opts = { .thinking = len && *at == ' ', .keep_reasoning = true };

        if (len)
            RC_TRY(rc_chat_messages(out, at, len, &opts, err));
        at += len + 1;
    }
    return RC_OK;
}
