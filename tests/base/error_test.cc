// Error codes: one category, one sentence and one cause each.
#include "rearm/error.h"

#include <cerrno>
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>

#include <gtest/gtest.h>

namespace rearm {
namespace {

constexpr Errc kAll[] = {
    Errc::kClosed,       Errc::kTimedOut,       Errc::kCancelled,       Errc::kBusy,
    Errc::kNotPollable,  Errc::kNotSupported,   Errc::kEndOfStream,     Errc::kInvalidArgument,
    Errc::kWrongRuntime, Errc::kUnknownBackend, Errc::kStacksExhausted, Errc::kDeadlock,
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

TEST(Error, FiveCodesEqualTheirStandardConditions) {
  EXPECT_EQ(make_error_code(Errc::kTimedOut), std::errc::timed_out);
  EXPECT_EQ(make_error_code(Errc::kCancelled), std::errc::operation_canceled);
  EXPECT_EQ(make_error_code(Errc::kNotSupported), std::errc::not_supported);
  EXPECT_EQ(make_error_code(Errc::kInvalidArgument), std::errc::invalid_argument);
  EXPECT_EQ(make_error_code(Errc::kDeadlock), std::errc::resource_deadlock_would_occur);
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

std::error_code system_error(int value) { return {value, std::system_category()}; }

TEST(Error, EveryEnumeratorHasAName) {
  // Beyond the last one there is none: kAll has them all.
  const int last = static_cast<int>(std::size(kAll));
  for (int value = 1; value <= last; ++value) {
    EXPECT_TRUE(name(static_cast<Errc>(value)).starts_with("k")) << value;
  }
  EXPECT_EQ(name(static_cast<Errc>(last + 1)), "");
  EXPECT_EQ(name(static_cast<Errc>(0)), "");
}

// In docs/errors.md: a line "| `kTimedOut` | no | ...".
TEST(Error, ThePageOfErrorsHasEveryCodeAndSaysWhetherToTryAgain) {
  std::ifstream file(REARM_SOURCE_DIR "/docs/errors.md");
  std::stringstream page;
  page << file.rdbuf();
  ASSERT_GT(page.str().size(), 1000u);
  for (const Errc code : kAll) {
    const std::string row =
        "\n| `" + std::string(name(code)) + "` | " + (is_transient(code) ? "yes" : "no") + " | ";
    EXPECT_NE(page.str().find(row), std::string::npos) << row;
  }
}

TEST(Error, WhatEndsALoopIsNotTransient) {
  for (const Errc code : {Errc::kClosed, Errc::kCancelled, Errc::kTimedOut, Errc::kBusy}) {
    EXPECT_FALSE(is_transient(code)) << code;
  }
  for (const int value : {EBADF, EINVAL, ECONNRESET, EPIPE, EADDRINUSE, EACCES, EEXIST, 0, 9999}) {
    EXPECT_FALSE(is_transient(system_error(value))) << value;
  }
  EXPECT_FALSE(is_transient({}));
}

TEST(Error, WhatIsShortForTheMomentIsTransient) {
  EXPECT_TRUE(is_transient(Errc::kStacksExhausted));
  for (const int value : {EMFILE, ENFILE, ENOMEM, ENOBUFS, EAGAIN, EINTR, ECONNABORTED,
                          ECONNREFUSED, ETIMEDOUT, EHOSTUNREACH}) {
    EXPECT_TRUE(is_transient(system_error(value))) << value;
  }
  EXPECT_TRUE(is_transient(std::make_error_code(std::errc::too_many_files_open)));
}

TEST(Error, ACodeOfAnotherCategoryIsJudgedByItsCondition) {
  class Foreign final : public std::error_category {
   public:
    const char* name() const noexcept override { return "foreign"; }
    std::string message(int) const override { return "something"; }
    std::error_condition default_error_condition(int value) const noexcept override {
      if (value == 1) return std::errc::too_many_files_open;
      return {value, *this};
    }
  };
  const Foreign category;
  EXPECT_TRUE(is_transient({1, category}));
  EXPECT_FALSE(is_transient({EMFILE, category}));
  EXPECT_EQ(to_string(std::error_code(7, category)), "something (foreign:7)");
}

TEST(Error, TextHasTheSentenceAndTheCode) {
  EXPECT_EQ(to_string(Errc::kTimedOut), "timed out (kTimedOut)");
  EXPECT_EQ(to_string(static_cast<Errc>(9999)), "unknown error 9999 (rearm:9999)");
  EXPECT_EQ(to_string(system_error(EADDRINUSE)),
            system_error(EADDRINUSE).message() + " (errno " + std::to_string(EADDRINUSE) + ")");
  std::ostringstream out;
  out << Errc::kBusy;
  EXPECT_EQ(out.str(), to_string(Errc::kBusy));
}

TEST(OrThrow, ReturnsTheValue) {
  EXPECT_EQ(or_throw(Result<int>(42), "count"), 42);
  or_throw(Result<void>(), "nothing");
  Result<std::string> text("moved");
  EXPECT_EQ(or_throw(std::move(text), "text"), "moved");
}

TEST(OrThrow, ThrowsTheCodeWithWhatWasTried) {
  try {
    or_throw(Result<int>(std::unexpected(system_error(EADDRINUSE))), "bind 127.0.0.1:7777");
    FAIL();
  } catch (const std::system_error& error) {
    EXPECT_EQ(error.code(), std::errc::address_in_use);
    EXPECT_TRUE(std::string_view(error.what()).starts_with("bind 127.0.0.1:7777: "))
        << error.what();
  }
  EXPECT_THROW(or_throw(Result<void>(std::unexpected(Errc::kClosed)), "x"), std::system_error);
}

}  // namespace
}  // namespace rearm
