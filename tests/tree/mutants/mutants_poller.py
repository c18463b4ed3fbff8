"""The mutants of base and poller; see mutants.py for what an entry is."""

MUTANTS = [
    ('rearm-closing', 'src/poller/poller_core.cc',
     'R01 (golang/go#7410): the re-arm does not look at the closing flag', [
         ('if (descriptor.closing || descriptor.generation != event.token.generation) '
          'return event.ready;',
          'if (descriptor.generation != event.token.generation) return event.ready;'),
     ]),
    ('rearm-generation', 'src/poller/poller_core.cc',
     'R01: the re-arm does not compare generations', [
         ('if (descriptor.closing || descriptor.generation != event.token.generation) '
          'return event.ready;',
          'if (descriptor.closing) return event.ready;'),
     ]),
    ('rearm-lock', 'src/poller/poller_core.cc',
     'R01: the re-arm leaves the lock', [
         ('Ready PollerCore::rearm(Descriptor& descriptor, const Event& event) {\n'
          '  MutexLock lock(descriptor.mu);',
          'Ready PollerCore::rearm(Descriptor& descriptor, const Event& event) {'),
     ]),
    ('deliver-generation', 'src/poller/poller_core.cc',
     'R02, R12: a report of an earlier life acts', [
         ('descriptor == nullptr || !descriptor->lifetime.is_open(event.token.generation)',
          'descriptor == nullptr'),
     ]),
    ('find-generation', 'src/poller/poller_core.cc',
     'R04: a token of an earlier life is found', [
         ('descriptor == nullptr || !descriptor->lifetime.is_open(token.generation)',
          'descriptor == nullptr'),
     ]),
    ('find-poller', 'src/poller/poller_core.cc',
     'a token of another poller is found', [
         ('return descriptor->poller.load(kRelaxed) == this ? descriptor : nullptr;',
          'return descriptor;'),
     ]),
    ('arm-closing', 'src/poller/poller_core.cc',
     'an arm after the close reaches the kernel', [
         ('if (descriptor.closing || descriptor.generation != generation) return '
          'Errc::kClosed;',
          'if (descriptor.generation != generation) return Errc::kClosed;'),
     ]),
    ('arm-generation', 'src/poller/poller_core.cc',
     'an arm of an earlier life reaches the kernel', [
         ('if (descriptor.closing || descriptor.generation != generation) return '
          'Errc::kClosed;',
          'if (descriptor.closing) return Errc::kClosed;'),
     ]),
    ('arm-lock', 'src/poller/poller_core.cc',
     'two arms of one descriptor at once', [
         ('                                           Direction direction) {\n'
          '  MutexLock lock(descriptor.mu);',
          '                                           Direction direction) {'),
     ]),
    ('disconnect-missing', 'src/poller/poller_core.cc',
     'R11: the kernel is not told of the close', [
         ('  descriptor.poller.load(kRelaxed)->disconnect(descriptor);\n'
          '  WaiterList waiters;',
          '  WaiterList waiters;'),
     ]),
    ('disconnect-lock', 'src/poller/poller_core.cc',
     'R61: the close does not wait for the re-arm', [
         ('  {\n'
          '    MutexLock lock(descriptor.mu);\n'
          '    descriptor.closing = true;\n'
          '  }',
          '  descriptor.closing = true;'),
     ]),
    ('disconnect-flag-outside', 'src/poller/poller_core.cc',
     'the closing flag is set after the kernel was told', [
         ('  {\n'
          '    MutexLock lock(descriptor.mu);\n'
          '    descriptor.closing = true;\n'
          '  }\n'
          '  if (!is_inherited()) backend_->remove(descriptor.fd);',
          '  { MutexLock lock(descriptor.mu);\n'
          '  backend_->remove(descriptor.fd); }\n'
          '  descriptor.closing = true;'),
     ]),
    ('disconnect-removes-under-lock', 'src/poller/poller_core.cc',
     'G7: poll waits for its sleeper under the lock of a descriptor', [
         ('    descriptor.closing = true;\n'
          '  }\n'
          '  if (!is_inherited()) backend_->remove(descriptor.fd);',
          '    descriptor.closing = true;\n'
          '    backend_->remove(descriptor.fd);\n'
          '  }'),
     ]),
    ('close-exclusive', 'src/poller/lifetime.h',
     'R58: two closes both win', [
         ('while (generation_of(old) == generation && (old & kClosed) == 0) {\n'
          '      if (word_.compare_exchange_weak(old, old | kClosed, kAcqRel, kRelaxed)) '
          'return true;',
          'while (generation_of(old) == generation && (old & kClosed) == 0) {\n'
          '      word_.fetch_or(kClosed, kAcqRel); return true;'),
     ]),
    ('lifetime-last-out', 'src/poller/lifetime.h',
     'the last one out does not look at the closed bit', [
         ('return (before & kClosed) != 0 && (before & kRefsMask) == 1;',
          'return (before & kRefsMask) == 1;'),
     ]),
    ('lifetime-reference', 'src/poller/poller_core.cc',
     'R24: the number is closed under an operation', [
         ('  leave(descriptor);\n'
          '  return waiters;',
          '  if (descriptor.owns_number) ::close(descriptor.fd);\n'
          '  descriptor.owns_number = false;\n'
          '  leave(descriptor);\n'
          '  return waiters;'),
     ]),
    ('lifetime-reference-count', 'src/poller/lifetime.h',
     'whoever leaves a closed descriptor first closes the number', [
         ('return is_last(leave_with(0));',
          'return (leave_with(0) & kClosed) != 0;'),
     ]),
    ('lifetime-last-out-closer', 'src/poller/lifetime.h',
     'nobody closes the number if close() is not the last one out', [
         ('    if (is_last(old)) return Left::kCloseNumber;\n',
          ''),
     ]),
    ('lifetime-leave-exchange', 'src/poller/lifetime.h',
     'of two that leave at once one is counted', [
         ('const std::uint64_t old = word_.fetch_sub(bit + 1, kAcqRel);',
          'const std::uint64_t old = word_.load(kAcquire);\n'
          '    word_.store(old - (bit + 1), kRelease);'),
     ]),
    ('lifetime-enter-generation', 'src/poller/lifetime.h',
     'an operation enters a later life', [
         ('if (generation_of(old) != generation || (old & kClosed) != 0) return '
          'Entered::kClosed;',
          'if ((old & kClosed) != 0) return Entered::kClosed;'),
     ]),
    ('lifetime-remove-refs', 'src/poller/lifetime.h',
     'a descriptor in use is removed', [
         ('if ((old & kRefsMask) != 1) return Removed::kBusy;',
          ''),
     ]),
    ('wake-clear-before-wait', 'src/poller/poller_core.cc',
     'R25: a wake between two waits is forgotten', [
         ('    const WaitResult result = backend_->wait(events_, deadline);',
          '    wake_pending_.exchange(false, kSeqCst);\n'
          '    const WaitResult result = backend_->wait(events_, deadline);'),
     ]),
    ('wake-clear-at-entry-only', 'src/poller/poller_core.cc',
     'R27: the wake flag is never cleared', [
         ('    if (result.woken) wake_pending_.exchange(false, kSeqCst);',
          ''),
     ]),
    ('wake-flag-after-kernel', 'src/poller/poller_core.cc',
     'R34: the wake flag is set after the kernel was told', [
         ('  if (wake_pending_.exchange(true, kSeqCst)) return;\n'
          '  count(wakes_);\n'
          '  backend_->wake();',
          '  if (wake_pending_.load(kSeqCst)) return;\n'
          '  count(wakes_);\n'
          '  backend_->wake();\n'
          '  wake_pending_.store(true, kSeqCst);'),
     ]),
    ('collect-exclusive', 'src/poller/poller_core.cc',
     'R35: two collect at once', [
         ('if (collecting_.exchange(true, kAcquire)) return out;',
          'collecting_.store(true, kRelease);'),
     ]),
    ('rearm-refusal', 'src/poller/poller_core.cc',
     'R32: a refused re-arm strands the other direction', [
         ('return event.ready | Ready::both();',
          'return event.ready;'),
     ]),
    ('rearm-left', 'src/poller/poller_core.cc',
     'R32, R39: what did not fire is not armed again', [
         ('  if (!backend_->arm(descriptor.fd, event.token, left)) return event.ready;',
          '  return event.ready;'),
     ]),
    ('withdraw-recheck', 'src/base/wait_word.h',
     'R54: a withdrawal overwrites what came meanwhile', [
         ('      if (old == kIdle || old == kReady || old == kClosed) return nullptr;\n'
          '      if (word_.compare_exchange_weak(old, kIdle, kSeqCst, kSeqCst)) {\n'
          '        return is_waiter(old) ? as_waiter(old) : nullptr;\n'
          '      }',
          '      if (old == kIdle || old == kReady || old == kClosed) return nullptr;\n'
          '      word_.store(kIdle, kSeqCst);\n'
          '      return is_waiter(old) ? as_waiter(old) : nullptr;'),
     ]),
    ('prepare-exchange', 'src/base/wait_word.h',
     'R49: two prepare at once, and both park', [
         ('if (word_.compare_exchange_weak(old, kParking, kSeqCst, kRelaxed)) '
          'return Prepared::kPark;',
          'word_.store(kParking, kSeqCst);\n'
          '        return Prepared::kPark;'),
     ]),
    ('commit-recheck', 'src/base/wait_word.h',
     'R54: parking overwrites an event that came meanwhile', [
         ('if (word_.compare_exchange_strong(old, '
          'reinterpret_cast<std::uintptr_t>(&waiter), kRelease,\n'
          '                                      kAcquire)) {\n'
          '      return Committed::kParked;\n'
          '    }',
          'word_.store(reinterpret_cast<std::uintptr_t>(&waiter), kRelease);\n'
          '    if (old == kParking) return Committed::kParked;'),
     ]),
    ('publish-closed', 'src/base/wait_word.h',
     'an event reopens a closed word', [
         ('if (old == kClosed) return {.closed = true};',
          ''),
     ]),
    ('publish-recheck', 'src/base/wait_word.h',
     'R53: an event takes a waiter that was taken', [
         ('if (word_.compare_exchange_weak(old, parked ? kIdle : kReady, kAcqRel, '
          'kRelaxed)) {',
          'word_.store(parked ? kIdle : kReady, kRelease); {'),
     ]),
    ('take-exchange', 'src/base/wait_word.h',
     'G2: a waiter that is taken out by a store is woken twice', [
         ('    if (!is_waiter(old) || !word_.compare_exchange_strong(old, kIdle, kAcqRel, '
          'kRelaxed)) {\n'
          '      return nullptr;\n'
          '    }\n',
          '    if (!is_waiter(old)) return nullptr;\n'
          '    word_.store(kIdle, kRelease);\n'),
     ]),
    ('collect-stale-return', 'src/poller/poller_core.cc',
     'R15: a batch of stale events ends the wait', [
         ('if (any || result.woken) break;',
          'if (any || result.woken || result.count != 0) break;'),
     ]),
    ('deadline-eintr', 'src/poller/poller_core.cc',
     'R28: an early return of the kernel ends the wait', [
         ('if (any || result.woken) break;',
          'break;'),
     ]),
    ('publish-order', 'src/poller/poller_core.cc',
     'G6: a report is published before its re-arm', [
         ('    descriptor->publish(needs_arm ? rearm(*descriptor, event) : event.ready, '
          'out);',
          '    descriptor->publish(event.ready, out);\n'
          '    if (needs_arm) (void)rearm(*descriptor, event);'),
     ]),
    ('add-owns', 'src/poller/poller_core.cc',
     'a refused descriptor is closed all the same', [
         ('  descriptor->owns_number = false;\n'
          '  REARM_CHECK(descriptor->lifetime.close',
          '  REARM_CHECK(descriptor->lifetime.close'),
     ]),
    ('add-generation', 'src/poller/poller_core.cc',
     'a descriptor is added with the generation of the life before', [
         ('  descriptor->begin_life(fd, *this);\n',
          '  const std::uint32_t generation = descriptor->generation;\n'
          '  descriptor->begin_life(fd, *this);\n'),
         ('  const std::uint32_t generation = descriptor->generation;\n'
          '  const std::error_code error =\n',
          '  const std::error_code error =\n'),
     ]),
    ('numbers-forgotten', 'src/poller/number_set.h',
     'G4: numbers that were there are forgotten when the set grows', [
         ('bits_.resize(std::max(number + 1, 2 * bits_.size()));',
          'bits_.assign(std::max(number + 1, 2 * bits_.size()), false);'),
     ]),
    ('add-owner', 'src/poller/descriptor_table.cc',
     'G4: two pollers own one number', [
         ('      return std::unexpected(std::error_code(EEXIST, std::system_category()));',
          '      break;'),
     ]),
    ('fork-close', 'src/poller/poller_core.cc',
     'a child of fork() takes registrations out of its parent', [
         ('  if (!is_inherited()) backend_->remove(descriptor.fd);',
          '  backend_->remove(descriptor.fd);'),
     ]),
    ('fork-add', 'src/poller/poller_core.cc',
     'a child of fork() adds to its parent', [
         ('  if (is_inherited()) return std::unexpected(Errc::kNotSupported);\n',
          ''),
     ]),
    ('epoll-remove', 'src/poller/backend_epoll.cc',
     'R11: epoll is not told to forget', [
         ('(void)::epoll_ctl(epoll_fd_, EPOLL_CTL_DEL, fd, &unused);',
          ''),
     ]),
    ('sweep-enter', 'src/poller/poller_core.cc',
     'R20: who cancels everything takes the waiters of a later life, of another poller', [
         ('    if (descriptor.lifetime.enter(generation) != Lifetime::Entered::kYes) return;\n',
          ''),
         ('    if (descriptor.poller.load(kRelaxed) == this) visit(descriptor, generation);\n'
          '    leave(descriptor);\n',
          '    visit(descriptor, generation);\n'),
     ]),
    ('poll-remove-waits', 'src/poller/backend_poll.cc',
     'R24: a close does not wait for the sleeper', [
         ('  while (wait % 2 != 0 && wait_count_',
          '  while (fd < 0 && wait % 2 != 0 && wait_count_'),
     ]),
    ('poll-token', 'src/poller/backend_poll.cc',
     'R71: a report disarms a later life', [
         ('if (entry.token == token && entry.position != kNowhere) disarm(entry);',
          'if (entry.position != kNowhere) disarm(entry);'),
     ]),
    ('poll-forgets', 'src/poller/backend_poll.cc',
     'a reported number is asked about again', [
         ('if (entry.token == token && entry.position != kNowhere) disarm(entry);',
          ''),
     ]),
    ('port-etime', 'src/poller/backend_event_port.cc',
     'R36 (golang/go#35261): events that come with ETIME are lost', [
         ('  return std::min<std::size_t>(count, max_events);\n',
          '  return error == ETIME ? 0 : std::min<std::size_t>(count, max_events);\n'),
     ]),
    ('port-nested', 'src/poller/backend_event_port.cc',
     'G5: a foreign loop that sleeps on the port is not told of what arm() has queued', [
         ('  if (is_nested_.load(kSeqCst)) tell_foreign_loop();\n',
          ''),
     ]),
    ('port-nested-once', 'src/poller/backend_event_port.cc',
     'G5: a foreign loop is told once, and never again', [
         ('  if (result.woken) loop_is_told_.store(false, kSeqCst);\n',
          ''),
     ]),
    ('kqueue-eof', 'src/poller/backend_kqueue.cc',
     'R45: the end on one filter wakes one direction', [
         ('if ((event.flags & (EV_EOF | EV_ERROR)) != 0) return Ready::hang_up();\n',
          ''),
     ]),
    ('kqueue-closed-unasked', 'src/poller/backend_kqueue.cc',
     'a pipe of which both filters are refused is called closed, though it is open', [
         ('if (says_closed && ::fcntl(fd, F_GETFD) < 0) return Errc::kClosed;',
          'if (says_closed && ((read != 0 && write != 0) || ::fcntl(fd, F_GETFD) < 0)) '
          'return Errc::kClosed;'),
     ]),
    ('kqueue-ebadf-believed', 'src/poller/backend_kqueue.cc',
     'R43: EBADF is believed, which NetBSD says of a pipe whose reader is gone', [
         ('if (says_closed && ::fcntl(fd, F_GETFD) < 0) return Errc::kClosed;',
          'if (says_closed && fd >= 0) return Errc::kClosed;'),
     ]),
    ('kqueue-one-refused', 'src/poller/backend_kqueue.cc',
     'R43: a descriptor of which one filter is refused is refused', [
         ('  if (read == 0 || write == 0) return {};\n',
          ''),
     ]),
    ('kqueue-trigger-clear', 'src/poller/backend_kqueue.cc',
     'R34: a trigger with EV_CLEAR is no wake where the flag cancels it', [
         ('Kevent trigger = change_of(0, EVFILT_USER, 0, kWakeToken);',
          'Kevent trigger = change_of(0, EVFILT_USER, EV_CLEAR, kWakeToken);'),
     ]),
    ('fork-wake', 'src/poller/poller_core.cc',
     'a child of fork() wakes its parent', [
         ('void PollerCore::wake() noexcept {\n'
          '  if (is_inherited()) return;\n',
          'void PollerCore::wake() noexcept {\n'),
     ]),
    ('epoll-urgent', 'src/poller/backend_epoll.cc',
     'R33: urgent data is not asked for, so a short read before it is believed', [
         ('EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET',
          'EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET'),
     ]),
    ('epoll-wake-errno', 'src/poller/backend_epoll.cc',
     'a wake in a signal handler changes errno', [
         ('  while (result_or_errno(::write(wake_fd_, &one, sizeof(one))) == -EINTR) continue;\n'
          '  errno = saved_errno;\n',
          '  while (result_or_errno(::write(wake_fd_, &one, sizeof(one))) == -EINTR) continue;\n'
          '  (void)saved_errno;\n'),
     ]),
    ('poll-wake-errno', 'src/poller/backend_poll.cc',
     'a wake in a signal handler changes errno', [
         ('  write_to_pipe();\n'
          '  errno = saved_errno;\n',
          '  write_to_pipe();\n'
          '  (void)saved_errno;\n'),
     ]),
    ('port-wake-errno', 'src/poller/backend_event_port.cc',
     'a wake in a signal handler changes errno', [
         ('  errno = saved_errno;\n',
          '  (void)saved_errno;\n'),
     ]),
    ('kqueue-wake-errno', 'src/poller/backend_kqueue.cc',
     'a wake in a signal handler changes errno', [
         ('  errno = saved_errno;\n',
          '  (void)saved_errno;\n'),
     ]),
    ('poll-scan-from-first', 'src/poller/backend_poll.cc',
     'R33: each scan begins with the first number, and the last ones starve', [
         ('std::size_t i = scan_from_ < asked ? scan_from_ : 0;',
          'std::size_t i = 0;'),
     ]),
    ('poll-drained-after-flag', 'src/poller/backend_poll.cc',
     'G5: a wake between the flag and the pipe is forgotten', [
         ('    drain_pipe();\n'
          '    result.woken = wake_called_.exchange(false, kSeqCst);\n',
          '    result.woken = wake_called_.exchange(false, kSeqCst);\n'
          '    drain_pipe();\n'),
     ]),
    ('wake-interrupted', 'src/poller/backend_epoll.cc',
     'a wake whose write is interrupted is lost', [
         ('while (result_or_errno(::write(wake_fd_, &one, sizeof(one))) == -EINTR) continue;',
          '(void)!::write(wake_fd_, &one, sizeof(one));'),
     ]),
    ('open-memory', 'src/poller/poller.cc',
     'a poller that finds no memory throws', [
         ('    return std::unexpected(std::make_error_code(std::errc::not_enough_memory));\n',
          '    throw;\n'),
     ]),
    ('poll-add-memory', 'src/poller/backend_poll.cc',
     'a number for which there is no memory throws', [
         ('    return std::make_error_code(std::errc::not_enough_memory);\n',
          '    throw;\n'),
     ]),
]
