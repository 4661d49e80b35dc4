/**
 * Bytes that a step wrote, made safe for a terminal or a mail: UTF-8 text with line ends, tabs and (where wanted) colours, and
 * nothing that moves the cursor, sets titles, answers queries or hides what was printed. It is a machine over
 * characters, so it does not matter where the chunks are cut.
 *
 *            ESC              [                 m (only digits, ; and :)
 *   ground ───────► escape ───────► csi ──────────────────────────────► ground, colour kept
 *     ▲                │              └── any other final byte ───────► ground, dropped
 *     │                ├── ] P X ^ _ ──► string ── BEL, ST, line end ─► ground, dropped
 *     └────────────────┴── any other (after intermediates), dropped
 */
export interface TerminalText {
  push(bytes: Uint8Array): string;
  /** What is left when nothing more comes; leaves the terminal in its own colours. */
  end(): string;
}

type State =
  | { readonly kind: 'ground' }
  | { readonly kind: 'escape' }
  | { readonly kind: 'csi'; readonly parameters: string }
  | { readonly kind: 'string'; readonly length: number; readonly escaped: boolean };

const ground: State = { kind: 'ground' };
/** Longer "colours" and strings are no such thing: what follows is shown again. */
const maxParameters = 64;
const maxString = 4096;

const ESC = '\u001b';
export const resetColor = `${ESC}[0m`;

export function createTerminalText(options: { readonly color: boolean }): TerminalText {
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  let state = ground;
  let pendingReturn = false;
  let colored = false;

  /** What one character adds to the output; changes the state. */
  const take = (char: string): string => {
    switch (state.kind) {
      case 'ground':
        return takeGround(char);
      case 'escape':
        if (char === '[') state = { kind: 'csi', parameters: '' };
        else if (']PX^_'.includes(char)) state = { kind: 'string', length: 0, escaped: false };
        else if (char === ESC || (char >= ' ' && char <= '/')) return '';
        else {
          state = ground;
          return isLineEnd(char) ? takeGround(char) : '';
        }
        return '';
      case 'csi':
        return takeCsi(char, state.parameters);
      case 'string': {
        if (char === '\u0007' || char === '\u009c' || char === '\u0018' || char === '\u001a') state = ground;
        else if (isLineEnd(char)) {
          state = ground;
          return takeGround(char);
        } else if (state.escaped) {
          // ESC \ ends it; any other escape begins a sequence of its own, as terminals have it.
          state = char === '\\' ? ground : { kind: 'escape' };
          return char === '\\' ? '' : take(char);
        } else if (state.length >= maxString) state = ground;
        else state = { kind: 'string', length: state.length + 1, escaped: char === ESC };
        return '';
      }
    }
  };

  const takeGround = (char: string): string => {
    if (char === '\r') {
      pendingReturn = true;
      return '';
    }
    // A carriage return alone would let a later text overwrite an earlier one: it becomes a line end.
    const before = pendingReturn && char !== '\n' ? '\n' : '';
    pendingReturn = false;
    return before + printed(char);
  };

  const printed = (char: string): string => {
    if (char === '\n' || char === '\t') return char;
    const code = char.codePointAt(0) ?? 0;
    if (char === ESC) state = { kind: 'escape' };
    else if (code === 0x9b) state = { kind: 'csi', parameters: '' };
    else if (code === 0x90 || code === 0x98 || code === 0x9d || code === 0x9e || code === 0x9f) {
      state = { kind: 'string', length: 0, escaped: false };
    } else if (code >= 0x20 && code !== 0x7f && !(code >= 0x80 && code < 0xa0)) return char;
    return '';
  };

  const takeCsi = (char: string, parameters: string): string => {
    if (isLineEnd(char)) {
      state = ground;
      return takeGround(char);
    }
    if (char === ESC) {
      state = { kind: 'escape' };
      return '';
    }
    if (char < '@' && parameters.length < maxParameters) {
      state = { kind: 'csi', parameters: parameters + char };
      return '';
    }
    state = ground;
    if (char !== 'm' || !options.color || !/^[0-9;:]*$/.test(parameters)) return '';
    colored = !/^(?:0*;)*0*$/.test(parameters);
    return `${ESC}[${parameters}m`;
  };

  const takeAll = (text: string): string => {
    let shown = '';
    for (const char of text) shown += take(char);
    return shown;
  };

  return {
    push: (bytes) => takeAll(decoder.decode(bytes, { stream: true })),
    end: () => {
      const rest = takeAll(decoder.decode()) + (colored ? resetColor : '');
      state = ground;
      pendingReturn = false;
      colored = false;
      return rest;
    },
  };
}

const isLineEnd = (char: string): boolean => char === '\n' || char === '\r';

/**
 * Characters that show text in another order than it has, or that nobody sees: with them a name can look like another
 * one. Marks that only say left-to-right or right-to-left are among them, for names need none.
 */
const deceptive = /[\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g;

/**
 * One line of text from elsewhere (a title, a name, a message) as a terminal, a mail or a page may show it: without any
 * control, and in the order in which it is written. What is no Unicode (half a surrogate pair) becomes U+FFFD.
 */
export function printable(text: string): string {
  const terminal = createTerminalText({ color: false });
  const shown = terminal.push(new TextEncoder().encode(text)) + terminal.end();
  return shown.replaceAll(/[\n\t\u2028\u2029]+/g, ' ').replaceAll(deceptive, '');
}
