// The manifest that the server sends at the end of a base backup: size and checksum of every file that it read, and the WAL
// that the backup needs. Manual: "Backup Manifest Format" (backup-manifest-format).

import { createHash } from 'node:crypto';
import { AppError } from '@varve/base';
import { parseLsn, type Lsn } from '../lsn.ts';
import { readObject, recordOf } from '../server-facts.ts';

/** A file as the server read it. */
export interface ManifestFile {
  readonly sizeBytes: number;
  /** SHA-256 in hexadecimal; undefined when the manifest was made with another algorithm or none. */
  readonly sha256: string | undefined;
}

export interface BackupManifest {
  /** Decimal; from version 17 on. */
  readonly systemId: string | undefined;
  /** By path in the data folder; of tablespaces `pg_tblspc/<oid>/…`. Names that are no UTF-8 are read as Latin-1. */
  readonly files: ReadonlyMap<string, ManifestFile>;
  /** More than one after a standby changed its timeline in between. */
  readonly walRanges: readonly { readonly timeline: number; readonly startLsn: Lsn; readonly endLsn: Lsn }[];
}

const checksumLine = /"Manifest-Checksum": "([0-9a-f]{64})"\}\n$/;

/** Reads and checks a manifest. Throws DATABASE_BACKUP_MISMATCH when its own checksum is wrong or it is not understood. */
export function parseBackupManifest(bytes: Uint8Array): BackupManifest {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
  const stated = checksumLine.exec(text)?.[1];
  // The checksum is that of everything before the line that holds it.
  const lineStart = bytes.lastIndexOf(0x0a, bytes.length - 2) + 1;
  const actual = createHash('sha256').update(bytes.subarray(0, lineStart)).digest('hex');
  if (stated === undefined || stated !== actual) throw damaged('its checksum is wrong');
  try {
    const fields = readObject(text, 'the backup');
    const systemId = /"System-Identifier": (\d{1,20})/.exec(text)?.[1];
    return {
      systemId,
      files: new Map(listOf(fields['Files']).map((entry) => fileOf(entry))),
      walRanges: listOf(fields['WAL-Ranges']).map((entry) => ({
        timeline: Number(entry['Timeline']),
        startLsn: parseLsn(String(entry['Start-LSN'])),
        endLsn: parseLsn(String(entry['End-LSN'])),
      })),
    };
  } catch (cause) {
    throw damaged('it is not understood', cause);
  }
}

/** What a file of the manifest became: its new path and size; without a checksum when it was not read for one. */
export interface ReplacedFile extends ManifestFile {
  readonly path: string;
}

/**
 * The manifest of the same backup after files were replaced, by the paths that it has; everything else stays byte for byte. The input
 * MUST be valid ({@link parseBackupManifest}). DATABASE_BACKUP_MISMATCH when it lists fewer of them than were replaced.
 */
export function replaceInManifest(bytes: Uint8Array, replaced: ReadonlyMap<string, ReplacedFile>): Buffer {
  const lines = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8').split('\n');
  let found = 0;
  const changed = lines.map((line) => {
    const text = /"Path": ("(?:[^"\\]|\\.)*")/.exec(line)?.[1];
    const file = text === undefined ? undefined : replaced.get(String(JSON.parse(text)));
    if (file === undefined || text === undefined) return line;
    found++;
    return line
      .replace(text, () => JSON.stringify(file.path))
      .replace(/"Size": \d+/, `"Size": ${file.sizeBytes}`)
      .replace(
        /, "Checksum-Algorithm": "SHA256", "Checksum": "[0-9a-f]*"/,
        file.sha256 === undefined ? '' : `, "Checksum-Algorithm": "SHA256", "Checksum": "${file.sha256}"`,
      );
  });
  if (found !== replaced.size) throw damaged('it does not list every file that was sent');
  const body = changed.join('\n').replace(/"Manifest-Checksum": "[0-9a-f]{64}"\}\n$/, '');
  const sum = createHash('sha256').update(body).digest('hex');
  return Buffer.from(`${body}"Manifest-Checksum": "${sum}"}\n`);
}

function fileOf(entry: Readonly<Record<string, unknown>>): [string, ManifestFile] {
  const encoded = entry['Encoded-Path'];
  const path = typeof encoded === 'string' ? Buffer.from(encoded, 'hex').toString('latin1') : String(entry['Path']);
  const isSha256 = entry['Checksum-Algorithm'] === 'SHA256';
  return [path, { sizeBytes: Number(entry['Size']), sha256: isSha256 ? String(entry['Checksum']) : undefined }];
}

function listOf(value: unknown): readonly Readonly<Record<string, unknown>>[] {
  if (!Array.isArray(value)) throw new TypeError('a list is missing');
  return value.map((entry) => recordOf(entry, 'the backup'));
}

function damaged(reason: string, cause?: unknown): AppError {
  return new AppError('DATABASE_BACKUP_MISMATCH', `The manifest of the base backup is not usable: ${reason}.`, {
    hint: 'Take the backup again. If it stays like this, check the network and the memory of both machines.',
    retry: true,
    cause,
  });
}
