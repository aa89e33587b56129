// Saves a PostgreSQL cluster by its files: BASE_BACKUP over the replication protocol, with the write-ahead log that makes
// it consistent. `/databases/<name>/base/` is a data folder that starts by itself.

import { AppError } from '@varve/base';
import type { SavedDatabase } from '@varve/contract';
import {
  baseBackup,
  connectPostgres,
  formatLsn,
  readServerFacts,
  type BaseBackupPart,
  type PgConnection,
} from '@varve/postgres';
import type { PageFiles } from '@varve/repository';
import { AddedTotal, type Produced, type ProducerInput } from '../producer.ts';
import { relationPages } from './page-files.ts';
import type { SaveDumpInput } from './save-dump.ts';

/** Where tablespaces beside the data folder are, by oid. */
export function tablespacesPath(component: string): string {
  return `/databases/${component}/tablespaces`;
}

/** SETTINGS_INVALID for a container, DATABASE_… when the server refuses or fails. */
export async function saveBase(input: SaveDumpInput): Promise<Produced<SavedDatabase>> {
  const { component, access, signal } = input;
  const { location } = access;
  if (location === null) {
    throw new AppError(
      'SETTINGS_INVALID',
      `The database "${component.name}" runs in a container, and base backups are made of servers with a URL.`,
      {
        hint: 'Use the method "dump" for it.',
      },
    );
  }
  const path = `/databases/${component.name}`;
  await using connection = await connectPostgres({ ...location, replication: 'database', signal });
  const facts = await readServerFacts(connection, { signal });
  const databases = await readDatabases(connection, `${path}/base`, signal);
  const pages = relationPages(databases.reduce((sum, { bytes }) => sum + bytes, 0));
  const total = new AddedTotal();
  const bounds = { start: '', end: '', timeline: facts.timeline };
  for await (const part of baseBackup(connection, { label: 'varve', signal })) {
    await savePart(part, { ...input, path, total, pages });
    if (part.kind === 'end')
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

async function savePart(
  part: BaseBackupPart,
  input: ProducerInput & {
    readonly component: { readonly name: string };
    readonly path: string;
    readonly total: AddedTotal;
    readonly pages: PageFiles;
  },
): Promise<void> {
  const { session, path, total, component } = input;
  if (part.kind === 'archive') {
    const name = part.tablespaceOid === null ? 'data folder' : `tablespace ${part.tablespaceOid}`;
    input.onStep(`${component.name}: ${name}`);
    const target =
      part.tablespaceOid === null ? `${path}/base` : `${tablespacesPath(component.name)}/${part.tablespaceOid}`;
    total.add(await session.addTar({ target, source: part.tar, pages: input.pages }));
  }
  if (part.kind === 'manifest')
    total.add(await session.addStream({ target: `${path}/backup_manifest`, source: part.json, mode: 0o600 }));
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
