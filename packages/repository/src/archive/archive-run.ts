// What the inputs of one archive share: worker threads, the claims of blobs, the way of packs to the storage, sums and
// progress. The first failure of any part ends everything.

import { cancelledError, throwIfAborted, type OnProgress } from '@varve/base';
import { BlobClaims } from '../blob-index/blob-claims.ts';
import { Chunker, minChunkBytes } from '../chunker/chunker.ts';
import { Libc } from '../filesystem/libc.ts';
import type { NodeReader } from '../filesystem/read-node.ts';
import { UserNames } from '../filesystem/user-names.ts';
import { joinParts } from '../pack/join-parts.ts';
import type { Compression, FinishedPack, PackPart } from '../pack/pack-builder.ts';
import { PackUploader } from '../pack/pack-uploader.ts';
import type { Repository } from '../repository.ts';
import { TreeReader } from '../restore/tree-reader.ts';
import { TimeFormatter } from '../tree/go-time.ts';
import {
  ArchivePool,
  makeArchiveThreads,
  type ArchivePoolOptions,
  type ArchiveThreads,
  type ArchiveWork,
} from './archive-pool.ts';
import { InlinePool } from './inline-pool.ts';
import { measureSource, type Measure, type MeasureOptions } from './measure-source.ts';
import { addCounts, controlWords, noCounts, type Comparison, type Counts, type Item } from './worker-protocol.ts';

const progressIntervalMs = 100;
/**
 * Packs beside one of each worker that may wait for the storage: so many that work goes on while they are written and that a
 * remote storage has enough under way, few enough for the memory (16 to 25 MiB each).
 */
const unstoredPacksBesideWorkers = { local: 1, remote: 2 } as const;
/** A storage that wants no more at once is as fast as a disk. */
const connectionsOfDisk = 2;

export interface ArchiveRunOptions {
  readonly repository: Repository;
  readonly signal: AbortSignal;
  readonly onProgress?: OnProgress | undefined;
  readonly measure?: boolean | undefined;
  readonly compression?: Compression | undefined;
  readonly packSizeBytes?: number | undefined;
  /** Taken over: closing the run ends them. Made, `workers` of them, when absent. */
  readonly threads?: ArchiveThreads | undefined;
  readonly workers?: number | undefined;
  readonly withAccessTimes?: boolean | undefined;
  readonly extraVerify?: boolean | undefined;
  readonly comparison?: Partial<Comparison> | undefined;
  readonly onItem?: ((item: Item) => void) | undefined;
  /** Store nothing; every number is told as if. */
  readonly dryRun?: boolean | undefined;
}

export class ArchiveRun {
  readonly repository: Repository;
  readonly signal: AbortSignal;
  readonly pool: ArchiveWork;
  readonly reader: NodeReader;
  /** Trees of the parent snapshot. */
  readonly trees: TreeReader;
  /** Sums of everything so far. */
  readonly counts: Counts = noCounts();
  readonly comparison: Comparison;
  readonly onItem: ((item: Item) => void) | undefined;
  readonly #dryRun: boolean;
  readonly #packSizeBytes: number | undefined;
  readonly #extraVerify: boolean;
  readonly #claims: BlobClaims;
  readonly #uploader: PackUploader;
  readonly #uploads = new Set<Promise<void>>();
  readonly #parts: PackPart[] = [];
  readonly #background = new Set<Promise<void>>();
  readonly #chunkers: Chunker[] = [];
  readonly #onProgress: OnProgress | undefined;
  readonly #onAbort: () => void;
  readonly #measures: boolean;
  /** What the inputs come to, as far as they were counted. */
  readonly #expected: Measure = { files: 0, bytes: 0 };
  #measuring = 0;
  #zeroChunk: Promise<string> | undefined;
  #lastProgressMs = 0;

  constructor(options: ArchiveRunOptions) {
    const { repository, signal } = options;
    this.repository = repository;
    this.signal = signal;
    const { comparison, withAccessTimes = false, packSizeBytes } = options;
    this.comparison = { ignoreCtime: false, ignoreInode: false, ...comparison };
    this.onItem = options.onItem;
    this.#dryRun = options.dryRun ?? false;
    this.#packSizeBytes = packSizeBytes;
    this.#extraVerify = options.extraVerify ?? false;
    this.#onProgress = options.onProgress;
    this.#measures = options.onProgress !== undefined && options.measure === true;
    this.trees = new TreeReader(repository, signal);
    this.reader = { libc: Libc.load(), times: new TimeFormatter(), users: new UserNames(), withAccessTimes };
    this.#claims = new BlobClaims(repository.index);
    this.#uploader = new PackUploader(repository, { signal, onStored: (pack) => this.#stored(pack) });
    const threads = options.threads ?? makeArchiveThreads(options.workers);
    const isDisk = repository.storage.connections <= connectionsOfDisk;
    const work: Omit<ArchivePoolOptions, 'threads'> = {
      setup: {
        polynomial: repository.config.chunkerPolynomial,
        key: repository.key.reveal(),
        index: repository.index.share(),
        claims: this.#claims.share(),
        control: new SharedArrayBuffer(controlWords.total * 4),
        compression: options.compression ?? 'auto',
        packSizeBytes,
        comparison: this.comparison,
        withAccessTimes,
        extraVerify: this.#extraVerify,
        tellsItems: options.onItem !== undefined,
        maxUnstoredPacks: threads.size + unstoredPacksBesideWorkers[isDisk ? 'local' : 'remote'],
      },
      onEvent: (event) => {
        if (event.kind === 'pack') this.#upload(event.pack);
        else this.#parts.push(event.part);
      },
    };
    const { engine } = repository;
    // The threads were not started, and never are.
    this.pool =
      options.workers === 0
        ? new InlinePool({ ...work, engine, libc: this.reader.libc })
        : new ArchivePool({ ...work, threads });
    this.#onAbort = () => this.pool.fail(cancelledError(signal));
    signal.addEventListener('abort', this.#onAbort, { once: true });
  }

  /** Stores a tree in the background and yields its id at once. `onStored` gets what it cost: nothing when it was known. */
  storeTree(bytes: Buffer, onStored?: (counts: Counts) => void): string {
    const hash = this.repository.engine.sha256(bytes);
    const isNew = this.#claims.claim('tree', hash);
    if (isNew) {
      // A small Buffer may lie in Node's shared pool, which must not be transferred.
      const own = new Uint8Array(bytes);
      const stored = this.pool
        .run<'blob'>(() => ({ kind: 'blob', type: 'tree', bytes: own, id: hash }))
        .then(
          ({ counts }) => {
            this.add(counts);
            onStored?.(counts);
          },
          (error: unknown) => this.pool.fail(error),
        )
        .finally(() => this.#background.delete(stored));
      this.#background.add(stored);
    } else onStored?.(noCounts());
    return hash.toString('hex');
  }

  /** Stores a chunk, which it takes over, and yields its id. `counts` gets what it cost. */
  async storeData(bytes: Uint8Array<ArrayBuffer>, counts: Counts): Promise<string> {
    const result = await this.pool.run<'blob'>(() => ({ kind: 'blob', type: 'data', bytes }));
    addCounts(counts, result.counts);
    this.add(result.counts);
    return result.id;
  }

  /** Stores the chunk that holes consist of. */
  storeZeroChunk(counts: Counts): Promise<string> {
    return (this.#zeroChunk ??= this.storeData(new Uint8Array(minChunkBytes), counts));
  }

  /** Stores bytes, which it takes over, cut every `chunkBytes`, and yields the ids. */
  async storePages(bytes: Uint8Array<ArrayBuffer>, chunkBytes: number, counts: Counts): Promise<readonly string[]> {
    const result = await this.pool.run<'pages'>(() => ({ kind: 'pages', bytes, chunkBytes }));
    addCounts(counts, result.counts);
    this.add(result.counts);
    return result.ids;
  }

  /** Adds to the sums and reports progress. */
  add(counts: Counts, current?: string): void {
    addCounts(this.counts, counts);
    if (!this.#onProgress) return;
    const now = performance.now();
    if (now - this.#lastProgressMs < progressIntervalMs) return;
    this.#lastProgressMs = now;
    this.#report(current);
  }

  /** Counts what a folder holds beside saving it, when totals are wanted. */
  measure(source: Omit<MeasureOptions, 'signal'>): void {
    if (!this.#measures) return;
    this.#measuring++;
    measureSource({ ...source, signal: this.signal })
      .then((measure) => this.expect(measure))
      .catch(() => {})
      .finally(() => this.#measuring--);
  }

  /** Adds to the totals of the progress. */
  expect({ files, bytes }: Measure): void {
    this.#expected.files += files;
    this.#expected.bytes += bytes;
  }

  /** A chunker of its own for one input; give it back when done. */
  takeChunker(): Chunker {
    return this.#chunkers.pop() ?? new Chunker(this.repository.config.chunkerPolynomial);
  }

  giveChunker(chunker: Chunker): void {
    chunker.reset();
    this.#chunkers.push(chunker);
  }

  /** Resolves when everything is durable and indexed. Rejects with the first failure. */
  async flush(): Promise<void> {
    while (this.#background.size > 0) await Promise.all(this.#background);
    throwIfAborted(this.signal);
    await this.pool.flush();
    const { engine, key } = this.repository;
    const options = { engine, key, packSizeBytes: this.#packSizeBytes, verify: this.#extraVerify };
    for (const pack of joinParts(this.#parts, options)) this.#upload(pack);
    this.#parts.length = 0;
    while (this.#uploads.size > 0) await Promise.all(this.#uploads);
    await this.#uploader.flush();
    throwIfAborted(this.signal);
    if (this.#onProgress) this.#report(undefined);
  }

  /**
   * Ends threads and uploads; idempotent. With `keepsStored`, packs that are durable and in no index file yet are noted in
   * one, so that the next run finds them. After it nothing more is written.
   */
  async close({ keepsStored }: { readonly keepsStored: boolean }): Promise<void> {
    this.signal.removeEventListener('abort', this.#onAbort);
    await this.pool.close();
    await Promise.allSettled([...this.#uploads, ...this.#background]);
    await this.#uploader.settle({ writesIndex: keepsStored });
  }

  /** Gives the memory back at once: the garbage collector sees a small object and takes its time. */
  #stored({ bytes }: FinishedPack): void {
    bytes.buffer.transfer(0);
    this.pool.packSettled();
  }

  #report(current: string | undefined): void {
    const { filesNew, filesChanged, filesUnmodified, bytes } = this.counts;
    const filesDone = filesNew + filesChanged + filesUnmodified;
    const { files: filesTotal, bytes: bytesTotal } = this.#expected;
    const isMeasured = this.#measures && this.#measuring === 0 && filesTotal >= filesDone && bytesTotal >= bytes;
    this.#onProgress?.({ filesDone, bytesDone: bytes, current, ...(isMeasured ? { filesTotal, bytesTotal } : {}) });
  }

  #upload(pack: FinishedPack): void {
    if (this.#dryRun) {
      this.pool.packSettled();
      return;
    }
    const upload = this.#uploader
      .add(pack)
      .catch((error: unknown) => this.pool.fail(error))
      .finally(() => this.#uploads.delete(upload));
    this.#uploads.add(upload);
  }
}
