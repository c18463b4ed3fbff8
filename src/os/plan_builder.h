// PlanBuilder: from what a Command was told to the plan of its child. Linux.
//
// Everything that the plan points to is in the command or in this object, and both outlive the
// child's use of it.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "os/command_spec.h"
#include "os/exec_text.h"
#include "os/launch.h"
#include "os/owned_number.h"
#include "os/plan.h"
#include "rearm/os/step_error.h"

namespace rearm::detail {

// As an argument of a system call.
[[nodiscard]] inline long address(const void* p) noexcept { return reinterpret_cast<long>(p); }

class PlanBuilder {
 public:
  using Placed = ChildFds::Placed;

  explicit PlanBuilder(const CommandSpec& spec) : spec_(spec) {}
  PlanBuilder(const PlanBuilder&) = delete;
  PlanBuilder& operator=(const PlanBuilder&) = delete;

  // `placed` has what the streams and pass_fd() give, each number once; `await_fd` is -1 if the
  // child need not wait for its parent.
  [[nodiscard]] StepResult<void> build(std::vector<Placed> placed, int await_fd);

  [[nodiscard]] Plan& plan() noexcept { return plan_; }
  [[nodiscard]] std::uint64_t clone_flags() const noexcept { return clone_flags_; }
  [[nodiscard]] bool may_share_memory() const noexcept;

  // What an op did, and to what, for an error.
  [[nodiscard]] std::string describe(unsigned op) const;
  [[nodiscard]] bool is_exec(unsigned op) const { return ops_[op].kind == Op::Kind::kExec; }

  [[nodiscard]] ExecText& text() noexcept { return text_; }

 private:
  struct KernelLimit {
    std::uint64_t soft;
    std::uint64_t hard;
  };
  struct CapabilityHeader {
    std::uint32_t version;
    int pid;
  };
  struct CapabilityData {
    std::uint32_t effective;
    std::uint32_t permitted;
    std::uint32_t inheritable;
  };
  struct FilterProgram {
    unsigned short length;
    const SeccompFilter::Instruction* instructions;
  };

  Op& add(const char* step, long number, long a = 0, long b = 0, long c = 0, long d = 0,
          long e = 0);
  [[nodiscard]] const char* keep(std::string text);

  [[nodiscard]] StepResult<void> add_namespaces(int await_fd);
  [[nodiscard]] StepResult<void> add_mounts();
  void add_root(const char* root);
  void add_mount(const Mount& mount, const std::string& root);
  [[nodiscard]] StepResult<void> add_descriptors(std::vector<Placed> placed);
  void add_session();
  [[nodiscard]] StepResult<void> add_limits();
  void add_privileges();
  void add_capabilities(const Capabilities& sets);
  void add_signals();
  void add_last();

  const CommandSpec& spec_;
  Plan plan_;
  std::uint64_t clone_flags_ = 0;
  std::vector<Op> ops_;
  ExecText text_;
  std::deque<std::string> kept_text_;
  std::vector<int> kept_fds_;
  std::vector<OwnedNumber> moved_;
  std::deque<KernelLimit> limits_;
  std::vector<unsigned long> cpu_mask_;
  CapabilityHeader capability_header_{};
  std::array<CapabilityData, 2> capability_data_{};
  FilterProgram filter_program_{};
  std::uint64_t no_signals_ = 0;
  std::array<unsigned long, 4> ignore_action_{};
};

}  // namespace rearm::detail
