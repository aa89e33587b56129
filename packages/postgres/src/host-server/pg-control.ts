// The control file of a cluster: whose data directory it is, how it was laid out, and the settings that a server which
// recovers it must not go below. Source: src/include/catalog/pg_control.h, ControlFileData (13 to 18).

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError, systemErrorCode } from '@varve/base';

/** Settings of the server that wrote the control file; a recovery needs at least as much of each. */
export interface RecoverySizes {
  readonly maxConnections: number;
  readonly maxWorkerProcesses: number;
  readonly maxWalSenders: number;
  readonly maxPreparedTransactions: number;
  readonly maxLocksPerTransaction: number;
}

export interface PgControl {
  /** Identifier of the cluster, decimal. */
  readonly systemId: string;
  /** 1300 for PostgreSQL 13 to 16, 1700 for 17, 1800 for 18. */
  readonly controlVersion: number;
  readonly catalogVersion: number;
  /** Of the last checkpoint. */
  readonly timeline: number;
  /** Whether the server ended with a shutdown checkpoint. */
  readonly isShutDown: boolean;
  readonly blockBytes: number;
  readonly walSegmentBytes: number;
  readonly hasDataChecksums: boolean;
  readonly sizes: RecoverySizes;
}

const controlFileBytes = 8192;
const stateOffset = 16;
/** `DB_SHUTDOWNED` and `DB_SHUTDOWNED_IN_RECOVERY`. */
const shutDownStates = new Set([1, 2]);
/** `checkPointCopy` begins at 40, its timeline 8 bytes later. */
const timelineOffset = 48;
/** `FLOATFORMAT_VALUE`: everything that follows the checkpoint has the same distance from it in all versions. */
const floatFormat = 1_234_567;
const earliestFloatOffset = 160;
const latestFloatOffset = 512;

/** Reads `global/pg_control`. Throws RESTORE_TARGET_INVALID when the folder has none that is whole. */
export async function readPgControl(dataDirectory: string): Promise<PgControl> {
  const path = join(dataDirectory, 'global', 'pg_control');
  let bytes: Buffer;
  try {
    bytes = await readFile(path);
  } catch (cause) {
    const reason = systemErrorCode(cause) === 'ENOENT' ? 'is missing' : 'cannot be read';
    throw new AppError(
      'RESTORE_TARGET_INVALID',
      `${dataDirectory} is not a PostgreSQL data directory: global/pg_control ${reason}.`,
      {
        hint: 'Name the folder that holds PG_VERSION and postgresql.conf.',
        cause,
      },
    );
  }
  return parsePgControl(bytes, path);
}

/** The content of a control file; `path` names it in errors. RESTORE_TARGET_INVALID when it is not one. Pure. */
export function parsePgControl(bytes: Buffer, path: string): PgControl {
  if (bytes.length !== controlFileBytes) {
    throw invalid(`${path} has ${bytes.length} bytes instead of ${controlFileBytes}.`);
  }
  // Fields are in the machine's byte order; every platform that Node 24 has builds for is little-endian but s390x and AIX.
  let float = earliestFloatOffset;
  while (float < latestFloatOffset && bytes.readDoubleLE(float) !== floatFormat) float += 8;
  if (float === latestFloatOffset) throw invalid(`${path} is of no version of PostgreSQL that is known here.`);
  return {
    systemId: bytes.readBigUInt64LE(0).toString(),
    controlVersion: bytes.readUInt32LE(8),
    catalogVersion: bytes.readUInt32LE(12),
    timeline: bytes.readUInt32LE(timelineOffset),
    isShutDown: shutDownStates.has(bytes.readInt32LE(stateOffset)),
    blockBytes: bytes.readUInt32LE(float + 8),
    walSegmentBytes: bytes.readUInt32LE(float + 20),
    hasDataChecksums: bytes.readUInt32LE(float + 44) > 0,
    sizes: {
      maxConnections: bytes.readInt32LE(float - 28),
      maxWorkerProcesses: bytes.readInt32LE(float - 24),
      maxWalSenders: bytes.readInt32LE(float - 20),
      maxPreparedTransactions: bytes.readInt32LE(float - 16),
      maxLocksPerTransaction: bytes.readInt32LE(float - 12),
    },
  };
}

function invalid(message: string): AppError {
  return new AppError('RESTORE_TARGET_INVALID', message, {
    hint: 'The data directory is damaged or was not restored to its end.',
  });
}
