// Saves a PostgreSQL cluster by reading its data folder while the server runs, between backup start and stop, with the
// write-ahead log that makes it consistent. The result is laid out as that of BASE_BACKUP: see save-base.ts.
//
// Which files are taken over from the snapshot before without being read: those whose times of change are older than the
// beginning of that backup, by a margin; see live-files.ts of the repository room for why that is safe. What PostgreSQL adds to
// that reasoning: every page that was changed before the backup's start is written and fsynced when the start returns, and
// what is changed after it is in the WAL of the backup, whole pages at their first change. A crash of the machine may bring
// back older times of change than the data has, so nothing is taken over from before the last start of the server.

import { createReadStream } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { TokenBucket } from '@varve/base';
import type { SavedDatabase } from '@varve/contract';
import {
  backupWalNames,
  findBackupWal,
  formatLsn,
  initForkSuffix,
  leftOutOfBackup,
  linkedFolders,
  lsnFromBigInt,
  pageCheckModule,
  parseLsn,
  proveBackupWal,
  readControlFile,
  startVolumeBackup,
  type PgConnection,
  type ServerFacts,
  type VolumeBackup,
  type VolumeBackupEnd,
} from '@varve/postgres';
import type { AddedItem, LiveFiles, Notice, Repository, Snapshot } from '@varve/repository';
import type { Problem } from '../../use-case.ts';
import { archivedBackupWal } from '../../wal-archive/archived-backup-wal.ts';
import type { WalOwner } from '../../wal-archive/wal-block-files.ts';
import { escapePattern } from '../code/save-code.ts';
import { AddedTotal, type Produced } from '../producer.ts';
import type { DataFolder } from './locate-data-folder.ts';
import { relationPages } from './page-files.ts';
import { readDatabases, tablespacesPath } from './save-base.ts';
import type { SaveDumpInput } from './save-dump.ts';
import { readReport, reportPath, type VolumeBackupReport } from './volume-backup-report.ts';

export interface SaveVolumeBaseInput extends SaveDumpInput {
  readonly repository: Repository;
  /** The snapshot before of the same app. */
  readonly parent: Snapshot | undefined;
  readonly connection: PgConnection;
  readonly facts: ServerFacts;
  readonly folder: DataFolder;
  /** Whose log is in the repository as far as it was handed over, where it comes by archive_command. */
  readonly archivedWal?: WalOwner | undefined;
  /** The longest that a call that writes to a file is allowed to take between the stamp and its end; a minute when absent. */
  readonly marginNs?: bigint | undefined;
}

const defaultMarginNs = 60n * 1_000_000_000n;
/** What is named of damaged pages; the rest is counted. */
const mostNamedPages = 100;

/**
 * Null when it turns out, before anything was read, that the folder is not the one that the server writes to. WAL_GAP when
 * needed WAL is gone, DATABASE_…, WAL_INVALID; files that cannot be read and damaged pages are problems.
 */
export async function saveVolumeBase(input: SaveVolumeBaseInput): Promise<Produced<SavedDatabase> | null> {
  const { component, connection, facts, folder, signal } = input;
  const path = `/databases/${component.name}`;
  const databases = await readDatabases(connection, `${path}/base`, signal);
  input.onStep(`${component.name}: checkpoint`);
  const backup = await startVolumeBackup(connection, { label: 'varve', signal });
  if (!(await isFolderOfServer(input, backup))) return null;
  const readFromNs = (await stat(join(folder.path, 'global', 'pg_control'), { bigint: true })).mtimeNs;
  const total = new AddedTotal();
  const notices = await saveFiles(input, {
    total,
    pages: relationPages(databases.reduce((sum, { bytes }) => sum + bytes, 0)),
    live: await liveFiles(input),
  });
  const control = await readControlFile(folder.path, signal);
  const end = await backup.stop(signal);
  await saveMadeFiles(input, { total, control: control.bytes, end });
  await saveWal(input, { total, backup, end });
  const badPages = judgePages(notices, { backup, end, folder });
  for (const name of await linkedFolders(folder.path)) {
    total.problems.push({
      path: name,
      message: 'it is a link out of the data folder, and what is behind it is not saved',
    });
  }
  total.problems.push(...pageProblems(badPages));
  const report: VolumeBackupReport = {
    format: 'varve-volume-backup',
    formatVersion: 1,
    systemId: facts.systemId,
    startLsn: formatLsn(backup.startLsn),
    endLsn: formatLsn(end.endLsn),
    readFromNs: String(readFromNs),
    checksums: facts.hasDataChecksums ? 'verified' : 'off',
    badPages,
  };
  const data = Buffer.from(`${JSON.stringify(report, null, 2)}\n`);
  total.add(await input.session.addBytes({ target: reportPath(component.name), data, mode: 0o600 }));
  await backup.releaseWal();
  return {
    saved: {
      kind: 'database',
      name: component.name,
      method: 'base',
      path: `${path}/base`,
      readThrough: 'volume',
      serverVersion: facts.version,
      systemId: facts.systemId,
      walLsn: formatLsn(backup.startLsn),
      walEndLsn: formatLsn(end.endLsn),
      timeline: end.timeline,
      databases,
      globalsPath: null,
      bytes: total.bytes,
    },
    files: total.files,
    bytes: total.bytes,
    problems: total.problems,
  };
}

/** The start has made a checkpoint: only the folder that the server itself writes to shows it. */
async function isFolderOfServer(
  { connection, folder, signal }: SaveVolumeBaseInput,
  backup: VolumeBackup,
): Promise<boolean> {
  for (let tries = 0; tries < 3; tries++) {
    const control = await readControlFile(folder.path, signal);
    const [result] = await connection.query('select checkpoint_lsn, redo_lsn from pg_catalog.pg_control_checkpoint()', {
      signal,
    });
    const [checkpointLsn, redoLsn] = (result?.rows[0] ?? []).map((text) => parseLsn(text ?? ''));
    const isSame = control.checkpointLsn === checkpointLsn && control.redoLsn === redoLsn;
    // Another checkpoint may come in between the two looks.
    if (isSame) return control.isInProduction && control.redoLsn >= backup.startLsn;
  }
  return false;
}

async function liveFiles({
  repository,
  parent,
  component,
  connection,
  facts,
  marginNs,
  signal,
}: SaveVolumeBaseInput): Promise<LiveFiles> {
  const rules = { onlySuffix: initForkSuffix, pageCheck: facts.hasDataChecksums ? pageCheckModule : undefined };
  const untrusting = { ...rules, unchangedBeforeNs: null };
  const report = parent && (await readReport(repository, { snapshot: parent, component: component.name, signal }));
  if (!report || report.systemId !== facts.systemId || report.badPages.length > 0) return untrusting;
  // Pages that were read without a check are checked once.
  if (facts.hasDataChecksums && report.checksums === 'off') return untrusting;
  const [result] = await connection.query(
    'select ceil(extract(epoch from pg_catalog.pg_postmaster_start_time()))::int8',
    { signal },
  );
  const startedNs = BigInt(result?.rows[0]?.[0] ?? 0) * 1_000_000_000n;
  const readFromNs = BigInt(report.readFromNs);
  return startedNs < readFromNs
    ? { ...rules, unchangedBeforeNs: readFromNs - (marginNs ?? defaultMarginNs) }
    : untrusting;
}

interface Saving {
  readonly total: AddedTotal;
}

async function saveFiles(
  input: SaveVolumeBaseInput,
  { total, pages, live }: Saving & { readonly pages: ReturnType<typeof relationPages>; readonly live: LiveFiles },
): Promise<readonly Notice[]> {
  const { component, session, folder } = input;
  const { maxRateKBps } = component;
  const pace = maxRateKBps === undefined ? undefined : new TokenBucket(maxRateKBps * 1024);
  const notices: Notice[] = [];
  const add = (item: AddedItem): void => {
    total.add(item);
    for (const notice of item.notices) notices.push(notice);
  };
  for (const { oid, path, versionFolder } of folder.tablespaces) {
    input.onStep(`${component.name}: tablespace ${oid}`);
    const others = (await readdir(path))
      .filter((name) => name !== versionFolder)
      .map((name) => `/${escapePattern(name)}`);
    const target = `${tablespacesPath(component.name)}/${oid}`;
    add(await session.addPath({ source: path, target, excludes: [...leftOutOfBackup, ...others], pages, live, pace }));
  }
  input.onStep(`${component.name}: data folder`);
  add(
    await session.addPath({
      source: folder.path,
      target: basePath(input),
      excludes: [...leftOutOfBackup, ...tablespacesWithin(folder)],
      openFolders: ['/', '/global'],
      pages,
      live,
      pace,
    }),
  );
  return notices;
}

/** Tablespaces that a recovery has put into the data folder, as patterns: they are saved as tablespaces. */
function tablespacesWithin({ path, tablespaces }: DataFolder): string[] {
  const within = tablespaces.filter((tablespace) => tablespace.path.startsWith(`${path}/`));
  return within.map((tablespace) => escapePattern(tablespace.path.slice(path.length)));
}

/** The files that a backup has and the data folder does not, or not in that state. */
async function saveMadeFiles(
  input: SaveVolumeBaseInput,
  { total, control, end }: Saving & { readonly control: Buffer; readonly end: VolumeBackupEnd },
): Promise<void> {
  const { session, folder } = input;
  const base = basePath(input);
  const made = { mode: 0o600, owner: folder.owner };
  const { mode } = await stat(join(folder.path, 'global', 'pg_control'));
  total.add(
    await session.addBytes({ ...made, target: `${base}/global/pg_control`, data: control, mode: mode & 0o777 }),
  );
  total.add(await session.addBytes({ ...made, target: `${base}/backup_label`, data: end.label }));
  if (end.tablespaceMap) {
    total.add(await session.addBytes({ ...made, target: `${base}/tablespace_map`, data: end.tablespaceMap }));
  }
}

async function saveWal(
  input: SaveVolumeBaseInput,
  { total, backup, end }: Saving & { readonly backup: VolumeBackup; readonly end: VolumeBackupEnd },
): Promise<void> {
  const { component, facts, folder, session, signal } = input;
  input.onStep(`${component.name}: write-ahead log`);
  const { systemId, walSegmentBytes } = facts;
  const { endLsn, timeline } = end;
  const wal = { startLsn: backup.startLsn, endLsn, timeline, systemId, segmentBytes: walSegmentBytes };
  const base = basePath(input);
  session.addFolder({ source: folder.walPath, target: `${base}/pg_wal` });
  session.addFolder({ source: join(folder.walPath, 'archive_status'), target: `${base}/pg_wal/archive_status` });
  const owner = input.archivedWal;
  const names = backupWalNames(wal);
  const archived = owner
    ? await archivedBackupWal(input.repository, { owner, systemId, names, walFolder: folder.walPath, signal })
    : new Map<string, () => AsyncIterable<Uint8Array>>();
  const elsewhere = new Set(archived.keys());
  const made = { mode: 0o600, owner: folder.owner };
  for (const [name, read] of archived) {
    const target = `${base}/pg_wal/${name}`;
    total.add(await session.addStream({ ...made, target, source: read(), sizeBytes: walSegmentBytes }));
  }
  for (const { name, path, sizeBytes } of await findBackupWal(folder.walPath, wal, elsewhere)) {
    const source = createReadStream(path, { highWaterMark: 1024 * 1024, signal });
    total.add(await session.addStream({ ...made, target: `${base}/pg_wal/${name}`, source, sizeBytes }));
  }
  await proveBackupWal(folder.walPath, wal, elsewhere);
}

function basePath({ component }: SaveVolumeBaseInput): string {
  return `/databases/${component.name}/base`;
}

interface BadPage {
  readonly path: string;
  readonly block: number;
}

/**
 * Pages that were changed during the backup are written anew by its WAL, whole, so what was read of them does not matter. The
 * position in a page is believed only up to the end of the backup: in a damaged page it may be anything.
 */
function judgePages(
  notices: readonly Notice[],
  {
    backup,
    end,
    folder,
  }: { readonly backup: VolumeBackup; readonly end: VolumeBackupEnd; readonly folder: DataFolder },
): BadPage[] {
  return notices.flatMap(({ page, path }) => {
    if (page === undefined) return [];
    const lsn = lsnFromBigInt(BigInt(page.description));
    if (lsn >= backup.startLsn && lsn < end.endLsn) return [];
    const shown = path.startsWith(`${folder.path}/`) ? path.slice(folder.path.length + 1) : path;
    return [{ path: shown, block: page.position / 8192 }];
  });
}

function pageProblems(badPages: readonly BadPage[]): Problem[] {
  const named = badPages.slice(0, mostNamedPages).map(({ path, block }) => ({
    path,
    message: `block ${block} is damaged: its checksum is wrong, also when it is read again; it is saved as it is`,
  }));
  const rest = badPages.length - named.length;
  return rest > 0 ? [...named, { path: '', message: `${rest} more blocks are damaged` }] : named;
}
