// A command as people type it, split into the arguments that are run: quotes and backslashes as in a shell, nothing else.

/** Splits a command; `undefined` when a quote is left open. */
export function splitCommand(text: string): string[] | undefined {
  const parts: string[] = [];
  let current = '';
  let started = false;
  let quote = '';
  for (let index = 0; index < text.length; index++) {
    const character = text.charAt(index);
    if (character === '\\' && quote !== "'") {
      current += text.charAt(++index);
      started = true;
    } else if (quote !== '') {
      if (character === quote) quote = '';
      else current += character;
    } else if (character === '"' || character === "'") {
      quote = character;
      started = true;
    } else if (/\s/.test(character)) {
      if (started) parts.push(current);
      current = '';
      started = false;
    } else {
      current += character;
      started = true;
    }
  }
  if (started) parts.push(current);
  return quote === '' ? parts : undefined;
}
