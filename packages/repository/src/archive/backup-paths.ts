// What `restic backup PATH…` does, with the same layout and therefore the same tree ids: an absolute path keeps all its
// folders, with their metadata, a relative one keeps its relative folders.

import { lstatSync, statSync } from 'node:fs';
import { AppError, messageOf } from '@varve/base';
import { joinPath } from '../filesystem/byte-path.ts';
import { Libc } from '../filesystem/libc.ts';
import { readNode } from '../filesystem/read-node.ts';
import { UserNames } from '../filesystem/user-names.ts';
import type { Repository } from '../repository.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import { printableName } from '../tree/go-quote.ts';
import { TimeFormatter } from '../tree/go-time.ts';
import type { ArchiveOutcome, StartArchiveOptions } from './archive-options.ts';
import type { ArchiveSession } from './archive-session.ts';
import { locateSources, outermost, pathBelow, type Source } from './backup-sources.ts';
import { findParent, type ParentGroup } from './find-parent.ts';
import { noRules, Selection, type ExcludeRules, type SelectionRules } from './selection.ts';
import { makeRules } from './selection-rules.ts';
import { startArchive } from './start-archive.ts';
import type { Problem } from './worker-protocol.ts';

export interface BackupPathsOptions extends Omit<StartArchiveOptions, 'parent' | 'excludes'>, ExcludeRules {
  /** As given by the user, absolute or relative to `cwd`; bytes for names that are not UTF-8. */
  readonly paths: readonly (string | Uint8Array)[];
  /** Patterns that are matched against absolute paths of the host. */
  readonly excludes?: readonly string[] | undefined;
  readonly tags?: readonly string[] | undefined;
  readonly hostname: string;
  readonly username?: string | undefined;
  readonly time?: Date | undefined;
  /** `auto`: the latest snapshot of the same group; null: read everything. */
  readonly parent?: 'auto' | Snapshot | null | undefined;
  /** What a snapshot has to have in common to be the parent; host and paths when absent. */
  readonly groupBy?: ParentGroup | undefined;
  readonly skipIfUnchanged?: boolean | undefined;
  readonly programVersion?: string | undefined;
  readonly cwd?: string | undefined;
}

export interface BackupOutcome extends ArchiveOutcome {
  /** What was compared with. */
  readonly parent: Snapshot | null;
}

/** Options with which a snapshot is made in any case. */
type AlwaysSaved = BackupPathsOptions & { readonly dryRun?: false; readonly skipIfUnchanged?: false };

/**
 * Paths that do not exist are told as problems. ARCHIVE_SOURCE_MISSING when none does or all are excluded; then no snapshot is
 * made.
 */
export async function backupPaths(
  repository: Repository,
  options: AlwaysSaved,
): Promise<BackupOutcome & { readonly snapshot: Snapshot }>;
export async function backupPaths(repository: Repository, options: BackupPathsOptions): Promise<BackupOutcome>;
export async function backupPaths(repository: Repository, options: BackupPathsOptions): Promise<BackupOutcome> {
  if (options.paths.length === 0)
    throw new AppError('USAGE_INVALID', 'There is nothing to back up: no path was given.');
  const time = options.time ?? new Date();
  const { sources, missing } = existing(locateSources(options.paths, options.cwd ?? process.cwd()));
  const paths = [...new Set(sources.map(({ absolute }) => absolute.toString()))].sort();
  const parent = await parentOf(repository, { ...options, paths, time });
  const start = { ...options, excludes: undefined, parent: parent ?? undefined, startsThreads: true };
  await using session = await startArchive(repository, start);
  const wanted = outermost(sources);
  for (const source of wanted) describeParents(session, source, options);
  const added = wanted.map((source) => addSource(session, source, { ...options, sources }));
  if (!(await Promise.all(added)).includes(true)) {
    throw new AppError(
      'ARCHIVE_SOURCE_MISSING',
      'Everything that was named is excluded: the snapshot would be empty.',
      {
        hint: 'Look at the exclude options, with --dry-run.',
      },
    );
  }
  const outcome = await session.finish({
    time,
    hostname: options.hostname,
    username: options.username,
    paths,
    tags: options.tags,
    excludes: options.excludes,
    programVersion: options.programVersion ?? 'varve',
    skipIfUnchanged: options.skipIfUnchanged,
  });
  return { ...outcome, parent, problems: [...missing, ...outcome.problems] };
}

/** Yields whether it was added, and not excluded. */
async function addSource(
  session: ArchiveSession,
  source: Source,
  options: BackupPathsOptions & { readonly sources: readonly Source[] },
): Promise<boolean> {
  const { absolute, components } = source;
  const rules = makeRules({
    ...options,
    excludes: [{ patterns: options.excludes, place: absolute }],
    place: absolute,
    devices: options.oneFileSystem ? devicesBelow(source, options.sources) : null,
  });
  if (isExcluded(absolute, rules)) return false;
  await session.addSource({ source: absolute, components, shown: printableName(absolute), rules });
  return true;
}

/** Whether a source itself is excluded: by patterns, a mark in the folder that it is in, or its size. */
function isExcluded(source: Buffer, rules: SelectionRules): boolean {
  if (new Selection(rules).excludesSource()) return true;
  const slash = source.lastIndexOf('/');
  const name = source.subarray(slash + 1);
  if (name.length === 0) return false;
  const beside = new Selection({ ...noRules, marks: rules.marks, largerThanBytes: rules.largerThanBytes });
  const folder = beside.folder(source.subarray(0, Math.max(1, slash)), '', () => {});
  return folder.excludesName(name) || folder.keeps(name, lstatSync(source, { bigint: true })) === false;
}

/** The device of a source, and of other sources below it. */
function devicesBelow(source: Source, sources: readonly Source[]): SelectionRules['devices'] {
  return sources.flatMap((other) => {
    const below = other === source ? '' : pathBelow(source, other);
    return below === undefined ? [] : [{ below, device: String(lstatSync(other.absolute, { bigint: true }).dev) }];
  });
}

async function parentOf(
  repository: Repository,
  options: BackupPathsOptions & { readonly paths: readonly string[]; readonly time: Date },
): Promise<Snapshot | null> {
  const { parent = 'auto', hostname, paths, time, signal } = options;
  if (parent !== 'auto') return parent;
  const groupBy = options.groupBy ?? { host: true, paths: true, tags: false };
  // One that cannot be read is no parent, and no reason not to back up.
  const { snapshots } = await repository.readSnapshots({ signal });
  return findParent(snapshots, { hostname, paths, tags: options.tags ?? [], time, groupBy }) ?? null;
}

/** The sources that are there. ARCHIVE_SOURCE_MISSING when none is. */
function existing(sources: readonly Source[]): { sources: Source[]; missing: Problem[] } {
  const missing: Problem[] = [];
  const found = sources.filter(({ absolute }) => {
    try {
      lstatSync(absolute);
      return true;
    } catch (error) {
      missing.push({ path: printableName(absolute), message: `it cannot be read: ${messageOf(error)}` });
      return false;
    }
  });
  const [first] = missing;
  if (found.length > 0 || !first) return { sources: found, missing };
  const others = missing.length > 1 ? `, nor can the ${missing.length - 1} others` : '';
  throw new AppError('ARCHIVE_SOURCE_MISSING', `${first.path}: ${first.message}${others}.`, {
    hint: 'Check that it exists and that this process may read it.',
  });
}

/** The folders above a source have the metadata that they have on the host. */
function describeParents(
  session: ArchiveSession,
  { base, components }: Source,
  { withAccessTimes }: Pick<StartArchiveOptions, 'withAccessTimes'>,
): void {
  const reader = { libc: Libc.load(), times: new TimeFormatter(), users: new UserNames(), withAccessTimes };
  let path = base;
  for (const [depth, name] of components.slice(0, -1).entries()) {
    path = joinPath(path, name);
    try {
      const stat = statSync(path, { bigint: true });
      session.describeFolder(components.slice(0, depth + 1), readNode(reader, { path, name, stat }));
    } catch (error) {
      throw new AppError('ARCHIVE_SOURCE_MISSING', `${printableName(path)} cannot be read: ${messageOf(error)}`, {
        hint: 'Check that it exists and that this process may read it.',
        cause: error,
      });
    }
  }
}
