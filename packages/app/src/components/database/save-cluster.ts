// Saves a cluster by its files, in one of two ways: by reading the data folder where that is possible, which takes both
// processors and leaves out what did not change, otherwise by the server's own stream.

import { AppError } from '@varve/base';
import type { SavedDatabase } from '@varve/contract';
import { mayBackUpVolume, readServerFacts } from '@varve/postgres';
import type { Repository, Snapshot } from '@varve/repository';
import type { WalOwner } from '../../wal-archive/wal-block-files.ts';
import type { ProjectOnEngine } from '../docker-project.ts';
import type { Produced } from '../producer.ts';
import { openDatabase } from './database-location.ts';
import { locateDataFolder } from './locate-data-folder.ts';
import { saveBase } from './save-base.ts';
import type { SaveDumpInput } from './save-dump.ts';
import { saveVolumeBase } from './save-volume-base.ts';

export interface SaveClusterInput extends SaveDumpInput {
  readonly project: ProjectOnEngine | null;
  readonly repository: Repository;
  /** The snapshot before of the same app. */
  readonly parent: Snapshot | undefined;
  readonly archivedWal?: WalOwner | undefined;
}

/** SETTINGS_INVALID when the folder has to be read and cannot; otherwise as `saveVolumeBase` and `saveBase`. */
export async function saveCluster(input: SaveClusterInput): Promise<Produced<SavedDatabase>> {
  const { component, log } = input;
  const way = component.readThrough ?? 'auto';
  if (way === 'stream') return saveBase(input);
  const result = await saveThroughFolder(input);
  if ('saved' in result) return result;
  if (way === 'volume') {
    throw new AppError('SETTINGS_INVALID', `The data folder of "${component.name}" cannot be used: ${result.reason}.`, {
      hint: 'Run Varve on the host of the server, as root or as its user, or let the server send its files.',
      context: { component: component.name },
    });
  }
  log('info', `The server of "${component.name}" sends its files: its data folder cannot be used (${result.reason}).`);
  return saveBase(input);
}

/** What was saved, or why it was not tried, as the end of a sentence. */
async function saveThroughFolder(
  input: SaveClusterInput,
): Promise<Produced<SavedDatabase> | { readonly reason: string }> {
  const { component, access, project, signal } = input;
  await using connection = await openDatabase(access, { signal });
  const facts = await readServerFacts(connection, { signal });
  if (facts.isInRecovery) return { reason: 'the server is a standby' };
  if (!(await mayBackUpVolume(connection, signal))) {
    return { reason: 'the user of the database may not call pg_backup_start and pg_backup_stop' };
  }
  const { container } = access;
  const folder = await locateDataFolder({ component, facts, container, docker: project?.docker ?? null, signal });
  if ('reason' in folder) return folder;
  const saved = await saveVolumeBase({ ...input, connection, facts, folder });
  return saved ?? { reason: `${folder.path} is not the folder that the server writes to` };
}
