#!/usr/bin/env bash
# A Ceph RADOS Gateway on loopback, as "a real S3" for tests: one monitor, one object store daemon, one gateway, no manager.
#
#   ceph-rgw.sh up DIR     install what is missing (apt, as root), start, wait until it answers; prints shell assignments
#                          GANTRY_TEST_S3_RGW (endpoint), GANTRY_TEST_S3_RGW_ACCESS_KEY, …_SECRET_KEY, …_REGION
#   ceph-rgw.sh down DIR   end exactly the daemons that `up DIR` started, remove DIR
#
# Progress goes to stderr. `up` on a directory that is up changes nothing. GANTRY_TEST_S3_RGW_PORT chooses the port (default: free ones).
set -euo pipefail

usage() { echo "usage: ceph-rgw.sh up|down DIR" >&2; exit 2; }
[ $# = 2 ] || usage
ACTION=$1
DIR=$(realpath -m -- "$2")
case $DIR in /|/root|/home|/tmp|/var|/etc|/usr) echo "$DIR is no directory to put servers' state in" >&2; exit 2 ;; esac
ACCESS_KEY=GANTRYTESTACCESSKEY1
SECRET_KEY=gantryTestSecretKey0000000000000000000000
CONF=$DIR/ceph.conf

say() { echo "ceph-rgw: $*" >&2; }
fail() { say "$*"; [ ! -d "$DIR/log" ] || tail -n 5 "$DIR"/log/*.out >&2 || true; exit 1; }

# A daemon is ours only if its command line names our configuration: pids are used again by others.
alive() {
  local pid
  pid=$(cat "$DIR/run/$1.pid" 2>/dev/null) || return 1
  [ -n "$pid" ] && tr '\0' ' ' < "/proc/$pid/cmdline" 2>/dev/null | grep -qF -- "$CONF"
}

stop() { # gateway first, so that nothing waits for a store that is gone
  local name pid
  for name in rgw osd mon; do
    alive "$name" || continue
    pid=$(cat "$DIR/run/$name.pid")
    kill "$pid" 2>/dev/null || true
    for _ in $(seq 50); do alive "$name" || break; sleep 0.1; done
    if alive "$name"; then kill -9 "$pid" 2>/dev/null || true; fi
    for _ in $(seq 50); do alive "$name" || break; sleep 0.1; done
    say "$name stopped"
  done
}

install_packages() {
  local package missing=()
  for package in ceph-mon ceph-osd radosgw ceph-common; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  [ "$(id -u)" = 0 ] || fail "these packages are missing and only root can install them: apt-get install ${missing[*]}"
  say "installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  local install=(apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends "${missing[@]}")
  "${install[@]}" >&2 || { apt-get -o DPkg::Lock::Timeout=300 update -qq >&2; "${install[@]}" >&2; }
}

free() { ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# Gateway, two of the monitor, and a range for the store lie together.
choose_port() {
  local port
  if [ -n "${GANTRY_TEST_S3_RGW_PORT:-}" ]; then echo "$GANTRY_TEST_S3_RGW_PORT"; return; fi
  for _ in $(seq 50); do
    port=$((20000 + RANDOM % 10000))
    if free "$port" && free $((port + 1)) && free $((port + 2)); then echo "$port"; return; fi
  done
  fail "no free ports between 20000 and 30000"
}

write_conf() {
  cat > "$CONF" <<END
[global]
fsid = $(cat /proc/sys/kernel/random/uuid)
mon initial members = a
mon host = [v2:127.0.0.1:$((PORT + 1)),v1:127.0.0.1:$((PORT + 2))]
public addr = 127.0.0.1
cluster addr = 127.0.0.1
public network = 127.0.0.0/8
cluster network = 127.0.0.0/8
ms bind ipv6 = false
ms bind port min = $((PORT + 10))
ms bind port max = $((PORT + 60))
auth cluster required = none
auth service required = none
auth client required = none
# Without these the gateway asks the monitor for its secure mode, which needs cephx, and waits for ever.
ms mon client mode = crc
ms mon cluster mode = crc
ms mon service mode = crc
run dir = $DIR/run
admin socket = $DIR/run/\$name.asok
pid file =
log file = $DIR/log/\$name.log
crash dir = $DIR/run
log to stderr = false
err to stderr = false
mon cluster log file = $DIR/log/cluster.log
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pgp num = 8
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon warn on pool no redundancy = false
mon max pg per osd = 1000
mon data avail warn = 2
mon data avail crit = 1
[mon]
mon data = $DIR/mon
mon election timeout = 1
paxos propose interval = 0.05
paxos min wait = 0.01
[osd]
osd data = $DIR/osd
osd objectstore = bluestore
osd memory target = 1073741824
bluestore block create = true
# A sparse file.
bluestore block size = $((20 * 1024 * 1024 * 1024))
bluestore fsck on mount = false
osd op num shards = 2
osd op num threads per shard = 2
osd max scrubs = 0
[client.rgw]
rgw data = $DIR/rgw
rgw frontends = beast endpoint=127.0.0.1:$PORT tcp_nodelay=1
rgw thread pool size = 64
rgw enable usage log = false
rgw enable ops log = false
rgw run sync thread = false
rgw override bucket index max shards = 1
rgw dynamic resharding = false
rgw exit timeout secs = 5
END
}

start() { # start NAME COMMAND…: in a session of its own, detached from our lock and output
  local name=$1
  shift
  setsid "$@" -f </dev/null >"$DIR/log/$name.out" 2>&1 9>&- &
  echo $! > "$DIR/run/$name.pid"
}

wait_for() { # wait_for SECONDS WHAT COMMAND…
  local end=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $end ] || fail "$what did not come up in time"
    sleep 0.2
  done
}

ceph_() { timeout 20 ceph -c "$CONF" --connect-timeout 10 "$@"; }
store_is_up() { ceph_ osd stat -f json 2>/dev/null | grep -q '"num_up_osds":1'; }
gateway_answers() { [ "$(curl -s -o /dev/null -m 2 -w '%{http_code}' "http://127.0.0.1:$PORT/")" = 200 ]; }

up() {
  install_packages
  mkdir -p "$DIR"/{mon,osd,rgw,run,log}
  exec 9>"$DIR/up.lock"
  flock -w 300 9 || fail "another start holds $DIR/up.lock"
  PORT=$(cat "$DIR/port" 2>/dev/null || true)
  if [ -n "$PORT" ] && alive mon && alive osd && alive rgw && gateway_answers; then say "is up"; return; fi
  stop
  rm -rf "${DIR:?}"/{mon,osd,rgw,run,log}
  mkdir -p "$DIR"/{mon,osd,rgw,run,log}
  PORT=$(choose_port)
  free "$PORT" || fail "port $PORT is taken"
  write_conf
  export CEPH_CONF=$CONF CEPH_ARGS=
  monmaptool --create --clobber --fsid "$(sed -n 's/^fsid = //p' "$CONF")" \
    --addv a "[v2:127.0.0.1:$((PORT + 1)),v1:127.0.0.1:$((PORT + 2))]" "$DIR/monmap" >/dev/null
  ceph-mon -c "$CONF" -i a --mkfs --monmap "$DIR/monmap" >&2
  start mon ceph-mon -c "$CONF" -i a
  wait_for 30 "the monitor" ceph_ quorum_status
  local uuid
  uuid=$(cat /proc/sys/kernel/random/uuid)
  [ "$(ceph_ osd new "$uuid" 2>/dev/null)" = 0 ] || fail "the monitor did not take the object store"
  ceph-osd -c "$CONF" -i 0 --mkfs --osd-uuid "$uuid" --no-mon-config >/dev/null 2>"$DIR/log/osd-mkfs.out"
  start osd ceph-osd -c "$CONF" -i 0
  wait_for 40 "the object store" store_is_up
  timeout 60 radosgw-admin -c "$CONF" -n client.rgw user create --uid=gantry --display-name=gantry \
    --access-key="$ACCESS_KEY" --secret-key="$SECRET_KEY" --max-buckets=10000 >"$DIR/log/user.out" 2>&1 ||
    fail "the user could not be made"
  start rgw radosgw -c "$CONF" -n client.rgw
  wait_for 60 "the gateway" gateway_answers
  echo "$PORT" > "$DIR/port"
  say "is up on 127.0.0.1:$PORT"
}

case $ACTION in
  up)
    up
    cat <<END
GANTRY_TEST_S3_RGW=http://127.0.0.1:$PORT
GANTRY_TEST_S3_RGW_ACCESS_KEY=$ACCESS_KEY
GANTRY_TEST_S3_RGW_SECRET_KEY=$SECRET_KEY
GANTRY_TEST_S3_RGW_REGION=us-east-1
END
    ;;
  down)
    [ -d "$DIR" ] || exit 0
    [ -f "$CONF" ] || fail "$DIR is not a directory that \`up\` made"
    stop
    rm -rf "${DIR:?}"
    ;;
  *) usage ;;
esac
