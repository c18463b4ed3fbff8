// Flags: the options of a program that tests are made of, and nothing that takes long to compile.
//
//   Flags flags("What the program does.");
//   flags.add("--seed", options.seed, "decides all plans");  // a number, or a text
//   flags.add("--verbose", options.verbose, "say more");     // a bool takes no value
//   if (const std::optional<int> status = flags.parse(argc, argv)) return *status;
//
// A value follows its name, or stands behind it with an equals sign. parse() answers --help, and
// says on stderr what it does not understand; then the program ends with the status it returns.
//
// Rejected: CLI11, which the benchmarks use. It adds ten seconds to the compilation of a file.
#pragma once

#include <cerrno>
#include <charconv>
#include <concepts>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace rearm::test {

class Flags {
 public:
  static constexpr int kMistake = 2;  // The exit status after a mistake in the arguments.

  // The sentence opens what --help prints.
  explicit Flags(std::string sentence) : sentence_(std::move(sentence)) {}

  // Sets the target to true.
  void add(std::string name, bool& target, std::string help) {
    flags_.push_back({std::move(name), std::move(help), "", [&target](std::string_view) {
                        target = true;
                        return true;
                      }});
  }
  // Sets the target to false.
  void add_off(std::string name, bool& target, std::string help) {
    flags_.push_back({std::move(name), std::move(help), "", [&target](std::string_view) {
                        target = false;
                        return true;
                      }});
  }
  void add(std::string name, std::string& target, std::string help) {
    flags_.push_back({std::move(name), std::move(help), " TEXT", [&target](std::string_view text) {
                        target = text;
                        return true;
                      }});
  }
  template <class T>
    requires(std::integral<T> || std::floating_point<T>)
  void add(std::string name, T& target, std::string help) {
    flags_.push_back(
        {std::move(name), std::move(help), " NUMBER",
         [&target](std::string_view text) { return read_number(std::string(text), target); }});
  }

  // Returns the status that the program ends with, or nothing if it is to go on.
  [[nodiscard]] std::optional<int> parse(int argc, const char* const* argv) const {
    for (int i = 1; i < argc; ++i) {
      const std::string_view argument = argv[i];
      if (argument == "--help" || argument == "-h") return print_help();
      const std::size_t equals = argument.find('=');
      const Flag* const flag = find(argument.substr(0, equals));
      if (flag == nullptr) return refuse("no such option: ", argument);
      std::string_view value;
      if (equals != std::string_view::npos) {
        if (flag->takes.empty()) return refuse("takes no value: ", argument);
        value = argument.substr(equals + 1);
      } else if (!flag->takes.empty()) {
        if (++i == argc) return refuse("needs a value: ", argument);
        value = argv[i];
      }
      if (!flag->set(value)) {
        return refuse("not a value of " + flag->name + ": ", value);
      }
    }
    return std::nullopt;
  }

 private:
  struct Flag {
    std::string name;
    std::string help;
    std::string takes;  // What --help puts behind the name; empty if it takes no value.
    std::function<bool(std::string_view)> set;
  };

  // The text must be the number and nothing else, and the type must hold it.
  template <class T>
  static bool read_number(const std::string& text, T& target) {
    T number{};
    if constexpr (std::integral<T>) {
      const char* const end = text.data() + text.size();
      const auto [stopped, error] = std::from_chars(text.data(), end, number);
      if (error != std::errc() || stopped != end) return false;
    } else {  // libc++ has no from_chars for these.
      char* stopped = nullptr;
      errno = 0;
      number = static_cast<T>(std::strtod(text.c_str(), &stopped));
      if (text.empty() || errno != 0 || *stopped != '\0') return false;
    }
    target = number;
    return true;
  }

  [[nodiscard]] const Flag* find(std::string_view name) const {
    for (const Flag& flag : flags_) {
      if (flag.name == name) return &flag;
    }
    return nullptr;
  }

  int print_help() const {
    std::printf("%s\n\n", sentence_.c_str());
    for (const Flag& flag : flags_) {
      std::printf("  %-22s %s\n", (flag.name + flag.takes).c_str(), flag.help.c_str());
    }
    return 0;
  }

  static int refuse(const std::string& what, std::string_view argument) {
    std::fprintf(stderr, "%s%s (--help says what there is)\n", what.c_str(),
                 std::string(argument).c_str());
    return kMistake;
  }

  std::string sentence_;
  std::vector<Flag> flags_;
};

}  // namespace rearm::test
