// Finds files by patterns, or the files and folders that use a blob, a tree or a pack, in many snapshots. A folder that
// several snapshots share at the same path is read once; what was found in it is kept and told again for each.

import type { PackedBlob } from '../pack/blob-type.ts';
import { parseHeader } from '../pack/pack-header.ts';
import { readPackHeader } from '../pack/pack-reader.ts';
import type { Repository } from '../repository.ts';
import { TreeReader } from '../restore/tree-reader.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import { parseTime } from '../tree/go-time.ts';
import type { TreeNode } from '../tree/tree-node.ts';
import type { FindPatterns } from './find-patterns.ts';
import { findFileId } from './read-object.ts';
import { walkTree, type WalkedNode } from './walk-tree.ts';

/** Folders whose result is kept, some hundred bytes each. Beyond, folders are read again. */
const maxKeptFolders = 500_000;
/** Results that are kept, a kilobyte each. */
const maxKeptHits = 200_000;

/** A node that matches a pattern. Its content is left out. */
export interface FoundNode {
  readonly kind: 'node';
  readonly path: string;
  readonly jsonPath: string;
  readonly node: TreeNode;
}

/** A place that refers to a blob or tree. */
export interface FoundObject {
  readonly kind: 'object';
  readonly objectType: 'blob' | 'tree';
  readonly id: string;
  readonly path: string;
  readonly jsonPath: string;
  /** Of a blob: the tree that its file is in. */
  readonly parentTree?: string | undefined;
}

export type FindHit = (FoundNode | FoundObject) & { readonly snapshot: Snapshot };

export interface FindNodesOptions {
  /** Searched in this order. */
  readonly snapshots: readonly Snapshot[];
  readonly patterns: FindPatterns;
  /** Limits of the modification time, in nanoseconds since 1970, inclusive. */
  readonly oldestNs?: bigint | undefined;
  readonly newestNs?: bigint | undefined;
  /** Told of folders that cannot be read; the search goes on. When absent, it throws. */
  readonly onDamaged?: OnDamaged | undefined;
  readonly signal?: AbortSignal | undefined;
}

export type OnDamaged = (damage: {
  readonly snapshot: Snapshot;
  readonly path: string;
  readonly treeId: string;
}) => void;

export interface FindObjectsOptions {
  readonly snapshots: readonly Snapshot[];
  /** Ids of data blobs, or the beginnings of ids. */
  readonly blobs?: readonly string[] | undefined;
  /** Ids of trees, or the beginnings of ids. */
  readonly trees?: readonly string[] | undefined;
  readonly onDamaged?: OnDamaged | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Every node that matches, snapshot by snapshot in the order of paths. The index has to be loaded. */
export function findNodes(repository: Repository, options: FindNodesOptions): AsyncGenerator<FindHit> {
  const { patterns, oldestNs, newestNs } = options;
  const isInTime = ({ mtime }: TreeNode): boolean => {
    if (oldestNs === undefined && newestNs === undefined) return true;
    const timeNs = parseTime(mtime) ?? 0n;
    return (oldestNs === undefined || timeNs >= oldestNs) && (newestNs === undefined || timeNs <= newestNs);
  };
  return search(repository, {
    ...options,
    look: ({ path, jsonPath, node }) =>
      patterns.matches(path) && isInTime(node)
        ? [{ kind: 'node', path, jsonPath, node: { ...node, content: null } }]
        : [],
    mayHoldBelow: (path) => patterns.mayMatchBelow(path),
  });
}

/** Every place that refers to one of the blobs or trees. The index has to be loaded. */
export function findObjects(repository: Repository, options: FindObjectsOptions): AsyncGenerator<FindHit> {
  const isBlob = idMatcher(options.blobs ?? []);
  const isTree = idMatcher(options.trees ?? []);
  return search(repository, {
    ...options,
    atRoot: (treeId) =>
      isTree(treeId) ? [{ kind: 'object', objectType: 'tree', id: treeId, path: '/', jsonPath: '/' }] : [],
    look: ({ path, jsonPath, node, treeId }) => {
      const tree = node.type === 'dir' ? node.subtree : undefined;
      if (tree !== undefined && isTree(tree)) return [{ kind: 'object', objectType: 'tree', id: tree, path, jsonPath }];
      const found = (node.content ?? []).filter(isBlob);
      return found.map((id) => ({ kind: 'object', objectType: 'blob', id, path, jsonPath, parentTree: treeId }));
    },
  });
}

/** The blobs and trees that are in packs. `packs` are ids, or beginnings. PATH_NOT_FOUND names one that is not there. */
export async function objectsOfPacks(
  repository: Repository,
  packs: readonly string[],
  options: { readonly signal?: AbortSignal | undefined } = {},
): Promise<{ blobs: string[]; trees: string[] }> {
  const found = { blobs: [] as string[], trees: [] as string[] };
  const missing = new Set(packs);
  const add = (blobs: readonly PackedBlob[]): void => {
    for (const { type, id } of blobs) (type === 'data' ? found.blobs : found.trees).push(id);
  };
  for (const { packId, blobs } of repository.index.packs()) {
    const names = packs.filter((name) => packId.startsWith(name));
    if (names.length > 0) add(blobs);
    for (const name of names) missing.delete(name);
  }
  // What the index does not know may be in the storage.
  for (const name of missing) {
    const packId = await findFileId(repository, 'pack', name, options);
    const { storage, cipher } = repository;
    const { sizeBytes } = await storage.stat({ type: 'pack', name: packId }, options);
    add(parseHeader(await readPackHeader(storage, { cipher, packId, sizeBytes, ...options })));
  }
  return found;
}

function idMatcher(ids: readonly string[]): (id: string) => boolean {
  const whole = new Set(ids.filter((id) => id.length === 64));
  const beginnings = ids.filter((id) => id.length < 64);
  return (id) => whole.has(id) || beginnings.some((beginning) => id.startsWith(beginning));
}

type Found = FoundNode | FoundObject;

/** What a folder holds: hits, and results of folders in it that hold some, in the order of paths. */
interface FolderResult {
  readonly items: (Found | FolderResult)[];
}

interface SearchOptions {
  readonly snapshots: readonly Snapshot[];
  readonly atRoot?: (treeId: string) => Found[];
  readonly look: (step: WalkedNode) => Found[];
  readonly mayHoldBelow?: (path: string) => boolean;
  readonly onDamaged?: OnDamaged | undefined;
  readonly signal?: AbortSignal | undefined;
}

async function* search(repository: Repository, options: SearchOptions): AsyncGenerator<FindHit> {
  const { signal, onDamaged, look, mayHoldBelow, atRoot } = options;
  const kept = new KeptResults();
  const trees = new TreeReader(repository, signal);
  for (const snapshot of options.snapshots) {
    const root = folderKey(snapshot.tree, '');
    for (const found of atRoot?.(snapshot.tree) ?? []) yield { ...found, snapshot };
    const known = kept.get(root);
    if (known) {
      for (const found of flattened(known)) yield { ...found, snapshot };
      continue;
    }
    const open: { key: string; result: FolderResult }[] = [{ key: root, result: { items: [] } }];
    for await (const step of walkTree(repository, {
      treeId: snapshot.tree,
      trees,
      signal,
      enters: ({ path, subtree }) => (mayHoldBelow?.(path) ?? true) && !kept.get(folderKey(subtree, path)),
      onDamaged: onDamaged && ((damage) => onDamaged({ ...damage, snapshot })),
    })) {
      const folder = open.at(-1);
      if (step.kind === 'leave') {
        open.pop();
        if (!folder) continue;
        kept.keep(folder.key, folder.result);
        if (folder.result.items.length > 0) open.at(-1)?.result.items.push(folder.result);
        continue;
      }
      for (const found of look(step)) {
        kept.count();
        folder?.result.items.push(found);
        yield { ...found, snapshot };
      }
      const { node, path } = step;
      if (node.type !== 'dir' || node.subtree === undefined || mayHoldBelow?.(path) === false) continue;
      const key = folderKey(node.subtree, path);
      const result = kept.get(key);
      if (!result) open.push({ key, result: { items: [] } });
      else if (result.items.length > 0) {
        folder?.result.items.push(result);
        for (const found of flattened(result)) yield { ...found, snapshot };
      }
    }
    const [whole] = open;
    if (whole) kept.keep(whole.key, whole.result);
  }
}

function folderKey(treeId: string, path: string): string {
  return `${treeId}${path}`;
}

/** The hits of a result in order. */
function* flattened(result: FolderResult): Generator<Found> {
  const stack: { items: readonly (Found | FolderResult)[]; position: number }[] = [{ ...result, position: 0 }];
  for (let top = stack.at(-1); top; top = stack.at(-1)) {
    const item = top.items[top.position++];
    if (!item) stack.pop();
    else if ('items' in item) stack.push({ ...item, position: 0 });
    else yield item;
  }
}

/** Results of folders by tree and path, as many as memory should hold. */
class KeptResults {
  readonly #results = new Map<string, FolderResult>();
  #hits = 0;

  count(): void {
    this.#hits++;
  }

  get(key: string): FolderResult | undefined {
    return this.#results.get(key);
  }

  keep(key: string, result: FolderResult): void {
    if (this.#results.size >= maxKeptFolders || (result.items.length > 0 && this.#hits > maxKeptHits)) return;
    this.#results.set(key, result);
  }
}
