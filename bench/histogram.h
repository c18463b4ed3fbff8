// A log-linear histogram of latencies. Each power of two is cut into 128 equal buckets, so a
// reported value (the middle of its bucket) is within 0.4 % of the recorded one, from 128 ns to
// beyond 10 s; below that it is exact. Recording is an index and an increment.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace bench {

class Histogram {
 public:
  Histogram() : counts_(kBucketsCount) {}

  void record(std::int64_t value_ns) {
    const auto value =
        std::min(static_cast<std::uint64_t>(std::max<std::int64_t>(value_ns, 0)), kValueMax);
    ++counts_[index_of(value)];
    ++count_;
    max_ = std::max(max_, value);
  }

  void add(const Histogram& other) {
    for (std::size_t index = 0; index < counts_.size(); ++index) {
      counts_[index] += other.counts_[index];
    }
    count_ += other.count_;
    max_ = std::max(max_, other.max_);
  }

  void clear() {
    std::fill(counts_.begin(), counts_.end(), 0);
    count_ = 0;
    max_ = 0;
  }

  [[nodiscard]] std::uint64_t count() const { return count_; }
  [[nodiscard]] double max_us() const { return static_cast<double>(max_) / 1e3; }

  // The smallest recorded value that at least `quantile` of all values do not exceed; 0 if empty.
  [[nodiscard]] double quantile_us(double quantile) const {
    if (count_ == 0) return 0;
    const auto rank = std::max<std::uint64_t>(
        1, static_cast<std::uint64_t>(std::ceil(quantile * static_cast<double>(count_))));
    std::uint64_t seen = 0;
    for (std::size_t index = 0; index < counts_.size(); ++index) {
      seen += counts_[index];
      if (seen >= rank) return std::min(middle_ns(index) / 1e3, max_us());
    }
    return max_us();
  }

 private:
  static constexpr int kSubBits = 7;
  static constexpr std::uint64_t kSubCount = std::uint64_t{1} << kSubBits;
  static constexpr int kOctavesCount = 28;  // 2^(7 + 28) ns is 34 s
  static constexpr std::uint64_t kValueMax = (kSubCount << kOctavesCount) - 1;
  static constexpr std::size_t kBucketsCount = kSubCount * (kOctavesCount + 1);

  static std::size_t index_of(std::uint64_t value) {
    if (value < kSubCount) return value;
    const int shift = static_cast<int>(std::bit_width(value)) - (kSubBits + 1);
    return static_cast<std::size_t>(shift) * kSubCount + (value >> shift);
  }

  static double middle_ns(std::size_t index) {
    if (index < kSubCount) return static_cast<double>(index);
    const std::size_t shift = index / kSubCount - 1;
    const std::uint64_t low = (index - shift * kSubCount) << shift;
    return static_cast<double>(low) + static_cast<double>((std::uint64_t{1} << shift) - 1) / 2;
  }

  std::vector<std::uint64_t> counts_;
  std::uint64_t count_ = 0;
  std::uint64_t max_ = 0;
};

}  // namespace bench
