// <netinet/tcp.h> without Linux' own options.
#pragma once
#pragma GCC system_header

#include_next <netinet/tcp.h>

#undef TCP_FASTOPEN
#undef TCP_FASTOPEN_CONNECT
#undef TCP_INFO
#undef TCP_QUICKACK
#undef TCP_USER_TIMEOUT
