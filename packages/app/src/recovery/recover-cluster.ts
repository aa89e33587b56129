// Makes a running server of a base backup and the log, stopped exactly where the plan says. Everything is in one folder of
// its own; nothing else is touched. When it fails, the server is stopped, and the caller removes the folder.

import { chmod, chown, lchown, mkdir, readFile, readdir, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join, posix } from 'node:path';
import { AppError, isAppError, throwIfAborted, type OnProgress } from '@varve/base';
import {
  formatTimelineHistory,
  historyFileName,
  largestSizes,
  placeTablespaces,
  prepareDataFolder,
  readPgControl,
  recoverySettings,
  restoreCommand,
  settingIn,
  tablespacesFolder,
  WalExchange,
  type WalFileSource,
  type WrittenWalFile,
} from '@varve/postgres';
import { FileFetcher, restoreTree, type Repository } from '@varve/repository';
import type { SavedTablespace } from '../components/database/saved-tablespaces.ts';
import { isLost } from '../repositories/is-lost.ts';
import type { RunContext } from '../use-case.ts';
import type { RecoveryChoice } from './choose-recovery.ts';
import { followRecovery, type RecoveredState } from './follow-recovery.ts';
import { isWhole, nameLostLog } from './lost-log.ts';
import { parameterSizes, segmentPosition, type RecoveryLog } from './recovery-log.ts';
import { placeNames, socketPort, type RecoveryPlace, type RecoveryServer } from './recovery-server.ts';

export interface RecoverClusterInput {
  readonly context: Pick<RunContext, 'signal' | 'report' | 'log'>;
  readonly repository: Repository;
  readonly log: Pick<RecoveryLog, 'unreadable'>;
  readonly choice: RecoveryChoice;
  /** Of the base backup. */
  readonly tablespaces: readonly SavedTablespace[];
  readonly place: RecoveryPlace;
  readonly server: RecoveryServer;
  readonly whenReached: 'promote' | 'pause';
  /** For a server that people connect to; without, it listens on its socket only. */
  readonly listen?: { readonly addresses: string; readonly port: number; readonly hba: string } | undefined;
  /** Leave out libraries that run jobs by themselves. */
  readonly withoutJobs: boolean;
  /** Who may log in through the socket; tried one after the other. */
  readonly users: readonly string[];
}

/**
 * The server runs when this resolves: promoted, or paused at the target. RECOVERY_FAILED with the server's words, or the
 * error of the repository, which names the stretch of the log that is lost; the server is stopped then.
 */
export async function recoverCluster(input: RecoverClusterInput): Promise<RecoveredState> {
  const { context, choice, place, server } = input;
  await writeBase(input);
  const sizes = await checkBase(input);
  await writeSettings(input, sizes);
  const needed = choice.way.segments.slice(0, choice.stop.segmentsNeeded);
  const sequence = [...choice.way.leading, ...needed]
    .map(({ name }) => name)
    .filter((name) => !choice.ownSegments.has(name));
  const step = `replay-wal:${choice.base.saved.name}`;
  const report = (taken: number): void =>
    context.report({
      step,
      filesDone: taken,
      filesTotal: sequence.length,
      bytesDone: taken * choice.segmentBytes,
      bytesTotal: sequence.length * choice.segmentBytes,
    });
  report(0);
  // Before the exchange, so that it ends after it: nobody fetches any more then.
  await using fetcher = await FileFetcher.open(input.repository, { signal: context.signal });
  await using exchange = await WalExchange.start({
    folder: join(place.here, placeNames.exchange),
    sequence,
    source: walSource(input, fetcher),
    segmentBytes: choice.segmentBytes,
    owner: place.owner,
    onTaken: report,
  });
  throwIfAborted(context.signal);
  try {
    await server.start();
    const state = await followRecovery({ ...input, exchange });
    await exchange.close();
    return { ...state, segments: exchange.servedCount };
  } catch (error) {
    await server.stop('immediate');
    throw exchange.failure ?? error;
  }
}

async function writeBase(input: RecoverClusterInput): Promise<void> {
  const { choice, place, tablespaces } = input;
  const { owner } = place;
  const dataDirectory = join(place.here, placeNames.data);
  await writeTree(input, { path: choice.base.saved.path, target: dataDirectory });
  // One that an earlier recovery had put into the data folder is saved as a tablespace too, and that copy counts.
  await rm(join(dataDirectory, tablespacesFolder), { recursive: true, force: true });
  for (const { oid, path } of tablespaces)
    await writeTree(input, { path, target: join(dataDirectory, tablespacesFolder, oid) });
  if (owner !== undefined) await giveAll(place.here, owner);
  await placeTablespaces({ dataDirectory, seenAs: posix.join(place.there, placeNames.data), owner });
  await prepareDataFolder({ dataDirectory, keepSettingsAt: join(place.here, placeNames.ownSettings), owner });
}

async function writeTree(
  { context, repository, choice }: RecoverClusterInput,
  { path, target }: { readonly path: string; readonly target: string },
): Promise<void> {
  const { base } = choice;
  const { signal } = context;
  const step = `restore-base:${base.saved.name}`;
  await mkdir(target, { recursive: true, mode: 0o700 });
  const onProgress: OnProgress = (progress) => context.report({ ...progress, step });
  const { problems } = await restoreTree(repository, { treeId: base.snapshot.tree, path, target, signal, onProgress });
  const [first] = problems;
  if (first !== undefined) {
    throw new AppError(
      'RECOVERY_FAILED',
      `The base backup could not be written whole: ${first.path}: ${first.message}`,
      {
        hint: 'Nothing that was there was touched. Run Varve as root, or as the user of the server.',
      },
    );
  }
  await chmod(target, 0o700);
}

/** Files of another user are of no use to the server; only root can give them away. */
async function giveAll(folder: string, owner: { readonly uid: number; readonly gid: number }): Promise<void> {
  if (process.getuid?.() !== 0) return;
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  await chown(folder, owner.uid, owner.gid);
  for (const entry of entries) await lchown(join(entry.parentPath, entry.name), owner.uid, owner.gid);
}

async function checkBase({ choice, place }: RecoverClusterInput) {
  const control = await readPgControl(join(place.here, placeNames.data));
  const { base, segmentBytes, cluster } = choice;
  if (control.systemId !== base.systemId || control.walSegmentBytes !== segmentBytes) {
    throw new AppError(
      'RECOVERY_FAILED',
      `The base backup is of the cluster ${control.systemId} with segments of ${control.walSegmentBytes} bytes, and the log of ${base.systemId} with ${segmentBytes}.`,
    );
  }
  return largestSizes([control.sizes, ...parameterSizes(cluster.blocks, choice.way.end.lsn)]);
}

async function writeSettings(input: RecoverClusterInput, sizes: ReturnType<typeof largestSizes>): Promise<void> {
  const { choice, place, listen, whenReached, withoutJobs } = input;
  const there = (name: string): string => `${place.there}/${name}`;
  const here = (name: string): string => join(place.here, name);
  const includes = [`${there(placeNames.data)}/postgresql.conf`, there(placeNames.ownSettings)];
  const files = [here(`${placeNames.data}/postgresql.conf`), here(placeNames.ownSettings)];
  const texts = await Promise.all(files.map((path) => readFile(path, 'utf8').catch(() => '')));
  const preload = settingIn(texts, 'shared_preload_libraries');
  const text = recoverySettings({
    dataDirectory: there(placeNames.data),
    socketDirectory: place.socketThere,
    hbaFile: there(placeNames.hba),
    identFile: there(placeNames.ident),
    includes,
    restoreCommand: restoreCommand(`${there(placeNames.exchange)}/fetch`),
    stop: choice.stop,
    timeline: choice.history.timeline,
    whenReached,
    sizes,
    listenAddresses: listen?.addresses ?? '',
    port: listen?.port ?? socketPort,
    ...(withoutJobs && preload !== undefined ? { preloadLibraries: librariesWithoutJobs(preload) } : {}),
  });
  await mkdir(here(placeNames.socket), { recursive: true, mode: 0o700 });
  await writeFile(here(placeNames.settings), text, { mode: 0o600 });
  await writeFile(here(placeNames.hba), `local all all trust\n${listen?.hba ?? ''}`, { mode: 0o600 });
  await writeFile(here(placeNames.ident), '', { mode: 0o600 });
  await writeFile(here(placeNames.log), '', { mode: 0o600 });
  if (place.owner === undefined || process.getuid?.() !== 0) return;
  for (const name of [placeNames.socket, placeNames.settings, placeNames.hba, placeNames.ident, placeNames.log])
    await chown(here(name), place.owner.uid, place.owner.gid);
}

/** A copy of a database must not run what the original runs by the clock. */
export function librariesWithoutJobs(preload: string): string {
  return preload
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '' && !/(^|\/)(pg_cron|pg_timetable|pg_background|pgautofailover)"?$/.test(name))
    .join(', ');
}

/** Segments and history files from the repository. What is not there is absent only when everything could be read. */
function walSource(input: RecoverClusterInput, fetcher: FileFetcher): WalFileSource {
  const { choice, log } = input;
  const { cluster, segments, ownSegments, segmentBytes, way } = choice;
  const ordered = [...way.leading, ...way.segments];
  const behind = new Set(way.segments.slice(choice.stop.segmentsNeeded).map(({ name }) => name));
  const usable = new Map(ordered.map((segment) => [segment.name, segment]));
  return {
    open: async (name, signal) => {
      for (const [timeline, file] of cluster.historyFiles) {
        if (historyFileName(timeline) === name) return once(file);
      }
      if (isTaken(name, choice)) return once(placeholderHistory(choice));
      const segment = usable.get(name);
      // Servers read ahead: behind the stop nothing is needed, and what is lost there must not be in the way.
      if (segment !== undefined && behind.has(name) && !(await isWhole(segment, segments, signal))) return undefined;
      if (segment !== undefined && !ownSegments.has(name)) {
        const found = segments.get(name);
        if (found !== undefined) {
          const naming = { segments: ordered, stored: segments, failed: new Set([name]), signal };
          return segmentFile(fetcher, { ...found.place, bytes: segment.bytes, signal }, (error) =>
            nameLostLog(error, naming),
          );
        }
      }
      const [damaged] = log.unreadable;
      const isOfWay = segment === undefined && segmentPosition(name, segmentBytes) !== undefined;
      if (damaged !== undefined && isOfWay) {
        throw new AppError(
          'REPOSITORY_DAMAGED',
          `The WAL block ${damaged.snapshotId.slice(0, 8)} cannot be read, so it is not certain that ${name} is missing: ${damaged.error.message}`,
        );
      }
      return undefined;
    },
  };
}

/**
 * A timeline that is known, behind that of the target, without its history file: it was begun by a recovery that nobody captured. The
 * server asks for the files to find a number that was never used, and looks at no more than whether they are there.
 */
function isTaken(name: string, { cluster, history }: RecoveryChoice): boolean {
  for (let timeline = history.timeline + 1; timeline <= cluster.newestTimeline; timeline++)
    if (historyFileName(timeline) === name) return true;
  return false;
}

function placeholderHistory({ history, base }: RecoveryChoice): Buffer {
  const ancestor = { timeline: history.timeline, switchLsn: base.endLsn, reason: 'not captured' };
  return Buffer.from(formatTimelineHistory({ timeline: history.timeline + 1, ancestors: [ancestor] }));
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

interface SegmentFile {
  readonly treeId: string;
  readonly path: string;
  /** As many as are of this history. */
  readonly bytes: number;
  readonly signal: AbortSignal;
}

/** What is lost of it is told by what `named` makes of the error. */
function segmentFile(
  fetcher: FileFetcher,
  { treeId, path, bytes, signal }: SegmentFile,
  named: (error: AppError) => Promise<AppError>,
): WrittenWalFile {
  return {
    writeTo: async (target) => {
      const stored = await fetcher.fetch({ treeId, path, target, signal }).catch(async (error: unknown) => {
        throw isLost(error) ? await named(error) : error;
      });
      if (stored < bytes)
        throw new AppError(
          'REPOSITORY_DAMAGED',
          `A segment of the log is ${bytes - stored} bytes shorter than it should be.`,
        );
      if (stored > bytes) await truncate(target, bytes);
    },
  };
}

/** Whether a path is there. */
export async function isFolderEmptyOrMissing(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory() && (await readdir(path)).length === 0;
  } catch (error) {
    if (isAppError(error)) throw error;
    return (error as NodeJS.ErrnoException).code === 'ENOENT';
  }
}
