// Takes blobs from one repository to another: reads runs of neighbours from the source's packs, has them checked and sealed anew
// (in worker threads when there is much), and hands full packs to the destination. Memory is bounded: a few runs and packs.

import { availableParallelism } from 'node:os';
import { mapConcurrently, throwIfAborted } from '@varve/base';
import { BlobClaims } from '../blob-index/blob-claims.ts';
import type { BlobType } from '../pack/blob-type.ts';
import { defaultPackSizeBytes, type Compression, type FinishedPack } from '../pack/pack-builder.ts';
import type { OpenedBlob } from '../pack/pack-reader.ts';
import { PackUploader } from '../pack/pack-uploader.ts';
import type { Repository } from '../repository.ts';
import { ThreadPool } from '../threads/thread-pool.ts';
import { loadRun } from '../walk/read-trees.ts';
import { groupIntoRuns, type StoredBlob, type StoredRun } from '../walk/stored-runs.ts';
import type { CopyJob, CopyJobResult, CopyThreadSetup } from './copy-worker.ts';
import { Resealer, type ResealResult } from './resealer.ts';

const mostRunBytes = 4 * 1024 * 1024;
const mostRunsAtOnce = 8;
const mostThreads = 4;
const mostBuffers = 2;
/** One core for this thread and one for the system: with fewer than three, threads gain nothing over a disk. */
const coresForOthers = 2;
/** Less is sealed anew faster than threads start. */
const threadsFromBytes = 128 * 1024 * 1024;
/** Stored packs are listed in an index file this often, so that the next run finds what an interrupted one has copied. */
const indexAgeMs = 2 * 60_000;

export interface DataCopierOptions {
  readonly source: Repository;
  readonly destination: Repository;
  readonly compression: Compression;
  readonly signal: AbortSignal | undefined;
  /** Threads that seal anew; by the size of the work and the machine when absent, 0 for none beside this one. */
  readonly workers: number | undefined;
  /** Told when a run of blobs is done: bytes that it takes in the source's pack, and whether it was the last of that pack. */
  readonly onRun: (run: { readonly storedBytes: number; readonly isPackDone: boolean }) => void;
}

export class DataCopier implements AsyncDisposable {
  readonly #options: DataCopierOptions;
  readonly #claims: BlobClaims;
  readonly #uploader: PackUploader;
  readonly #resealers: Readonly<Record<BlobType, Resealer>>;
  #pool: ThreadPool<CopyJob, CopyJobResult> | null = null;
  #plaintextBytes = 0;
  /** Memory of packs that are stored: to make it anew for each pack would leave much garbage. */
  readonly #buffers: ArrayBuffer[] = [];

  constructor(options: DataCopierOptions) {
    const { source, destination, compression, signal } = options;
    this.#options = options;
    this.#claims = new BlobClaims(destination.index);
    this.#uploader = new PackUploader(destination, { signal, indexAgeMs, onStored: ({ bytes }) => this.#keep(bytes) });
    const keys = { sourceKey: source.key, destinationKey: destination.key, engine: destination.engine, compression };
    const takeBuffer = (): ArrayBuffer | undefined => this.#buffers.pop();
    this.#resealers = {
      data: new Resealer({ ...keys, type: 'data', takeBuffer }),
      tree: new Resealer({ ...keys, type: 'tree' }),
    };
  }

  /** Bytes of the packs that were stored. */
  get bytesStored(): number {
    return this.#uploader.bytesStored;
  }

  /** Plaintext bytes of the blobs that were taken over. */
  get plaintextBytes(): number {
    return this.#plaintextBytes;
  }

  /** Whether the destination lacks a blob that was not claimed before: who is told so has to hand it in. */
  claim(type: BlobType, id: string): boolean {
    return this.#claims.claim(type, Buffer.from(id, 'hex'));
  }

  /** Takes over a tree that is read already. */
  async addTree(id: string, tree: OpenedBlob): Promise<void> {
    this.#plaintextBytes += tree.plaintext.length;
    await this.#upload(this.#resealers.tree.add(id, tree));
  }

  /** Takes over data blobs of the source. REPOSITORY_DAMAGED, which names the blob, when there is no good copy of one. */
  async addData(blobs: readonly StoredBlob[]): Promise<void> {
    const bytes = blobs.reduce((sum, { length }) => sum + length, 0);
    const threads = this.#options.workers ?? (bytes < threadsFromBytes ? 0 : usefulThreads());
    if (threads > 0) this.#pool ??= this.#startPool(threads);
    const { connections } = this.#options.source.storage;
    const runsAtOnce = Math.min(mostRunsAtOnce, Math.max(connections, this.#pool?.capacity ?? 1));
    const runs = groupIntoRuns(blobs, mostRunBytes);
    const left = new Map<string, number>();
    for (const { packId } of runs) left.set(packId, (left.get(packId) ?? 0) + 1);
    await mapConcurrently(runs, runsAtOnce, async (run) => {
      await this.#copyRun(run);
      const runsLeft = (left.get(run.packId) ?? 1) - 1;
      left.set(run.packId, runsLeft);
      const storedBytes = run.blobs.reduce((sum, { length }) => sum + length, 0);
      this.#options.onRun({ storedBytes, isPackDone: runsLeft === 0 });
    });
  }

  /** Resolves when everything that was handed in is durable and in a durable index file. */
  async flush(): Promise<void> {
    throwIfAborted(this.#options.signal);
    const { data, tree } = this.#resealers;
    for (const { part } of (await this.#pool?.runOnEach({ kind: 'flush' })) ?? []) {
      if (part) await this.#upload(data.addPart(part));
    }
    await this.#upload([...data.finish(), ...tree.finish()]);
    await this.#uploader.flush();
  }

  /** Ends the threads and waits for what is under way. What was not flushed may be lost. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pool?.close();
    await this.#uploader.settle();
  }

  #startPool(threads: number): ThreadPool<CopyJob, CopyJobResult> {
    const { source, destination, compression } = this.#options;
    const setup: CopyThreadSetup = {
      sourceKey: source.key.reveal(),
      destinationKey: destination.key.reveal(),
      compression,
    };
    return new ThreadPool({ file: new URL('./copy-worker.ts', import.meta.url), setup, threads, transfer });
  }

  async #copyRun(run: StoredRun): Promise<void> {
    const { source, signal } = this.#options;
    throwIfAborted(signal);
    const { packs, damaged, plaintextBytes } = await this.#reseal(run, await loadRun(source, run, signal));
    this.#plaintextBytes += plaintextBytes;
    await this.#upload(packs);
    for (const { id } of damaged) {
      const plaintext = await source.loadBlob('data', id, { signal });
      this.#plaintextBytes += plaintext.length;
      await this.#upload(this.#resealers.data.add(id, { plaintext, frame: null }));
    }
  }

  async #reseal({ offset, blobs }: StoredRun, bytes: Uint8Array | null): Promise<ResealResult> {
    if (!bytes) return { packs: [], damaged: blobs, plaintextBytes: 0 };
    if (this.#pool) return this.#pool.run(() => ({ kind: 'run', bytes, offset, blobs }));
    return this.#resealers.data.run({ bytes, offset, blobs });
  }

  #keep({ buffer }: FinishedPack['bytes']): void {
    if (this.#buffers.length < mostBuffers && buffer.byteLength >= defaultPackSizeBytes) this.#buffers.push(buffer);
  }

  async #upload(packs: readonly FinishedPack[]): Promise<void> {
    for (const pack of packs) await this.#uploader.add(pack);
  }
}

function usefulThreads(): number {
  return Math.min(mostThreads, Math.max(0, availableParallelism() - coresForOthers));
}

/** Small reads may lie in memory that they share with others. */
function transfer(job: CopyJob): ArrayBuffer[] {
  if (job.kind !== 'run' || job.bytes.byteLength !== job.bytes.buffer.byteLength) return [];
  return [job.bytes.buffer as ArrayBuffer];
}
