#include "os/bpf_check.h"

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

namespace rearm::detail {
namespace {

using Instruction = SeccompFilter::Instruction;

constexpr std::size_t kMostInstructions = 4096;
constexpr std::uint32_t kDataBytes = 64;  // struct seccomp_data
constexpr std::size_t kCells = 16;

// What seccomp(2) knows of BPF, by the numbers of linux/bpf_common.h.
enum Code : std::uint16_t {
  kLoad = 0x20,
  kLoadLength = 0x80,
  kLoadNumber = 0x00,
  kLoadCell = 0x60,
  kLoadIndexLength = 0x81,
  kLoadIndexNumber = 0x01,
  kLoadIndexCell = 0x61,
  kStore = 0x02,
  kStoreIndex = 0x03,
  kToIndex = 0x07,
  kFromIndex = 0x87,
  kNegate = 0x84,
  kJump = 0x05,
  kReturn = 0x06,
  kReturnAccumulator = 0x16,
};

constexpr std::uint16_t kClassMask = 0x07;
constexpr std::uint16_t kArithmetic = 0x04;
constexpr std::uint16_t kBranch = 0x05;
constexpr std::uint16_t kByIndex = 0x08;  // The operand is the index register.
constexpr std::uint16_t kOperationMask = 0xf0;

[[nodiscard]] bool is_branch(std::uint16_t code) {
  const std::uint16_t operation = code & kOperationMask;
  return (code & kClassMask) == kBranch &&
         (code & ~(kOperationMask | kByIndex | kClassMask)) == 0 && operation >= 0x10 &&
         operation <= 0x40;
}

// Add, subtract, multiply, divide, or, and, shift left and right, exclusive or.
[[nodiscard]] bool is_arithmetic(std::uint16_t code) {
  const std::uint16_t operation = code & kOperationMask;
  return (code & kClassMask) == kArithmetic &&
         (code & ~(kOperationMask | kByIndex | kClassMask)) == 0 &&
         (operation <= 0x70 || operation == 0xa0);
}

[[nodiscard]] std::string fault_of_one(const Instruction& one, std::size_t left) {
  const std::uint16_t operation = one.code & kOperationMask;
  if (is_branch(one.code)) {
    const bool inside = one.if_true < left && one.if_false < left;
    return inside ? "" : "jumps out of the program";
  }
  if (is_arithmetic(one.code)) {
    const bool by_number = (one.code & kByIndex) == 0;
    if (by_number && operation == 0x30 && one.operand == 0) return "divides by zero";
    if (by_number && (operation == 0x60 || operation == 0x70) && one.operand >= 32) {
      return "shifts by 32 or more";
    }
    return "";
  }
  switch (one.code) {
    case kLoad:
      return one.operand % 4 == 0 && one.operand < kDataBytes ? ""
                                                              : "loads outside of seccomp_data";
    case kLoadCell:
    case kLoadIndexCell:
    case kStore:
    case kStoreIndex: return one.operand < kCells ? "" : "uses a cell beyond the sixteenth";
    case kJump: return one.operand < left ? "" : "jumps out of the program";
    case kLoadLength:
    case kLoadNumber:
    case kLoadIndexLength:
    case kLoadIndexNumber:
    case kToIndex:
    case kFromIndex:
    case kNegate:
    case kReturn:
    case kReturnAccumulator: return "";
    default: return "not one of seccomp's";
  }
}

using Value = std::optional<std::uint32_t>;  // Nothing: not known.

struct BpfState {
  bool is_reached = false;
  Value accumulator;
  Value index;
  std::array<Value, kCells> cells;

  void join(const BpfState& other) {
    if (!is_reached) {
      *this = other;
      is_reached = true;
      return;
    }
    const auto merge = [](Value& a, const Value& b) {
      if (a != b) a.reset();
    };
    merge(accumulator, other.accumulator);
    merge(index, other.index);
    for (std::size_t i = 0; i < kCells; ++i) merge(cells[i], other.cells[i]);
  }
};

// What of struct seccomp_data is known: the call's number and the architecture.
#if defined(__x86_64__)
constexpr std::uint32_t kExecve = 59;
constexpr std::uint32_t kArchitecture = 0xc000003e;
constexpr bool kKnowsExecve = true;
#elif defined(__aarch64__)
constexpr std::uint32_t kExecve = 221;
constexpr std::uint32_t kArchitecture = 0xc00000b7;
constexpr bool kKnowsExecve = true;
#else
constexpr std::uint32_t kExecve = 0;
constexpr std::uint32_t kArchitecture = 0;
constexpr bool kKnowsExecve = false;
#endif

[[nodiscard]] Value data_at(std::uint32_t offset) {
  if (offset == 0) return kExecve;
  if (offset == 4) return kArchitecture;
  return std::nullopt;
}

[[nodiscard]] Value compute(std::uint16_t operation, std::uint32_t a, std::uint32_t b) {
  switch (operation) {
    case 0x00: return a + b;
    case 0x10: return a - b;
    case 0x20: return a * b;
    case 0x30: return b == 0 ? Value() : Value(a / b);
    case 0x40: return a | b;
    case 0x50: return a & b;
    case 0x60: return b >= 32 ? Value() : Value(a << b);
    case 0x70: return b >= 32 ? Value() : Value(a >> b);
    case 0xa0: return a ^ b;
    default: return std::nullopt;
  }
}

[[nodiscard]] bool holds(std::uint16_t operation, std::uint32_t a, std::uint32_t b) {
  switch (operation) {
    case 0x10: return a == b;
    case 0x20: return a > b;
    case 0x30: return a >= b;
    default: return (a & b) != 0;
  }
}

// What the straight-line instruction makes of the state.
void step(BpfState& state, const Instruction& one) {
  if (is_arithmetic(one.code)) {
    const Value operand = (one.code & kByIndex) != 0 ? state.index : Value(one.operand);
    state.accumulator = state.accumulator && operand
                            ? compute(one.code & kOperationMask, *state.accumulator, *operand)
                            : std::nullopt;
    return;
  }
  switch (one.code) {
    case kLoad: state.accumulator = data_at(one.operand); break;
    // The kernel makes these the size of struct seccomp_data.
    case kLoadLength: state.accumulator = kDataBytes; break;
    case kLoadIndexLength: state.index = kDataBytes; break;
    case kLoadNumber: state.accumulator = one.operand; break;
    case kLoadIndexNumber: state.index = one.operand; break;
    case kLoadCell: state.accumulator = state.cells[one.operand]; break;
    case kLoadIndexCell: state.index = state.cells[one.operand]; break;
    case kStore: state.cells[one.operand] = state.accumulator; break;
    case kStoreIndex: state.cells[one.operand] = state.index; break;
    case kToIndex: state.index = state.accumulator; break;
    case kFromIndex: state.accumulator = state.index; break;
    case kNegate:
      if (state.accumulator) state.accumulator = 0U - *state.accumulator;
      break;
    default: break;
  }
}

// SECCOMP_RET_ALLOW, LOG, TRACE and USER_NOTIF: the last two leave it to another process.
[[nodiscard]] bool lets_pass(std::uint32_t verdict) {
  switch (verdict >> 16) {
    case 0x7fff:
    case 0x7ffc:
    case 0x7ff0:
    case 0x7fc0: return true;
    default: return false;
  }
}

}  // namespace

std::string fault_of(std::span<const Instruction> program) {
  if (program.empty()) return "no instruction";
  if (program.size() > kMostInstructions) return "more than 4096 instructions";
  for (std::size_t i = 0; i < program.size(); ++i) {
    const std::string fault = fault_of_one(program[i], program.size() - i - 1);
    if (!fault.empty()) return "instruction " + std::to_string(i) + ": " + fault;
  }
  const std::uint16_t last = program.back().code;
  if (last != kReturn && last != kReturnAccumulator) return "no return at the end";
  return "";
}

// Jumps go forward only, so one pass knows of each instruction all that can come before it.
bool may_execute(std::span<const Instruction> program) {
  if (!kKnowsExecve) return true;
  std::vector<BpfState> before(program.size());
  before[0].is_reached = true;
  before[0].accumulator = 0;
  before[0].index = 0;
  for (std::size_t i = 0; i < program.size(); ++i) {
    BpfState state = before[i];
    if (!state.is_reached) continue;
    const Instruction& one = program[i];
    if (one.code == kReturn || one.code == kReturnAccumulator) {
      const Value verdict = one.code == kReturn ? Value(one.operand) : state.accumulator;
      if (!verdict || lets_pass(*verdict)) return true;
      continue;
    }
    if (one.code == kJump) {
      before[i + 1 + one.operand].join(state);
    } else if (is_branch(one.code)) {
      const Value operand = (one.code & kByIndex) != 0 ? state.index : Value(one.operand);
      const bool is_known = state.accumulator && operand;
      const bool yes = is_known && holds(one.code & kOperationMask, *state.accumulator, *operand);
      if (!is_known || yes) before[i + 1 + one.if_true].join(state);
      if (!is_known || !yes) before[i + 1 + one.if_false].join(state);
    } else {
      step(state, one);
      before[i + 1].join(state);
    }
  }
  return false;
}

}  // namespace rearm::detail
