//  journal_pages.c - whether the pages of an LMDB file hang together; see journal_pages.h

#include "journal_pages.h"
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define MAGIC 0xBEEFC0DEu
#define VERSION 1u
#define METAS 2u
#define DEPTH_MAX 32 //  LMDB's own

//  Pages that were used and freed in one transaction may lie behind the end of the file. There are less
//  than that; it bounds what a head that is damaged makes us allocate.
#define BEYOND_MAX (UINT64_C(1) << 24)

enum { BRANCH = 1, LEAF = 2, OVERFLOW = 4, META = 8 }; //  flags of a page
enum { BIG = 1 }; //  flag of a node: the value lies in overflow pages
enum { INTEGER_KEYS = 8, NO_FOLDER = 0x4000 }; //  flags of the tree of what is free

//  ---- the format, in the machine's byte order ---------------------------------------------------

typedef struct {
    uint64_t number;
    uint16_t unused, flags;
    union {
        struct {
            uint16_t lower, upper; //  of the room between the list of nodes and the nodes
        };
        uint32_t pages; //  of a run of overflow pages
    };
    uint16_t nodes[]; //  where each node begins
} page_t;

typedef struct {
    uint16_t low, high; //  size of the value; or, with flags, number of the child page
    uint16_t flags, key_size;
    uint8_t key[]; //  then the value, in a leaf
} node_t;

typedef struct {
    uint32_t page_size; //  of the file, in the first tree
    uint16_t flags, depth;
    uint64_t branches, leaves, overflows, entries;
    uint64_t root;
} tree_t;

typedef struct {
    uint32_t magic, version;
    uint64_t address, map_size;
    tree_t free, records;
    uint64_t last; //  page that is used
    uint64_t transaction;
} meta_t;

#define NONE UINT64_MAX //  root of an empty tree

//  ---- the walk ----------------------------------------------------------------------------------

typedef struct {
    const uint8_t *bytes;
    uint64_t size, page_size;
    uint64_t last; //  page
    uint8_t *used; //  a bit a page
    const char *wrong; //  the first thing; NULL: nothing yet
} pages_t;

typedef struct {
    const uint8_t *bytes;
    size_t size;
} key_bytes_t;

//  A tree that is walked, and what was found of it.
typedef struct {
    pages_t *pages;
    bool integers; //  its keys are transactions, its values the pages that each has freed
    uint64_t freed_by; //  the last transaction that is named there
    uint16_t depth;
    uint64_t branches, leaves, overflows, entries;
} walk_t;

static bool s_fail(pages_t *self, const char *wrong)
{
    if (!self->wrong)
        self->wrong = wrong;
    return false;
}

//  Marks pages as used, which must be there and used by nobody else.
static bool s_use(pages_t *self, uint64_t number, uint64_t count)
{
    if (number < METAS || number > self->last || count > self->last - number + 1)
        return s_fail(self, "a page is named that is not there");
    for (uint64_t i = number; i < number + count; i++) {
        uint8_t bit = (uint8_t)(1u << i % 8);
        if (self->used[i / 8] & bit)
            return s_fail(self, "a page is used twice");
        self->used[i / 8] |= bit;
    }
    return true;
}

//  The page of this number: NULL if the file does not have it whole. What is free need not be in it.
static const page_t *s_page(pages_t *self, uint64_t number, uint64_t count)
{
    uint64_t pages = self->size / self->page_size;
    if (number < pages && count <= pages - number)
        return (const page_t *)(self->bytes + number * self->page_size);
    s_fail(self, "a page is named that is not there");
    return NULL;
}

//  ---- nodes -------------------------------------------------------------------------------------

static size_t s_node_count(const page_t *page)
{
    return (page->lower - offsetof(page_t, nodes)) / sizeof(uint16_t);
}

static const node_t *s_node(const page_t *page, size_t i)
{
    return (const node_t *)((const uint8_t *)page + page->nodes[i]);
}

static key_bytes_t s_key(const node_t *node)
{
    return (key_bytes_t){node->key, node->key_size};
}

static size_t s_value_size(const node_t *node)
{
    return (size_t)node->high << 16 | node->low;
}

static uint64_t s_child(const node_t *node)
{
    return (uint64_t)node->flags << 32 | (uint64_t)node->high << 16 | node->low;
}

static uint64_t s_number(const uint8_t *at)
{
    uint64_t number;
    memcpy(&number, at, sizeof number);
    return number;
}

static int s_compare(const walk_t *self, key_bytes_t a, key_bytes_t b)
{
    if (self->integers) {
        uint64_t left = s_number(a.bytes), right = s_number(b.bytes);
        return (left > right) - (left < right);
    }
    int order = memcmp(a.bytes, b.bytes, a.size < b.size ? a.size : b.size);
    return order ? order : (a.size > b.size) - (a.size < b.size);
}

//  True if the node, with its key and what a leaf has of its value, lies in the page.
static bool s_node_fits(const walk_t *self, const page_t *page, size_t i)
{
    uint64_t end = self->pages->page_size, at = page->nodes[i];
    if (at < page->upper || at % 2 || at + sizeof(node_t) > end)
        return false;
    const node_t *node = s_node(page, i);
    uint64_t size = sizeof *node + node->key_size;
    if (page->flags == LEAF)
        size += node->flags & BIG ? sizeof(uint64_t) : s_value_size(node);
    return at + size <= end;
}

//  The keys of a page ascend from `low` (NULL: none) to below `high`. The first one of a branch means
//  nothing.
static bool s_keys_ascend(const walk_t *self, const page_t *page, const key_bytes_t *low,
                          const key_bytes_t *high)
{
    key_bytes_t before = low ? *low : (key_bytes_t){0};
    for (size_t i = page->flags == BRANCH; i < s_node_count(page); i++) {
        key_bytes_t key = s_key(s_node(page, i));
        if (self->integers && key.size != sizeof(uint64_t))
            return false;
        int order = before.bytes ? s_compare(self, before, key) : -1;
        bool may_be_same = i == 0; //  as the parent's key
        if (order > 0 || (order == 0 && !may_be_same) || (high && s_compare(self, key, *high) >= 0))
            return false;
        before = key;
    }
    return true;
}

static bool s_page_is_sound(const walk_t *self, const page_t *page, uint64_t number, unsigned kind,
                            const key_bytes_t *low, const key_bytes_t *high)
{
    size_t head = offsetof(page_t, nodes);
    if (page->number != number || page->flags != kind || page->lower <= head || page->lower % 2 ||
        page->lower > page->upper || page->upper > self->pages->page_size)
        return s_fail(self->pages, "the head of a page is wrong");
    for (size_t i = 0; i < s_node_count(page); i++)
        if (!s_node_fits(self, page, i))
            return s_fail(self->pages, "an entry does not lie in its page");
    if (!s_keys_ascend(self, page, low, high))
        return s_fail(self->pages, "keys are out of order");
    return true;
}

//  ---- values ------------------------------------------------------------------------------------

//  The overflow pages that a large value lies in, which may be more than it needs: its bytes, or NULL.
static const uint8_t *s_big_value(walk_t *self, const node_t *node)
{
    uint64_t number = s_number(node->key + node->key_size), head = offsetof(page_t, nodes);
    uint64_t needed = (s_value_size(node) + head - 1) / self->pages->page_size + 1;
    const page_t *page = s_page(self->pages, number, needed);
    if (!page)
        return NULL;
    if (page->number != number || page->flags != OVERFLOW || page->pages < needed) {
        s_fail(self->pages, "the head of a large value is wrong");
        return NULL;
    }
    self->overflows += page->pages;
    return s_use(self->pages, number, page->pages) ? (const uint8_t *)page + head : NULL;
}

//  A list of free pages, the greatest first, behind their number.
static bool s_free_pages(pages_t *self, const uint8_t *value, size_t size)
{
    uint64_t count = size >= sizeof count ? s_number(value) : UINT64_MAX;
    if (size % sizeof count || count > size / sizeof count - 1)
        return s_fail(self, "a list of free pages is wrong");
    for (uint64_t i = 1, before = UINT64_MAX; i <= count; i++) {
        uint64_t number = s_number(value + i * sizeof number);
        if (number >= before)
            return s_fail(self, "a list of free pages is out of order");
        if (!s_use(self, number, 1))
            return false;
        before = number;
    }
    return true;
}

static bool s_walk_value(walk_t *self, const node_t *node)
{
    const uint8_t *value = node->key + node->key_size;
    if (node->flags & ~BIG)
        return s_fail(self->pages, "an entry is of no known kind");
    if (node->flags & BIG)
        value = s_big_value(self, node);
    if (!value)
        return false;
    if (!self->integers)
        return true;
    self->freed_by = s_number(node->key);
    return s_free_pages(self->pages, value, s_value_size(node));
}

//  ---- trees -------------------------------------------------------------------------------------

//  A page of the tree and all below it, whose keys lie from `low` to below `high` (NULL: no bound).
static bool s_walk_page(walk_t *self, uint64_t number, unsigned depth, const key_bytes_t *low,
                        const key_bytes_t *high)
{
    bool leaf = depth == self->depth;
    const page_t *page = s_page(self->pages, number, 1);
    if (!page || !s_use(self->pages, number, 1) ||
        !s_page_is_sound(self, page, number, leaf ? LEAF : BRANCH, low, high))
        return false;
    size_t count = s_node_count(page);
    self->leaves += leaf;
    self->branches += !leaf;
    self->entries += leaf ? count : 0;
    bool sound = true;
    for (size_t i = 0; i < count && sound; i++) {
        const node_t *node = s_node(page, i);
        key_bytes_t from = s_key(node), to = i + 1 < count ? s_key(s_node(page, i + 1)) : from;
        sound = leaf ? s_walk_value(self, node)
                     : s_walk_page(self, s_child(node), depth + 1, i ? &from : low,
                                   i + 1 < count ? &to : high);
    }
    return sound;
}

static bool s_walk_tree(pages_t *pages, const meta_t *meta, const tree_t *tree)
{
    walk_t self = {.pages = pages,
                   .integers = tree == &meta->free,
                   .freed_by = meta->transaction,
                   .depth = tree->depth};
    bool empty = tree->root == NONE;
    if (tree->depth > DEPTH_MAX || empty != (tree->depth == 0))
        return s_fail(pages, "a tree's depth is wrong");
    if (!empty && !s_walk_page(&self, tree->root, 1, NULL, NULL))
        return false;
    if (self.branches != tree->branches || self.leaves != tree->leaves ||
        self.overflows != tree->overflows || self.entries != tree->entries)
        return s_fail(pages, "pages or entries are missing");
    if (self.freed_by != meta->transaction)
        return s_fail(pages, "the head is not that of the last transaction");
    return true;
}

//  ---- the head of the file ----------------------------------------------------------------------

//  The file's head stands twice, in its first two pages: transactions write them by turns.
static const meta_t *s_meta(const pages_t *self, uint64_t number)
{
    const page_t *page = (const page_t *)(self->bytes + number * self->page_size);
    const meta_t *meta = (const meta_t *)((const uint8_t *)page + offsetof(page_t, nodes));
    bool sound = page->number == number && page->flags == META && meta->magic == MAGIC &&
                 meta->version == VERSION && meta->free.page_size == self->page_size &&
                 (meta->free.flags & ~NO_FOLDER) == INTEGER_KEYS && meta->records.flags == 0 &&
                 meta->last >= METAS - 1 && meta->last < self->size / self->page_size + BEYOND_MAX;
    return sound && (meta->transaction == 0 || meta->transaction % METAS == number) ? meta : NULL;
}

//  Reads both heads, the later one first, which is the one that holds: the other one is of the
//  transaction before.
static bool s_heads(pages_t *self, const meta_t *heads[METAS])
{
    uint64_t least = offsetof(page_t, nodes) + sizeof(meta_t);
    if (self->size < least)
        return false;
    self->page_size = ((const meta_t *)(self->bytes + offsetof(page_t, nodes)))->free.page_size;
    bool power_of_two = (self->page_size & (self->page_size - 1)) == 0;
    if (!power_of_two || self->page_size < least || self->page_size > UINT16_MAX + 1u ||
        self->size < METAS * self->page_size)
        return false;
    const meta_t *even = s_meta(self, 0), *odd = s_meta(self, 1);
    if (!even || !odd)
        return false;
    bool odd_is_later = odd->transaction > even->transaction;
    heads[0] = odd_is_later ? odd : even;
    heads[1] = odd_is_later ? even : odd;
    return heads[0]->transaction == 0 || heads[0]->transaction - heads[1]->transaction == 1;
}

//  Of the head that no longer holds it matters alone that it is the older one. Every transaction but the
//  first ones frees pages and is named with them, and both trees of free pages outlive the next one.
static int s_walk(pages_t *self, const meta_t *meta, bool holds)
{
    self->last = meta->last;
    self->used = calloc(self->last / 8 + 1, 1);
    if (!self->used)
        return -ENOMEM;
    bool sound =
        s_walk_tree(self, meta, &meta->free) && (!holds || s_walk_tree(self, meta, &meta->records));
    free(self->used);
    return sound ? 0 : -EUCLEAN;
}

static int s_check(pages_t *self)
{
    const meta_t *heads[METAS];
    if (!s_heads(self, heads)) {
        s_fail(self, "the file is no journal, or its head is damaged");
        return -EUCLEAN;
    }
    int rc = s_walk(self, heads[0], true);
    return rc == 0 ? s_walk(self, heads[1], false) : rc;
}

int journal_pages_check(int fd, const char **wrong)
{
    *wrong = NULL;
    struct stat file;
    if (fstat(fd, &file) < 0)
        return -errno;
    if (file.st_size == 0)
        return 0;
    pages_t self = {.size = (uint64_t)file.st_size};
    void *bytes = mmap(NULL, self.size, PROT_READ, MAP_SHARED, fd, 0);
    if (bytes == MAP_FAILED)
        return -errno;
    self.bytes = bytes;
    int rc = s_check(&self);
    munmap(bytes, self.size);
    *wrong = self.wrong;
    return rc;
}
