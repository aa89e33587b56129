// One snapshot in the making: any number of inputs at their places, at the same time if wanted, and one commit. The
// snapshot file is the commit point; without it nothing of the session is visible.

import { lstatSync, realpathSync } from 'node:fs';
import { AppError, cancelledError, messageOf, throwIfAborted } from '@varve/base';
import { pathComponents } from '../filesystem/byte-path.ts';
import { readNode } from '../filesystem/read-node.ts';
import { isSystemError } from '../filesystem/system-error.ts';
import type { RepositoryLock } from '../lock/repository-lock.ts';
import type { Repository } from '../repository.ts';
import { findNodeByPath } from '../restore/find-node.ts';
import type { Snapshot, SnapshotSummary } from '../snapshot/snapshot.ts';
import { systemIdentity } from '../store/identity.ts';
import { printableName } from '../tree/go-quote.ts';
import { isSafeName } from '../tree/node-name.ts';
import type { TreeNode } from '../tree/tree-node.ts';
import type {
  AddBytesOptions,
  AddedItem,
  AddFolderOptions,
  AddPathOptions,
  AddSavedOptions,
  AddStreamOptions,
  AddTarOptions,
  ArchiveOutcome,
  ArchiveResult,
  CommitOptions,
  FinishOptions,
  SourceOptions,
  StartArchiveOptions,
} from './archive-options.ts';
import { appended, assertStored } from './saved-content.ts';
import type { ArchiveThreads } from './archive-pool.ts';
import { abortable } from './abortable-source.ts';
import { ArchiveRun } from './archive-run.ts';
import { added, itemsInSnapshot } from './added-item.ts';
import { FolderWalk, type DirCounts } from './folder-walk.ts';
import { formatDate, madeNode } from './made-nodes.ts';
import { placeOpened } from './place-opened.ts';
import { saveFile } from './save-file.ts';
import { Selection } from './selection.ts';
import { assertPageChunkBytes, deviceOf, encodeRules, makeRules } from './selection-rules.ts';
import { StreamSaver } from './stream-saver.ts';
import { TarSaver } from './tar-saver.ts';
import { TargetTree } from './target-tree.ts';
import { noCounts, type Notice, type Problem } from './worker-protocol.ts';

/** Made by `startArchive`. Targets are absolute paths in the snapshot; missing folders above them are made. */
export class ArchiveSession implements AsyncDisposable {
  readonly #repository: Repository;
  readonly #lock: RepositoryLock | null;
  readonly #options: StartArchiveOptions;
  readonly #run: ArchiveRun;
  readonly #signal: AbortSignal;
  readonly #tree = new TargetTree();
  readonly #inputs = new Set<Promise<unknown>>();
  readonly #problems: Problem[] = [];
  readonly #notices: Notice[] = [];
  readonly #dirs: DirCounts = { dirsNew: 0, dirsChanged: 0, dirsUnmodified: 0 };
  readonly #startedAt = new Date();
  #rootTree: string | undefined;
  #failure: { readonly error: unknown } | undefined;
  #isOver = false;
  #ending: Promise<void> | undefined;

  constructor(
    repository: Repository,
    { lock, threads }: { readonly lock: RepositoryLock | null; readonly threads: ArchiveThreads },
    options: StartArchiveOptions,
  ) {
    this.#repository = repository;
    this.#lock = lock;
    this.#options = options;
    this.#signal = AbortSignal.any([lock?.signal, options.signal].filter((signal) => signal !== undefined));
    this.#run = new ArchiveRun({ ...options, threads, repository, signal: this.#signal });
  }

  /** Adds something of this host. ARCHIVE_SOURCE_MISSING when it is not there or cannot be read at all. */
  addPath(options: AddPathOptions): Promise<AddedItem> {
    const components = targetComponents(options.target);
    const shown = printableName(Buffer.from(options.source));
    const excludes = [
      { patterns: this.#options.excludes, place: options.target },
      { patterns: options.excludes, place: '/' },
    ];
    return this.#input(async () => {
      const source = Buffer.from(options.source);
      const devices = options.oneFileSystem ? deviceOf(source) : null;
      const rules = makeRules({ ...options, excludes, devices });
      const { openFolders, pace } = options;
      return this.#addSource({ source, components, shown, rules, openFolders, pace });
    });
  }

  /** Gives a folder of the snapshot the metadata of one of this host, for what other inputs place in it. ARCHIVE_SOURCE_MISSING. */
  addFolder(options: AddFolderOptions): void {
    const components = targetComponents(options.target);
    const source = Buffer.from(realpathSync(options.source));
    this.#tree.describe(components, this.#sourceNode(source, components.at(-1) ?? source, options.source));
  }

  /** As {@link ArchiveSession.addPath}, for {@link backupPaths}. */
  addSource(options: SourceOptions): Promise<AddedItem> {
    return this.#input(() => this.#addSource(options));
  }

  /** Tells the metadata of a folder of the host above a source, for {@link backupPaths}. */
  describeFolder(components: readonly Buffer[], node: TreeNode): void {
    this.#tree.describe(components, node);
  }

  /** Adds a file with the bytes of a stream. Rejects when the stream throws, and then the session cannot be committed. */
  addStream(options: AddStreamOptions): Promise<AddedItem> {
    const components = targetComponents(options.target);
    return this.#input(async () => {
      const counts = noCounts();
      const { sizeBytes, after: before } = options;
      if (before) assertStored(this.#repository.index, before, options.target);
      const pageChunkBytes = options.pageChunkBytes === undefined ? 0 : assertPageChunkBytes(options.pageChunkBytes);
      using saver = new StreamSaver(this.#run, { counts, pageChunkBytes });
      if (sizeBytes !== undefined) this.#run.expect({ files: 1, bytes: sizeBytes });
      for await (const bytes of abortable(options.source, this.#signal)) {
        await saver.write(bytes);
        if (sizeBytes === undefined) this.#run.expect({ files: 0, bytes: bytes.length });
        this.#run.add({ ...noCounts(), bytes: bytes.length }, options.target);
      }
      const saved = await saver.finish();
      assertSize(options.target, { expected: sizeBytes, actual: saved.size });
      const stMode = 0o100000 | ((options.mode ?? 0o644) & 0o7777);
      const node = madeNode('file', { stMode, time: this.#formatTime(options.modifiedAt ?? this.#startedAt) });
      this.#tree.place(components, { ...node, ...this.#ownerOf(options), ...appended(before, saved), links: 1 });
      if (sizeBytes === undefined) this.#run.expect({ files: 1, bytes: 0 });
      this.#run.add({ ...noCounts(), filesNew: 1 });
      return added({ ...counts, filesNew: 1, bytes: saved.size }, { dirs: 0 });
    });
  }

  /**
   * Adds a file as an earlier snapshot has it, without reading it. REPOSITORY_DAMAGED when a part of its content is not in the
   * repository.
   */
  addSaved({ target, node }: AddSavedOptions): Promise<AddedItem> {
    const components = targetComponents(target);
    return this.#input(async () => {
      assertStored(this.#repository.index, node, target);
      this.#tree.place(components, node);
      this.#run.add({ ...noCounts(), filesUnmodified: 1, bytes: node.size });
      return added({ ...noCounts(), filesUnmodified: 1, bytes: node.size }, { dirs: 0 });
    });
  }

  /** Adds a file with the given bytes. */
  addBytes(options: AddBytesOptions): Promise<AddedItem> {
    const { data, ...rest } = options;
    async function* source(): AsyncGenerator<Uint8Array> {
      yield data;
    }
    return this.addStream({ ...rest, source: source() });
  }

  /** Adds the content of a tar stream as a folder. RESTORE_PATH_UNSAFE for names that lead out of it. */
  addTar(options: AddTarOptions): Promise<AddedItem> {
    const components = targetComponents(options.target);
    return this.#input(async () => {
      const saver = new TarSaver(this.#run, makeRules({ excludes: [], pages: options.pages }));
      const defaults = (name: Buffer): TreeNode => ({ ...this.#defaultFolder(this.#startedAt), name });
      const stripComponents = options.stripComponents ?? 0;
      const saved = await saver.save(abortable(options.source, this.#signal), {
        stripComponents,
        defaults,
        rewrite: options.rewrite,
      });
      const like = options.rootLikeFirstFolder ? saved.firstFolder : undefined;
      const root = saved.rootNode ?? like ?? this.#defaultFolder(this.#startedAt);
      this.#placeFolder(components, root, saved.treeId);
      this.#dirs.dirsNew += saved.dirs;
      return added(saved.counts, { dirs: saved.dirs });
    });
  }

  /**
   * Ends the session: waits for the inputs, stores the trees above them, then packs, index, and last the snapshot file.
   * Throws the failure of any input, with no snapshot made. The session is over afterwards, whatever happens.
   */
  async commit(options: CommitOptions): Promise<ArchiveResult> {
    const outcome = await this.finish(options);
    if (outcome.snapshot) return { ...outcome, snapshot: outcome.snapshot };
    throw new AppError('INTERNAL', 'A dry run was committed.');
  }

  /** As {@link ArchiveSession.commit}, but a dry run has no snapshot, nor what is skipped because nothing changed. */
  async finish(options: FinishOptions): Promise<ArchiveOutcome> {
    if (this.#isOver) throw new AppError('INTERNAL', 'The archive session is over.');
    this.#isOver = true;
    let outcome: ArchiveOutcome;
    try {
      outcome = await this.#finish(options);
    } catch (error) {
      // What went wrong first counts, not that the lock could then not be removed.
      await this.#end().catch(() => {});
      throw error;
    }
    await this.#end();
    return outcome;
  }

  /** Ends the session without a snapshot. What was stored stays unreferenced, for a later run or prune. Idempotent. */
  async abort(): Promise<void> {
    this.#isOver = true;
    this.#run.pool.fail(cancelledError(this.#signal));
    await this.#end();
  }

  /** Never rejects: whoever gets here without having finished has another error to tell. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.abort().catch(() => {});
  }

  async #finish(options: FinishOptions): Promise<ArchiveOutcome> {
    while (this.#inputs.size > 0) await Promise.allSettled(this.#inputs);
    if (this.#failure) throw this.#failure.error;
    throwIfAborted(this.#signal);
    const tree = this.#finishTree(options.time);
    await this.#run.flush();
    const summary = this.#summary();
    throwIfAborted(this.#signal);
    const { parent, dryRun } = this.#options;
    const isSkipped = dryRun || (options.skipIfUnchanged && parent?.tree === tree);
    const snapshot = isSkipped ? null : await this.#saveSnapshot(options, { tree, summary });
    return { snapshot, tree, summary, problems: this.#problems, notices: this.#notices };
  }

  #end(): Promise<void> {
    this.#ending ??= (async () => {
      // Without the lock nothing keeps a prune from removing what is in no index file.
      await this.#run.close({ keepsStored: this.#lock?.signal.aborted === false });
      await Promise.allSettled(this.#inputs);
      await this.#lock?.release();
    })();
    return this.#ending;
  }

  #input(add: () => Promise<AddedItem>): Promise<AddedItem> {
    if (this.#isOver) return Promise.reject(new AppError('INTERNAL', 'The archive session is over.'));
    const input = (async () => {
      throwIfAborted(this.#signal);
      return add();
    })();
    const watched = input
      .catch((error: unknown) => {
        this.#failure ??= { error };
      })
      .finally(() => this.#inputs.delete(watched));
    this.#inputs.add(watched);
    return input;
  }

  #saveSnapshot(
    options: CommitOptions,
    { tree, summary }: { tree: string; summary: SnapshotSummary },
  ): Promise<Snapshot> {
    const { hostname, paths, tags, excludes, programVersion } = options;
    const username = options.username ?? systemIdentity().username;
    const uid = process.getuid?.();
    const gid = process.getgid?.();
    const parent = this.#options.parent?.id;
    const time = this.#formatTime(options.time);
    return this.#repository.saveSnapshot(
      { time, parent, tree, paths, hostname, username, uid, gid, excludes, tags, programVersion, summary },
      { signal: this.#signal },
    );
  }

  async #addSource(options: SourceOptions): Promise<AddedItem> {
    const { source, components, shown, rules } = options;
    const name = components.at(-1) ?? Buffer.from('/');
    const node = this.#sourceNode(source, name, shown);
    if (node.type === 'dir') return this.#addFolder(options, node);
    if (components.length === 0) {
      throw new AppError('USAGE_INVALID', `${shown} is not a folder and cannot become the root of a snapshot.`);
    }
    if (node.type !== 'file') {
      this.#tree.place(components, node);
      return added(noCounts(), { dirs: 0 });
    }
    const parent = await this.#parentNode(components);
    const pageChunkBytes = new Selection(rules).pageChunkBytes([name]);
    const saved = await saveFile(this.#run, {
      path: source,
      shown,
      node,
      parent,
      pageChunkBytes,
      onItem: itemsInSnapshot(this.#run.onItem, { shown, components }),
    });
    this.#tree.place(components, saved.node);
    this.#remark(saved);
    return added(saved.counts, { dirs: 0, ...saved });
  }

  async #addFolder(options: SourceOptions, node: TreeNode): Promise<AddedItem> {
    const { source, components, shown, rules, pace } = options;
    const parent = components.length === 0 ? this.#options.parent?.tree : (await this.#parentNode(components))?.subtree;
    this.#run.measure({ path: source, selection: new Selection(rules) });
    const label = { shown, rules: encodeRules(rules), below: '' };
    const onItem = itemsInSnapshot(this.#run.onItem, { shown, components });
    const open = new Set(options.openFolders?.map((place) => (place === '/' ? '' : place)));
    const place = { path: source, label, parentTree: parent, open };
    const walk = new FolderWalk(this.#run, { ...place, live: rules.live, pace, onItem });
    const treeId = await walk.save();
    if (open.has('')) placeOpened(this.#tree, { components, node, opened: walk.opened });
    else this.#placeFolder(components, node, treeId);
    this.#remark(walk);
    this.#dirs.dirsNew += walk.dirs.dirsNew;
    this.#dirs.dirsChanged += walk.dirs.dirsChanged;
    this.#dirs.dirsUnmodified += walk.dirs.dirsUnmodified;
    const dirs = walk.dirs.dirsNew + walk.dirs.dirsChanged + walk.dirs.dirsUnmodified;
    return added(walk.counts, { dirs, problems: walk.problems, notices: walk.notices });
  }

  #remark({ problems, notices }: Pick<AddedItem, 'problems' | 'notices'>): void {
    for (const problem of problems) this.#problems.push(problem);
    for (const notice of notices) this.#notices.push(notice);
  }

  #sourceNode(path: Buffer, name: Buffer, shown: string): TreeNode {
    try {
      const stat = lstatSync(path, { bigint: true });
      if (stat.isSocket())
        throw new AppError('ARCHIVE_SOURCE_MISSING', `${shown} is a socket: there is nothing to save.`);
      return readNode(this.#run.reader, { path, name, stat });
    } catch (error) {
      if (!isSystemError(error)) throw error;
      throw new AppError('ARCHIVE_SOURCE_MISSING', `${shown} cannot be read: ${messageOf(error)}`, {
        hint: 'Check that it exists and that this process may read it.',
        context: { path: shown },
        cause: error,
      });
    }
  }

  /** What the parent snapshot has at a place; undefined when there is nothing or it cannot be read. */
  async #parentNode(components: readonly Buffer[]): Promise<TreeNode | undefined> {
    const treeId = this.#options.parent?.tree;
    if (treeId === undefined) return undefined;
    return findNodeByPath(this.#repository, { treeId, components, signal: this.#signal });
  }

  #ownerOf({ owner }: AddStreamOptions): Partial<TreeNode> {
    if (!owner) return {};
    const { users } = this.#run.reader;
    return { ...owner, user: users.user(owner.uid), group: users.group(owner.gid) };
  }

  #placeFolder(components: readonly Buffer[], node: TreeNode, treeId: string): void {
    if (components.length > 0) {
      this.#tree.place(components, { ...node, subtree: treeId });
      return;
    }
    if (this.#rootTree !== undefined) {
      throw new AppError('USAGE_INVALID', 'Two inputs of the snapshot have the same place /.');
    }
    this.#rootTree = treeId;
  }

  #finishTree(time: Date): string {
    const store = (tree: Buffer): string => this.#run.storeTree(tree);
    if (this.#rootTree !== undefined) {
      if (!this.#tree.isEmpty) throw new AppError('USAGE_INVALID', 'Nothing can be placed beside an input at /.');
      return this.#rootTree;
    }
    return this.#tree.finish({ store, defaults: (name) => ({ ...this.#defaultFolder(time), name }) });
  }

  #summary(): SnapshotSummary {
    const { counts } = this.#run;
    return {
      backupStart: this.#formatTime(this.#startedAt),
      backupEnd: this.#formatTime(new Date()),
      filesNew: counts.filesNew,
      filesChanged: counts.filesChanged,
      filesUnmodified: counts.filesUnmodified,
      ...this.#dirs,
      dataBlobs: counts.dataBlobs,
      treeBlobs: counts.treeBlobs,
      dataAdded: counts.bytesAdded,
      dataAddedPacked: counts.bytesAddedPacked,
      totalFilesProcessed: counts.filesNew + counts.filesChanged + counts.filesUnmodified,
      totalBytesProcessed: counts.bytes,
    };
  }

  #formatTime(time: Date): string {
    return formatDate(this.#run.reader.times, time);
  }

  #defaultFolder(time: Date): TreeNode {
    return madeNode('dir', { stMode: 0o040755, time: this.#formatTime(time) });
  }
}

function assertSize(target: string, { expected, actual }: { expected: number | undefined; actual: number }): void {
  if (expected === undefined || expected === actual) return;
  throw new AppError('ARCHIVE_PRODUCER_FAILED', `${target} came with ${actual} bytes instead of ${expected}.`, {
    hint: 'What produces it ended early or went on too long; nothing was saved.',
  });
}

function targetComponents(target: string): Buffer[] {
  const components = pathComponents(Buffer.from(target));
  if (!target.startsWith('/') || !components.every(isSafeName)) {
    throw new AppError('USAGE_INVALID', `"${target}" is not an absolute path in a snapshot.`);
  }
  return components;
}
