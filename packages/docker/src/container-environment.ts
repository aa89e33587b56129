// The environment of a container: it often holds passwords, so it prints its names and never a value.

import { inspect } from 'node:util';
import { Secret } from '@varve/base';

/** Names and values of a container's environment. Values leave only through {@link get} and {@link secret}. */
export class ContainerEnvironment {
  readonly #values: ReadonlyMap<string, string>;

  /** @param entries `NAME=value`, as in `Config.Env`; a later entry wins. */
  constructor(entries: readonly string[]) {
    this.#values = new Map(
      entries.map((entry): [string, string] => {
        const cut = entry.indexOf('=');
        return cut === -1 ? [entry, ''] : [entry.slice(0, cut), entry.slice(cut + 1)];
      }),
    );
  }

  get names(): readonly string[] {
    return [...this.#values.keys()];
  }

  has(name: string): boolean {
    return this.#values.has(name);
  }

  /** The value; for names that hold no secret. */
  get(name: string): string | undefined {
    return this.#values.get(name);
  }

  /** The value as a secret, undefined when unset or empty. */
  secret(name: string): Secret | undefined {
    const value = this.#values.get(name);
    return value === undefined || value === '' ? undefined : new Secret(value);
  }

  toString(): string {
    return `ContainerEnvironment(${this.names.join(', ')})`;
  }

  toJSON(): readonly string[] {
    return this.names;
  }

  [inspect.custom](): string {
    return this.toString();
  }
}
