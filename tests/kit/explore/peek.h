// peek: private members of the library, for names in a report and for what a program must know of
// the state that no thread may be asked for.
//
// How it works. An explicit instantiation may name private members ([temp.spec.general]), so that
// nothing in the library has to know of this.
#pragma once

namespace rearm::explore {

// A tag, in this namespace, names the type of the member and declares the function:
//
//   struct Size { using Type = int Thing::*; friend constexpr Type member_of(Size); };
//   template struct Peek<&Thing::size_, Size>;
//   ... thing.*member_of(Size{}) ...
template <auto Member, class Tag>
struct Peek {
  friend constexpr typename Tag::Type member_of(Tag) { return Member; }
};

}  // namespace rearm::explore
