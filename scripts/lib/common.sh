# Shared by the scripts: where we are, how we speak, how a long step shows that it lives.
# shellcheck shell=bash

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$root"

if [ -t 1 ]; then
  bold=$'\e[1m' red=$'\e[31m' green=$'\e[32m' plain=$'\e[0m'
else
  bold='' red='' green='' plain=''
fi

say() { printf '%s\n' "${bold}==>${plain} $*"; }
fail() {
  printf '%s\n' "${red}error:${plain} $*" >&2
  exit 1
}
elapsed() { printf '%02d:%02d' $((SECONDS / 60)) $((SECONDS % 60)); }

# NetBSD's getconf knows it by the name without the underscore.
jobs=$(getconf _NPROCESSORS_ONLN 2>/dev/null || getconf NPROCESSORS_ONLN 2>/dev/null || echo 1)

# watch_step LOG COMMAND...
# Runs the command with its output in LOG, printing the log's last line every ten seconds. If it
# fails, the log's end is printed, unless quiet_failure is set, and the command's status returned.
watch_step() {
  local log=$1 pid ticks=0 status=0
  shift
  mkdir -p "$(dirname "$log")"
  "$@" >"$log" 2>&1 </dev/null &
  pid=$!
  # shellcheck disable=SC2064 # the process of this step, not of a later one
  trap "kill $pid 2>/dev/null; exit 130" INT TERM
  while kill -0 "$pid" 2>/dev/null; do
    sleep 0.2
    ticks=$((ticks + 1))
    if [ $((ticks % 50)) -eq 0 ]; then
      printf '    %s  %s\n' "$(elapsed)" "$(tail -n 1 "$log" | cut -c 1-90)"
    fi
  done
  wait "$pid" || status=$?
  trap - INT TERM
  if [ "$status" -ne 0 ] && [ -z "${quiet_failure:-}" ]; then
    printf '%s\n' "---- the end of ${log#"$root"/}:"
    tail -n 100 "$log"
    printf '%s\n' "----"
  fi
  return "$status"
}
