// Pipe: a pipe(2) of which both ends are Fds.
#pragma once

#include "rearm/error.h"
#include "rearm/net/fd.h"

namespace rearm {

struct Pipe {
  Fd read_end;
  Fd write_end;

  // For the calling fiber's runtime or the given one. Errors: EMFILE, ENFILE, ENOMEM.
  [[nodiscard]] static Result<Pipe> create();
  [[nodiscard]] static Result<Pipe> create(Runtime& runtime);
};

}  // namespace rearm
