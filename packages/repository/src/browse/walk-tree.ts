// Walks the folders of a snapshot depth first, in the order of names, with the trees that come next loaded ahead. What it
// holds is bounded: the nodes of the folders on the way, a few loaded trees, and the windows of its reader.

import { throwIfAborted } from '@varve/base';
import { isDamage, type Repository } from '../repository.ts';
import { TreeReader } from '../restore/tree-reader.ts';
import { decodeTree } from '../tree/decode-tree.ts';
import { goText, printableName } from '../tree/go-quote.ts';
import type { TreeNode } from '../tree/tree-node.ts';
import type { BlobMarks } from './blob-marks.ts';

/** Folders of one level whose trees are loaded before they are needed. */
const loadedAhead = 8;

export interface WalkedNode {
  readonly kind: 'node';
  /** Absolute, printable: names that are not UTF-8 are quoted. */
  readonly path: string;
  /** Absolute, as restic's JSON has it: bytes that are not UTF-8 became U+FFFD. */
  readonly jsonPath: string;
  readonly node: TreeNode;
  /** Id of the tree that the node is in. */
  readonly treeId: string;
}

/** Everything below a folder that was entered has been yielded. */
export interface LeftFolder {
  readonly kind: 'leave';
  readonly path: string;
}

export type WalkStep = WalkedNode | LeftFolder;

/** A folder that may be entered. */
export interface WalkedFolder {
  readonly path: string;
  readonly jsonPath: string;
  readonly node: TreeNode;
  readonly subtree: string;
}

export interface WalkOptions {
  /** Id of the tree to begin with; its path is `/`. */
  readonly treeId: string;
  /**
   * Whether to go into a folder: asked ahead of time, to load its tree, and decided after the folder itself was yielded. The
   * answer may have become no meanwhile. Every folder when absent.
   */
  readonly enters?: ((folder: WalkedFolder) => boolean) | undefined;
  /** Trees that are passed over; those that are entered are added. */
  readonly seen?: BlobMarks | undefined;
  /** Told of a folder whose tree cannot be read, which is then passed over. When absent, the walk throws. */
  readonly onDamaged?:
    | ((damage: { readonly path: string; readonly treeId: string; error: unknown }) => void)
    | undefined;
  /** Shared by walks that follow each other, so that windows of packs are read once. */
  readonly trees?: TreeReader | undefined;
  readonly signal?: AbortSignal | undefined;
}

interface Level {
  readonly path: string;
  readonly jsonPath: string;
  readonly treeId: string;
  readonly nodes: readonly TreeNode[];
  /** Of the next node. */
  position: number;
  /** Up to which node the folders' trees are being loaded. */
  aheadTo: number;
  readonly ahead: Map<string, Promise<Uint8Array>>;
}

/** Every node below a tree. The index has to be loaded. REPOSITORY_DAMAGED unless `onDamaged` takes it. */
export async function* walkTree(repository: Repository, options: WalkOptions): AsyncGenerator<WalkStep> {
  const walk = new Walk(repository, options);
  const stack: Level[] = [];
  const root = walk.isSeen(options.treeId)
    ? undefined
    : await walk.open({ path: '', jsonPath: '', treeId: options.treeId });
  if (root) stack.push(root);
  for (let level = stack.at(-1); level; level = stack.at(-1)) {
    const node = level.nodes[level.position++];
    if (!node) {
      stack.pop();
      if (stack.length > 0) yield { kind: 'leave', path: level.path };
      continue;
    }
    const paths = childPaths(level, node);
    walk.loadAhead(level);
    yield { kind: 'node', ...paths, node, treeId: level.treeId };
    if (node.type !== 'dir' || node.subtree === undefined) continue;
    if (!walk.enters({ ...paths, node, subtree: node.subtree })) {
      level.ahead.delete(node.subtree);
      continue;
    }
    throwIfAborted(options.signal);
    const below = await walk.open({ ...paths, treeId: node.subtree }, level);
    if (below) stack.push(below);
    else yield { kind: 'leave', path: paths.path };
  }
}

function childPaths(level: Level, node: TreeNode): { path: string; jsonPath: string } {
  const name = printableName(node.name);
  const path = `${level.path}/${name}`;
  const jsonName = goText(node.name);
  const isSame = level.path === level.jsonPath && name === jsonName;
  return { path, jsonPath: isSame ? path : `${level.jsonPath}/${jsonName}` };
}

class Walk {
  readonly #options: WalkOptions;
  readonly #trees: TreeReader;

  constructor(repository: Repository, options: WalkOptions) {
    this.#options = options;
    this.#trees = options.trees ?? new TreeReader(repository, options.signal);
  }

  isSeen(treeId: string): boolean {
    return this.#options.seen?.has('tree', treeId) ?? false;
  }

  enters(folder: WalkedFolder): boolean {
    return !this.isSeen(folder.subtree) && (this.#options.enters?.(folder) ?? true);
  }

  async open(
    folder: { readonly path: string; readonly jsonPath: string; readonly treeId: string },
    parent?: Level,
  ): Promise<Level | undefined> {
    const { treeId } = folder;
    try {
      this.#options.seen?.mark('tree', treeId);
      const loading = parent?.ahead.get(treeId) ?? this.#trees.load(treeId);
      parent?.ahead.delete(treeId);
      return { ...folder, nodes: decodeTree(await loading), position: 0, aheadTo: 0, ahead: new Map() };
    } catch (error) {
      if (!isDamage(error) || !this.#options.onDamaged) throw error;
      this.#options.onDamaged({ path: folder.path || '/', treeId, error });
      return undefined;
    }
  }

  loadAhead(level: Level): void {
    level.aheadTo = Math.max(level.aheadTo, level.position - 1);
    for (; level.ahead.size < loadedAhead && level.aheadTo < level.nodes.length; level.aheadTo++) {
      const node = level.nodes[level.aheadTo];
      if (node?.type !== 'dir' || node.subtree === undefined || level.ahead.has(node.subtree)) continue;
      if (!this.enters({ ...childPaths(level, node), node, subtree: node.subtree })) continue;
      const loading = this.#trees.load(node.subtree);
      // Thrown where it is awaited; the reader may stop before.
      loading.catch(() => {});
      level.ahead.set(node.subtree, loading);
    }
  }
}
