// Saves a PostgreSQL cluster by its files: BASE_BACKUP over the replication protocol, with the write-ahead log that makes
// it consistent. `/databases/<name>/base/` is a data folder that starts by itself.

import { formatBytes, isAppError, messageOf } from '@varve/base';
import type { SavedDatabase } from '@varve/contract';
import {
  baseBackup,
  BackupProof,
  formatLsn,
  readServerFacts,
  replaceInManifest,
  type BaseBackupPart,
  type PgConnection,
  type ReplacedFile,
} from '@varve/postgres';
import type { Repository, RewrittenFile, Snapshot } from '@varve/repository';
import type { Problem } from '../../use-case.ts';
import { AddedTotal, type Produced } from '../producer.ts';
import { openDatabase } from './database-location.ts';
import { findOlderBase, type OlderBase } from './incremental-base.ts';
import { relationPages } from './page-files.ts';
import { rewriteSentFile, type SentFile } from './rewrite-sent-file.ts';
import type { SaveDumpInput } from './save-dump.ts';
import { streamReportPath, type StreamBackupReport } from './stream-backup-report.ts';

/** Where tablespaces beside the data folder are, by oid. */
export function tablespacesPath(component: string): string {
  return `/databases/${component}/tablespaces`;
}

export interface SaveBaseInput extends SaveDumpInput {
  readonly repository: Repository;
  /** The snapshot before of the same app. */
  readonly parent: Snapshot | undefined;
}

/** What is found out on the way. */
interface Backup {
  /** What only changes are sent to; undefined: everything is sent. */
  older: OlderBase | undefined;
  readonly total: AddedTotal;
  readonly pages: ReturnType<typeof relationPages>;
  readonly proof: BackupProof;
  readonly rebuilt: Map<string, ReplacedFile>;
  bytesSent: number;
}

/**
 * DATABASE_… when the server refuses or fails; DATABASE_BACKUP_MISMATCH when what was stored is not what it says it has read.
 * Pages whose checksums are wrong are problems: they are saved as they are.
 */
export async function saveBase(input: SaveBaseInput): Promise<Produced<SavedDatabase>> {
  const { component, access, signal, session } = input;
  const path = `/databases/${component.name}`;
  await using connection = await openDatabase(access, { replication: true, signal });
  const facts = await readServerFacts(connection, { signal });
  const databases = await readDatabases(connection, `${path}/base`, signal);
  const serverStartedAt = await startOfServer(connection, signal);
  const pages = relationPages(databases.reduce((sum, { bytes }) => sum + bytes, 0));
  const { chunkBytes } = pages;
  const found = await findOlderBase({ ...input, connection, facts, serverStartedAt, chunkBytes });
  if (found !== null && 'reason' in found) sayWhyWhole(input, found.reason);
  const backup: Backup = {
    older: found !== null && 'files' in found ? found : undefined,
    total: new AddedTotal(),
    pages,
    proof: new BackupProof(),
    rebuilt: new Map(),
    bytesSent: 0,
  };
  const { total } = backup;
  const bounds = { startLsn: '', endLsn: '', timeline: facts.timeline };
  for await (const part of partsOf(input, connection, backup)) {
    if (part.kind !== 'end') {
      await savePart(part, input, backup);
      continue;
    }
    total.problems.push(...part.suspectFiles.map((file) => suspect(component.name, file)));
    const { startLsn, endLsn, timeline } = part;
    Object.assign(bounds, { startLsn: formatLsn(startLsn), endLsn: formatLsn(endLsn), timeline });
  }
  const { systemId, version, hasDataChecksums } = facts;
  const manifest = provedManifest(backup);
  total.add(await session.addBytes({ target: `${path}/backup_manifest`, data: manifest, mode: 0o600 }));
  const report: StreamBackupReport = {
    format: 'varve-stream-backup',
    formatVersion: 1,
    systemId,
    ...bounds,
    serverStartedAt,
    hasChecksums: hasDataChecksums,
    chunkBytes,
    incrementalInRow: backup.older?.inRow ?? 0,
    incrementalFrom: backup.older?.snapshotId ?? null,
  };
  const data = Buffer.from(`${JSON.stringify(report, null, 2)}\n`);
  total.add(await session.addBytes({ target: streamReportPath(component.name), data, mode: 0o600 }));
  if (backup.older !== undefined) {
    const { bytesSent } = backup;
    input.log(
      'info',
      `The server of "${component.name}" sent what changed: ${formatBytes(bytesSent)} of ${formatBytes(total.bytes)}.`,
    );
  }
  return {
    saved: {
      kind: 'database',
      name: component.name,
      method: 'base',
      path: `${path}/base`,
      readThrough: 'stream',
      serverVersion: version,
      systemId,
      walLsn: bounds.startLsn,
      walEndLsn: bounds.endLsn,
      timeline: bounds.timeline,
      databases,
      globalsPath: null,
      bytes: total.bytes,
    },
    files: total.files,
    bytes: total.bytes,
    problems: total.problems,
  };
}

/** Unix microseconds by the server's clock, exact. */
async function startOfServer(connection: PgConnection, signal: AbortSignal): Promise<string> {
  const [result] = await connection.query(
    'select (extract(epoch from pg_catalog.pg_postmaster_start_time()) * 1000000)::numeric(20, 0)',
    { signal },
  );
  return result?.rows[0]?.[0] ?? '0';
}

function sayWhyWhole({ component, log }: SaveBaseInput, reason: string): void {
  log('info', `The server of "${component.name}" sends all of its files: ${reason}.`);
}

/** What the server refuses to send in part is sent whole. */
async function* partsOf(
  input: SaveBaseInput,
  connection: PgConnection,
  backup: Backup,
): AsyncGenerator<BaseBackupPart, void, undefined> {
  const { maxRateKBps } = input.component;
  const options = { label: 'varve', maxRateKBps, signal: input.signal };
  if (backup.older !== undefined) {
    const parts = baseBackup(connection, { ...options, incrementalFrom: backup.older.manifest });
    let first: IteratorResult<BaseBackupPart, void> | undefined;
    try {
      first = await parts.next();
    } catch (error) {
      if (!isAppError(error, 'DATABASE_QUERY_FAILED')) throw error;
      sayWhyWhole(input, `it cannot tell what changed (${messageOf(error)})`);
      backup.older = undefined;
    }
    if (first?.done === false) {
      yield first.value;
      yield* parts;
      return;
    }
  }
  yield* baseBackup(connection, options);
}

/** The server's manifest, proved, of the files as they are stored. */
function provedManifest({ proof, rebuilt }: Backup): Buffer {
  proof.verify();
  return rebuilt.size === 0 ? proof.manifestBytes : replaceInManifest(proof.manifestBytes, rebuilt);
}

function suspect(component: string, file: string): Problem {
  return {
    path: `${component}: ${file}`,
    message: 'it has pages with a wrong checksum on the disk of the server; they are saved as they are (suspect)',
  };
}

async function savePart(part: BaseBackupPart, input: SaveBaseInput, backup: Backup): Promise<void> {
  const { session, component } = input;
  const { proof, total, pages } = backup;
  if (part.kind === 'archive') {
    const { tablespaceOid: oid } = part;
    input.onStep(`${component.name}: ${oid === null ? 'data folder' : `tablespace ${oid}`}`);
    const target = oid === null ? `/databases/${component.name}/base` : `${tablespacesPath(component.name)}/${oid}`;
    const source = proof.archive(counted(part.tar, backup), oid);
    const { older } = backup;
    const rewriting = { ...input, ...backup, prefix: oid === null ? '' : `pg_tblspc/${oid}/`, ...pages };
    const rewrite =
      older === undefined
        ? undefined
        : (file: SentFile): RewrittenFile | undefined => rewriteSentFile(file, { ...rewriting, older });
    total.add(await session.addTar({ target, source, rootLikeFirstFolder: true, pages, rewrite }));
  }
  if (part.kind === 'manifest') {
    // Kept by the proof, and stored when it is proved.
    for await (const piece of proof.manifest(part.json)) backup.bytesSent += piece.length;
  }
}

async function* counted(tar: AsyncIterable<Uint8Array>, backup: Backup): AsyncGenerator<Uint8Array> {
  for await (const piece of tar) {
    backup.bytesSent += piece.length;
    yield piece;
  }
}

/** The databases as the manifest tells them. */
export async function readDatabases(
  connection: PgConnection,
  path: string,
  signal: AbortSignal,
): Promise<SavedDatabase['databases']> {
  const [result] = await connection.query(
    `select datname, case when has_database_privilege(oid, 'CONNECT') then pg_database_size(oid) end, pg_get_userbyid(datdba),
      pg_encoding_to_char(encoding), datcollate, datctype from pg_database where not datistemplate order by datname`,
    { signal },
  );
  return (result?.rows ?? []).map(([name, bytes, owner, encoding, collate, ctype]) => ({
    name: name ?? '',
    path,
    bytes: Number(bytes ?? 0),
    owner: owner ?? '',
    encoding: encoding ?? '',
    collate: collate ?? '',
    ctype: ctype ?? '',
  }));
}
