// Everything in the repository from which one database can be recovered, looked up once: its base backups and the blocks of
// its write-ahead log, by cluster, with the history of each timeline.

import { mapConcurrently, isAppError, type AppError } from '@varve/base';
import type { Manifest, SavedDatabase, WalBlock } from '@varve/contract';
import {
  parseLsn,
  parseTimelineHistory,
  parseUnixMicros,
  parseWalFileName,
  type AvailableSegment,
  type Lsn,
  type RecoverySizes,
  type TimelineHistory,
} from '@varve/postgres';
import { listTree, readFileContent, type Repository, type Snapshot } from '@varve/repository';
import { isLost } from '../repositories/is-lost.ts';
import { appTag, readManifest } from '../snapshot/describe-snapshot.ts';
import { WalArchive, type ArchivedSegment } from '../wal-archive/wal-archive.ts';

const manifestsAtOnce = 8;

export interface BaseBackup {
  readonly snapshot: Snapshot;
  readonly manifest: Manifest;
  readonly saved: SavedDatabase;
  readonly systemId: string;
  readonly timeline: number;
  readonly startLsn: Lsn;
  readonly endLsn: Lsn;
}

/** A segment and where its bytes are. */
export interface LogSegment extends AvailableSegment {
  readonly open: (signal?: AbortSignal) => AsyncIterable<Uint8Array>;
  /** The file in the repository. */
  readonly place: { readonly treeId: string; readonly path: string };
}

/** What is known of one cluster: a database that was made anew, or upgraded, is another one. */
export interface ClusterLog {
  readonly systemId: string;
  readonly serverVersion: string;
  readonly segmentBytes: number;
  readonly blocks: readonly WalBlock[];
  readonly segments: ReadonlyMap<string, LogSegment>;
  /** By timeline; those that came from another one. */
  readonly histories: ReadonlyMap<number, TimelineHistory>;
  /** The bytes of history files. */
  readonly historyFiles: ReadonlyMap<number, Buffer>;
  /** The latest timeline that anything is known of. */
  readonly newestTimeline: number;
}

export interface RecoveryLog {
  readonly component: string;
  /** Newest first. */
  readonly bases: readonly BaseBackup[];
  /** The one with the newest facts first. */
  readonly clusters: readonly ClusterLog[];
  /** Blocks that are there and cannot be read: without them nothing is proven to be absent. */
  readonly unreadable: readonly { readonly snapshotId: string; readonly error: AppError }[];
}

interface ReadInput {
  readonly repository: Repository;
  readonly appId: string;
  readonly component: string;
  readonly signal: AbortSignal;
}

/** Reads manifests and blocks. */
export async function readRecoveryLog(input: ReadInput): Promise<RecoveryLog> {
  const { repository, appId, component, signal } = input;
  const archive = await WalArchive.open(repository, { appId, component, signal });
  const bases = await readBases(input);
  const systemIds = new Set([
    ...archive.blocks.map(({ block }) => block.systemId),
    ...bases.map((base) => base.systemId),
  ]);
  const clusters: ClusterLog[] = [];
  for (const systemId of systemIds) clusters.push(await readCluster(input, { archive, bases, systemId }));
  return {
    component,
    bases,
    clusters: clusters.sort((a, b) => newestFact(b, bases) - newestFact(a, bases)),
    unreadable: archive.unreadable,
  };
}

function newestFact({ systemId, blocks }: ClusterLog, bases: readonly BaseBackup[]): number {
  const ofBases = bases.filter((base) => base.systemId === systemId).map(({ snapshot }) => Date.parse(snapshot.time));
  return Math.max(0, ...ofBases, ...blocks.map(({ updatedAt }) => Date.parse(updatedAt)));
}

async function readBases({ repository, appId, component, signal }: ReadInput): Promise<BaseBackup[]> {
  const tags = ['varve', appTag(appId)];
  const snapshots = (await repository.readSnapshots({ signal })).snapshots.filter((snapshot) =>
    tags.every((tag) => snapshot.tags?.includes(tag)),
  );
  await repository.loadIndex({ signal });
  const read = await mapConcurrently(snapshots, manifestsAtOnce, async (snapshot) => {
    try {
      return { snapshot, manifest: await readManifest(repository, snapshot, { signal }) };
    } catch (error) {
      // A damaged snapshot is no base to begin with; a check tells of it.
      if (isLost(error)) return undefined;
      throw error;
    }
  });
  return read
    .flatMap((one) => (one === undefined ? [] : baseOf(one.snapshot, one.manifest, component)))
    .sort((a, b) => Date.parse(b.snapshot.time) - Date.parse(a.snapshot.time));
}

function baseOf(snapshot: Snapshot, manifest: Manifest, component: string): BaseBackup[] {
  const saved = manifest.components.find(
    (one): one is SavedDatabase => one.kind === 'database' && one.name === component && one.method === 'base',
  );
  if (!saved?.systemId || saved.timeline === null || saved.walLsn === null || saved.walEndLsn === null) return [];
  const { systemId, timeline } = saved;
  return [
    {
      snapshot,
      manifest,
      saved,
      systemId,
      timeline,
      startLsn: parseLsn(saved.walLsn),
      endLsn: parseLsn(saved.walEndLsn),
    },
  ];
}

interface ClusterInput {
  readonly archive: WalArchive;
  readonly bases: readonly BaseBackup[];
  readonly systemId: string;
}

async function readCluster(input: ReadInput, { archive, bases, systemId }: ClusterInput): Promise<ClusterLog> {
  const blocks = archive.blocks.flatMap(({ block }) => (block.systemId === systemId ? [block] : []));
  const own = bases.filter((base) => base.systemId === systemId);
  const newest = blocks.toSorted((a, b) => Date.parse(b.updatedAt) - Date.parse(a.updatedAt))[0];
  const facts = new Map(blocks.flatMap(({ segments }) => segments.map((one) => [`${one.name} ${one.bytes}`, one])));
  const segments = new Map<string, LogSegment>();
  for (const archived of archive.segments(systemId).values()) {
    segments.set(archived.name, {
      ...segmentOf(archived, facts.get(`${archived.name} ${archived.bytes}`)),
      open: (signal) => archive.read(archived, signal),
      place: archive.place(archived),
    });
  }
  const historyFiles = new Map<number, Buffer>();
  const timelines = new Set([
    ...blocks.flatMap((block) => [...block.histories, block.timeline]),
    ...own.map((b) => b.timeline),
  ]);
  for (const timeline of timelines) {
    const file = await archive.history(systemId, timeline, input.signal);
    if (file !== undefined) historyFiles.set(timeline, file);
  }
  return {
    systemId,
    serverVersion: newest?.serverVersion ?? own[0]?.saved.serverVersion ?? '',
    segmentBytes: newest?.segmentBytes ?? 0,
    blocks,
    segments,
    historyFiles,
    histories: new Map(
      [...historyFiles].map(([timeline, file]) => [timeline, parseTimelineHistory(file.toString('utf8'), timeline)]),
    ),
    newestTimeline: Math.max(1, ...timelines),
  };
}

function segmentOf(
  { name, timeline, bytes }: ArchivedSegment,
  facts: WalBlock['segments'][number] | undefined,
): AvailableSegment {
  const micros = (time: string | null): number | undefined => (time === null ? undefined : parseUnixMicros(time));
  return {
    name,
    timeline,
    bytes,
    facts: facts && {
      commits: facts.commits,
      lastCommitUnixMicros: micros(facts.lastCommitAt),
      latestUnixMicros: micros(facts.latestAt),
    },
  };
}

/**
 * The segments that a base backup has in itself, from its start to its end: they count where the archive has less. Their size
 * is that of the largest of them.
 */
export async function segmentsOfBase(
  repository: Repository,
  base: BaseBackup,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, LogSegment>> {
  const found = new Map<string, LogSegment>();
  const folder = `${base.saved.path}/pg_wal`;
  try {
    for await (const { path, node } of listTree(repository, { treeId: base.snapshot.tree, path: folder, signal })) {
      const name = path.slice(path.lastIndexOf('/') + 1);
      if (node.type !== 'file' || !/^[0-9A-F]{24}$/.test(name)) continue;
      found.set(name, {
        name,
        timeline: Number.parseInt(name.slice(0, 8), 16),
        bytes: node.size ?? 0,
        facts: undefined,
        open: (reading) => readFileContent(repository, { treeId: base.snapshot.tree, path, signal: reading }),
        place: { treeId: base.snapshot.tree, path },
      });
    }
  } catch (error) {
    if (!isAppError(error, 'PATH_NOT_FOUND')) throw error;
  }
  return found;
}

/** Settings that the log tells of, in the stretch that is replayed: (from, to]. */
export function parameterSizes(blocks: readonly WalBlock[], to: Lsn): RecoverySizes[] {
  return blocks.flatMap(({ parameterChanges }) =>
    parameterChanges.filter(({ lsn }) => parseLsn(lsn) <= to).map(({ parameters }) => parameters),
  );
}

/** Whether a name is that of a segment; its first position. */
export function segmentPosition(name: string, segmentBytes: number): Lsn | undefined {
  const parsed = parseWalFileName(name, segmentBytes);
  return parsed?.kind === 'segment' ? parsed.startLsn : undefined;
}
