"""The mutants of base, sched and testing; see mutants.py for what an entry is."""

MUTANTS = [
    ('switch-under-lock', 'src/sched/stack_context.h',
     'G7: a lock held across a switch is not noticed', [
         ('  check_no_lock_held();\n',
          ''),
     ]),
    ('rest-second-look', 'src/sched/worker.cc',
     'a worker sleeps without looking for work once more', [
         ('  if ((scheduler_.has_work() || scheduler_.poll_turn_is_free()) && '
          'idle.leave(sleeper_)) return;\n',
          ''),
     ]),
    ('rest-poll-turn', 'src/sched/worker.cc',
     'nobody waits in the kernel: the poll turn came free meanwhile', [
         ('(scheduler_.has_work() || scheduler_.poll_turn_is_free()) &&',
          'scheduler_.has_work() &&'),
     ]),
    ('pick-second-look', 'src/sched/idle.h',
     'a search that found nobody is taken back, and a sleeper that came meanwhile is not seen', [
         ('    while (anybody()) {\n',
          '    if (anybody()) {\n'),
     ]),
    ('batch-wakes-nobody', 'src/sched/worker.cc',
     'of a batch from the kernel or the timers the whole is for one worker', [
         ('  if (push_arrivals(waiters) > 1) scheduler_.work_added();\n',
          '  (void)push_arrivals(waiters);\n'),
     ]),
    ('slice-wakes-nobody', 'src/sched/worker.cc',
     'of what is found at the end of a slice the whole is for one worker', [
         ('  if (pushed != 0) scheduler_.work_added();\n',
          ''),
     ]),
    ('turn-given-late', 'src/sched/worker.cc',
     'a worker that is woken for a batch finds the poll turn taken', [
         ('    scheduler_.give_poll_turn();\n    enqueue(ready);\n',
          '    enqueue(ready);\n    scheduler_.give_poll_turn();\n'),
     ]),
    ('found-passes-on', 'src/sched/worker.cc',
     'a worker that found something does not wake the next one', [
         ('    if (scheduler_.has_work()) scheduler_.wake_one();\n',
          ''),
     ]),
    ('inject-uncounted', 'src/sched/scheduler.cc',
     'a runtime is destroyed while somebody who has injected its last fiber looks whom to wake', [
         ('void Scheduler::inject(Fiber& fiber) {\n  const Outside outside(*this);\n',
          'void Scheduler::inject(Fiber& fiber) {\n'),
     ]),
    ('stop-uncounted', 'src/sched/scheduler.cc',
     'a runtime is destroyed while the stop that has ended its last fiber goes on', [
         ('  const Outside outside(*this);  // A fiber may see the flag, and be the last one.\n',
          ''),
     ]),
    ('end-unchecked', 'src/sched/scheduler.cc',
     'of two workers whose last fibers end at once neither sees the other', [
         ('  if (processors_.size() > 1) end_checks_.fetch_add(1, kAcqRel);\n',
          ''),
     ]),
    ('search-outlives-run', 'src/sched/scheduler.cc',
     'a search that the end of a run has cut short keeps workers asleep in the next one', [
         ('  idle_.done_searching();  '
          '// Whoever was searching at the end of the last run() is gone.\n',
          ''),
     ]),
    ('spawn-counted-elsewhere', 'src/sched/spawn.cc',
     'a fiber is counted by the worker that its spawner has left', [
         ('  worker = Worker::current();\n'
          '  if (worker != nullptr && &worker->scheduler() == &scheduler) {\n',
          '  if (worker != nullptr && &worker->scheduler() == &scheduler) {\n'),
     ]),
    ('parker-token', 'src/base/thread_parker.cc',
     'a token that comes at the deadline is not taken', [
         ('std::cv_status::timeout && !token_)', 'std::cv_status::timeout)'),
     ]),
    ('monitor-blind', 'src/sched/monitor.cc',
     'what waits behind a fiber that computes is not seen', [
         ('    if (processors[i]->has_work() && switches == switches_[i]) {\n',
          '    if (switches == switches_[i] && switches == ~std::uint64_t{0}) {\n'),
     ]),
    ('monitor-turn', 'src/sched/monitor.cc',
     'that nobody polls is not seen', [
         ('  if (scheduler_.poll_turn_is_free() && poll_turns == poll_turns_) stuck = true;\n',
          ''),
     ]),
    ('monitor-sleeps-unannounced', 'src/sched/monitor.cc',
     'the monitor looks who rests before it says that it sleeps: nobody kicks it', [
         ('    asleep_.store(true, kSeqCst);\n'
          '    if (resting_.load(kSeqCst) == scheduler_.processors().size()) {\n',
          '    if (resting_.load(kSeqCst) == scheduler_.processors().size()) {\n'
          '      asleep_.store(true, kSeqCst);\n'),
     ]),
    ('monitor-kicked-early', 'src/sched/monitor.h',
     'a worker looks whether the monitor sleeps before it says that it runs', [
         ('    resting_.fetch_sub(1, kSeqCst);\n'
          '    if (asleep_.load(kSeqCst)) kick();\n',
          '    if (asleep_.load(kSeqCst)) kick();\n'
          '    resting_.fetch_sub(1, kSeqCst);\n'),
     ]),
    ('waits-between-runs', 'src/base/run_state.h',
     'a plain thread that parks after a run has ended is left behind', [
         ('word_.store(kBetween, kSeqCst)',
          'word_.store(0, kSeqCst)'),
     ]),
    ('stop-before-run', 'src/base/run_state.h',
     'a request to stop that came before the run does not hold for it', [
         ('word_.fetch_and(~kBetween, kSeqCst)',
          'word_.store(0, kSeqCst)'),
     ]),
    ('stop-order', 'src/sched/scheduler.cc',
     'R20: waits that begin during a stop are not cancelled', [
         ('  run_state_.request_stop();\n',
          ''),
         ('  Worker::wake(cancelled);\n}',
          '  Worker::wake(cancelled);\n  run_state_.request_stop();\n}'),
     ]),
    ('stop-crosses-runs', 'src/sched/scheduler.cc',
     'a request to stop that crosses the end of a run cancels a wait of the next one', [
         ('  run_state_.end_run();\n',
          '  const bool stopped = run_state_.is_stopping();\n  run_state_.end_run();\n'
          '  if (stopped) run_state_.request_stop();\n'),
     ]),
    ('stop-crosses-sleeps', 'src/sched/this_fiber.cc',
     'the same, of a sleep', [
         ('    if (reason == WakeReason::kTimedOut) return {};\n    // Stopped',
          '    if (reason == WakeReason::kTimedOut) return {};\n'
          '    if (!reason) return std::unexpected(Errc::kCancelled);\n'
          '    // Stopped'),
     ]),
    ('timers-before-kernel', 'src/sched/worker.cc',
     'while timers are always due, the kernel is never asked', [
         ('  if (scheduler_.take_poll_turn()) {\n    WaiterList ready = '
          'scheduler_.poller().collect(',
          '  if (first == nullptr && scheduler_.take_poll_turn()) {\n    WaiterList ready = '
          'scheduler_.poller().collect('),
     ]),
    ('queue-before-arrivals', 'src/sched/worker.cc',
     'what comes from outside waits behind the whole queue', [
         ('  if (!processor_.arrivals.push(fiber)) [[unlikely]]\n    push_back(fiber);',
          '  push_back(fiber);'),
     ]),
    ('arrivals-always-first', 'src/sched/worker.cc',
     'what comes from outside starves the queue', [
         ('first_ == &processor_.arrivals && !processor_.arrivals.is_empty();',
          'false;'),
     ]),
    ('joiner-goes-on', 'src/sched/fiber.cc',
     'a chain of joiners keeps everything outside waiting', [
         (' && !worker.has_to_look_outside();',
          ';'),
     ]),
    ('long-runs-unseen', 'src/sched/pace.h',
     'the clock is read at every eighth switch, whatever fibers do', [
         ('    if (exact_readings_ > 0) {',
          '    if (exact_readings_ < 0) {'),
         ('    } else if (took > slice_ns_ / 8) {\n      stride_ = 1;\n',
          '    } else if (took > slice_ns_ / 8) {\n      stride_ = kMaxStride;\n'),
         ('    if (slice_is_over_) stride_ = 1;\n',
          ''),
     ]),
    ('turn-not-handed-on', 'src/sched/worker.cc',
     'nobody polls while a fiber computes of which it is known that it does', [
         ('  if (scheduler_.poll_turn_is_free()) scheduler_.work_added();\n',
          ''),
     ]),
    ('rests-unread', 'src/sched/worker.cc',
     'a fiber that runs long is never known for it if its worker rests after each run', [
         ('    if (scheduler_.processors().size() > 1) pace_.end_runs();\n',
          ''),
     ]),
    ('next-slot-at-once', 'src/sched/worker.cc',
     'a pair of fibers is torn apart whenever a worker looks for work', [
         ('return victim.stands_still() ? victim.queue.steal_next() : nullptr;',
          'return victim.queue.steal_next();'),
     ]),
    ('next-slot-never', 'src/sched/monitor.cc',
     'what a fiber that computes has woken waits for it', [
         ('      processors[i]->note_standstill(switches);\n',
          ''),
     ]),
    ('quota-of-the-group-alone', 'src/sched/usable_processors.cc',
     'the quota of a group above is not looked at', [
         ('    if (path.empty()) return least;',
          '    return least;'),
     ]),
    ('finish-second-look', 'src/sched/scheduler.cc',
     'a run ends under a fiber that was spawned from outside just now', [
         ('    if (alive() != 0) return false;\n',
          ''),
     ]),
    ('take-after-finish', 'src/sched/shared_fibers.h',
     'a fiber is begun after the end of the run, and left half-way', [
         ('    if (is_closed_) return share;\n',
          ''),
     ]),
    ('alive-order', 'src/sched/scheduler.cc',
     'a run ends under a living fiber: starts are summed before ends', [
         ('  std::uint64_t ended = 0;\n'
          '  for (const auto& processor : processors_) ended += processor->ended.load(kAcquire);\n',
          ''),
         ('  return spawned - ended;',
          '  std::uint64_t ended = 0;\n'
          '  for (const auto& processor : processors_) ended += processor->ended.load(kAcquire);\n'
          '  return spawned - ended;'),
     ]),
    ('result-in-switch', 'src/sched/fiber.cc',
     'the result of a detached fiber is destroyed while the next fiber arrives', [
         ('  if (self.done.is_closed()) drop_result(self);\n',
          ''),
         ('} else if (found.closed && fiber.task != nullptr) {',
          '} else if (found.closed && false) {'),
     ]),
    ('result-in-late-switch', 'src/sched/fiber.cc',
     'the same, of a fiber whose handle is dropped as it ends', [
         ('} else if (found.closed && fiber.task != nullptr) {',
          '} else if (found.closed && false) {'),
     ]),
    ('join-nobody', 'src/sched/join.cc',
     'a handle that was joined before is joined', [
         ('      fiber != nullptr,\n',
          '      fiber != nullptr || true,\n'),
     ]),
    ('join-before-leaving', 'src/sched/fiber.cc',
     'a joiner goes on while the fiber that ended is still on its stack', [
         ('  self.leave.waiter = is_ours ? nullptr : waiter;\n'
          '  return worker.exit(self, is_ours ? joiner : nullptr, &settle_joined);',
          '  self.leave.waiter = nullptr;\n'
          '  (void)is_ours;\n'
          '  Worker::wake(*waiter);\n'
          '  return worker.exit(self, nullptr, &settle_joined);'),
     ]),
    ('join-put-back', 'src/sched/join.cc',
     'a second join waits for ever: the end was consumed by the first', [
         ('    if (reason == WakeReason::kReady) {\n'
          '      fiber.done.put_back();\n',
          '    if (reason == WakeReason::kReady) {\n'),
     ]),
    ('ring-sideways', 'src/sched/join_ring.h',
     'the join that starts a ring is not counted, so that the one that closes it does not look', [
         ('    if (is_sideways_) sideways_.fetch_add(1, kSeqCst);\n',
          ''),
     ]),
    ('ring-withdraw', 'src/sched/join_ring.cc',
     'a join that was told that it could not end leaves its announcement behind', [
         ('    static_cast<void>(joined_.done.withdraw());',
          '    // '),
     ]),
    ('ring-lock', 'src/sched/join_ring.cc',
     'who leaves a ring may be gone under the look of another', [
         ('  MutexLock lock(mu_);\n',
          ''),
     ]),
    ('exit-under-fibers', 'src/sched/runtime.cc',
     'exit() beside a static runtime aborts', [
         ('  if (!detail::ProcessExit::has_begun()) delete',
          '  delete'),
     ]),
    ('first-exception-unheard', 'src/sched/fiber.cc',
     'the first fiber throws, and run() waits for fibers that wait', [
         ('    scheduler.request_stop();\n',
          ''),
     ]),
    ('state-queued-twice', 'src/sched/worker.cc',
     'a fiber whose park was overtaken is in two queues', [
         ('    unpark(left);\n'
          '    current()->push_ready(left);\n',
          '    unpark(left);\n'
          '    current()->push_ready(left);\n'
          '    current()->push_back(left);\n'),
     ]),
    ('state-woken-running', 'src/sched/fiber.cc',
     'a joiner that goes on at once is woken, too', [
         ('  self.leave.waiter = is_ours ? nullptr : waiter;\n',
          '  self.leave.waiter = waiter;\n'),
     ]),
    ('record-not-ended', 'src/sched/wait.cc',
     'a fiber that runs seems to wait', [
         ('  self.waits.end();\n',
          ''),
     ]),
    ('record-halves', 'src/base/wait_record.h',
     'what is read is of two waits', [
         ('      if (count_.load(std::memory_order_relaxed) == before) return entry;',
          '      if (count_.load(std::memory_order_relaxed) >= before) return entry;'),
     ]),
    ('queue-gift-forgotten', 'src/base/wait_queue.h',
     'a waiter that was given something while its deadline passed does not learn of it', [
         ('    if (!node.is_linked()) return false;\n',
          '    if (!node.is_linked()) return true;\n'),
     ]),
    ('queue-without-claim', 'src/base/wait_queue.h',
     'one that has chosen already is given something else, too', [
         ('|| !node->claim_->win(node->place_)))',
          '|| (!node->claim_->win(node->place_) && node->place_ < 0)))'),
     ]),
    ('claim-put-back', 'src/base/claim.h',
     'the event that loses the claim is lost', [
         ('      static_cast<void>(source.publish());\n',
          ''),
     ]),
    ('claim-settle', 'src/base/claim.h',
     'a chooser goes on while a loser still looks at its claim', [
         ('    if (missing_.fetch_add(taken, kAcqRel) + taken != 0) return true;\n',
          ''),
     ]),
    ('guard-pages', 'src/sched/stack.cc',
     'a guard that is no whole page, where pages are large', [
         ('.guard_bytes = round_up(std::max(guard_bytes, kMinGuardBytes), page_bytes),',
          '.guard_bytes = std::max(guard_bytes, kMinGuardBytes),'),
     ]),
    ('queue-full', 'src/sched/run_queue.h',
     'the ring is written past its end', [
         ('if (tail - head_.load(kAcquire) == kCapacity) return false;',
          'if (tail - head_.load(kAcquire) == 2 * kCapacity) return false;'),
     ]),
    ('queue-full-wide', 'src/sched/run_queue.h',
     'the ring is written past its end where the indices wrap', [
         ('if (tail - head_.load(kAcquire) == kCapacity) return false;',
          'if (tail >= std::uint64_t{head_.load(kAcquire)} + kCapacity) return false;'),
     ]),
    ('queue-full-early', 'src/sched/run_queue.h',
     'a ring that has room is full where the indices wrap', [
         ('if (tail - head_.load(kAcquire) == kCapacity) return false;',
          'if (tail >= head_.load(kAcquire) + kCapacity) return false;'),
     ]),
    ('queue-passed', 'src/sched/run_queue.h',
     'a thief tries for ever where the indices wrap', [
         ('      const std::uint32_t size = tail_.load(kAcquire) - head;  // Pairs with push().\n',
          '      const std::uint32_t tail = tail_.load(kAcquire);\n'
          '      const std::uint32_t size = tail - head;\n'),
         ('if (size > kCapacity) continue;',
          'if (tail < head) continue;'),
     ]),
    ('queue-pop', 'src/sched/run_queue.h',
     'a fiber is popped although a thief has it', [
         ('if (head_.compare_exchange_weak(head, head + 1, kAcqRel, kRelaxed)) return '
          'fiber;',
          'head_.store(head + 1, kRelease);\n'
          '      return fiber;'),
     ]),
    ('queue-steal', 'src/sched/run_queue.h',
     'a thief takes what the owner has popped', [
         ('if (!head_.compare_exchange_strong(head, head + count, kAcqRel, kRelaxed)) '
          'continue;',
          'head_.store(head + count, kRelease);'),
     ]),
    ('timer-equal', 'src/sched/timers.cc',
     'a timer that is due this very instant does not expire', [
         ('root_->when_ns_ <= now_ns',
          'root_->when_ns_ < now_ns'),
     ]),
    ('timer-stop', 'src/sched/timers.cc',
     'a timer outlives its wait', [
         ('  if (!timer.started_) return;\n'
          '  remove(timer);',
          '  if (!timer.started_) return;'),
     ]),
    ('timer-earliest', 'src/sched/timers.cc',
     'an earlier timer is not noticed', [
         ('  root_ = meld(root_, &timer);\n'
          '  publish_earliest();',
          '  root_ = meld(root_, &timer);'),
     ]),
    ('sleep-second-look', 'src/sched/wait.cc',
     'R20: a sleep slips past request_stop()', [
         ('if (cancellable == Cancellable::kYes && worker.scheduler().run_state().is_stopping()) {',
          'if (cancellable == Cancellable::kYes && worker.scheduler().run_state().is_stopping() && '
          'deadline.ns() < 0) {'),
     ]),
    ('error-lost', 'src/base/errno.h',
     'a failure whose error was lost is taken for success', [
         ('-(error != 0 ? error : EINTR)', '-error'),
     ]),
    ('error-lost-elsewhere', 'src/base/errno.h',
     'the same, of calls that are not made in a loop', [
         ('if (const int error = current_errno(); error != 0) return',
          'if (const int error = current_errno(); true) return'),
     ]),
    ('turn-of-the-last', 'src/poller/descriptor.cc',
     'whoever tries gets the turn, not the first in line', [
         ('  if (line.first(node.direction) != &node) return Lifetime::Entered::kBusy;\n',
          ''),
     ]),
    ('line-not-closed', 'src/poller/poller_core.cc',
     'a close does not reach those that stand in line', [
         ('    if (descriptor.lifetime.has_line()) {\n'
          '      descriptor.disturb_line(direction, WakeReason::kClosed, waiters);\n'
          '    }\n',
          ''),
     ]),
    ('line-not-stopped', 'src/poller/poller_core.cc',
     'a stop does not reach those that stand in line', [
         ('      if (descriptor.lifetime.has_line()) '
          'descriptor.disturb_line(direction, reason, out);\n',
          ''),
     ]),
    ('hang-up-after-words', 'src/poller/descriptor.cc',
     'the words are published before the hang-up is noted', [
         ('  if (ready.has_hang_up()) [[unlikely]]\n'
          '    hang_up_seen.store(true, kSeqCst);\n',
          ''),
         ('  if (ready.has(Direction::kWrite)) publish_one(Direction::kWrite, out);\n',
          '  if (ready.has(Direction::kWrite)) publish_one(Direction::kWrite, out);\n'
          '  if (ready.has_hang_up()) hang_up_seen.store(true, kSeqCst);\n'),
     ]),
    ('refused-adopt', 'src/poller/poller_core.cc',
     'a refused adopt leaves the flags set', [
         ('  const auto descriptor = add(fd);\n'
          '  if (!descriptor) return descriptor;\n',
          '  (void)flags->make_nonblocking_cloexec();\n'
          '  const auto descriptor = add(fd);\n'
          '  if (!descriptor) return descriptor;\n'),
     ]),
    ('number-free-late', 'src/poller/poller_core.cc',
     'a number is closed before it may be added again', [
         ('  poller.table_.free(descriptor, fd);\n'
          '  // Linux closes the number even when close() says EINTR, and nothing else can be done '
          'about it.\n'
          '  if (owns_number) ::close(fd);\n',
          '  if (owns_number) ::close(fd);\n'
          '  poller.table_.free(descriptor, fd);\n'),
     ]),
    ('stack-slab-memory', 'src/sched/stack.cc',
     'a slab that there is no memory for throws', [
         ('new (std::nothrow) StackSlab', 'new StackSlab'),
     ]),
    ('stack-flush-count', 'src/sched/stack.cc',
     'a cache gives back one stack more than it counts', [
         ('for (std::size_t i = 1; i < most; ++i) newest',
          'for (std::size_t i = 2; i < most; ++i) newest'),
     ]),
    ('stack-busy-worker', 'src/sched/worker.cc',
     'the memory of a burst goes only where a worker has nothing else to do', [
         ('  (void)scheduler_.trim_stacks(processor_);\n',
          ''),
     ]),
    ('stack-busy-cache', 'src/sched/stack_trimmer.cc',
     'what a burst left in the cache of a busy worker stays for good', [
         ('!= periods) own.stacks.shrink();', '!= periods) static_cast<void>(own.stacks.size());'),
     ]),
    ('stack-mark', 'src/sched/stack.cc',
     'the mark of a burst stays for good', [
         ('mark_ = std::max(most_taken_, mark_ / 2);',
          'mark_ = std::max(most_taken_, mark_);'),
     ]),
    ('stack-vacate-in-use', 'src/sched/stack.cc',
     'a slab is vacated while some of its stacks are in use', [
         ('vacates = slab->is_free() && slab', 'vacates = slab'),
     ]),
    ('stack-due-unheard', 'src/sched/scheduler.h',
     'the worker that waits in the kernel does not wake for the stacks', [
         ('std::min(earliest_timer_ns(), trimmer_.due_ns())', 'earliest_timer_ns()'),
     ]),
    ('control-stop-unfair', 'src/sched/control.cc',
     'a fiber of a stopped run keeps its place at the front', [
         ('self.state != kYielded && !stopped_) {',
          'self.state != kYielded) {'),
     ]),
    ('control-wait-is-yield', 'src/sched/control.cc',
     'a wait that ends at once is taken for a yield', [
         ('if (self.state == kParked || self.state == kRunning) {',
          'if (self.state == kRunning) self.state = kYielded;\n'
          '  if (self.state == kParked) {'),
     ]),
    ('control-join-unseen', 'src/sched/join.cc',
     'nobody comes before a join that may time out', [
         ('  if (!deadline.is_never()) choice_before_join(fiber);\n',
          ''),
     ]),
    ('pct-highest', 'src/testing/search.cc',
     'PCT: the lowest rank goes first', [
         ('.rank > of(number(choice, best)).rank) best = i;',
          '.rank < of(number(choice, best)).rank) best = i;'),
     ]),
    ('exhaustive-bound', 'src/testing/search.cc',
     'exhaustive search: the bound leaves out schedules', [
         ('last.spent + cost(last) <= delays_',
          'last.spent + cost(last) < delays_'),
     ]),
]
