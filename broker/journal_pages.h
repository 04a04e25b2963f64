/*  journal_pages.h - whether the pages of an LMDB file hang together

    LMDB trusts its file: it has no checksums, and follows whatever page number and offset stands
    there. A file that was damaged ends the process, loses records, or has pages written over that
    are in use. So a file is looked at before LMDB gets it: every page that is reachable is where it
    has to be, whole, of its kind, used once, and has keys in their order; numbers of pages and
    entries are what the head of the file says; free pages are free. What stands in the records is
    for their own checksums.

    Source: the format as mdb.c of LMDB 0.9 defines it. */

#ifndef SEQPUSH_JOURNAL_PAGES_H
#define SEQPUSH_JOURNAL_PAGES_H

//  Looks at the data file that is open as `fd`, which LMDB must not write to meanwhile. An empty file
//  is sound. Returns 0, -EUCLEAN with `*wrong` set to what is wrong, in a few words, or another
//  negative errno if it cannot be told.
int journal_pages_check(int fd, const char **wrong);

#endif
