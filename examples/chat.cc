// A chat room: whatever one member says, all the others read.
//
//   ./chat [port]               then, elsewhere, more than once: nc 127.0.0.1 PORT
//
// A member is two fibers. One reads lines from the connection and posts them to the others'
// mailboxes; the other takes what its own mailbox has and writes it to the connection. Posting
// never waits, so a member who does not read cannot stall the room: their writer runs into its
// deadline, or their mailbox overflows, and they are cut off.
#include <array>
#include <chrono>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rearm/rearm.h"
#include "serve.h"

using namespace std::chrono_literals;

namespace {

constexpr std::size_t kMaxLineBytes = 512;
constexpr std::size_t kMaxMailboxBytes = 1024 * 1024;
constexpr auto kTimeToSayTheName = 60s;
constexpr auto kTimeToRead = 5s;

// What somebody has yet to read. Any fiber posts, one takes.
//
// A std::mutex is right where nobody parks while holding it: text is moved under the lock, and the
// taker waits outside it, for a pipe. The pipe holds one byte while there is something to take:
// whoever posts first puts it there, so there is always room for it, and the write cannot wait.
class Mailbox {
 public:
  explicit Mailbox(rearm::Pipe bell) : bell_(std::move(bell)) {}

  // Returns false if there was no room for it.
  bool post(std::string_view text) {
    const std::lock_guard lock(mutex_);
    if (text_.size() + text.size() > kMaxMailboxBytes) return false;
    const bool was_empty = text_.empty();
    text_.append(text);
    if (was_empty) (void)bell_.write_end.write_some("!", rearm::Deadline::immediate());
    return true;
  }

  // Waits until there is something; nothing if the mailbox was closed and is empty.
  std::optional<std::string> take() {
    std::array<char, 1> ring;
    const auto n = bell_.read_end.read_some(ring);
    if (!n || *n == 0) return std::nullopt;
    const std::lock_guard lock(mutex_);
    return std::exchange(text_, {});
  }

  void close() { (void)bell_.write_end.close(); }

 private:
  std::mutex mutex_;
  std::string text_;
  rearm::Pipe bell_;
};

struct Member {
  std::string name;
  rearm::TcpStream stream;
  Mailbox mailbox;

  // From any fiber: ends the reads and writes that are in progress on the stream.
  void cut_off() { (void)stream.close(); }
};

// Who is here. A member stays in it no longer than it stays alive: see join_room(). Everything is
// said under one lock, so that everybody reads the same lines in the same order.
class Room {
 public:
  // Greets the newcomer with the names of those who are here. False if the name is taken.
  bool enter(Member& newcomer) {
    const std::lock_guard lock(mutex_);
    std::string greeting = "* here:";
    for (const Member* member : members_) {
      if (member->name == newcomer.name) return false;
      greeting += " " + member->name;
    }
    (void)newcomer.mailbox.post(greeting + "\n");
    members_.push_back(&newcomer);
    post_to_others(newcomer, "* " + newcomer.name + " is here\n");
    return true;
  }

  void leave(const Member& leaver) {
    const std::lock_guard lock(mutex_);
    std::erase(members_, &leaver);
    post_to_others(leaver, "* " + leaver.name + " has left\n");
  }

  void say(const Member& speaker, std::string_view line) {
    const std::lock_guard lock(mutex_);
    post_to_others(speaker, "<" + speaker.name + "> " + std::string(line) + "\n");
  }

 private:
  void post_to_others(const Member& speaker, std::string_view line) {
    for (Member* member : members_) {
      if (member != &speaker && !member->mailbox.post(line)) member->cut_off();
    }
  }

  std::mutex mutex_;
  std::vector<Member*> members_;
};

// Reads lines; keeps what came behind the last one.
class LineReader {
 public:
  // The next line without its end; nothing at the end, on an error, or if it is too long.
  std::optional<std::string> next(rearm::TcpStream& stream, rearm::Deadline deadline = {}) {
    for (;;) {
      if (const std::size_t end = unread_.find('\n'); end != std::string::npos) {
        std::string line = unread_.substr(0, end);
        unread_.erase(0, end + 1);
        if (line.ends_with('\r')) line.pop_back();
        return line;
      }
      if (unread_.size() > kMaxLineBytes) return std::nullopt;
      const auto n = stream.read_some(buffer_, deadline);
      if (!n || *n == 0) return std::nullopt;
      unread_.append(buffer_.data(), *n);
    }
  }

 private:
  std::array<char, kMaxLineBytes> buffer_;
  std::string unread_;
};

// The writing fiber of a member: until the mailbox is closed and empty.
void deliver(Member& member) {
  while (const auto text = member.mailbox.take()) {
    if (member.stream.write_all(*text, rearm::Deadline::after(kTimeToRead))) continue;
    member.cut_off();
    return;
  }
}

// The reading fiber of a member, from coming to going.
void join_room(Room& room, Member& member, LineReader& lines) {
  if (!room.enter(member)) {
    (void)member.stream.write_all("* that name is taken\n", rearm::Deadline::after(kTimeToRead));
    return;
  }
  auto delivery = rearm::try_spawn([&member] { deliver(member); }, {.name = "chat delivery"});
  if (delivery) {
    while (const auto line = lines.next(member.stream)) room.say(member, *line);
  }
  room.leave(member);
  // Nobody posts any more; what was posted is still delivered.
  member.mailbox.close();
  if (delivery) delivery->join();
}

void join(Room& room, rearm::TcpStream stream) {
  LineReader lines;
  if (!stream.write_all("* your name?\n", rearm::Deadline::after(kTimeToRead))) return;
  auto name = lines.next(stream, rearm::Deadline::after(kTimeToSayTheName));
  if (!name || name->empty() || name->size() > 32) return;
  auto bell = rearm::Pipe::create();
  if (!bell) {
    (void)stream.write_all("* the room is full\n", rearm::Deadline::after(kTimeToRead));
    return;
  }
  Member member{std::move(*name), std::move(stream), Mailbox(std::move(*bell))};
  join_room(room, member, lines);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string address = std::string("127.0.0.1:") + (argc > 1 ? argv[1] : "7000");
  Room room;  // Outlives the runtime and its fibers.
  // Members stay for as long as they like, so at a signal nobody is waited for.
  return serve("chat", address, {.drain = 0s},
               [&room](rearm::TcpStream stream, const Server&) { join(room, std::move(stream)); });
}
