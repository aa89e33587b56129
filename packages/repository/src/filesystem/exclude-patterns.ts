// Patterns over paths with restic's meaning: a glob per path component, `**` for any number of components; with a leading
// `/` from the root, otherwise anywhere; what lies below a match matches; `!` takes back what earlier patterns matched.
// Paths are raw bytes. Pure.

import { AppError } from '@varve/base';
import { runes } from '../tree/utf8.ts';
import { compileGlob, toBinary, type NameMatcher } from './glob.ts';

/** null stands for `**`. */
type Part = NameMatcher | null;

interface Rule {
  readonly parts: readonly Part[];
  readonly isRooted: boolean;
  readonly isNegated: boolean;
}

function invalid(pattern: string): AppError {
  return new AppError('USAGE_INVALID', `The pattern "${pattern}" is not valid.`, {
    hint: 'A "[" needs its "]", and a "\\" a character after it. Write "\\[" for the character itself.',
  });
}

/** The components of a path as Go's filepath.Clean leaves them. */
function clean(path: string): string[] {
  const isRooted = path.startsWith('/');
  const components: string[] = [];
  for (const component of path.split('/')) {
    if (component === '' || component === '.') continue;
    const canGoUp = components.length > 0 && components.at(-1) !== '..';
    if (component !== '..') components.push(component);
    else if (canGoUp) components.pop();
    else if (!isRooted) components.push(component);
  }
  return components.length === 0 && !isRooted ? ['.'] : components;
}

function compile(pattern: string, ignoreCase: boolean): Rule {
  const isNegated = pattern.startsWith('!');
  const binary = toBinary(isNegated ? pattern.slice(1) : pattern);
  const glob = ignoreCase ? lowerCase(binary) : binary;
  const parts = clean(glob).map((component) => {
    if (component === '**') return null;
    const matcher = compileGlob(component);
    if (!matcher) throw invalid(pattern);
    return matcher;
  });
  return { parts, isRooted: glob.startsWith('/'), isNegated };
}

/** Whether the parts from `part` on match a beginning of the components from `at` on. */
function matchesAt(parts: readonly Part[], part: number, components: readonly string[], at: number): boolean {
  for (let i = part; i < parts.length; i++) {
    const matcher = parts[i];
    if (matcher === null) {
      for (let skipped = at; skipped <= components.length; skipped++) {
        if (matchesAt(parts, i + 1, components, skipped)) return true;
      }
      return false;
    }
    const component = components[at++];
    if (component === undefined || !matcher?.(component)) return false;
  }
  return true;
}

function ruleMatches({ parts, isRooted }: Rule, components: readonly string[]): boolean {
  if (isRooted) return matchesAt(parts, 0, components, 0);
  for (let at = components.length - 1; at >= 0; at--) if (matchesAt(parts, 0, components, at)) return true;
  return false;
}

/** As Go's strings.ToLower: character by character, and bytes that are none become U+FFFD. */
function lowerCase(binary: string): string {
  if (!/[\x80-\xff]/.test(binary)) return binary.toLowerCase();
  let lower = '';
  for (const { rune } of runes(Buffer.from(binary, 'latin1'))) {
    const text = rune < 0 ? '\ufffd' : String.fromCodePoint(rune).toLowerCase();
    // The one character whose small form JavaScript makes two of: the capital I with a dot.
    lower += rune === 0x130 ? 'i' : text;
  }
  return toBinary(lower);
}

/** The components of an absolute path as {@link ExcludePatterns.matchesComponents} takes them. */
export function binaryComponents(path: string | Uint8Array): string[] {
  return toBinary(path)
    .split('/')
    .filter((component) => component !== '');
}

/** USAGE_INVALID for a pattern that cannot be understood. */
export class ExcludePatterns {
  readonly #rules: readonly Rule[];
  readonly #ignoreCase: boolean;

  constructor(patterns: readonly string[], options: { readonly ignoreCase?: boolean | undefined } = {}) {
    this.#ignoreCase = options.ignoreCase ?? false;
    this.#rules = patterns.filter((pattern) => pattern !== '').map((pattern) => compile(pattern, this.#ignoreCase));
  }

  /** True when no path can match. */
  get isEmpty(): boolean {
    return this.#rules.length === 0;
  }

  /** Whether an absolute path (`/a/b`), as text or raw bytes, is matched. */
  matches(path: string | Uint8Array): boolean {
    return this.matchesComponents(binaryComponents(path));
  }

  /** As {@link ExcludePatterns.matches} for the names on the way, as binary strings. */
  matchesComponents(components: readonly string[]): boolean {
    const names = this.#ignoreCase ? components.map(lowerCase) : components;
    let matched = false;
    for (const rule of this.#rules) {
      if (rule.isNegated === matched && ruleMatches(rule, names)) matched = !rule.isNegated;
    }
    return matched;
  }
}
