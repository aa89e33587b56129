// The control file of a running server: read whole (its CRC is right), and the last checkpoint in it.
// Source: src/include/catalog/pg_control.h, ControlFileData and CheckPoint, of 13 to 18.

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError, sleep, throwIfAborted } from '@varve/base';
import { lsnFromBigInt, type Lsn } from '../lsn.ts';
import { crc32cStart, finishCrc32c, makeWordBuffer, updateCrc32c } from '../wal-reader/crc32c.ts';

/** A control file's bytes and what they say. */
export interface ControlFile {
  readonly bytes: Buffer;
  /** Identifier of the cluster, decimal. */
  readonly systemId: string;
  readonly catalogVersion: number;
  /** Whether a primary runs on it (or was killed): not shut down, not a standby, not in recovery. */
  readonly isInProduction: boolean;
  /** Position of the last checkpoint's record, and where a recovery from it begins. */
  readonly checkpointLsn: Lsn;
  readonly redoLsn: Lsn;
}

const catalogVersionOffset = 12;
const stateOffset = 16;
/** DB_IN_PRODUCTION */
const inProduction = 6;
const checkpointOffset = 32;
const redoOffset = 40;
/** The structure ends with its CRC; where depends on the version. All of it stays within one sector. */
const leastCrcOffset = 128;
const greatestCrcOffset = 512 - 4;
/** The server writes the file in one go; a reader may still see half of it. */
const maxReads = 20;
const rereadMs = 10;

/** Reads `global/pg_control` until it is whole. ARCHIVE_PRODUCER_FAILED when it never is; the system's error. */
export async function readControlFile(dataDirectory: string, signal?: AbortSignal): Promise<ControlFile> {
  const path = join(dataDirectory, 'global', 'pg_control');
  for (let reads = 0; reads < maxReads; reads++) {
    throwIfAborted(signal);
    if (reads > 0) await sleep(rereadMs, { signal });
    const bytes = await readFile(path);
    if (bytes.length > greatestCrcOffset && hasRightCrc(bytes)) return describe(bytes);
  }
  throw new AppError(
    'ARCHIVE_PRODUCER_FAILED',
    `${path} was read ${maxReads} times and its checksum was never right.`,
    {
      hint: 'The cluster is damaged, or this is not the control file of a PostgreSQL from 13 on.',
    },
  );
}

function describe(bytes: Buffer): ControlFile {
  return {
    bytes,
    systemId: bytes.readBigUInt64LE(0).toString(),
    catalogVersion: bytes.readUInt32LE(catalogVersionOffset),
    isInProduction: bytes.readUInt32LE(stateOffset) === inProduction,
    checkpointLsn: lsnFromBigInt(bytes.readBigUInt64LE(checkpointOffset)),
    redoLsn: lsnFromBigInt(bytes.readBigUInt64LE(redoOffset)),
  };
}

/** Whether some word is the CRC-32C of everything before it: no need to know how long each version's structure is. */
function hasRightCrc(bytes: Buffer): boolean {
  const buffer = makeWordBuffer(greatestCrcOffset + 4);
  buffer.bytes.set(bytes.subarray(0, buffer.bytes.length));
  let crc = updateCrc32c(crc32cStart, buffer, 0, leastCrcOffset);
  for (let at = leastCrcOffset; at <= greatestCrcOffset; at += 4) {
    if (buffer.words[at / 4] === finishCrc32c(crc)) return true;
    crc = updateCrc32c(crc, buffer, at, at + 4);
  }
  return false;
}
