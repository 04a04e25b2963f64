/*  receiver.pml - receivers: positions.h, receiver.c and attachment.c of the client library, and what
    their applications are told                                                                   */

byte session[2]; /* the generation that the receiver is in, 0: none */
byte known_instance[2]; /* of the broker, as the last reply said */
bool wants[2]; /* the client is to be served here */
bool to_attach[2];
bool to_detach[2];
bool asking[2]; /* an Attach is under way */
bool unheard[2]; /* no reply has come to the last Attach, or to what was sent after it */
bool passed_over[2]; /* an entry was dropped since the Attach was sent */

bool known[2]; /* false: there is no last one, the broker says where it goes on */
byte last[2]; /* position of the last one received */
byte missing_in[2]; /* generation in which `last` was named as missing, or 0 */
bool to_ack[2];
bool to_miss[2];

/*  ---- what the application is told, and what it may expect ------------------------------------- */

bool begun[2]; /* the application knows where it is */
byte stands[2]; /* there */

/*  It begins somewhere, or is taken elsewhere: what lies before that was taken by somebody. */
inline application_moves(r, position)
{
    printf("application %d: is moved to %d\n", r, position);
    assert(SETTLED(position)); /* what was not taken is passed over in silence */
    begun[r] = true;
    stands[r] = position
}

inline application_jumps(r, position)
{
    assert(!begun[r] || position > stands[r]); /* it is taken back */
    application_moves(r, position)
}

inline application_takes(r, begins, ends)
{
    printf("application %d: gets %e %d..%d\n", r, kind_, begins, ends);
    assert(begun[r] && FOLLOWS(begins, stands[r])); /* a hole, or taken twice */
    assert(begins > begins_at[r]); /* an earlier receiver had it */
    if
    :: kind_ == PUSH -> taken = taken | BIT(begins)
    :: else -> announced = announced | (UP_TO(ends) & ~UP_TO(begins - 1))
    fi;
    stands[r] = ends
}

/*  ---- the session ----------------------------------------------------------------------------- */

inline forget_acks(r)
{
    to_ack[r] = false;
    to_miss[r] = false
}

inline lose_generation(r)
{
    printf("receiver %d: gives generation %d up\n", r, session[r]);
    session[r] = 0;
    asking[r] = false;
    to_detach[r] = false;
    to_attach[r] = wants[r];
    forget_acks(r)
}

inline set_position(r, position)
{
    known[r] = true;
    last[r] = position;
    missing_in[r] = 0
}

inline begin_generation(r)
{
    if
    :: session[r] == generation_ -> skip
    :: else -> session[r] = generation_; forget_acks(r)
    fi
}

/*  What was dropped may have been sent after the Attach. */
inline ask_for_passed_over(r)
{
    if
    :: passed_over[r] && wants[r] && !to_attach[r] ->
        missing_in[r] = session[r];
        to_miss[r] = true
    :: else -> skip
    fi;
    passed_over[r] = false
}

inline on_attached(r)
{
    begin_generation(r);
    asking[r] = false;
    to_detach[r] = !wants[r];
    if
    :: PREFIX -> skip
    :: !PREFIX && wants[r] && !to_attach[r] && !known[r] ->
        set_position(r, position_);
        application_moves(r, position_)
    :: !PREFIX && wants[r] && !to_attach[r] && known[r] && position_ > last[r] ->
        set_position(r, position_);
        application_jumps(r, position_)
    :: else -> skip
    fi;
    ask_for_passed_over(r)
}

/*  The broker is behind what was named; the application goes there. */
inline on_refused(r)
{
    begin_generation(r);
    asking[r] = false;
    if
    :: wants[r] && !to_attach[r] ->
        set_position(r, position_);
        to_attach[r] = true;
        application_moves(r, position_)
    :: else -> skip
    fi
}

/*  Who is taken over does not attach again by himself. */
inline on_taken_over(r)
{
    wants[r] = false;
    to_attach[r] = false
}

/*  Replies come in the order of the requests. */
#define IS_ON_ITS_WAY(r) (control[r]??[ATTACH, _, _] || \
    reply[r]??[_, ATTACHED, _, _] || reply[r]??[_, REFUSED, _, _])

inline hear(r)
{
    unheard[r] = unheard[r] && (kind_ == TAKEN_OVER || kind_ == TIMEOUT || IS_ON_ITS_WAY(r))
}

/*  What was taken away before the broker had the last Attach is of no effect. */
#ifdef M_HEEDS_OLD_DETACHED
#define IS_FOR(r) (!session[r] || session[r] == generation_)
#else
#define IS_FOR(r) ((!session[r] || session[r] == generation_) && !unheard[r])
#endif

inline take_reply(r)
{
    printf("receiver %d: takes %e, generation %d, %d\n", r, kind_, generation_, position_);
    hear(r);
    if
    :: known_instance[r] != instance_ -> known_instance[r] = instance_; lose_generation(r)
    :: else -> skip
    fi;
    if
    :: kind_ == ATTACHED && asking[r] -> on_attached(r)
    :: kind_ == REFUSED && asking[r] -> on_refused(r)
    :: kind_ == TAKEN_OVER && IS_FOR(r) && wants[r] -> on_taken_over(r)
    :: kind_ == TIMEOUT && (!session[r] || session[r] == generation_) -> lose_generation(r)
    :: kind_ == UNKNOWN && session[r] && session[r] == generation_ -> lose_generation(r)
    :: else -> skip
    fi
}

/*  ---- the receiver's rule --------------------------------------------------------------------- */

inline miss(r)
{
    assert(!calm); /* something was lost or overtaken without a fault */
    if
    :: missing_in[r] == session[r] -> skip
    :: else -> missing_in[r] = session[r]; to_miss[r] = true
    fi
}

#define SAME_EPOCH(r) (known[r] && EPOCH(from) == EPOCH(last[r]))

#ifdef M_TAKES_AHEAD
#define IS_NEXT(r) (SAME_EPOCH(r) && from > last[r])
#else
#define IS_NEXT(r) (SAME_EPOCH(r) && from == last[r] + 1)
#endif

#ifdef M_MARKER_TAKES_BACK
#define IS_THERE(r) (SAME_EPOCH(r) && from == last[r])
#elif PREFIX || defined M_OLD_EPOCH_MARKER
#define IS_THERE(r) (SAME_EPOCH(r) && from <= last[r])
#else
#define IS_THERE(r) (known[r] && from <= last[r])
#endif

inline take_marker(r)
{
    if
    :: IS_THERE(r) -> to_ack[r] = true
    :: !IS_THERE(r) && !known[r] -> set_position(r, from); application_moves(r, from)
    :: else ->
        application_jumps(r, from);
        assert(EPOCH(from) > EPOCH(last[r]) || asking[r]); /* a marker hides a hole */
        to_ack[r] = true;
        set_position(r, from)
    fi
}

inline take_entry(r)
{
    if
    :: kind_ == MARKER -> take_marker(r)
    :: kind_ != MARKER && IS_NEXT(r) ->
        set_position(r, to);
        to_ack[r] = true;
        application_takes(r, from, to)
    :: kind_ != MARKER && !IS_NEXT(r) && known[r] && from <= last[r] ->
        assert(!calm); /* repeated without a fault */
        to_ack[r] = true
    :: else -> miss(r)
    fi
}

/*  A client that is asked for by name waits for its Attached. */
#if PREFIX || defined M_TAKES_TOO_EARLY
#define IS_AWAITED(r) false
#else
#define IS_AWAITED(r) (asking[r] || to_attach[r])
#endif

inline take_delivery(r)
{
    printf("receiver %d: reads %e %d..%d, generation %d (is in %d, last %d)\n", r, kind_, from, to,
        generation_, session[r], last[r]);
    if
#ifdef M_ANY_GENERATION
    :: wants[r] && session[r] -> take_entry(r)
#else
    :: wants[r] && session[r] && generation_ == session[r] && !IS_AWAITED(r) -> take_entry(r)
    :: wants[r] && session[r] && generation_ == session[r] && IS_AWAITED(r) -> passed_over[r] = true
#endif
    :: else -> skip
    fi
}

/*  ---- what it asks and says ------------------------------------------------------------------- */

inline ask(r)
{
    printf("receiver %d: attaches at %d (known: %d)\n", r, last[r], known[r]);
    control[r]!ATTACH, 0, (known[r] -> last[r] : 0);
    to_attach[r] = false;
    asking[r] = true;
    unheard[r] = true;
    passed_over[r] = false
}

inline say(r)
{
    printf("receiver %d: says %d (missing: %d)\n", r, last[r], to_miss[r]);
    if
    :: to_miss[r] -> control[r]!MISSING, session[r], last[r]
    :: else -> control[r]!ACK, session[r], last[r]
    fi;
    forget_acks(r)
}

/*  Deliveries are not read while an Attach is to come. */
#define MAY_READ(r) (session[r] || !wants[r])
#define MAY_ASK(r) (to_attach[r] && !asking[r] && !to_detach[r] && len(control[r]) < CONTROL)
#define MAY_SAY(r) (session[r] && (to_ack[r] || to_miss[r]) && len(control[r]) < CONTROL)
#define MAY_DETACH(r) (to_detach[r] && session[r] && !asking[r] && len(control[r]) < CONTROL)

proctype receiver(byte r)
{
end:
    do
    :: d_step { nempty(reply[r]) ->
           reply[r]?instance_, kind_, generation_, position_; take_reply(r) }
    :: d_step { nempty(wire[r]) && MAY_READ(r) ->
           wire[r]?generation_, kind_, from, to; take_delivery(r) }
    :: d_step { MAY_ASK(r) -> ask(r) }
    :: d_step { MAY_SAY(r) -> say(r) }
    :: d_step { MAY_DETACH(r) ->
           control[r]!DETACH, session[r], 0; to_detach[r] = false }
    od
}
