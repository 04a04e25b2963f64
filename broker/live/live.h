/*  live.h - the live page, one HTML text, and what a browser may do with it

    Any thread, once live_init was called.                                                         */

#ifndef SEQPUSH_LIVE_H
#define SEQPUSH_LIVE_H

//  The page. Its style and its script are in it; it loads nothing but the broker's own figures.
extern const char live_page[];

//  Makes the policy. Once, before the other threads.
void live_init(void);

//  The Content-Security-Policy that holds it to that.
const char *live_policy(void);

#endif
