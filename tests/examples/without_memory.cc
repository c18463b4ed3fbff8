// Preloaded into a server: from SIGUSR1 to SIGUSR2, `new` fails on every thread.
#include <csignal>
#include <cstdlib>
#include <new>

namespace {

volatile std::sig_atomic_t exhausted = 0;

void on_signal(int number) { exhausted = number == SIGUSR1; }

[[gnu::constructor]] void install() {
  std::signal(SIGUSR1, on_signal);
  std::signal(SIGUSR2, on_signal);
}

}  // namespace

void* operator new(std::size_t size) {
  void* memory = exhausted != 0 ? nullptr : std::malloc(size);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

// The library's own one goes with the library's own new.
void operator delete(void* memory) noexcept { std::free(memory); }

void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
