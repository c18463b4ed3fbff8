#include "torture/neighbours.h"

#include <dirent.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#if defined(__linux__)
#include <sys/syscall.h>
#endif

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <ctime>
#include <span>
#include <thread>
#include <vector>

#include "support/sockets.h"
#include "torture/pattern.h"

namespace rearm::torture {
namespace {

constexpr std::uint32_t kKeepsakeBytes = 64;

// A descriptor pair that holds bytes of ours in each direction, and must go on holding just them.
class Keepsake {
 public:
  Keepsake(World& world, Random& random) : world_(&world), owner_(world.next_id.fetch_add(1)) {
    is_pipe_ = random.one_in(3);
    pair_ = is_pipe_ ? test::pipe_pair() : test::socket_pair();
    if (!is_pipe_ && random.one_in(2)) pair_.a = test::duplicate(pair_.a.get());
    put(pair_.b.get());
    if (!is_pipe_) put(pair_.a.get());
    a_ = identity(pair_.a.get());
    b_ = identity(pair_.b.get());
  }
  Keepsake(Keepsake&&) noexcept = default;
  Keepsake& operator=(Keepsake&&) noexcept = default;

  // Looks whether all is as it was, and gives the numbers back.
  void end() {
    check_identity(pair_.a.get(), a_);
    check_identity(pair_.b.get(), b_);
    take(pair_.a.get());
    if (!is_pipe_) take(pair_.b.get());
    pair_ = {};
  }

 private:
  struct Identity {
    dev_t device;
    ino_t inode;
    int flags;
    [[nodiscard]] bool operator==(const Identity&) const = default;
  };

  Identity identity(int fd) {
    struct stat status{};
    if (::fstat(fd, &status) != 0) {
      world_->ledger.fail("number %d of a stranger was closed under its owner", fd);
    }
    return {.device = status.st_dev, .inode = status.st_ino, .flags = ::fcntl(fd, F_GETFL)};
  }
  void check_identity(int fd, const Identity& before) {
    if (identity(fd) == before) return;
    world_->ledger.fail("number %d of a stranger has become another file", fd);
  }
  void put(int fd) {
    std::array<std::byte, kKeepsakeBytes> bytes{};
    fill_pattern(owner_, 0, bytes);
    if (::write(fd, bytes.data(), bytes.size()) != ssize_t{kKeepsakeBytes}) {
      world_->ledger.fail("number %d of a stranger takes no bytes", fd);
    }
  }
  void take(int fd) {
    std::array<std::byte, 4 * kKeepsakeBytes> bytes{};
    const ssize_t n = ::read(fd, bytes.data(), bytes.size());
    const std::span<const std::byte> all(bytes.data(), n > 0 ? static_cast<std::size_t>(n) : 0);
    if (n != ssize_t{kKeepsakeBytes} || first_mismatch(owner_, 0, all)) {
      world_->ledger.fail("number %d of a stranger held %u bytes and now holds %zd, %s", fd,
                          kKeepsakeBytes, n, describe_bytes(all, world_->next_id).c_str());
    }
  }

  World* world_;
  std::uint32_t owner_;
  bool is_pipe_ = false;
  test::FdPair pair_;
  Identity a_{};
  Identity b_{};
};

// In the handler: only what may be done there.
void hold(int /*signal*/) {
  static std::atomic<std::uint64_t> held{0};
  const int error = errno;
  const std::uint64_t random = mix(held.fetch_add(1, std::memory_order_relaxed));
  // From tens of microseconds to 3 ms.
  const auto ns = static_cast<long>((random % 3'000'000) >> (random >> 61));
  const timespec time{.tv_sec = 0, .tv_nsec = ns};
  ::nanosleep(&time, nullptr);
  errno = error;
}

#if defined(__linux__)
std::vector<int> threads() {
  std::vector<int> found;
  DIR* const directory = ::opendir("/proc/self/task");
  if (directory == nullptr) return found;
  while (const dirent* const entry = ::readdir(directory)) {
    if (const int thread = std::atoi(entry->d_name); thread > 0) found.push_back(thread);
  }
  ::closedir(directory);
  return found;
}

int this_thread() { return static_cast<int>(::syscall(SYS_gettid)); }
void signal_to(int thread) { ::syscall(SYS_tgkill, ::getpid(), thread, SIGUSR1); }
#else
std::vector<int> threads() { return {0}; }
int this_thread() { return 1; }
void signal_to(int) { ::kill(::getpid(), SIGUSR1); }
#endif

}  // namespace

void install_hold_handler() {
  // Interrupted calls are not restarted, which is the harder case.
  struct sigaction action{};
  action.sa_handler = hold;
  sigemptyset(&action.sa_mask);
  ::sigaction(SIGUSR1, &action, nullptr);
}

void note_worker(World& world) {
  const int self = this_thread();
  for (std::atomic<int>& worker : world.workers) {
    int known = worker;
    if (known == self) return;
    if (known == 0 && worker.compare_exchange_strong(known, self)) return;
  }
}

void hold_a_worker(World& world, Random& random) {
  const int worker = world.workers[random.below(World::kWorkers)];
  if (!world.options.hold || worker == 0) return;
  signal_to(worker);
  world.ledger.count(Op::kHold);
}

void run_numbers(World& world, std::size_t index) {
  constexpr std::uint32_t kMost = 16;
  Actor actor(world.ledger, "numbers");
  Random random = world.random(6'000 + index);
  std::vector<Keepsake> kept;
  while (!world.is_over()) {
    actor.begin(Op::kNumber);
    // First the new ones: their numbers are those that the library has just given back.
    const std::uint32_t more = random.below(kMost - static_cast<std::uint32_t>(kept.size()) + 1);
    for (std::uint32_t i = 0; i < more; ++i) kept.emplace_back(world, random);
    if (random.one_in(4)) std::this_thread::sleep_for(std::chrono::microseconds(random.below(200)));
    while (!kept.empty() && !random.one_in(8)) {
      const std::uint32_t i = random.below(static_cast<std::uint32_t>(kept.size()));
      std::swap(kept[i], kept.back());
      kept.back().end();
      kept.pop_back();
      world.ledger.count(Op::kNumber);
    }
    actor.end(Op::kNumber);
    std::this_thread::sleep_for(std::chrono::microseconds(random.up_to(500)));
  }
  for (Keepsake& keepsake : kept) keepsake.end();
}

void run_holder(World& world) {
  Random random = world.random(7'000);
  while (!world.is_over()) {
    const std::vector<int> all = threads();
    if (all.empty()) return;
    const int thread = all[random.below(static_cast<std::uint32_t>(all.size()))];
    if (thread != this_thread()) signal_to(thread);
    world.ledger.count(Op::kHold);
    std::this_thread::sleep_for(std::chrono::microseconds(random.up_to(8'000)));
  }
}

}  // namespace rearm::torture
