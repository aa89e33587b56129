// What of a snapshot is restored: include and exclude patterns, with and without regard to capital letters. Pure.

import { ExcludePatterns } from '../filesystem/exclude-patterns.ts';

export interface SelectionOptions {
  /** Only what one of these patterns matches. */
  readonly include?: readonly string[] | undefined;
  /** The same without regard to capital and small letters. */
  readonly includeIgnoringCase?: readonly string[] | undefined;
  /** Not what one of these matches, be it included or not. */
  readonly exclude?: readonly string[] | undefined;
  readonly excludeIgnoringCase?: readonly string[] | undefined;
}

/** USAGE_INVALID for patterns that cannot be understood. Paths are absolute. */
export class RestoreSelection {
  /** Whether only what an include pattern matches is restored. */
  readonly hasIncludes: boolean;
  readonly #include: Patterns;
  readonly #exclude: Patterns;

  constructor(options: SelectionOptions) {
    this.#include = new Patterns(options.include, options.includeIgnoringCase);
    this.#exclude = new Patterns(options.exclude, options.excludeIgnoringCase);
    this.hasIncludes = !this.#include.isEmpty;
  }

  /** Whether an include pattern matches a path, or there are none. */
  includes(path: string): boolean {
    return !this.hasIncludes || this.#include.matches(path);
  }

  excludes(path: string): boolean {
    return this.#exclude.matches(path);
  }
}

class Patterns {
  readonly #exact: ExcludePatterns;
  readonly #lower: ExcludePatterns;

  constructor(exact: readonly string[] = [], ignoringCase: readonly string[] = []) {
    this.#exact = new ExcludePatterns(exact);
    this.#lower = new ExcludePatterns(ignoringCase.map((pattern) => pattern.toLowerCase()));
  }

  get isEmpty(): boolean {
    return this.#exact.isEmpty && this.#lower.isEmpty;
  }

  matches(path: string): boolean {
    return this.#exact.matches(path) || (!this.#lower.isEmpty && this.#lower.matches(path.toLowerCase()));
  }
}
