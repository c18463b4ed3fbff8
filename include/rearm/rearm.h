// Everything. Including one of the smaller headers compiles faster.
#pragma once

#include "rearm/deadline.h"
#include "rearm/error.h"
#include "rearm/fiber.h"
#include "rearm/net/address.h"
#include "rearm/net/buffer.h"
#include "rearm/net/datagram.h"
#include "rearm/net/fd.h"
#include "rearm/net/pipe.h"
#include "rearm/net/socket.h"
#include "rearm/net/stream.h"
#include "rearm/net/tcp.h"
#include "rearm/net/udp.h"
#include "rearm/net/unix.h"
#include "rearm/poller.h"
#include "rearm/runtime.h"
#include "rearm/waiter.h"
