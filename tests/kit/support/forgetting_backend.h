// ForgettingBackend: a kernel that forgets a descriptor after each report, on Linux.
//
// What this is. Event ports associate a number, report it once and forget it. This backend behaves
// like them over epoll with EPOLLONESHOT, so that the arm and re-arm of poller_core.cc, which epoll
// itself never needs, meet real sockets and real threads.
//
// How it works. add() registers an empty interest. arm() associates: like port_associate(3C), and
// unlike EPOLL_CTL_MOD, it takes a number that is not associated (any more), which is how a re-arm
// after close reaches the stranger that got the number (golang/go#7410). An error or a hang-up is
// reported although nobody asked, and once.
//
// The witness. Beside the kernel it keeps what the contract says must hold (backend.h: arm under
// the descriptor's lock, after its closing check, between add and remove), and counts every breach.
// The witness uses relaxed atomics only, so that it gives ThreadSanitizer no order that the library
// does not make itself. One number belongs to one poller at a time here.
#pragma once

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <system_error>

#include "base/clock.h"
#include "poller/backend.h"

namespace rearm::test {

class ForgettingBackend final : public detail::Backend {
 public:
  static constexpr std::string_view kName = "forgetting";

  enum class Breach : std::uint8_t {
    kArmOutsideLife,    // arm() before add() or after remove().
    kArmOfEarlierLife,  // arm() with another token than add() was given.
    kArmDuringArm,      // Two arm() of one number at once.
    kRemoveDuringArm,
    kRemoveAfterClose,  // remove() of a number that is not open any more.
    kAddDuringLife,     // add() of a number that was not removed.
  };

  ForgettingBackend() noexcept : Backend(kName, true) {}
  ~ForgettingBackend() override {
    if (wake_fd_ >= 0) ::close(wake_fd_);
    if (epoll_fd_ >= 0) ::close(epoll_fd_);
  }

  [[nodiscard]] std::error_code open() override {
    epoll_fd_ = ::epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd_ < 0) return last_error();
    wake_fd_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (wake_fd_ < 0) return last_error();
    epoll_event event = event_for(EPOLLIN | EPOLLET, Token{});
    if (::epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, wake_fd_, &event) != 0) return last_error();
    return {};
  }

  [[nodiscard]] std::error_code add(int fd, Token token) override {
    epoll_event event = event_for(EPOLLONESHOT, token);
    if (::epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, fd, &event) == 0) {
      const std::uint64_t old = witness(fd).life.exchange(pack(token), detail::kRelaxed);
      if (old != 0) note(Breach::kAddDuringLife);
      return {};
    }
    switch (errno) {
      case EPERM: return Errc::kNotPollable;
      case EBADF: return Errc::kClosed;
      default: return last_error();
    }
  }

  [[nodiscard]] std::error_code arm(int fd, Token token, detail::Ready interest) override {
    Witness& seen = witness(fd);
    if (seen.arming.fetch_add(1, detail::kRelaxed) != 0) note(Breach::kArmDuringArm);
    if (on_arm) on_arm();
    const std::uint64_t life = seen.life.load(detail::kRelaxed);
    if (life == 0) note(Breach::kArmOutsideLife);
    if (life != 0 && life != pack(token)) note(Breach::kArmOfEarlierLife);
    std::uint32_t mask = EPOLLONESHOT | EPOLLRDHUP;
    if (interest.has(Direction::kRead)) mask |= EPOLLIN;
    if (interest.has(Direction::kWrite)) mask |= EPOLLOUT;
    epoll_event event = event_for(mask, token);
    int result = ::epoll_ctl(epoll_fd_, EPOLL_CTL_MOD, fd, &event);
    if (result != 0 && errno == ENOENT) {
      result = ::epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, fd, &event);
    }
    const std::error_code error = result == 0 ? std::error_code() : last_error();
    seen.arming.fetch_sub(1, detail::kRelaxed);
    return error;
  }

  void remove(int fd) override {
    Witness& seen = witness(fd);
    if (seen.arming.load(detail::kRelaxed) != 0) note(Breach::kRemoveDuringArm);
    if (::fcntl(fd, F_GETFD) < 0) note(Breach::kRemoveAfterClose);
    seen.life.store(0, detail::kRelaxed);
    epoll_event unused{};
    (void)::epoll_ctl(epoll_fd_, EPOLL_CTL_DEL, fd, &unused);
  }

  [[nodiscard]] detail::WaitResult wait(std::span<detail::Event> events,
                                        Deadline deadline) override {
    const std::size_t size = std::min(events.size(), batch_.size());
    const int count = wait_kernel(static_cast<int>(size), deadline);
    if (count > 0 && on_report) on_report();
    detail::WaitResult result;
    for (const epoll_event& event :
         std::span(batch_).first(static_cast<std::size_t>(std::max(count, 0)))) {
      const Token token = std::bit_cast<Token>(static_cast<std::uint64_t>(event.data.u64));
      if (token == Token{}) {
        result.woken = true;
      } else {
        events[result.count++] = {token, ready_of(event.events)};
      }
    }
    return result;
  }

  void wake() noexcept override {
    const int saved_errno = errno;
    const std::uint64_t one = 1;
    (void)!::write(wake_fd_, &one, sizeof(one));
    errno = saved_errno;
  }

  [[nodiscard]] int native_handle() noexcept override { return epoll_fd_; }

  // Called in the middle of arm(), under the descriptor's lock; and when a report has been taken
  // from the kernel, before anybody has looked at it. For tests that must hit a window every time.
  // Set while no other thread runs.
  static inline std::function<void()> on_arm;
  static inline std::function<void()> on_report;

  // What has been breached in this process so far, in words; empty when all is well. Starts anew.
  [[nodiscard]] static std::string take_breaches() {
    static constexpr std::array<std::string_view, kBreaches> kWords = {
        "arm outside the descriptor's life",  "arm with the token of an earlier life",
        "two arms of one descriptor at once", "remove during an arm",
        "remove of a number that was closed", "add of a number that was not removed"};
    std::string text;
    for (std::size_t i = 0; i < kBreaches; ++i) {
      const std::uint64_t times = breaches_[i].exchange(0, detail::kRelaxed);
      if (times == 0) continue;
      if (!text.empty()) text += "; ";
      text += std::string(kWords[i]) + ", times " + std::to_string(times);
    }
    return text;
  }

 private:
  static constexpr std::size_t kBreaches = 6;
  // Higher numbers share witnesses: never used here.
  static constexpr std::size_t kNumbers = std::size_t{1} << 14;
  static constexpr std::size_t kBatch = 512;
  static constexpr std::int64_t kNsPerSecond = 1'000'000'000;

  struct Witness {
    std::atomic<std::uint64_t> life{0};  // The token of the life that the number is in, packed.
    std::atomic<int> arming{0};
  };

  static std::error_code last_error() { return {errno, std::system_category()}; }
  static std::uint64_t pack(Token token) { return std::bit_cast<std::uint64_t>(token); }
  static epoll_event event_for(std::uint32_t mask, Token token) {
    epoll_event event{};
    event.events = mask;
    event.data.u64 = pack(token);
    return event;
  }
  static detail::Ready ready_of(std::uint32_t mask) {
    detail::Ready ready;
    if ((mask & EPOLLIN) != 0) ready |= detail::Ready::of(Direction::kRead);
    if ((mask & EPOLLOUT) != 0) ready |= detail::Ready::of(Direction::kWrite);
    if ((mask & (EPOLLHUP | EPOLLERR | EPOLLRDHUP)) != 0) ready |= detail::Ready::hang_up();
    return ready;
  }
  static void note(Breach breach) {
    breaches_[static_cast<std::size_t>(breach)].fetch_add(1, detail::kRelaxed);
  }

  Witness& witness(int fd) { return (*witnesses_)[static_cast<std::size_t>(fd) % kNumbers]; }

  int wait_kernel(int size, Deadline deadline) {
    if (deadline.is_standing() || deadline.is_never()) {
      return ::epoll_wait(epoll_fd_, batch_.data(), size, -1);
    }
    const std::int64_t left_ns =
        std::max<std::int64_t>(0, deadline.ns() <= 0 ? 0 : deadline.ns() - detail::now_ns());
    const timespec timeout{.tv_sec = left_ns / kNsPerSecond, .tv_nsec = left_ns % kNsPerSecond};
    return ::epoll_pwait2(epoll_fd_, batch_.data(), size, &timeout, nullptr);
  }

  static inline std::array<std::atomic<std::uint64_t>, kBreaches> breaches_{};

  int epoll_fd_ = -1;
  int wake_fd_ = -1;
  std::array<epoll_event, kBatch> batch_;
  std::unique_ptr<std::array<Witness, kNumbers>> witnesses_ =
      std::make_unique<std::array<Witness, kNumbers>>();
};

}  // namespace rearm::test
