// <sys/socket.h> without what illumos does not have. SO_REUSEPORT is issue 12455 there.
#pragma once
#pragma GCC system_header

#define recvmmsg hidden_recvmmsg
#define sendmmsg hidden_sendmmsg
#include_next <sys/socket.h>
#undef recvmmsg
#undef sendmmsg

#undef SO_BINDTODEVICE
#undef SO_BUSY_POLL
#undef SO_INCOMING_CPU
#undef SO_MARK
#undef SO_PEERCRED
#undef SO_REUSEPORT
#undef SO_ZEROCOPY
