/*  broker.pml - publishers and the broker's record of the client: core.c, session.c, delivery.c and
    redelivery.c                                                                                  */

typedef entry_t {
    mtype kind;
    byte from;
    byte to /* the stream stands here after the entry */
}

byte instance;
byte epoch;
byte next_seq = 1;
byte held; /* set of seqs in the window */
byte marked; /* those that a Skip gave up */

entry_t retained[RETAINED];
byte count, sent, handed; /* of the retained entries */
byte acked;
bool was_acked;
bool marker_due = true;
bool missed;

#define RELEASED POSITION(epoch, next_seq - 1)

byte skips = SKIPS;
byte resets = RESETS;

byte owner = NOBODY; /* the receiver to which the client belongs */
bool attached[2]; /* the receiver has a session */
byte generation[2]; /* of the session */
bool reconnected[2]; /* the receiver's connection is not the one that the broker replies to */
byte next_generation = 1;

/*  ---- pushes in ------------------------------------------------------------------------------- */

byte offered; /* the epoch in which the publisher numbers */
byte answered; /* set of seqs whose outcome the publisher knows */

inline retain(what, begins, ends)
{
    assert(count < RETAINED);
    retained[count].kind = what;
    retained[count].from = begins;
    retained[count].to = ends;
    count++
}

inline pass_marks()
{
    from = next_seq;
    do
    :: marked & BIT(next_seq) -> marked = marked & ~BIT(next_seq); next_seq++
    :: else -> break
    od;
    retain(GAP, POSITION(epoch, from), RELEASED)
}

inline settle()
{
    do
    :: held & BIT(next_seq) ->
        held = held & ~BIT(next_seq);
        next_seq++;
        retain(PUSH, RELEASED, RELEASED)
    :: marked & BIT(next_seq) -> pass_marks()
    :: else -> break
    od
}

inline admit(seq)
{
    if
    :: seq < next_seq || ((held | marked) & BIT(seq)) -> skip /* DUPLICATE or STALE */
    :: else ->
        printf("broker: accepts %d\n", seq);
        held = held | BIT(seq);
        accepted = accepted | BIT(POSITION(epoch, seq));
        settle()
    fi
}

#define CAN_OFFER(seq) (seq <= SEQS && offered == epoch && !(answered & BIT(seq)) && \
    seq < next_seq + WINDOW)

inline offer(seq)
{
    admit(seq);
    answered = answered | BIT(seq)
}

/*  Publishers race, so the pushes come in any order. One that has no outcome is pushed again; one
    that is refused for the window waits for room, and in another epoch all is numbered anew. */
proctype publisher()
{
end:
    do
    :: d_step { CAN_OFFER(1) -> offer(1) }
    :: d_step { CAN_OFFER(2) -> offer(2) }
    :: d_step { CAN_OFFER(3) -> offer(3) }
    :: d_step { CAN_OFFER(4) -> offer(4) }
    :: d_step { offered < epoch -> offered = epoch; answered = 0 }
    od
}

/*  ---- going back ------------------------------------------------------------------------------ */

inline go_back()
{
    printf("broker: goes back behind %d\n", acked);
#ifndef M_SENT_KEPT
    sent = 0;
#endif
#ifndef M_NO_MARKER
    marker_due = true;
#endif
    missed = false
}

inline restart()
{
    go_back();
#ifndef M_HANDED_KEPT
    handed = 0
#endif
}

/*  ---- what is acknowledged -------------------------------------------------------------------- */

inline pop()
{
    acked = retained[0].to;
    count--;
    i = 0;
    do
    :: i < count ->
        retained[i].kind = retained[i + 1].kind;
        retained[i].from = retained[i + 1].from;
        retained[i].to = retained[i + 1].to;
        i++
    :: else -> break
    od;
    retained[count].kind = 0;
    retained[count].from = 0;
    retained[count].to = 0;
    sent = (sent -> sent - 1 : 0);
    handed = (handed -> handed - 1 : 0)
}

inline measure(position, limit)
{
    covered = 0;
    ending = acked;
    do
    :: covered < limit && retained[covered].to <= position ->
        ending = retained[covered].to;
        covered++
    :: else -> break
    od
}

inline shorten_gap(position)
{
    if
    :: count && EPOCH(position) == EPOCH(acked) && position > acked && retained[0].kind == GAP ->
#ifndef M_GAP_KEPT
        retained[0].from = position + 1;
        acked = position
#else
        skip
#endif
    :: else -> skip
    fi
}

inline drop_covered(position)
{
    do
    :: covered -> pop(); covered--
    :: else -> break
    od;
    shorten_gap(position)
}

inline take_ack(position)
{
    agreed = true;
    if
    :: position <= acked -> skip
    :: else ->
        measure(position, handed);
        if
        :: covered == handed && position > ending -> agreed = false
        :: else ->
            drop_covered(position);
            was_acked = true;
            missed = false
        fi
    fi;
#ifdef M_ACK_BEYOND
    if
    :: !agreed -> measure(position, count); drop_covered(position)
    :: else -> skip
    fi;
#endif
    assert(SETTLED(acked)) /* an ack covers what no receiver has taken */
}

/*  ---- receivers ------------------------------------------------------------------------------- */

/*  What goes to a connection that is gone is dropped. */
inline tell(r, what, position)
{
    printf("broker: tells %d %e (heard: %d)\n", r, what, !reconnected[r]);
    if
    :: reconnected[r] -> skip
    :: else -> reply[r]!instance, what, generation[r], position
    fi
}

inline answer(r, what, about, position)
{
    printf("broker: answers %d %e, generation %d, %d (heard: %d)\n", r, what, about, position,
        !stray);
    if
    :: stray -> skip
    :: else -> reply[r]!instance, what, about, position
    fi
}

inline open_session(r)
{
    generation[r] = next_generation;
    next_generation++;
    attached[r] = true;
    reconnected[r] = false;
    renew_endpoint(r);
    if
    :: owner == r -> restart()
    :: else -> skip
    fi
}

inline jump(position)
{
    measure(RELEASED, count);
    drop_covered(RELEASED);
    if
    :: EPOCH(position) == epoch ->
        held = held & ~UP_TO(SEQ(position));
        marked = marked & ~UP_TO(SEQ(position))
    :: else -> held = 0; marked = 0; epoch = EPOCH(position)
    fi;
    next_seq = SEQ(position) + 1;
    acked = position;
    settle()
}

inline agree(position)
{
    agreed = true;
    if
    :: position <= acked -> skip
    :: position > acked && position <= RELEASED ->
        measure(position, count);
        drop_covered(position);
        was_acked = true
    :: position > RELEASED && was_acked -> agreed = false
    :: else -> jump(position)
    fi;
    assert(SETTLED(acked)) /* an Attach covers what no receiver has taken */
}

inline take_over(r)
{
    if
    :: owner == r -> skip
    :: else ->
        if
        :: owner != NOBODY && attached[owner] -> tell(owner, TAKEN_OVER, 0)
        :: else -> skip
        fi;
#ifdef M_TAKEOVER_BEHIND
        at = acked + handed;
        measure(at, count);
        drop_covered(at);
#endif
        restart();
        owner = r
    fi
}

inline attach(r, position)
{
    if
    :: !attached[r] || reconnected[r] -> open_session(r)
    :: else -> skip
    fi;
    if
    :: PREFIX -> agreed = true
    :: else -> agree(position); if :: agreed -> go_back() :: else -> skip fi
    fi;
    if
    :: !agreed -> answer(r, REFUSED, generation[r], RELEASED)
    :: else ->
        take_over(r);
        begins_at[r] = acked;
        answer(r, ATTACHED, generation[r], acked)
    fi
}

inline detach(r)
{
    if
    :: owner == r -> restart(); owner = NOBODY
    :: else -> skip
    fi
}

inline go_back_missing()
{
    if
    :: agreed && sent && !missed -> go_back(); missed = true
    :: else -> skip
    fi
}

#ifdef M_STALE_ACK
#define IN_SESSION(r) attached[r]
#else
#define IN_SESSION(r) (attached[r] && generation_ == generation[r])
#endif

inline take_request(r)
{
    printf("broker: takes %e of %d, generation %d, %d (acked %d, released %d)\n", kind_, r,
        generation_, position_, acked, RELEASED);
    if
    :: kind_ == ATTACH -> attach(r, position_)
    :: kind_ != ATTACH && !IN_SESSION(r) -> answer(r, UNKNOWN, generation_, 0)
    :: else ->
        reconnected[r] = false;
        if
        :: kind_ == DETACH -> detach(r)
        :: (kind_ == ACK || kind_ == MISSING) && owner == r ->
            take_ack(position_);
            if
            :: kind_ == MISSING -> go_back_missing()
            :: else -> skip
            fi
        :: else -> skip
        fi
    fi
}

/*  What comes late comes from a connection that is gone, and replies go there. */
inline take_late_request(r)
{
    stray = true;
    reconnected[r] = true;
    take_request(r);
    reconnected[r] = true;
    stray = false
}

inline park(r)
{
    printf("broker: parks %d\n", r);
    tell(r, TIMEOUT, 0);
    attached[r] = false;
    if
    :: owner == r -> restart()
    :: else -> skip
    fi
}

/*  ---- ways out of a gap ----------------------------------------------------------------------- */

inline skip_missing(first, last)
{
    at = first;
    do
    :: at <= last ->
        if
        :: !(held & BIT(at)) -> marked = marked | BIT(at)
        :: else -> skip
        fi;
        at++
    :: else -> break
    od;
    settle()
}

/*  What is held is given up and announced; then a marker starts the epoch. */
inline reset()
{
    printf("broker: starts epoch %d\n", epoch + 1);
    to = 0;
    at = next_seq;
    do
    :: at < next_seq + WINDOW ->
        to = (held & BIT(at) -> at : to);
        at++
    :: else -> break
    od;
    if
    :: to -> retain(GAP, POSITION(epoch, next_seq), POSITION(epoch, to))
    :: else -> skip
    fi;
    held = 0;
    marked = 0;
    epoch++;
    next_seq = 1;
    retain(MARKER, RELEASED, RELEASED)
}

/*  ---- pushes out ------------------------------------------------------------------------------ */

#ifdef M_EPOCH_TOO_EARLY
#define STARTS_EPOCH_LATER false
#else
#define STARTS_EPOCH_LATER (sent > 0 && retained[sent].kind == MARKER)
#endif
#define CAN_SEND (sent < count && sent < MAX_UNACKED && !STARTS_EPOCH_LATER)
#define CAN_HAND_OVER (owner != NOBODY && attached[owner] && CAN_SEND && HAS_ROOM(owner))

inline add_marker()
{
#ifdef M_TWO_MARKERS
    hand(owner, generation[owner], MARKER, acked, acked);
#else
    if
    :: retained[0].kind != MARKER -> hand(owner, generation[owner], MARKER, acked, acked)
    :: else -> skip
    fi;
#endif
    marker_due = false
}

inline hand_over()
{
    if
    :: marker_due -> add_marker()
    :: else -> skip
    fi;
    hand(owner, generation[owner], retained[sent].kind, retained[sent].from, retained[sent].to);
    sent++;
    handed = (handed < sent -> sent : handed)
}

#define CAN_REPLY (nfull(reply[0]) && nfull(reply[1]))

proctype broker()
{
end:
    do
    :: d_step { CAN_HAND_OVER -> hand_over() }
    :: d_step { nempty(control[0]) && CAN_REPLY ->
           control[0]?kind_, generation_, position_; take_request(0) }
    :: d_step { nempty(control[1]) && CAN_REPLY ->
           control[1]?kind_, generation_, position_; take_request(1) }
    :: d_step { nempty(late[0]) && CAN_REPLY ->
           late[0]?kind_, generation_, position_; take_late_request(0) }
    :: d_step { nempty(late[1]) && CAN_REPLY ->
           late[1]?kind_, generation_, position_; take_late_request(1) }
    od
}
