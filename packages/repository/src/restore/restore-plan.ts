// The first pass of a restore: walks the snapshot and the target side by side, makes the folders, clears what is in the way,
// and notes what has to be written, in parts of bounded size. Nothing is written through a symbolic link; every name of a
// folder is checked before anything of it.

import { lstatSync, mkdirSync, readdirSync, unlinkSync, type BigIntStats } from 'node:fs';
import { AppError } from '@varve/base';
import { joinPath } from '../filesystem/byte-path.ts';
import { removePath } from '../filesystem/remove-path.ts';
import { isSystemError } from '../filesystem/system-error.ts';
import type { Repository } from '../repository.ts';
import { printableName } from '../tree/go-quote.ts';
import { parseTime } from '../tree/go-time.ts';
import { assertSafeName } from '../tree/node-name.ts';
import type { TreeNode } from '../tree/tree-node.ts';
import type { Problem } from '../archive/worker-protocol.ts';
import { throwIfFull } from './full-disk.ts';
import type { RestoreSelection } from './restore-selection.ts';
import { TreeReader } from './tree-reader.ts';

/** Which existing files are overwritten. `always` compares contents, `if-changed` trusts equal size and time. */
export type Overwrite = 'always' | 'if-changed' | 'if-newer' | 'never';

export interface PlannedItem {
  readonly path: Buffer;
  readonly shown: string;
  readonly node: TreeNode;
  /** Nothing was there. */
  readonly isNew: boolean;
  /** A file that is there and may hold parts of the content. */
  readonly compares: boolean;
  /** That file has other names: it is replaced and not written to, because writing would change them too. */
  readonly isShared: boolean;
  /** The folder that everything is restored into. */
  readonly isTarget?: true | undefined;
}

/** A part of the plan. */
export interface RestorePlan {
  /** Files with content to write, in the order of the snapshot; the first only of each group of hard links. */
  readonly files: PlannedItem[];
  /** Further hard links and the item that they link to, of this part or an earlier one. */
  readonly links: { readonly item: PlannedItem; readonly first: PlannedItem }[];
  /** Symbolic links, devices, FIFOs. */
  readonly specials: PlannedItem[];
  /** Folders, parents before children. */
  readonly folders: PlannedItem[];
  /** What is not in the snapshot, to be removed when all is written. */
  readonly removals: Removal[];
  readonly problems: Problem[];
}

/** An object in a target folder, with everything below it. */
export interface Removal {
  readonly path: Buffer;
  readonly shown: string;
}

export interface PlanOptions {
  readonly treeId: string;
  /** Path of `treeId` in the snapshot, for patterns. */
  readonly path: string;
  readonly target: Buffer;
  readonly selection: RestoreSelection;
  readonly overwrite: Overwrite;
  readonly deleteOthers: boolean;
  readonly dryRun: boolean;
  /** Told of what `overwrite` leaves as it is. */
  readonly onSkipped: (item: { readonly shown: string; readonly node: TreeNode }) => void;
  /** Told of what had to be removed from a place where something else goes. */
  readonly onRemoved: (path: Buffer) => void;
  readonly signal?: AbortSignal | undefined;
}

interface Folder {
  readonly path: Buffer;
  readonly shown: string;
  readonly treeId: string;
  readonly node: TreeNode | undefined;
  readonly parent: Folder | undefined;
  /** Under a folder that is included, everything is. */
  readonly isIncluded: boolean;
  state: 'unknown' | 'existing' | 'made' | 'blocked';
}

/** A part is complete when it has this many entries; four chunks of a file count as one more. */
const entriesPerPart = 8_000;

export class RestorePlanner {
  readonly #trees: TreeReader;
  readonly #options: PlanOptions;
  readonly #selection: RestoreSelection;
  readonly #firstLinks = new Map<string, PlannedItem>();
  #plan = emptyPlan();
  #entries = 0;
  /** Folders that are restored in part only, whose other content is looked at when it is known what was. */
  readonly #partial: { readonly folder: Folder; readonly names: ReadonlySet<string> }[] = [];

  constructor(repository: Repository, options: PlanOptions) {
    this.#trees = new TreeReader(repository, options.signal);
    this.#options = options;
    this.#selection = options.selection;
  }

  /**
   * The parts of the plan. RESTORE_PATH_UNSAFE for names that lead out of their folder, REPOSITORY_DAMAGED for trees that
   * cannot be read.
   */
  async *make(rootNode: TreeNode | undefined): AsyncGenerator<RestorePlan> {
    const { treeId, target, path, signal } = this.#options;
    const root: Folder = {
      path: target,
      shown: path,
      treeId,
      node: rootNode,
      parent: undefined,
      isIncluded: this.#selection.includes(path),
      state: 'unknown',
    };
    if (root.isIncluded) this.#enter(root);
    const stack = [root];
    for (let folder = stack.pop(); folder; folder = stack.pop()) {
      signal?.throwIfAborted();
      const nodes = await this.#trees.nodes(folder.treeId);
      for (const node of nodes) assertSafeName(node.name, folder.shown);
      for (const node of nodes.toReversed()) if (node.type === 'dir') this.#planFolder(folder, node, stack);
      for (const node of nodes) if (node.type !== 'dir') this.#planEntry(folder, node);
      if (this.#options.deleteOthers) this.#findOthers(folder, nodes);
      if (this.#entries >= entriesPerPart) yield this.#takePart();
    }
    for (const { folder, names } of this.#partial) this.#addRemovals(folder, names);
    yield this.#takePart();
  }

  /** The plan for a single entry that is not a folder. */
  async *makeForEntry(node: TreeNode, shown: string): AsyncGenerator<RestorePlan> {
    const { target } = this.#options;
    assertSafeName(node.name, shown);
    const folder: Folder = {
      path: target,
      shown: shown.slice(0, shown.lastIndexOf('/')) || '/',
      treeId: '',
      node: undefined,
      parent: undefined,
      isIncluded: true,
      state: 'unknown',
    };
    this.#planEntry(folder, node);
    yield this.#takePart();
  }

  #takePart(): RestorePlan {
    const part = this.#plan;
    this.#plan = emptyPlan();
    this.#entries = 0;
    return part;
  }

  #childPath(folder: Folder, node: TreeNode): string {
    const name = printableName(node.name);
    return folder.shown.endsWith('/') ? folder.shown + name : `${folder.shown}/${name}`;
  }

  #planFolder(parent: Folder, node: TreeNode, stack: Folder[]): void {
    const shown = this.#childPath(parent, node);
    if (this.#selection.excludes(shown) || node.subtree === undefined) return;
    const isIncluded = parent.isIncluded || this.#selection.includes(shown);
    const path = joinPath(parent.path, node.name);
    const folder: Folder = { path, shown, treeId: node.subtree, node, parent, isIncluded, state: 'unknown' };
    if (isIncluded && !this.#enter(folder)) return;
    stack.push(folder);
  }

  #planEntry(folder: Folder, node: TreeNode): void {
    const shown = this.#childPath(folder, node);
    if (this.#selection.excludes(shown) || !(folder.isIncluded || this.#selection.includes(shown))) return;
    if (node.type === 'socket' || node.type === 'irregular') return;
    if (!this.#enter(folder)) return;
    const path = joinPath(folder.path, node.name);
    this.#entries += 1 + (node.content?.length ?? 0) / 4;
    try {
      const existing = folder.state === 'made' ? undefined : lstatOrNothing(path);
      this.#planItem({ path, shown, node }, existing);
    } catch (error) {
      if (!isSystemError(error)) throw error;
      this.#plan.problems.push({ path: shown, message: error.message });
    }
  }

  #planItem(item: { path: Buffer; shown: string; node: TreeNode }, existing: BigIntStats | undefined): void {
    const { path, shown, node } = item;
    if (existing && !this.#mayOverwrite(node, existing)) {
      this.#options.onSkipped(item);
      if (isLinked(node) && existing.isFile() && !this.#firstLinks.has(linkKey(node))) {
        this.#firstLinks.set(linkKey(node), { ...item, isNew: false, compares: false, isShared: false });
      }
      return;
    }
    if (existing?.isDirectory()) {
      if (!this.#options.deleteOthers) {
        const message = 'a folder is in the way; restore with deletion to replace it';
        this.#plan.problems.push({ path: shown, message });
        return;
      }
      if (!this.#clearFolder(path, shown)) {
        this.#plan.problems.push({ path: shown, message: 'a folder that holds something excluded is in the way' });
        return;
      }
    }
    if (node.type !== 'file') {
      if (existing && !existing.isDirectory() && !this.#options.dryRun) unlinkSync(path);
      this.#plan.specials.push({ ...item, isNew: true, compares: false, isShared: false });
      return;
    }
    const first = isLinked(node) ? this.#firstLinks.get(linkKey(node)) : undefined;
    if (first) {
      this.#plan.links.push({ item: { ...item, isNew: !existing, compares: false, isShared: false }, first });
      return;
    }
    const planned = this.#planFile(item, existing);
    if (isLinked(node)) this.#firstLinks.set(linkKey(node), planned);
  }

  /** False when what is excluded kept the folder. */
  #clearFolder(path: Buffer, shown: string): boolean {
    const { dryRun, onRemoved } = this.#options;
    let isGone = false;
    removePath(path, {
      dryRun,
      keeps: (names) => this.#selection.excludes([shown, ...names.map(printableName)].join('/')),
      onRemoved: (removed) => {
        isGone ||= removed.equals(path);
        onRemoved(removed);
      },
    });
    return isGone;
  }

  #planFile(item: { path: Buffer; shown: string; node: TreeNode }, existing: BigIntStats | undefined): PlannedItem {
    const isKept = existing?.isFile() === true;
    if (existing && !isKept && !existing.isDirectory() && !this.#options.dryRun) unlinkSync(item.path);
    const planned = { ...item, isNew: !isKept, compares: isKept, isShared: isKept && existing.nlink > 1n };
    this.#plan.files.push(planned);
    return planned;
  }

  #mayOverwrite(node: TreeNode, existing: BigIntStats): boolean {
    const mtime = parseTime(node.mtime) ?? 0n;
    switch (this.#options.overwrite) {
      case 'always':
        return true;
      case 'if-changed': {
        const isSame = node.type === 'file' && existing.isFile() && existing.size === BigInt(node.size);
        return !(isSame && existing.mtimeNs === mtime);
      }
      case 'if-newer':
        return mtime > existing.mtimeNs;
      case 'never':
        return false;
    }
  }

  /** Makes sure that the folder is there, and a real one; false when it cannot be. */
  #enter(folder: Folder): boolean {
    const chain: Folder[] = [];
    for (let at: Folder | undefined = folder; at && at.state === 'unknown'; at = at.parent) chain.push(at);
    for (const at of chain.reverse()) at.state = at.parent?.state === 'blocked' ? 'blocked' : this.#makeFolder(at);
    return folder.state !== 'blocked';
  }

  #makeFolder(folder: Folder): Folder['state'] {
    const { path, shown, node, parent } = folder;
    const { dryRun, overwrite } = this.#options;
    try {
      const existing = parent?.state === 'made' ? undefined : lstatOrNothing(path);
      if (existing && !existing.isDirectory()) {
        if (!parent) throw notAFolder(path);
        if (overwrite === 'never') {
          this.#plan.problems.push({ path: shown, message: 'something that is not a folder is in the way' });
          return 'blocked';
        }
        if (!dryRun) unlinkSync(path);
      }
      const exists = existing?.isDirectory() === true;
      if (!exists && !dryRun) mkdirSync(path, { mode: 0o700, recursive: !parent });
      const isTarget = parent ? undefined : true;
      if (node)
        this.#plan.folders.push({ path, shown, node, isNew: !exists, compares: false, isShared: false, isTarget });
      return exists ? 'existing' : 'made';
    } catch (error) {
      if (!isSystemError(error)) throw error;
      throwIfFull(error);
      if (!parent)
        throw new AppError('RESTORE_TARGET_INVALID', `The target cannot be used: ${error.message}`, { cause: error });
      this.#plan.problems.push({ path: shown, message: error.message });
      return 'blocked';
    }
  }

  #findOthers(folder: Folder, nodes: readonly TreeNode[]): void {
    const names = new Set(nodes.map(({ name }) => name.toString('latin1')));
    if (folder.isIncluded) this.#addRemovals(folder, names);
    else this.#partial.push({ folder, names });
  }

  #addRemovals(folder: Folder, names: ReadonlySet<string>): void {
    if (folder.state !== 'existing') return;
    let present: Buffer[] = [];
    try {
      present = readdirSync(folder.path, { encoding: 'buffer' });
    } catch (error) {
      if (!isSystemError(error)) throw error;
      this.#plan.problems.push({ path: folder.shown, message: error.message });
    }
    for (const name of present) {
      if (names.has(name.toString('latin1'))) continue;
      const shown = `${folder.shown === '/' ? '' : folder.shown}/${printableName(name)}`;
      const isSelected = folder.isIncluded || this.#selection.includes(shown);
      if (isSelected && !this.#selection.excludes(shown)) {
        this.#plan.removals.push({ path: joinPath(folder.path, name), shown });
      }
    }
  }
}

function emptyPlan(): RestorePlan {
  return { files: [], links: [], specials: [], folders: [], removals: [], problems: [] };
}

function isLinked(node: TreeNode): boolean {
  return node.type === 'file' && node.links > 1 && node.inode !== 0n;
}

function linkKey(node: TreeNode): string {
  return `${node.deviceId}:${node.inode}`;
}

function lstatOrNothing(path: Buffer): BigIntStats | undefined {
  return lstatSync(path, { bigint: true, throwIfNoEntry: false });
}

function notAFolder(path: Buffer): AppError {
  return new AppError('RESTORE_TARGET_INVALID', `The target ${path.toString()} is not a folder.`, {
    hint: 'Give a folder, or a path where one can be made.',
  });
}
