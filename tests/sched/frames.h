// Functions with one frame of a chosen size, which touch its far end first. Compiled twice: with
// -fstack-clash-protection, which touches each page on the way, and without it.
#pragma once

#include <cstddef>

namespace rearm::test {

void use_probed_frame(std::size_t kib);
void use_unprobed_frame(std::size_t kib);

// Whether the compiler has the option.
bool frames_are_probed();

}  // namespace rearm::test
