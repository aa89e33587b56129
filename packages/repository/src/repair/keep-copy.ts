// Keeps the file of a damaged pack in a folder of this host, as restic does: `pack-<id>`. Durable before anything is removed.

import { link, open, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError, messageOf, systemErrorCode } from '@varve/base';

/** Yields the path. A copy that is there already, from a repair that was interrupted, is good too. REPAIR_COPY_FAILED. */
export async function keepPackCopy(folder: string, packId: string, bytes: Uint8Array): Promise<string> {
  const path = join(folder, `pack-${packId}`);
  const temporary = join(folder, `.pack-${packId}.${process.pid}.tmp`);
  try {
    await writeDurably(temporary, bytes);
    await link(temporary, path).catch(async (error: unknown) => {
      const isSame = systemErrorCode(error) === 'EEXIST' && Buffer.compare(await readFile(path), bytes) === 0;
      if (!isSame) throw error;
    });
    await using directory = await open(folder, 'r');
    await directory.sync();
  } catch (error) {
    throw new AppError('REPAIR_COPY_FAILED', `The damaged pack cannot be copied to ${path}: ${messageOf(error)}`, {
      hint: 'Nothing was changed. Name another folder for the copies (--backup-dir), or move away what is there.',
      cause: error,
    });
  } finally {
    // It is in the way of nobody.
    await rm(temporary, { force: true }).catch(() => {});
  }
  return path;
}

async function writeDurably(path: string, bytes: Uint8Array): Promise<void> {
  await using file = await open(path, 'w', 0o600);
  await file.writeFile(bytes);
  await file.sync();
}
