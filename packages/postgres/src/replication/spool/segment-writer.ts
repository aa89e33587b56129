// The file of the segment that is being written. What is there already from before is compared, not written again: a server
// that sends other bytes than those which were durable here is not on our history any more.

import { open, rename, rm, type FileHandle } from 'node:fs/promises';
import { AppError, systemErrorCode } from '@varve/base';
import { formatLsn, type Lsn } from '../../lsn.ts';
import { checkSegmentFile, type SegmentIdentity } from '../../wal/segment-file.ts';
import { advance, segmentNameAt } from '../../wal/segments.ts';

export interface SegmentWriterOptions {
  /** Path of the finished segment. */
  readonly path: string;
  readonly partialPath: string;
  readonly identity: SegmentIdentity;
  /** Bytes of the file that look right. */
  readonly existingBytes: number;
  /** Bytes of the file that are known to have been durable; at most `existingBytes`. */
  readonly trustedBytes: number;
}

const compareBytes = 1 << 20;

/** Writes from the segment's start on, in order; every call of `write` returns when its bytes are durable. */
export class SegmentWriter {
  readonly #options: SegmentWriterOptions;
  readonly #file: FileHandle;
  #existingBytes: number;
  /** True when the file's own bytes may not be durable: those that were there when it was opened. */
  #isUnsynced: boolean;

  private constructor(options: SegmentWriterOptions, file: FileHandle) {
    this.#options = options;
    this.#file = file;
    this.#existingBytes = options.existingBytes;
    this.#isUnsynced = options.existingBytes > options.trustedBytes;
  }

  /** Opens or makes the file. What follows the existing bytes is cut off. */
  static async open(options: SegmentWriterOptions): Promise<SegmentWriter> {
    const file = await open(options.partialPath, options.existingBytes > 0 ? 'r+' : 'w+', 0o600);
    try {
      if (options.existingBytes > 0) await file.truncate(options.existingBytes);
    } catch (error) {
      await file.close();
      throw error;
    }
    return new SegmentWriter(options, file);
  }

  get partialPath(): string {
    return this.#options.partialPath;
  }

  get name(): string {
    const { identity } = this.#options;
    return segmentNameAt({ timeline: identity.timeline, lsn: identity.start }, identity.segmentBytes);
  }

  /** Bytes in the file. */
  get sizeBytes(): number {
    return this.#existingBytes;
  }

  /**
   * Makes bytes at an offset durable; may be repeated after a failure. Throws WAL_DIVERGED when they differ from what was
   * durable before, and errors of the file system.
   */
  async write(offset: number, bytes: Uint8Array): Promise<void> {
    const isNew = await this.#compare(offset, bytes);
    if (isNew > 0) {
      const from = bytes.length - isNew;
      await writeAll(this.#file, bytes.subarray(from), offset + from);
    }
    if (isNew > 0 || this.#isUnsynced) await this.#file.datasync();
    this.#isUnsynced = false;
    this.#existingBytes = Math.max(this.#existingBytes, offset + bytes.length);
  }

  /** How many bytes at the end are not in the file yet. */
  async #compare(offset: number, bytes: Uint8Array): Promise<number> {
    const overlap = Math.min(this.#existingBytes - offset, bytes.length);
    if (overlap <= 0) return bytes.length;
    const there = Buffer.allocUnsafe(overlap);
    const { bytesRead } = await this.#file.read(there, 0, overlap, offset);
    if (bytesRead === overlap && there.equals(bytes.subarray(0, overlap))) return bytes.length - overlap;
    let equal = 0;
    while (equal < bytesRead && there[equal] === bytes[equal]) equal++;
    if (offset + equal < this.#options.trustedBytes) throw this.#diverged(offset + equal);
    // Never acknowledged: what a power cut left of the last writes. The server has the right bytes.
    await this.#file.truncate(offset + equal);
    this.#existingBytes = offset + equal;
    return bytes.length - equal;
  }

  #diverged(offset: number): AppError {
    const { identity } = this.#options;
    const lsn: Lsn = advance(identity.start, offset);
    return new AppError(
      'WAL_DIVERGED',
      `The server sends other WAL at ${formatLsn(lsn)} on timeline ${identity.timeline} than was captured before.`,
      {
        hint: 'It was set back (a restored volume or machine) without a new timeline, or this disk is damaged. Use a new spool folder and make a base backup.',
        context: { lsn: formatLsn(lsn), timeline: identity.timeline, path: this.#options.partialPath },
      },
    );
  }

  /**
   * Checks the whole segment and gives it its name; the caller syncs the folder. Throws WAL_INVALID, and WAL_DIVERGED when there
   * is another finished segment of that name.
   */
  async finish(): Promise<void> {
    const { path, partialPath, identity } = this.#options;
    await checkSegmentFile(partialPath, identity);
    const isOther = await differsFrom(this.#file, path);
    if (isOther) throw this.#diverged(0);
    await rename(partialPath, path);
    await this.#file.close();
  }

  /** Leaves the file as it is; one without a byte is removed. */
  async close(): Promise<void> {
    await this.#file.close();
    if (this.#existingBytes === 0) await rm(this.#options.partialPath, { force: true });
  }
}

/** Whether a file of that name exists and has other bytes. */
async function differsFrom(file: FileHandle, path: string): Promise<boolean> {
  let there: FileHandle;
  try {
    there = await open(path, 'r');
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return false;
    throw error;
  }
  try {
    const [ours, theirs] = [Buffer.allocUnsafe(compareBytes), Buffer.allocUnsafe(compareBytes)];
    for (let offset = 0; ;) {
      const { bytesRead } = await file.read(ours, 0, compareBytes, offset);
      const other = await there.read(theirs, 0, compareBytes, offset);
      if (other.bytesRead !== bytesRead || ours.compare(theirs, 0, bytesRead, 0, bytesRead) !== 0) return true;
      if (bytesRead === 0) return false;
      offset += bytesRead;
    }
  } finally {
    await there.close();
  }
}

async function writeAll(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, position + done);
    done += bytesWritten;
  }
}
