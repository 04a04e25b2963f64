/*  faults.pml - what goes wrong, and the timers that mend it                                      */

/*  These steps choose, so what they work with is state, and is set back. */
inline forget()
{
    a = 0;
    b = 0;
    c = 0;
    what = 0;
    left = 0;
    phase = 0
}

/*  ---- faults ---------------------------------------------------------------------------------- */

inline spend()
{
    faults--;
    calm = false
}

/*  A connection loses one run of what is on it: what was read stays, and what waits behind it. */
inline cut(r)
{
    printf("the delivery connection of %d breaks\n", r);
    left = len(wire[r]);
    do
    :: left ->
        wire[r]?a, what, b, c;
        left--;
        if
        :: phase != 1 -> wire[r]!a, what, b, c
        :: phase < 2 -> phase = 1
        :: phase == 1 -> phase = 2; wire[r]!a, what, b, c
        fi
    :: !left -> break
    od;
    forget()
}

/*  The requests on their way are lost, or acks among them come late; the replies are lost. */
inline reconnect(r)
{
    printf("the control connection of %d breaks\n", r);
    reconnected[r] = true;
    do
    :: nempty(reply[r]) -> reply[r]?a, what, b, c
    :: empty(reply[r]) -> break
    od;
    do
    :: nfull(late[r]) && control[r]?[ACK, _, _] -> control[r]?what, a, b; late[r]!what, a, b
    :: nfull(late[r]) && control[r]?[MISSING, _, _] -> control[r]?what, a, b; late[r]!what, a, b
    :: nempty(control[r]) -> control[r]?what, a, b
    :: empty(control[r]) -> break
    od;
    forget()
}

/*  A new process on the old endpoint, that has its application's position or has not. */
inline start_again(r)
{
    printf("receiver %d starts again\n", r);
    reconnect(r);
    session[r] = 0;
    missing_in[r] = 0;
    known_instance[r] = instance;
    asking[r] = false;
    unheard[r] = false;
    passed_over[r] = false;
    to_detach[r] = false;
    to_attach[r] = wants[r];
    forget_acks(r);
    if
    :: true -> known[r] = false; last[r] = 0; begun[r] = false; stands[r] = 0; begins_at[r] = 0
    :: known[r] -> skip
    fi
}

/*  An application has the client attached: at the position that it has, where another one has come
    to, or where the broker is. */
inline take_client(r)
{
    printf("the application of %d wants the client\n", r);
    wants[r] = true;
    to_attach[r] = true;
    to_detach[r] = false;
    if
    :: true -> known[r] = false; last[r] = 0; begun[r] = false; stands[r] = 0; begins_at[r] = 0
    :: begun[r] -> set_position(r, stands[r])
    :: begun[1 - r] && (!begun[r] || stands[1 - r] > stands[r]) ->
        set_position(r, stands[1 - r]);
        begun[r] = true;
        stands[r] = stands[1 - r]
    fi
}

inline forget_all()
{
    instance++;
    epoch = 0;
    next_seq = 1;
    held = 0;
    marked = 0;
    measure(255, count);
    do
    :: covered -> pop(); covered--
    :: else -> break
    od;
    acked = 0;
    was_acked = false;
    marker_due = true;
    missed = false;
    owner = NOBODY;
    offered = 0;
    answered = 0;
    accepted = 0
}

inline crash()
{
    printf("the broker starts again\n");
    forget_all();
    attached[0] = false;
    attached[1] = false;
    generation[0] = 0;
    generation[1] = 0;
    reconnected[0] = false;
    reconnected[1] = false;
    begins_at[0] = 0;
    begins_at[1] = 0
}

#define CAN_TAKE(r) (!wants[r] && (COMES_BACK || !session[r]))
#define CAN_SKIP(upto) (skips && offered == epoch && upto <= SEQS && upto < next_seq + WINDOW)

/*  Each kind is one fault of those that the search may spend, but for the ways out of a gap and the
    moves, which are nobody's fault. */
proctype faulty()
{
    byte a, b, c, left, phase;
    mtype what;
end:
    do
    :: atomic { CUTS && faults && nempty(wire[0]) -> spend(); cut(0) }
    :: atomic { CUTS && faults && nempty(wire[1]) -> spend(); cut(1) }
    :: atomic { LOSSES && faults && !reconnected[0] -> spend(); reconnect(0) }
    :: atomic { LOSSES && faults && !reconnected[1] && wants[1] -> spend(); reconnect(1) }
    :: d_step { HASTE && faults && sent -> spend(); go_back() }
    :: atomic { RETURNS && faults && wants[0] -> spend(); start_again(0) }
    :: atomic { RETURNS && faults && wants[1] -> spend(); start_again(1) }
    :: d_step { RETURNS && faults && session[0] -> spend(); lose_generation(0) }
    :: d_step { RETURNS && faults && session[1] -> spend(); lose_generation(1) }
    :: d_step { RETURNS && faults && attached[0] && nfull(reply[0]) -> spend(); park(0) }
    :: d_step { RETURNS && faults && attached[1] && nfull(reply[1]) -> spend(); park(1) }
    :: atomic { TAKEOVERS && faults && CAN_TAKE(0) -> spend(); take_client(0) }
    :: atomic { TAKEOVERS && faults && CAN_TAKE(1) -> spend(); take_client(1) }
    :: d_step { LIES && faults && session[0] && nfull(control[0]) ->
           spend(); control[0]!ACK, session[0], POSITION(epoch, SEQS + 1) }
    :: d_step { CRASHES && faults -> spend(); crash() }
    :: d_step { LOSSES && faults && answered -> spend(); answered = 0 }
    :: d_step { CAN_SKIP(next_seq) -> skips--; skip_missing(next_seq, next_seq); at = 0 }
    :: d_step { CAN_SKIP(next_seq + 1) -> skips--; skip_missing(next_seq, next_seq + 1); at = 0 }
    :: d_step { resets -> resets--; reset() }
#if MOVES
    :: d_step { moves && !moving && nfull(pipe[carrier]) -> begin_move() }
    :: d_step { moving && returned && nfull(pipe[1 - carrier]) -> end_move() }
#endif
    od
}

/*  ---- timers ---------------------------------------------------------------------------------- */

#define ALL_SEQS (UP_TO(SEQS) & ~1)
#define HAS_NOTHING_TO_PUSH (offered == epoch && answered == ALL_SEQS)
#define IS_AT_REST(r) (empty(control[r]) && empty(late[r]) && empty(reply[r]) && \
    (empty(wire[r]) || !MAY_READ(r)) && !MAY_ASK(r) && !MAY_SAY(r) && !MAY_DETACH(r))
#define IS_QUIET (HAS_NOTHING_TO_PUSH && !CAN_HAND_OVER && IS_CARRIED && \
    IS_AT_REST(0) && IS_AT_REST(1))

#define IS_SERVED (owner != NOBODY && attached[owner])
#ifdef M_ONE_TRY
bool tried;
#define IS_UNACKED (IS_SERVED && sent && !tried)
#define HAS_TRIED tried = true
#else
#define IS_UNACKED (IS_SERVED && sent)
#define HAS_TRIED skip
#endif
#define HAS_LOST_SESSION(r) (session[r] && \
    (!attached[r] || session[r] != generation[r] || reconnected[r]))
#define IS_SILENT(r) (attached[r] && !session[r] && !wants[r])
#define IS_DUE (IS_UNACKED || asking[0] || asking[1] || HAS_LOST_SESSION(0) || \
    HAS_LOST_SESSION(1) || IS_SILENT(0) || IS_SILENT(1))

inline abandon_attach(r)
{
    printf("receiver %d: asks again\n", r);
    asking[r] = false;
    to_attach[r] = wants[r]
}

/*  All was pushed, decided, taken or announced, and acknowledged. */
#define IS_COMPLETE (IS_SERVED && next_seq == SEQS + 1 && count == 0 && !held && SETTLED(RELEASED))

inline end_faults()
{
    faults = 0;
    skips = 0;
    resets = 0
}

/*  Timers are longer than anything on its way: they fire when nothing else can happen. That one
    fires too early is HASTE. When none is left to fire, all must be done. */
proctype timers()
{
    do
    :: d_step { IS_QUIET && IS_UNACKED ->
           assert(!calm); /* sent again without a fault */
           go_back(); HAS_TRIED }
    :: d_step { IS_QUIET && asking[0] -> abandon_attach(0) }
    :: d_step { IS_QUIET && HAS_LOST_SESSION(0) -> control[0]!HEARTBEAT, session[0], 0 }
    :: d_step { IS_QUIET && IS_SILENT(0) -> park(0) }
    :: d_step { IS_QUIET && asking[1] -> abandon_attach(1) }
    :: d_step { IS_QUIET && HAS_LOST_SESSION(1) -> control[1]!HEARTBEAT, session[1], 0 }
    :: d_step { IS_QUIET && IS_SILENT(1) -> park(1) }
    :: d_step { IS_QUIET && !IS_DUE ->
           assert(IS_COMPLETE); /* nothing is left to do, and not all is done */
           end_faults() }
        break
    od
}
