/* formats/chat_template.c - chat_template.jinja as a string: read by people as a file, by
 * programs from the library. The assembler takes it in; a C string of that length would be
 * beyond what the standard asks of a compiler, and hard to read. */
#include "formats/tokenizer.h"

extern const char rc_chat_template_text[];

__asm__(".pushsection .rodata\n"
        ".global rc_chat_template_text\n"
        "rc_chat_template_text:\n"
        ".incbin \"formats/chat_template.jinja\"\n"
        ".byte 0\n"
        ".popsection\n");

const char *rc_chat_template(void)
{
    return rc_chat_template_text;
}
