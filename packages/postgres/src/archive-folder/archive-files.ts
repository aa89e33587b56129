// What lies in a folder that an archive_command fills. Files count by their exact names only: whatever is being copied has another
// one. Nothing is removed here.

import { open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError, messageOf, systemErrorCode } from '@varve/base';
import { longHeaderBytes, readWalFileHeader, type WalFileHeader } from '../wal/page-header.ts';

export interface ArchivedFile {
  /** Of the segment; with `.partial` for the last one of a timeline. */
  readonly name: string;
  readonly path: string;
  readonly sizeBytes: number;
  readonly modifiedMs: number;
  /** Tells a file from another one that later gets its name. */
  readonly inode: number;
}

export interface ArchiveListing {
  readonly folder: string;
  /** Names of whole segments, in the order of timelines and positions. */
  readonly segments: readonly string[];
  /** The same for last segments of timelines, with their suffix. */
  readonly partials: readonly string[];
  /** Timelines whose history is there. */
  readonly histories: readonly number[];
}

const segmentName = /^[0-9A-F]{24}$/;
const partialName = /^[0-9A-F]{24}\.partial$/;
const historyName = /^([0-9A-F]{8})\.history$/;

/** Throws WAL_ARCHIVE_FAILED when the folder cannot be read. */
export async function listArchive(folder: string): Promise<ArchiveListing> {
  try {
    const names = (await readdir(folder)).sort();
    return {
      folder,
      segments: names.filter((name) => segmentName.test(name)),
      partials: names.filter((name) => partialName.test(name)),
      histories: names.flatMap((name) => {
        const digits = historyName.exec(name)?.[1];
        return digits === undefined ? [] : [Number.parseInt(digits, 16)];
      }),
    };
  } catch (error) {
    throw archiveFailure(error, folder);
  }
}

/** Undefined when it is not there (any more) or is no file. */
export async function findArchived(folder: string, name: string): Promise<ArchivedFile | undefined> {
  const path = join(folder, name);
  try {
    const facts = await stat(path);
    const { size: sizeBytes, mtimeMs: modifiedMs, ino: inode } = facts;
    return facts.isFile() ? { name, path, sizeBytes, modifiedMs, inode } : undefined;
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    throw archiveFailure(error, folder);
  }
}

/** What the first page says; undefined when it is not the first page of a segment. */
export async function readArchivedHeader({ path }: ArchivedFile): Promise<WalFileHeader | undefined> {
  try {
    await using file = await open(path, 'r');
    const { buffer, bytesRead } = await file.read(Buffer.alloc(longHeaderBytes), 0, longHeaderBytes, 0);
    return readWalFileHeader(buffer.subarray(0, bytesRead));
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    throw archiveFailure(error, path);
  }
}

/** WAL_ARCHIVE_FAILED for what the file system said. */
export function archiveFailure(error: unknown, path: string): AppError {
  const hints: Readonly<Record<string, string>> = {
    ENOENT: 'Make the folder, owned by the user that the server runs as, and mount it into its container.',
    EACCES: 'Run Varve as root or as the user of the server: it has to read and remove what the server puts there.',
  };
  const code = systemErrorCode(error) ?? '';
  return new AppError('WAL_ARCHIVE_FAILED', `The archive folder cannot be used: ${messageOf(error)}.`, {
    hint: hints[code] ?? 'Check that the folder is there, and that the disk is in order.',
    context: { path, systemCode: code },
    cause: error,
  });
}
