/*  endpoint.pml - how what is handed over comes to the receiver: the PUSH socket of endpoint.c, and
    with MOVES the two workers of worker.c between which the endpoint moves                        */

#if !MOVES

#define HAS_ROOM(r) (len(wire[r]) + 2 <= WIRE)
#define IS_CARRIED true

inline hand(r, in_session, what, begins, ends)
{
    printf("broker: hands %d %e %d..%d, generation %d\n", r, what, begins, ends, in_session);
    wire[r]!in_session, what, begins, ends
}

#else

/*  One endpoint, that of receiver 0. A worker has it with its socket and with what waits for it. */
#define PIPE 3

mtype = { SEND, MOVE, ARRIVE }

chan pipe[2] = [PIPE] of { mtype, byte, mtype, byte, byte }
chan waiting = [PIPE] of { byte, mtype, byte, byte }
byte carrier; /* the worker to which the orderer hands */
byte holder; /* the worker that has the endpoint */
bool moving; /* the endpoint is to leave its worker */
bool returned; /* the worker has given it to the orderer */
byte moves = MOVES;

#define HAS_ROOM(r) (!moving && len(pipe[carrier]) + 2 <= PIPE)
#define IS_CARRIED (!moving && empty(pipe[0]) && empty(pipe[1]) && empty(waiting))

inline hand(r, in_session, what, begins, ends)
{
    printf("broker: hands worker %d %e %d..%d\n", carrier, what, begins, ends);
    pipe[carrier]!SEND, in_session, what, begins, ends
}

/*  Behind what it has handed over, the orderer asks the worker for the endpoint. Until it has it,
    it hands over nothing. */
inline begin_move()
{
    printf("broker: takes the endpoint from worker %d\n", carrier);
    moves--;
    pipe[carrier]!MOVE, 0, 0, 0, 0;
#ifdef M_MOVE_AT_ONCE
    carrier = 1 - carrier;
    pipe[carrier]!ARRIVE, 0, 0, 0, 0
#else
    moving = true
#endif
}

inline end_move()
{
    moving = false;
    returned = false;
    carrier = 1 - carrier;
    pipe[carrier]!ARRIVE, 0, 0, 0, 0
}

inline leave_worker()
{
    holder = NOBODY;
    returned = true;
#ifdef M_QUEUE_LEFT
    do
    :: nempty(waiting) -> waiting?generation_, kind_, from, to
    :: else -> break
    od
#endif
}

inline work(w)
{
    if
    :: pipe[w]?[SEND, _, _, _, _] ->
        pipe[w]?_, generation_, kind_, from, to;
        assert(holder == w); /* two workers are on one client */
        waiting!generation_, kind_, from, to
    :: pipe[w]?[MOVE, _, _, _, _] -> pipe[w]?_, _, _, _, _; leave_worker()
    :: pipe[w]?[ARRIVE, _, _, _, _] -> pipe[w]?_, _, _, _, _; holder = w
    fi
}

proctype worker(byte w)
{
end:
    do
    :: d_step { nempty(pipe[w]) && nfull(waiting) -> work(w) }
    :: d_step { holder == w && nempty(waiting) && nfull(wire[0]) ->
           waiting?generation_, kind_, from, to; wire[0]!generation_, kind_, from, to }
    od
}

#endif

/*  A session has a socket of its own. What the older one still brings in carries the older
    generation. */
inline renew_endpoint(r)
{
#ifdef M_OLD_SOCKET
    length = len(wire[r]);
    do
    :: length ->
        wire[r]?_, kind_, from, to;
        wire[r]!generation[r], kind_, from, to;
        length--
    :: else -> break
    od
#else
    skip
#endif
}
