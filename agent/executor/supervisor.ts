/**
 * The small shell program that runs the steps of a box, and the line that tells it to run one. The same text runs in
 * busybox sh, dash and bash. In a container it is PID 1; on the host executor an ordinary process.
 *
 *   agent ── stdin: "<number> <id> <marker>\n" ──► supervisor ── setsid sh IN/<number>.sh ──► step
 *                                                                             │ stdout and stderr: one pipe
 *   agent ◄── reads OUT/<id>.log ◄── cat ◄──────────────────────────────────────┘
 *
 * Why it is as it is:
 * - One pipe for both streams keeps their order. `cat` behind it, and not the file itself, because a step that opens
 *   /dev/stderr would otherwise truncate its own log.
 * - The marker follows the step's last byte through the same pipe: what stands before it is exactly the step's
 *   output, what comes after it was written by something the step left behind. The exit file says the code again,
 *   for a step that killed the writer of the marker (`kill -9 -1`).
 * - The reader is an orphan (`{ … & }`), so the shell waits for the step alone and a daemon that keeps the pipe open
 *   delays nothing. Background commands get /dev/null as stdin, hence descriptor 3.
 * - Ids end in a random suffix: an earlier step cannot lay a link or FIFO under a name that it cannot guess.
 */
export interface StepLine {
  readonly number: number;
  /** `<number>-<random>`: names the step's files in OUT and marks its processes. */
  readonly id: string;
  /** 24 random hexadecimal digits. */
  readonly marker: string;
}

/** Every process of a step carries this in its environment, with the step's id. */
export const stepVariable = 'GANTRY_STEP_ID';

/** What the image must have; the supervisor looks for them before it says `ready`. */
export const requiredPrograms = ['sh', 'setsid', 'cat'] as const;

/** Above this a single write to a pipe is not atomic; a line is far below. */
export const stepLine = (line: StepLine): string => `${line.number} ${line.id} ${line.marker}\n`;

export const shellQuote = (text: string): string => `'${text.replaceAll("'", String.raw`'\''`)}'`;

export function supervisorScript(paths: { readonly in: string; readonly out: string }): string {
  return `i=${shellQuote(paths.in)} o=${shellQuote(paths.out)}
for t in setsid cat; do command -v $t >/dev/null 2>&1 || { echo "missing $t"; exit 1; }; done
read -r h <"$i/hello" || { echo 'unreadable'; exit 1; }
echo "ready $h $(command -v sh) $(command -v bash)"
exec >/dev/null 2>&1
while read -r n id end; do
  { ${stepVariable}=$id setsid sh "$i/$n.sh" </dev/null 2>&1
    c=$?; echo $c >"$o/$id.exit"; printf '%s %s\\n' "$end" $c
  } | { cat <&3 3<&- >>"$o/$id.log" & } 3<&0
  [ -s "$o/$id.exit" ] || echo 137 >"$o/$id.exit"
done
`;
}

export type Greeting =
  | { readonly kind: 'ready'; readonly hello: string; readonly sh: string; readonly bash?: string }
  | { readonly kind: 'missing'; readonly program: string }
  | { readonly kind: 'unreadable' };

/** What the supervisor says first; undefined for anything else. */
export function parseGreeting(line: string): Greeting | undefined {
  const [word, first, second, third] = line.trim().split(' ');
  if (word === 'unreadable') return { kind: 'unreadable' };
  if (first === undefined || first === '') return undefined;
  if (word === 'missing') return { kind: 'missing', program: first };
  // Not always a path: a busybox that prefers its own applets says just `sh`.
  if (word !== 'ready' || second === undefined) return undefined;
  return third === undefined || third === ''
    ? { kind: 'ready', hello: first, sh: second }
    : { kind: 'ready', hello: first, sh: second, bash: third };
}
