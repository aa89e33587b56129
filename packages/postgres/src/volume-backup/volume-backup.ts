// The low-level way of a base backup: the server is told that its files are being read, and says at the end what belongs to
// them. The files are read by the caller, in between. Manual: continuous-archiving, "Making a Base Backup Using the Low Level
// API", of 15 (pg_backup_start) and of 14 (pg_start_backup, used here in its non-exclusive form only).

import { randomBytes } from 'node:crypto';
import { AppError, isAppError, throwIfAborted } from '@varve/base';
import type { PgConnection } from '../connection/connection.ts';
import { parseLsn, type Lsn } from '../lsn.ts';
import { quoteLiteral } from '../sql-quoting.ts';

export interface VolumeBackupOptions {
  /** Stands in backup_label. */
  readonly label: string;
  /** Checkpoint at once (more load) instead of spread over minutes. Default true. */
  readonly fastCheckpoint?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface VolumeBackupEnd {
  /** Where the backup is consistent: the first position that is not needed any more. */
  readonly endLsn: Lsn;
  readonly timeline: number;
  /** The bytes of `backup_label`, exactly. */
  readonly label: Buffer;
  /** The bytes of `tablespace_map`; null when the cluster has no tablespaces and so no such file. */
  readonly tablespaceMap: Buffer | null;
}

const newNamesVersion = 150_000;

/** Whether the user of this session may start and stop such a backup. */
export async function mayBackUpVolume(connection: PgConnection, signal?: AbortSignal): Promise<boolean> {
  const functions =
    connection.versionNum >= newNamesVersion
      ? ['pg_backup_start(text,boolean)', 'pg_backup_stop(boolean)']
      : ['pg_start_backup(text,boolean,boolean)', 'pg_stop_backup(boolean,boolean)'];
  const rights = functions.map((name) => `pg_catalog.has_function_privilege('pg_catalog.${name}', 'execute')`);
  const [result] = await connection.query(`select ${rights.join(' and ')}`, { signal });
  return result?.rows[0]?.[0] === 't';
}

/**
 * Tells the server that its files will be read, and waits for the checkpoint that this begins with. The session MUST stay open
 * and idle until {@link VolumeBackup.stop}; when it is closed before, the server forgets the backup and nothing is left behind.
 * DATABASE_DENIED, DATABASE_QUERY_FAILED (55000: `wal_level` is minimal).
 */
export async function startVolumeBackup(connection: PgConnection, options: VolumeBackupOptions): Promise<VolumeBackup> {
  const { signal } = options;
  throwIfAborted(signal);
  await keepSession(connection, signal);
  const slot = await holdWal(connection, signal);
  const label = quoteLiteral(options.label);
  const fast = options.fastCheckpoint ?? true;
  const start =
    connection.versionNum >= newNamesVersion
      ? `pg_catalog.pg_backup_start(${label}, ${fast})`
      : `pg_catalog.pg_start_backup(${label}, ${fast}, false)`;
  try {
    const [result] = await connection.query(`select ${start}`, { signal });
    return new VolumeBackup(connection, { startLsn: parseLsn(result?.rows[0]?.[0] ?? ''), slot });
  } catch (error) {
    throw withGrantHint(error, connection);
  }
}

/** A backup under way, made by {@link startVolumeBackup}. */
export class VolumeBackup {
  /** Where a recovery of the backup begins: `redo` of its checkpoint. Pages changed before are on disk. */
  readonly startLsn: Lsn;
  /** Whether the server was told to keep the WAL: it is not when it has no slot left, or the user may not make one. */
  readonly holdsWal: boolean;
  readonly #connection: PgConnection;
  readonly #slot: string | undefined;

  constructor(connection: PgConnection, facts: { readonly startLsn: Lsn; readonly slot: string | undefined }) {
    this.#connection = connection;
    this.startLsn = facts.startLsn;
    this.#slot = facts.slot;
    this.holdsWal = facts.slot !== undefined;
  }

  /** Ends the backup; what was read before is whole with the WAL up to `endLsn`. The WAL is still held. Call once. */
  async stop(signal?: AbortSignal): Promise<VolumeBackupEnd> {
    const call =
      this.#connection.versionNum >= newNamesVersion
        ? 'pg_catalog.pg_backup_stop(false)'
        : 'pg_catalog.pg_stop_backup(false, false)';
    const bytes = (column: string): string =>
      `pg_catalog.encode(pg_catalog.convert_to(${column}, pg_catalog.getdatabaseencoding()), 'hex')`;
    const [result] = await this.#connection.query(
      `select lsn, ${bytes('labelfile')}, ${bytes('spcmapfile')} from ${call}`,
      { signal },
    );
    const [lsn, labelHex, mapHex] = result?.rows[0] ?? [];
    const label = Buffer.from(labelHex ?? '', 'hex');
    const timeline = Number(/^START TIMELINE: (\d+)$/m.exec(label.toString('latin1'))?.[1]);
    if (!Number.isInteger(timeline) || timeline < 1) {
      throw new AppError(
        'DATABASE_PROTOCOL',
        'The server ended the backup with a label that does not name its timeline.',
      );
    }
    const tablespaceMap = Buffer.from(mapHex ?? '', 'hex');
    return {
      endLsn: parseLsn(lsn ?? ''),
      timeline,
      label,
      tablespaceMap: tablespaceMap.length > 0 ? tablespaceMap : null,
    };
  }

  /** Lets the server remove the WAL again; the end of the session would as well. Never rejects with an {@link AppError}. */
  async releaseWal(): Promise<void> {
    if (this.#slot === undefined) return;
    try {
      await this.#connection.query(`select pg_catalog.pg_drop_replication_slot('${this.#slot}')`);
    } catch (error) {
      if (!isAppError(error)) throw error;
    }
  }
}

/** The session is idle while files are read and waits for a checkpoint: no time-out of the server may end it. */
async function keepSession(connection: PgConnection, signal: AbortSignal | undefined): Promise<void> {
  const settings = ['statement_timeout', 'lock_timeout', 'idle_session_timeout', 'transaction_timeout'];
  await connection.query(
    `select pg_catalog.set_config(name, '0', false) from pg_catalog.pg_settings
      where name in (${settings.map((name) => `'${name}'`).join(', ')})`,
    { signal },
  );
}

/** Keeps the WAL of the backup by a slot that ends with the session. Where none can be made the backup goes on without. */
async function holdWal(connection: PgConnection, signal: AbortSignal | undefined): Promise<string | undefined> {
  const slot = `varve_base_${randomBytes(6).toString('hex')}`;
  try {
    await connection.query(`select pg_catalog.pg_create_physical_replication_slot('${slot}', true, true)`, { signal });
    return slot;
  } catch (error) {
    if (isAppError(error, 'DATABASE_QUERY_FAILED') || isAppError(error, 'DATABASE_DENIED')) return undefined;
    throw error;
  }
}

function withGrantHint(error: unknown, connection: PgConnection): unknown {
  if (!isAppError(error, 'DATABASE_DENIED')) return error;
  const names =
    connection.versionNum >= newNamesVersion
      ? 'pg_backup_start(text, boolean), pg_backup_stop(boolean)'
      : 'pg_start_backup(text, boolean, boolean), pg_stop_backup(boolean, boolean)';
  return new AppError('DATABASE_DENIED', error.message, {
    hint: `In the database "${connection.server.database}": GRANT EXECUTE ON FUNCTION ${names} TO the user of the URL.`,
    context: error.context,
    cause: error,
  });
}
