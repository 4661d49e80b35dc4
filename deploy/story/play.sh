#!/usr/bin/env bash
# The whole story on one machine, in about two minutes and with explanations: a change that fails does not reach main, a push
# past the gate is refused, what lands is deployed to staging, a person lets it into production, and what turns out bad there
# goes back by itself. Called by `deploy/quickstart.sh --story`, which has built everything and put `gantry` on the PATH.
#
# All of it lives in one directory and on ports of 127.0.0.1, and is gone when the play ends (--keep leaves it running).
set -euo pipefail
cd "$(dirname "$0")/../.."
. deploy/lib.sh

keep=""
[ "${1:-}" != --keep ] || keep=1
source=$PWD
registry_port=7430 staging_port=7431 production_port=7432 mail_port=7433
home=${XDG_CACHE_HOME:-$HOME/.cache}/gantry/story
export GANTRY_CONFIG=$home/contexts.json
unset GANTRY_COORDINATOR GANTRY_TOKEN
began=$(date +%s)

bold() { printf '\033[1m%s\033[0m' "$*"; }
chapter() { printf '\n\033[1;36m── %s\033[0m\n' "$*" >&2; }
tell() { printf '%s\n' "$*" | fold -s -w 100 | sed 's/ *$//; s/^/   /' >&2; }
indent() { sed 's/^/     /' >&2; }
quoted() { local word; for word in "$@"; do case $word in *[!A-Za-z0-9_./:,@=-]*) printf "'%s' " "$word" ;; *) printf '%s ' "$word" ;; esac; done; }
# show COMMAND...: prints it as one would type it, and runs it.
show() { printf '   %s %s\n' "$(bold '$')" "$(bold "$(quoted "$@")")" >&2; "$@" 2>&1 | indent; }
fail() { die "the story went wrong: $*"; }
field() { node -p "const v = JSON.parse(require('fs').readFileSync(0, 'utf8')); $1"; }

pids=()
stop() {
  local code=$?
  trap - EXIT INT TERM
  if [ -n "$keep" ]; then note "it still runs: GANTRY_CONFIG=$GANTRY_CONFIG, data in $home/data, processes ${pids[*]-}"; exit "$code"; fi
  docker ps -aq --filter label=gantry-demo=shortener | xargs -r docker rm --force >/dev/null 2>&1 || true
  [ ${#pids[@]} -eq 0 ] || kill "${pids[@]}" 2>/dev/null || true
  gantry down --data "$home/data" >/dev/null 2>&1 || true
  # An agent hands over at the first signal, and ends at the second.
  [ ${#pids[@]} -eq 0 ] || kill "${pids[@]}" 2>/dev/null || true
  wait 2>/dev/null || true
  [ "$code" -ne 0 ] || rm -rf "$home"
  [ "$code" -eq 0 ] || note "what it wrote is in $home"
  exit "$code"
}

free() { ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
for port in $registry_port $staging_port $production_port $mail_port; do
  free "$port" || die "port $port of 127.0.0.1 is taken: the story needs 7430 to 7433. Stop what listens there (ss -ltnp \"sport = :$port\") and run this again."
done

rm -rf "$home"; mkdir -p "$home"/{git,mail,registry,log}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# ---------------------------------------------------------------------------------------------------------------------
chapter "The stage: a git server, a registry, a mail server, and Gantry"
tell "Everything is real and on this machine: a bare git repository, Debian's docker-registry, a mail server that keeps what it gets, and two build agents. A third agent, with the label 'deploy', may start containers: it is the one that deploys."

node deploy/story/mail-catcher.mjs "$home/mail" $mail_port >"$home/log/mail" 2>&1 & pids+=($!)
REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY=$home/registry REGISTRY_HTTP_ADDR=127.0.0.1:$registry_port \
  docker-registry serve deploy/story/registry.yml >"$home/log/registry" 2>&1 & pids+=($!)
show gantry up --detach --data "$home/data" --agents 2 --repo-root "$home/git" \
  --smtp "smtp://127.0.0.1:$mail_port" --mail-from gantry@example.org
gantry agents token --label deploy --json | field v.token >"$home/join"
grpc=$(field v.ports.grpc <"$home/data/up.json")
gantry-agent --coordinator "127.0.0.1:$grpc" --token-file "$home/join" --data "$home/deploy-agent" --name deploy \
  --executor host --label deploy --repo-root "$home/git" >"$home/log/agent" 2>&1 & pids+=($!)

git init -q --bare -b main "$home/git/shortener.git"
git clone -q "$home/git/shortener.git" "$home/shortener" 2>/dev/null
cp -r deploy/examples/python-web-app/. "$home/shortener"
cd "$home/shortener"
git config user.name Ada
git config user.email ada@example.org
git checkout -q -b main

tell "Two people: Ada writes code, Bob answers for production."
gantry users add ada --mail ada@example.org >/dev/null 2>&1
gantry users add bob --role admin --mail bob@example.org >/dev/null 2>&1
ada_token=$(gantry tokens create --user ada --json | field v.text)
bob_token=$(gantry tokens create --user bob --json | field v.text)
# Who types it decides what it may do: the same commands with another token.
as() { local who=$1; shift; printf '   %s %s\n' "$(bold "$who \$")" "$(bold "$(quoted "$@")")" >&2; local token=${who}_token; GANTRY_TOKEN=${!token} "$@" 2>&1 | indent; }

tell "The project has a gate: nothing reaches main before check, test, smoke and package are green on the merged result. And it has two environments. Production takes only what staging has verified, only when somebody who did not write it says so, and goes back by itself when its verify fails."
show gantry projects add "$home/git/shortener.git" --poll 1s \
  --gate-target main --gate-require check,test,smoke,package
show gantry environments add staging --url "http://127.0.0.1:$staging_port" --branches main --differs PORT,ADMIN_TOKEN
show gantry environments add production --url "http://127.0.0.1:$production_port" --branches main --differs PORT,ADMIN_TOKEN \
  --promotes-from staging --approvers bob --not-author --rolls-back --notify bob@example.org
for environment in staging production; do
  head -c 18 /dev/urandom | base64 | gantry secrets set shortener ADMIN_TOKEN --environment $environment >/dev/null 2>&1
done
tell "The first version goes to main by hand, and from then on the repository refuses everybody but the gate."
git add -A
git commit -q -m 'A link shortener'
git push -q origin main
show gantry gate protect shortener --install
first=$(git rev-parse HEAD)

# What happens meanwhile is asked for, once or twice a second, and never for longer than two minutes.
await() { # await WHAT COMMAND...
  local what=$1 tries; shift
  for tries in $(seq 240); do
    "$@" && return 0
    [ $? -ne 3 ] || fail "$what did not come: see above"
    sleep 0.5
  done
  fail "$what did not come within two minutes"
}
mail_to() { python3 "$source/deploy/story/mails.py" "$home/mail" "$1" "$2" >"$home/mail.txt"; }
show_mail() { await "a mail to $1 about “$2”" mail_to "$1" "$2"; tell "In $1's mailbox:"; sed 's/^/     │ /' "$home/mail.txt" >&2; }
# deployed ENVIRONMENT COMMIT STATUS: the environment's deployment of this commit has come so far.
deployed() {
  gantry environments show "$1" --json | node -e '
    const { open, history } = JSON.parse(require("fs").readFileSync(0, "utf8"));
    const [, commit, status] = process.argv;
    const found = [...open, ...history].find((one) => one.commit === commit && one.rollbackOf === null);
    if (["failed", "refused", "rejected", "unknown"].includes(found?.status) && found.status !== status) {
      console.error(`the deployment has ${found.status}: ${found.reason ?? found.waitingFor.join("; ")}`);
      process.exit(3);
    }
    process.exit(found?.status === status ? 0 : 1);' "$2" "$3"
}
until_deployed() { tell "… waiting until $1 has ${2:0:8} ($3)"; await "$1: ${2:0:8} $3" deployed "$@"; }
image_in() { docker inspect --format '{{.Image}}' "shortener-$1"; }
# land BRANCH MESSAGE: what stands changed in the clone becomes a commit of Ada's and is queued.
land() {
  git checkout -q -B "$1" origin/main 2>/dev/null || git checkout -q "$1"
  git add -A
  git commit -q -m "$2"
  as ada gantry land "$1" --push --watch || return
  git fetch -q origin
}

chapter "1. What fails does not reach main"
tell "Ada shortens the alphabet of the codes. Two of her unit tests see what that does; she does not wait for them."
git fetch -q origin
git checkout -q -b shorter-codes origin/main
sed -i 's/^ALPHABET = .*/ALPHABET = string.digits/' shortener/codes.py
git commit -q -a -m 'Only digits in codes'
if as ada gantry land shorter-codes --push --watch; then fail "a failing change has landed"; fi
[ "$(git ls-remote origin refs/heads/main | cut -f 1)" = "$first" ] || fail "main has moved"
show_mail ada@example.org 'not integrated'

chapter "2. Nobody goes around the gate"
if show git push origin shorter-codes:main; then fail "a push past the gate was taken"; fi

chapter "3. The fix lands, and staging has it"
sed -i 's/^ALPHABET = .*/ALPHABET = string.digits + string.ascii_letters/' shortener/codes.py
git commit -q -a -m 'All letters in codes'
as ada gantry land shorter-codes --watch --push
git fetch -q origin
second=$(git rev-parse origin/main)
tell "The run of main takes over what the gate has tested, builds the image, pushes it, and staging starts it."
until_deployed staging "$second" verified
until_deployed production "$second" approval
show gantry runs --limit 4
show curl -sS "http://127.0.0.1:$staging_port/version"

chapter "4. Production waits for a person"
show_mail bob@example.org 'approval wanted – "Merge shorter-codes'
if as ada gantry approve production; then fail "an author has approved"; fi
as bob gantry approve production
until_deployed production "$second" verified
show gantry environments ls
tell "The very same image runs in both, by digest:"
show docker inspect --format '{{.Name}} runs {{.Config.Image}}' shortener-staging shortener-production
good=$(image_in production)
[ "$good" = "$(image_in staging)" ] || fail "staging runs another image than production"

chapter "5. What turns out bad in production goes back by itself"
tell "The next change redirects to https, but only in production: nothing before it can see that the health check no longer answers there."
git checkout -q -b https-only origin/main
sed -i 's|^    def do_GET(self) -> None:|&\n        if os.environ.get("ENVIRONMENT") == "production":\n            self.send_response(HTTPStatus.MOVED_PERMANENTLY)\n            self.send_header("Location", "https://" + self.headers["Host"] + self.path)\n            self.send_header("Content-Length", "0")\n            self.end_headers()\n            return|' shortener/server.py
git commit -q -a -m 'Only https in production'
as ada gantry land https-only --push --watch
git fetch -q origin
third=$(git rev-parse origin/main)
until_deployed staging "$third" verified
until_deployed production "$third" approval
as bob gantry approve production
until_deployed production "$third" failed
rolled_back() { gantry environments show production --json | node -p 'const { current } = JSON.parse(require("fs").readFileSync(0, "utf8")); current?.rollbackOf != null && current.status === "verified" ? "yes" : "no"' | grep -q yes; }
await "the rollback" rolled_back
show_mail bob@example.org 'roll'
[ "$(image_in production)" = "$good" ] || fail "the rollback has started another image"
show gantry environments show production

chapter "6. The repair, and both are the same"
git checkout -q -b https-everywhere origin/main
git revert --no-edit "$third^2" >/dev/null
as ada gantry land https-everywhere --push --watch
git fetch -q origin
fourth=$(git rev-parse origin/main)
until_deployed staging "$fourth" verified
until_deployed production "$fourth" approval
as bob gantry approve production
until_deployed production "$fourth" verified
[ "$(image_in production)" = "$(image_in staging)" ] || fail "staging runs another image than production"
show gantry environments diff staging production
show gantry audit --project shortener --limit 12

chapter "The end, after $(($(date +%s) - began)) s"
if [ -n "$keep" ]; then
  trap - EXIT
  cat >&2 <<TEXT
   It all still runs. Look around with
       export GANTRY_CONFIG=$GANTRY_CONFIG
       gantry runs; gantry gate show shortener; gantry environments show production
   and end it with
       gantry down --data $home/data; kill ${pids[*]}; kill ${pids[*]}
       docker ps -aq --filter label=gantry-demo=shortener | xargs docker rm --force
TEXT
else
  tell "Everything that it started is stopped again. With --keep it goes on, and you can look around."
fi
