// Brings a folder of a snapshot back to disk: plan, contents, then links and metadata, folders last. An interrupted restore
// can be repeated: a file gets its time only when it is complete.

import { linkSync, lstatSync, unlinkSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import { AppError, isAppError, mapConcurrently, throwIfAborted, cancelledError, type OnProgress } from '@varve/base';
import type { Problem } from '../archive/worker-protocol.ts';
import { Libc } from '../filesystem/libc.ts';
import { isSystemError } from '../filesystem/system-error.ts';
import { writeMetadata, type NodeMetadata } from '../filesystem/write-metadata.ts';
import type { Repository } from '../repository.ts';
import { ThreadPool } from '../threads/thread-pool.ts';
import { parseTime } from '../tree/go-time.ts';
import type { TreeNode } from '../tree/tree-node.ts';
import { findIndexedNode } from './find-node.ts';
import { ContentRestore, type RestorePool } from './restore-content.ts';
import { RestorePlanner, type Overwrite, type PlannedItem, type RestorePlan } from './restore-plan.ts';
import type { FinishItem, RestoreJob, RestoreJobResult, RestoreSetup } from './restore-protocol.ts';

export interface RestoreOptions {
  readonly treeId: string;
  /** Folder of the snapshot whose content is restored, or a single entry; `/` when absent. */
  readonly path?: string | undefined;
  /** Folder that gets the content; made when missing. It also gets the metadata of `path`, unless that is `/`. */
  readonly target: string;
  /** Patterns that are matched against paths in the snapshot. */
  readonly include?: readonly string[] | undefined;
  readonly exclude?: readonly string[] | undefined;
  /** `always` when absent: contents are compared, and only chunks that differ are written. */
  readonly overwrite?: Overwrite | undefined;
  /** Remove what the snapshot does not have, in the folders that are restored. */
  readonly deleteOthers?: boolean | undefined;
  /** Change nothing; tell what would be done (contents are not compared). */
  readonly dryRun?: boolean | undefined;
  /** Read every file again at the end. */
  readonly verify?: boolean | undefined;
  /** Leave zeros out of new files, so that the file system stores holes. */
  readonly sparse?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: OnProgress | undefined;
  readonly workers?: number | undefined;
}

export interface RestoreResult {
  /** Files, links and devices that were written. */
  readonly files: number;
  readonly dirs: number;
  /** Bytes of content that were written. */
  readonly bytes: number;
  /** Entries whose content was left as it was. */
  readonly unchanged: number;
  readonly deleted: number;
  /** What could not be restored, wholly or in part. */
  readonly problems: readonly Problem[];
}

const finishBatch = 256;

/**
 * PATH_NOT_FOUND, RESTORE_TARGET_INVALID, RESTORE_PATH_UNSAFE (before that folder is touched), REPOSITORY_DAMAGED when a
 * folder's record cannot be read, RESTORE_FAILED when the disk is full. The caller holds a shared lock if it needs one.
 */
export async function restoreTree(repository: Repository, options: RestoreOptions): Promise<RestoreResult> {
  throwIfAborted(options.signal);
  await repository.loadIndex({ signal: options.signal });
  try {
    return await new Restore(repository, options).run();
  } catch (error) {
    if (options.signal?.aborted) throw cancelledError(options.signal);
    if (!isAppError(error, 'RESTORE_FAILED')) throw error;
    throw new AppError('RESTORE_FAILED', error.message, {
      hint: 'Make room or choose another target, then start the same restore again: what is there already is kept.',
      cause: error,
    });
  }
}

class Restore {
  readonly #repository: Repository;
  readonly #options: RestoreOptions;
  readonly #problems: Problem[] = [];
  /** Failures that hold for the whole restore: message to first path and number. */
  readonly #general = new Map<string, { readonly path: string; count: number }>();
  readonly #isRoot = process.getuid?.() === 0;
  #bytes = 0;
  #bytesTotal = 0;
  #filesTotal = 0;

  constructor(repository: Repository, options: RestoreOptions) {
    this.#repository = repository;
    this.#options = options;
  }

  async run(): Promise<RestoreResult> {
    const plan = await this.#plan();
    this.#problems.push(...plan.problems);
    this.#filesTotal = plan.files.length + plan.links.length + plan.specials.length;
    this.#bytesTotal = plan.files.reduce((sum, { node }) => sum + node.size, 0);
    if (this.#options.dryRun) {
      const { length: dirs } = plan.folders;
      const { unchanged, deleted } = plan;
      return { files: this.#filesTotal, dirs, bytes: this.#bytesTotal, unchanged, deleted, problems: this.#problems };
    }
    const setup: RestoreSetup = {
      key: this.#repository.key.reveal(),
      restoresOwners: this.#isRoot,
      sparse: this.#options.sparse ?? false,
    };
    const file = new URL('./restore-worker.ts', import.meta.url);
    const threads = Math.max(1, this.#options.workers ?? Math.max(2, availableParallelism()));
    const pool: RestorePool = new ThreadPool<RestoreJob, RestoreJobResult>({ file, setup, threads, transfer });
    const onAbort = (): void => {
      pool.fail(cancelledError(this.#options.signal));
    };
    this.#options.signal?.addEventListener('abort', onAbort, { once: true });
    try {
      return await this.#write(plan, pool);
    } finally {
      this.#options.signal?.removeEventListener('abort', onAbort);
      await pool.close();
    }
  }

  async #plan(): Promise<RestorePlan> {
    const { treeId, path = '/', include, exclude, overwrite, deleteOthers, dryRun, signal } = this.#options;
    const target = Buffer.from(resolve(this.#options.target));
    const isRoot = path.split('/').every((part) => part === '' || part === '.');
    const node = isRoot ? undefined : await findIndexedNode(this.#repository, { treeId, path, signal });
    const planner = new RestorePlanner(this.#repository, {
      treeId: node?.subtree ?? treeId,
      path: isRoot ? '/' : path.replace(/\/+$/, ''),
      target,
      include,
      exclude,
      overwrite: overwrite ?? 'always',
      deleteOthers: deleteOthers ?? false,
      dryRun: dryRun ?? false,
      signal,
    });
    return node && node.type !== 'dir' ? planner.makeForEntry(node, path) : planner.make(node);
  }

  async #write(plan: RestorePlan, pool: RestorePool): Promise<RestoreResult> {
    const { signal, verify, sparse } = this.#options;
    const content = new ContentRestore({
      repository: this.#repository,
      pool,
      signal,
      onWritten: (bytes) => this.#report(bytes, content),
    });
    await content.run(plan.files);
    this.#dropFailed(content);
    const files = plan.files.filter((item) => !content.failed.has(item));
    const finish = [
      ...files.map((item) => ({ item, finish: toFinishItem(item, { sparse: sparse ?? false }) })),
      ...plan.specials.map((item) => ({ item, finish: toSpecialItem(item) })),
    ];
    await this.#finish(finish, pool);
    for (const { item, first } of plan.links) this.#link(item, first, content);
    if (verify) {
      for (const { shown } of await content.verify(files)) {
        this.#problems.push({ path: shown, message: 'its content on disk is not what the snapshot holds' });
      }
    }
    throwIfAborted(signal);
    this.#finishFolders(plan.folders);
    this.#reportGeneral(plan);
    const written = this.#filesTotal - content.failed.size - content.unchanged.size;
    return {
      files: written,
      dirs: plan.folders.length,
      bytes: this.#bytes,
      unchanged: plan.unchanged + content.unchanged.size,
      deleted: plan.deleted,
      problems: this.#problems,
    };
  }

  #report(bytes: number, content: ContentRestore): void {
    this.#bytes += bytes;
    const filesTotal = this.#filesTotal;
    const filesDone = content.unchanged.size;
    this.#options.onProgress?.({ filesDone, filesTotal, bytesDone: this.#bytes, bytesTotal: this.#bytesTotal });
  }

  /** A file with a hole where its content is damaged is worse than none. */
  #dropFailed(content: ContentRestore): void {
    for (const [{ path, shown }, message] of content.failed) {
      this.#problems.push({ path: shown, message });
      try {
        unlinkSync(path);
      } catch (error) {
        if (!isSystemError(error)) throw error;
        if (error.code !== 'ENOENT') this.#problems.push({ path: shown, message: error.message });
      }
    }
  }

  async #finish(work: readonly { item: PlannedItem; finish: FinishItem }[], pool: RestorePool): Promise<void> {
    const batches = Array.from({ length: Math.ceil(work.length / finishBatch) }, (_, i) =>
      work.slice(i * finishBatch, (i + 1) * finishBatch),
    );
    await mapConcurrently(batches, pool.capacity, async (batch) => {
      throwIfAborted(this.#options.signal);
      const result = await pool.run(() => ({ kind: 'finish', items: batch.map(({ finish }) => finish) }));
      if (result.kind !== 'finish') return;
      for (const { item, ...failure } of result.failures) {
        this.#fail(batch[item]?.item.shown ?? '', failure);
      }
    });
  }

  #link(item: PlannedItem, first: PlannedItem, content: ContentRestore): void {
    if (content.failed.has(first)) {
      this.#problems.push({ path: item.shown, message: `it is a link to ${first.shown}, which could not be restored` });
      return;
    }
    try {
      const target = lstatSync(first.path, { bigint: true });
      const existing = lstatSync(item.path, { bigint: true, throwIfNoEntry: false });
      if (existing?.ino === target.ino && existing.dev === target.dev) return;
      if (existing) unlinkSync(item.path);
      linkSync(first.path, item.path);
    } catch (error) {
      if (!isSystemError(error)) throw error;
      this.#problems.push({ path: item.shown, message: error.message });
    }
  }

  /** From the deepest up, since a mode may close the way to what is inside. */
  #finishFolders(folders: readonly PlannedItem[]): void {
    const writer = { libc: Libc.load(), restoresOwners: this.#isRoot };
    for (const { path, shown, node } of folders.toReversed()) {
      for (const failure of writeMetadata(writer, { path, metadata: toMetadata(node) })) this.#fail(shown, failure);
    }
  }

  #fail(path: string, { message, isGeneral }: { message: string; isGeneral: boolean }): void {
    if (!isGeneral) {
      this.#problems.push({ path, message });
      return;
    }
    const known = this.#general.get(message);
    if (known) known.count++;
    else this.#general.set(message, { path, count: 1 });
  }

  #reportGeneral(plan: RestorePlan): void {
    for (const [message, { path, count }] of this.#general) {
      this.#problems.push({ path, message: count === 1 ? message : `${message} (and ${count - 1} more)` });
    }
    if (this.#isRoot) return;
    const [uid, gid] = [process.getuid?.(), process.getgid?.()];
    const foreign = [...plan.files, ...plan.specials, ...plan.folders].find(
      ({ node }) => node.uid !== uid || node.gid !== gid,
    );
    if (foreign) {
      this.#problems.push({ path: foreign.shown, message: 'Owners were not restored: only root may give files away' });
    }
  }
}

function transfer(job: RestoreJob): ArrayBuffer[] {
  const bytes = job.kind === 'range' ? job.bytes : job.kind === 'blob' ? job.plaintext : undefined;
  const buffer = bytes?.buffer;
  return buffer instanceof ArrayBuffer && buffer.byteLength === bytes?.byteLength ? [buffer] : [];
}

function toMetadata(node: TreeNode): NodeMetadata {
  return {
    type: node.type,
    mode: node.mode,
    uid: node.uid,
    gid: node.gid,
    mtimeNs: parseTime(node.mtime) ?? 0n,
    atimeNs: parseTime(node.atime) ?? 0n,
    extendedAttributes: node.extendedAttributes ?? [],
  };
}

function toFinishItem(item: PlannedItem, { sparse }: { sparse: boolean }): FinishItem {
  const { path, node } = item;
  const needsSize = sparse || !item.isNew || node.size === 0;
  return { path, metadata: toMetadata(node), size: needsSize ? node.size : undefined };
}

function toSpecialItem({ path, node }: PlannedItem): FinishItem {
  const metadata = toMetadata(node);
  if (node.type === 'symlink') return { path, metadata, linkTarget: node.linkTarget ?? Buffer.alloc(0) };
  return { path, metadata, device: node.device };
}
