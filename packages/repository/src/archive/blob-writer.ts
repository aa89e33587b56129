// A thread's way of storing blobs: claim, compress and seal into the thread's own packs, hand finished packs on. Data goes
// to one of two open packs by chance, as in restic since 0.18: the sizes of packs must not tell the sizes of the chunks of a
// file that somebody knows, because from these the borders of chunks, and so the secret polynomial, can be computed (Alexeev,
// Percival, Zhang: "Chunking Attacks on File Backup Services", eprint 2025/532). Trees are not cut by content: one pack will do.

import { randomFillSync } from 'node:crypto';
import type { BlobClaims } from '../blob-index/blob-claims.ts';
import type { MasterKey } from '../crypto/master-key.ts';
import type { Engine } from '../native/engine.ts';
import type { BlobType } from '../pack/blob-type.ts';
import { PackBuilder, type Compression, type FinishedPack, type PackPart } from '../pack/pack-builder.ts';
import type { Counts } from './worker-protocol.ts';

export interface BlobWriterOptions {
  readonly engine: Engine;
  readonly key: MasterKey;
  readonly claims: BlobClaims;
  readonly compression: Compression;
  readonly packSizeBytes?: number | undefined;
  readonly extraVerify: boolean;
  /** Takes a pack; may block until there is room for it. */
  readonly onPack: (pack: FinishedPack) => void;
  /** Takes what is left at the end. */
  readonly onPart: (part: PackPart) => void;
}

export class BlobWriter {
  readonly #options: BlobWriterOptions;
  readonly #dataBuilders: readonly PackBuilder[];
  readonly #treeBuilder: PackBuilder;
  readonly #pageBuilder: PackBuilder;
  readonly #chances = Buffer.alloc(256);
  #nextChance = this.#chances.length;

  constructor(options: BlobWriterOptions) {
    this.#options = options;
    const { engine, key, compression, packSizeBytes, extraVerify: verify } = options;
    const common = { engine, key, packSizeBytes, verify };
    const builder = (type: BlobType): PackBuilder => new PackBuilder({ ...common, compression, type });
    this.#dataBuilders = [builder('data'), builder('data')];
    this.#treeBuilder = builder('tree');
    const fast = compression === 'auto' ? 'fastest' : compression;
    this.#pageBuilder = new PackBuilder({ ...common, compression: fast, type: 'data' });
  }

  hash(plaintext: Uint8Array): Buffer {
    return this.#options.engine.sha256(plaintext);
  }

  /** Stores the blob unless the repository or another thread has it, and adds to `counts`. */
  store(type: BlobType, id: Uint8Array, plaintext: Uint8Array, counts: Counts): void {
    if (this.#options.claims.claim(type, id)) this.storeClaimed(type, id, plaintext, counts);
  }

  /** Stores bytes that are cut every `chunkBytes`, and yields the ids. */
  storePages(bytes: Uint8Array, chunkBytes: number, counts: Counts): string[] {
    const ids: string[] = [];
    for (let at = 0; at < bytes.length; at += chunkBytes) {
      const chunk = bytes.subarray(at, at + chunkBytes);
      const id = this.hash(chunk);
      if (this.#options.claims.claim('data', id)) this.#add(this.#pageBuilder, id, chunk, counts);
      ids.push(id.toString('hex'));
    }
    return ids;
  }

  /** Stores a blob that was claimed for this thread. */
  storeClaimed(type: BlobType, id: Uint8Array, plaintext: Uint8Array, counts: Counts): void {
    this.#add(this.#builderFor(type), id, plaintext, counts);
  }

  #add(builder: PackBuilder, id: Uint8Array, plaintext: Uint8Array, counts: Counts): void {
    if (builder.wantsOwnPack(plaintext.length)) this.#finish(builder);
    counts.bytesAddedPacked += builder.add(id, plaintext);
    counts.bytesAdded += plaintext.length;
    if (builder.type === 'data') counts.dataBlobs++;
    else counts.treeBlobs++;
    if (builder.isFull) this.#finish(builder);
  }

  /** Hands on what is not a full pack yet. */
  flush(): void {
    for (const builder of [...this.#dataBuilders, this.#treeBuilder, this.#pageBuilder]) {
      if (builder.blobCount > 0) this.#options.onPart(builder.takePart());
    }
  }

  #builderFor(type: BlobType): PackBuilder {
    if (type === 'tree') return this.#treeBuilder;
    if (this.#nextChance === this.#chances.length) {
      randomFillSync(this.#chances);
      this.#nextChance = 0;
    }
    return this.#dataBuilders[this.#chances[this.#nextChance++]! & 1]!;
  }

  #finish(builder: PackBuilder): void {
    this.#options.onPack(builder.finish());
  }
}
