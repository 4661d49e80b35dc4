#!/usr/bin/env bash
# From a fresh clone to a first green run: installs what is missing, builds, starts Gantry on this machine, and runs the
# pipeline of deploy/examples/python-web-app. Safe to repeat; the second time takes seconds.
#
#   --host-executor    run steps without containers, although Docker may be there
#   --no-install       install nothing: say what is missing instead
#   --data DIR         where state is kept (default: that of `gantry up`)
#   --story            play the whole story instead: a gate, staging, an approval, production, a rollback (two minutes)
#   --keep             with --story: leave it running
# GANTRY_BIN_DIR: where gantry and gantry-agent are linked (default: /usr/local/bin as root, else ~/.local/bin)
set -euo pipefail
cd "$(dirname "$0")/.."
. deploy/lib.sh

executor=docker data=() story="" keep=()
while [ $# -gt 0 ]; do
  case $1 in
    --host-executor) executor=host ;;
    --no-install) export GANTRY_NO_INSTALL=1 ;;
    --data) data=(--data "${2:?--data DIR}"); shift ;;
    --story) story=1 ;;
    --keep) keep=(--keep) ;;
    *) sed -n '2,10p' "$0"; exit 2 ;;
  esac
  shift
done
install() { [ "${GANTRY_NO_INSTALL:-}" = "" ] || die "missing: $*. Install it, or leave out --no-install."; apt_install "$@"; }

have git || install git
build_gantry
have nats-server || install nats-server

# `gantry` on the PATH: a link, so that a new build is used at once.
if is_root; then bin=/usr/local/bin; else bin=$HOME/.local/bin; fi
bin=${GANTRY_BIN_DIR:-$bin}
mkdir -p "$bin"
chmod +x dist/coordinator/cli/main.js dist/agent/main.js
ln -sfn "$PWD/dist/coordinator/cli/main.js" "$bin/gantry"
ln -sfn "$PWD/dist/agent/main.js" "$bin/gantry-agent"
case ":$PATH:" in
  *":$bin:"*) note "gantry and gantry-agent are in $bin" ;;
  *) note "gantry and gantry-agent are in $bin, which is not on your PATH: add  export PATH=\"$bin:\$PATH\"  to your shell's profile"; PATH="$bin:$PATH" ;;
esac

if [ -n "$story" ]; then
  docker_ready || die "the story needs Docker: install it, start it, then run this again"
  install docker-registry python3
  deploy/demo-image.sh
  exec deploy/story/play.sh ${keep[@]+"${keep[@]}"}
fi

options=()
if [ "$executor" = docker ] && ! docker_ready; then
  say "no Docker daemon can run here: using the host executor with --ignore-image"
  note "steps run as plain processes of this machine, without isolation; each run says so."
  note "For containers: install Docker, start it, then run this script again."
  executor=host
fi
if [ "$executor" = host ]; then options=(--executor host --ignore-image); else deploy/demo-image.sh; fi

say "starting Gantry on this machine"
gantry up --detach --agents 2 ${data[@]+"${data[@]}"} ${options[@]+"${options[@]}"}

say "submitting deploy/examples/python-web-app"
# A copy of its own, so that the run is of a repository and not of this one.
demo=${XDG_CACHE_HOME:-$HOME/.cache}/gantry/python-web-app
rm -rf "$demo"; mkdir -p "$demo"
cp -r deploy/examples/python-web-app/. "$demo"
git -C "$demo" init -q -b main
git -C "$demo" add -A
git -C "$demo" -c user.name='Quick Start' -c user.email=quickstart@example.org commit -q -m 'A link shortener'
cd "$demo"
run=$(gantry submit --json | node -p 'JSON.parse(require("fs").readFileSync(0, "utf8")).run')
gantry watch "$run"

say "fetching the artifact"
gantry artifacts get "$run" package -o artifacts

cat >&2 <<TEXT

Gantry is running. In $demo you may now type:
    gantry submit --follow        run the pipeline again, changed files included
    gantry show                   the whole run
    gantry logs                   its logs
    gantry runs                   all runs
    gantry doctor                 what is missing on this machine, if anything
Stop it with:
    gantry down
TEXT
