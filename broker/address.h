/*  address.h - endpoints that a peer may name: literal TCP addresses and ipc paths

    A name would be resolved in libzmq's shared I/O thread, a wildcard or a source address means
    nothing for a connect, so none of these is let in.                                            */

#ifndef SEQPUSH_ADDRESS_H
#define SEQPUSH_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>

#define ADDRESS_MAX 256 //  bytes of an endpoint, with the NUL

//  Parses `text` and writes its canonical form, the same for all spellings of one address. Returns
//  false if it is not tcp://A.B.C.D:PORT, tcp://[V6]:PORT or ipc:///absolute/path. Pure.
bool address_parse(const char *text, char canonical[ADDRESS_MAX]);

//  True if a canonical address matches `pattern`: the same scheme; for tcp the host and the port,
//  each either alike or `*`; for ipc the path as a glob. Pure.
bool address_matches(const char *canonical, const char *pattern);

#endif
