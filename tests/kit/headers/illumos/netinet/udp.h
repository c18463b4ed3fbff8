// <netinet/udp.h> without Linux' own options.
#pragma once
#pragma GCC system_header

#include_next <netinet/udp.h>

#undef UDP_GRO
#undef UDP_SEGMENT
