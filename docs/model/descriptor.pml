/*
 * The protocol of one descriptor, for the model checker Spin.
 *
 * What this is. One slot of the table in two lives, a fiber that reads and one that writes, the
 * poll loop, a closer that may open the second life, a third party (the clock, a changed deadline,
 * or a second closer), a kernel, and a world that sends, makes room, and takes a number the moment
 * it is free. Spin tries every interleaving of their steps. What docs/guarantees.md forbids is a
 * PROMISE here: a broken one ends the search with its sentence.
 *
 * How it maps to the sources. One atomic step here is one transition of a word, one system call,
 * or one entry into or exit from a lock's section there. What is touched under the lock alone is
 * changed in the step that takes the lock, because nobody else can look at it before the unlock;
 * the kernel's call under the lock is a step of its own, ended by the unlock. Each inline and each
 * process names the function that it follows.
 *
 *   here                                   there
 *   word[], commit, publish, withdraw      base/wait_word.h: WaitWord; `parked` is a Waiter*
 *   life_*                                 poller/lifetime.h: Lifetime, its word in four parts
 *   mu, closing, armed, generation, fd     poller/descriptor.h: Descriptor
 *   collector, rearm, arm, close_it        poller/poller_core.cc: PollerCore
 *   fiber                                  net/fd.cc: FdAccess::Operation; sched/worker.cc: park
 *   third                                  sched/timers.cc: Timers; net/fd.cc: set_deadline
 *   kernel_*                               a kernel, as the backends describe theirs at the head
 *
 * Which model. Defines choose it.
 *   FORGETTING     the kernel forgets after each report and must be armed (event ports, poll(2));
 *                  without it, it reports edges and is never armed (epoll, kqueue)
 *   FOREVER        the world and the fibers go on for ever, for the claims of liveness; without it,
 *                  runs are finite, and init looks at who still waits when nothing can move
 *   REUSE          the closer opens a second life in the same slot; KEEP_OPEN: it closes nothing
 *   CLOCK, SETTER, SECOND_CLOSER           the third party; at most one of them
 *   TROUBLE        one report that nothing stands behind, or one association that is refused
 *   NO_..., and others with a verb         take a guard out; docs/model/README.md lists them
 *
 * Assumed. Steps are sequentially consistent. The scheduler runs every process again and again
 * (weak fairness). A generation does not come round. An exchange in a loop is one step.
 *
 * Left out. Batches of more than one report (a late one stays in the collector's hands as long as
 * it likes); hang-ups and errors, but for the hint to both directions; EINTR; cancellation and a
 * runtime's stop, which withdraw as a changed deadline does; plain threads that wait;
 * Poller::wake() and the sleep of workers; remove(), which is a close that nobody is inside of;
 * the short-read rule; more than two lives, numbers and directions; errors of add().
 *
 * Sources. G. J. Holzmann, The SPIN Model Checker, 2003. epoll(7), epoll_ctl(2) and Linux
 * fs/eventpoll.c for the edges; port_associate(3C), port_get(3C) and illumos
 * uts/common/fs/portfs/port_fd.c for the forgetting. golang/go#7410 for the race in the middle.
 */

#define READ 0
#define WRITE 1
#define BIT(direction) (1 << (direction))
#define BOTH 3

#define FREE 0 /* A number is free, a stranger's, or that of our life 1 or 2. */
#define STRANGER 9
#define NUMBERS 2

#if defined(SETTER) || defined(TROUBLE)
#define READS 1 /* What comes in the first life, if anything does. */
#else
#define READS 2
#endif

#define PROMISE(condition, sentence) \
  if \
  :: (condition) \
  :: else -> printf(sentence); assert(false) \
  fi

/* --- The guards that can be taken out where they are an expression. --- */

#ifdef NO_CLOSING_CHECK
#define REARM_SEES_CLOSING false
#else
#define REARM_SEES_CLOSING closing
#endif
#ifdef NO_REARM_GENERATION
#define REARM_SEES_REUSE false
#else
#define REARM_SEES_REUSE (generation != token)
#endif
#ifdef NO_REPORT_GENERATION
#define IS_OPEN(token) true
#else
#define IS_OPEN(token) (life_generation == token && !life_closed)
#endif
#ifdef NO_ARM_CLOSING_CHECK
#define ARM_SEES_CLOSING false
#else
#define ARM_SEES_CLOSING closing
#endif
#ifdef NO_ARM_GENERATION
#define ARM_SEES_REUSE false
#else
#define ARM_SEES_REUSE (generation != g)
#endif
#ifdef NO_ENTER_GENERATION
#define IS_THE_LIFE(g) true
#else
#define IS_THE_LIFE(g) (life_generation == g)
#endif
#ifdef NO_ONE_CLOSE_WINS
#define IS_FIRST_CLOSE true
#else
#define IS_FIRST_CLOSE (!life_closed)
#endif

/* --- The descriptor. --- */

mtype = { idle, ready, parking, parked, closed };         /* WaitWord. */
mtype = { done, timed_out, is_closed, refused };          /* What an operation ends with. */
mtype = { for_readiness, for_deadline, for_close };       /* WakeReason. */

mtype word[2] = idle;
mtype reason[2] = for_readiness;

byte life_generation = 1;
bool life_closed = false;
byte life_refs = 1;
bool life_inside[2] = false;

byte mu = 0; /* 0, or 1 + the process that holds it. */
bool closing = false;
byte armed = 0;
byte generation = 1;
byte fd = 0;

bool slot_is_free = false;
byte handle = 1; /* The life that the users know of. */
bool is_last = false; /* No more lives will come. */

/* Fibers: on their own stack, or asleep until somebody wakes them. */
bool on_stack[2] = true;
bool asleep[2] = false;

/* Deadlines of the reader: its first operation's own, with a timer, and the standing one. */
bool timed = false;
bool timer_started = false;
bool time_is_up = false;
bool standing_is_up = false;

/* --- The kernel. --- */

byte owner[NUMBERS] = FREE;
byte file = 1;          /* The life whose file is open, or 0. */
byte level[2] = 0;      /* What can be read, and the room to write. */
byte supply[2] = 0;     /* What the world has left for this file. */
bool is_removed = false;
byte report_token = 1;  /* The token of the association. */
byte report = 0;        /* Queued, not retrieved. Forgetting: the frozen mask. Edge: any. */
byte interest = 0;      /* What the forgetting kernel still watches for. */
byte silenced = 0;      /* What it stopped watching for because of the other direction. */

#ifdef TROUBLE
bool may_refuse = false; /* The kernel may say no to one association: it is out of memory. */
bool may_hint = false;   /* One report that nothing stands behind, for both directions. */
byte hint = 0;
#endif

#define LEVELS ((level[READ] > 0) | ((level[WRITE] > 0) << 1))

/* From watching to a report of `mask`, after which the kernel knows nothing any more. */
inline kernel_report(mask) {
  report = mask;
  silenced = silenced | (interest & ~(mask));
  interest = 0
}

/* EPOLL_CTL_ADD looks at the level at once; port_associate() with an empty set finds nothing. */
inline kernel_add(token) {
  d_step {
    report_token = token;
#ifdef FORGETTING
    report = 0;
#else
    report = LEVELS;
#endif
    interest = 0;
    silenced = 0;
    is_removed = false
  }
}

/* port_associate(): replaces interest, token and what was queued; looks at the level once. */
inline kernel_arm(token, mask) {
  is_refused = false;
#ifdef TROUBLE
  if
  :: may_refuse -> may_refuse = false; is_refused = true
  :: true
  fi;
#endif
  d_step {
    PROMISE(owner[fd] != FREE, "broken: G1: a closed number was associated\n");
    PROMISE(owner[fd] != STRANGER, "broken: G1: the number of a stranger was associated\n");
    PROMISE(owner[fd] == token, "broken: G3: a report of an earlier life armed a later one\n");
    PROMISE(!is_removed, "broken: G1: a descriptor was associated after its close\n");
    if
    :: is_refused
    :: else ->
       report_token = token;
       interest = mask;
       silenced = silenced & ~(mask);
       report = 0;
       if
       :: (LEVELS & interest) != 0 -> kernel_report(LEVELS & interest)
       :: else
       fi
    fi
  }
}

/* EPOLL_CTL_DEL, port_dissociate(): also what was queued is gone, but not what was retrieved. */
inline kernel_remove(life) {
  d_step {
    PROMISE(owner[fd] == life, "broken: G1: a number was removed after it was closed\n");
    report = 0;
    interest = 0;
    is_removed = true
  }
}

/* A close() ends what the kernel knows of the file; the number is anybody's. */
inline kernel_close(life) {
  d_step {
    PROMISE(owner[fd] == life, "broken: G4: a number was closed that was not ours any more\n");
    PROMISE(!(life_inside[READ] || life_inside[WRITE]),
            "broken: G4: a number was closed under an operation\n");
    owner[fd] = FREE;
    file = 0;
    level[READ] = 0;
    level[WRITE] = 0;
    supply[READ] = 0;
    supply[WRITE] = 0;
    report = 0;
    interest = 0;
    silenced = 0
  }
}

/* The file changes, and the kernel reports it to whom it watches for. */
inline kernel_change(direction) {
  level[direction]++;
#ifdef FORGETTING
  if
  :: (interest & BIT(direction)) != 0 -> kernel_report(BIT(direction))
  :: else
  fi
#else
  if
  :: !is_removed && report_token == file -> report = BOTH
  :: else
  fi
#endif
}

/* A hang-up, an error or nothing at all; unasked. */
inline kernel_hint() {
  d_step {
    file != 0 && !is_removed && report_token == file && may_hint;
    may_hint = false;
#ifdef FORGETTING
    kernel_report(BOTH)
#else
    report = BOTH;
    hint = BOTH
#endif
  }
}

/* --- Mutex, Lifetime. --- */

inline lock() { mu == 0; mu = 1 + _pid }
inline unlock() { mu = 0 }

/* Lifetime::leave(): the last one out of a closed life must close the number. */
inline leave_word() {
  PROMISE(life_refs > 0, "broken: G4: more left than entered\n");
  life_refs--;
  is_last_out = (life_closed && life_refs == 0)
}

/* PollerCore::finish(). */
inline finish(life) {
  kernel_close(life);
  slot_is_free = true /* DescriptorTable::free(). */
}

inline finish_if_last(life) {
  if
#ifndef NO_OPERATION_REF
  :: is_last_out -> finish(life)
#endif
  :: else
  fi
}

/* --- WaitWord: those who end a wait. --- */

/* publish(). `taken` gains the direction's bit if a waiter was there. */
inline publish_word(d) {
  if
  :: word[d] == parked -> word[d] = idle; reason[d] = for_readiness; taken = taken | BIT(d)
#ifndef NO_CLOSED_FOR_GOOD
  :: word[d] == closed
#endif
  :: else -> word[d] = ready
  fi
}

/* Descriptor::publish_one(). */
inline publish(d) {
  if
  :: (mask & BIT(d)) != 0 ->
#ifdef NO_PUBLISH_RECHECK
     seen = word[d];
     d_step {
       if
       :: seen == parked -> word[d] = idle; reason[d] = for_readiness; taken = taken | BIT(d)
       :: seen == closed
       :: else -> word[d] = ready
       fi;
       seen = idle
     }
#else
     d_step { publish_word(d) }
#endif
  :: else
  fi
}

/* withdraw(). */
inline withdraw(d, why) {
  if
  :: word[d] == parking -> word[d] = idle
  :: word[d] == parked -> word[d] = idle; reason[d] = why; taken = taken | BIT(d)
  :: else
  fi
}

/* close(). */
inline close_word(d) {
  d_step {
    if
    :: word[d] == parked -> reason[d] = for_close; taken = taken | BIT(d)
    :: else
    fi;
    word[d] = closed
  }
}

/* Worker::wake(), and what it may count on. */
inline wake(d) {
  if
  :: (taken & BIT(d)) != 0 ->
     d_step {
       PROMISE(mu != 1 + _pid, "broken: G7: a waiter was woken under the lock\n");
       PROMISE(asleep[d], "broken: G2: a waiter was woken twice\n");
       PROMISE(!on_stack[d], "broken: G2: a fiber was woken that was still on its stack\n");
       asleep[d] = false;
       taken = taken & ~BIT(d)
     }
  :: else
  fi
}

inline wake_all() {
  wake(READ);
  wake(WRITE)
}

/* --- The fibers: Operation, one after the other. --- */

/* PollerCore::arm_forgetting(). */
inline arm() {
  atomic {
#ifndef NO_ARM_LOCK
    lock();
#endif
    if
    :: ARM_SEES_CLOSING || ARM_SEES_REUSE -> result = is_closed
    :: else -> mask = armed
    fi
  };
  atomic {
    if
    :: result == is_closed || (mask & BIT(d)) != 0
    :: else ->
       mask = mask | BIT(d);
       kernel_arm(g, mask);
       if
       :: is_refused -> result = refused
       :: else -> armed = mask
       fi
    fi;
    mask = 0;
    is_refused = false;
#ifndef NO_ARM_LOCK
    unlock()
#endif
  }
}

/* WaitWord::commit(), made by the side that arrives when the fiber has left its stack. */
inline commit() {
  d_step {
    seen = word[d];
#ifdef NO_COMMIT_RECHECK
    seen = parking;
#endif
    if
    :: seen == parking -> word[d] = parked; asleep[d] = true
    :: else
    fi
  }
}

/* Its second look, which may find the word closed. */
inline consume() {
  d_step {
    if
    :: word[d] == ready -> word[d] = idle
    :: else -> seen = idle
    fi
  }
}

/* Worker::leave_fiber(). */
inline leave_stack() {
  d_step {
    PROMISE(mu != 1 + _pid, "broken: G7: a fiber left its stack with the lock\n");
    on_stack[d] = false
  }
}

proctype fiber(byte d) {
  byte g = 1;
  byte mask = 0;
  bool is_last_out = false;
  bool is_refused = false;
  mtype result = done;
  mtype seen = idle;

next_operation: /* Operation::Operation(): Lifetime::enter(). */
  atomic {
    if
    :: IS_THE_LIFE(g) && !life_closed ->
       life_refs++;
       life_inside[d] = true
    :: else -> result = is_closed; goto ended
    fi
  };

try: /* read() or write(). */
  atomic {
    PROMISE(owner[fd] == g, "broken: G4: a system call met another file under its number\n");
    if
    :: level[d] > 0 -> level[d]--; goto leave
    :: else
    fi
  };

wait: /* Operation::wait_exclusively(): WaitWord::prepare(). */
  atomic {
    if
    :: word[d] == idle -> word[d] = parking
    :: word[d] == ready -> word[d] = idle; goto try
    :: word[d] == closed -> result = is_closed; goto leave
    fi
  };
  if
  :: d == READ && ((timed && time_is_up) || (!timed && standing_is_up)) -> result = timed_out
  :: else
#ifdef FORGETTING
     -> arm()
#endif
  fi;
  if
  :: result != done ->
     atomic { /* WaitWord::withdraw(): our own `parking`, or what has come instead. */
       if
       :: word[d] == parking -> word[d] = idle
       :: else
       fi;
       goto leave
     }
  :: else
  fi;

  /* wait_on(), wait_with_timer(), Worker::park(). */
  if
  :: d == READ && timed -> timer_started = true
  :: else
  fi;
#ifdef COMMIT_BEFORE_SWITCH
  commit();
  leave_stack();
#else
  atomic { leave_stack(); commit() };
#endif
  if
  :: seen == parking ->
end_asleep:
     !asleep[d]
  :: seen == ready -> consume()
  :: else
  fi;
  on_stack[d] = true;
  if
  :: d == READ && timed -> timer_started = false
  :: else
  fi;
  atomic {
    if
    :: seen == idle || seen == closed -> seen = idle; goto wait /* Disturbed. */
    :: seen == ready -> seen = idle; goto try                   /* Consumed. */
    :: else -> seen = idle
    fi;
    PROMISE(reason[d] != for_deadline || (d == READ && timed && time_is_up),
            "broken: G2: a wait without a deadline timed out\n");
    PROMISE(reason[d] != for_close || life_closed,
            "broken: G2: a wait was closed whose descriptor was open\n");
    if
    :: reason[d] == for_readiness -> goto try
    :: reason[d] == for_deadline -> result = timed_out
    :: reason[d] == for_close -> result = is_closed
    fi;
    reason[d] = for_readiness
  };

leave:
  atomic {
    life_inside[d] = false;
    leave_word()
  };
  finish_if_last(g);

ended:
  atomic {
    if
    :: result == timed_out && timed -> timed = false; result = done; goto next_operation
    :: result == timed_out && !timed -> goto no_more
    :: result == refused -> result = done; goto next_operation
    :: result == is_closed
    :: else -> /* Done. Goes on while there is something to come, or to learn of the close. */
       if
       :: d == READ -> timed = false
       :: else
       fi;
       if
#ifdef FOREVER
       :: goto next_operation
       :: goto no_more
#else
       :: supply[d] + level[d] > 0 || file != g -> goto next_operation
       :: else -> goto no_more
#endif
       fi
    fi
  };
end_closed: /* Goes on in the next life, if there is one. */
  atomic {
    if
    :: handle > g -> g++; result = done; goto next_operation
    :: is_last && handle == g
    fi
  };
no_more:
  skip
}

/* --- The poll loop: PollerCore::collect(), deliver(). --- */

inline rearm() {
  atomic {
#ifndef NO_REARM_LOCK
    lock();
#endif
    if
    :: REARM_SEES_CLOSING || REARM_SEES_REUSE -> left = 0
    :: else -> left = armed & ~mask; armed = left
    fi
  };
  atomic {
    if
#ifndef NO_REARM
    :: left != 0 ->
       kernel_arm(token, left);
       if
#ifndef NO_WAKE_ON_REFUSAL
       :: is_refused -> armed = 0; mask = BOTH
#endif
       :: else
       fi
#endif
    :: else
    fi;
    left = 0;
    is_refused = false;
#ifndef NO_REARM_LOCK
    unlock()
#endif
  }
}

proctype collector() {
  byte token = 0;
  byte mask = 0;
  byte left = 0;
  byte taken = 0;
  bool is_refused = false;
  mtype seen = idle;

end_wait: /* Backend::wait(): the mask of an edge is that of now. */
  atomic {
    report != 0;
    token = report_token;
#ifdef FORGETTING
    mask = report;
#else
    mask = LEVELS;
#ifdef TROUBLE
    mask = mask | hint;
    hint = 0;
#endif
#endif
    report = 0;
    if
    :: mask == 0 -> token = 0; goto end_wait
    :: else
    fi
  };
  atomic {
    if
    :: !IS_OPEN(token) -> token = 0; mask = 0; goto end_wait
    :: else
    fi;
    PROMISE(life_generation == token,
            "broken: G3: a report of an earlier life acted on a later one\n")
  };
#ifdef PUBLISH_BEFORE_REARM
  publish(READ);
  publish(WRITE);
#endif
#ifdef FORGETTING
  rearm();
#endif
#ifndef PUBLISH_BEFORE_REARM
  publish(READ);
  publish(WRITE);
#endif
  wake_all();
  atomic { token = 0; mask = 0; goto end_wait }
}

/* --- Those who close and open. --- */

/* PollerCore::disconnect(). */
inline disconnect(life) {
  atomic {
#ifndef NO_DISCONNECT_LOCK
    lock();
#endif
    closing = true
  };
#ifdef WAKE_UNDER_LOCK
  close_word(READ);
  close_word(WRITE);
  wake_all();
#endif
#ifndef NO_DISCONNECT_LOCK
  unlock();
#endif
#ifndef CLOSE_BEFORE_REMOVE
  kernel_remove(life)
#endif
}

/* PollerCore::close() and Fd::close(). */
inline close_it(life) {
  d_step {
    won = (IS_THE_LIFE(life) && IS_FIRST_CLOSE);
    if
    :: won -> life_closed = true
    :: else
    fi
  };
  if
  :: won ->
     disconnect(life);
     close_word(READ);
     close_word(WRITE);
     d_step { leave_word() };
#ifdef NO_OPERATION_REF
     finish(life);
#else
     finish_if_last(life);
#endif
#ifdef CLOSE_BEFORE_REMOVE
     kernel_remove(life);
#endif
     wake_all()
  :: else
  fi
}

/* The kernel gives out the lowest number that is free. */
inline open_number(number) {
  d_step {
    number = 0;
    do
    :: owner[number] != FREE -> number++
    :: else -> break
    od;
    owner[number] = generation + 1;
    file = generation + 1;
    supply[READ] = 1;
    supply[WRITE] = 1
  }
}

/* DescriptorTable::allocate(), PollerCore::add(), Descriptor::begin_life(). */
inline open_it() {
  open_number(number);
  d_step { slot_is_free; slot_is_free = false };
  d_step { word[READ] = idle; word[WRITE] = idle };
  atomic { lock(); fd = number; generation++; armed = 0; closing = false; unlock() };
  d_step { life_generation = generation; life_closed = false; life_refs = 1; number = 0 };
  kernel_add(generation);
  handle = generation
}

proctype closer() {
  byte number = 0;
  byte taken = 0;
  bool is_last_out = false;
  bool won = false;

  if
#ifndef KEEP_OPEN
  :: close_it(1);
#endif
#ifdef REUSE
end_free:
     if
     :: slot_is_free -> open_it()
     fi
#endif
  :: skip
  fi;
  is_last = true
}

/* --- The third party. --- */

#ifdef CLOCK
/* Timers::expire(): picks and withdraws under the lock that stop() takes, wakes after it. */
proctype third() {
  byte taken = 0;

  time_is_up = true;
end_clock:
#ifdef NO_TIMER_LOCK
  atomic { timer_started; timer_started = false };
  d_step { withdraw(READ, for_deadline) };
#else
  atomic { timer_started; timer_started = false; withdraw(READ, for_deadline) };
#endif
  wake(READ);
  goto end_clock
}
#endif

#ifdef SETTER
/* FdAccess::set_deadline(), to an instant that has passed. */
proctype third() {
  byte taken = 0;
  bool is_last_out = false;

  atomic {
    if
    :: life_generation == 1 && !life_closed -> life_refs++
    :: else -> goto too_late
    fi
  };
#ifndef WITHDRAW_BEFORE_STORE
  standing_is_up = true;
#endif
  d_step { withdraw(READ, for_readiness) };
#ifdef WITHDRAW_BEFORE_STORE
  standing_is_up = true;
#endif
  wake(READ);
  atomic { leave_word() };
  finish_if_last(1);
too_late:
  skip
}
#endif

#ifdef SECOND_CLOSER
proctype third() {
  byte taken = 0;
  bool is_last_out = false;
  bool won = false;

  close_it(1)
}
#endif

/* --- The world: the peer, and whoever opens numbers. --- */

#ifdef FOREVER
#define CAN_SEND(d) (supply[d] > 0 && level[d] == 0)
#else
#define CAN_SEND(d) (supply[d] > 0)
#endif

inline send(d) {
  d_step {
    file != 0 && CAN_SEND(d) ->
#ifndef FOREVER
    supply[d]--;
#endif
    kernel_change(d)
  }
}

proctype world() {
end_world:
  do
  :: send(READ)
  :: send(WRITE)
#ifdef TROUBLE
  :: kernel_hint()
#endif
  :: d_step { owner[0] == FREE -> owner[0] = STRANGER }
  od
}

/* --- What must happen in the end, for -DFOREVER. --- */

#ifdef FOREVER
#define READER_IS_DUE (asleep[READ] && \
  (level[READ] > 0 || life_closed || (timed && time_is_up) || (!timed && standing_is_up)))
#define WRITER_IS_DUE (asleep[WRITE] && (level[WRITE] > 0 || life_closed))

ltl g2_g5_reader { [] (READER_IS_DUE -> <> !asleep[READ]) }
ltl g5_g6_writer { [] (WRITER_IS_DUE -> <> !asleep[WRITE]) }
ltl g4_number { [] (life_closed -> <> (file == 0 || !life_closed)) }
#endif

init {
  d_step {
    owner[0] = 1;
    supply[WRITE] = 1
  };
  atomic {
#ifdef CLOCK
    timed = true;
#endif
#ifdef TROUBLE
    if
    :: may_refuse = true
    :: may_hint = true
    fi;
#endif
    if
    :: supply[READ] = READS
    :: supply[READ] = 0
    fi;
    run fiber(READ);
    run fiber(WRITE);
    run collector();
    run closer();
#if defined(CLOCK) || defined(SETTER) || defined(SECOND_CLOSER)
    run third();
#endif
    run world()
  }
#ifndef FOREVER
  ;
  /* When nothing can move. */
  atomic {
    timeout ->
    PROMISE(mu == 0, "broken: G7: a lock is held for ever\n");
    PROMISE(!(asleep[READ] || asleep[WRITE]) || !life_closed,
            "broken: G2: a waiter sleeps though its descriptor is closed\n");
    PROMISE(!(asleep[READ] && timed && time_is_up),
            "broken: G2: a waiter sleeps though its deadline has passed\n");
    PROMISE(!(asleep[READ] && !timed && standing_is_up),
            "broken: G2: a waiter sleeps though its deadline was changed\n");
    PROMISE(!(asleep[READ] && level[READ] > 0 && (silenced & BIT(READ)) != 0),
            "broken: G6: a report for writing cost the reader its wake-up\n");
    PROMISE(!(asleep[WRITE] && level[WRITE] > 0 && (silenced & BIT(WRITE)) != 0),
            "broken: G6: a report for reading cost the writer its wake-up\n");
    PROMISE(!(asleep[READ] && level[READ] > 0), "broken: G5: the reader missed its data\n");
    PROMISE(!(asleep[WRITE] && level[WRITE] > 0), "broken: G5: the writer missed its room\n");
    PROMISE(life_closed == (file == 0) || !life_closed,
            "broken: G4: a closed descriptor's number stays open\n")
  }
#endif
}
