// The first fields of a cluster's control file: enough to know whose data directory it is.
// Source: src/include/catalog/pg_control.h, ControlFileData.

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError, systemErrorCode } from '@varve/base';

export interface PgControl {
  /** Identifier of the cluster, decimal. */
  readonly systemId: string;
  /** 1300 for PostgreSQL 13 to 17, 1800 for 18. */
  readonly controlVersion: number;
  readonly catalogVersion: number;
}

const controlFileBytes = 8192;

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
  if (bytes.length !== controlFileBytes) {
    throw new AppError('RESTORE_TARGET_INVALID', `${path} has ${bytes.length} bytes instead of ${controlFileBytes}.`, {
      hint: 'The data directory is damaged or was not restored to its end.',
    });
  }
  // Fields are in the machine's byte order; every platform that Node 24 has builds for is little-endian but s390x and AIX.
  return {
    systemId: bytes.readBigUInt64LE(0).toString(),
    controlVersion: bytes.readUInt32LE(8),
    catalogVersion: bytes.readUInt32LE(12),
  };
}
