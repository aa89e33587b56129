// Where a recovery runs: a folder and a server on this host, or a container of the app's own image. What was made is written
// down before it is made, and is removed by what was written down.

import { rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { dirname } from 'node:path';
import { AppError } from '@varve/base';
import type { DatabaseComponent, RecoveryDestination } from '@varve/contract';
import { serverStatus, stopServer, type FileOwner } from '@varve/postgres';
import { isThere } from '../components/code/checkout.ts';
import { hostPrograms } from './host-programs.ts';
import { makeHostPlace, ownerOf, socketLink } from './recovery-place.ts';
import type { RecoveryRecord } from './recovery-records.ts';
import { hostRecoveryServer, placeNames, type RecoveryPlace, type RecoveryServer } from './recovery-server.ts';
import { isFolderEmptyOrMissing } from './recover-cluster.ts';
import { join } from 'node:path';

/** What a plan says of the site, and what it takes to make it. */
export interface RecoverySite {
  /** Where the base backup is written to, for people. */
  readonly target: string;
  /** A folder of the file system that it is written to; null when it cannot be seen from here. */
  readonly spaceFolder: string | null;
  /** Where the recovered data folder will be, as the server that then runs on it sees it; null: it stays where it was made. */
  readonly placedAt: string | null;
  /** e.g. `15.7`; null when it is not known before. */
  readonly programsVersion: string | null;
  /** Part of the record, for an id. */
  record(id: string): Promise<Pick<RecoveryRecord, 'place' | 'owner'>>;
  /** Makes what the record names. */
  open(id: string, record: Pick<RecoveryRecord, 'place' | 'owner'>, signal: AbortSignal): Promise<OpenSite>;
}

export interface OpenSite {
  readonly place: RecoveryPlace;
  readonly server: RecoveryServer;
  readonly listen: { readonly addresses: string; readonly port: number; readonly hba: string } | undefined;
  /** On loopback of this host; null for none. */
  readonly publishedPort: number | null;
  /** The folder, as the record keeps it. */
  readonly folder: string;
}

interface HostSiteInput {
  readonly component: DatabaseComponent;
  readonly serverVersion: string;
  readonly destination: RecoveryDestination;
}

const localHba = 'host all all 127.0.0.1/32 md5\nhost all all ::1/128 md5\n';

/** RESTORE_TARGET_INVALID when nothing can be recovered there. Looks and changes nothing. */
export async function hostSite({ component, serverVersion, destination }: HostSiteInput): Promise<RecoverySite> {
  const { binDirectory, version } = await hostPrograms(component, serverVersion);
  const base = await folderOf(component, destination);
  const folderFor = (id: string): string => (base.isGiven ? base.path : `${base.path}${base.suffix}${id}`);
  const owner = await serverOwner(component, base.path);
  return {
    target: base.isGiven ? base.path : dirname(base.path),
    spaceFolder: dirname(base.path),
    placedAt: destination.type === 'sandbox' ? null : base.path,
    programsVersion: version,
    record: async (id) => ({
      owner: owner ?? null,
      place: {
        type: 'host',
        folder: folderFor(id),
        binDirectory,
        port: destination.type === 'sandbox' ? (destination.port ?? (await freePort())) : null,
      },
    }),
    open: async (id, record, signal) => {
      if (record.place.type !== 'host') throw new AppError('INTERNAL', 'The record is not of a host.');
      const place = await makeHostPlace(record.place.folder, { id, owner });
      const { port } = record.place;
      return {
        place,
        server: hostRecoveryServer(place, binDirectory, { signal }),
        folder: record.place.folder,
        publishedPort: port,
        listen: port === null ? undefined : { addresses: '127.0.0.1', port, hba: localHba },
      };
    },
  };
}

async function folderOf(
  component: DatabaseComponent,
  destination: RecoveryDestination,
): Promise<{ readonly path: string; readonly isGiven: boolean; readonly suffix: string }> {
  if (destination.type === 'folder' || (destination.type === 'sandbox' && destination.folder !== undefined)) {
    const path = (destination.type === 'folder' ? destination.path : (destination.folder ?? '')).replace(/\/+$/, '');
    if (!(await isFolderEmptyOrMissing(path))) throw invalid(`${path} is not empty.`, 'Name a new or an empty folder.');
    if (!(await isThere(dirname(path)))) throw invalid(`The folder ${dirname(path)} is not there.`, 'Make it first.');
    return { path, isGiven: destination.type === 'sandbox', suffix: '.varve-new-' };
  }
  if (component.dataDirectory === undefined) {
    throw invalid(
      `The data folder of the database "${component.name}" is not known.`,
      destination.type === 'sandbox' ? 'Name a folder for the sandbox.' : 'Recover into a sandbox or a folder.',
    );
  }
  const path = component.dataDirectory.replace(/\/+$/, '');
  return { path, isGiven: false, suffix: destination.type === 'sandbox' ? '.varve-sandbox-' : '.varve-new-' };
}

/** The server's user: that of the data folder, or of the folder that was given. PostgreSQL refuses to run as root. */
async function serverOwner(component: DatabaseComponent, path: string): Promise<FileOwner | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const places = [component.dataDirectory, path, dirname(path)].filter((one) => one !== undefined);
  for (const place of places) {
    const owner = await ownerOf(place);
    if (owner !== undefined && owner.uid !== 0) return owner;
  }
  throw invalid(
    `PostgreSQL refuses to run as root, and ${dirname(path)} belongs to root.`,
    `Make the folder first, owned by the user of the server.`,
  );
}

/** Stops the server and removes everything. Idempotent. */
export async function removeHostRecovery(record: RecoveryRecord): Promise<void> {
  const { place } = record;
  if (place.type !== 'host') return;
  const dataDirectory = join(place.folder, placeNames.data);
  if (await isThere(dataDirectory)) {
    const { isRunning } = await serverStatus({ dataDirectory });
    if (isRunning) await stopServer({ dataDirectory, binDir: place.binDirectory, mode: 'immediate' });
  }
  await rm(place.folder, { recursive: true, force: true, maxRetries: 3 });
  await rm(socketLink(record.id), { force: true });
}

/** Of loopback. Another program may take it before the server does: then the server says so. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}

function invalid(message: string, hint: string): AppError {
  return new AppError('RESTORE_TARGET_INVALID', message, { hint });
}
