// What is stored of a file that arrives with an incremental base backup: whole files, whose unchanged chunks are those of the
// backup before and are not read.

import { createHash } from 'node:crypto';
import { AppError } from '@varve/base';
import { rebuildFile, wholeBackupLabel, wholeName, type ReplacedFile } from '@varve/postgres';
import { plaintextLength, type Repository, type RewrittenFile, type StoredChunk } from '@varve/repository';
import { collectBytes } from '../collect-bytes.ts';
import type { OlderBase, OlderContent } from './incremental-base.ts';

const visibilityMap = /_vm(\.\d+)?$/;

export interface RewriteInput {
  readonly repository: Repository;
  readonly older: OlderBase;
  /** Of paths in the manifest: empty, or `pg_tblspc/<oid>/`. */
  readonly prefix: string;
  readonly chunkBytes: number;
  /** Gets what was rebuilt or changed, by the path in the server's manifest. */
  readonly rebuilt: Map<string, ReplacedFile>;
  readonly signal: AbortSignal;
}

/** A file of the server's archive. */
export interface SentFile {
  readonly name: string;
  readonly sizeBytes: number;
  readonly content: AsyncIterable<Uint8Array>;
}

/** Undefined: the file is stored as it comes. The content throws DATABASE_BACKUP_MISMATCH, DATABASE_PROTOCOL, REPOSITORY_DAMAGED. */
export function rewriteSentFile(file: SentFile, input: RewriteInput): RewrittenFile | undefined {
  if (file.name === 'backup_label' && input.prefix === '') return { name: file.name, content: label(file, input) };
  const name = wholeName(file.name);
  return name === undefined ? undefined : { name, content: wholeContent(file, name, input) };
}

async function* label({ content }: SentFile, { rebuilt }: RewriteInput): AsyncGenerator<Uint8Array> {
  const bytes = wholeBackupLabel(await collectBytes(content));
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  rebuilt.set('backup_label', { path: 'backup_label', sizeBytes: bytes.length, sha256 });
  yield bytes;
}

async function* wholeContent(
  file: SentFile,
  name: string,
  input: RewriteInput,
): AsyncGenerator<Uint8Array | StoredChunk> {
  const { older, prefix, chunkBytes, rebuilt } = input;
  const path = prefix + name;
  const before = older.files.get(path);
  if (before === undefined) {
    throw new AppError(
      'DATABASE_BACKUP_MISMATCH',
      `The server sent only changes of ${path}, and the base backup before has no such file.`,
      { hint: 'Take the backup again.', retry: true },
    );
  }
  let sizeBytes = 0;
  // A visibility map loses bits by records that do not name its page, so summaries miss that: older pages of it may say too much.
  // Zeros say nothing, which is always right; what VACUUM notes anew is sent.
  const olderBytes = visibilityMap.test(name) ? 0 : before.sizeBytes;
  const parts = { sizeBytes: olderBytes, readPart: (part: number) => readChunk(before, part, input) };
  for await (const part of rebuildFile(file, { older: parts, partBytes: chunkBytes })) {
    if (part instanceof Uint8Array) {
      sizeBytes += part.length;
      yield part;
    } else {
      const chunk = { id: chunkOf(before, part.sameAs), sizeBytes: chunkSize(before, part.sameAs, chunkBytes) };
      sizeBytes += chunk.sizeBytes;
      yield chunk;
    }
  }
  rebuilt.set(prefix + file.name, { path, sizeBytes, sha256: undefined });
}

async function readChunk(before: OlderContent, part: number, input: RewriteInput): Promise<Uint8Array> {
  const { repository, chunkBytes, signal } = input;
  const id = chunkOf(before, part);
  const location = repository.index.lookup('data', id);
  if (location !== undefined && plaintextLength(location) === chunkSize(before, part, chunkBytes))
    return repository.loadBlob('data', id, { signal });
  throw new AppError('REPOSITORY_DAMAGED', `The data blob ${id} is not in the repository, or not as it was.`, {
    hint: 'Check the repository.',
  });
}

function chunkOf({ chunks }: OlderContent, part: number): string {
  const id = chunks[part];
  if (id !== undefined) return id;
  throw new AppError('REPOSITORY_DAMAGED', `A file of the base backup before has no chunk ${part}.`);
}

function chunkSize({ sizeBytes }: OlderContent, part: number, chunkBytes: number): number {
  return Math.min(chunkBytes, sizeBytes - part * chunkBytes);
}
