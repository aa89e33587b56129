// Splits a command line into words as a shell does, with quotes and backslashes, and nothing else: no variables, no globs.

import { AppError } from '@varve/base';

/** `a 'b c' d\ e` → `['a', 'b c', 'd e']`. USAGE_INVALID when it is empty or a quote is not closed. */
export function splitWords(line: string): string[] {
  const words: string[] = [];
  let word: string | undefined;
  let quote: string | undefined;
  for (let index = 0; index < line.length; index++) {
    const character = line[index] ?? '';
    if (character === '\\' && quote !== "'") {
      word = (word ?? '') + (line[++index] ?? '');
    } else if (quote !== undefined) {
      if (character === quote) quote = undefined;
      else word = (word ?? '') + character;
    } else if (character === "'" || character === '"') {
      quote = character;
      word ??= '';
    } else if (/\s/.test(character)) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else {
      word = (word ?? '') + character;
    }
  }
  if (quote !== undefined) throw new AppError('USAGE_INVALID', `A quote is not closed in: ${line}`);
  if (word !== undefined) words.push(word);
  if (words.length === 0) throw new AppError('USAGE_INVALID', 'The command is empty.');
  return words;
}
