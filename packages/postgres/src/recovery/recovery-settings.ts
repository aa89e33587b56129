// The settings of a server that recovers: where it gets the log and where it stops, nothing that reaches out of it, and
// enough of everything that the log may need. They stand behind the cluster's own in one file outside of the data folder, so
// that nothing of a recovery is left in it. Pure. Manual: "Recovery Target", "Hot Standby" (hot-standby, parameters).

import { formatLsn } from '../lsn.ts';
import type { RecoverySizes } from '../host-server/pg-control.ts';
import type { StopPoint } from './stop-point.ts';

export interface RecoverySettingsInput {
  /** Paths as the server sees them. */
  readonly dataDirectory: string;
  readonly socketDirectory: string;
  readonly hbaFile: string;
  readonly identFile: string;
  /** The cluster's own settings, read first; those that are not there are left out. */
  readonly includes: readonly string[];
  readonly restoreCommand: string;
  readonly stop: Pick<StopPoint, 'kind' | 'lsn'>;
  /** The one on which the target lies. */
  readonly timeline: number;
  readonly whenReached: 'promote' | 'pause';
  /** Each at least as large as the log needs. */
  readonly sizes: RecoverySizes;
  /** Empty: no TCP. */
  readonly listenAddresses: string;
  readonly port: number;
  /** Without what runs jobs by itself; undefined keeps the cluster's own. */
  readonly preloadLibraries?: string | undefined;
}

/** The content of the settings file. */
export function recoverySettings(input: RecoverySettingsInput): string {
  const includes = input.includes.map((path) => `include_if_exists ${quote(path)}`);
  const lines = settingsOf(input).map(([name, value]) => `${name} = ${quote(value)}`);
  return [...includes, ...lines, ''].join('\n');
}

/** Greater of each. */
export function largestSizes(all: readonly RecoverySizes[]): RecoverySizes {
  const largest = (field: keyof RecoverySizes, least: number): number =>
    Math.max(least, ...all.map((sizes) => sizes[field]));
  return {
    maxConnections: largest('maxConnections', 20),
    maxWorkerProcesses: largest('maxWorkerProcesses', 8),
    maxWalSenders: largest('maxWalSenders', 0),
    maxPreparedTransactions: largest('maxPreparedTransactions', 0),
    maxLocksPerTransaction: largest('maxLocksPerTransaction', 64),
  };
}

function settingsOf(input: RecoverySettingsInput): [string, string][] {
  const { sizes, preloadLibraries } = input;
  return [
    ['data_directory', input.dataDirectory],
    ['hba_file', input.hbaFile],
    ['ident_file', input.identFile],
    ['external_pid_file', ''],
    ['listen_addresses', input.listenAddresses],
    ['port', String(input.port)],
    ['unix_socket_directories', input.socketDirectory],
    ['unix_socket_group', ''],
    ['unix_socket_permissions', '0777'],
    ['cluster_name', 'varve recovery'],
    ['hot_standby', 'on'],
    ['wal_level', 'replica'],
    ['archive_mode', 'off'],
    ['archive_cleanup_command', ''],
    ['recovery_end_command', ''],
    ['primary_conninfo', ''],
    ['primary_slot_name', ''],
    ['recovery_min_apply_delay', '0'],
    ['synchronous_standby_names', ''],
    ['max_logical_replication_workers', '0'],
    ['max_connections', String(sizes.maxConnections)],
    ['max_worker_processes', String(sizes.maxWorkerProcesses)],
    ['max_wal_senders', String(sizes.maxWalSenders)],
    ['max_prepared_transactions', String(sizes.maxPreparedTransactions)],
    ['max_locks_per_transaction', String(sizes.maxLocksPerTransaction)],
    ['shared_buffers', '128MB'],
    ['huge_pages', 'off'],
    ['ssl', 'off'],
    ['log_destination', 'stderr'],
    ['logging_collector', 'off'],
    ['log_min_messages', 'warning'],
    ['log_line_prefix', '%m [%p] '],
    ['lc_messages', 'C'],
    ...(preloadLibraries === undefined ? [] : [['shared_preload_libraries', preloadLibraries] as [string, string]]),
    ['restore_command', input.restoreCommand],
    ['recovery_target_timeline', String(input.timeline)],
    ['recovery_target_action', input.whenReached],
    // Each of these resets the one before it: what is wanted comes last.
    ['recovery_target_name', ''],
    ['recovery_target_time', ''],
    ['recovery_target_xid', ''],
    ...targetOf(input.stop),
  ];
}

function targetOf({ kind, lsn }: Pick<StopPoint, 'kind' | 'lsn'>): [string, string][] {
  if (kind === 'consistent') {
    return [
      ['recovery_target_lsn', ''],
      ['recovery_target', 'immediate'],
    ];
  }
  return [
    ['recovery_target', ''],
    ['recovery_target_inclusive', kind === 'after' ? 'on' : 'off'],
    ['recovery_target_lsn', formatLsn(lsn)],
  ];
}

/** A value in a settings file. Manual: "Parameter Interaction via the Configuration File". */
function quote(value: string): string {
  return `'${value.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`;
}
