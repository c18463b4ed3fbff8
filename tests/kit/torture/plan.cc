#include "torture/plan.h"

#include <cerrno>
#include <cstring>

#include "rearm/error.h"
#include "torture/random.h"

namespace rearm::torture {
namespace {

const char* name_of(Ending ending) {
  switch (ending) {
    case Ending::kHalfClose: return "half-close";
    case Ending::kCloseWhenEchoed: return "close when echoed";
    case Ending::kReset: return "reset";
    case Ending::kAbandon: return "abandon";
  }
  return "?";
}

const char* name_of(Treatment treatment) {
  switch (treatment) {
    case Treatment::kPlain: return "plain";
    case Treatment::kDuplex: return "duplex";
    case Treatment::kDeadlinesMoved: return "deadlines moved";
    case Treatment::kShortDeadlines: return "short deadlines";
    case Treatment::kIntruded: return "intruded";
    case Treatment::kReleased: return "released";
    case Treatment::kHalfClosed: return "half-closed by the server";
    case Treatment::kReset: return "reset by the server";
    case Treatment::kClosedByFiber: return "closed by a fiber";
    case Treatment::kClosedByThread: return "closed by a thread";
    case Treatment::kClosedByMany: return "closed by many";
  }
  return "?";
}

}  // namespace

bool is_gone(std::error_code error) noexcept {
  return error.category() == std::system_category() &&
         (error.value() == ECONNRESET || error.value() == EPIPE || error.value() == ENOTCONN);
}

Plan Plan::of(std::uint64_t seed, std::uint32_t id) {
  Random random(seed, id);
  Plan plan;
  plan.id = id;
  plan.transport = random.one_in(2) ? Transport::kTcp : Transport::kUnix;
  plan.ending = static_cast<Ending>(random.below(4));
  plan.treatment = static_cast<Treatment>(random.below(11));
  plan.small_buffers = random.one_in(3);
  plan.bytes = random.up_to(random.one_in(8) && !plan.small_buffers ? kMostBytes : 64U << 10);
  plan.client_turn = random.below(plan.bytes + 1);
  plan.server_turn = random.below(plan.bytes + 1);
  // A piece is not so small that one connection goes on for ever.
  plan.piece = random.up_to(kMostPiece);
  if (plan.piece < plan.bytes / 200) plan.piece = plan.bytes / 200;
  plan.buffer = random.up_to(64U << 10);
  if (plan.buffer < plan.bytes / 1000) plan.buffer = plan.bytes / 1000;
  if (random.one_in(4)) plan.pause_us = random.up_to(2'000);
  if (random.one_in(4)) plan.read_after_us = random.up_to(50'000);
  plan.close_after_us = random.up_to(10'000);
  return plan;
}

bool Plan::server_may_see(std::error_code error) const noexcept {
  if (error == Errc::kClosed) return closed_by_others();
  if (error == Errc::kTimedOut) {
    return treatment == Treatment::kDeadlinesMoved || treatment == Treatment::kShortDeadlines;
  }
  if (error == Errc::kBusy) return treatment == Treatment::kIntruded;
  // The pipe of a duplex breaks when its other side has met the end.
  return is_gone(error) && (client_leaves() || treatment == Treatment::kDuplex);
}

bool Plan::client_may_see(std::error_code error) const noexcept {
  if (error == Errc::kClosed) return client_leaves();  // Its own close, from its other fiber.
  return is_gone(error) && (server_closes() || client_leaves());
}

std::string Plan::describe() const {
  return "connection " + std::to_string(id) + " (" +
         (transport == Transport::kTcp ? "tcp, " : "unix, ") + std::to_string(bytes) + " bytes, " +
         name_of(ending) + ", " + name_of(treatment) + ")";
}

std::array<std::byte, Greeting::kBytes> Greeting::of(std::uint32_t id) {
  const std::uint64_t check = mix(id ^ kMagic) << 32 | id;
  std::array<std::byte, kBytes> bytes{};
  std::memcpy(bytes.data(), &kMagic, sizeof(kMagic));
  std::memcpy(bytes.data() + sizeof(kMagic), &check, sizeof(check));
  return bytes;
}

std::uint32_t Greeting::id_in(const std::array<std::byte, kBytes>& bytes) {
  std::uint64_t check = 0;
  std::memcpy(&check, bytes.data() + sizeof(kMagic), sizeof(check));
  const auto id = static_cast<std::uint32_t>(check);
  return bytes == of(id) ? id : kNobody;
}

}  // namespace rearm::torture
