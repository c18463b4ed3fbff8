// <sys/mman.h> without what illumos' own hides. It declares madvise() only where neither _XPG4_2
// nor _POSIX_C_SOURCE > 2 is defined, and C++ compilers define _XOPEN_SOURCE there, which implies
// both.
#pragma once
#pragma GCC system_header

#define madvise hidden_madvise
#define mremap hidden_mremap
#include_next <sys/mman.h>
#undef madvise
#undef mremap

#undef MADV_GUARD_INSTALL
#undef MADV_HUGEPAGE
#undef MADV_NOHUGEPAGE
#undef MAP_POPULATE
#undef MAP_STACK
