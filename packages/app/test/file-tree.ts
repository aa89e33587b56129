// What a folder holds, as text per entry, so that two moments of it can be compared: kind, mode, owner, times, links,
// extended attributes, content.

import { createHash } from 'node:crypto';
import { lstat, readdir, readFile, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';

export interface DescribeOptions {
  /** Names at the top that are left out. */
  readonly without?: readonly string[];
  /** Modification times of folders too; default only of files. */
  readonly folderTimes?: boolean;
  /** Times by the second: what goes through the Engine's archive calls has no more. */
  readonly wholeSeconds?: boolean;
}

/** One line per entry, sorted by path; `.` is the folder itself. */
export async function describeTree(folder: string, options: DescribeOptions = {}): Promise<Record<string, string>> {
  const lines: Record<string, string> = {};
  const attributes = await attributesOf(folder);
  const waiting = ['.'];
  for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
    const full = join(folder, path);
    const facts = await lstat(full, { bigint: true });
    const modifiedAt = options.wholeSeconds ? facts.mtimeNs / 1_000_000_000n : facts.mtimeNs;
    const base = `${facts.mode.toString(8)} ${facts.uid}:${facts.gid}`;
    if (facts.isDirectory()) {
      lines[path] = options.folderTimes ? `${base} ${modifiedAt}` : base;
      for (const name of await readdir(full)) {
        if (path === '.' && options.without?.includes(name)) continue;
        waiting.push(path === '.' ? name : `${path}/${name}`);
      }
    } else if (facts.isSymbolicLink()) lines[path] = `${base} -> ${await readlink(full)}`;
    else {
      const hash = createHash('sha256')
        .update(await readFile(full))
        .digest('hex')
        .slice(0, 16);
      lines[path] =
        `${base} ${facts.size} ${modifiedAt} links ${facts.nlink} ${hash} ${JSON.stringify(attributes[path] ?? {})}`;
    }
  }
  return Object.fromEntries(Object.entries(lines).sort(([a], [b]) => (a < b ? -1 : 1)));
}

const listAttributes = `
import json, os, sys
found = {}
for folder, folders, files in os.walk(sys.argv[1]):
    for name in files:
        path = os.path.join(folder, name)
        if os.path.islink(path): continue
        names = [n for n in os.listxattr(path) if n.startswith("user.")]
        if names: found[os.path.relpath(path, sys.argv[1])] = {n: os.getxattr(path, n).hex() for n in sorted(names)}
print(json.dumps(found))
`;

/** User attributes of every file that has any, by path; empty where Python is not installed. */
async function attributesOf(folder: string): Promise<Record<string, unknown>> {
  const result = await execa('python3', ['-c', listAttributes, folder], { reject: false });
  return result.exitCode === 0 ? (JSON.parse(result.stdout) as Record<string, unknown>) : {};
}

/** Sets an extended attribute of a file; false where that is not possible here. */
export async function setAttribute(path: string, name: string, value: string): Promise<boolean> {
  const script = 'import os, sys; os.setxattr(sys.argv[1], sys.argv[2], sys.argv[3].encode())';
  return (await execa('python3', ['-c', script, path, name, value], { reject: false })).exitCode === 0;
}
