// Saves a folder of the host with everything below it: keeps the open folders in memory, hands listings and files to the
// workers, and closes each folder when all below it is done. No recursion.

import { AppError, isAppError, type TokenBucket } from '@varve/base';
import { joinPath } from '../filesystem/byte-path.ts';
import { toBinary } from '../filesystem/glob.ts';
import { isSystemError } from '../filesystem/system-error.ts';
import { emptyTreeId } from '../tree/decode-tree.ts';
import { closeNode, encodeNode, joinNodes } from '../tree/encode-tree.ts';
import { printableName } from '../tree/go-quote.ts';
import type { ArchiveRun } from './archive-run.ts';
import { readLargeFile } from './large-file.ts';
import { readLargePages } from './large-pages.ts';
import { badPageNotice, type LiveRules } from './live-files.ts';
import { remarksOn, type ReadOutcome } from './stable-read.ts';
import {
  addCounts,
  noCounts,
  type BadPage,
  type Counts,
  type FolderLabel,
  type FolderResult,
  type FolderToSave,
  type Item,
  type Notice,
  type Problem,
  type Remarks,
  type UnreadableFolder,
} from './worker-protocol.ts';

/** A job of folders holds so many at most: messages cost as much as listing a small folder that did not change. */
const maxFoldersPerJob = 16;
/** Fewer where files have to be read, so that progress is told often. */
const maxNewFoldersPerJob = 4;
/** What one job of files holds at most. */
const maxFilesPerJob = 200;
const maxBytesPerJob = 4 * 1024 * 1024;
/** From here on a file is read in the main thread and its chunks go to all workers. */
const largeFileBytes = 32 * 1024 * 1024;
/** Large files that are read at once: each has a chunker of 9 MiB and chunks under way. */
const largeFilesAtOnce = 2;

interface OpenFolder {
  readonly path: Buffer;
  readonly label: FolderLabel;
  readonly parentTree: string | undefined;
  readonly startedMs: number;
  readonly owner: { readonly folder: OpenFolder; readonly slot: number } | undefined;
  nodes: string[];
  /** Slots that are still to be filled. */
  waiting: number;
}

type Deferred = FolderResult['deferred'][number];

export interface DirCounts {
  dirsNew: number;
  dirsChanged: number;
  dirsUnmodified: number;
}

export interface FolderWalkOptions {
  readonly path: Buffer;
  readonly label: FolderLabel;
  /** Id of the tree that this folder had in the parent snapshot. */
  readonly parentTree?: string | undefined;
  /** Folders (`''`, `/a/b`) whose trees are not stored; their entries end up in {@link FolderWalk.opened}. */
  readonly open?: ReadonlySet<string> | undefined;
  readonly live?: LiveRules | null | undefined;
  /** Bytes that are read take from it. */
  readonly pace?: TokenBucket | undefined;
  /** Gets every file and folder with its path on the host. */
  readonly onItem?: ((item: Item) => void) | undefined;
}

export class FolderWalk {
  readonly counts: Counts = noCounts();
  readonly dirs: DirCounts = { dirsNew: 0, dirsChanged: 0, dirsUnmodified: 0 };
  readonly problems: Problem[] = [];
  readonly notices: Notice[] = [];
  /** What is in open folders, as trees. Folders in it that are open themselves seem to be empty. */
  readonly opened = new Map<string, Buffer>();
  readonly #run: ArchiveRun;
  readonly #options: FolderWalkOptions;
  readonly #large: { readonly folder: OpenFolder; readonly file: Deferred }[] = [];
  readonly #done = Promise.withResolvers<string>();
  /** Folders that no job has taken yet. */
  readonly #unlisted: OpenFolder[] = [];
  /** Jobs of folders that were asked for and have not begun. */
  #requests = 0;
  #largeUnderWay = 0;

  constructor(run: ArchiveRun, options: FolderWalkOptions) {
    this.#run = run;
    this.#options = options;
  }

  /** The id of the folder's tree. ARCHIVE_SOURCE_MISSING when the folder itself cannot be listed. Call once. */
  async save(): Promise<string> {
    const { path, label, parentTree } = this.#options;
    this.#visit({ path, label, parentTree, owner: undefined, nodes: [], waiting: 0, startedMs: performance.now() });
    return this.#done.promise;
  }

  #visit(folder: OpenFolder): void {
    this.#unlisted.push(folder);
    this.#request();
  }

  /** Asks for a job of folders, unless those that were asked for will take all. Folders are chosen when a thread is ready. */
  #request(): void {
    if (this.#requests >= Math.min(this.#unlisted.length, this.#run.pool.capacity)) return;
    this.#requests++;
    this.#guard(async () => {
      let batch: readonly OpenFolder[] = [];
      const { folders } = await this.#run.pool.run<'folders'>(async () => {
        this.#requests--;
        batch = this.#takeBatch();
        this.#request();
        return { kind: 'folders', folders: await Promise.all(batch.map((folder) => this.#toSave(folder))) };
      });
      // Of small files it is known only now; the next folders wait for it.
      const bytesRead = folders.reduce((sum, result) => sum + (result.kind === 'folder' ? result.bytesRead : 0), 0);
      await this.#options.pace?.take(bytesRead, this.#run.signal);
      for (const [i, folder] of batch.entries()) {
        const result = folders[i];
        if (result?.kind === 'folder') this.#listed(folder, result);
        else this.#unreadable(folder, result);
      }
    });
  }

  /** At least one folder is left for each of the other jobs that were asked for. The newest come first, in order. */
  #takeBatch(): OpenFolder[] {
    const share = Math.floor((this.#unlisted.length - this.#requests) / this.#run.pool.capacity);
    const most = this.#unlisted.at(-1)?.parentTree === undefined ? maxNewFoldersPerJob : maxFoldersPerJob;
    return this.#unlisted.splice(-Math.max(1, Math.min(share, most))).reverse();
  }

  async #toSave({ path, label, parentTree }: OpenFolder): Promise<FolderToSave> {
    const parent = parentTree === undefined ? undefined : await this.#parentTree(label, parentTree);
    return { path, label, isOpen: this.#isOpen(label), parent };
  }

  #isOpen({ below: place }: FolderLabel): boolean {
    return this.#options.open?.has(place) === true;
  }

  /** Runs a part of the walk; its failure is the failure of the walk. */
  #guard(part: () => Promise<void>): void {
    part().catch((error: unknown) => this.#done.reject(error));
  }

  /**
   * A tree of the parent snapshot that cannot be read is like none: the files are read again. It is a problem of this
   * snapshot as well, which has the same tree where nothing changed.
   */
  async #parentTree(
    label: FolderLabel,
    id: string,
  ): Promise<{ readonly id: string; readonly tree: Uint8Array } | undefined> {
    try {
      return { id, tree: await this.#run.trees.load(id) };
    } catch (error) {
      if (!isAppError(error, 'REPOSITORY_DAMAGED')) throw error;
      const message = `The repository's list of this folder is damaged, so its files were read again: check the repository. ${error.message}`;
      this.problems.push({ path: label.shown, message });
      return undefined;
    }
  }

  #account(result: Remarks & { readonly counts: Counts }, current: string): void {
    addCounts(this.counts, result.counts);
    for (const problem of result.problems) this.problems.push(problem);
    for (const notice of result.notices) this.notices.push(notice);
    for (const item of result.items) this.#options.onItem?.(item);
    this.#run.add(result.counts, current);
  }

  #listed(folder: OpenFolder, result: FolderResult): void {
    this.#account(result, folder.label.shown);
    if (result.subtree !== undefined) {
      this.#tellFolder(folder, result.subtree, result.treeCounts ?? noCounts());
      this.#close(folder, result.subtree);
      return;
    }
    folder.nodes = [...result.nodes];
    folder.waiting = result.subfolders.length + result.deferred.length;
    const small: Deferred[] = [];
    for (const file of result.deferred) {
      if (file.sizeBytes >= largeFileBytes) this.#large.push({ folder, file });
      else small.push(file);
    }
    this.#startLarge();
    // The pool takes the newest job first: hand in backwards to go in order.
    for (const subfolder of result.subfolders.toReversed()) {
      const name = Buffer.from(subfolder.name);
      this.#visit({
        path: joinPath(folder.path, name),
        label: labelBelow(folder.label, name),
        parentTree: subfolder.parentTree,
        owner: { folder, slot: subfolder.slot },
        nodes: [],
        waiting: 0,
        startedMs: performance.now(),
      });
    }
    for (const batch of batches(small)) this.#saveFiles(folder, batch);
    if (folder.waiting === 0) this.#close(folder, this.#storeTree(folder));
  }

  #saveFiles(folder: OpenFolder, files: readonly Deferred[]): void {
    this.#guard(async () => {
      const { path, label } = folder;
      // Before a thread is asked for: what waits here must not keep others from it.
      await this.#options.pace?.take(
        files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
        this.#run.signal,
      );
      const result = await this.#run.pool.run<'files'>(() => ({ kind: 'files', folder: path, label, files }));
      this.#account(result, label.shown);
      for (const [i, { slot }] of files.entries()) folder.nodes[slot] = result.nodes[i] ?? '';
      this.#filled(folder, files.length);
    });
  }

  #startLarge(): void {
    while (this.#largeUnderWay < largeFilesAtOnce) {
      const next = this.#large.shift();
      if (!next) return;
      this.#largeUnderWay++;
      this.#guard(async () => {
        await this.#saveLarge(next.folder, next.file);
        this.#largeUnderWay--;
        this.#startLarge();
      });
    }
  }

  async #saveLarge(folder: OpenFolder, file: Deferred): Promise<void> {
    const name = Buffer.from(file.name, 'latin1');
    const path = joinPath(folder.path, name);
    const shown = below(folder.label.shown, printableName(name));
    const startedMs = performance.now();
    const cost = noCounts();
    const remarks = { problems: [] as Problem[], notices: [] as Notice[], items: [] };
    const counts = noCounts();
    try {
      const { json, size, outcome, badPages } = await this.#readLarge(file, { path, name, counts: cost });
      folder.nodes[file.slot] = json;
      addCounts(this.counts, { ...cost, bytes: size });
      if (file.isNew) counts.filesNew = 1;
      else counts.filesChanged = 1;
      const { problem, notice } = remarksOn(shown, outcome);
      if (problem) remarks.problems.push(problem);
      if (notice) remarks.notices.push(notice);
      for (const page of badPages) remarks.notices.push(badPageNotice(shown, page));
      const { bytesAdded, bytesAddedPacked } = cost;
      const action = file.isNew ? 'new' : 'modified';
      const durationMs = performance.now() - startedMs;
      this.#options.onItem?.({ kind: 'file', action, path: shown, durationMs, bytesAdded, bytesAddedPacked });
    } catch (error) {
      if (!isSystemError(error)) throw error;
      if (!this.#isGone(error)) remarks.problems.push({ path: shown, message: error.message });
    }
    this.#account({ ...remarks, counts }, shown);
    this.#filled(folder, 1);
  }

  async #readLarge(
    { pageChunkBytes }: Deferred,
    file: { readonly path: Buffer; readonly name: Buffer; readonly counts: Counts },
  ): Promise<{ json: string; size: number; outcome: ReadOutcome; badPages: readonly BadPage[] }> {
    const { live, pace } = this.#options;
    if (live && pageChunkBytes > 0) {
      return { ...(await readLargePages(this.#run, { ...file, pageChunkBytes, live, pace })), outcome: 'stable' };
    }
    const { node, outcome } = await readLargeFile(this.#run, { ...file, pageChunkBytes, pace });
    return { json: encodeNode(node), size: node.size, outcome: live ? 'stable' : outcome, badPages: [] };
  }

  /** A live file or folder that is not there any more is not missed. */
  #isGone(error: { readonly code: string }): boolean {
    return Boolean(this.#options.live) && error.code === 'ENOENT';
  }

  #unreadable(folder: OpenFolder, unreadable: UnreadableFolder | undefined): void {
    const reason = unreadable?.message ?? '';
    if (!folder.owner) {
      const message = `The folder ${folder.label.shown} cannot be read: ${reason}`;
      throw new AppError('ARCHIVE_SOURCE_MISSING', message, {
        hint: 'Check that it exists and that this process may read it.',
      });
    }
    const isMissed = !(this.#options.live && unreadable?.isGone);
    if (isMissed) this.problems.push({ path: folder.label.shown, message: reason });
    folder.owner.folder.nodes[folder.owner.slot] = '';
    this.#filled(folder.owner.folder, 1);
  }

  #filled(folder: OpenFolder, slots: number): void {
    folder.waiting -= slots;
    if (folder.waiting === 0) this.#close(folder, this.#storeTree(folder));
  }

  #storeTree(folder: OpenFolder): string {
    const tree = joinNodes(folder.nodes.filter((node) => node !== ''));
    folder.nodes = [];
    if (this.#isOpen(folder.label)) {
      this.opened.set(folder.label.below, tree);
      return emptyTreeId;
    }
    if (!this.#options.onItem) return this.#run.storeTree(tree);
    const id = this.#run.storeTree(tree, (counts) => this.#tellFolder(folder, id, counts));
    return id;
  }

  /** The folder's tree is known: its node is complete, and so may be the folders above it. */
  #close(closed: OpenFolder, tree: string): void {
    let folder = closed;
    let subtree = tree;
    for (;;) {
      if (folder.parentTree === undefined) this.dirs.dirsNew++;
      else if (folder.parentTree === subtree) this.dirs.dirsUnmodified++;
      else this.dirs.dirsChanged++;
      if (!folder.owner) break;
      const { folder: owner, slot } = folder.owner;
      owner.nodes[slot] = closeNode(owner.nodes[slot] ?? '', { subtree });
      if (--owner.waiting > 0) return;
      subtree = this.#storeTree(owner);
      folder = owner;
    }
    this.#done.resolve(subtree);
  }

  #tellFolder({ label, parentTree, startedMs }: OpenFolder, subtree: string, cost: Counts): void {
    this.#options.onItem?.({
      kind: 'dir',
      action: parentTree === undefined ? 'new' : parentTree === subtree ? 'unchanged' : 'modified',
      path: label.shown,
      durationMs: performance.now() - startedMs,
      bytesAdded: cost.bytesAdded,
      bytesAddedPacked: cost.bytesAddedPacked,
    });
  }
}

function below(folder: string, name: string): string {
  return folder.endsWith('/') ? folder + name : `${folder}/${name}`;
}

function labelBelow(label: FolderLabel, name: Buffer): FolderLabel {
  return {
    shown: below(label.shown, printableName(name)),
    rules: label.rules,
    below: `${label.below}/${toBinary(name)}`,
  };
}

function* batches(files: readonly Deferred[]): Generator<Deferred[]> {
  let batch: Deferred[] = [];
  let bytes = 0;
  for (const file of files) {
    if (batch.length > 0 && (batch.length >= maxFilesPerJob || bytes + file.sizeBytes > maxBytesPerJob)) {
      yield batch;
      batch = [];
      bytes = 0;
    }
    batch.push(file);
    bytes += file.sizeBytes;
  }
  if (batch.length > 0) yield batch;
}
