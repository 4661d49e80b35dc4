#!/usr/bin/env bash
# All tests, on any machine: installs what they need, starts it, runs everything, stops what it started.
#
#   deploy/test.sh                 everything, quick parts first
#   deploy/test.sh --only NAME     one part: static unit contract integration e2e quickstart story, or the start of
#                                  a test file's name (--only gate runs every test/**/gate*.test.ts)
#
# Last line: `N passed, N failed`. A missing service is a failure, never a skip.
set -euo pipefail
cd "$(dirname "$0")/.."
. deploy/lib.sh

only=""
case "${1:-}" in
  --only) only=${2:?--only NAME}; shift 2 ;;
  "") ;;
  *) die "usage: deploy/test.sh [--only NAME]" ;;
esac

passed=0 failed=0
work=$(mktemp -d "${TMPDIR:-/tmp}/gantry-tests-XXXXXX")
export TMPDIR=$work/tmp
mkdir -p "$TMPDIR"
# Tests also run programs as other users.
chmod 0755 "$work"; chmod 1777 "$TMPDIR"
started_docker="" started_rgw=""

finish() {
  local code=$?
  trap - EXIT INT TERM
  [ -z "$started_rgw" ] || test/support/ceph-rgw.sh down "$work/rgw" >&2 || true
  if [ -n "$started_docker" ] && [ -s "$work/dockerd.pid" ]; then
    local pid; pid=$(cat "$work/dockerd.pid")
    kill "$pid" 2>/dev/null || true
    for _ in $(seq 100); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
  fi
  rm -rf "$work"
  if [ "$code" -ne 0 ]; then failed=$((failed + 1)); note "the test script itself failed (exit $code)"; fi
  printf '%d passed, %d failed\n' "$passed" "$failed"
  [ "$failed" -eq 0 ] || exit 1
  exit 0
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

check() { # check NAME COMMAND...: one check of the whole tree
  local name=$1; shift
  if "$@" >"$work/check.log" 2>&1; then
    passed=$((passed + 1)); note "ok      $name"
  else
    failed=$((failed + 1)); note "FAILED  $name"; tail -n 60 "$work/check.log" >&2
  fi
}

run_vitest() { # run_vitest PROJECT [FILTER...]
  local project=$1 report=$work/vitest.json; shift
  rm -f "$report"
  npx vitest run --project "$project" --passWithNoTests --reporter=default --reporter=json --outputFile.json="$report" "$@" >&2 || true
  local counts
  counts=$(node -e '
    try {
      const report = JSON.parse(require("fs").readFileSync(process.argv[1], "utf8"));
      // A file that does not load has no tests of its own: it counts as one failure. So does a skipped test.
      const broken = report.testResults.filter((f) => f.status === "failed" && f.assertionResults.every((t) => t.status !== "failed")).length;
      console.log(report.numPassedTests, report.numFailedTests + report.numPendingTests + report.numTodoTests + broken);
    } catch { console.log(0, 1); }' "$report")
  passed=$((passed + ${counts% *})); failed=$((failed + ${counts#* }))
}

# Ids of containers and networks of agents. A running installation of this machine's user has some too.
of_agents() {
  docker ps -aq --no-trunc --filter label=gantry.agent
  docker network ls -q --no-trunc --filter label=gantry.agent
}

# Directories of agents in memory, for the scripts of steps (agent/executor/in-directory.ts).
in_memory() { find /dev/shm /run -maxdepth 1 -name 'gantry-*' 2>/dev/null || true; }

note_before() { { of_agents; in_memory; } >"$work/before"; }

# What is left behind: containers, networks and directories in memory that were not there before, processes whose files lie in
# our temporary directory.
leftovers() {
  local found=0 id
  if docker_answers; then
    for id in $(of_agents); do
      grep -qx "$id" "$work/before" && continue
      echo "container or network $id"; found=1
      docker inspect "$id" | grep -E '"(Name|Status|Error|gantry\.[a-z-]*)":' || echo "gone by now"
    done
  fi
  local pid
  for pid in $(pgrep -f -- "$TMPDIR" || true); do
    [ "$pid" != $$ ] || continue
    echo "process $pid: $(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null)"; found=1
  done
  local file
  for file in $(in_memory); do
    grep -qxF "$file" "$work/before" || { echo "in memory $file"; found=1; }
  done
  for file in "$TMPDIR"/gantry*; do
    [ ! -e "$file" ] || { echo "temporary $file"; found=1; }
  done
  return $found
}

wants() { [ -z "$only" ] || [ "$only" = "$1" ]; }
is_part() { case "$1" in static|unit|contract|integration|e2e|quickstart|story) return 0 ;; *) return 1 ;; esac; }

apt_install nats-server docker.io iptables git busybox-static iproute2 openssh-client openssh-server procps python3 systemd docker-registry apache2-utils
build_gantry
# Tests start their own `up`: nothing of a user's installation may be seen or changed.
export GANTRY_CONFIG=$work/contexts.json
unset GANTRY_COORDINATOR GANTRY_TOKEN

if wants static; then
  say "format, lint, types"
  check format npm run --silent format
  check lint npm run --silent lint
  check types npm run --silent types
  check 'systemd units' deploy/systemd/verify.sh
  check 'shell scripts' bash -n deploy/*.sh test/support/*.sh .ci/run
fi
if wants unit; then say "unit tests"; run_vitest unit; fi

if [ -z "$only" ] || [ "$only" != static ] && [ "$only" != unit ]; then
  if ! docker_answers; then
    export GANTRY_DOCKERD_PIDFILE=$work/dockerd.pid
    docker_ready && [ -s "$work/dockerd.pid" ] && started_docker=1
    docker_answers || die "no Docker daemon answers and none could be started"
  fi
  note_before
  if [ "$only" != quickstart ] && [ "$only" != story ]; then
    started_rgw=1
    rgw=$(test/support/ceph-rgw.sh up "$work/rgw")
    set -a; eval "$rgw"; set +a
  fi
  for part in contract integration e2e; do
    if wants "$part"; then
      say "$part tests"; run_vitest "$part"
      # Now, so that it is known whose it is.
      check "nothing left behind by $part tests" leftovers
      note_before
    fi
  done
  if [ -n "$only" ] && ! is_part "$only"; then
    for part in unit contract integration e2e; do run_vitest "$part" "/$only"; done
    [ $((passed + failed)) -gt 0 ] || die "no test file's name begins with $only"
  fi
  if wants quickstart; then
    say "quickstart"
    check 'quickstart on this machine' test/support/quickstart.sh "$work"
  fi
  if wants story; then
    say "story"
    check 'the whole story on this machine' test/support/story.sh "$work"
  fi
  check 'nothing left behind' leftovers
fi
