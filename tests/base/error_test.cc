// Error codes: one category, one sentence and one cause each.
#include "rearm/error.h"

#include <set>
#include <string>
#include <system_error>
#include <type_traits>

#include <gtest/gtest.h>

namespace rearm {
namespace {

constexpr Errc kAll[] = {
    Errc::kClosed,       Errc::kTimedOut,       Errc::kCancelled,       Errc::kBusy,
    Errc::kNotPollable,  Errc::kNotSupported,   Errc::kEndOfStream,     Errc::kInvalidArgument,
    Errc::kWrongRuntime, Errc::kUnknownBackend, Errc::kStacksExhausted,
};

TEST(Error, TheCategoryHasTheLibrarysName) { EXPECT_STREQ(error_category().name(), "rearm"); }

TEST(Error, ThereIsOneCategoryObject) {
  EXPECT_EQ(&error_category(), &error_category());
  EXPECT_EQ(&make_error_code(Errc::kBusy).category(), &error_category());
}

TEST(Error, EveryCodeIsAnError) {
  for (const Errc code : kAll) EXPECT_TRUE(std::error_code(code)) << static_cast<int>(code);
}

TEST(Error, EveryCodeHasItsOwnSentence) {
  std::set<std::string> sentences;
  for (const Errc code : kAll) {
    const std::string sentence = make_error_code(code).message();
    EXPECT_FALSE(sentence.starts_with("unknown")) << static_cast<int>(code);
    EXPECT_TRUE(sentences.insert(sentence).second) << sentence;
  }
}

TEST(Error, AnUnknownValueHasASentenceToo) {
  EXPECT_EQ(error_category().message(9999), "unknown error 9999");
  EXPECT_EQ(error_category().message(0), "unknown error 0");
}

TEST(Error, FourCodesEqualTheirStandardConditions) {
  EXPECT_EQ(make_error_code(Errc::kTimedOut), std::errc::timed_out);
  EXPECT_EQ(make_error_code(Errc::kCancelled), std::errc::operation_canceled);
  EXPECT_EQ(make_error_code(Errc::kNotSupported), std::errc::not_supported);
  EXPECT_EQ(make_error_code(Errc::kInvalidArgument), std::errc::invalid_argument);
}

TEST(Error, TheOthersEqualNoStandardCondition) {
  EXPECT_NE(make_error_code(Errc::kClosed), std::errc::bad_file_descriptor);
  EXPECT_NE(make_error_code(Errc::kBusy), std::errc::device_or_resource_busy);
  EXPECT_NE(make_error_code(Errc::kClosed), std::errc::operation_not_permitted);
}

TEST(Error, ACodeOfTheSystemIsNotACodeOfTheLibrary) {
  const std::error_code system(static_cast<int>(Errc::kClosed), std::system_category());
  EXPECT_NE(system, make_error_code(Errc::kClosed));
}

TEST(Error, AnEnumeratorConvertsToACodeWhereOneIsWanted) {
  static_assert(std::is_error_code_enum_v<Errc>);
  const Result<int> result = std::unexpected(Errc::kBusy);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error(), Errc::kBusy);
}

}  // namespace
}  // namespace rearm
