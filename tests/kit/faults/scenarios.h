// Scenarios: short lives of servers and clients over the public interface, each for World to judge.
//
// Every one ends by itself under every plan, also if nothing in it succeeds: who waits for somebody
// is told when that somebody gives up, by the end of a connection or the close of a listener.
#pragma once

#include <span>
#include <string_view>

#include "faults/world.h"

namespace rearm::test::faults {

struct Scenario {
  std::string_view name;
  void (*run)(World&);
};

[[nodiscard]] std::span<const Scenario> scenarios();

// What operations are made of, for verdicts. Waiting tells event ports a wish, and a report of one
// direction tells them again what is left.
inline constexpr Calls kWaits = Call::k_port_associate;
inline constexpr Calls kReads = kWaits | Call::k_read | Call::k_readv;
inline constexpr Calls kWrites =
    kWaits | Call::k_send | Call::k_sendmsg | Call::k_write | Call::k_writev;
// Handing a number to the poller.
inline constexpr Calls kAdds =
    Call::k_epoll_ctl | Call::k_kevent | Call::k_port_associate | Call::k_fstat | Call::k_fcntl;
inline constexpr Calls kOpens = kAdds | Call::k_socket | Call::k_setsockopt;

// --- scenarios_net.cc ---
void tcp_echo(World& world);
void unix_streams(World& world);
void udp_datagrams(World& world);
void udp_batches(World& world);
void stale_path(World& world);
void connect_in_vain(World& world);
void outside_client(World& world);

// --- scenarios.cc ---
void pipes(World& world);
void both_directions(World& world);
void waits_that_end(World& world);
void adoption(World& world);
void many_fibers(World& world);
void workers(World& world);
void poller_alone(World& world);

}  // namespace rearm::test::faults
