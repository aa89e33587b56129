// Rewrites snapshots that cannot be restored whole: files lose the parts that are gone, folders whose list of entries is gone
// become empty. New trees, then their index, then the new snapshots; only then, if told so, are the broken ones removed.

import { AppError, throwIfAborted, type OnProgress } from '@varve/base';
import type { BlobIndex } from '../blob-index/blob-index.ts';
import { findAffectedFiles, type AffectedFiles } from '../check/affected-files.ts';
import { contentBytes } from '../check/inspect-node.ts';
import { LostBlobs } from '../check/lost-blobs.ts';
import { PackUploader } from '../pack/pack-uploader.ts';
import type { CallOptions, Repository } from '../repository.ts';
import { findSnapshotIn, matchesFilter, type SnapshotFilter } from '../snapshot/find-snapshot.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { TreeNode } from '../tree/tree-node.ts';
import { BlobSaver } from './blob-saver.ts';
import { TreeRepair } from './repair-trees.ts';

export interface SnapshotRepairOptions extends CallOptions {
  /** Looks only at these: ids, beginnings of ids, `latest`. */
  readonly names?: readonly string[] | undefined;
  /** Without names: looks only at what matches. */
  readonly filter?: SnapshotFilter | undefined;
  /**
   * Removes what was repaired, snapshots of which nothing can be read, and, when all snapshots are looked at, snapshot files
   * that cannot be read. Default false: everything stays, and the new snapshots get the tag `repaired`.
   */
  readonly forget?: boolean | undefined;
  readonly onProgress?: OnProgress | undefined;
}

/** What is done with one broken snapshot. */
export interface BrokenSnapshot {
  readonly snapshotId: string;
  readonly time: string;
  /**
   * `rewrite`: a new snapshot is made of what can be read. `drop`: nothing can be read, not even its root. `unreadable`: the
   * snapshot file itself is damaged; `recover` finds its files.
   */
  readonly action: 'rewrite' | 'drop' | 'unreadable';
  /** Files and folders that lose content. */
  readonly count: number;
  /** The root of the new snapshot; null where there is none. */
  readonly newTree: string | null;
  /** Whether the broken snapshot goes. */
  readonly remove: boolean;
}

/** What a repair of snapshots would do; plain data. */
export interface SnapshotRepairPlan extends AffectedFiles {
  readonly examined: number;
  readonly snapshots: readonly BrokenSnapshot[];
}

export interface SnapshotRepairResult {
  /** New snapshots by the broken ones; one that an earlier run made already is among them. */
  readonly repaired: readonly { readonly snapshotId: string; readonly newSnapshotId: string }[];
  readonly removed: readonly string[];
}

export interface SnapshotRepair {
  readonly plan: SnapshotRepairPlan;
  /** Carries the plan out. Can be repeated after an interruption: plan again. */
  run(options?: CallOptions & { readonly onProgress?: OnProgress | undefined }): Promise<SnapshotRepairResult>;
}

const mostAffectedListed = 10_000;
const repairedTag = 'repaired';

/**
 * Finds the snapshots that cannot be restored whole. Relies on the index: REPOSITORY_DAMAGED when it cannot be read or lists packs
 * that are gone (repair the index before). The caller holds an exclusive lock from before the plan until after the run; for the
 * plan alone a shared one is enough. SNAPSHOT_NOT_FOUND, SNAPSHOT_AMBIGUOUS for names.
 */
export async function planSnapshotRepair(
  repository: Repository,
  options: SnapshotRepairOptions = {},
): Promise<SnapshotRepair> {
  const { forget = false, signal, onProgress } = options;
  const { snapshots: all, failures } = await repository.readSnapshots({ signal, fresh: true });
  const chosen = choose(all, options);
  await repository.loadIndex({ signal });
  const { index } = repository;
  await refuseMissingPacks(repository, index, signal);
  const lost = new LostBlobs(index);
  const onTrees = (trees: number): void => onProgress?.({ filesDone: trees, bytesDone: 0, current: 'folders' });
  const nodeProblem = (node: TreeNode): string | null => recordProblem(node, index);
  const search = { repository, index, lost, nodeProblem, mostListed: mostAffectedListed, signal, onTrees };
  const affected = await findAffectedFiles(chosen, search);
  const trees = new TreeRepair({ repository, index, lost, signal });
  const broken: BrokenSnapshot[] = [];
  const counts = new Map(affected.affectedSnapshots.map(({ snapshotId, count }) => [snapshotId, count]));
  const toRewrite = chosen.filter(({ id }) => counts.has(id));
  for (const { id, time, tree } of toRewrite) {
    const newTree = await trees.repair(tree);
    const action = newTree === null ? 'drop' : 'rewrite';
    broken.push({ snapshotId: id, time, action, count: counts.get(id) ?? 0, newTree, remove: forget });
  }
  if (isAboutAll(options)) {
    for (const { id } of failures)
      broken.push({ snapshotId: id, time: '', action: 'unreadable', count: 0, newTree: null, remove: forget });
  }
  const run: SnapshotRepair['run'] = (runOptions) =>
    runRepair(repository, { ...runOptions, all, toRewrite, broken, lost, forget });
  return { plan: { examined: chosen.length, snapshots: broken, ...affected }, run };
}

function isAboutAll({ names = [], filter = {} }: SnapshotRepairOptions): boolean {
  return names.length === 0 && Object.values(filter).every((values) => values === undefined || values.length === 0);
}

/** Each once, the oldest first. */
function choose(all: readonly Snapshot[], { names = [], filter = {} }: SnapshotRepairOptions): Snapshot[] {
  if (names.length === 0) return all.filter((snapshot) => matchesFilter(snapshot, filter));
  const named = new Set(names.map((name) => findSnapshotIn(all, name, filter).id));
  return all.filter(({ id }) => named.has(id));
}

/** What is wrong with the record of a node, though its content is there. */
function recordProblem(node: TreeNode, index: BlobIndex): string | null {
  if (node.type === 'irregular') return 'it is of no known kind; it is left out';
  if (node.type !== 'file' || node.content === null) return null;
  const bytes = contentBytes(node.content, index);
  return bytes === node.size ? null : `its size is noted as ${node.size} bytes, its content has ${bytes}`;
}

/** With an index that promises what is gone, files would seem whole. */
async function refuseMissingPacks(
  repository: Repository,
  index: BlobIndex,
  signal: AbortSignal | undefined,
): Promise<void> {
  const stored = new Set<string>();
  for await (const { name } of repository.storage.list('pack', { signal, sizes: false })) stored.add(name);
  const missing = index
    .packs()
    .map(({ packId }) => packId)
    .filter((packId) => !stored.has(packId))
    .toArray();
  const [first] = missing;
  if (first === undefined) return;
  throw new AppError('REPOSITORY_DAMAGED', `The index lists ${missing.length} packs that are gone, such as ${first}.`, {
    hint: 'Repair the index before the snapshots: varve repo repair index.',
    context: { missingPacks: missing.length },
  });
}

interface Run extends CallOptions {
  readonly all: readonly Snapshot[];
  readonly toRewrite: readonly Snapshot[];
  readonly broken: readonly BrokenSnapshot[];
  readonly lost: LostBlobs;
  readonly forget: boolean;
  readonly onProgress?: OnProgress | undefined;
}

async function runRepair(repository: Repository, run: Run): Promise<SnapshotRepairResult> {
  repository.assertWritable();
  const { broken, signal } = run;
  await writeTrees(repository, run);
  const repaired: { snapshotId: string; newSnapshotId: string }[] = [];
  const newTrees = new Map(broken.map(({ snapshotId, newTree }) => [snapshotId, newTree]));
  for (const snapshot of run.toRewrite) {
    throwIfAborted(signal);
    const tree = newTrees.get(snapshot.id);
    if (!tree) continue;
    const newSnapshotId = await saveRepaired(repository, { snapshot, tree, run });
    repaired.push({ snapshotId: snapshot.id, newSnapshotId });
  }
  const removed = broken.filter(({ remove }) => remove).map(({ snapshotId }) => snapshotId);
  await repository.removeSnapshots(removed, { signal });
  return { repaired, removed };
}

/** Stores the new trees: those of the plan, or nothing is changed. */
async function writeTrees(repository: Repository, run: Run): Promise<void> {
  const { broken, lost, signal, toRewrite, onProgress } = run;
  const uploader = new PackUploader(repository, { signal });
  const saver = new BlobSaver(repository, uploader);
  const { index } = repository;
  const trees = new TreeRepair({ repository, index, lost, signal, saver });
  const planned = new Map(broken.map(({ snapshotId, newTree }) => [snapshotId, newTree]));
  let filesDone = 0;
  try {
    for (const { id, tree } of toRewrite) {
      if ((await trees.repair(tree)) !== planned.get(id)) throw changedSincePlan(id);
      const filesTotal = toRewrite.length;
      onProgress?.({ filesDone: ++filesDone, filesTotal, bytesDone: 0, current: `snapshot ${id.slice(0, 8)}` });
    }
    await saver.flush();
  } finally {
    await uploader.settle();
  }
}

function changedSincePlan(snapshotId: string): AppError {
  return new AppError(
    'REPOSITORY_DAMAGED',
    `Snapshot ${snapshotId} reads differently than when its repair was planned. No snapshot was changed.`,
    { hint: 'The storage does not read the same each time: look at it, then start again.' },
  );
}

/** As restic: everything stays but the tree, `original` is the broken snapshot, the tag tells the two apart while both are there. */
async function saveRepaired(
  repository: Repository,
  { snapshot, tree, run }: { readonly snapshot: Snapshot; readonly tree: string; readonly run: Run },
): Promise<string> {
  // An earlier run, interrupted or without `forget`, may have made it.
  const twin = run.all.find(({ original, tree: other }) => original === snapshot.id && other === tree);
  if (twin) return twin.id;
  const { id, ...fields } = snapshot;
  const tags = snapshot.tags ?? [];
  const isTagged = run.forget || tags.includes(repairedTag);
  const saved = await repository.saveSnapshot(
    { ...fields, tree, original: id, tags: isTagged ? tags : [...tags, repairedTag] },
    { signal: run.signal },
  );
  return saved.id;
}
