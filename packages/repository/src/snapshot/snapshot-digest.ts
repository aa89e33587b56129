// All snapshots of a repository in one sealed file of the cache, so that a list of ten thousand reads one file and not ten
// thousand. Which snapshots there are is for the storage to say; the digest only tells what is in files whose names, their
// hashes, it has seen. It is sealed with a key of its own, made from the master key: no other unit of the repository opens as one.

import { hkdfSync } from 'node:crypto';
import { isAppError } from '@varve/base';
import { MasterKey } from '../crypto/master-key.ts';
import { UnitCipher } from '../crypto/unit-cipher.ts';
import type { Compressor, Engine } from '../native/engine.ts';
import { decodeUnpacked, encodeUnpacked } from '../store/unpacked.ts';
import type { Snapshot } from './snapshot.ts';

/** A place for small files beside the repository. Neither call ever rejects. */
export interface DigestStore {
  /** Null when there is none. */
  loadDigest(name: string): Promise<Uint8Array | null>;
  saveDigest(name: string, bytes: Uint8Array): Promise<void>;
}

const digestName = 'snapshots';
/** To be raised whenever the fields of a snapshot change: what an older program has written is then read anew. */
const digestVersion = 1;
const digestLevel = 1;
/** So few files are read quickly enough without. */
const fewestSnapshots = 32;
/** It is written again when this part of the snapshots had to be read one by one. */
const staleFraction = 0.02;

export class SnapshotDigest {
  readonly #store: DigestStore;
  readonly #engine: Engine;
  readonly #cipher: UnitCipher;
  #compressor: Compressor | null = null;
  /** What the stored digest knows; absent until it is first wanted. */
  #known: Promise<ReadonlyMap<string, Snapshot>> | null = null;

  constructor(store: DigestStore, { engine, key }: { readonly engine: Engine; readonly key: MasterKey }) {
    this.#store = store;
    this.#engine = engine;
    this.#cipher = new UnitCipher(engine, digestKey(key));
  }

  /** Adds what the digest knows of the named snapshots; a bad digest knows nothing. */
  async loadInto(snapshots: Map<string, Snapshot>, names: ReadonlySet<string>): Promise<void> {
    if (names.size < fewestSnapshots) return;
    this.#known ??= this.#store.loadDigest(digestName).then((sealed) => this.#decode(sealed));
    const known = await this.#known;
    for (const [name, snapshot] of known) {
      if (names.has(name) && !snapshots.has(name)) snapshots.set(name, snapshot);
    }
  }

  /** Keeps these snapshots when the digest lacks too many of them, or knows mostly others. */
  async save(snapshots: readonly Snapshot[]): Promise<void> {
    if (snapshots.length < fewestSnapshots) return;
    const known = await this.#known;
    let missing = 0;
    for (const { id } of snapshots) if (!known?.has(id)) missing++;
    if (missing <= snapshots.length * staleFraction && (known?.size ?? 0) <= snapshots.length * 2) return;
    this.#known = Promise.resolve(new Map(snapshots.map((snapshot) => [snapshot.id, snapshot])));
    this.#compressor ??= this.#engine.createCompressor(digestLevel);
    const json = Buffer.from(JSON.stringify({ version: digestVersion, snapshots }));
    await this.#store.saveDigest(digestName, this.#cipher.seal(encodeUnpacked(json, this.#compressor)));
  }

  #decode(sealed: Uint8Array | null): Map<string, Snapshot> {
    const plaintext = sealed && this.#cipher.tryOpen(sealed);
    if (!plaintext) return new Map();
    try {
      const json = Buffer.from(
        decodeUnpacked(plaintext, {
          type: 'digest of snapshots',
          engine: this.#engine,
          what: 'The digest of snapshots',
        }),
      );
      const { version, snapshots } = JSON.parse(json.toString()) as { version: unknown; snapshots: Snapshot[] };
      return new Map(version === digestVersion ? snapshots.map((snapshot) => [snapshot.id, snapshot]) : []);
    } catch (error) {
      if (error instanceof SyntaxError || isAppError(error, 'REPOSITORY_DAMAGED')) return new Map();
      throw error;
    }
  }
}

function digestKey(key: MasterKey): MasterKey {
  const { encrypt, macK, macR } = key.reveal();
  const secret = Buffer.concat([encrypt, macK, macR]);
  const derived = MasterKey.fromDerivedBytes(
    new Uint8Array(hkdfSync('sha256', secret, Buffer.alloc(0), 'varve digest of snapshots', 64)),
  );
  // All zero with a probability of 2^-128.
  if (!derived) throw new Error('HKDF yielded a key of zeros');
  return derived;
}
