// Removes anything, folders with all below them, by raw byte paths and without following links or recursing.

import { lstatSync, readdirSync, rmdirSync, unlinkSync } from 'node:fs';
import { joinPath } from './byte-path.ts';

/** Yields how many objects were removed. Throws the system's error. */
export function removePath(path: Buffer): number {
  if (!lstatSync(path).isDirectory()) {
    unlinkSync(path);
    return 1;
  }
  let removed = 0;
  const folders = [path];
  const emptied: Buffer[] = [];
  for (let folder = folders.pop(); folder; folder = folders.pop()) {
    emptied.push(folder);
    for (const entry of readdirSync(folder, { withFileTypes: true, encoding: 'buffer' })) {
      const child = joinPath(folder, entry.name);
      if (entry.isDirectory()) folders.push(child);
      else {
        unlinkSync(child);
        removed++;
      }
    }
  }
  // A folder was listed before those inside it.
  for (const folder of emptied.reverse()) {
    rmdirSync(folder);
    removed++;
  }
  return removed;
}
