//  slab.c - records of which there are very many; see slab.h

#include "slab.h"
#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#ifdef __SANITIZE_ADDRESS__

//  Each record by itself, so that a wrong use is seen.
void *slab_take(slab_t *self, size_t size)
{
    (void)self;
    return calloc(1, size);
}

void slab_give(slab_t *self, void *record)
{
    (void)self;
    free(record);
}

#else

#define REGION ((size_t)2 << 20) //  bytes, and its alignment: a huge page

struct slab_region {
    slab_region_t *next, *previous; //  of those with room
    void *given; //  records that were given back; each begins with the next one's address
    uint32_t size; //  of a record
    uint32_t used; //  records
    uint32_t cut; //  bytes from the start of the region that are or were in use
};

static void s_open(slab_t *self, slab_region_t *region)
{
    slab_region_t **first = &self->open[region->size / SLAB_STEP];
    region->previous = NULL;
    region->next = *first;
    if (*first)
        (*first)->previous = region;
    *first = region;
}

static void s_close(slab_t *self, slab_region_t *region)
{
    if (region->previous)
        region->previous->next = region->next;
    else
        self->open[region->size / SLAB_STEP] = region->next;
    if (region->next)
        region->next->previous = region->previous;
}

static bool s_is_full(const slab_region_t *region)
{
    return !region->given && region->cut + region->size > REGION;
}

static slab_region_t *s_region_of(void *record)
{
    return (void *)((uint8_t *)record - (uintptr_t)record % REGION);
}

//  Maps twice as much, and gives back what is not aligned.
static void *s_map(void)
{
    uint8_t *mapped = mmap(NULL, 2 * REGION, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapped == MAP_FAILED)
        return NULL;
    size_t before = (REGION - (uintptr_t)mapped % REGION) % REGION;
    if (before)
        munmap(mapped, before);
    munmap(mapped + before + REGION, REGION - before);
    return mapped + before;
}

static slab_region_t *s_new_region(slab_t *self, uint32_t size)
{
    static const size_t head = (sizeof(slab_region_t) + 63) & ~(size_t)63;
    slab_region_t *region = s_map();
    if (!region)
        return NULL;
    if (self->regions[size / SLAB_STEP]++)
        madvise(region, REGION, MADV_HUGEPAGE);
    region->size = size;
    region->cut = (uint32_t)head;
    s_open(self, region);
    return region;
}

void *slab_take(slab_t *self, size_t size)
{
    assert(size > 0 && size <= SLAB_RECORD_MAX);
    uint32_t rounded = (uint32_t)(size + SLAB_STEP - 1) / SLAB_STEP * SLAB_STEP;
    slab_region_t *region = self->open[rounded / SLAB_STEP];
    if (!region && !(region = s_new_region(self, rounded)))
        return NULL;
    void *record = region->given;
    if (record) {
        memcpy(&region->given, record, sizeof region->given);
        memset(record, 0, rounded);
    } else {
        record = (uint8_t *)region + region->cut;
        region->cut += rounded;
    }
    region->used++;
    if (s_is_full(region))
        s_close(self, region);
    return record;
}

void slab_give(slab_t *self, void *record)
{
    if (!record)
        return;
    slab_region_t *region = s_region_of(record);
    if (s_is_full(region))
        s_open(self, region);
    memcpy(record, &region->given, sizeof region->given);
    region->given = record;
    if (--region->used == 0) {
        s_close(self, region);
        self->regions[region->size / SLAB_STEP]--;
        munmap(region, REGION);
    }
}

#endif
