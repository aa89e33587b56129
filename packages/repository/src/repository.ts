// An open repository: its key, its index, its blobs and snapshots. One per process and place is enough: it keeps what it has
// read. Files are checked against their names and ciphertexts against their tags before anything is believed.

import { AppError, isAppError, mapConcurrently, throwIfAborted, type OnProgress } from '@varve/base';
import type { FileInfo, Storage } from '@varve/storage';
import { BlobIndex, type BlobLocation, type IndexedPack } from './blob-index/blob-index.ts';
import { addIndexFile, encodeIndexedPacks, encodeIndexFile, type PackListing } from './blob-index/index-file.ts';
import type { MasterKey } from './crypto/master-key.ts';
import type { UnitCipher } from './crypto/unit-cipher.ts';
import type { Compressor, Engine } from './native/engine.ts';
import type { BlobType } from './pack/blob-type.ts';
import { openBlob } from './pack/pack-reader.ts';
import { findSnapshotIn, type SnapshotFilter } from './snapshot/find-snapshot.ts';
import { SnapshotDigest, type DigestStore } from './snapshot/snapshot-digest.ts';
import {
  snapshotTimeNs,
  sortSnapshots,
  decodeSnapshot,
  encodeSnapshot,
  type NewSnapshot,
  type Snapshot,
} from './snapshot/snapshot.ts';
import type { RepositoryConfig } from './store/config.ts';
import { decodeUnpacked, encodeUnpacked } from './store/unpacked.ts';

export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
}

/** Unpacked files that the repository reads at once: they are small, so latency counts and not bandwidth. */
const filesAtOnce = 16;
const unpackedLevel = 3;
/** A cache fetches packs of trees whole; those of other programs may be far larger than ours. */
export const mostBytesKept = 32 * 1024 * 1024;

export class Repository implements AsyncDisposable {
  readonly id: string;
  readonly version: 1 | 2;
  readonly storage: Storage;
  readonly engine: Engine;
  /** For this room's own use: seals and opens units with the master key. */
  readonly cipher: UnitCipher;
  /** For this room's own use: worker threads make their own cipher of it. */
  readonly key: MasterKey;
  readonly config: RepositoryConfig;
  readonly #compressor: Compressor | null;
  #keyId: string;
  #index = new BlobIndex();
  #indexFiles = new Set<string>();
  #indexLoad: Promise<void> = Promise.resolve();
  #snapshots = new Map<string, Snapshot>();
  readonly #snapshotTimes = new WeakMap<Snapshot, bigint>();
  readonly #digest: SnapshotDigest | null;

  /** Made by `createRepository` and `openRepository`. */
  constructor(parts: {
    readonly storage: Storage;
    readonly engine: Engine;
    readonly key: MasterKey;
    readonly cipher: UnitCipher;
    readonly config: RepositoryConfig;
    readonly digests?: DigestStore | undefined;
    readonly keyId: string;
  }) {
    this.storage = parts.storage;
    this.engine = parts.engine;
    this.key = parts.key;
    this.cipher = parts.cipher;
    this.config = parts.config;
    this.#keyId = parts.keyId;
    this.id = parts.config.id;
    this.version = parts.config.version;
    this.#compressor = this.version === 2 ? this.engine.createCompressor(unpackedLevel) : null;
    this.#digest = parts.digests ? new SnapshotDigest(parts.digests, parts) : null;
  }

  /** The name of the key file that the password opened. */
  get keyId(): string {
    return this.#keyId;
  }

  /** For this room's own use, when the password was changed: another key file holds the same master key. */
  useKeyFile(keyId: string): void {
    this.#keyId = keyId;
  }

  /** What {@link Repository.loadIndex} has read, and what was stored since. A new object after packs were removed. */
  get index(): BlobIndex {
    return this.#index;
  }

  /** Whether {@link Repository.loadIndex} has read something: to do so again costs little. */
  get knowsIndex(): boolean {
    return this.#indexFiles.size > 0;
  }

  /**
   * Reads the index files that were not read yet. When one that was read is gone (somebody pruned), everything is read
   * again. List snapshots before, so that the index is at least as new as they are.
   */
  async loadIndex(options: CallOptions & { readonly onProgress?: OnProgress | undefined } = {}): Promise<void> {
    // One after the other: two at once would read the same files.
    const load = this.#indexLoad.then(() => this.#loadIndex(options));
    this.#indexLoad = load.catch(() => {});
    await load;
  }

  /**
   * The plaintext of a blob, checked against its id. Every stored copy is tried. REPOSITORY_DAMAGED when none is good or
   * the blob is not in the index.
   */
  async loadBlob(
    type: BlobType,
    id: string,
    options: CallOptions & { /** Looked up here instead. */ readonly index?: BlobIndex | undefined } = {},
  ): Promise<Uint8Array> {
    const copies = (options.index ?? this.#index).lookupAll(type, id);
    if (copies.length === 0) throw new AppError('REPOSITORY_DAMAGED', `The ${type} blob ${id} is not in the index.`);
    let firstError: unknown;
    for (const copy of copies) {
      try {
        return await this.#loadCopy(type, id, copy, options.signal);
      } catch (error) {
        if (!isDamage(error)) throw error;
        firstError ??= error;
      }
    }
    throw firstError;
  }

  /** Every snapshot, the oldest first. REPOSITORY_DAMAGED when one cannot be read. */
  async listSnapshots(options: CallOptions = {}): Promise<Snapshot[]> {
    const { snapshots, failures } = await this.readSnapshots(options);
    const [failure] = failures;
    if (failure) throw failure.error;
    return snapshots;
  }

  /** Like {@link Repository.listSnapshots}, with those that cannot be read beside those that can. */
  async readSnapshots(
    options: CallOptions & {
      /** Reads the files again instead of trusting what was read before. */ readonly fresh?: boolean | undefined;
    } = {},
  ): Promise<{ snapshots: Snapshot[]; failures: { readonly id: string; readonly error: unknown }[] }> {
    const { fresh, signal } = options;
    // Lists that are made at the same time go on with what was read before.
    const known = fresh ? new Map<string, Snapshot>() : this.#snapshots;
    const names = new Set<string>();
    for await (const { name } of this.storage.list('snapshot', { signal, sizes: false })) names.add(name);
    if (!fresh) await this.#digest?.loadInto(known, names);
    const failures: { id: string; error: unknown }[] = [];
    const unread = [...names].filter((name) => !known.has(name));
    await mapConcurrently(unread, filesAtOnce, async (name) => {
      try {
        known.set(name, decodeSnapshot(await this.loadUnpacked('snapshot', name, { signal, fresh }), name));
      } catch (error) {
        // A snapshot that was forgotten meanwhile is none.
        if (isAppError(error, 'STORAGE_FILE_NOT_FOUND')) return;
        if (!isDamage(error)) throw error;
        failures.push({ id: name, error });
      }
    });
    if (fresh) this.#snapshots = known;
    // In the order in which they were read or made, which is nearly that of time: quickly sorted.
    const present = [...known.values()].filter(({ id }) => names.has(id));
    const snapshots = sortSnapshots(present, (snapshot) => this.#timeOf(snapshot));
    await this.#digest?.save(snapshots);
    return { snapshots, failures };
  }

  /**
   * By `latest`, an id or the beginning of one. SNAPSHOT_NOT_FOUND, SNAPSHOT_AMBIGUOUS; REPOSITORY_DAMAGED when a snapshot that
   * could be meant cannot be read: of all snapshots any could be the latest.
   */
  async findSnapshot(name: string, filter: SnapshotFilter = {}, options: CallOptions = {}): Promise<Snapshot> {
    const { snapshots, failures } = await this.readSnapshots(options);
    const unreadable = failures.find(({ id }) => name === 'latest' || id.startsWith(name));
    if (unreadable) throw unreadable.error;
    return findSnapshotIn(snapshots, name, filter);
  }

  /** Stores a snapshot file: the commit point of a backup. Packs and index have to be durable before. */
  async saveSnapshot(snapshot: NewSnapshot, options: CallOptions = {}): Promise<Snapshot> {
    this.assertWritable();
    const json = encodeSnapshot(snapshot);
    const id = await this.saveUnpacked('snapshot', json, options);
    const saved = decodeSnapshot(json, id);
    this.#snapshots.set(id, saved);
    return saved;
  }

  /** Removes snapshot files; those that are gone already count as removed. The caller holds an exclusive lock. */
  async removeSnapshots(ids: readonly string[], options: CallOptions = {}): Promise<void> {
    await mapConcurrently(ids, this.storage.connections, async (name) => {
      throwIfAborted(options.signal);
      await this.storage.remove({ type: 'snapshot', name }, options).catch((error: unknown) => {
        if (!isAppError(error, 'STORAGE_FILE_NOT_FOUND')) throw error;
      });
      this.#snapshots.delete(name);
    });
  }

  /** REPOSITORY_VERSION_UNSUPPORTED when the repository has format 1, which is only read. */
  assertWritable(): void {
    if (this.version === 2) return;
    throw new AppError(
      'REPOSITORY_VERSION_UNSUPPORTED',
      'The repository has format 1, which can be read but not written.',
      {
        hint: 'Upgrade it once: varve repo migrate upgrade_repo_v2. Everything in it stays readable.',
      },
    );
  }

  /** Every file of a type, by name. */
  async listFiles(type: 'index' | 'lock' | 'pack' | 'snapshot', options: CallOptions = {}): Promise<FileInfo[]> {
    const files = await Array.fromAsync(this.storage.list(type, options));
    return files.sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** Seals and stores the JSON of an index, snapshot or lock file and yields its name. */
  async saveUnpacked(
    type: 'index' | 'lock' | 'snapshot',
    json: Uint8Array,
    options: CallOptions = {},
  ): Promise<string> {
    const { name, bytes } = this.sealUnpacked(json);
    await this.storage.save({ type, name }, bytes, options);
    return name;
  }

  /** The bytes of an index, snapshot or lock file, and the name that they have to be stored under. */
  sealUnpacked(json: Uint8Array): { readonly name: string; readonly bytes: Uint8Array } {
    const bytes = this.cipher.seal(encodeUnpacked(json, this.#compressor));
    return { name: this.engine.sha256(bytes).toString('hex'), bytes };
  }

  /** The JSON of an index, snapshot or lock file, checked against its name; a bad file is fetched once more. */
  async loadUnpacked(
    type: 'index' | 'lock' | 'snapshot',
    name: string,
    options: CallOptions & {
      /** From the storage itself, not from a cache. */ readonly fresh?: boolean | undefined;
    } = {},
  ): Promise<Uint8Array> {
    const what = `The ${type} file ${name}`;
    let bytes = await this.storage.load({ type, name }, options);
    if (!this.#hasName(bytes, name)) {
      bytes = await this.storage.load({ type, name }, { ...options, fresh: true });
      if (!this.#hasName(bytes, name)) {
        throw new AppError(
          'REPOSITORY_DAMAGED',
          `${what} was changed: its content does not have the hash that is its name.`,
        );
      }
    }
    return decodeUnpacked(this.cipher.open(bytes, what), { type, engine: this.engine, what });
  }

  /** Stores an index file of packs that are durable, and adds them to {@link Repository.index}. */
  async saveIndexFile(packs: readonly PackListing[], options: CallOptions = {}): Promise<string> {
    this.assertWritable();
    const name = await this.saveUnpacked('index', encodeIndexFile(packs), options);
    for (const { packId, header } of packs) this.#index.addPack(packId, header);
    this.#indexFiles.add(name);
    return name;
  }

  /** Stores an index file for a repair; {@link Repository.index} learns of it with the next `loadIndex`. */
  async saveRepairedIndexFile(packs: readonly IndexedPack[], options: CallOptions = {}): Promise<string> {
    this.assertWritable();
    return this.saveUnpacked('index', encodeIndexedPacks(packs), options);
  }

  /** Forgets what was read. The storage stays open. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#snapshots.clear();
    this.#indexFiles.clear();
    this.#index = new BlobIndex();
  }

  #hasName(bytes: Uint8Array, name: string): boolean {
    return this.engine.sha256(bytes).toString('hex') === name;
  }

  #timeOf(snapshot: Snapshot): bigint {
    let timeNs = this.#snapshotTimes.get(snapshot);
    if (timeNs === undefined) this.#snapshotTimes.set(snapshot, (timeNs = snapshotTimeNs(snapshot)));
    return timeNs;
  }

  async #loadIndex({
    signal,
    onProgress,
  }: CallOptions & { readonly onProgress?: OnProgress | undefined }): Promise<void> {
    const files = await this.listFiles('index', { signal });
    const present = new Set(files.map(({ name }) => name));
    const isOutdated = [...this.#indexFiles].some((name) => !present.has(name));
    const index = isOutdated ? new BlobIndex() : this.#index;
    const loaded = isOutdated ? new Set<string>() : this.#indexFiles;
    const missing = files.filter(({ name }) => !loaded.has(name));
    let filesDone = 0;
    let bytesDone = 0;
    const bytesTotal = missing.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    await mapConcurrently(missing, filesAtOnce, async ({ name, sizeBytes }) => {
      addIndexFile(index, await this.loadUnpacked('index', name, { signal }), name);
      loaded.add(name);
      filesDone++;
      bytesDone += sizeBytes;
      onProgress?.({
        filesDone,
        filesTotal: missing.length,
        bytesDone,
        bytesTotal,
        current: `index ${name.slice(0, 8)}`,
      });
    });
    this.#index = index;
    this.#indexFiles = loaded;
  }

  async #loadCopy(
    type: BlobType,
    id: string,
    copy: BlobLocation,
    signal: AbortSignal | undefined,
  ): Promise<Uint8Array> {
    const keep = type === 'tree' && copy.offset + copy.length <= mostBytesKept;
    const range = { offset: copy.offset, length: copy.length, signal, keep };
    const blob = { type, id, packId: copy.packId, uncompressedLength: copy.uncompressedLength };
    const handle = { type: 'pack', name: copy.packId } as const;
    const tools = { engine: this.engine, cipher: this.cipher };
    const stored = await this.storage.load(handle, range);
    try {
      return openBlob(stored, blob, tools);
    } catch (error) {
      if (!isDamage(error)) throw error;
      // The way here may have damaged it: fetch it once more.
      return openBlob(await this.storage.load(handle, { ...range, fresh: true }), blob, tools);
    }
  }
}

/** Whether an error says that stored bytes are bad or missing, so that another copy is worth a try. */
export function isDamage(error: unknown): boolean {
  return isAppError(error) && ['REPOSITORY_DAMAGED', 'STORAGE_DAMAGED', 'STORAGE_FILE_NOT_FOUND'].includes(error.code);
}
