/* formats/trie.h - words in a text: the leftmost, and of those that begin there the longest.
 *
 * As Aho-Corasick with "leftmost-longest" answers (what the `tokenizers` library asks it), but
 * by trying each place where a word may begin: words of a vocabulary are short and few. */
#ifndef RC_FORMATS_TRIE_H
#define RC_FORMATS_TRIE_H

#include "formats/base/mem.h"

typedef struct rc_trie_node {
    uint32_t child, next; /* first byte behind this one; another byte in its place; 0: none */
    uint32_t id;          /* of the word that ends here, + 1; 0: none */
    uint8_t byte;
} rc_trie_node;

/* Words, each with an id below 2^32 - 1. Begin with { .mem = mem }. */
typedef struct rc_trie {
    rc_mem *mem;
    rc_trie_node *nodes; /* [0] is the root */
    uint32_t count, room;
    bool begins[256]; /* does a word begin with this byte? */
} rc_trie;

/** Add a word of len > 0 bytes; one that is there already takes the new id. False when `mem`
 *  refuses. */
RC_MUST_CHECK
bool rc_trie_add(rc_trie *t, const char *word, size_t len, uint32_t id);
void rc_trie_free(rc_trie *t);

/** The next word in text[len] from `from` on; false when there is none. */
bool rc_trie_find(const rc_trie *t, const char *text, size_t len, size_t from, size_t *begin,
                  size_t *end, uint32_t *id);

#endif
