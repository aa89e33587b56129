// Saves a PostgreSQL cluster by its files: BASE_BACKUP over the replication protocol, with the write-ahead log that makes
// it consistent. `/databases/<name>/base/` is a data folder that starts by itself.

import type { SavedDatabase } from '@varve/contract';
import {
  baseBackup,
  BackupProof,
  formatLsn,
  readServerFacts,
  type BaseBackupPart,
  type PgConnection,
} from '@varve/postgres';
import type { PageFiles } from '@varve/repository';
import type { Problem } from '../../use-case.ts';
import { AddedTotal, type Produced, type ProducerInput } from '../producer.ts';
import { openDatabase } from './database-location.ts';
import { relationPages } from './page-files.ts';
import type { SaveDumpInput } from './save-dump.ts';

/** Where tablespaces beside the data folder are, by oid. */
export function tablespacesPath(component: string): string {
  return `/databases/${component}/tablespaces`;
}

/**
 * DATABASE_… when the server refuses or fails; DATABASE_BACKUP_MISMATCH when what was stored is not what it says it has read.
 * Pages whose checksums are wrong are problems: they are saved as they are.
 */
export async function saveBase(input: SaveDumpInput): Promise<Produced<SavedDatabase>> {
  const { component, access, signal } = input;
  const { maxRateKBps } = component;
  const path = `/databases/${component.name}`;
  await using connection = await openDatabase(access, { replication: true, signal });
  const facts = await readServerFacts(connection, { signal });
  const databases = await readDatabases(connection, `${path}/base`, signal);
  const pages = relationPages(databases.reduce((sum, { bytes }) => sum + bytes, 0));
  const total = new AddedTotal();
  const bounds = { start: '', end: '', timeline: facts.timeline };
  const proof = new BackupProof();
  for await (const part of baseBackup(connection, { label: 'varve', maxRateKBps, signal })) {
    await savePart(part, { ...input, path, total, pages, proof });
    if (part.kind !== 'end') continue;
    proof.verify();
    total.problems.push(...part.suspectFiles.map((file) => suspect(component.name, file)));
    Object.assign(bounds, { start: formatLsn(part.startLsn), end: formatLsn(part.endLsn), timeline: part.timeline });
  }
  return {
    saved: {
      kind: 'database',
      name: component.name,
      method: 'base',
      path: `${path}/base`,
      readThrough: 'stream',
      serverVersion: facts.version,
      systemId: facts.systemId,
      walLsn: bounds.start,
      walEndLsn: bounds.end,
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

function suspect(component: string, file: string): Problem {
  return {
    path: `${component}: ${file}`,
    message: 'it has pages with a wrong checksum on the disk of the server; they are saved as they are (suspect)',
  };
}

async function savePart(
  part: BaseBackupPart,
  input: ProducerInput & {
    readonly component: { readonly name: string };
    readonly path: string;
    readonly total: AddedTotal;
    readonly pages: PageFiles;
    readonly proof: BackupProof;
  },
): Promise<void> {
  const { session, path, total, component, proof } = input;
  if (part.kind === 'archive') {
    const name = part.tablespaceOid === null ? 'data folder' : `tablespace ${part.tablespaceOid}`;
    input.onStep(`${component.name}: ${name}`);
    const target =
      part.tablespaceOid === null ? `${path}/base` : `${tablespacesPath(component.name)}/${part.tablespaceOid}`;
    const source = proof.archive(part.tar, part.tablespaceOid);
    total.add(await session.addTar({ target, source, rootLikeFirstFolder: true, pages: input.pages }));
  }
  if (part.kind === 'manifest') {
    const source = proof.manifest(part.json);
    total.add(await session.addStream({ target: `${path}/backup_manifest`, source, mode: 0o600 }));
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
