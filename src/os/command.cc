#include "rearm/os/command.h"

#include <utility>

#include "os/command_spec.h"

namespace rearm {

using detail::CommandSpec;

Command::Command(std::string program, std::vector<std::string> arguments)
    : spec_(std::make_unique<CommandSpec>()) {
  spec_->program = std::move(program);
  spec_->arguments = std::move(arguments);
}
Command::Command(const Command& other) : spec_(std::make_unique<CommandSpec>(*other.spec_)) {}
Command::Command(Command&& other) noexcept = default;
Command& Command::operator=(const Command& other) {
  if (this != &other) spec_ = std::make_unique<CommandSpec>(*other.spec_);
  return *this;
}
Command& Command::operator=(Command&& other) noexcept = default;
Command::~Command() = default;

Command& Command::argument(std::string argument) {
  spec_->arguments.push_back(std::move(argument));
  return *this;
}
Command& Command::argument_zero(std::string argument) {
  spec_->argument_zero = std::move(argument);
  return *this;
}

Command& Command::clear_environment() {
  spec_->inherits_environment = false;
  spec_->environment.clear();
  return *this;
}
Command& Command::environment(std::string name, std::string value) {
  spec_->environment.push_back({.name = std::move(name), .value = std::move(value)});
  return *this;
}
Command& Command::without_environment(std::string name) {
  spec_->environment.push_back({.name = std::move(name), .value = std::nullopt});
  return *this;
}

Command& Command::working_directory(std::string path) {
  spec_->working_directory = std::move(path);
  return *this;
}

Command& Command::standard_input(Stdio stream) {
  spec_->streams[0] = std::move(stream);
  return *this;
}
Command& Command::standard_output(Stdio stream) {
  spec_->streams[1] = std::move(stream);
  return *this;
}
Command& Command::standard_error(Stdio stream) {
  spec_->streams[2] = std::move(stream);
  return *this;
}
Command& Command::pass_fd(int fd, int number) {
  spec_->passed.push_back({.fd = fd, .number = number});
  return *this;
}

Command& Command::process_group(int group) {
  spec_->process_group = group;
  return *this;
}
Command& Command::new_session() {
  spec_->new_session = true;
  return *this;
}

// --- Linux. ---

Command& Command::umask(unsigned mode) {
  spec_->umask = mode;
  return *this;
}
Command& Command::controlling_terminal(int number) {
  spec_->controlling_terminal = number;
  return *this;
}
Command& Command::limit(Limit resource, std::uint64_t soft, std::uint64_t hard) {
  spec_->limits.push_back({.resource = resource, .soft = soft, .hard = hard});
  return *this;
}
Command& Command::nice(int value) {
  spec_->nice = value;
  return *this;
}
Command& Command::cpus(std::vector<unsigned> numbers) {
  spec_->cpus = std::move(numbers);
  return *this;
}
Command& Command::signals(std::vector<int> ignored, bool default_all) {
  spec_->signals = CommandSpec::Signals{.ignored = std::move(ignored), .default_all = default_all};
  return *this;
}
Command& Command::cgroup(int fd) {
  spec_->cgroup = fd;
  return *this;
}

Command& Command::user(std::uint32_t uid) {
  spec_->user = uid;
  return *this;
}
Command& Command::group(std::uint32_t gid) {
  spec_->group = gid;
  return *this;
}
Command& Command::groups(std::vector<std::uint32_t> gids) {
  spec_->groups = std::move(gids);
  return *this;
}
Command& Command::capabilities(const Capabilities& sets) {
  spec_->capabilities = sets;
  return *this;
}
Command& Command::securebits(unsigned bits) {
  spec_->securebits = bits;
  return *this;
}
Command& Command::parent_death_signal(int signal) {
  spec_->parent_death_signal = signal;
  return *this;
}
Command& Command::no_new_privileges() {
  spec_->no_new_privileges = true;
  return *this;
}

Command& Command::new_namespaces(std::initializer_list<Namespace> kinds) {
  spec_->new_namespaces.insert(spec_->new_namespaces.end(), kinds.begin(), kinds.end());
  return *this;
}
Command& Command::user_namespace(IdMap uid_map, IdMap gid_map) {
  spec_->user_maps = CommandSpec::UserMaps{.uid = std::move(uid_map), .gid = std::move(gid_map)};
  return *this;
}
Command& Command::enter_namespace(Namespace kind, int fd) {
  spec_->entered.push_back({.kind = kind, .fd = fd});
  return *this;
}
Command& Command::hostname(std::string name) {
  spec_->hostname = std::move(name);
  return *this;
}
Command& Command::mount(Mount mount) {
  spec_->mounts.push_back(std::move(mount));
  return *this;
}
Command& Command::root(std::string path, Root how) {
  spec_->root = CommandSpec::NewRoot{.path = std::move(path), .how = how};
  return *this;
}
Command& Command::before_exec(std::function<StepResult<void>(const Newborn&)> function) {
  spec_->before_exec = std::move(function);
  return *this;
}
Command& Command::seccomp(SeccompFilter filter) {
  spec_->seccomp = std::move(filter);
  return *this;
}

std::string_view detail::CommandSpec::first_of_linux() const {
  if (umask) return "umask";
  if (controlling_terminal) return "controlling terminal";
  if (!limits.empty()) return "limit";
  if (nice) return "nice";
  if (!cpus.empty()) return "cpus";
  if (signals) return "signals";
  if (cgroup) return "cgroup";
  if (user) return "user";
  if (group) return "group";
  if (groups) return "groups";
  if (capabilities) return "capabilities";
  if (securebits) return "securebits";
  if (parent_death_signal) return "parent-death signal";
  if (no_new_privileges) return "no_new_privs";
  if (!new_namespaces.empty()) return "new namespace";
  if (user_maps) return "user namespace";
  if (!entered.empty()) return "enter namespace";
  if (hostname) return "host name";
  if (!mounts.empty()) return "mount";
  if (root) return "root";
  if (before_exec) return "before_exec";
  if (seccomp) return "seccomp filter";
  return "";
}

}  // namespace rearm
