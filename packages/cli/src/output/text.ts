// Text that is safe and readable on a terminal.

import { styleText } from 'node:util';
import type { TextOutput } from '../io.ts';

const control = /[\p{Cc}\p{Zl}\p{Zp}\u202a-\u202e\u2066-\u2069]/gu;

/** Makes control characters visible, so that a file name cannot steer the terminal. */
export function printable(text: string): string {
  return text.replaceAll(control, (character) => {
    const code = character.charCodeAt(0);
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16).padStart(4, '0')}`;
  });
}

type Style = Parameters<typeof styleText>[0];

/** Text with a colour or weight where the output shows them. */
export function styled(output: TextOutput, style: Style, text: string): string {
  return output.colors ? styleText(style, text, { validateStream: false }) : text;
}

/** `1,234,567`, without the 10 ms that the first number of Intl takes. */
export function grouped(count: number): string {
  return String(count).replaceAll(/\B(?=(?:\d{3})+$)/g, ',');
}

/** `1 file`, `2 files`. */
export function counted(count: number, noun: string, plural: string = `${noun}s`): string {
  return `${grouped(count)} ${count === 1 ? noun : plural}`;
}

/** The first lines of a list, and how many more there are. */
export function firstLines(lines: readonly string[], most: number): string[] {
  const rest = lines.length - most;
  return rest > 0 ? [...lines.slice(0, most), `… and ${grouped(rest)} more`] : [...lines];
}
