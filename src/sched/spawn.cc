// Spawning: a fiber is laid into the topmost bytes of a stack, and what it runs just below.
#include <cstdint>
#include <source_location>
#include <string>
#include <system_error>

#include "base/check.h"
#include "rearm/fiber.h"
#include "rearm/runtime.h"
#include "sched/control.h"
#include "sched/fiber.h"
#include "sched/options.h"
#include "sched/scheduler.h"
#include "sched/worker.h"

namespace rearm::detail {
namespace {

std::uintptr_t align_down(std::uintptr_t address, std::size_t alignment) noexcept {
  return address / alignment * alignment;
}

Result<Fiber*> spawn_on(Scheduler& scheduler, const TaskSpec& spec, const SpawnOptions& options,
                        const std::source_location& site) {
  Worker* worker = Worker::current();
  const Fiber* const spawner = worker == nullptr ? nullptr : worker->fiber();
  if (worker != nullptr && &worker->scheduler() != &scheduler) worker = nullptr;
  if (worker == nullptr) scheduler.watch_exit();
  StackPool* pool = &scheduler.stacks();
  if (options.stack_bytes != 0) [[unlikely]] {
    if (options.stack_bytes > kMaxStackBytes) return std::unexpected(Errc::kInvalidArgument);
    pool = scheduler.stacks_of_size(options.stack_bytes);
    if (pool == nullptr) return std::unexpected(Errc::kStacksExhausted);
  }
  Stack* const stack = worker == nullptr || pool != &scheduler.stacks()
                           ? pool->take()
                           : worker->processor().stacks.take();
  if (stack == nullptr) return std::unexpected(Errc::kStacksExhausted);
  const std::uint64_t id =
      worker == nullptr ? reserve_fiber_ids(1) : worker->processor().next_fiber_id();

  const auto top = reinterpret_cast<std::uintptr_t>(stack->top());
  const std::uintptr_t fiber_at = align_down(top - sizeof(Fiber), alignof(Fiber));
  REARM_CHECK(spec.bytes + spec.alignment <= stack->bytes / 2,
              "the function to spawn captures more than half a stack; capture a pointer instead");
  const std::uintptr_t task_at = align_down(fiber_at - spec.bytes, spec.alignment);

  const std::uint32_t depth = spawner == nullptr ? 0 : spawner->depth + 1;
  auto* const fiber =
      new (reinterpret_cast<void*>(fiber_at)) Fiber(scheduler, *stack, id, depth, options, site);
  try {
    fiber->task = spec.construct(reinterpret_cast<void*>(task_at), spec.function);
  } catch (...) {  // The function's own copy constructor threw: the caller's exception.
    fiber->~Fiber();
    stack->next_free = nullptr;
    stack->pool->give_back(stack, 1);
    throw;
  }
  make_ready_to_begin(*fiber);

  // The constructor above may have parked: look again for the worker.
  worker = Worker::current();
  if (worker != nullptr && &worker->scheduler() == &scheduler) {
    Processor::count_life(worker->processor().spawned);
  } else {
    scheduler.count_spawned_outside();
  }
  fiber->state.change(Fiber::State::kNew, Fiber::State::kQueued, "a fiber was spawned twice");
  Worker::make_ready(*fiber);
  if (VirtualClock::anywhere()) [[unlikely]]
    Control::spawned(*fiber);
  return fiber;
}

}  // namespace

std::uint64_t reserve_fiber_ids(std::uint64_t count) noexcept {
  static constinit Atomic<std::uint64_t> next{1};
  return next.fetch_add(count, kRelaxed);
}

Result<Fiber*> spawn(Runtime* runtime, const TaskSpec& spec, const SpawnOptions& options,
                     const std::source_location& site) {
  if (runtime == nullptr) runtime = Runtime::current();
  REARM_CHECK(runtime != nullptr,
              "rearm::spawn() was called on a plain thread; use Runtime::spawn() there");
  return spawn_on(runtime->scheduler(), spec, options, site);
}

void throw_spawn_error(std::error_code error) {
  if (error == Errc::kInvalidArgument) {
    throw std::system_error(
        error, "rearm: SpawnOptions::stack_bytes is more than " + std::to_string(kMaxStackBytes));
  }
  throw std::system_error(
      error, "rearm: cannot spawn a fiber (see vm.max_map_count, RLIMIT_AS, vm.overcommit_memory)");
}

}  // namespace rearm::detail
