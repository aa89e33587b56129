// Sandboxes: what they are at this moment, ending their pause, removing them, and what killed recoveries have left.

import { AppError, isAppError, messageOf } from '@varve/base';
import type { Sandbox } from '@varve/contract';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isThere } from '../components/code/checkout.ts';
import type { RunContext } from '../use-case.ts';
import { shortSocketFolder, socketLink } from './recovery-place.ts';
import type { RecoveryRecord, RecoveryRecords } from './recovery-records.ts';
import { hostRecoveryServer, placeNames, type RecoveryPlace, type RecoveryServer } from './recovery-server.ts';
import { containerServer, dockerPlace } from './docker-site.ts';
import { removeHostRecovery } from './recovery-site.ts';

export type SandboxContext = Pick<RunContext, 'docker'>;

/** How it is now. A server that cannot be asked counts as stopped. */
export async function sandboxOf(record: RecoveryRecord, context: SandboxContext): Promise<Sandbox> {
  const { id, appId, component, createdAt, serverVersion, stoppedAt, connection, place } = record;
  const isRunning = record.isMade && (await isRunningNow(record, context));
  const running = record.isPaused ? 'paused' : 'running';
  return {
    id,
    appId,
    component,
    createdAt,
    state: record.isMade ? (isRunning ? running : 'stopped') : 'making',
    serverVersion,
    stoppedAt,
    folder: place.type === 'host' ? place.folder : null,
    container: place.type === 'docker' ? place.container : null,
    volume: place.type === 'docker' ? place.volume : null,
    connection,
  };
}

async function isRunningNow(record: RecoveryRecord, context: SandboxContext): Promise<boolean> {
  try {
    const opened = await serverOf(record, context);
    return opened !== undefined && (await opened.server.isRunning());
  } catch (error) {
    if (isAppError(error)) return false;
    throw error;
  }
}

/** Its server, and where it is; undefined when its folder is gone. */
export async function serverOf(
  record: RecoveryRecord,
  context: SandboxContext,
): Promise<{ readonly place: RecoveryPlace; readonly server: RecoveryServer } | undefined> {
  const owner = record.owner ?? undefined;
  if (record.place.type === 'docker') {
    const { container, volume } = record.place;
    if (volume === null) return undefined;
    const docker = await context.docker();
    const place = await dockerPlace(docker, { id: record.id, volume, owner });
    return place && { place, server: containerServer(docker, container, { place, users: record.users }) };
  }
  const { folder, binDirectory } = record.place;
  if (!(await isThere(join(folder, placeNames.data)))) return undefined;
  const socket = await shortSocketFolder(join(folder, placeNames.socket), record.id);
  const place = {
    here: folder,
    there: folder,
    owner,
    socketHere: socket,
    socketThere: socket,
  };
  return { place, server: hostRecoveryServer(place, binDirectory) };
}

/** Ends the pause; a sandbox that is promoted already stays as it is. SANDBOX_NOT_FOUND, RECOVERY_FAILED. */
export async function promoteSandbox(records: RecoveryRecords, id: string, context: SandboxContext): Promise<Sandbox> {
  const record = await records.sandbox(id);
  const opened = record.isMade ? await serverOf(record, context) : undefined;
  if (opened === undefined || !(await opened.server.isRunning())) {
    throw new AppError('RECOVERY_FAILED', `The server of the sandbox ${id} does not run.`, {
      hint: 'Remove the sandbox and recover into a new one.',
    });
  }
  if (record.isPaused) await opened.server.promote();
  const promoted = { ...record, isPaused: false };
  await records.put(promoted);
  return sandboxOf(promoted, context);
}

/** Stops and deletes everything of it. SANDBOX_NOT_FOUND, APP_BUSY while it is made by a living job. */
export async function removeSandbox(
  records: RecoveryRecords,
  id: string,
  context: SandboxContext & { readonly isActiveRun: (runId: string) => Promise<boolean> },
): Promise<void> {
  const record = await records.sandbox(id);
  if (!record.isMade && (await context.isActiveRun(record.runId))) {
    throw new AppError('APP_BUSY', `The sandbox ${id} is being made.`, { hint: 'Cancel its job: that removes it.' });
  }
  await removeRecovery(record, context);
  await records.remove(id);
}

/** By what was written down alone. Idempotent. */
export async function removeRecovery(record: RecoveryRecord, context: SandboxContext): Promise<void> {
  const { place } = record;
  if (place.type === 'host') return removeHostRecovery(record);
  const docker = await context.docker();
  await docker.removeServerContainer(place.container);
  if (place.volume !== null) await docker.removeVolume(place.volume);
  else if (place.folder !== null) await rm(place.folder, { recursive: true, force: true, maxRetries: 3 });
  await rm(socketLink(record.id), { force: true });
}

/** Removes what jobs that ended have left; what cannot be removed stays written down, and is in the answer. */
export async function removeLeftoverRecoveries(
  records: RecoveryRecords,
  isActiveRun: (runId: string) => boolean,
  context: SandboxContext,
): Promise<string[]> {
  const problems: string[] = [];
  for (const record of await records.list()) {
    if (record.isMade || isActiveRun(record.runId)) continue;
    try {
      await removeRecovery(record, context);
      await records.remove(record.id);
    } catch (error) {
      problems.push(`recovery ${record.id}: ${messageOf(error)}`);
    }
  }
  return problems;
}
