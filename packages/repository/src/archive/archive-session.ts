// One snapshot in the making: any number of inputs at their places, at the same time if wanted, and one commit. The
// snapshot file is the commit point; without it nothing of the session is visible.

import { lstatSync } from 'node:fs';
import { AppError, cancelledError, messageOf, throwIfAborted } from '@varve/base';
import { pathComponents } from '../filesystem/byte-path.ts';
import { ExcludePatterns } from '../filesystem/exclude-patterns.ts';
import { goModeOf } from '../filesystem/file-mode.ts';
import { readNode } from '../filesystem/read-node.ts';
import { isSystemError } from '../filesystem/system-error.ts';
import { lockRepository, type RepositoryLock } from '../lock/repository-lock.ts';
import type { Repository } from '../repository.ts';
import { findNodeByPath } from '../restore/find-node.ts';
import type { SnapshotSummary } from '../snapshot/snapshot.ts';
import { systemIdentity } from '../store/identity.ts';
import { printableName } from '../tree/go-quote.ts';
import { isSafeName } from '../tree/node-name.ts';
import type { TreeNode } from '../tree/tree-node.ts';
import type {
  AddBytesOptions,
  AddedItem,
  AddPathOptions,
  AddStreamOptions,
  AddTarOptions,
  ArchiveResult,
  CommitOptions,
  SourceOptions,
  StartArchiveOptions,
} from './archive-options.ts';
import { ArchiveRun, addCounts } from './archive-run.ts';
import { exclusionOf } from './measure-source.ts';
import { saveFile } from './save-file.ts';
import { FolderWalk, type DirCounts } from './folder-walk.ts';
import { StreamSaver } from './stream-saver.ts';
import { TarSaver } from './tar-saver.ts';
import { TargetTree } from './target-tree.ts';
import { noCounts, type Counts, type Problem } from './worker-protocol.ts';

/**
 * Starts a snapshot: takes a shared lock and reads the index. REPOSITORY_LOCKED, REPOSITORY_VERSION_UNSUPPORTED for
 * format 1. Dispose of the session in any case; disposing without a commit aborts it.
 */
export async function startArchive(repository: Repository, options: StartArchiveOptions = {}): Promise<ArchiveSession> {
  repository.assertWritable();
  const { signal } = options;
  // Patterns that cannot be understood fail here and not in a thread.
  void new ExcludePatterns(options.excludes ?? []);
  const lock = await lockRepository(repository, { exclusive: false, signal, waitMs: options.lockWaitMs });
  try {
    await repository.loadIndex({ signal });
    throwIfAborted(signal);
    return new ArchiveSession(repository, lock, options);
  } catch (error) {
    await lock.release();
    throw error;
  }
}

/** Made by {@link startArchive}. Targets are absolute paths in the snapshot; missing folders above them are made. */
export class ArchiveSession implements AsyncDisposable {
  readonly #repository: Repository;
  readonly #lock: RepositoryLock;
  readonly #options: StartArchiveOptions;
  readonly #run: ArchiveRun;
  readonly #signal: AbortSignal;
  readonly #tree = new TargetTree();
  readonly #inputs = new Set<Promise<unknown>>();
  readonly #problems: Problem[] = [];
  readonly #dirs: DirCounts = { dirsNew: 0, dirsChanged: 0, dirsUnmodified: 0 };
  readonly #startedAt = new Date();
  #rootTree: string | undefined;
  #failure: { readonly error: unknown } | undefined;
  #isOver = false;
  #ending: Promise<void> | undefined;

  constructor(repository: Repository, lock: RepositoryLock, options: StartArchiveOptions) {
    this.#repository = repository;
    this.#lock = lock;
    this.#options = options;
    this.#signal = AbortSignal.any([lock.signal, ...(options.signal ? [options.signal] : [])]);
    const { onProgress, measure, compression, workers } = options;
    this.#run = new ArchiveRun({ repository, signal: this.#signal, onProgress, measure, compression, workers });
  }

  /** Adds something of this host. ARCHIVE_SOURCE_MISSING when it is not there or cannot be read at all. */
  addPath(options: AddPathOptions): Promise<AddedItem> {
    const components = targetComponents(options.target);
    const session = this.#options.excludes ?? [];
    const label = {
      shown: printableName(Buffer.from(options.source)),
      excludes: [
        ...(session.length > 0 ? [{ patterns: session, path: options.target }] : []),
        ...(options.excludes?.length ? [{ patterns: options.excludes, path: '/' }] : []),
      ],
    };
    return this.addSource({ source: Buffer.from(options.source), components, label });
  }

  /** As {@link ArchiveSession.addPath}, for {@link backupPaths}. */
  addSource(options: SourceOptions): Promise<AddedItem> {
    return this.#input(async () => {
      for (const { patterns } of options.label.excludes) void new ExcludePatterns(patterns);
      return this.#addSource(options);
    });
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
      using saver = new StreamSaver(this.#run, counts);
      for await (const bytes of options.source) {
        throwIfAborted(this.#signal);
        await saver.write(bytes);
        this.#run.expect({ files: 0, bytes: bytes.length });
        this.#run.add({ ...noCounts(), bytes: bytes.length }, options.target);
      }
      const saved = await saver.finish();
      const mode = goModeOf(0o100000 | ((options.mode ?? 0o644) & 0o7777));
      const node = this.#madeNode('file', { mode, time: options.modifiedAt ?? this.#startedAt });
      this.#tree.place(components, { ...node, ...saved, links: 1 });
      this.#run.expect({ files: 1, bytes: 0 });
      this.#run.add({ ...noCounts(), filesNew: 1 });
      return added({ ...counts, filesNew: 1, bytes: saved.size }, { dirs: 0, problems: [] });
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
      const saver = new TarSaver(this.#run);
      const signal = this.#signal;
      async function* abortable(): AsyncGenerator<Uint8Array> {
        for await (const bytes of options.source) {
          throwIfAborted(signal);
          yield bytes;
        }
      }
      const defaults = (name: Buffer): TreeNode => ({ ...this.#defaultFolder(this.#startedAt), name });
      const stripComponents = options.stripComponents ?? 0;
      const saved = await saver.save(abortable(), { stripComponents, defaults });
      this.#placeFolder(components, saved.rootNode ?? this.#defaultFolder(this.#startedAt), saved.treeId);
      this.#dirs.dirsNew += saved.dirs;
      return added(saved.counts, { dirs: saved.dirs, problems: [] });
    });
  }

  /**
   * Ends the session: waits for the inputs, stores the trees above them, then packs, index, and last the snapshot file.
   * Throws the failure of any input, with no snapshot made. The session is over afterwards, whatever happens.
   */
  async commit(options: CommitOptions): Promise<ArchiveResult> {
    if (this.#isOver) throw new AppError('INTERNAL', 'The archive session is over.');
    this.#isOver = true;
    try {
      while (this.#inputs.size > 0) await Promise.allSettled(this.#inputs);
      if (this.#failure) throw this.#failure.error;
      throwIfAborted(this.#signal);
      const tree = this.#finishTree(options.time);
      await this.#run.flush();
      const summary = this.#summary();
      const uid = process.getuid?.();
      const gid = process.getgid?.();
      const { hostname, paths, tags, excludes, programVersion } = options;
      const username = options.username ?? systemIdentity().username;
      const parent = this.#options.parent?.id;
      const time = this.#formatTime(options.time);
      throwIfAborted(this.#signal);
      const snapshot = await this.#repository.saveSnapshot(
        { time, parent, tree, paths, hostname, username, uid, gid, excludes, tags, programVersion, summary },
        { signal: this.#signal },
      );
      return { snapshot, summary, problems: this.#problems };
    } finally {
      await this.#end();
    }
  }

  /** Ends the session without a snapshot. What was stored stays unreferenced, for a later run or prune. Idempotent. */
  async abort(): Promise<void> {
    this.#isOver = true;
    this.#run.pool.fail(cancelledError(this.#signal));
    await this.#end();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.abort();
  }

  #end(): Promise<void> {
    this.#ending ??= (async () => {
      await this.#run.close();
      await Promise.allSettled(this.#inputs);
      await this.#lock.release();
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

  async #addSource({ source, components, label }: SourceOptions): Promise<AddedItem> {
    const name = components.at(-1) ?? Buffer.from('/');
    const node = this.#sourceNode(source, name, label.shown);
    if (node.type === 'dir') return this.#addFolder({ source, components, label }, node);
    if (components.length === 0) {
      throw new AppError('USAGE_INVALID', `${label.shown} is not a folder and cannot become the root of a snapshot.`);
    }
    if (node.type !== 'file') {
      this.#tree.place(components, node);
      return added(noCounts(), { dirs: 0, problems: [] });
    }
    const parent = await this.#parentNode(components);
    const saved = await saveFile(this.#run, { path: source, node, parent });
    this.#tree.place(components, saved.node);
    return added(saved.counts, { dirs: 0, problems: [] });
  }

  async #addFolder({ source, components, label }: SourceOptions, node: TreeNode): Promise<AddedItem> {
    const parent = components.length === 0 ? this.#options.parent?.tree : (await this.#parentNode(components))?.subtree;
    this.#run.measure({ path: source, isExcluded: exclusionOf(source, label) });
    const walk = new FolderWalk(this.#run);
    const treeId = await walk.save({ path: source, label, parentTree: parent });
    this.#placeFolder(components, node, treeId);
    this.#problems.push(...walk.problems);
    this.#dirs.dirsNew += walk.dirs.dirsNew;
    this.#dirs.dirsChanged += walk.dirs.dirsChanged;
    this.#dirs.dirsUnmodified += walk.dirs.dirsUnmodified;
    const dirs = walk.dirs.dirsNew + walk.dirs.dirsChanged + walk.dirs.dirsUnmodified;
    return added(walk.counts, { dirs, problems: walk.problems });
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
    const store = (tree: Buffer): string => this.#run.storeTree(tree).id;
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
    return this.#run.reader.times.format(BigInt(time.getTime()) * 1_000_000n);
  }

  #defaultFolder(time: Date): TreeNode {
    return this.#madeNode('dir', { mode: goModeOf(0o040755), time });
  }

  #madeNode(type: 'file' | 'dir', { mode, time }: { mode: number; time: Date }): TreeNode {
    const text = this.#formatTime(time);
    return {
      name: Buffer.alloc(0),
      type,
      mode,
      mtime: text,
      atime: text,
      ctime: text,
      uid: 0,
      gid: 0,
      user: 'root',
      group: 'root',
      inode: 0n,
      deviceId: 0n,
      size: 0,
      links: 0,
      device: 0n,
      content: type === 'file' ? [] : null,
    };
  }
}

function added(counts: Counts, { dirs, problems }: { dirs: number; problems: readonly Problem[] }): AddedItem {
  const sum = noCounts();
  addCounts(sum, counts);
  return {
    files: sum.filesNew + sum.filesChanged + sum.filesUnmodified,
    dirs,
    bytes: sum.bytes,
    bytesAdded: sum.bytesAdded,
    problems,
  };
}

function targetComponents(target: string): Buffer[] {
  const components = pathComponents(Buffer.from(target));
  if (!target.startsWith('/') || !components.every(isSafeName)) {
    throw new AppError('USAGE_INVALID', `"${target}" is not an absolute path in a snapshot.`);
  }
  return components;
}
