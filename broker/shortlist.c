//  shortlist.c - the first few of many; see shortlist.h

#include "shortlist.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

static uint8_t *s_at(const shortlist_t *self, size_t index)
{
    return (uint8_t *)self->rows + index * self->row_size;
}

int shortlist_compare(const void *a, const void *b)
{
    const shortlist_key_t *left = a, *right = b;
    if (left->since != right->since)
        return left->since < right->since ? -1 : 1;
    size_t common = left->id_size < right->id_size ? left->id_size : right->id_size;
    int order = memcmp(left->id, right->id, common);
    return order ? order : (int)left->id_size - (int)right->id_size;
}

static void s_swap(shortlist_t *self, size_t a, size_t b)
{
    uint8_t row[SHORTLIST_ROW_MAX];
    memcpy(row, s_at(self, a), self->row_size);
    memcpy(s_at(self, a), s_at(self, b), self->row_size);
    memcpy(s_at(self, b), row, self->row_size);
}

static void s_rise(shortlist_t *self, size_t at)
{
    while (at > 0 && shortlist_compare(s_at(self, at), s_at(self, (at - 1) / 2)) > 0) {
        s_swap(self, at, (at - 1) / 2);
        at = (at - 1) / 2;
    }
}

static void s_sink(shortlist_t *self)
{
    size_t at = 0, child;
    while ((child = 2 * at + 1) < self->count) {
        if (child + 1 < self->count &&
            shortlist_compare(s_at(self, child + 1), s_at(self, child)) > 0)
            child++;
        if (shortlist_compare(s_at(self, child), s_at(self, at)) <= 0)
            return;
        s_swap(self, at, child);
        at = child;
    }
}

bool shortlist_wants(const shortlist_t *self, const shortlist_key_t *key)
{
    return self->count < self->limit || shortlist_compare(key, self->rows) < 0;
}

void shortlist_add(shortlist_t *self, const void *row)
{
    assert(self->row_size <= SHORTLIST_ROW_MAX);
    if (self->count < self->limit) {
        memcpy(s_at(self, self->count), row, self->row_size);
        s_rise(self, self->count++);
    } else {
        memcpy(self->rows, row, self->row_size);
        s_sink(self);
    }
}

void shortlist_sort(shortlist_t *self)
{
    qsort(self->rows, self->count, self->row_size, shortlist_compare);
}
