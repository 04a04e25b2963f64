/*  load_peer.c - the load on counterparts that speak a protocol of their own over TCP

    Usage: load-peer KIND ADDRESS:PORT --broker ADDRESS:PORT OPTION..., KIND being nats, jetstream,
    redis, streams, qos0 or qos1. */

#include "load.h"

int main(int argc, char **argv)
{
    return load_run(argc, argv);
}
