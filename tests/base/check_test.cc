// Programmer errors stop the process with a sentence, not with an expression.
#include "base/check.h"

#include <cerrno>
#include <string>

#include <gtest/gtest.h>

namespace rearm::detail {
namespace {

class CheckDeathTest : public ::testing::Test {
 protected:
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(CheckDeathTest, AFailedCheckSaysTheSentenceAndWhere) {
  EXPECT_DEATH(REARM_CHECK(1 + 1 == 3, "the sum was wrong"),
               "^rearm: the sum was wrong \\(.*check_test\\.cc:[0-9]+\\)");
}

TEST_F(CheckDeathTest, ACheckThatHoldsDoesNothingAndEvaluatesOnce) {
  int evaluations = 0;
  REARM_CHECK(++evaluations == 1, "evaluated twice");
  EXPECT_EQ(evaluations, 1);
}

TEST_F(CheckDeathTest, AnImpossibleErrnoNamesTheCallAndBothNumbers) {
  EXPECT_DEATH(impossible_errno("epoll_wait", 17, EBADF),
               "^rearm: epoll_wait on 17 failed with errno 9, which its manual page rules out");
}

TEST_F(CheckDeathTest, ASentenceLongerThanTheBufferIsCutNotOverrun) {
  const std::string sentence(4096, 'x');
  EXPECT_DEATH(check_failed(sentence.c_str(), "file.cc", 1), "^rearm: x{500}");
}

TEST_F(CheckDeathTest, ADebugCheckIsOnExactlyInBuildsThatAskForIt) {
#if REARM_DEBUG_CHECKS
  EXPECT_DEATH(REARM_DCHECK(false, "a debug check"), "^rearm: a debug check");
#else
  REARM_DCHECK(false, "a debug check");
#endif
}

}  // namespace
}  // namespace rearm::detail
