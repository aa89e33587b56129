// Names of users and groups from /etc/passwd and /etc/group, read once per object.

import { readFileSync } from 'node:fs';

function readNames(file: string): Map<number, string> {
  const names = new Map<number, string>();
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch {
    return names;
  }
  for (const line of text.split('\n')) {
    const [name, , id] = line.split(':');
    if (name && id && /^\d+$/.test(id) && !names.has(Number(id))) names.set(Number(id), name);
  }
  return names;
}

/** Yields undefined for ids without a name. */
export class UserNames {
  readonly #users: Map<number, string>;
  readonly #groups: Map<number, string>;

  constructor(files: { readonly passwd?: string; readonly group?: string } = {}) {
    this.#users = readNames(files.passwd ?? '/etc/passwd');
    this.#groups = readNames(files.group ?? '/etc/group');
  }

  user(uid: number): string | undefined {
    return this.#users.get(uid);
  }

  group(gid: number): string | undefined {
    return this.#groups.get(gid);
  }
}
