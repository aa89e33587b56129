// Log of a base backup that is in the repository already, because the server hands finished segments over by archive_command. Such a
// server may remove them while the backup is made: there may be no slot that holds them.

import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { sleep } from '@varve/base';
import type { Repository } from '@varve/repository';
import { WalArchive, type ArchivedSegment } from './wal-archive.ts';
import type { WalOwner } from './wal-block-files.ts';

export interface ArchivedBackupWalOptions {
  readonly owner: WalOwner;
  readonly systemId: string;
  /** Of the segments that the backup needs. */
  readonly names: readonly string[];
  /** The server's `pg_wal`, where the others are. */
  readonly walFolder: string;
  /** How long a segment is waited for that is in neither place: it is on its way. Default a minute. */
  readonly waitMs?: number | undefined;
  readonly signal: AbortSignal;
}

const defaultWaitMs = 60_000;
const pollMs = 1000;

/** The whole segments that are in the repository, by name, each to be read once. The errors of the repository. */
export async function archivedBackupWal(
  repository: Repository,
  options: ArchivedBackupWalOptions,
): Promise<ReadonlyMap<string, () => AsyncIterable<Uint8Array>>> {
  const { owner, systemId, names, walFolder, waitMs = defaultWaitMs, signal } = options;
  const endAt = performance.now() + waitMs;
  for (;;) {
    const archive = await WalArchive.open(repository, { ...owner, signal });
    const segments = archive.segments(systemId);
    const found = new Map(
      names.flatMap((name): [string, ArchivedSegment][] => {
        const segment = segments.get(name);
        return segment?.isComplete ? [[name, segment]] : [];
      }),
    );
    const absent = await Promise.all(
      names.map(async (name) => !found.has(name) && !(await isThere(join(walFolder, name)))),
    );
    if (!absent.includes(true) || performance.now() >= endAt)
      return new Map([...found].map(([name, segment]) => [name, () => archive.read(segment, signal)]));
    await sleep(pollMs, { signal });
  }
}

function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
