// What is in the snapshots of a repository and in a folder, in lines that can be compared: trees are walked and contents hashed,
// without a restore to the disk.

import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Repository, Snapshot } from '@varve/repository';
import { decodeTree } from '../src/tree/decode-tree.ts';

/** A snapshot and what is in it: a line with path, kind and hash for each file and folder. */
export interface Found {
  readonly snapshot: Snapshot;
  readonly lines: readonly string[];
}

/** Every snapshot with its content, the oldest first; read anew. */
export async function find(repository: Repository): Promise<Found[]> {
  const snapshots = await repository.listSnapshots();
  await repository.loadIndex();
  const hashes = new Map<string, string>();
  const found: Found[] = [];
  for (const snapshot of snapshots) {
    found.push({ snapshot, lines: await linesOfTree(repository, { treeId: snapshot.tree, hashes }) });
  }
  return found;
}

async function linesOfTree(
  repository: Repository,
  { treeId, hashes }: { readonly treeId: string; readonly hashes: Map<string, string> },
): Promise<string[]> {
  const lines: string[] = [];
  const folders = [{ tree: treeId, path: '' }];
  for (let folder = folders.pop(); folder; folder = folders.pop()) {
    for (const { name, type, subtree, content } of decodeTree(await repository.loadBlob('tree', folder.tree))) {
      const path = `${folder.path}${name.toString()}`;
      if (subtree !== undefined) folders.push({ tree: subtree, path: `${path}/` });
      const key = (content ?? []).join();
      if (content && !hashes.has(key)) {
        const hash = createHash('sha256');
        for (const id of content) hash.update(await repository.loadBlob('data', id));
        hashes.set(key, hash.digest('hex'));
      }
      lines.push(`${path} ${type} ${content ? hashes.get(key) : ''}`);
    }
  }
  return lines.sort();
}

/** The same lines of what is on the disk. */
export function linesOfFolder(home: string): string[] {
  const entries = readdirSync(join(home, 'source'), { recursive: true, encoding: 'utf8' });
  const lines = entries.map((name) => {
    const path = join(home, 'source', name);
    if (statSync(path).isDirectory()) return `source/${name} dir `;
    return `source/${name} file ${createHash('sha256').update(readFileSync(path)).digest('hex')}`;
  });
  return ['source dir ', ...lines].sort();
}
