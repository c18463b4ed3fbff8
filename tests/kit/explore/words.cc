#include "explore/words.h"

#include <array>

#include "explore/word_program.h"

namespace rearm::explore {
namespace {

using Make = std::unique_ptr<Program> (*)(std::vector<std::string>);

struct Kind {
  std::string_view name;
  Make make;
  std::string_view actors;  // That it knows.
};

constexpr std::array kKinds = {
    Kind{"wait", &make_wait_program, "park park2 publish end withdraw close"},
    Kind{"life", &make_life_program, "reader shared close remove"},
    Kind{"queue", &make_queue_program, "owner swapper thief"},
    Kind{"idle", &make_idle_program, "sleeper maker finisher"},
    Kind{"timer", &make_timer_program, "waiter expire publish restart"},
    Kind{"join", &make_join_program, "ring deep chain"},
    Kind{"line", &make_line_program, "wait give expire"},
    Kind{"claim", &make_line_program, "choose wait give give2 expire"},
    Kind{"words", &make_words_program, "choose publish publish2 shut expire"},
    Kind{"runs", &make_runs_program, "runner waiter stop"},
    Kind{"monitor", &make_monitor_program, "monitor worker"},
    Kind{"ends", &make_ends_program, "ender drain"},
    Kind{"ask", &make_ask_program, "wait request shielded publish stranger"},
    Kind{"mutex", &make_mutex_program, "lock again late expire notice notify"},
    Kind{"permit", &make_permit_program, "take late expire give"},
    Kind{"gate", &make_gate_program, "wait set"},
    Kind{"channel", &make_channel_program, "send receive late expire close"},
    Kind{"buffer", &make_buffer_program, "send receive late expire close"},
    Kind{"pick", &make_channel_program, "choose send send2 swap close2 expire"},
    Kind{"shared", &make_shared_program, "read write late expire"},
    Kind{"turn", &make_turn_program, "holder inject timer"},
    Kind{"workers", &make_worker_program, "worker last spawn publish report stop hurry drop late"},
};

constexpr std::array<std::string_view, 123> kScenarios = {
    "wait/park+publish",
    "wait/park+publish+publish",
    "wait/park+publish+withdraw",
    "wait/park+publish+close",
    "wait/park+withdraw+close",
    "wait/park+withdraw+withdraw",
    "wait/park+park+publish",
    "wait/park2+publish+publish",
    "wait/park2+publish+withdraw",
    "wait/park2+publish+close",
    "wait/park+publish+publish+withdraw",
    "wait/park+publish+withdraw+close",
    "wait/park+end",
    "wait/park+end+withdraw",
    "wait/park+end+close",
    "life/reader+reader+close",
    "life/reader+shared+close",
    "life/reader+close+close",
    "life/reader+close+remove",
    "life/shared+remove+remove",
    "life/shared+shared+close",
    "life/reader+shared+close+remove",
    "queue/owner+thief",
    "queue/swapper+thief",
    "queue/owner+thief+thief",
    "queue/swapper+thief+thief",
    "idle/sleeper+maker",
    "idle/sleeper+sleeper+maker",
    "idle/sleeper+maker+maker",
    "idle/sleeper+maker+finisher",
    "idle/sleeper+sleeper+maker+maker",
    "timer/waiter+expire",
    "timer/waiter+expire+expire",
    "timer/waiter+expire+publish",
    "timer/waiter+expire+restart",
    "join/ring",
    "join/ring+ring",
    "join/deep+deep",
    "join/ring+ring+ring",
    "join/deep+deep+deep",
    "join/chain+chain+chain",
    "line/wait+give",
    "line/wait+give+expire",
    "line/wait+wait+give",
    "line/wait+wait+give+give",
    "line/wait+wait+give+expire",
    "claim/choose+give",
    "claim/choose+give+give2",
    "claim/choose+give+expire",
    "claim/choose+wait+give",
    "claim/choose+wait+give+give2",
    "words/choose+publish",
    "words/choose+publish+publish2",
    "words/choose+publish+expire",
    "words/choose+publish+shut",
    "words/choose+publish+publish2+expire",
    "runs/runner",
    "runs/runner+stop",
    "monitor/monitor+worker",
    "monitor/monitor+worker+worker",
    "runs/waiter+stop",
    "ask/wait+request",
    "ask/wait+request+publish",
    "ask/wait+request+publish+stranger",
    "ask/wait+request+request",
    "ask/shielded+request",
    "mutex/lock+lock",
    "mutex/again+again",
    "mutex/lock+lock+lock",
    "mutex/lock+late+expire",
    "mutex/notice+notify",
    "mutex/notice+notice+notify",
    "mutex/lock+notice+notify",
    "permit/take+give",
    "permit/take+take+give+give",
    "permit/late+give+expire",
    "permit/take+late+give+expire",
    "gate/wait+set",
    "gate/wait+wait+set",
    "gate/wait+set+set",
    "channel/send+receive",
    "channel/send+receive+close",
    "channel/send+send+receive",
    "channel/send+receive+receive+close",
    "channel/send+late+expire",
    "buffer/send+receive",
    "buffer/send+send+receive",
    "buffer/send+receive+close",
    "buffer/send+late+expire",
    "pick/choose+send",
    "pick/choose+send+send2",
    "pick/choose+send+expire",
    "pick/choose+close2",
    "pick/choose+swap",
    "pick/swap+send2",
    "pick/choose+choose+send",
    "shared/read+write",
    "shared/write+write",
    "shared/read+write+read",
    "shared/read+late+read+expire",
    "turn/holder+inject",
    "turn/holder+timer",
    "turn/holder+holder+inject",
    "turn/holder+inject+timer",
    "turn/holder+timer+timer",
    "ends/ender+drain",
    "ends/ender+ender+drain+drain",
    "workers/worker",
    "workers/worker+publish",
    "workers/worker+spawn",
    "workers/worker+worker",
    "workers/worker+worker+publish",
    "workers/worker+worker+spawn",
    "workers/worker+report",
    "workers/worker+drop",
    "workers/worker+late",
    "workers/worker+stop",
    "workers/worker+hurry",
    "workers/last+publish",
    "workers/last+stop",
    "workers/last+hurry",
    "workers/worker+worker+report",
    "workers/worker+worker+late",
};

}  // namespace

std::vector<std::string> word_scenarios() { return {kScenarios.begin(), kScenarios.end()}; }

bool is_crowd(std::string_view name) { return name.starts_with("workers/worker+worker"); }

std::unique_ptr<Program> make_word_scenario(std::string_view name) {
  const std::string_view kind_name = name.substr(0, name.find('/'));
  for (const Kind& kind : kKinds) {
    if (kind.name != kind_name || name.size() <= kind_name.size()) continue;
    name.remove_prefix(kind_name.size() + 1);
    std::vector<std::string> actors;
    while (!name.empty()) {
      const std::string actor(name.substr(0, name.find('+')));
      if ((" " + std::string(kind.actors) + " ").find(" " + actor + " ") == std::string::npos) {
        return nullptr;
      }
      actors.push_back(actor);
      name.remove_prefix(std::min(name.size(), actor.size() + 1));
    }
    if (actors.empty() || actors.size() > kMaxThreads) return nullptr;
    return kind.make(std::move(actors));
  }
  return nullptr;
}

}  // namespace rearm::explore
