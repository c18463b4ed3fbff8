"""The mutants of os; see mutants.py for what an entry is."""

MUTANTS = [
    ('child-alive', 'src/os/id_map_file.cc',
     'a directory in /proc of a process that has got the number of a child that is gone', [
         ('  if (pidfd >= 0) {\n', '  if (pidfd >= 0 && pid < 0) {\n'),
     ]),
    ('fds-moved', 'src/os/plan_builder.cc',
     'a descriptor is overwritten by another one before it is put at its number', [
         ('if (one.source != one.number && std::ranges::binary_search(kept_fds_, one.source)) {',
          'if (false) {'),
     ]),
    ('others-closed', 'src/os/plan_run.cc',
     'the child keeps what is not close-on-exec', [
         ('    case Op::Kind::kCloseOthers: return close_others(plan);',
          '    case Op::Kind::kCloseOthers: return plan.in_cgroup ? close_others(plan) : 0;'),
     ]),
    ('others-closed-by-list', 'src/os/plan_run.cc',
     'without close_range() nothing is closed', [
         ('      if (is_number) mark_unless_kept(plan, fd);\n',
          '      if (is_number && fd < 0) mark_unless_kept(plan, fd);\n'),
     ]),
    ('signals-unblocked', 'src/os/plan_privileges.cc',
     'the child starts with the signals blocked that were blocked around the clone', [
         ('  add("unblock signals", SYS_rt_sigprocmask, SIG_SETMASK,',
          '  add("unblock signals", SYS_rt_sigprocmask, SIG_BLOCK,'),
     ]),
    ('handlers-reset', 'src/os/plan_run.cc',
     'without clone3() the caught signals are taken for reset', [
         ('    plan.handlers_are_reset = false;\n', ''),
     ]),
    ('filter-privileges', 'src/os/plan_privileges.cc',
     'a filter is loaded without no_new_privs', [
         ('  if (spec_.no_new_privileges || spec_.seccomp) {',
          '  if (spec_.no_new_privileges) {'),
     ]),
    ('execve-forbidden', 'src/os/seccomp_filter.cc',
     'a filter that forbids its own execve is found out by the child', [
         ('  if (!detail::may_execute(program)) {', '  if (program.empty()) {'),
     ]),
    ('no-sigchld', 'src/os/plan_run.cc',
     'a waitpid(-1) elsewhere in the program takes a child that has not executed anything', [
         ('  arguments.flags = flags | kCloneClearSighand;\n',
          '  arguments.flags = flags | kCloneClearSighand;\n  arguments.exit_signal = SIGCHLD;\n'),
     ]),
]
