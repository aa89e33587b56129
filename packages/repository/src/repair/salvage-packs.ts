// Looks through damaged packs for good blobs. What a pack held is known from its header, from the index, or from both; a blob
// counts as good when its bytes decrypt and have the hash that is its id.

import { isAppError, messageOf, throwIfAborted } from '@varve/base';
import type { IndexScan } from '../blob-index/index-scan.ts';
import type { BlobType, PackedBlob } from '../pack/blob-type.ts';
import { parseHeader } from '../pack/pack-header.ts';
import { headerOfPack, openBlob } from '../pack/pack-reader.ts';
import { isDamage, type Repository } from '../repository.ts';

export interface BlobRef {
  readonly type: BlobType;
  /** 64 hex digits. */
  readonly id: string;
}

/** What is in one pack. */
export interface DamagedPack {
  readonly packId: string;
  /**
   * `intact`: nothing is wrong with it, it stays as it is. `missing`: the index lists it, but there is no such file. `unknown`:
   * neither is there; an earlier run may have removed it.
   */
  readonly state: 'damaged' | 'intact' | 'missing' | 'unknown';
  readonly sizeBytes: number;
  /** Why its header cannot be read, so that only the index can say what it held; null when it can. */
  readonly headerProblem: string | null;
  /** Different blobs that the pack held, as far as is known. */
  readonly blobs: number;
  /** Good blobs that no other pack holds: they are stored anew. */
  readonly salvaged: number;
  /** Blobs of which there is a good copy in another pack. */
  readonly elsewhere: number;
  /** No good copy is left of these. */
  readonly lost: readonly BlobRef[];
}

export interface SalvageOptions {
  readonly scan: IndexScan;
  readonly packIds: readonly string[];
  readonly signal?: AbortSignal | undefined;
}

export interface SalvageVisitor {
  /** Called once for each good blob that has to be stored anew. */
  readonly onGood: (blob: BlobRef & { readonly plaintext: Uint8Array }) => void | Promise<void>;
  readonly onPack: (packsDone: number) => void;
}

/** One text for a blob, since a tree and a data blob may have the same id. */
export function keyOf({ type, id }: BlobRef): string {
  return `${type} ${id}`;
}

/** Reads the packs one after the other. */
export async function salvagePacks(
  repository: Repository,
  options: SalvageOptions,
  visitor: SalvageVisitor,
): Promise<DamagedPack[]> {
  const salvage = new Salvage(repository, options, visitor);
  const known = new Map<string, readonly PackedBlob[]>();
  const wanted = new Set(options.packIds);
  for (const { packId, blobs } of options.scan.index.packs()) if (wanted.has(packId)) known.set(packId, blobs);
  const examined: Examined[] = [];
  for (const packId of options.packIds) {
    throwIfAborted(options.signal);
    examined.push(await salvage.examine(packId, known.get(packId) ?? []));
    visitor.onPack(examined.length);
  }
  // What is bad in one pack may have been good in a later one.
  const packs: DamagedPack[] = [];
  for (const { bad, ...pack } of examined) {
    const lost = bad.filter((blob) => !salvage.isStored(blob));
    packs.push({ ...pack, lost, elsewhere: pack.elsewhere + bad.length - lost.length });
  }
  return packs;
}

/** A pack of which `bad` holds the blobs that are good neither in it nor in a pack that is not repaired. */
interface Examined extends Omit<DamagedPack, 'lost'> {
  readonly bad: readonly BlobRef[];
}

class Salvage {
  readonly #repository: Repository;
  readonly #options: SalvageOptions;
  readonly #visitor: SalvageVisitor;
  readonly #repaired: ReadonlySet<string>;
  readonly #stored = new Set<string>();

  constructor(repository: Repository, options: SalvageOptions, visitor: SalvageVisitor) {
    this.#repository = repository;
    this.#options = options;
    this.#visitor = visitor;
    this.#repaired = new Set(options.packIds);
  }

  /** Whether a good copy of a blob was found in one of the packs. */
  isStored(blob: BlobRef): boolean {
    return this.#stored.has(keyOf(blob));
  }

  async examine(packId: string, known: readonly PackedBlob[]): Promise<Examined> {
    const bytes = await this.#load(packId);
    const { header, headerProblem } = this.#readHeader(packId, bytes);
    const copies = Map.groupBy([...(header ?? []), ...known], keyOf);
    const shared = { packId, sizeBytes: bytes?.length ?? 0, headerProblem, blobs: copies.size };
    if (bytes && header && this.#isIntact(packId, bytes, header)) {
      // Only what the index lists can be found there.
      const listed = new Set(known.map(keyOf));
      for (const key of header.map(keyOf)) if (listed.has(key)) this.#stored.add(key);
      return { ...shared, state: 'intact', salvaged: 0, elsewhere: 0, bad: [] };
    }
    let salvaged = 0;
    let elsewhere = 0;
    const bad: BlobRef[] = [];
    for (const [key, places] of copies) {
      const [{ type, id }] = places as [PackedBlob];
      throwIfAborted(this.#options.signal);
      if (this.#stored.has(key) || (await this.#isElsewhere({ type, id }))) {
        elsewhere++;
        continue;
      }
      const plaintext = bytes && this.#openAny(packId, bytes, places);
      if (!plaintext) {
        bad.push({ type, id });
        continue;
      }
      await this.#visitor.onGood({ type, id, plaintext });
      this.#stored.add(key);
      salvaged++;
    }
    const state = bytes ? 'damaged' : known.length > 0 ? 'missing' : 'unknown';
    return { ...shared, state, salvaged, elsewhere, bad };
  }

  async #load(packId: string): Promise<Uint8Array | null> {
    const { signal } = this.#options;
    const { storage, engine } = this.#repository;
    const handle = { type: 'pack', name: packId } as const;
    const isWhole = (bytes: Uint8Array): boolean => engine.sha256(bytes).toString('hex') === packId;
    try {
      const bytes = await storage.load(handle, { signal, fresh: true });
      if (isWhole(bytes)) return bytes;
      // The way here may have damaged it: fetch it once more.
      const again = await storage.load(handle, { signal, fresh: true });
      return isWhole(again) ? again : bytes;
    } catch (error) {
      if (!isAppError(error, 'STORAGE_FILE_NOT_FOUND')) throw error;
      return null;
    }
  }

  #readHeader(packId: string, bytes: Uint8Array | null): { header: PackedBlob[] | null; headerProblem: string | null } {
    if (!bytes) return { header: null, headerProblem: 'its file is missing' };
    try {
      return { header: parseHeader(headerOfPack(bytes, this.#repository.cipher, packId)), headerProblem: null };
    } catch (error) {
      if (!isDamage(error)) throw error;
      return { header: null, headerProblem: messageOf(error) };
    }
  }

  #isIntact(packId: string, bytes: Uint8Array, header: readonly PackedBlob[]): boolean {
    if (this.#repository.engine.sha256(bytes).toString('hex') !== packId) return false;
    return header.every((blob) => this.#openAny(packId, bytes, [blob]) !== null);
  }

  #openAny(packId: string, bytes: Uint8Array, places: readonly PackedBlob[]): Uint8Array | null {
    for (const place of places) {
      try {
        const stored = bytes.subarray(place.offset, place.offset + place.length);
        return openBlob(stored, { ...place, packId }, this.#repository);
      } catch (error) {
        if (!isDamage(error)) throw error;
      }
    }
    return null;
  }

  /** Whether a pack that is not being repaired holds a copy that reads well. */
  async #isElsewhere({ type, id }: BlobRef): Promise<boolean> {
    const { scan, signal } = this.#options;
    for (const { packId, offset, length, uncompressedLength } of scan.index.lookupAll(type, id)) {
      if (this.#repaired.has(packId)) continue;
      try {
        const stored = await this.#repository.storage.load(
          { type: 'pack', name: packId },
          { offset, length, signal, fresh: true },
        );
        openBlob(stored, { type, id, packId, uncompressedLength }, this.#repository);
        return true;
      } catch (error) {
        if (!isDamage(error)) throw error;
      }
    }
    return false;
  }
}
