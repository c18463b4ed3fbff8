#include "torture/server.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cinttypes>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "rearm/net/pipe.h"
#include "torture/pattern.h"

namespace rearm::torture {
namespace {

using std::chrono::microseconds;

// The server's half of one connection.
class Echo {
 public:
  Echo(World& world, ClosingThread& closer, const SessionPtr& session)
      : world_(world), closer_(closer), session_(session), actor_(world.ledger, "server") {}

  void run();

 private:
  [[nodiscard]] bool greet();
  void start_trouble();
  void start_closers();
  void move_deadlines();
  void intrude();
  void echo();
  void echo_through_pipe();
  [[nodiscard]] bool at_turn();
  [[nodiscard]] bool write(Actor& actor, std::span<const std::byte> bytes);
  void read_on();
  [[nodiscard]] std::size_t read(Actor& actor, std::span<std::byte> bytes);
  void check(std::span<const std::byte> bytes);
  void expect(const char* what, std::error_code error);
  void finish();
  [[nodiscard]] Deadline deadline();
  void pause();
  template <class F>
  void start(const char* name, F f) {
    helpers_.push_back(spawn(std::move(f), {.name = name}));
  }

  World& world_;
  ClosingThread& closer_;
  SessionPtr session_;
  Actor actor_;
  Plan plan_;
  Random random_{0, 0};
  std::uint64_t read_ = 0;           // Of the pattern.
  std::uint64_t written_ = 0;        // Echoed.
  bool ended_ = false;               // The client's direction has come to its end.
  std::atomic<bool> failed_{false};  // An error that the plan accounts for.
  std::vector<JoinHandle<void>> helpers_;
};

void Echo::run() {
  if (greet()) {
    start_trouble();
    if (plan_.treatment == Treatment::kDuplex) {
      echo_through_pipe();
    } else {
      echo();
    }
  }
  finish();
}

bool Echo::greet() {
  std::array<std::byte, Greeting::kBytes> bytes{};
  const auto read = actor_(Op::kRead, [&] {
    return session_->socket().read_exact(MutableBuffer(bytes.data(), bytes.size()));
  });
  if (!read) {
    // Nobody but the client, or the stop, can have ended this.
    const std::error_code e = read.error();
    const bool left = e == Errc::kEndOfStream || e == std::errc::connection_reset;
    if (!left && !world_.is_the_stop(e)) {
      world_.ledger.fail("a greeting ended with '%s'", e.message().c_str());
    }
    return false;
  }
  const std::uint32_t id = Greeting::id_in(bytes);
  if (id == 0 || id >= world_.next_id) {
    world_.ledger.fail("instead of a greeting came %s",
                       describe_bytes(bytes, world_.next_id).c_str());
  }
  actor_.is(id);
  plan_ = world_.plan_of(id);
  random_ = Random(world_.options.seed, std::uint64_t{id} << 32);
  if (plan_.small_buffers) (void)session_->socket().set_send_buffer_bytes(1);
  return true;
}

void Echo::start_trouble() {
  switch (plan_.treatment) {
    case Treatment::kDeadlinesMoved: start("mover", [this] { move_deadlines(); }); break;
    case Treatment::kIntruded: start("intruder", [this] { intrude(); }); break;
    case Treatment::kClosedByFiber:
    case Treatment::kClosedByThread:
    case Treatment::kClosedByMany: start_closers(); break;
    default: break;
  }
}

void Echo::start_closers() {
  const auto after = microseconds(plan_.close_after_us);
  const auto when = std::chrono::steady_clock::now() + after;
  const bool many = plan_.treatment == Treatment::kClosedByMany;
  if (many || plan_.treatment == Treatment::kClosedByThread) closer_.close_at(session_, when);
  const int fibers = many ? 4 : plan_.treatment == Treatment::kClosedByFiber ? 1 : 0;
  for (int i = 0; i < fibers; ++i) {
    start("closer", [this, when] {
      Actor actor(world_.ledger, "closer", plan_.id);
      (void)actor(Op::kSleep, [&] { return this_fiber::sleep_until(Deadline::at(when)); });
      (void)actor(Op::kClose, [&] { return session_->socket().close(); });
    });
  }
}

void Echo::move_deadlines() {
  Actor actor(world_.ledger, "mover", plan_.id);
  Random random(world_.options.seed, (std::uint64_t{plan_.id} << 32) + 1);
  StreamSocket& socket = session_->socket();
  while (!session_->done && !world_.stopping) {
    const Deadline far = Deadline::after(std::chrono::hours(1));
    const Deadline near = Deadline::after(microseconds(random.up_to(3'000)));
    const auto moved = actor(Op::kSetDeadline, [&] {
      switch (random.below(4)) {
        case 0: return socket.set_read_deadline(near);
        case 1: return socket.set_write_deadline(near);
        case 2: return socket.set_deadline(near);
        default: return socket.set_deadline(far);
      }
    });
    if (!moved) expect("set_deadline", moved.error());
    (void)actor(Op::kSleep,
                [&] { return this_fiber::sleep_for(microseconds(random.up_to(5'000))); });
  }
}

void Echo::intrude() {
  Actor actor(world_.ledger, "intruder", plan_.id);
  Random random(world_.options.seed, (std::uint64_t{plan_.id} << 32) + 2);
  StreamSocket& socket = session_->socket();
  // Empty buffers: the intruder is refused, or is inside for a moment and takes nothing. A read
  // into one is refused in any case.
  const auto enter = [&]() -> Result<std::size_t> {
    return random.one_in(2) ? socket.read_some({}) : socket.write_some({});
  };
  while (!session_->done && !world_.stopping) {
    const auto n = actor(Op::kIntrude, enter);
    // An empty write, too, says that the client is gone.
    const bool is_refused =
        !n && (n.error() == std::errc::broken_pipe || n.error() == Errc::kInvalidArgument);
    if (!n && !is_refused) expect("intruder's operation", n.error());
    if (n && *n != 0)
      world_.ledger.fail("%s: an empty operation took bytes", plan_.describe().c_str());
    this_fiber::yield();
    (void)actor(Op::kSleep,
                [&] { return this_fiber::sleep_for(microseconds(random.up_to(1'000))); });
  }
}

Deadline Echo::deadline() {
  if (plan_.treatment != Treatment::kShortDeadlines) return {};
  return Deadline::after(microseconds(random_.up_to(4'000) - 1));
}

// Before the same again: a standing deadline stays in the past until somebody moves it.
void Echo::pause() {
  this_fiber::yield();
  if (plan_.treatment == Treatment::kDeadlinesMoved) {
    (void)this_fiber::sleep_for(microseconds(100));
  }
}

// An error ends the echo, if the plan accounts for it; otherwise it ends everything.
void Echo::expect(const char* what, std::error_code error) {
  if (plan_.server_may_see(error) || world_.is_the_stop(error)) return;
  world_.ledger.fail("%s: the server's %s ended with '%s'", plan_.describe().c_str(), what,
                     error.message().c_str());
}

// Reads at least a byte; 0 at the end of the stream or of the echo.
std::size_t Echo::read(Actor& actor, std::span<std::byte> bytes) {
  for (;;) {
    const Deadline until = deadline();
    const auto n = actor(Op::kRead, [&] {
      return session_->socket().read_some(MutableBuffer(bytes.data(), bytes.size()), until);
    });
    if (n) {
      ended_ = *n == 0;
      check(bytes.first(*n));
      return *n;
    }
    expect("read", n.error());
    if (n.error() == Errc::kTimedOut || n.error() == Errc::kBusy) {
      if (!until.is_standing() && now_ns() < until.ns()) {
        world_.ledger.fail("%s: a read timed out before its deadline", plan_.describe().c_str());
      }
      pause();
      continue;
    }
    failed_ = true;
    return 0;
  }
}

void Echo::check(std::span<const std::byte> bytes) {
  if (const auto at = first_mismatch(plan_.id, read_, bytes)) {
    world_.ledger.fail("%s: the server read, at %" PRIu64 ", %s", plan_.describe().c_str(),
                       read_ + *at, describe_bytes(bytes.subspan(*at), world_.next_id).c_str());
  }
  read_ += bytes.size();
  if (read_ > plan_.bytes) {
    world_.ledger.fail("%s: the server read more than was sent", plan_.describe().c_str());
  }
  world_.ledger.count_bytes(bytes.size());
}

// Returns false at the end of the echo.
bool Echo::write(Actor& actor, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const auto n = actor(Op::kWrite, [&] {
      return session_->socket().write_some(ConstBuffer(bytes.data(), bytes.size()), deadline());
    });
    if (n) {
      if (*n == 0 || *n > bytes.size()) {
        world_.ledger.fail("%s: a write of %zu bytes wrote %zu", plan_.describe().c_str(),
                           bytes.size(), *n);
      }
      bytes = bytes.subspan(*n);
      written_ += *n;
      continue;
    }
    expect("write", n.error());
    if (n.error() == Errc::kTimedOut || n.error() == Errc::kBusy) {
      pause();
      continue;
    }
    failed_ = true;
    return false;
  }
  return true;
}

// What the plan has for the moment when `server_turn` bytes are echoed. Returns whether the echo
// goes on.
bool Echo::at_turn() {
  switch (plan_.treatment) {
    case Treatment::kHalfClosed: {
      const auto shut =
          actor_(Op::kShutdown, [&] { return session_->socket().shutdown(Shutdown::kWrite); });
      if (!shut) expect("shutdown", shut.error());
      read_on();
      return false;
    }
    case Treatment::kReset:
      session_->make_close_a_reset();
      failed_ = true;
      return false;
    case Treatment::kReleased: {
      const auto number = actor_(Op::kRelease, [&] { return session_->socket().release(); });
      if (!number) expect("release", number.error());
      const auto adopted = actor_(Op::kAdopt, [&]() -> Result<bool> {
        if (plan_.transport == Transport::kTcp) {
          auto stream = TcpStream::adopt(*number);
          if (!stream) return std::unexpected(stream.error());
          session_->stream = std::move(*stream);
        } else {
          auto stream = UnixStream::adopt(*number);
          if (!stream) return std::unexpected(stream.error());
          session_->stream = std::move(*stream);
        }
        return true;
      });
      if (!adopted) expect("adopt", adopted.error());
      return true;
    }
    default: return true;
  }
}

// The other direction goes on after ours has ended.
void Echo::read_on() {
  std::vector<std::byte> buffer(plan_.buffer);
  while (read(actor_, buffer) != 0) continue;
}

void Echo::echo() {
  std::vector<std::byte> buffer(plan_.buffer);
  bool turned = false;
  for (;;) {
    if (!turned && written_ == plan_.server_turn) {
      turned = true;
      if (!at_turn()) return;
    }
    const std::size_t n = read(actor_, buffer);
    if (n == 0) return;
    std::span<const std::byte> bytes(buffer.data(), n);
    while (!bytes.empty()) {
      // Up to the turn, and no byte further.
      std::size_t size = bytes.size();
      if (!turned) size = std::min<std::size_t>(size, plan_.server_turn - written_);
      if (!write(actor_, bytes.first(size))) return;
      bytes = bytes.subspan(size);
      if (!turned && written_ == plan_.server_turn) {
        turned = true;
        if (!at_turn()) return;
      }
    }
  }
}

void Echo::echo_through_pipe() {
  auto pipe = Pipe::create();
  if (!pipe) world_.ledger.fail("pipe: %s", pipe.error().message().c_str());
  auto writer = spawn([&] {
    Actor actor(world_.ledger, "server, second half", plan_.id);
    std::vector<std::byte> buffer(plan_.buffer);
    for (;;) {
      const auto n = actor(Op::kPipeRead, [&] {
        return pipe->read_end.read_some(MutableBuffer(buffer.data(), buffer.size()));
      });
      if (!n) expect("pipe's read", n.error());
      if (!n || *n == 0) break;
      if (!write(actor, std::span(buffer).first(*n))) break;
    }
    (void)actor(Op::kClose, [&] { return pipe->read_end.close(); });
  });
  std::vector<std::byte> buffer(plan_.buffer);
  for (;;) {
    const std::size_t n = read(actor_, buffer);
    if (n == 0) break;
    const auto written = actor_(
        Op::kPipeWrite, [&] { return pipe->write_end.write_all(ConstBuffer(buffer.data(), n)); });
    if (written) continue;
    expect("pipe's write", written.error());
    break;
  }
  (void)actor_(Op::kClose, [&] { return pipe->write_end.close(); });
  actor_.begin(Op::kJoin);
  writer.join();
  actor_.end(Op::kJoin);
}

void Echo::finish() {
  // A client that sends all, and a server that nobody closes: then all must have come.
  const bool orderly = ended_ && !failed_ && !plan_.client_leaves() && !world_.stopping;
  if (orderly && plan_.treatment < Treatment::kHalfClosed && read_ != plan_.bytes) {
    world_.ledger.fail("%s: the stream ended after %" PRIu64 " bytes", plan_.describe().c_str(),
                       read_);
  }
  session_->done = true;
  for (auto& helper : helpers_) {
    actor_.begin(Op::kJoin);
    helper.join();
    actor_.end(Op::kJoin);
  }
  const auto closed = actor_(Op::kClose, [&] { return session_->socket().close(); });
  if (!closed) expect("close", closed.error());
}

}  // namespace

ClosingThread::ClosingThread(World& world) : world_(world), thread_([this] { run(); }) {}

ClosingThread::~ClosingThread() {
  {
    const std::lock_guard lock(mu_);
    over_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void ClosingThread::close_at(SessionPtr session, std::chrono::steady_clock::time_point when) {
  const std::lock_guard lock(mu_);
  orders_.push_back({std::move(session), when});
  changed_.notify_one();
}

void ClosingThread::run() {
  Actor actor(world_.ledger, "closing thread");
  std::unique_lock lock(mu_);
  for (;;) {
    changed_.wait(lock, [this] { return over_ || !orders_.empty(); });
    if (orders_.empty()) return;
    const auto next = std::min_element(orders_.begin(), orders_.end(),
                                       [](auto& a, auto& b) { return a.when < b.when; });
    if (!over_ && next->when > std::chrono::steady_clock::now()) {
      changed_.wait_until(lock, next->when);
      continue;
    }
    const SessionPtr session = std::move(next->session);
    orders_.erase(next);
    lock.unlock();
    (void)actor(Op::kClose, [&] { return session->socket().close(); });
    lock.lock();
  }
}

void Server::open() {
  auto tcp = TcpListener::bind(SocketAddress::ipv4_loopback(0));
#if defined(__linux__)
  const std::string path = "@";
#else
  const std::string path = "/tmp/";
#endif
  auto name = SocketAddress::unix_path(path + "rearm-torture-" + std::to_string(::getpid()) + "-" +
                                       std::to_string(world_.epoch));
  auto unix_listener = UnixListener::bind(name.value());
  if (!tcp || !unix_listener) world_.ledger.fail("the server could not listen");
  tcp_ = std::move(*tcp);
  unix_ = std::move(*unix_listener);
  world_.tcp_address = tcp_.local_address().value();
  world_.unix_address = *name;
  acceptors_[0] = spawn([this] { accept_all(tcp_); }, {.name = "accept tcp"});
  acceptors_[1] = spawn([this] { accept_all(unix_); }, {.name = "accept unix"});
}

void Server::close() {
  for (const Result<void>& closed : {tcp_.close(), unix_.close()}) {
    if (!closed) world_.ledger.fail("a listener was closed by somebody else");
  }
  for (auto& acceptor : acceptors_) acceptor.join();
}

template <class Listener>
void Server::accept_all(Listener& listener) {
  Actor actor(world_.ledger, "acceptor");
  for (;;) {
    auto stream = actor(Op::kAccept, [&] {
      // Nobody has to connect: the watchdog sees a wait of its own every second.
      return listener.accept(Deadline::after(std::chrono::seconds(1)));
    });
    if (stream) {
      ++world_.accepted;
      auto session = std::make_shared<Session>();
      session->stream = std::move(*stream);
      spawn(
          [&world = world_, &closer = closer_, session = std::move(session)] {
            Echo(world, closer, session).run();
            ++world.served;
          },
          {.name = "serve"})
          .detach();
      continue;
    }
    if (stream.error() == Errc::kTimedOut) continue;
    const bool closed = stream.error() == Errc::kClosed && world_.is_over();
    if (closed || world_.is_the_stop(stream.error())) return;
    world_.ledger.fail("accept ended with '%s'", stream.error().message().c_str());
  }
}

}  // namespace rearm::torture
