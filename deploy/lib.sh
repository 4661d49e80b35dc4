# Sourced by the scripts beside it: messages, and installing and starting what Gantry stands on. Everything here may be
# called again at any time.

say() { printf '\033[1m==>\033[0m %s\n' "$*" >&2; }
note() { printf '    %s\n' "$*" >&2; }
die() { printf '\033[1;31mError:\033[0m %s\n' "$*" >&2; exit 1; }

have() { command -v "$1" >/dev/null 2>&1; }
is_root() { [ "$(id -u)" = 0 ]; }
has_apt() { have apt-get && is_root; }

# apt_install PACKAGE...: installs what is missing, quietly; says what to do where it cannot.
apt_install() {
  local missing=() package
  for package in "$@"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  has_apt || die "missing: ${missing[*]}. Install these packages (on Debian or Ubuntu: sudo apt-get install ${missing[*]}) and run this again."
  say "installing ${missing[*]} (Debian packages)"
  local log; log=$(mktemp)
  apt_run() { DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 "$@" >>"$log" 2>&1; }
  apt_run install -y --no-install-recommends "${missing[@]}" ||
    { apt_run update && apt_run install -y --no-install-recommends "${missing[@]}"; } ||
    { tail -n 20 "$log" >&2; rm -f "$log"; die "apt-get could not install ${missing[*]}: see above"; }
  rm -f "$log"
}

node_ready() { have node && [ "$(node -p 'Number(process.versions.node.split(".")[0]) >= 20')" = true ]; }

# Node modules and build, only when something changed since.
build_gantry() {
  node_ready || die "Node.js 20 or newer is needed (found: $(node --version 2>/dev/null || echo none)): see https://nodejs.org, or your system's packages."
  if [ ! -d node_modules ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
    say "installing Node modules"
    npm ci --no-audit --no-fund --loglevel=error >&2
    touch node_modules/.package-lock.json
  fi
  if [ ! -f dist/.built ] || [ -n "$(find proto shared coordinator agent package.json tsconfig.json tsconfig.build.json -newer dist/.built -type f -not -path '*/wire/gen/*' -print -quit)" ]; then
    say "building"
    npm run --silent build >&2
    touch dist/.built
  fi
}

docker_answers() { have docker && timeout 10 docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

# A Docker daemon that answers; starts one where this machine runs none. Returns 1 when none can run here.
# Where no init system manages services, or its limit of open files is too low for the packaged script, the daemon is
# started directly; $GANTRY_DOCKERD_PIDFILE then names the pid, for whoever wants to stop it again.
docker_ready() {
  docker_answers && return 0
  if ! have dockerd; then
    if has_apt && [ "${GANTRY_NO_INSTALL:-}" = "" ]; then apt_install docker.io iptables; else return 1; fi
  fi
  docker_answers && return 0
  is_root || return 1
  say "starting the Docker daemon"
  if [ -d /run/systemd/system ]; then systemctl start docker >/dev/null 2>&1 || true; fi
  docker_answers && return 0
  rm -f /run/docker/containerd/*.pid
  mkdir -p /var/log
  setsid dockerd -H unix:///var/run/docker.sock --pidfile "${GANTRY_DOCKERD_PIDFILE:-/var/run/docker.pid}" </dev/null >>/var/log/gantry-dockerd.log 2>&1 &
  local tries
  for tries in $(seq 1 300); do
    docker_answers && return 0
    sleep 0.1
  done
  note "the Docker daemon did not start; its last words:"
  tail -n 5 /var/log/gantry-dockerd.log >&2
  return 1
}
