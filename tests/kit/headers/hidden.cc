// Each of these is there on Linux and hidden by the kit: so one at a time must not compile with it.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#if defined(USE_madvise)
int used() { return ::madvise(nullptr, 0, 0); }
#elif defined(USE_MADV_NOHUGEPAGE)
int used() { return MADV_NOHUGEPAGE; }
#elif defined(USE_SO_REUSEPORT)
int used() { return SO_REUSEPORT; }
#elif defined(USE_SO_PEERCRED)
int used() { return SO_PEERCRED; }
#elif defined(USE_recvmmsg)
int used() { return ::recvmmsg(0, nullptr, 0, 0, nullptr); }
#elif defined(USE_TCP_USER_TIMEOUT)
int used() { return TCP_USER_TIMEOUT; }
#elif defined(USE_UDP_SEGMENT)
int used() { return UDP_SEGMENT; }
#elif defined(USE_gettid)
int used() { return ::gettid(); }
#elif defined(USE_epoll)
#include <sys/epoll.h>
#endif
