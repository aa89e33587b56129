// What keeps a prune from starting: things that snapshots need and that are not there. The errors name the snapshots.

import { AppError, messageOf } from '@varve/base';
import type { BlobIndex } from '../blob-index/blob-index.ts';
import type { Repository } from '../repository.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import { affectedSnapshots, nameSnapshots } from './affected-snapshots.ts';
import type { PackUse } from './prune-plan.ts';

/** Every snapshot: of one that cannot be read nobody knows what it uses. */
export async function readAllSnapshots(repository: Repository, signal: AbortSignal | undefined): Promise<Snapshot[]> {
  const { snapshots, failures } = await repository.readSnapshots({ signal, fresh: true });
  const [failure] = failures;
  if (!failure) return snapshots;
  const count = failures.length === 1 ? '' : ` (and ${failures.length - 1} more)`;
  throw new AppError(
    'REPOSITORY_DAMAGED',
    `Snapshot ${failure.id.slice(0, 8)}${count} cannot be read, so what it uses is not known: ${messageOf(failure.error)}`,
    {
      hint: 'Nothing was removed. See varve repo check; forget the snapshot by its id if it cannot be saved.',
      context: { snapshots: failures.map(({ id }) => id) },
      cause: failure.error,
    },
  );
}

interface Place {
  readonly repository: Repository;
  readonly index: BlobIndex;
  readonly signal?: AbortSignal | undefined;
}

/** What a walk did not find. */
export interface MissingThings {
  /** The first {@link mostThingsNamed}. */
  readonly named: string[];
  count: number;
}

export const mostThingsNamed = 3;

const damageHint =
  'See what is damaged with varve repo check. When only the index is wrong, varve repo repair index mends it; otherwise ' +
  'forget the snapshots that are affected.';

/** For blobs that are in no index file, and trees that cannot be read. */
export async function missingError(
  snapshots: readonly Snapshot[],
  { missing, ...place }: Place & { readonly missing: MissingThings },
): Promise<AppError> {
  const affected = await affectedSnapshots(snapshots, place);
  const rest = missing.count > missing.named.length ? ` (${missing.count} in all)` : '';
  return damaged(`Snapshots need what cannot be found: ${missing.named.join('; ')}${rest}.`, affected);
}

/** For packs that are needed and missing, or not of the size that the index says. */
export async function brokenError(
  snapshots: readonly Snapshot[],
  { broken, ...place }: Place & { readonly broken: readonly PackUse[] },
): Promise<AppError> {
  const { index } = place;
  const packs = new Set(broken.map(({ packId }) => index.packNumberOf(packId)));
  const affected = await affectedSnapshots(snapshots, { ...place, isBad: (first) => packs.has(index.packOf(first)) });
  const whats = broken.slice(0, mostThingsNamed).map(({ packId, sizeBytes, usedBytes, unusedBytes }) => {
    return sizeBytes === null
      ? `pack ${packId} is missing`
      : `pack ${packId} has ${sizeBytes} bytes instead of ${usedBytes + unusedBytes}`;
  });
  const rest = broken.length > whats.length ? ` (${broken.length} packs in all)` : '';
  return damaged(`Snapshots need packs that are not as they should be: ${whats.join('; ')}${rest}.`, affected);
}

/** For entries of blobs that only packs have which are missing or not of their size. */
export async function lostError(
  snapshots: readonly Snapshot[],
  { lost, ...place }: Place & { readonly lost: readonly number[] },
): Promise<AppError> {
  const entries = new Set(lost);
  const affected = await affectedSnapshots(snapshots, { ...place, isBad: (entry) => entries.has(entry) });
  const ids = lost.slice(0, mostThingsNamed).map((entry) => place.index.blobAt(entry).id);
  return damaged(
    `Snapshots need ${lost.length} blobs whose packs are missing or damaged: ${ids.join(', ')}.`,
    affected,
  );
}

function damaged(what: string, affected: readonly Snapshot[]): AppError {
  return new AppError('REPOSITORY_DAMAGED', `${what} Affected: ${nameSnapshots(affected)}. Nothing was removed.`, {
    hint: damageHint,
    context: { snapshots: affected.map(({ id }) => id) },
  });
}
