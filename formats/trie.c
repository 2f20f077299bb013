/* formats/trie.c - nodes in one array; the children of a node are a list. */
#include "formats/trie.h"

/* The child with that byte, or 0. */
static uint32_t step(const rc_trie *t, uint32_t node, uint8_t byte)
{
    uint32_t k = t->nodes[node].child;

    while (k && t->nodes[k].byte != byte)
        k = t->nodes[k].next;
    return k;
}

/* A new node, or 0. The root comes first, so that no other is 0. */
static uint32_t add_node(rc_trie *t, uint32_t parent, uint8_t byte)
{
    if (t->count + 1 >= t->room) {
        const uint32_t room = t->room ? 2 * t->room : 64;
        rc_trie_node *grown = rc_mem_grow(t->mem, t->nodes, room * sizeof *grown);

        if (!grown)
            return 0;
        t->nodes = grown;
        t->room = room;
    }
    if (t->count == 0)
        t->nodes[t->count++] = (rc_trie_node){ 0 };
    t->nodes[t->count] = (rc_trie_node){ .next = t->nodes[parent].child, .byte = byte };
    t->nodes[parent].child = t->count;
    return t->count++;
}

bool rc_trie_add(rc_trie *t, const char *word, size_t len, uint32_t id)
{
    uint32_t node = 0;

    for (size_t i = 0; i < len; i++) {
        const uint8_t byte = (uint8_t)word[i];
        uint32_t next = t->count ? step(t, node, byte) : 0;

        if (!next)
            next = add_node(t, node, byte);
        if (!next)
            return false;
        node = next;
    }
    t->nodes[node].id = id + 1;
    t->begins[(uint8_t)word[0]] = true;
    return true;
}

void rc_trie_free(rc_trie *t)
{
    rc_mem_put(t->mem, t->nodes);
    *t = (rc_trie){ .mem = t->mem };
}

/* The longest word at the head of text[len]: its length, or 0. */
static size_t longest(const rc_trie *t, const char *text, size_t len, uint32_t *id)
{
    size_t found = 0;
    uint32_t node = 0;

    for (size_t i = 0; i < len; i++) {
        node = step(t, node, (uint8_t)text[i]);
        if (!node)
            break;
        if (t->nodes[node].id) {
            *id = t->nodes[node].id - 1;
            found = i + 1;
        }
    }
    return found;
}

bool rc_trie_find(const rc_trie *t, const char *text, size_t len, size_t from, size_t *begin,
                  size_t *end, uint32_t *id)
{
    for (size_t i = from; i < len; i++) {
        size_t n;

        if (!t->begins[(uint8_t)text[i]])
            continue;
        n = longest(t, text + i, len - i, id);
        if (n) {
            *begin = i;
            *end = i + n;
            return true;
        }
    }
    return false;
}
