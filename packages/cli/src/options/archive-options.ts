// The folder that a server's own archive_command fills.

import { AppError } from '@varve/base';
import type { WalArchive } from '@varve/contract';
import { Option, type Command } from 'commander';
import { parseInput } from './parse-input.ts';

export interface ArchiveOptions {
  readonly archiveDirectory?: string;
  readonly archiveReadFrom?: string;
}

export function addArchiveOptions(command: Command): void {
  command.addOption(
    new Option('--archive-directory <path>', 'folder that archive_command fills, as the database server sees it'),
  );
  command.addOption(
    new Option('--archive-read-from <path>', 'the same folder as Varve sees it, where that is not found by itself'),
  );
}

/** Undefined when no folder is named. USAGE_INVALID. */
export async function archiveFromOptions({
  archiveDirectory,
  archiveReadFrom,
}: ArchiveOptions): Promise<WalArchive | undefined> {
  if (archiveDirectory === undefined) {
    if (archiveReadFrom === undefined) return undefined;
    throw new AppError('USAGE_INVALID', '--archive-read-from needs --archive-directory.', {
      hint: 'Say where the server itself sees the folder: that path stands in its archive_command.',
    });
  }
  const { walArchiveSchema } = await import('@varve/contract');
  return parseInput(walArchiveSchema, { directory: archiveDirectory, readFrom: archiveReadFrom });
}
