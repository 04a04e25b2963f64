/*  glob.h - `*` (any bytes) and `?` (one byte) over client ids, which may hold any byte

    fnmatch will not do: ids are not strings, a NUL in one would end it early.                    */

#ifndef SEQPUSH_GLOB_H
#define SEQPUSH_GLOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

//  True if the whole of `id` matches. Linear in pattern times id at worst; pure.
static inline bool glob_match(const char *pattern, const uint8_t *id, size_t id_size)
{
    const char *star = NULL; //  the last one seen
    size_t at = 0, resume = 0;
    while (at < id_size) {
        if (*pattern == '*') {
            star = pattern++;
            resume = at;
        } else if (*pattern && (*pattern == '?' || (uint8_t)*pattern == id[at])) {
            pattern++;
            at++;
        } else if (star) {
            pattern = star + 1;
            at = ++resume;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == '\0';
}

#endif
