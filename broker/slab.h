/*  slab.h - records of which there are very many, side by side

    malloc puts a head before each record, and between them what others take and give back meanwhile.
    Here records of about one size lie in regions of 2 MiB without anything between, and a region without
    records goes back to the system. From the second one on, regions of a size ask for huge pages: whoever
    has so many records comes to each but seldom, and would miss the page tables' cache every time.

    One thread at a time. Source of the idea: Bonwick, "The Slab Allocator", USENIX Summer 1994.    */

#ifndef SEQPUSH_SLAB_H
#define SEQPUSH_SLAB_H

#include <stddef.h>
#include <stdint.h>

//  Bytes of the largest record.
#define SLAB_RECORD_MAX 2048

#define SLAB_STEP 8 //  bytes: sizes are rounded up to a multiple

typedef struct slab_region slab_region_t;

//  Zeroed: nothing is taken.
typedef struct {
    slab_region_t *open[SLAB_RECORD_MAX / SLAB_STEP + 1]; //  by size: those with room
    uint32_t regions[SLAB_RECORD_MAX / SLAB_STEP + 1]; //  of a size
} slab_t;

//  Takes room for a record of 1 to SLAB_RECORD_MAX bytes, zeroed, aligned to 8. NULL: no memory.
void *slab_take(slab_t *self, size_t size);

//  Gives a record back. Takes NULL.
void slab_give(slab_t *self, void *record);

#endif
