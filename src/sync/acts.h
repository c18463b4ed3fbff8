// What is done to the objects of this room, in its words.
#pragma once

#include "base/wait_record.h"
#include "sched/acts.h"

namespace rearm::detail::act {

inline constexpr Act kLock{.name = "lock"};
inline constexpr Act kLockShared{.name = "lock shared"};
inline constexpr Act kUnlock{.name = "unlock"};
inline constexpr Act kWaitForNotice{.name = "wait for a notice", .ready = "notified"};
inline constexpr Act kNotify{.name = "notify"};
inline constexpr Act kAcquire{.name = "acquire"};
inline constexpr Act kRelease{.name = "release"};
inline constexpr Act kWaitForEvent{.name = "wait for an event", .ready = "set"};
inline constexpr Act kSet{.name = "set"};
inline constexpr Act kWaitForCount{.name = "wait for a count", .ready = "counted"};
inline constexpr Act kCount{.name = "count"};
inline constexpr Act kWaitForOthers{.name = "wait for the others", .ready = "all are there"};
inline constexpr Act kSend{.name = "send", .ready = "sent"};
inline constexpr Act kReceive{.name = "receive", .ready = "received"};
inline constexpr Act kCloseChannel{.name = "close a channel"};
inline constexpr Act kJoinGroup{.name = "join a group", .ready = "ended"};
inline constexpr Act kSelect{.name = "select", .ready = "chosen"};
inline constexpr Act kCallOnce{.name = "call once"};

}  // namespace rearm::detail::act
