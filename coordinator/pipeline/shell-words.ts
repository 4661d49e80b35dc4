/** What to do in place of a command whose effect ends with its step. */
const instead: ReadonlyMap<string, string> = new Map([
  [
    'cd',
    'each step is a new shell: write `workdir:` in the steps it is for, or `cd … && command` in one step',
  ],
  ['pushd', 'each step is a new shell: write `workdir:` in the steps it is for'],
  [
    'export',
    'each step is a new shell: write `env:`, or `echo "NAME=value" >> "$GANTRY_ENV"` for later steps',
  ],
  ['source', 'each step is a new shell: source the file in the step that needs it'],
  ['.', 'each step is a new shell: source the file in the step that needs it'],
]);

/**
 * For a script that does nothing but change its own shell, `cd` and the like: the first such word and what to do
 * instead. Anything else in it, also behind `&&`, and it has an effect.
 */
export function lostEffect(script: string): { readonly word: string; readonly hint: string } | undefined {
  const lines = script
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'));
  const words = lines.map((line) => (/[;&|`<>]|\$\(/.test(line) ? '' : (line.split(/\s/, 1)[0] ?? '')));
  const first = words[0];
  if (first === undefined || !words.every((word) => instead.has(word))) return undefined;
  return { word: first, hint: instead.get(first) ?? '' };
}

/** What a step without a name is called: the first line of its script that is a command. */
export function nameOf(script: string): string {
  const lines = script.split('\n').map(oneLine);
  const command =
    lines.find((line) => line !== '' && !line.startsWith('#')) ?? lines.find((line) => line !== '');
  return shortened(command ?? script, 80);
}

/** A name is free text, shown on one line. */
export const stepName = (text: string): string => shortened(oneLine(text), 200);

// eslint-disable-next-line no-control-regex -- control characters are what is replaced
const oneLine = (text: string): string => text.replace(/[\u0000-\u001f\u007f-\u009f\s]+/g, ' ').trim();

/** By characters, not by UTF-16 units: half an emoji is no text. */
function shortened(text: string, most: number): string {
  const characters = Array.from(text);
  return characters.length <= most ? text : `${characters.slice(0, most - 1).join('')}…`;
}
