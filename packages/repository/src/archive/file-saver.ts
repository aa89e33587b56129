// Reads one file in a worker thread, cuts it, stores its chunks, and makes its node. Runs synchronously: a thread does one
// file at a time, straight into the chunker's memory.

import { closeSync, fstatSync, readSync, type BigIntStats } from 'node:fs';
import { minChunkBytes, type Chunker } from '../chunker/chunker.ts';
import { openForReading } from '../filesystem/open-file.ts';
import { readNode, type NodeReader } from '../filesystem/read-node.ts';
import { systemError } from '../filesystem/system-error.ts';
import { encodeNode } from '../tree/encode-tree.ts';
import type { BlobWriter } from './blob-writer.ts';
import type { Counts } from './worker-protocol.ts';

const readBytes = 1024 * 1024;
/** Id of the smallest chunk of zeros: what sparse files consist of. */
const zeroChunkId = Buffer.from('07854d2fef297a06ba81685e660c332de36d5d18d546927d30daad6d7fda1541', 'hex');

export interface FileSaverOptions {
  readonly chunker: Chunker;
  readonly writer: BlobWriter;
  readonly reader: NodeReader;
  /** Throws when the archive was aborted; called between chunks. */
  readonly throwIfAborted: () => void;
}

export class FileSaver {
  readonly #options: FileSaverOptions;

  constructor(options: FileSaverOptions) {
    this.#options = options;
  }

  /** The JSON of the file's node. Throws the system's error when it cannot be read, and when it is no file any more. */
  save(path: Buffer, name: Buffer, counts: Counts): string {
    const fd = openForReading(path);
    try {
      const stat = fstatSync(fd, { bigint: true });
      if (!stat.isFile()) throw systemError('ESTALE', 'open', 'replaced by something that is not a file');
      const { content, size } = this.#saveContent(fd, stat, counts);
      counts.bytes += size;
      const node = readNode(this.#options.reader, { path, name, stat });
      return encodeNode({ ...node, content, size });
    } finally {
      closeSync(fd);
    }
  }

  #saveContent(fd: number, stat: BigIntStats, counts: Counts): { content: string[]; size: number } {
    const { chunker } = this.#options;
    const content: string[] = [];
    const sizeHint = Number(stat.size);
    let size = 0;
    try {
      for (let atEnd = false; !atEnd;) {
        const space = chunker.space();
        const wanted = Math.min(space.length, readBytes);
        const count = readSync(fd, space, 0, wanted, null);
        chunker.filled(count);
        size += count;
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
      const isZero = chunk.length === minChunkBytes && chunker.isZero(chunk);
      const id = isZero ? zeroChunkId : writer.hash(chunk);
      writer.store('data', id, chunk, counts);
      content.push(id.toString('hex'));
    }
  }
}
