// How a server archives its log: settings, and what its archiver says of itself. Manual: runtime-config-wal, "Archiving";
// pg_stat_archiver, which does not count commands that ended by a signal or with a code above 125.

import { AppError } from '@varve/base';
import type { PgConnection, RequestOptions } from '../connection/connection.ts';
import { parseLsn, type Lsn } from '../lsn.ts';
import type { CaptureObstacle } from '../replication/capture-readiness.ts';
import { archiveSettings, recommendedTimeoutSeconds } from './archive-command.ts';

export interface ArchiveFacts {
  readonly version: string;
  readonly systemId: string;
  readonly walLevel: string;
  readonly mode: 'off' | 'on' | 'always';
  /** Undefined for none, and while `mode` is off, when the server does not tell it. */
  readonly command: string | undefined;
  /** A module in place of a command (15 and later). */
  readonly library: string | undefined;
  /** 0: a segment leaves the server only when it is full. */
  readonly timeoutSeconds: number;
  readonly segmentBytes: number;
  readonly isInRecovery: boolean;
  /** Where the primary writes now; undefined in recovery. */
  readonly position: { readonly timeline: number; readonly lsn: Lsn } | undefined;
  readonly lastArchivedName: string | undefined;
  readonly lastArchivedAt: Date | undefined;
  readonly lastFailedName: string | undefined;
  readonly lastFailedAt: Date | undefined;
}

const factsSql = `select json_build_object(
  'version', current_setting('server_version'),
  'systemId', (select system_identifier::text from pg_control_system()),
  'settings', (select json_object_agg(name, setting) from pg_settings
    where name in ('wal_level', 'archive_mode', 'archive_command', 'archive_library', 'archive_timeout', 'wal_segment_size')),
  'isInRecovery', pg_is_in_recovery(),
  'file', case when not pg_is_in_recovery() then pg_walfile_name(pg_current_wal_lsn()) end,
  'lsn', case when not pg_is_in_recovery() then pg_current_wal_flush_lsn() end,
  'archiver', (select json_build_object('archived', last_archived_wal, 'archivedMs', extract(epoch from last_archived_time) * 1000,
    'failed', last_failed_wal, 'failedMs', extract(epoch from last_failed_time) * 1000) from pg_stat_archiver))`;

/** `show` says so of the command while archiving is off. */
const disabled = '(disabled)';

interface Answer {
  readonly version: string;
  readonly systemId: string;
  readonly settings: Readonly<Record<string, string>>;
  readonly isInRecovery: boolean;
  readonly file: string | null;
  readonly lsn: string | null;
  readonly archiver: {
    readonly archived: string | null;
    readonly archivedMs: number | null;
    readonly failed: string | null;
    readonly failedMs: number | null;
  };
}

/** Reads the facts over a session, as any user. Throws as {@link PgConnection.query}. */
export async function readArchiveFacts(connection: PgConnection, options: RequestOptions = {}): Promise<ArchiveFacts> {
  const [result] = await connection.query(factsSql, options);
  const text = result?.rows[0]?.[0];
  if (typeof text !== 'string') throw new AppError('DATABASE_PROTOCOL', 'The server told nothing about its archiving.');
  const { version, systemId, settings, isInRecovery, file, lsn, archiver } = JSON.parse(text) as Answer;
  const { archive_mode: mode, archive_command: command = '', archive_library: library = '' } = settings;
  return {
    version,
    systemId,
    walLevel: settings['wal_level'] ?? '',
    mode: mode === 'on' || mode === 'always' ? mode : 'off',
    command: command === '' || command === disabled ? undefined : command,
    library: library === '' ? undefined : library,
    timeoutSeconds: Number(settings['archive_timeout'] ?? 0),
    segmentBytes: Number(settings['wal_segment_size'] ?? 0),
    isInRecovery,
    position:
      file === null || lsn === null
        ? undefined
        : { timeline: Number.parseInt(file.slice(0, 8), 16), lsn: parseLsn(lsn) },
    lastArchivedName: archiver.archived ?? undefined,
    lastArchivedAt: dateOf(archiver.archivedMs),
    lastFailedName: archiver.failed ?? undefined,
    lastFailedAt: dateOf(archiver.failedMs),
  };
}

/** Whether the last thing that the archiver tells of is a failure. */
export function isArchiverFailing({ lastArchivedAt, lastFailedAt }: ArchiveFacts): boolean {
  return lastFailedAt !== undefined && (lastArchivedAt === undefined || lastFailedAt > lastArchivedAt);
}

/** What stands in the way of log that arrives in a folder, what blocks first. Pure. */
export function archiveObstacles(facts: ArchiveFacts, directory: string): readonly CaptureObstacle[] {
  const obstacles: CaptureObstacle[] = [];
  const add = (severity: CaptureObstacle['severity'], message: string, hint: string): void =>
    void obstacles.push({ severity, message, hint });
  const [modeLine = '', commandLine = ''] = archiveSettings(directory);
  if (facts.walLevel === 'minimal') {
    add('blocks', 'wal_level is minimal: its WAL restores nothing', 'Set wal_level = replica and restart the server.');
  }
  if (facts.mode === 'off') {
    const hint = `Put into postgresql.conf: ${modeLine} and ${commandLine}. Then restart the server: archive_mode is read at its start only.`;
    add('blocks', 'archive_mode is off', hint);
  } else if (facts.command === undefined && facts.library === undefined) {
    const hint = `Put into postgresql.conf: ${commandLine}. Then SELECT pg_reload_conf(); no restart is needed.`;
    add('blocks', 'archive_mode is on, but there is no archive_command', hint);
  }
  if (isArchiverFailing(facts)) {
    const since = facts.lastFailedAt?.toISOString() ?? '';
    add(
      'blocks',
      `its archive_command fails, last at ${since} with ${facts.lastFailedName ?? 'a file'}`,
      `Look into the log of the server. It has to be able to write into ${directory}, which may be full or belong to another user. Until then it keeps the log in pg_wal.`,
    );
  }
  if (facts.timeoutSeconds === 0) {
    add(
      'risk',
      'archive_timeout is 0: log of a quiet database leaves the server only when a segment is full',
      `Set archive_timeout = ${recommendedTimeoutSeconds} in postgresql.conf, then SELECT pg_reload_conf();`,
    );
  }
  return obstacles;
}

function dateOf(ms: number | null): Date | undefined {
  return ms === null ? undefined : new Date(ms);
}
