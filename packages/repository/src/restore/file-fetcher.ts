// Writes single files of snapshots to disk, one after the other or a few at once, with worker threads that are kept between them: a
// restore of one file would start its threads anew each time. The threads open, prove and write; nothing comes back to this one.

import { availableParallelism } from 'node:os';
import { AppError, Limiter, mapConcurrently, throwIfAborted } from '@varve/base';
import { plaintextLength } from '../blob-index/blob-index.ts';
import { isDamage, type Repository } from '../repository.ts';
import { ownBytes, SpareBuffers } from '../threads/spare-buffers.ts';
import { ThreadPool } from '../threads/thread-pool.ts';
import { printableName } from '../tree/go-quote.ts';
import type { TreeNode } from '../tree/tree-node.ts';
import { findIndexedNode, type SnapshotPath } from './find-node.ts';
import { toRanges, type NeededBlob, type Range, type RestorePool } from './restore-content.ts';
import type { RestoreJob, RestoreJobResult, RestoreSetup, WrittenFile } from './restore-protocol.ts';

export interface FileFetcherOptions {
  /** Threads; as many as there are processors unless told, at least two. */
  readonly workers?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface FetchedFile extends SnapshotPath {
  /** Where the content goes: a path that nobody else writes to. An existing file has to be empty; it keeps its mode. */
  readonly target: string;
}

/** Holds threads until it is disposed. The caller holds a shared lock while anything may prune. */
export class FileFetcher implements AsyncDisposable {
  readonly #repository: Repository;
  readonly #pool: RestorePool;
  readonly #spare: SpareBuffers;
  /** Ranges in memory; in the order in which they are asked for, so that no file waits for later ones. */
  readonly #limiter: Limiter;
  #nextNumber = 0;

  private constructor(repository: Repository, threads: number) {
    const key = repository.key.reveal();
    const setup: RestoreSetup = { key, restoresOwners: false, sparse: false, attributes: {} };
    const file = new URL('./restore-worker.ts', import.meta.url);
    const transfer = (job: RestoreJob): ArrayBuffer[] => (job.kind === 'range' ? [job.bytes.buffer] : []);
    this.#repository = repository;
    this.#pool = new ThreadPool<RestoreJob, RestoreJobResult>({ file, setup, threads, transfer });
    this.#spare = new SpareBuffers(this.#pool.capacity);
    this.#limiter = new Limiter(this.#pool.capacity);
  }

  /** Reads the index and starts the threads. Files of snapshots that are made later may not be found. */
  static async open(repository: Repository, options: FileFetcherOptions = {}): Promise<FileFetcher> {
    await repository.loadIndex({ signal: options.signal });
    const fetcher = new FileFetcher(repository, Math.max(1, options.workers ?? Math.max(2, availableParallelism())));
    fetcher.#pool.start();
    return fetcher;
  }

  /**
   * Writes a file's content to its target and yields its bytes. When this settles nothing is written any more, whether it failed or
   * not; what was written of a file that failed stays for the caller to remove. Not fsynced. PATH_NOT_FOUND when it is no file,
   * REPOSITORY_DAMAGED when a part of it is lost, RESTORE_FAILED when it cannot be written.
   */
  async fetch(file: FetchedFile): Promise<number> {
    const { signal } = file;
    const node = await findIndexedNode(this.#repository, file);
    if (node.type !== 'file') throw new AppError('PATH_NOT_FOUND', `${file.path} is not a file in the snapshot.`);
    const written: WrittenFile = { number: this.#nextNumber++, path: Buffer.from(file.target), isNew: true };
    const ranges = this.#ranges(node, written.number);
    await mapConcurrently(ranges, this.#pool.capacity, (range) =>
      this.#limiter.run(() => this.#writeRange(range, written, signal)),
    );
    return node.size ?? 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pool.close();
  }

  #ranges(node: TreeNode, number: number): Range[] {
    const packs = new Map<string, Map<string, NeededBlob>>();
    let offset = 0;
    for (const id of node.content ?? []) {
      const location = this.#repository.index.lookup('data', id);
      if (!location) throw new AppError('REPOSITORY_DAMAGED', `The data blob ${id} is not in the index.`);
      const blobs = packs.get(location.packId) ?? new Map<string, NeededBlob>();
      packs.set(location.packId, blobs);
      const blob = blobs.get(id) ?? { id, location, placements: [] };
      blobs.set(id, blob);
      blob.placements.push({ file: number, offset });
      offset += plaintextLength(location);
    }
    if (offset !== (node.size ?? 0)) {
      throw new AppError(
        'REPOSITORY_DAMAGED',
        `The file ${printableName(node.name)} has ${offset} bytes, but its record says ${node.size}.`,
      );
    }
    return [...packs].flatMap(([packId, blobs]) => toRanges(packId, [...blobs.values()]));
  }

  async #writeRange(range: Range, file: WrittenFile, signal: AbortSignal | undefined): Promise<void> {
    throwIfAborted(signal);
    const { packId, offset, length } = range;
    const handle = { type: 'pack', name: packId } as const;
    let bytes: Uint8Array<ArrayBuffer>;
    try {
      const buffer = this.#spare.take(length);
      bytes = ownBytes(await this.#repository.storage.load(handle, { offset, length, signal, buffer }), buffer);
    } catch (error) {
      if (!isDamage(error)) throw error;
      for (const blob of range.blobs) await this.#writeCopy(blob, file, signal);
      return;
    }
    const blobs = range.blobs.map(({ id, location, placements }) => ({
      id,
      offset: location.offset - offset,
      length: location.length,
      uncompressedLength: location.uncompressedLength,
      placements,
    }));
    const result = await this.#pool.run(() => ({ kind: 'range', packId, bytes, blobs, files: [file], closes: true }));
    if (result.kind !== 'range') throw new AppError('INTERNAL', `A range was answered with ${result.kind}.`);
    this.#spare.give(result.buffer);
    throwFailures(result.failures);
    for (const position of result.damaged) {
      const blob = range.blobs[position];
      if (blob) await this.#writeCopy(blob, file, signal);
    }
  }

  /** The stored bytes were bad: fetched again, or any other copy; its error is that of the file. */
  async #writeCopy({ id, placements }: NeededBlob, file: WrittenFile, signal: AbortSignal | undefined): Promise<void> {
    const plaintext = await this.#repository.loadBlob('data', id, { signal });
    const result = await this.#pool.run(() => ({ kind: 'blob', plaintext, placements, files: [file], closes: true }));
    if (result.kind === 'blob') throwFailures(result.failures);
  }
}

function throwFailures(failures: readonly { readonly message: string }[]): void {
  const [first] = failures;
  if (first) throw new AppError('RESTORE_FAILED', first.message);
}
