// Reads one file in a worker thread, cuts it, stores its chunks, and makes its node. Runs synchronously: a thread does one
// file at a time, straight into the chunker's memory.

import { closeSync, fstatSync, readSync } from 'node:fs';
import type { Chunker } from '../chunker/chunker.ts';
import { isZeroChunk, zeroChunkId } from '../chunker/zero-chunk.ts';
import type { FileFacts } from '../filesystem/folder-listing.ts';
import { openForReading } from '../filesystem/open-file.ts';
import { readNode, type NodeReader } from '../filesystem/read-node.ts';
import { systemError } from '../filesystem/system-error.ts';
import { encodeNode } from '../tree/encode-tree.ts';
import type { BlobWriter } from './blob-writer.ts';
import { verifyPages, type LiveRules, type PageChecks } from './live-files.ts';
import { compareReads, maxReads, rereadLimitBytes, type ReadOutcome } from './stable-read.ts';
import type { BadPage, Counts } from './worker-protocol.ts';

const readBytes = 1024 * 1024;

export interface FileSaverOptions {
  readonly chunker: Chunker;
  readonly writer: BlobWriter;
  readonly reader: NodeReader;
  readonly checks: PageChecks;
  /** Throws when the archive was aborted; called between chunks. */
  readonly throwIfAborted: () => void;
}

export interface FileToSave {
  readonly path: Buffer;
  readonly name: Buffer;
  /** What `lstat` has just said of it. */
  readonly stat?: FileFacts | undefined;
  /** Above 0: cut every so many bytes. */
  readonly pageChunkBytes: number;
  /** Rules of a live file: it is read once, whatever happens to it. */
  readonly live: LiveRules | null;
}

interface SavedJson {
  readonly json: string;
  readonly outcome: ReadOutcome;
  readonly badPages: readonly BadPage[];
}

interface Content {
  readonly content: string[];
  readonly size: number;
}

export class FileSaver {
  readonly #options: FileSaverOptions;
  #pages: Buffer | undefined;
  #trustsPaths = true;

  constructor(options: FileSaverOptions) {
    this.#options = options;
  }

  /** The JSON of the file's node. Throws the system's error when it cannot be read, and when it is no file any more. */
  save(file: FileToSave, counts: Counts): SavedJson {
    const { path, pageChunkBytes, live } = file;
    const badPages: BadPage[] = [];
    const fd = openForReading(path);
    try {
      const quick = this.#trustsPaths && pageChunkBytes === 0 && !live ? file.stat : undefined;
      const saved = quick && this.#saveUnlessChanged(fd, { ...file, stat: quick }, counts);
      if (saved !== undefined) return { json: saved, outcome: 'stable', badPages };
      for (let reads = 1; ; reads++) {
        const stat = fstatSync(fd, { bigint: true });
        if (!stat.isFile()) throw systemError('ESTALE', 'open', 'replaced by something that is not a file');
        const { content, size } =
          pageChunkBytes > 0
            ? this.#savePages(fd, { file, counts, badPages })
            : this.#saveContent(fd, { sizeHint: Number(stat.size) }, counts);
        const outcome = live ? 'stable' : compareReads(stat, fstatSync(fd, { bigint: true }), size);
        if (outcome === 'mixed' && reads < maxReads && size <= rereadLimitBytes) continue;
        return { json: this.#node({ ...file, stat }, { content, size }, counts), outcome, badPages };
      }
    } finally {
      closeSync(fd);
    }
  }

  /**
   * One look at an open file less: nearly always it is, after it was read, the file that was looked at before it was opened, and
   * has not changed since. Undefined when it is another or has changed: then nothing that was read counts.
   */
  #saveUnlessChanged(fd: number, file: FileToSave & { readonly stat: FileFacts }, counts: Counts): string | undefined {
    const sizeHint = Number(file.stat.size);
    const read = this.#saveContent(fd, { sizeHint, limit: sizeHint }, counts);
    const after = fstatSync(fd, { bigint: true });
    if (!isSameFile(file.stat, after)) {
      // There are file systems that number an open file otherwise.
      this.#trustsPaths = false;
      return undefined;
    }
    // Some files hold more than their size says (/proc).
    const isWhole = read.size === sizeHint && compareReads(file.stat, after, read.size) === 'stable';
    return isWhole ? this.#node(file, read, counts) : undefined;
  }

  #node(file: FileToSave & { readonly stat: FileFacts }, read: Content, counts: Counts): string {
    counts.bytes += read.size;
    return encodeNode({ ...readNode(this.#options.reader, file), ...read });
  }

  /** Reads to the end, or until more than `limit` bytes are there. */
  #saveContent(
    fd: number,
    { sizeHint, limit = Infinity }: { sizeHint: number; limit?: number },
    counts: Counts,
  ): Content {
    const { chunker } = this.#options;
    const content: string[] = [];
    let size = 0;
    try {
      for (let atEnd = false; !atEnd;) {
        const space = chunker.space();
        const wanted = Math.min(space.length, readBytes);
        const count = readSync(fd, space, 0, wanted, size);
        chunker.filled(count);
        size += count;
        if (size > limit) {
          chunker.reset();
          break;
        }
        // A short read past the expected size is the end; one before it need not be (network file systems).
        atEnd = count === 0 || (count < wanted && size >= sizeHint);
        this.#storeChunks(content, counts, atEnd);
      }
    } catch (error) {
      chunker.reset();
      throw error;
    }
    return { content, size };
  }

  #storeChunks(content: string[], counts: Counts, atEnd: boolean): void {
    const { chunker, writer, throwIfAborted } = this.#options;
    for (let chunk = chunker.next({ atEnd }); chunk; chunk = chunker.next({ atEnd })) {
      throwIfAborted();
      const id = isZeroChunk(chunker, chunk) ? zeroChunkId : writer.hash(chunk);
      writer.store('data', id, chunk, counts);
      content.push(id.toString('hex'));
    }
  }

  #savePages(
    fd: number,
    { file, counts, badPages }: { readonly file: FileToSave; readonly counts: Counts; readonly badPages: BadPage[] },
  ): Content {
    const { pageChunkBytes: chunkBytes, live } = file;
    const check = this.#options.checks.get(live?.pageCheck);
    const name = file.name.toString('latin1');
    const content: string[] = [];
    const bytes = this.#pageBuffer(chunkBytes);
    for (let size = 0; ;) {
      let filled = 0;
      for (let count = -1; count !== 0 && filled < bytes.length; filled += count) {
        count = readSync(fd, bytes, filled, bytes.length - filled, size + filled);
      }
      this.#options.throwIfAborted();
      if (check) badPages.push(...verifyPages(check, bytes.subarray(0, filled), { fd, name, position: size }));
      for (const id of this.#options.writer.storePages(bytes.subarray(0, filled), chunkBytes, counts)) content.push(id);
      size += filled;
      if (filled < bytes.length) return { content, size };
    }
  }

  /** As many chunks as are read at once, at least one. */
  #pageBuffer(chunkBytes: number): Buffer {
    const size = Math.max(1, Math.floor(readBytes / chunkBytes)) * chunkBytes;
    if (this.#pages?.length !== size) this.#pages = Buffer.alloc(size);
    return this.#pages;
  }
}

function isSameFile(before: FileFacts, after: FileFacts): boolean {
  return after.ino === before.ino && after.dev === before.dev && after.isFile();
}
