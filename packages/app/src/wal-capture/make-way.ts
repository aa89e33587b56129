// The way in which a database's log comes, as its component says.

import assert from 'node:assert';
import type { Clock } from '@varve/base';
import type { Repository } from '@varve/repository';
import { openDatabase } from '../components/database/database-location.ts';
import type { WalOwner } from '../wal-archive/wal-block-files.ts';
import { archivePlace } from './archive-place.ts';
import { ArchiveWay } from './archive-way.ts';
import { captureAccess, captureLocation, type CaptureLocationInput } from './capture-location.ts';
import type { CaptureStatus } from './capture-status.ts';
import type { CaptureWay } from './capture-way.ts';
import { StreamWay } from './stream-way.ts';

const connectMs = 30_000;

export function captureWay(
  input: CaptureLocationInput,
  options: {
    readonly owner: WalOwner;
    /** Of log that is streamed. */
    readonly slot: string | null;
    readonly status: CaptureStatus;
    readonly repository: () => Promise<Repository>;
    readonly clock: Clock;
  },
): CaptureWay {
  const { owner, slot, status, repository, clock } = options;
  const archive = input.component.walArchive;
  if (archive === undefined) {
    assert(slot !== null, 'log that is streamed has a slot');
    return new StreamWay({ slot, location: captureLocation(input), status });
  }
  let known: string | undefined;
  return new ArchiveWay({
    owner,
    archive,
    // Asked once: a folder of the host or a volume stays where it is.
    place: async (signal) => (known ??= await archivePlace(archive, () => captureAccess({ ...input, signal }), signal)),
    connect: async (signal) => {
      const limited = AbortSignal.any([signal, AbortSignal.timeout(connectMs)]);
      return openDatabase(await captureAccess({ ...input, signal: limited }), {
        signal: limited,
        applicationName: 'varve_archive',
      });
    },
    repository,
    status,
    clock,
  });
}
