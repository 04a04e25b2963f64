/*  delivery.pml - the delivery protocol of one client, for exhaustive search

    What every process shares: positions, bounds, the channels and what the checker watches. The
    processes stand in broker.pml, endpoint.pml, receiver.pml and faults.pml. README.md says which
    function of the code each transition stands for.                                              */

/*  ---- bounds, each to be set with -D ---------------------------------------------------------- */

#ifndef SEQS
#define SEQS 3 /* pushes of an epoch */
#endif
#ifndef WINDOW
#define WINDOW 2 /* ordering/window */
#endif
#ifndef MAX_UNACKED
#define MAX_UNACKED 3 /* delivery/max_unacked */
#endif
#ifndef FAULTS
#define FAULTS 2 /* faults of all kinds together */
#endif
#ifndef RECEIVERS
#define RECEIVERS 1
#endif
#ifndef WIRE
#define WIRE 4 /* entries on the way of an endpoint */
#endif
#ifndef PREFIX
#define PREFIX 0 /* the receiver attaches a prefix: neither side names a position */
#endif
#define CONTROL 2 /* requests, or replies, on their way */
#define RETAINED 10 /* entries, never ending */

/*  The kinds of faults that a variant looks at: 0 or 1. */
#ifndef CUTS
#define CUTS 0 /* a connection of an endpoint breaks, what is on it is lost */
#endif
#ifndef LOSSES
#define LOSSES 0 /* requests and replies are lost or come late, publishers do not hear outcomes */
#endif
#ifndef HASTE
#define HASTE 0 /* an ack_timeout passes though nothing was lost */
#endif
#ifndef RETURNS
#define RETURNS 0 /* receivers start again, or are silent for too long */
#endif
#ifndef TAKEOVERS
#define TAKEOVERS 0 /* another receiver attaches the client */
#endif
#ifndef COMES_BACK
#define COMES_BACK 0 /* also one that lost it, and is still in its session */
#endif
#ifndef LIES
#define LIES 0 /* a receiver acknowledges what it was never sent */
#endif
#ifndef CRASHES
#define CRASHES 0 /* the broker starts again, and knows nothing */
#endif
#ifndef SKIPS
#define SKIPS 0 /* somebody gives up what is missing */
#endif
#ifndef RESETS
#define RESETS 0 /* somebody starts an epoch, as often */
#endif
#ifndef MOVES
#define MOVES 0 /* the endpoint moves to the other worker, as often */
#endif

/*  ---- positions ------------------------------------------------------------------------------- */

/*  An epoch and a seq in one byte, so that the order of positions is that of numbers. */
#define EPOCH_SIZE 8
#define POSITION(epoch, seq) ((epoch) * EPOCH_SIZE + (seq))
#define EPOCH(position) ((position) / EPOCH_SIZE)
#define SEQ(position) ((position) % EPOCH_SIZE)
#define FOLLOWS(position, last) (EPOCH(position) == EPOCH(last) && (position) == (last) + 1)

/*  Sets of seqs or of positions. */
#define BIT(at) (1 << (at))
#define UP_TO(at) ((1 << ((at) + 1)) - 1)

/*  ---- what goes over the wire ----------------------------------------------------------------- */

mtype = { PUSH, GAP, MARKER }
mtype = { ATTACH, ACK, MISSING, HEARTBEAT, DETACH }
mtype = { ATTACHED, REFUSED, TAKEN_OVER, TIMEOUT, UNKNOWN }

#define NOBODY 2

/*  Deliveries, entry by entry: generation, kind, from, to. */
chan wire[2] = [WIRE] of { byte, mtype, byte, byte }
/*  Requests: kind, generation, position. What comes late was sent over an older connection. */
chan control[2] = [CONTROL] of { mtype, byte, byte }
chan late[2] = [CONTROL] of { mtype, byte, byte }
/*  Replies: instance, kind, generation, position. */
chan reply[2] = [CONTROL] of { byte, mtype, byte, byte }

/*  ---- what the checker watches ---------------------------------------------------------------- */

int accepted; /* positions of pushes that this instance has answered ACCEPTED */
int taken; /* those that an application has taken, ever */
int announced; /* those that an application was told to be given up */
byte faults = FAULTS;
byte begins_at[2]; /* where the broker was when it let the receiver have the client */
bool calm = true; /* no fault yet: nothing may be lost, repeated or out of order */

/*  Every push up to the position was taken by somebody or announced as given up. */
#define SETTLED(position) ((accepted & ~(taken | announced) & UP_TO(position)) == 0)

/*  Scratch of a step; no state, as every step sets before it reads. Only for a d_step: what is hidden
    is not set back when the search returns into the middle of an atomic one. */
hidden byte i, from, to, at, generation_, position_, covered, ending, instance_, length;
hidden byte agreed;
hidden byte stray; /* the request came over a connection that is gone */
hidden mtype kind_;

#include "endpoint.pml"
#include "broker.pml"
#include "receiver.pml"
#include "faults.pml"

init
{
    atomic {
        wants[0] = true;
        to_attach[0] = true;
        run publisher();
        run broker();
        run faulty();
        run timers();
        run receiver(0);
#if RECEIVERS == 2
        run receiver(1);
#endif
#if MOVES
        run worker(0);
        run worker(1);
#endif
    }
}
