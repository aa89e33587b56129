// Reads single objects of a repository as they are, for people who look into one: what `cat` and `list` print.

import { AppError } from '@varve/base';
import { isHexId, type BlobType } from '../pack/blob-type.ts';
import type { CallOptions, Repository } from '../repository.ts';
import { encodeConfig } from '../store/config.ts';
import { encodeMasterKey } from '../store/key-file.ts';

export type FileKind = 'index' | 'snapshot' | 'key' | 'lock' | 'pack';

/** Ids of all files of a kind, in the order of ids. */
export async function listFileIds(
  repository: Repository,
  kind: FileKind,
  options: CallOptions = {},
): Promise<string[]> {
  const names: string[] = [];
  const { signal } = options;
  for await (const { name } of repository.storage.list(kind, { signal, sizes: false })) names.push(name);
  return names.sort();
}

/** Every blob that the index lists, once for each pack that it is in. The index has to be loaded. */
export function* listBlobs(repository: Repository): Generator<{ readonly type: BlobType; readonly id: string }> {
  for (const { blobs } of repository.index.packs()) for (const { type, id } of blobs) yield { type, id };
}

/** The only file of a kind whose id begins with `text`. PATH_NOT_FOUND; USAGE_INVALID when it is the beginning of several. */
export async function findFileId(
  repository: Repository,
  kind: FileKind,
  text: string,
  options: CallOptions = {},
): Promise<string> {
  if (/^[0-9a-f]{64}$/.test(text)) return text;
  const ids = /^[0-9a-f]{1,63}$/.test(text) ? await listFileIds(repository, kind, options) : [];
  const matches = ids.filter((id) => id.startsWith(text));
  const [match] = matches;
  if (match === undefined) throw notFound(kind, text);
  if (matches.length === 1) return match;
  throw new AppError('USAGE_INVALID', `“${text}” is the beginning of ${matches.length} ${kind} files.`, {
    hint: 'Give more digits of the id.',
  });
}

/** The config as JSON. */
export function readConfig(repository: Repository): Uint8Array {
  return encodeConfig(repository.config);
}

/**
 * The content of a file: the JSON of an index, snapshot, key or lock file, the stored bytes of a pack. Checked against its
 * id. STORAGE_FILE_NOT_FOUND, REPOSITORY_DAMAGED.
 */
export async function readRepositoryFile(
  repository: Repository,
  kind: FileKind,
  id: string,
  options: CallOptions = {},
): Promise<Uint8Array> {
  if (kind === 'index' || kind === 'snapshot' || kind === 'lock') return repository.loadUnpacked(kind, id, options);
  const bytes = await repository.storage.load({ type: kind, name: id }, options);
  const hash = repository.engine.sha256(bytes).toString('hex');
  if (hash === id) return bytes;
  throw new AppError('REPOSITORY_DAMAGED', `The ${kind} file ${id} was changed: its content has the hash ${hash}.`);
}

/** The plaintext of a blob of either type. The index has to be loaded. PATH_NOT_FOUND. */
export async function readBlob(repository: Repository, id: string, options: CallOptions = {}): Promise<Uint8Array> {
  if (isHexId(id)) {
    for (const type of ['data', 'tree'] as const) {
      if (repository.index.has(type, id)) return repository.loadBlob(type, id, options);
    }
  }
  throw notFound('blob', id);
}

/** The master key, as it is in key files before it is sealed: whoever has it reads and writes everything. */
export function readMasterKey(repository: Repository): Uint8Array {
  return encodeMasterKey(repository.key);
}

function notFound(kind: string, text: string): AppError {
  return new AppError('PATH_NOT_FOUND', `The repository has no ${kind} “${text}”.`, {
    hint: 'List what there is to see the ids.',
  });
}
