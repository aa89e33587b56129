// Patterns of `find`: each matches paths as exclude patterns do, alone and without negation. Pure.

import { ExcludePatterns } from '../filesystem/exclude-patterns.ts';

/** USAGE_INVALID for a pattern that cannot be understood. */
export class FindPatterns {
  readonly #ignoreCase: boolean;
  readonly #patterns: readonly ExcludePatterns[];
  /** Of patterns from the root: by depth, what a folder on the way to a match looks like. Undefined: anywhere. */
  readonly #ways: readonly (readonly ExcludePatterns[])[] | undefined;

  constructor(patterns: readonly string[], options: { readonly ignoreCase?: boolean | undefined } = {}) {
    this.#ignoreCase = options.ignoreCase ?? false;
    const texts = patterns.map((pattern) => literalStart(this.#ignoreCase ? pattern.toLowerCase() : pattern));
    this.#patterns = texts.map((text) => new ExcludePatterns([text]));
    this.#ways = texts.every(isWay) ? texts.map(wayTo) : undefined;
  }

  /** Whether a path, or a folder that it is in, is matched. */
  matches(path: string): boolean {
    const text = this.#ignoreCase ? path.toLowerCase() : path;
    return this.#patterns.some((pattern) => pattern.matches(text));
  }

  /** False when nothing below a folder can match. */
  mayMatchBelow(path: string): boolean {
    if (!this.#ways) return true;
    const text = this.#ignoreCase ? path.toLowerCase() : path;
    const depth = text.split('/').length - 2;
    return this.#ways.some((way) => (way[depth] ?? way.at(-1))?.matches(text) === true);
  }
}

/** A pattern that begins with `!` means that character, not a negation. */
function literalStart(pattern: string): string {
  return pattern.startsWith('!') ? `\\${pattern}` : pattern;
}

/** Whether a pattern tells, component by component, where to go. */
function isWay(pattern: string): boolean {
  const components = pattern.split('/').slice(1);
  return pattern.startsWith('/') && components.every((component) => !['', '.', '..', '**'].includes(component));
}

function wayTo(pattern: string): ExcludePatterns[] {
  const components = pattern.split('/').slice(1);
  return components.map((_, depth) => new ExcludePatterns([`/${components.slice(0, depth + 1).join('/')}`]));
}
