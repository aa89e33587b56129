// Snapshot files: what was saved, when, from where (restic design.rst, "Snapshots"). The fields are in the order of restic's.

import { AppError } from '@varve/base';
import { isHexId } from '../pack/blob-type.ts';
import { encodeGoJson, parseJsonObject } from '../store/go-json.ts';
import { parseGoTime } from '../store/go-time.ts';

/** What a backup did; counts and plaintext bytes. `dataAddedPacked` is bytes as stored. */
export interface SnapshotSummary {
  /** RFC 3339. */
  readonly backupStart: string;
  readonly backupEnd: string;
  readonly filesNew: number;
  readonly filesChanged: number;
  readonly filesUnmodified: number;
  readonly dirsNew: number;
  readonly dirsChanged: number;
  readonly dirsUnmodified: number;
  readonly dataBlobs: number;
  readonly treeBlobs: number;
  readonly dataAdded: number;
  readonly dataAddedPacked: number;
  readonly totalFilesProcessed: number;
  readonly totalBytesProcessed: number;
}

export interface Snapshot {
  /** SHA-256 of the stored file: its name. */
  readonly id: string;
  /** RFC 3339 with nanoseconds, as stored. */
  readonly time: string;
  /** Id of the root tree. */
  readonly tree: string;
  readonly paths: readonly string[];
  readonly hostname?: string | undefined;
  readonly username?: string | undefined;
  readonly uid?: number | undefined;
  readonly gid?: number | undefined;
  readonly excludes?: readonly string[] | undefined;
  readonly tags?: readonly string[] | undefined;
  /** Id of the snapshot that this one was compared with. */
  readonly parent?: string | undefined;
  /** Id of the first version of a snapshot whose metadata was changed. */
  readonly original?: string | undefined;
  readonly programVersion?: string | undefined;
  readonly summary?: SnapshotSummary | undefined;
  /** What other programs noted (rustic: label, description …), kept as it is when a snapshot is written anew. */
  readonly unknownFields?: UnknownFields | undefined;
}

/** Fields that this program does not know, as parsed from JSON. */
interface UnknownFields {
  readonly snapshot: Readonly<Record<string, unknown>>;
  readonly summary: Readonly<Record<string, unknown>>;
}

/** A snapshot before it has a name. */
export type NewSnapshot = Omit<Snapshot, 'id'>;

/** Characters of a zone such as `+01:00`. */
const zoneLength = 6;

const summaryFields = {
  backupStart: 'backup_start',
  backupEnd: 'backup_end',
  filesNew: 'files_new',
  filesChanged: 'files_changed',
  filesUnmodified: 'files_unmodified',
  dirsNew: 'dirs_new',
  dirsChanged: 'dirs_changed',
  dirsUnmodified: 'dirs_unmodified',
  dataBlobs: 'data_blobs',
  treeBlobs: 'tree_blobs',
  dataAdded: 'data_added',
  dataAddedPacked: 'data_added_packed',
  totalFilesProcessed: 'total_files_processed',
  totalBytesProcessed: 'total_bytes_processed',
} as const satisfies Record<keyof SnapshotSummary, string>;

const knownFields: ReadonlySet<string> = new Set([
  'time',
  'parent',
  'tree',
  'paths',
  'hostname',
  'username',
  'uid',
  'gid',
  'excludes',
  'tags',
  'original',
  'program_version',
  'summary',
]);
const knownSummaryFields: ReadonlySet<string> = new Set(Object.values(summaryFields));

/** The JSON of a snapshot file; empty lists and zero ids of users are left out, as restic does. */
export function encodeSnapshot(snapshot: NewSnapshot): Buffer {
  const { time, parent, tree, paths, hostname, username, uid, gid, excludes, tags, original, programVersion, summary } =
    snapshot;
  const { unknownFields } = snapshot;
  const list = (items: readonly string[] | undefined): readonly string[] | undefined =>
    items?.length ? items : undefined;
  return encodeGoJson({
    time,
    parent,
    tree,
    paths,
    hostname: hostname || undefined,
    username: username || undefined,
    uid: uid || undefined,
    gid: gid || undefined,
    excludes: list(excludes),
    tags: list(tags),
    original,
    program_version: programVersion || undefined,
    summary: summary && { ...encodeSummary(summary), ...unknownFields?.summary },
    ...unknownFields?.snapshot,
  });
}

function encodeSummary(summary: SnapshotSummary): Record<string, string | number> {
  const entries = Object.entries(summaryFields) as [keyof SnapshotSummary, string][];
  return Object.fromEntries(entries.map(([ours, theirs]) => [theirs, summary[ours]]));
}

/** REPOSITORY_DAMAGED that names the file when it is not a snapshot. Unknown fields are kept. */
export function decodeSnapshot(json: Uint8Array, id: string): Snapshot {
  const fields = parseJsonObject(json);
  if (!fields) throw damaged(id, 'it is not JSON');
  const { time, tree } = fields;
  if (typeof time !== 'string' || !parseGoTime(time)) throw damaged(id, 'it has no time');
  if (!isHexId(tree)) throw damaged(id, 'it has no tree');
  const snapshot: Snapshot = {
    id,
    time,
    tree,
    paths: strings(fields['paths']) ?? [],
    hostname: text(fields['hostname']),
    username: text(fields['username']),
    uid: count(fields['uid']),
    gid: count(fields['gid']),
    excludes: strings(fields['excludes']),
    tags: strings(fields['tags']),
    parent: isHexId(fields['parent']) ? fields['parent'] : undefined,
    original: isHexId(fields['original']) ? fields['original'] : undefined,
    programVersion: text(fields['program_version']),
    summary: decodeSummary(fields['summary']),
    unknownFields: decodeUnknown(fields),
  };
  return Object.fromEntries(Object.entries(snapshot).filter(([, value]) => value !== undefined)) as unknown as Snapshot;
}

/** Nanoseconds since 1970 of a snapshot's time. */
export function snapshotTimeNs(snapshot: Pick<Snapshot, 'time'>): bigint {
  return parseGoTime(snapshot.time)?.epochNs ?? 0n;
}

/** A new list by time, the oldest first; by id among equals. `timeNs` may know the times already. */
export function sortSnapshots(
  snapshots: readonly Snapshot[],
  timeNs: (snapshot: Snapshot) => bigint = snapshotTimeNs,
): Snapshot[] {
  const earlier = (a: Snapshot, b: Snapshot): boolean =>
    isAlike(a.time, b.time) ? a.time < b.time : timeNs(a) < timeNs(b);
  return snapshots.toSorted((a, b) => {
    if (earlier(a, b)) return -1;
    if (earlier(b, a)) return 1;
    return a.id < b.id ? -1 : 1;
  });
}

/** Whether two times have the same zone and as many digits, so that their texts are in the order of time: most are so. */
function isAlike(a: string, b: string): boolean {
  if (a.length !== b.length) return false;
  const zone = a.endsWith('Z') ? 'Z' : a.slice(-zoneLength);
  return b.endsWith(zone);
}

function decodeSummary(value: unknown): SnapshotSummary | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const stored = value as Record<string, unknown>;
  const entries = Object.entries(summaryFields).map(([ours, theirs]) => {
    const fallback = ours === 'backupStart' || ours === 'backupEnd' ? '' : 0;
    return [ours, typeof stored[theirs] === typeof fallback ? stored[theirs] : fallback];
  });
  return Object.fromEntries(entries) as SnapshotSummary;
}

function decodeUnknown(fields: Readonly<Record<string, unknown>>): UnknownFields | undefined {
  const summary = typeof fields['summary'] === 'object' && fields['summary'] !== null ? fields['summary'] : {};
  const unknown = { snapshot: without(fields, knownFields), summary: without(summary, knownSummaryFields) };
  const isEmpty = Object.values(unknown).every((record) => Object.keys(record).length === 0);
  return isEmpty ? undefined : unknown;
}

function without(record: object, keys: ReadonlySet<string>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(record).filter(([key]) => !keys.has(key)));
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

function count(value: unknown): number | undefined {
  return typeof value === 'number' ? value : undefined;
}

function strings(value: unknown): readonly string[] | undefined {
  return Array.isArray(value) ? value.filter((item): item is string => typeof item === 'string') : undefined;
}

function damaged(id: string, what: string): AppError {
  return new AppError('REPOSITORY_DAMAGED', `Snapshot file ${id} is damaged: ${what}.`);
}
