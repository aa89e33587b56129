// Looks into a snapshot and takes parts of it out, without restoring anything. A download holds a shared lock until it is disposed
// of, so that nobody prunes what it still has to read.

import { AppError, type Clock, type Logger } from '@varve/base';
import type { AppSnapshot, DownloadFormat, SnapshotEntry, SnapshotFolder } from '@varve/contract';
import {
  findNode,
  listTree,
  lockRepository,
  parseTime,
  readFileContent,
  streamTar,
  streamZip,
  type ListedNode,
  type LockOwnerOptions,
  type Repository,
  type TreeNode,
} from '@varve/repository';
import type { Download, DownloadRequest, FolderRequest } from '../facade.ts';

/** A prune or a forget keeps readers out for moments; whoever waits for a download does not wait long. */
const lockWaitMs = 30_000;
const defaultEntries = 1000;
const mostEntries = 5000;

interface BrowseOptions {
  readonly repository: Repository;
  readonly snapshot: AppSnapshot;
  readonly signal: AbortSignal;
}

/** PATH_NOT_FOUND, SNAPSHOT_NOT_FOUND, REPOSITORY_DAMAGED. */
export async function listFolder(
  options: BrowseOptions & { readonly request: FolderRequest },
): Promise<SnapshotFolder> {
  const { repository, snapshot, signal, request } = options;
  const path = absolutePath(request.path ?? '/');
  const { tree } = await repository.findSnapshot(snapshot.id, {}, { signal });
  const listed: ListedNode[] = [];
  for await (const entry of listTree(repository, { treeId: tree, path, signal })) listed.push(entry);
  const folders = listed.filter(({ node }) => node.type === 'dir');
  const others = listed.filter(({ node }) => node.type !== 'dir');
  const offset = request.offset ?? 0;
  const limit = Math.min(request.limit ?? defaultEntries, mostEntries);
  const page = [...folders, ...others].slice(offset, offset + limit);
  return { snapshotId: snapshot.id, path, total: listed.length, entries: page.map(entryOf) };
}

/** PATH_NOT_FOUND when there is no such thing, or it is no file and none of the archives was asked for. */
export async function openDownload(
  options: BrowseOptions & {
    readonly request: DownloadRequest;
    readonly lockOwner: LockOwnerOptions;
    readonly clock: Clock;
    readonly logger: Logger;
  },
): Promise<Download> {
  const { repository, snapshot, signal, request, clock, logger } = options;
  const { format } = request;
  const path = absolutePath(request.path);
  const lock = await lockRepository(repository, {
    ...options.lockOwner,
    exclusive: false,
    waitMs: lockWaitMs,
    signal,
    clock,
    logger,
  });
  try {
    const { tree: treeId } = await repository.findSnapshot(snapshot.id, {}, { signal });
    const node = path === '/' ? null : await findNode(repository, { treeId, path, signal });
    if (format === 'file' && node?.type !== 'file') throw noFile(path);
    const place = { treeId, path, signal: AbortSignal.any([signal, lock.signal]) };
    return {
      name: nameOf(snapshot, path, format),
      bytes: format === 'file' ? (node?.size ?? null) : null,
      content: contentOf(repository, place, format),
      [Symbol.asyncDispose]: () => lock.release(),
    };
  } catch (error) {
    await lock.release();
    throw error;
  }
}

function contentOf(
  repository: Repository,
  place: { readonly treeId: string; readonly path: string; readonly signal: AbortSignal },
  format: DownloadFormat,
): AsyncGenerator<Uint8Array> {
  switch (format) {
    case 'file':
      return readFileContent(repository, place);
    case 'tar':
      return streamTar(repository, place);
    case 'zip':
      return streamZip(repository, place);
  }
}

/** `/` at the beginning and none at the end. USAGE_INVALID for a relative one. */
function absolutePath(path: string): string {
  if (path.startsWith('/')) return path.replace(/\/+$/, '') || '/';
  throw new AppError('USAGE_INVALID', `"${path}" is not a path in a snapshot: those begin with a slash.`, {
    hint: 'List the folder / to see what the snapshot holds.',
    context: { path },
  });
}

function noFile(path: string): AppError {
  return new AppError('PATH_NOT_FOUND', `${path} is not a file in the snapshot.`, {
    hint: 'A folder is downloaded as tar or zip.',
    context: { path },
  });
}

/** A file keeps its name; an archive is named after the app, the moment and what is in it. */
function nameOf(snapshot: AppSnapshot, path: string, format: DownloadFormat): string {
  const last = path.slice(path.lastIndexOf('/') + 1);
  if (format === 'file') return last;
  const moment = new Date(snapshot.time).toISOString().slice(0, 16).replace('T', '-').replace(':', '');
  return [snapshot.appId, moment, ...(last === '' ? [] : [last])].join('-') + `.${format}`;
}

function entryOf({ path, node }: ListedNode): SnapshotEntry {
  return {
    name: path.slice(path.lastIndexOf('/') + 1),
    path,
    type: typeOf(node),
    bytes: node.type === 'file' ? node.size : null,
    modifiedAt: timeOf(node),
    target: node.linkTarget?.toString() ?? null,
  };
}

function typeOf({ type }: TreeNode): SnapshotEntry['type'] {
  if (type === 'file') return 'file';
  if (type === 'dir') return 'folder';
  return type === 'symlink' ? 'link' : 'other';
}

/** Null for times that no calendar has. */
function timeOf({ mtime }: TreeNode): string | null {
  const nanoseconds = parseTime(mtime);
  if (nanoseconds === null || nanoseconds === undefined) return null;
  const date = new Date(Number(nanoseconds / 1_000_000n));
  const year = date.getUTCFullYear();
  return year >= 0 && year <= 9999 ? date.toISOString() : null;
}
