"""The mutants of sync, and of how requests to stop reach a wait; see mutants.py."""

MUTANTS = [
    ('stop-unseen', 'src/base/stop_word.h',
     'a request that comes between the announcement and the look at it is lost', [
         ('    requested_.store(true, kSeqCst);\n    return disturb(memory);\n',
          '    Waiter* const waiter = disturb(memory);\n    requested_.store(true, kSeqCst);\n'
          '    return waiter;\n'),
     ]),
    ('stop-stranger', 'src/base/wait_word.h',
     'a request takes out whoever waits in the word by now', [
         ('(is_waiter(old) && old >= from && old < to);',
          '(is_waiter(old) && (old >= from || old < to));'),
     ]),
    ('stop-parking', 'src/base/wait_word.h',
     'a request does not reach a wait that is about to park', [
         ('      const bool is_meant = old == kParking || (is_waiter',
          '      const bool is_meant = (is_waiter'),
     ]),
    ('stop-shield', 'src/base/stop_word.h',
     'a shield does not hold off a request', [
         ('return requested_.load(kSeqCst) && shields_ == 0;',
          'return requested_.load(kSeqCst);'),
     ]),
    ('stop-wait-refused', 'src/sched/wait.cc',
     'a wait that begins after a request sleeps', [
         ('!self->stop.word().is_requested() && !self->scheduler.run_state().is_stopping()',
          '!self->scheduler.run_state().is_stopping()'),
     ]),
    ('stop-crosses-events', 'src/sched/wait.h',
     'a request to stop that crosses the end of a run cancels a wait for an event of the next', [
         ('return reason == WakeReason::kCancelled ? std::nullopt : reason;',
          'return reason;'),
     ]),
    ('stop-crosses-tokens', 'src/sched/stop_state.h',
     'the same, of a token', [
         ('    if (!run.is_stopping()) unheard_ = 0;\n',
          '    static_cast<void>(run);\n'),
     ]),
    ('stop-list-left', 'src/sched/fiber.cc',
     'a fiber that has ended is asked to stop with its run', [
         ('  self.stop.leave_list();\n',
          ''),
     ]),
    ('mutex-woken', 'src/sync/mutex.cc',
     'one who was called in vain keeps the next from being called', [
         ('    const std::uint32_t stands = (is_refused ? old : old | kWaiters) & ~done;\n',
          '    const std::uint32_t stands = is_refused ? old : old | kWaiters;\n'),
     ]),
    ('mutex-insists', 'src/sync/mutex.cc',
     'one who was called in vain is not handed the lock, and may be overtaken for ever', [
         ('      is_handed = first->insists_;\n',
          '      is_handed = false;\n'),
     ]),
    ('mutex-freed-first', 'src/sync/mutex.cc',
     'a lock that is handed over is free as well', [
         ('    if (is_handed) break;\n',
          ''),
     ]),
    ('mutex-line', 'src/sync/mutex.cc',
     'who stands in line is not announced to the owner', [
         ('(is_refused ? old : old | kWaiters) & ~done;',
          'old & ~done;'),
     ]),
    ('notice-lock', 'src/sync/mutex.cc',
     'who is notified goes on without the lock', [
         ('      wait.is_handed_ = is_free;\n',
          '      wait.is_handed_ = true;\n'),
     ]),
    ('permit-late', 'src/sync/line.cc',
     'a permit that is given as the deadline passes is lost', [
         ('    if (begun == Begun::kReady || !queue.remove(*this)) return Ended::kGiven;\n',
          '    static_cast<void>(queue.remove(*this));\n'),
     ]),
    ('permit-twice', 'src/sync/semaphore.cc',
     'a permit is given and kept', [
         ('line.queue.give(woken)) --permits;',
          'line.queue.give(woken)) break;'),
     ]),
    ('permit-waiters', 'src/sync/semaphore.cc',
     'the last who gives up leaves word that somebody waits', [
         ('    if (ended != Ended::kGiven) {\n'
          '      MutexLock lock(line.mu);\n'
          '      forget_waiters();\n'
          '    }\n',
          ''),
     ]),
    ('gate-recheck', 'src/sync/count_gate.cc',
     'who comes as the gate opens sleeps beside it', [
         ('      if (old < kOne) return Ended::kGiven;\n',
          ''),
     ]),
    ('gate-first-alone', 'src/sync/count_gate.cc',
     'the gate opens for the first in line alone', [
         ('    while (line_.queue.give(woken)) {\n    }\n',
          '    static_cast<void>(line_.queue.give(woken));\n'),
     ]),
    ('shared-starved', 'src/sync/shared_mutex.cc',
     'readers overtake a writer in line', [
         ('old == 0 : (old & (kWaiters | kWriter)) == 0;',
          'old == 0 : (old & kWriter) == 0;'),
     ]),
    ('shared-behind', 'src/sync/shared_mutex.cc',
     'a writer who gives up leaves the readers behind him in line', [
         ('    if (ended == Ended::kGiven) return ended;\n'
          '    {\n'
          '      MutexLock lock(line.mu);\n'
          '      hand_over(woken);\n'
          '    }\n',
          '    if (ended == Ended::kGiven) return ended;\n'),
     ]),
    ('channel-closed', 'src/sync/channel.cc',
     'a close leaves those who receive asleep', [
         ('    for (WaitQueue* const queue : {&senders_, &receivers_}) {\n',
          '    for (WaitQueue* const queue : {&senders_}) {\n'),
     ]),
    ('channel-order', 'src/sync/channel.cc',
     'a value is pushed before it is popped: the ring is written over', [
         ('  const bool has_value = size_ != 0;\n  if (has_value) pop(value);\n',
          '  const bool has_value = size_ != 0;\n'),
         ('  if (has_value) return Tried::kDone;\n',
          '  if (has_value) {\n    pop(value);\n    return Tried::kDone;\n  }\n'),
     ]),
    ('select-passed-over', 'src/sync/line.h',
     'a giver who came while the waiter tried is not looked for again', [
         ('    if (!claim.reopen()) was_passed_over = true;\n',
          '    static_cast<void>(claim.reopen());\n'),
     ]),
    ('select-two', 'src/base/claim.h',
     'a waiter that tries is given something by another', [
         ('    return old == kOpen;\n',
          '    return true;\n'),
     ]),
    ('group-late', 'src/sync/task_group.cc',
     'a task that begins after the stop is not stopped', [
         ('      is_late = is_stopped_;\n',
          ''),
     ]),
    ('group-unheard', 'src/sync/task_group.cc',
     'the tokens of a group are not told that it is stopped', [
         ('    while (const auto ear = next_ear()) ear->hear();\n',
          ''),
     ]),
    ('group-ears', 'src/sync/task_group.cc',
     'only the first token of a group is told', [
         ('      members_.remove(one);\n      members_.push_back(one);\n      --unheard_;\n',
          '      --unheard_;\n'),
     ]),
    ('barrier-left', 'src/sync/barrier.cc',
     'one who has left a barrier is counted nevertheless', [
         ('      if (turn != came) return Ended::kGiven;\n      --arrived;\n',
          '      if (turn != came) return Ended::kGiven;\n'),
     ]),
    ('once-retry', 'src/sync/once.cc',
     'after an exception nobody does it', [
         ('      while (line.queue.give(woken) && done) {\n      }\n',
          '      while (done && line.queue.give(woken)) {\n      }\n'),
     ]),
]
