// What the tests of children share.
#pragma once

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "net/net_fixture.h"
#include "rearm/os/command.h"

namespace rearm::test {

// A child that is left is a zombie, or runs on: either is a fault.
class ChildTest : public RuntimeTest {
 protected:
  void TearDown() override {
    RuntimeTest::TearDown();
    siginfo_t info{};
#if defined(__linux__)
    constexpr int kAllChildren = 0x40000000;  // __WALL
#else
    constexpr int kAllChildren = 0;
#endif
    const int result = ::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT | kAllChildren);
    EXPECT_TRUE(result < 0 && errno == ECHILD) << "a child is left: " << info.si_pid;
  }
};

// A shell that runs `script`.
[[nodiscard]] inline Command shell(std::string script) {
  return Command("/bin/sh", {"-c", std::move(script)});
}

[[nodiscard]] inline OutputOptions patiently() { return {.deadline = patience()}; }

template <class T>
T expect_value(StepResult<T> result) {
  if (result) return std::move(*result);
  ADD_FAILURE() << "error: " << to_string(result.error());
  if constexpr (std::is_default_constructible_v<T>) {
    return T{};
  } else {
    throw std::runtime_error(to_string(result.error()));
  }
}

template <class T>
[[nodiscard]] std::string step_of(const StepResult<T>& result) {
  return result ? "no error" : result.error().step;
}
template <class T>
[[nodiscard]] std::error_code code_of(const StepResult<T>& result) {
  return result ? std::error_code() : result.error().code;
}

// What the command wrote to its standard output, when it has ended well.
[[nodiscard]] inline std::string said(const Command& command) {
  const auto output = command.output(patiently());
  if (!output) {
    ADD_FAILURE() << to_string(output.error());
    return "";
  }
  EXPECT_TRUE(output->status.success())
      << to_string(output->status) << ": " << output->standard_error;
  return output->standard_output;
}

}  // namespace rearm::test
