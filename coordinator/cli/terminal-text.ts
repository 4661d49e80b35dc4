export {
  createTerminalText,
  printable,
  resetColor,
  type TerminalText,
} from '../../shared/text/terminal-text.js';
