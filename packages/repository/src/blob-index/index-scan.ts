// Every index file as it is now, read anew: what check and repair look at. A file that cannot be read is noted, not thrown.

import { mapConcurrently, messageOf } from '@varve/base';
import { isDamage, type Repository } from '../repository.ts';
import { BlobIndex } from './blob-index.ts';
import { addIndexFile } from './index-file.ts';

const filesAtOnce = 8;

export interface IndexScan {
  /** What the files say together; a pack that several list has the blobs of all of them. */
  readonly index: BlobIndex;
  /** The packs that each readable file lists, by the file's name. */
  readonly files: ReadonlyMap<string, readonly string[]>;
  readonly damaged: readonly { readonly name: string; readonly reason: string }[];
}

/** Reads all index files. Throws what is not damage: cancelled, storage unreachable. */
export async function scanIndexFiles(repository: Repository, signal?: AbortSignal): Promise<IndexScan> {
  const index = new BlobIndex();
  const files = new Map<string, readonly string[]>();
  const damaged: { name: string; reason: string }[] = [];
  await mapConcurrently(await repository.listFiles('index', { signal }), filesAtOnce, async ({ name }) => {
    try {
      const json = await repository.loadUnpacked('index', name, { signal, fresh: true });
      files.set(name, addIndexFile(index, json, name));
    } catch (error) {
      if (!isDamage(error)) throw error;
      damaged.push({ name, reason: messageOf(error) });
    }
  });
  return { index, files, damaged };
}

/** The packs that are listed more than once, with the names of the files that list them. */
export function duplicateListings(scan: IndexScan): Map<string, string[]> {
  const listedIn = new Map<string, string[]>();
  const first = new Map<string, string>();
  for (const [name, packIds] of scan.files) {
    for (const packId of packIds) {
      const earlier = first.get(packId);
      if (earlier === undefined) first.set(packId, name);
      else listedIn.set(packId, [...(listedIn.get(packId) ?? [earlier]), name]);
    }
  }
  return listedIn;
}
