// ScriptedPollerTest: a fixture with a poller over a scripted kernel.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <utility>

#include <gtest/gtest.h>

#include "rearm/poller.h"
#include "support/leak_check.h"
#include "support/open_poller.h"
#include "support/poller_test.h"
#include "support/scripted_backend.h"
#include "support/sockets.h"

namespace rearm::test {

class ScriptedPollerTest : public LeakCheck {
 protected:
  static constexpr detail::Ready kRead = detail::Ready::of(Direction::kRead);
  static constexpr detail::Ready kWrite = detail::Ready::of(Direction::kWrite);

  explicit ScriptedPollerTest(ScriptedBackend::Kind kind) : kind_(kind) {}

  void SetUp() override {
    LeakCheck::SetUp();
    auto backend = std::make_unique<ScriptedBackend>(kind_);
    backend_ = backend.get();
    poller_.emplace(poller_over(std::move(backend)));
  }

  void TearDown() override {
    EXPECT_EQ(poller_->stats().descriptors, 0U) << "a descriptor is left in the poller";
    poller_.reset();
    LeakCheck::TearDown();
  }

  // Adds some descriptor; the scripted kernel does not care which.
  Token add() {
    UniqueFd fd = std::move(pipe_pair().a);
    const auto token = poller_->add(fd.get());
    EXPECT_TRUE(token);
    last_fd_ = fd.release();
    return token.value_or(Token{});
  }

  void park(Token token, Direction direction, Waiter& waiter) {
    const auto prepared = poller_->wait(token, direction, waiter);
    ASSERT_TRUE(prepared) << prepared.error().message();
    ASSERT_EQ(*prepared, Poller::Prepared::kParked);
  }

  std::size_t close(Token token) {
    auto waiters = poller_->close(token);
    EXPECT_TRUE(waiters);
    return waiters ? count_returns(std::move(*waiters)) : 0;
  }

  std::size_t collect(Deadline deadline) { return count_returns(poller_->collect(deadline)); }
  std::size_t collect_now() { return collect(Deadline::after(std::chrono::seconds(0))); }

  const ScriptedBackend::Kind kind_;
  ScriptedBackend* backend_ = nullptr;
  std::optional<Poller> poller_;
  int last_fd_ = -1;
};

}  // namespace rearm::test
