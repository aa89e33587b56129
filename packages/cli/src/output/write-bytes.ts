// A stream of bytes to standard output or into a file.

import { lstat, open, rename, rm } from 'node:fs/promises';
import { AppError, isAppError, messageOf } from '@varve/base';
import type { TextOutput } from '../io.ts';

/** Ends quietly when whoever reads the output has gone. */
export async function toOutput(out: TextOutput, source: AsyncIterable<Uint8Array>): Promise<void> {
  for await (const bytes of source) {
    if (out.isClosed) return;
    await out.writeBytes(bytes);
  }
}

/** RESTORE_FAILED. A file that was there stays until all is written; what is no regular file (a pipe, a device) is written to. */
export async function toFile(path: string, source: AsyncIterable<Uint8Array>): Promise<void> {
  const existing = await lstat(path).catch(() => undefined);
  const isReplaced = existing === undefined || existing.isFile();
  const written = isReplaced ? `${path}.partial-${process.pid}` : path;
  try {
    const file = await open(written, 'w', existing?.mode);
    try {
      for await (const bytes of source) await file.writeFile(bytes);
      if (isReplaced) await file.sync();
    } finally {
      await file.close();
    }
    if (isReplaced) await rename(written, path);
  } catch (error) {
    if (isReplaced) await rm(written, { force: true });
    if (isAppError(error)) throw error;
    throw new AppError('RESTORE_FAILED', `${path} cannot be written: ${messageOf(error)}`, {
      hint: 'Choose another place, or make room. Nothing was left there.',
      cause: error,
    });
  }
}
