// Reads a range of a file. Node's FileHandle costs three times as much for a small file as its callbacks, and a repository has
// many small files.

import { closeSync, fstatSync, open, read } from 'node:fs';
import { promisify } from 'node:util';
import { AppError, throwIfAborted } from '@varve/base';
import type { LoadOptions } from '../contract.ts';

const openFile = promisify(open);
const readFile = promisify(read);
/** Only where somebody counts the bytes. */
const transferStepBytes = 1024 * 1024;

/** As `Storage.load`; system errors pass as they are. `what` names the file in STORAGE_DAMAGED. */
export async function readRange(path: string, options: LoadOptions, what: string): Promise<Buffer> {
  const descriptor = await openFile(path, 'r');
  try {
    // Of an open file, and so without a wait.
    const facts = fstatSync(descriptor);
    if (facts.isDirectory()) throw new AppError('STORAGE_DAMAGED', `Could not load ${what}: it is a folder.`);
    const { size } = facts;
    const { offset: asked = 0, length: wanted, signal, onTransfer, buffer } = options;
    const offset = asked < 0 ? size + asked : asked;
    const length = wanted ?? size - offset;
    if (offset < 0 || length < 0 || offset + length > size) {
      throw new AppError(
        'STORAGE_DAMAGED',
        `Could not load ${what}: it has ${size} bytes, ${length} were asked for from ${offset} on.`,
      );
    }
    const isRoomy = buffer !== undefined && buffer.byteLength >= length;
    const target = isRoomy ? Buffer.from(buffer, 0, length) : Buffer.allocUnsafeSlow(length);
    for (let done = 0; done < length;) {
      throwIfAborted(signal);
      const step = onTransfer ? Math.min(length - done, transferStepBytes) : length - done;
      const { bytesRead } = await readFile(descriptor, target, done, step, offset + done);
      if (bytesRead === 0) {
        throw new AppError('STORAGE_DAMAGED', `Could not load ${what}: it became shorter while it was read.`);
      }
      done += bytesRead;
      await onTransfer?.(bytesRead);
    }
    return target;
  } finally {
    closeSync(descriptor);
  }
}
