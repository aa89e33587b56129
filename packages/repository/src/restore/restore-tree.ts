// Brings a folder of a snapshot back to disk, part by part, so that memory does not grow with the number of files: plan, contents,
// links and metadata; when all parts are done what is to be removed, folders last. An interrupted restore can be repeated: a file gets its time only when it is complete, and nothing is removed before all is
// written, but for what is in the way.

import { linkSync, lstatSync, unlinkSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { AppError, isAppError, mapConcurrently, throwIfAborted, cancelledError, type OnProgress } from '@varve/base';
import type { Problem } from '../archive/worker-protocol.ts';
import { Libc } from '../filesystem/libc.ts';
import { pathComponents } from '../filesystem/byte-path.ts';
import { removePath } from '../filesystem/remove-path.ts';
import { isSystemError } from '../filesystem/system-error.ts';
import { writeMetadata } from '../filesystem/write-metadata.ts';
import type { Repository } from '../repository.ts';
import { SpareBuffers } from '../threads/spare-buffers.ts';
import { ThreadPool } from '../threads/thread-pool.ts';
import { printableName } from '../tree/go-quote.ts';
import { attributeSelection } from './attribute-selection.ts';
import { findIndexedNode } from './find-node.ts';
import { toFileItem, toMetadata, toSpecialItem } from './finish-items.ts';
import { throwIfFull } from './full-disk.ts';
import { mapOwner, type OwnerMap } from './owner-map.ts';
import { ContentRestore, type RestorePool } from './restore-content.ts';
import { RestoreReport, type ExpectedRestore, type RestoreCounts, type RestoredItem } from './restore-report.ts';
import { RestorePlanner, type Overwrite, type PlannedItem, type Removal, type RestorePlan } from './restore-plan.ts';
import type { AttributePatterns, FinishItem, RestoreJob, RestoreJobResult, RestoreSetup } from './restore-protocol.ts';
import { RestoreSelection, type SelectionOptions } from './restore-selection.ts';

export interface RestoreOptions extends SelectionOptions {
  readonly treeId: string;
  /** Folder of the snapshot whose content is restored, or a single entry; `/` when absent. */
  readonly path?: string | undefined;
  /** Folder that gets the content; made when missing. It also gets the metadata of `path`, unless that is `/`. */
  readonly target: string;
  /** Patterns are matched against paths, and paths reported, from `path` on; from the root of the snapshot when absent. */
  readonly relativePaths?: boolean | undefined;
  /** `always` when absent: contents are compared, and only chunks that differ are written. */
  readonly overwrite?: Overwrite | undefined;
  /** Remove what the snapshot does not have and the patterns select, in the folders that are restored. */
  readonly deleteOthers?: boolean | undefined;
  /** Other owners for what is restored. */
  readonly owners?: OwnerMap | undefined;
  /** Extended attributes that are restored; all when absent. Others on disk are left as they are. */
  readonly attributes?: AttributePatterns | undefined;
  /** Change nothing; contents are compared, and every object is reported as it would be. */
  readonly dryRun?: boolean | undefined;
  /** Read every file again at the end. */
  readonly verify?: boolean | undefined;
  /** Leave zeros out of new files, so that the file system stores holes. */
  readonly sparse?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: OnProgress | undefined;
  /** Totals for the progress, where the caller knows them; otherwise they grow while the restore is planned. */
  readonly expected?: ExpectedRestore | undefined;
  /** Told of every object. */
  readonly onItem?: ((item: RestoredItem) => void) | undefined;
  readonly workers?: number | undefined;
}

export interface RestoreResult extends Readonly<RestoreCounts> {
  /** Bytes of content that were written: of files that were changed only what differed. */
  readonly bytes: number;
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
  readonly #report: RestoreReport;
  readonly #selection: RestoreSelection;
  readonly #isRoot = process.getuid?.() === 0;
  /** Files whose content could not be restored. */
  readonly #failed = new Set<PlannedItem>();
  /** Files with other names on disk that have their content already. */
  readonly #keptShared = new Set<PlannedItem>();
  /** Ends the planning of parts that will not be restored any more. */
  readonly #planning = new AbortController();
  #foreign: string | undefined;
  #bytesWritten = 0;

  constructor(repository: Repository, options: RestoreOptions) {
    this.#repository = repository;
    this.#options = options;
    this.#report = new RestoreReport(options);
    this.#selection = new RestoreSelection(options);
  }

  async run(): Promise<RestoreResult> {
    const { attributes = {}, sparse = false, workers, signal } = this.#options;
    const parts = await this.#parts();
    const key = this.#repository.key.reveal();
    const setup: RestoreSetup = { key, restoresOwners: this.#isRoot, sparse, attributes };
    const file = new URL('./restore-worker.ts', import.meta.url);
    const threads = Math.max(1, workers ?? Math.max(2, availableParallelism()));
    const pool: RestorePool = new ThreadPool<RestoreJob, RestoreJobResult>({ file, setup, threads, transfer });
    const onAbort = (): void => {
      pool.fail(cancelledError(signal));
    };
    signal?.addEventListener('abort', onAbort, { once: true });
    try {
      await this.#run(parts, pool);
    } finally {
      this.#planning.abort();
      await parts.return(undefined).catch(() => {});
      signal?.removeEventListener('abort', onAbort);
      await pool.close();
    }
    const { counts, problems } = this.#report;
    return { ...counts, bytes: this.#bytesWritten, problems };
  }

  async #run(parts: AsyncGenerator<RestorePlan>, pool: RestorePool): Promise<void> {
    const { dryRun = false, signal } = this.#options;
    const repository = this.#repository;
    const spare = new SpareBuffers(pool.capacity);
    const folders: PlannedItem[] = [];
    const removals: Removal[] = [];
    for await (const part of oneAhead(parts)) {
      this.#report.begin(part);
      const content = new ContentRestore({ repository, pool, spare, signal, onDone: this.#report.advance });
      if (dryRun) await this.#pretend(part, content);
      else await this.#write(part, content, pool);
      this.#bytesWritten += content.bytesWritten;
      for (const folder of part.folders) folders.push(folder);
      for (const removal of part.removals) removals.push(removal);
    }
    throwIfAborted(signal);
    await this.#removeOthers(removals);
    if (dryRun) {
      for (const item of folders.toReversed()) this.#report.folder(item);
      return;
    }
    this.#finishFolders(folders);
    this.#report.endGeneral();
    if (this.#foreign) this.#report.problem(this.#foreign, 'Owners were not restored: only root may give files away');
  }

  async #parts(): Promise<AsyncGenerator<RestorePlan>> {
    const { treeId, path = '/', relativePaths, overwrite = 'always', signal } = this.#options;
    const { deleteOthers = false, dryRun = false } = this.#options;
    const planning = this.#planning.signal;
    const isRoot = pathComponents(Buffer.from(path)).every((part) => part.equals(Buffer.from('.')));
    const node = isRoot ? undefined : await findIndexedNode(this.#repository, { treeId, path, signal });
    const planner = new RestorePlanner(this.#repository, {
      treeId: node?.subtree ?? treeId,
      path: isRoot || relativePaths ? '/' : path.replace(/\/+$/, ''),
      target: Buffer.from(resolve(this.#options.target)),
      selection: this.#selection,
      overwrite,
      deleteOthers,
      dryRun,
      signal: signal ? AbortSignal.any([signal, planning]) : planning,
      onSkipped: (item) => this.#report.unchanged(item),
      onRemoved: (removed) => this.#report.deleted(removed),
    });
    if (!node || node.type === 'dir') return planner.make(node);
    return planner.makeForEntry(node, relativePaths ? `/${printableName(node.name)}` : path);
  }

  /** Tells what {@link Restore.#write} would do. */
  async #pretend(part: RestorePlan, content: ContentRestore): Promise<void> {
    await content.compare(part.files);
    for (const [{ shown }, message] of content.failed) this.#report.problem(shown, message);
    for (const item of part.files) this.#fileDone(item, content);
    for (const item of part.specials) this.#report.restored(item);
    for (const { item, first } of part.links) {
      const isReplaced = first.isShared && !this.#keptShared.has(first);
      this.#report.linked(item, !isReplaced && isSameFile(item, first));
    }
  }

  async #write(part: RestorePlan, content: ContentRestore, pool: RestorePool): Promise<void> {
    const { verify, sparse = false, owners } = this.#options;
    await content.run(part.files);
    this.#dropFailed(content);
    const files = part.files.filter((item) => !content.failed.has(item));
    const fileWork = files.map((item) => ({ item, finish: toFileItem(item, { sparse, owners }) }));
    await this.#finish(fileWork, { pool, onFinished: (item) => this.#fileDone(item, content) });
    const specialWork = part.specials.map((item) => ({ item, finish: toSpecialItem(item, owners) }));
    await this.#finish(specialWork, {
      pool,
      onFinished: (item) => {
        this.#report.restored(item);
        this.#report.advance({ files: 1, bytes: 0 });
      },
    });
    for (const { item, first } of part.links) this.#link(item, first);
    if (verify) {
      for (const { shown } of await content.verify(files)) {
        this.#report.problem(shown, 'its content on disk is not what the snapshot holds');
      }
    }
    this.#noteForeign(part);
  }

  #fileDone(item: PlannedItem, content: ContentRestore): void {
    if (content.unchanged.has(item)) {
      this.#report.unchanged(item);
      if (item.isShared) this.#keptShared.add(item);
    } else if (!content.failed.has(item)) this.#report.restored(item, item.node.size);
  }

  /** A file with a hole where its content is damaged is worse than none. */
  #dropFailed(content: ContentRestore): void {
    for (const [item, message] of content.failed) {
      const { path, shown } = item;
      this.#failed.add(item);
      this.#report.problem(shown, message);
      try {
        unlinkSync(path);
      } catch (error) {
        if (!isSystemError(error)) throw error;
        if (error.code !== 'ENOENT') this.#report.problem(shown, error.message);
      }
    }
  }

  async #finish(
    work: readonly { item: PlannedItem; finish: FinishItem }[],
    { pool, onFinished }: { readonly pool: RestorePool; readonly onFinished: (item: PlannedItem) => void },
  ): Promise<void> {
    const batches = Array.from({ length: Math.ceil(work.length / finishBatch) }, (_, i) =>
      work.slice(i * finishBatch, (i + 1) * finishBatch),
    );
    await mapConcurrently(batches, pool.capacity, async (batch) => {
      throwIfAborted(this.#options.signal);
      const result = await pool.run(() => ({ kind: 'finish', items: batch.map(({ finish }) => finish) }));
      if (result.kind !== 'finish') return;
      const lost = new Set<number>();
      for (const { item, isLost, ...failure } of result.failures) {
        if (isLost) lost.add(item);
        this.#report.failed(batch[item]?.item.shown ?? '', failure);
      }
      for (const [i, { item }] of batch.entries()) if (!lost.has(i)) onFinished(item);
    });
  }

  #link(item: PlannedItem, first: PlannedItem): void {
    if (this.#failed.has(first)) {
      this.#report.problem(item.shown, `it is a link to ${first.shown}, which could not be restored`);
      return;
    }
    try {
      const isUnchanged = isSameFile(item, first);
      if (!isUnchanged) {
        if (lstatSync(item.path, { throwIfNoEntry: false })) unlinkSync(item.path);
        linkSync(first.path, item.path);
      }
      this.#report.linked(item, isUnchanged);
    } catch (error) {
      if (!isSystemError(error)) throw error;
      throwIfFull(error);
      this.#report.problem(item.shown, error.message);
    }
  }

  async #removeOthers(removals: readonly Removal[]): Promise<void> {
    const { dryRun } = this.#options;
    for (const { path, shown } of removals) {
      // Lets a wish to stop come through.
      await setImmediate();
      throwIfAborted(this.#options.signal);
      const keeps = (names: readonly Buffer[]): boolean =>
        this.#selection.excludes([shown, ...names.map(printableName)].join('/'));
      try {
        removePath(path, { dryRun, keeps, onRemoved: (removed) => this.#report.deleted(removed) });
      } catch (error) {
        if (!isSystemError(error)) throw error;
        this.#report.problem(shown, error.message);
      }
    }
  }

  /** From the deepest up, since a mode may close the way to what is inside. */
  #finishFolders(folders: readonly PlannedItem[]): void {
    const selectsAttribute = attributeSelection(this.#options.attributes ?? {});
    const writer = { libc: Libc.load(), restoresOwners: this.#isRoot, selectsAttribute };
    for (const item of folders.toReversed()) {
      const metadata = toMetadata(item.node, this.#options.owners);
      for (const failure of writeMetadata(writer, { path: item.path, metadata }))
        this.#report.failed(item.shown, failure);
      this.#report.folder(item);
    }
  }

  /** The first object that somebody else owned, where owners cannot be restored. */
  #noteForeign({ files, specials, folders }: RestorePlan): void {
    if (this.#isRoot || this.#foreign) return;
    const own = { uid: process.getuid?.(), gid: process.getgid?.() };
    this.#foreign = [...files, ...specials, ...folders].find(({ node }) => {
      const { uid, gid } = mapOwner(node, this.#options.owners);
      return uid !== own.uid || gid !== own.gid;
    })?.shown;
  }
}

/** Lets a generator work on its next part while this one is used. */
async function* oneAhead<T>(source: AsyncGenerator<T>): AsyncGenerator<T> {
  let next = source.next();
  for (let step = await next; !step.done; step = await next) {
    next = source.next();
    // It is reported when it is waited for.
    next.catch(() => {});
    yield step.value;
  }
}

/** Whether two places are names of one file. */
function isSameFile(item: PlannedItem, first: PlannedItem): boolean {
  const a = lstatSync(item.path, { bigint: true, throwIfNoEntry: false });
  const b = lstatSync(first.path, { bigint: true, throwIfNoEntry: false });
  return a !== undefined && b !== undefined && a.ino === b.ino && a.dev === b.dev;
}

function transfer(job: RestoreJob): ArrayBuffer[] {
  if (job.kind === 'range') return [job.bytes.buffer];
  if (job.kind !== 'blob') return [];
  const { buffer, byteLength } = job.plaintext;
  return buffer instanceof ArrayBuffer && buffer.byteLength === byteLength ? [buffer] : [];
}
