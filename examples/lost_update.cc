// A lost update, and how to find it: a bank whose fibers work on one account at a time, nearly.
//
//   ./lost_update               needs nobody else; exits with 0 if the mistake was found in the
//                               first bank, and none in the second
//
// A deposit reads the balance, writes a line into the journal, which is a pipe, and stores the new
// balance. A write to a pipe may park, so another deposit may come in between, and one of the two
// is lost. On an idle machine that hardly ever happens. rearm::testing makes it happen, shows the
// steps, and prints a schedule that makes it happen again:
//
//   REARM_SCHEDULE=... ./lost_update       replays it, under a debugger for instance
#include <cstdio>
#include <stdexcept>
#include <string>

#include "rearm/rearm.h"
#include "rearm/testing.h"

class Bank {
 public:
  explicit Bank(bool correct) : correct_(correct) {}

  void deposit(int amount) {
    if (correct_) {
      balance_ += amount;
      write_journal(amount);
    } else {
      const int balance = balance_;
      write_journal(amount);
      balance_ = balance + amount;  // Whatever was deposited meanwhile is lost.
    }
  }

  int balance() const { return balance_; }

 private:
  void write_journal(int amount) {
    rearm::or_throw(journal_.write_end.write_all(std::to_string(amount) + "\n"), "journal");
  }

  bool correct_;
  int balance_ = 0;
  rearm::Pipe journal_ = rearm::or_throw(rearm::Pipe::create(), "journal");
};

// Two customers, each a fiber. What does not hold at the end is a failure.
void two_deposits(bool correct) {
  Bank bank(correct);
  auto alice = rearm::spawn([&bank] { bank.deposit(100); }, {.name = "alice"});
  auto bob = rearm::spawn([&bank] { bank.deposit(200); }, {.name = "bob"});
  alice.join();
  bob.join();
  if (bank.balance() != 300) {
    throw std::runtime_error("the balance is " + std::to_string(bank.balance()) + ", not 300");
  }
}

int main() {
  using rearm::testing::Strategy;
  const rearm::testing::Options options{.strategy = Strategy::kExhaustive, .delays = 2};

  const auto wrong = rearm::testing::explore([] { two_deposits(false); }, options);
  std::printf("the wrong bank:   %s\n", wrong ? "no mistake found" : wrong.failure->what.c_str());

  const auto right = rearm::testing::explore([] { two_deposits(true); }, options);
  std::printf("the correct bank: %s after %llu runs, %s\n",
              right ? "no mistake found" : right.failure->what.c_str(),
              static_cast<unsigned long long>(right.runs),
              right.complete ? "which are all there are with two delays" : "and there are more");
  return !wrong && right ? 0 : 1;
}
