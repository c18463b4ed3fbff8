"""The mutants of net; see mutants.py for what an entry is."""

MUTANTS = [
    ('accept-network-error', 'src/net/native_socket.cc',
     'an error of the connection that waited ends accept()', [
         ('    case ENETUNREACH:\n',
          ''),
     ]),
    ('short-read-drains', 'src/net/native_socket.cc',
     'a read that is known to meet EAGAIN is made', [
         ('return FdAccess::kIsSocket | FdAccess::kShortReadDrains;',
          'return FdAccess::kIsSocket;'),
     ]),
    ('short-read-forgotten', 'src/net/fd.cc',
     'a short read is remembered though a wait has taken the report', [
         ('  if (direction_ == Direction::kRead) descriptor.read_drained = false;\n',
          ''),
     ]),
    ('short-read-protocol', 'src/net/native_socket.cc',
     'the short-read rule for streams that are not TCP', [
         ('if (!protocol || *protocol != IPPROTO_TCP) return FdAccess::kIsSocket;',
          'if (!protocol) return FdAccess::kIsSocket;'),
     ]),
    ('short-read-layer', 'src/net/native_socket.cc',
     'the short-read rule for TLS in the kernel', [
         ("if (asked == 0 && layer[0] != '\\0')", 'if (asked != 0)'),
     ]),
    ('deadline-not-looked-at', 'src/net/fd_access.h',
     'a deadline that has passed does not end what need not wait', [
         ('      if (is_late(deadline)) [[unlikely]]\n'
          '        return std::unexpected(Errc::kTimedOut);\n'
          '      return perform_in_time(deadline, call);',
          '      return perform_in_time(deadline, call);'),
     ]),
    ('wait-for-an-edge', 'src/net/fd.cc',
     'a wait returns for a report only', [
         ('    if (*ready) return {};\n',
          '    if (*ready && !operation.wait(deadline)) return {};\n'),
     ]),
    ('connected-to-itself', 'src/net/tcp.cc',
     'a connection to itself is returned', [
         ('if (!is_connected_to_itself(stream, address)) return stream;',
          'return stream;'),
     ]),
    ('turn-not-passed-on', 'src/net/fd.cc',
     'the one that leaves its turn does not call the next', [
         ('  if (next != nullptr) [[unlikely]]\n'
          '    Worker::wake(*next);\n',
          ''),
     ]),
    ('turn-not-first', 'src/net/turn.cc',
     'one that comes later tries before those that wait', [
         ('if (has_turn_ || !descriptor_->lifetime.is_taken(direction_)) return {};',
          'return {};'),
     ]),
    ('line-deadline', 'src/net/fd.cc',
     'a new deadline does not reach those that stand in line', [
         ('      descriptor.disturb_line(direction, WakeReason::kReady, waiters);\n',
          ''),
     ]),
    ('deadline-stored-late', 'src/net/fd.cc',
     'a new deadline is stored after the wait was ended', [
         ('    descriptor.standing_deadline_ns(direction).store(deadline.ns(), kSeqCst);\n',
          ''),
         ('  // Whoever waits looks at the deadline again.',
          '  fd.descriptor_->standing_deadline_ns(direction).store(deadline.ns(), kSeqCst);\n'
          '  // Whoever waits looks at the deadline again.'),
     ]),
    ('deadline-wakes-inside', 'src/net/fd.cc',
     'one that a new deadline wakes is the last, while set_deadline() is still inside', [
         ('      descriptor.disturb_line(direction, WakeReason::kReady, waiters);\n'
          '    }\n'
          '  }\n',
          '      descriptor.disturb_line(direction, WakeReason::kReady, waiters);\n'
          '    }\n'
          '    Worker::wake(waiters);\n'
          '  }\n'),
     ]),
    ('hang-up-not-looked-at', 'src/net/stream.cc',
     'a short read is trusted though the end was seen', [
         ('if (descriptor.read_drained && !descriptor.hang_up_seen.load(kSeqCst)) {',
          'if (descriptor.read_drained) {'),
     ]),
    ('short-read-of-unix', 'src/net/unix_socket.cc',
     'the short-read rule for Unix sockets', [
         ('return FdAccess::adopt(runtime, fd, FdAccess::kIsSocket);',
          'return FdAccess::adopt(runtime, fd, FdAccess::kIsSocket | FdAccess::kShortReadDrains);'),
     ]),
    ('buffers-begun', 'src/net/stream.cc',
     'what a call has left of a buffer is not what the next one begins with', [
         ('      begun[0] = begun[0].after(done);\n',
          ''),
     ]),
    ('short-read-option', 'src/net/socket.cc',
     'the short-read rule for a socket whose options the program has set', [
         ('  FdAccess::stop_short_read_rule(operation);\n',
          ''),
     ]),
    ('stale-path-living', 'src/net/unix_socket.cc',
     'the path of a server that lives is taken over', [
         ('return result == -ECONNREFUSED;',
          'return result != 1;'),
     ]),
    ('stale-path-file', 'src/net/unix_socket.cc',
     'a file is taken for a socket that was left', [
         ('!S_ISSOCK(before.st_mode) || ',
          ''),
     ]),
    ('descriptors-padding', 'src/net/unix_control.cc',
     'a descriptor comes into the padding behind the room', [
         ('(CMSG_LEN(descriptors.size_bytes()));\n    }\n    return result_or_errno(::recvmsg',
          '(CMSG_SPACE(descriptors.size_bytes()));\n    }\n    return result_or_errno(::recvmsg'),
         ('      if (received.descriptors == into.size()) {\n'
          '        ::close(number);\n'
          '        received.descriptors_lost = true;\n'
          '        continue;\n'
          '      }\n',
          '      if (received.descriptors == into.size()) continue;\n'),
     ]),
    ('segments-of-one', 'src/net/udp_packet.cc',
     'a datagram that came alone is said to be several', [
         ('packet.segment_bytes = bytes < packet.datagram.bytes ? bytes : 0;',
          'packet.segment_bytes = bytes;'),
     ]),
    ('batch-name-length', 'src/net/datagram.cc',
     'a batch says nothing of the senders', [
         ('SocketAddress::from_native(&from[i], header.msg_namelen)',
          'SocketAddress::from_native(&from[0], header.msg_namelen)'),
     ]),
    ('room-not-reported', 'src/net/datagram.cc',
     'a sender waits for a report of room at a Unix socket', [
         ('    if (const std::error_code error = operation.pause(retry.again_ns(), deadline)) {\n',
          '    static_cast<void>(retry.again_ns());\n'
          '    if (const std::error_code error = operation.wait(deadline)) {\n'),
     ]),
    ('room-awaited-in-line', 'src/net/turn.cc',
     'a sender to a full Unix socket keeps the others of its socket waiting', [
         ('  TurnNode node(own.word(), direction_, TurnNode::Place::kAside);\n',
          '  TurnNode node(own.word(), direction_);\n'),
     ]),
    ('room-stop-unannounced', 'src/net/turn.cc',
     'a sender to a full Unix socket learns of a stop of its fiber when it looks again', [
         ('  StopWord* const stop = this_stop_word();\n'
          '  if (stop != nullptr) stop->announce(node.word);\n',
          '  StopWord* const stop = this_stop_word();\n'),
     ]),
    ('part-too-large', 'src/net/transfer.h',
     'one call moves as much of a stream as the system takes', [
         ('kLargestPart = std::size_t{1} << 20;', 'kLargestPart = std::size_t{1} << 30;'),
     ]),
    ('room-awaited-outside', 'src/net/turn.cc',
     'a sender to a full Unix socket learns of a close when it looks again', [
         ('  const bool stands = descriptor_->stand_in_line(node);\n'
          '  error = stands ? ',
          '  const bool stands = false;\n'
          '  error = !stands ? '),
     ]),
    ('short-read-number', 'src/net/fd.cc',
     'the short-read rule for a socket whose number the program has', [
         ('  FdAccess::stop_short_read_rule(operation);\n',
          ''),
     ]),
    ('connect-interrupted', 'src/net/datagram.cc',
     'an interrupted connect of datagrams is not repeated', [
         ('    if (result != -EINTR) return std::unexpected',
          '    return std::unexpected'),
     ]),
]
