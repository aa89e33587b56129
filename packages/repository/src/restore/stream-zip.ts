// A folder of a snapshot as a zip stream, for downloads: files, folders and symbolic links with their modes, as restic writes
// them; other objects are left out. Nothing is kept on disk; in memory only the directory at the end, some hundred bytes an
// entry. As much is read as the reader takes.

import { pipeline } from 'node:stream/promises';
import { crc32, createDeflateRaw } from 'node:zlib';
import { fileTypeBits, permissionsOf } from '../filesystem/file-mode.ts';
import type { Repository } from '../repository.ts';
import { parseTime } from '../tree/go-time.ts';
import {
  centralHeader,
  dataDescriptor,
  endRecords,
  localHeader,
  type ZipContent,
  type ZipEntry,
} from '../zip/zip-format.ts';
import { archiveEntries, archiveRoot, type ArchiveEntry, type ArchiveOptions } from './archive-entries.ts';
import { readContent } from './list-tree.ts';

/** From here on the compressed size may need more than 32 bits, since deflate can make data a little larger. */
const zip64FromBytes = 4_200_000_000;
/** The directory is gathered in buffers of this size. */
const directoryChunkBytes = 256 * 1024;

/** PATH_NOT_FOUND, RESTORE_PATH_UNSAFE, REPOSITORY_DAMAGED. A stream that throws must not be used. */
export async function* streamZip(repository: Repository, options: ArchiveOptions): AsyncGenerator<Uint8Array> {
  const { signal } = options;
  await repository.loadIndex({ signal });
  const node = await archiveRoot(repository, options);
  const directory = new Directory();
  let offset = 0;
  for await (const entry of archiveEntries(repository, { ...options, node })) {
    const zipEntry = toZipEntry(entry);
    if (!zipEntry) continue;
    const written = zipEntry.isDeflated
      ? yield* deflatedFile(zipEntry, readContent(repository, entry.node, signal))
      : yield* storedEntry(zipEntry, entry.node.linkTarget ?? Buffer.alloc(0));
    directory.add(centralHeader(zipEntry, written, offset));
    offset += written.totalBytes;
  }
  yield* directory.parts();
  yield endRecords({ entries: directory.entries, offset, sizeBytes: directory.sizeBytes });
}

/** An entry that was written, with everything around its content. */
interface WrittenEntry extends ZipContent {
  readonly totalBytes: number;
}

function toZipEntry({ name, node }: ArchiveEntry): ZipEntry | undefined {
  const { type } = node;
  if (type !== 'file' && type !== 'dir' && type !== 'symlink') return undefined;
  return {
    name: type === 'dir' ? Buffer.concat([name, Buffer.from('/')]) : name,
    mode: fileTypeBits(type) | permissionsOf(node.mode),
    mtimeNs: parseTime(node.mtime) ?? 0n,
    isDeflated: type === 'file',
    isZip64: node.size >= zip64FromBytes,
  };
}

async function* storedEntry(entry: ZipEntry, bytes: Buffer): AsyncGenerator<Uint8Array, WrittenEntry> {
  const content = { crc32: crc32(bytes), compressedBytes: bytes.length, sizeBytes: bytes.length };
  const header = localHeader(entry, content);
  yield header;
  if (bytes.length > 0) yield bytes;
  return { ...content, totalBytes: header.length + bytes.length };
}

async function* deflatedFile(
  entry: ZipEntry,
  source: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, WrittenEntry> {
  const content = { crc32: 0, compressedBytes: 0, sizeBytes: 0 };
  const deflater = createDeflateRaw();
  const feeding = pipeline(async function* () {
    for await (const bytes of source) {
      content.crc32 = crc32(bytes, content.crc32);
      content.sizeBytes += bytes.length;
      yield bytes;
    }
  }, deflater);
  // Thrown where the output is read.
  feeding.catch(() => {});
  const header = localHeader(entry);
  yield header;
  for await (const bytes of deflater as AsyncIterable<Uint8Array>) {
    content.compressedBytes += bytes.length;
    yield bytes;
  }
  await feeding;
  const descriptor = dataDescriptor(entry, content);
  yield descriptor;
  return { ...content, totalBytes: header.length + content.compressedBytes + descriptor.length };
}

/** The records of all entries, in few large buffers. */
class Directory {
  entries = 0;
  sizeBytes = 0;
  readonly #full: Uint8Array[] = [];
  #open = Buffer.allocUnsafe(directoryChunkBytes);
  #used = 0;

  add(record: Buffer): void {
    this.entries++;
    this.sizeBytes += record.length;
    if (this.#used + record.length > this.#open.length) {
      this.#full.push(this.#open.subarray(0, this.#used));
      this.#open = Buffer.allocUnsafe(Math.max(directoryChunkBytes, record.length));
      this.#used = 0;
    }
    record.copy(this.#open, this.#used);
    this.#used += record.length;
  }

  *parts(): Generator<Uint8Array> {
    yield* this.#full;
    if (this.#used > 0) yield this.#open.subarray(0, this.#used);
  }
}
