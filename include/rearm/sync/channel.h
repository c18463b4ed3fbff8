// Channel: values from fiber to fiber, in order, many senders and many receivers.
//
//   rearm::Channel<Job> jobs(16);
//   if (!jobs.send(std::move(job))) return;   // closed, or told to stop
//   ...
//   for (Job& job : jobs) work(job);          // until it is closed and empty, or told to stop
//   jobs.close();
//
// A channel of capacity 0 is unbuffered: a send ends when a receiver has taken the value. Otherwise
// it holds as many values as its capacity, and a send waits while it is full. Values come out in
// the order in which they went in; who waits is served first come first served. Fibers and plain
// threads, on the same object.
//
// Closing. After close() nothing goes in: senders, also those that wait, get kClosed. What is in
// comes out first; then receivers get kClosed. The one who knows that nothing will be sent any more
// closes: the only sender, or who has joined all of them.
//
// What fails changes nothing: the value of a send that has failed is still the caller's. A value
// that goes by way of the heap is assigned back; where its type cannot be assigned, it is moved
// back by its constructor, which then must not throw: that ends the process.
//
// Cost. What is trivially copyable and not larger than 64 bytes is copied in and out. Other values
// are moved onto the heap for the way, one allocation each: their constructors are the program's
// code, and are run under no lock.
#pragma once

#include <cstddef>
#include <cstring>
#include <iterator>
#include <memory>
#include <new>
#include <optional>
#include <type_traits>
#include <utility>

#include "rearm/deadline.h"
#include "rearm/error.h"

namespace rearm {

namespace detail {

class ChannelCore;
class SelectCase;

struct ChannelDeleter {
  void operator()(ChannelCore* core) const noexcept;
};
using ChannelPointer = std::unique_ptr<ChannelCore, ChannelDeleter>;

// What goes through a channel as bytes.
[[nodiscard]] ChannelPointer make_channel(std::size_t capacity, std::size_t value_bytes);
[[nodiscard]] Result<void> send(ChannelCore& core, const void* value, Deadline deadline) noexcept;
[[nodiscard]] Result<void> receive(ChannelCore& core, void* value, Deadline deadline) noexcept;
[[nodiscard]] Result<void> close(ChannelCore& core) noexcept;
[[nodiscard]] std::size_t size_of(ChannelCore& core) noexcept;
[[nodiscard]] std::size_t capacity_of(const ChannelCore& core) noexcept;
// Takes out what is left when nobody uses the channel any more. False: nothing.
[[nodiscard]] bool take_left(ChannelCore& core, void* value) noexcept;

// How a value goes through: as it is, or as a pointer to where it was moved.
template <class T>
struct Parcel {
  static constexpr std::size_t kMostBytes = 64;
  static constexpr bool kIsBoxed = !std::is_trivially_copyable_v<T> || sizeof(T) > kMostBytes ||
                                   alignof(T) > alignof(void*);
  using Bytes = std::conditional_t<kIsBoxed, T*, T>;
};

}  // namespace detail

template <class T>
class Channel {
  static_assert(std::is_object_v<T> && std::is_move_constructible_v<T>,
                "a channel takes values that can be moved");

 public:
  // Throws std::bad_alloc.
  explicit Channel(std::size_t capacity = 0)
      : core_(detail::make_channel(capacity, sizeof(Bytes))) {}
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;
  // REQUIRES: nobody waits. What is left in it is destroyed.
  ~Channel() {
    if constexpr (Parcel::kIsBoxed) {
      Bytes left;
      while (detail::take_left(*core_, &left)) delete left;
    }
  }

  // Errors: kClosed, kTimedOut, kCancelled (the fiber or its run was asked to stop, and there was
  // no room). May park. A standing deadline means never. Throws std::bad_alloc for a value that
  // goes by way of the heap, and what its constructors and its move assignment throw.
  [[nodiscard]] Result<void> send(T&& value, Deadline deadline = {}) {
    if constexpr (Parcel::kIsBoxed) {
      auto box = std::make_unique<T>(std::move(value));
      T* const bytes = box.get();
      const Result<void> sent = detail::send(*core_, &bytes, deadline);
      if (sent) {
        static_cast<void>(box.release());  // The receiver's.
      } else {
        give_back(*box, value);
      }
      return sent;
    } else {
      return detail::send(*core_, std::addressof(value), deadline);
    }
  }
  [[nodiscard]] Result<void> send(const T& value, Deadline deadline = {})
    requires std::is_copy_constructible_v<T>
  {
    T copy(value);
    return send(std::move(copy), deadline);
  }

  // Errors: kClosed (and nothing is left in it), kTimedOut, kCancelled (the fiber or its run was
  // asked to stop, and there was nothing). May park. A standing deadline means never. What T's move
  // constructor throws destroys the value.
  [[nodiscard]] Result<T> receive(Deadline deadline = {}) {
    alignas(Bytes) std::byte memory[sizeof(Bytes)];
    const Result<void> received = detail::receive(*core_, memory, deadline);
    if (!received) return std::unexpected(received.error());
    Bytes& bytes = *std::launder(reinterpret_cast<Bytes*>(memory));
    if constexpr (Parcel::kIsBoxed) {
      const std::unique_ptr<T> box(bytes);
      return std::move(*box);
    } else {
      return std::move(bytes);
    }
  }

  // The same without waiting; kTimedOut if it would have to wait.
  [[nodiscard]] Result<void> try_send(T&& value) {
    return send(std::move(value), Deadline::immediate());
  }
  [[nodiscard]] Result<void> try_send(const T& value)
    requires std::is_copy_constructible_v<T>
  {
    return send(value, Deadline::immediate());
  }
  [[nodiscard]] Result<T> try_receive() { return receive(Deadline::immediate()); }

  // Errors: kClosed, if it was closed before. Does not wait.
  Result<void> close() noexcept { return detail::close(*core_); }

  // How many values are in it, just now. Never more than capacity().
  [[nodiscard]] std::size_t size() const noexcept { return detail::size_of(*core_); }
  [[nodiscard]] std::size_t capacity() const noexcept { return detail::capacity_of(*core_); }

  // --- for (T& value : channel): receives until an error. ---

  class Iterator {
   public:
    using value_type = T;
    using difference_type = std::ptrdiff_t;

    explicit Iterator(Channel& channel) : channel_(&channel) { ++*this; }
    [[nodiscard]] T& operator*() const noexcept { return *value_; }
    Iterator& operator++() {
      value_.reset();
      if (auto received = channel_->receive()) value_.emplace(std::move(*received));
      return *this;
    }
    void operator++(int) { ++*this; }
    [[nodiscard]] bool operator==(std::default_sentinel_t) const noexcept { return !value_; }

   private:
    Channel* channel_;
    mutable std::optional<T> value_;
  };

  [[nodiscard]] Iterator begin() { return Iterator(*this); }
  [[nodiscard]] std::default_sentinel_t end() noexcept { return {}; }

 private:
  friend class detail::SelectCase;
  using Parcel = detail::Parcel<T>;
  using Bytes = typename Parcel::Bytes;

  static void give_back(T& from, T& to) {
    if constexpr (std::is_move_assignable_v<T>) {
      to = std::move(from);
    } else {
      // Between the two there is no value, so nothing may leave.
      [&]() noexcept {
        std::destroy_at(std::addressof(to));
        std::construct_at(std::addressof(to), std::move(from));
      }();
    }
  }

  detail::ChannelPointer core_;
};

}  // namespace rearm
