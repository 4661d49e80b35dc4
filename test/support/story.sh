#!/usr/bin/env bash
# deploy/quickstart.sh --story from start to end, in a home of its own; afterwards nothing of it is left.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$1/story
mkdir -p "$work"
export GANTRY_BIN_DIR=$work/bin
export HOME=$work XDG_STATE_HOME=$work/state XDG_CACHE_HOME=$work/cache XDG_CONFIG_HOME=$work/config
unset GANTRY_CONFIG
begun=$(date +%s)
deploy/quickstart.sh --story
echo "the story took $(($(date +%s) - begun)) s"
[ -z "$(docker ps -aq --filter label=gantry-demo=shortener)" ] || { echo "containers of the story are left"; exit 1; }
[ ! -e "$work/cache/gantry/story" ] || { echo "the story's directory is left"; exit 1; }
