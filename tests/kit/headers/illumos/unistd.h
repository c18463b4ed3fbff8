// <unistd.h> without Linux' own calls. (syscall() stays: libstdc++ on Linux needs it.)
#pragma once
#pragma GCC system_header

#define gettid hidden_gettid
#include_next <unistd.h>
#undef gettid
