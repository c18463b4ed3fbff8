// Plan: what happens to one connection, decided by the seed and the connection's number alone.
//
// Client and server work it out for themselves, each its half, from the number that the client
// sends first; and each knows from it what the other may do to it. So both can judge what they see:
// an end of the stream before the end of the bytes is right in one plan and a failure in another.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <system_error>

namespace rearm::torture {

enum class Transport : std::uint8_t { kTcp, kUnix };

// What the client does at the end, once all bytes are sent, or in the middle.
enum class Ending : std::uint8_t {
  kHalfClose,        // Sends all, ends its direction, reads to the end.
  kCloseWhenEchoed,  // Sends all, reads all, closes.
  kReset,            // At `client_turn`: closes with a reset.
  kAbandon,          // At `client_turn`: closes, whatever is on its way.
};

// What the server's side has to bear meanwhile.
enum class Treatment : std::uint8_t {
  kPlain,           // One fiber reads and writes.
  kDuplex,          // One reads, one writes, a pipe between them.
  kDeadlinesMoved,  // Another fiber moves the standing deadlines.
  kShortDeadlines,  // Each operation has a deadline of its own, microseconds to milliseconds.
  kIntruded,        // Another fiber tries to read and write, too, and is refused or refuses.
  kReleased,        // At `server_turn`: the number is released and adopted again.
  kHalfClosed,      // At `server_turn`: the server ends its direction, and reads on.
  kReset,           // At `server_turn`: the server closes with a reset.
  kClosedByFiber,   // After `close_after_us`: another fiber closes it.
  kClosedByThread,  // After `close_after_us`: a plain thread closes it.
  kClosedByMany,    // Both, and three fibers more.
};

// Whether an error says that the other end of the connection has left.
[[nodiscard]] bool is_gone(std::error_code error) noexcept;

struct Plan {
  static constexpr std::uint32_t kMostBytes = 1U << 20;
  static constexpr std::uint32_t kMostPiece = 256U << 10;

  [[nodiscard]] static Plan of(std::uint64_t seed, std::uint32_t id);

  std::uint32_t id = 0;
  Transport transport = Transport::kTcp;
  Ending ending = Ending::kHalfClose;
  Treatment treatment = Treatment::kPlain;
  std::uint32_t bytes = 0;           // That the client means to send.
  std::uint32_t client_turn = 0;     // Bytes sent when the client resets or abandons.
  std::uint32_t server_turn = 0;     // Bytes echoed when the server's treatment begins.
  std::uint32_t piece = 1;           // The largest single write of the client.
  std::uint32_t buffer = 1;          // The server's buffer.
  std::uint32_t pause_us = 0;        // The client's, between pieces.
  std::uint32_t read_after_us = 0;   // From when on the client reads.
  std::uint32_t close_after_us = 0;  // When others close the server's side.
  // The kernel's buffers for sending are as small as it lets them be. Those for receiving are not:
  // TCP over a window of a few bytes lives on its timers, and looks like a lost wake-up.
  bool small_buffers = false;

  // Whether the client leaves in the middle.
  [[nodiscard]] bool client_leaves() const noexcept {
    return ending == Ending::kReset || ending == Ending::kAbandon;
  }
  // Whether the server's side ends before all was echoed.
  [[nodiscard]] bool server_closes() const noexcept { return treatment >= Treatment::kReset; }
  [[nodiscard]] bool closed_by_others() const noexcept {
    return treatment >= Treatment::kClosedByFiber;
  }

  // Whether the server's, or the client's, operations may end with this error.
  [[nodiscard]] bool server_may_see(std::error_code error) const noexcept;
  [[nodiscard]] bool client_may_see(std::error_code error) const noexcept;

  // For reports: "connection 17 (tcp, 5000 bytes, half-close, closed by thread)".
  [[nodiscard]] std::string describe() const;
};

// What the client sends before the bytes.
struct Greeting {
  static constexpr std::uint64_t kMagic = 0x7265'6172'6d21'0a0aU;
  static constexpr std::size_t kBytes = 16;

  [[nodiscard]] static std::array<std::byte, kBytes> of(std::uint32_t id);
  // The connection's number; kNobody if these bytes are no greeting.
  [[nodiscard]] static std::uint32_t id_in(const std::array<std::byte, kBytes>& bytes);
  static constexpr std::uint32_t kNobody = ~std::uint32_t{0};
};

}  // namespace rearm::torture
