// What `restic backup PATH…` does, with the same layout and therefore the same tree ids: an absolute path keeps all its
// folders, with their metadata, a relative one keeps its relative folders.

import { statSync } from 'node:fs';
import { isAbsolute, normalize, resolve } from 'node:path';
import { AppError, messageOf } from '@varve/base';
import { joinPath, pathComponents } from '../filesystem/byte-path.ts';
import { Libc } from '../filesystem/libc.ts';
import { readNode } from '../filesystem/read-node.ts';
import { UserNames } from '../filesystem/user-names.ts';
import type { Repository } from '../repository.ts';
import { snapshotTimeNs, type Snapshot } from '../snapshot/snapshot.ts';
import { TimeFormatter } from '../tree/go-time.ts';
import type { ArchiveResult, StartArchiveOptions } from './archive-options.ts';
import { startArchive, type ArchiveSession } from './archive-session.ts';

export interface BackupPathsOptions extends Omit<StartArchiveOptions, 'parent' | 'excludes'> {
  /** As given by the user, absolute or relative to `cwd`. */
  readonly paths: readonly string[];
  /** Patterns that are matched against absolute paths of the host. */
  readonly excludes?: readonly string[] | undefined;
  readonly tags?: readonly string[] | undefined;
  readonly hostname: string;
  readonly username?: string | undefined;
  readonly time?: Date | undefined;
  /** `auto`: the latest snapshot of this host with the same paths; null: read everything. */
  readonly parent?: 'auto' | Snapshot | null | undefined;
  readonly programVersion?: string | undefined;
  readonly cwd?: string | undefined;
}

interface Source {
  readonly absolute: string;
  /** The folder that the first component is in. */
  readonly base: Buffer;
  readonly components: readonly Buffer[];
}

/** ARCHIVE_SOURCE_MISSING when one of the paths is not there; then no snapshot is made. */
export async function backupPaths(repository: Repository, options: BackupPathsOptions): Promise<ArchiveResult> {
  const cwd = options.cwd ?? process.cwd();
  if (options.paths.length === 0)
    throw new AppError('USAGE_INVALID', 'There is nothing to back up: no path was given.');
  const paths = [...new Set(options.paths.map((path) => resolve(cwd, path)))].sort();
  const sources = outermost(options.paths.map((path) => toSource(path, cwd)));
  const { signal, onProgress, measure, compression, workers, lockWaitMs } = options;
  const parent = await findParent(repository, { ...options, paths });
  await using session = await startArchive(repository, {
    signal,
    onProgress,
    measure,
    compression,
    workers,
    lockWaitMs,
    parent,
  });
  for (const source of sources) describeParents(session, source);
  const patterns = options.excludes ?? [];
  await Promise.all(
    sources.map(({ absolute, components }) =>
      session.addSource({
        source: Buffer.from(absolute),
        components,
        label: { shown: absolute, excludes: patterns.length > 0 ? [{ patterns, path: absolute }] : [] },
      }),
    ),
  );
  return await session.commit({
    time: options.time ?? new Date(),
    hostname: options.hostname,
    username: options.username,
    paths,
    tags: options.tags,
    excludes: options.excludes,
    programVersion: options.programVersion ?? 'varve',
  });
}

function toSource(path: string, cwd: string): Source {
  const absolute = resolve(cwd, path);
  if (isAbsolute(path)) return { absolute, base: Buffer.from('/'), components: pathComponents(Buffer.from(absolute)) };
  const steps = normalize(path)
    .split('/')
    .filter((step) => step !== '' && step !== '.');
  const ups = steps.filter((step) => step === '..').length;
  const base = resolve(cwd, ...steps.slice(0, ups));
  return { absolute, base: Buffer.from(base), components: steps.slice(ups).map((step) => Buffer.from(step)) };
}

/** Without sources that lie in others, which bring them along. */
function outermost(sources: readonly Source[]): Source[] {
  const byPath = new Map(sources.map((source) => [source.absolute, source]));
  return [...byPath.values()].filter(
    ({ absolute }) =>
      ![...byPath.keys()].some(
        (other) => other !== absolute && `${absolute}/`.startsWith(other === '/' ? '/' : `${other}/`),
      ),
  );
}

/** The folders above a source have the metadata that they have on the host. */
function describeParents(session: ArchiveSession, { base, components }: Source): void {
  const reader = { libc: Libc.load(), times: new TimeFormatter(), users: new UserNames() };
  let path = base;
  for (const [depth, name] of components.slice(0, -1).entries()) {
    path = joinPath(path, name);
    try {
      const stat = statSync(path, { bigint: true });
      session.describeFolder(components.slice(0, depth + 1), readNode(reader, { path, name, stat }));
    } catch (error) {
      throw new AppError('ARCHIVE_SOURCE_MISSING', `${path.toString()} cannot be read: ${messageOf(error)}`, {
        hint: 'Check that it exists and that this process may read it.',
        cause: error,
      });
    }
  }
}

async function findParent(
  repository: Repository,
  options: BackupPathsOptions & { readonly paths: readonly string[] },
): Promise<Snapshot | undefined> {
  const { parent = 'auto', hostname, paths, signal } = options;
  if (parent !== 'auto') return parent ?? undefined;
  const wanted = paths.join('\0');
  const now = BigInt((options.time ?? new Date()).getTime()) * 1_000_000n + 999_999n;
  const snapshots = await repository.listSnapshots({ signal });
  return snapshots.findLast(
    (snapshot) =>
      snapshot.hostname === hostname &&
      snapshot.paths.toSorted().join('\0') === wanted &&
      snapshotTimeNs(snapshot) <= now,
  );
}
