// Addresses as text: streams everywhere, std::format where the standard library has it.
#include "rearm/format.h"

#include <sstream>
#include <string>

#include <gtest/gtest.h>

#include "rearm/error.h"
#include "rearm/net/address.h"

namespace rearm {
namespace {

const SocketAddress kAddress = SocketAddress::ipv4_loopback(7777);

TEST(Format, AnAddressGoesToAStreamAndToFmt) {
  std::ostringstream out;
  out << kAddress << ' ' << SocketAddress::ipv6_loopback(80);
  EXPECT_EQ(out.str(), "127.0.0.1:7777 [::1]:80");
  EXPECT_EQ(format_as(kAddress), "127.0.0.1:7777");
}

#if defined(__cpp_lib_format)
TEST(Format, StdFormatTakesAddressesAndErrorsLikeStrings) {
  EXPECT_EQ(std::format("{}|{:>16}|{:*<15}", kAddress, kAddress, kAddress),
            "127.0.0.1:7777|  127.0.0.1:7777|127.0.0.1:7777*");
  EXPECT_EQ(std::format("{}", Errc::kTimedOut), "timed out (kTimedOut)");
  EXPECT_EQ(std::format("{:.9}", Errc::kTimedOut), "timed out");
  EXPECT_EQ(std::format("{:>9}", Deadline::never()), "    never");
}
#endif

}  // namespace
}  // namespace rearm
