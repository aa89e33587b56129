// The BASE_BACKUP command in the syntax that a server understands. Manual: protocol-replication, of 14 and of 15 (which
// removed the old syntax).

import { quoteLiteral } from '../sql-quoting.ts';

/** From here on options stand in parentheses, and all archives come in one COPY stream. */
export const newSyntaxVersion = 150_000;

export interface BaseBackupCommandOptions {
  readonly label: string;
  readonly fastCheckpoint: boolean;
  readonly includeWal: boolean;
  readonly includeManifest: boolean;
  readonly maxRateKBps?: number | undefined;
  /** Only what changed since the backup whose manifest was uploaded; from 17 on. */
  readonly isIncremental?: boolean | undefined;
}

/** The command. WAIT is off: the server need not wait for its own archive, because the WAL comes along or is streamed. */
export function baseBackupCommand(options: BaseBackupCommandOptions, versionNum: number): string {
  const label = quoteLiteral(options.label).trimStart();
  if (versionNum < newSyntaxVersion) {
    const parts = [
      `BASE_BACKUP LABEL ${label} PROGRESS`,
      options.fastCheckpoint ? 'FAST' : '',
      options.includeWal ? 'WAL' : '',
      'NOWAIT',
      options.maxRateKBps === undefined ? '' : `MAX_RATE ${options.maxRateKBps}`,
      'TABLESPACE_MAP',
      options.includeManifest ? "MANIFEST 'yes' MANIFEST_CHECKSUMS 'SHA256'" : '',
    ];
    return parts.filter((part) => part !== '').join(' ');
  }
  const parts = [
    `LABEL ${label}`,
    'PROGRESS true',
    `CHECKPOINT '${options.fastCheckpoint ? 'fast' : 'spread'}'`,
    `WAL ${options.includeWal}`,
    'WAIT false',
    ...(options.maxRateKBps === undefined ? [] : [`MAX_RATE ${options.maxRateKBps}`]),
    'TABLESPACE_MAP true',
    'VERIFY_CHECKSUMS true',
    ...(options.isIncremental === true ? ['INCREMENTAL true'] : []),
    ...(options.includeManifest ? ["MANIFEST 'yes'", "MANIFEST_CHECKSUMS 'SHA256'"] : []),
  ];
  return `BASE_BACKUP ( ${parts.join(', ')} )`;
}
