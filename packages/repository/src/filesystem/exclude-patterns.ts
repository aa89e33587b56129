// Exclude patterns with restic's meaning: shell globs per path component (`*`, `?`, `[a-z]`, `[^a-z]`, `\` escapes), `**`
// for any number of components; with a leading `/` from the root, otherwise anywhere; what lies below a match matches; `!`
// takes back an earlier match. Pure.

import { AppError } from '@varve/base';

const anyComponents = '(?:/[^/]+)*';

interface Rule {
  readonly expression: RegExp;
  readonly isNegated: boolean;
}

function invalid(pattern: string): AppError {
  return new AppError('USAGE_INVALID', `The exclude pattern "${pattern}" is not valid.`, {
    hint: 'A "[" needs its "]", and a "\\" a character after it. Write "\\[" for the character itself.',
  });
}

function escapeLiteral(character: string): string {
  return /[\\^$.*+?()[\]{}|/]/.test(character) ? `\\${character}` : character;
}

function escapeInClass(character: string): string {
  return character === '-' ? '\\-' : escapeLiteral(character);
}

/** A character class from `[` on; yields its expression and the position after it. */
function translateClass(characters: readonly string[], from: number, pattern: string): { text: string; end: number } {
  let at = from + 1;
  let text = '[';
  if (characters[at] === '^') {
    text += '^/';
    at++;
  }
  const one = (): string => {
    if (characters[at] === '\\') at++;
    const character = characters[at++];
    if (character === undefined) throw invalid(pattern);
    return escapeInClass(character);
  };
  for (let count = 0; characters[at] !== ']' || count === 0; count++) {
    if (characters[at] === ']' || characters[at] === '-') throw invalid(pattern);
    const low = one();
    if (characters[at] === '-') {
      at++;
      if (characters[at] === ']') throw invalid(pattern);
      text += `${low}-${one()}`;
    } else text += low;
  }
  return { text: `${text}]`, end: at + 1 };
}

function translateComponent(component: string, pattern: string): string {
  const characters = Array.from(component);
  let text = '/';
  for (let at = 0; at < characters.length;) {
    const character = characters[at] ?? '';
    if (character === '*') text += '[^/]*';
    else if (character === '?') text += '[^/]';
    else if (character === '[') {
      const translated = translateClass(characters, at, pattern);
      text += translated.text;
      at = translated.end;
      continue;
    } else if (character === '\\') {
      const next = characters[++at];
      if (next === undefined) throw invalid(pattern);
      text += escapeLiteral(next);
    } else text += escapeLiteral(character);
    at++;
  }
  return text;
}

function clean(pattern: string): string[] {
  const components: string[] = [];
  for (const component of pattern.split('/')) {
    if (component === '' || component === '.') continue;
    if (component === '..' && components.length > 0) components.pop();
    else if (component !== '..') components.push(component);
  }
  return components;
}

function compile(pattern: string): Rule {
  const isNegated = pattern.startsWith('!');
  const glob = isNegated ? pattern.slice(1) : pattern;
  const components = clean(glob);
  const parts = components.map((part) => (part === '**' ? anyComponents : translateComponent(part, pattern)));
  const start = glob.startsWith('/') ? '' : anyComponents;
  try {
    return { expression: new RegExp(`^${start}${parts.join('')}(?:/|$)`, 'su'), isNegated };
  } catch {
    // A class whose range is upside down.
    throw invalid(pattern);
  }
}

/** USAGE_INVALID for a pattern that cannot be understood. */
export class ExcludePatterns {
  readonly #rules: readonly Rule[];

  constructor(patterns: readonly string[]) {
    this.#rules = patterns.filter((pattern) => pattern.trim() !== '').map(compile);
  }

  /** True when no path can match. */
  get isEmpty(): boolean {
    return this.#rules.length === 0;
  }

  /** Whether an absolute path (`/a/b`) is matched. */
  matches(path: string): boolean {
    let matched = false;
    for (const { expression, isNegated } of this.#rules) {
      if (isNegated === matched && expression.test(path)) matched = !isNegated;
    }
    return matched;
  }
}
