/*  load_zmq.c - the load on counterparts over ZeroMQ

    Usage: load-zmq routed FROM OPTION... for the forwarder and for the design with one lock, whose
    front is a ROUTER; load-zmq acked FROM OPTION... for that design where it acknowledges and keeps;
    load-zmq direct "" OPTION... for PUSH to PULL, with nothing in between. */

#include "load.h"

int main(int argc, char **argv)
{
    return load_run(argc, argv);
}
