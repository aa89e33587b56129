// What a backup must know about a cluster: identity, version, position in the log, databases, settings that a recovery
// needs. One SQL statement that yields JSON, so that a connection and `psql` in a container give the same facts.

import { AppError } from '@varve/base';
import type { PgConnection } from './connection/connection.ts';
import { parseLsn, type Lsn } from './lsn.ts';

/** One database of a cluster. */
export interface DatabaseSummary {
  readonly name: string;
  /** Undefined when this user may not connect to it and so may not see its size. */
  readonly sizeBytes: number | undefined;
  readonly owner: string;
  readonly encoding: string;
}

/** Facts about a running cluster at one moment. */
export interface ServerFacts {
  /** `server_version_num`: 150014 for 15.14. */
  readonly versionNum: number;
  readonly version: string;
  /** Identifier of the cluster from initdb, decimal. */
  readonly systemId: string;
  readonly timeline: number;
  /** Write position of a primary, replay position in recovery. */
  readonly currentLsn: Lsn;
  /** Absent when this user may not see it (needs pg_read_all_settings). */
  readonly dataDirectory?: string;
  readonly isInRecovery: boolean;
  readonly isSuperuser: boolean;
  /** Without template databases. */
  readonly databases: readonly DatabaseSummary[];
  readonly walLevel: string;
  /** Bytes; a power of two from 1 MiB to 1 GiB. */
  readonly walSegmentBytes: number;
  readonly hasDataChecksums: boolean;
  /** Settings that a recovering server must have at least as large, or alike. Those that this user may not see are absent. */
  readonly recoverySettings: Readonly<Record<string, string>>;
}

/**
 * Hot standby: these must not be smaller than on the primary (manual, "Administrator's Overview" of hot standby);
 * shared_preload_libraries and the tablespace and locale settings must be servable by the image.
 */
const recoverySettingNames = [
  'max_connections',
  'max_prepared_transactions',
  'max_locks_per_transaction',
  'max_wal_senders',
  'max_worker_processes',
  'shared_preload_libraries',
  'wal_level',
  'block_size',
  'config_file',
  'hba_file',
];

const readableSettings = [...recoverySettingNames, 'wal_segment_size', 'data_directory', 'data_checksums'];

/** The statement; one row, one column, JSON. Works from version 13 on, for any user, on primaries and standbys. */
export const serverFactsSql = `select json_build_object(
  'versionNum', current_setting('server_version_num')::int,
  'version', current_setting('server_version'),
  'systemId', (select system_identifier::text from pg_control_system()),
  'timeline', case when pg_is_in_recovery()
    then greatest((select timeline_id from pg_control_checkpoint()), (select min_recovery_end_timeline from pg_control_recovery()))
    else ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int end,
  'currentLsn', case when pg_is_in_recovery() then coalesce(pg_last_wal_replay_lsn(), '0/0') else pg_current_wal_lsn() end,
  'isInRecovery', pg_is_in_recovery(),
  'isSuperuser', coalesce((select rolsuper from pg_roles where rolname = current_user), false),
  'databases', (select coalesce(json_agg(json_build_object(
      'name', d.datname,
      'sizeBytes', case when has_database_privilege(d.oid, 'CONNECT') then pg_database_size(d.oid) end,
      'owner', pg_get_userbyid(d.datdba),
      'encoding', pg_encoding_to_char(d.encoding)) order by d.datname), '[]')
    from pg_database d where not d.datistemplate),
  'settings', (select json_object_agg(name, setting) from pg_settings
    where name in (${readableSettings.map((name) => `'${name}'`).join(', ')})))`;

/** Reads the facts over a connection (ordinary or replication). Throws as {@link PgConnection.query}. */
export async function readServerFacts(
  connection: PgConnection,
  options: { readonly signal?: AbortSignal | undefined } = {},
): Promise<ServerFacts> {
  const [result] = await connection.query(serverFactsSql, options);
  return parseServerFacts(result?.rows[0]?.[0] ?? '');
}

/** Checks and types the JSON of {@link serverFactsSql}. Throws DATABASE_PROTOCOL when it is not that. */
export function parseServerFacts(json: string): ServerFacts {
  const facts = readObject(json, 'facts about the server');
  const settings = textRecord(facts['settings']);
  const databases = Array.isArray(facts['databases']) ? facts['databases'] : [];
  const dataDirectory = settings['data_directory'];
  const present = recoverySettingNames.filter((name) => settings[name] !== undefined);
  return {
    versionNum: Number(facts['versionNum']),
    version: String(facts['version']),
    systemId: String(facts['systemId']),
    timeline: Number(facts['timeline']),
    currentLsn: parseLsn(String(facts['currentLsn'])),
    ...(dataDirectory === undefined ? {} : { dataDirectory }),
    isInRecovery: facts['isInRecovery'] === true,
    isSuperuser: facts['isSuperuser'] === true,
    databases: databases.map((entry) => summaryOf(entry)),
    walLevel: settings['wal_level'] ?? 'unknown',
    walSegmentBytes: Number(settings['wal_segment_size']),
    hasDataChecksums: settings['data_checksums'] === 'on',
    recoverySettings: Object.fromEntries(present.map((name) => [name, settings[name] ?? ''])),
  };
}

function summaryOf(entry: unknown): DatabaseSummary {
  const fields = recordOf(entry, 'a database');
  const size = fields['sizeBytes'];
  return {
    name: String(fields['name']),
    sizeBytes: typeof size === 'number' ? size : undefined,
    owner: String(fields['owner']),
    encoding: String(fields['encoding']),
  };
}

/** A JSON text that must be an object. Throws DATABASE_PROTOCOL otherwise. */
export function readObject(json: string, what: string): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (cause) {
    throw new AppError('DATABASE_PROTOCOL', `The server's answer about ${what} is not JSON.`, { cause });
  }
  return recordOf(value, what);
}

/** A value that must be an object. Throws DATABASE_PROTOCOL otherwise. */
export function recordOf(value: unknown, what: string): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new AppError('DATABASE_PROTOCOL', `The server's answer about ${what} is not an object.`);
  }
  return value as Readonly<Record<string, unknown>>;
}

function textRecord(value: unknown): Readonly<Record<string, string>> {
  const entries = Object.entries(recordOf(value, 'settings'));
  return Object.fromEntries(entries.map(([name, setting]) => [name, String(setting)]));
}
