// What the repository says about an app's WAL and base backups, kept in memory and in the catalogue. Each look lists the
// snapshots and reads only what is new; what is gone from the repository is gone here.

import { mapConcurrently, messageOf, type Clock, type Logger } from '@varve/base';
import { readFileContent, type Repository, type Snapshot } from '@varve/repository';
import { collectBytes } from '../components/collect-bytes.ts';
import { isLost } from '../repositories/is-lost.ts';
import { appTag, readManifest } from '../snapshot/describe-snapshot.ts';
import { historyPath, isWalBlock, readWalBlock } from '../wal-archive/wal-block-files.ts';
import { baseFacts, basesOf, type BaseFacts, type StoredBase } from './base-facts.ts';
import { decodeBlock, encodeBlock, type BlockFacts, type EncodedBlock } from './block-facts.ts';
import type { DamagedBlock } from './database-timeline.ts';
import type { FactStore, KnownFacts } from './fact-store.ts';

const readsAtOnce = 8;
/** So that a first look at a year that is broken off has done some of the work. */
const savedAtOnce = 500;
/** From this age on facts are read again behind the answer; from that age on the answer waits for it. */
const refreshAfterMs = 5_000;
const tooOldMs = 60_000;

export interface AppFacts {
  /** When the repository was listed. */
  readonly readAtMs: number;
  /** Another number whenever something is different. */
  readonly version: number;
  readonly blocks: readonly BlockFacts[];
  readonly bases: readonly BaseFacts[];
  readonly damaged: readonly DamagedBlock[];
}

export interface ReadFacts {
  readonly repository: Repository;
  readonly appId: string;
  /** Lists the repository now, and does not answer from what was read moments ago. */
  readonly fresh?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

interface Entry {
  readonly known: KnownFacts;
  facts: AppFacts | undefined;
}

interface Found {
  readonly blocks: Map<string, EncodedBlock>;
  readonly bases: Map<string, readonly StoredBase[]>;
  readonly damaged: DamagedBlock[];
}

export class TimelineFacts implements AsyncDisposable {
  readonly #store: FactStore;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #entries = new Map<string, Promise<Entry>>();
  readonly #running = new Map<string, Promise<AppFacts>>();
  readonly #closed = new AbortController();

  constructor(options: { readonly store: FactStore; readonly clock: Clock; readonly logger: Logger }) {
    this.#store = options.store;
    this.#clock = options.clock;
    this.#logger = options.logger;
  }

  /** Of all databases of the app. Blocks that cannot be read are told, not thrown; the storage's errors are thrown. */
  async read(request: ReadFacts): Promise<AppFacts> {
    const entry = await this.#entry(request);
    const { facts } = entry;
    const ageMs = facts ? this.#clock.now().getTime() - facts.readAtMs : Number.POSITIVE_INFINITY;
    if (request.fresh || facts === undefined || ageMs > tooOldMs || ageMs < 0) return this.#refresh(request, entry);
    if (ageMs > refreshAfterMs && !this.#running.has(keyOf(request))) {
      const behind = this.#refresh({ ...request, signal: undefined }, entry);
      behind.catch((error: unknown) =>
        this.#logger.warn('the timeline could not be brought up to date', { error: messageOf(error) }),
      );
    }
    return facts;
  }

  #entry({ repository, appId }: ReadFacts): Promise<Entry> {
    const key = keyOf({ repository, appId });
    const known = this.#entries.get(key);
    if (known) return known;
    const loading = this.#store
      .load({ repositoryId: repository.id, appId })
      .then((loaded): Entry => ({ known: loaded, facts: undefined }));
    this.#entries.set(key, loading);
    loading.catch(() => this.#entries.delete(key));
    return loading;
  }

  /** One look at a time: a second one begins after the first, so that it sees what came meanwhile. */
  #refresh(request: ReadFacts, entry: Entry): Promise<AppFacts> {
    const key = keyOf(request);
    const before = this.#running.get(key)?.catch(() => {}) ?? Promise.resolve();
    const run = before.then(() => this.#look(request, entry));
    this.#running.set(key, run);
    const settle = (): void => {
      if (this.#running.get(key) === run) this.#running.delete(key);
    };
    run.then(settle, settle);
    return run;
  }

  async #look({ repository, appId, signal: asked }: ReadFacts, entry: Entry): Promise<AppFacts> {
    const signal = asked ? AbortSignal.any([asked, this.#closed.signal]) : this.#closed.signal;
    const readAtMs = this.#clock.now().getTime();
    const { snapshots } = await repository.readSnapshots({ signal });
    const own = snapshots.filter(({ tags }) => tags?.includes(appTag(appId)) === true);
    const walBlocks = own.filter((snapshot) => isWalBlock(snapshot));
    const appSnapshots = own.filter(({ tags }) => tags?.includes('varve') === true);
    const { known } = entry;
    const newBlocks = walBlocks.filter(({ id }) => !known.blocks.has(id));
    const newSnapshots = appSnapshots.filter(({ id }) => !known.bases.has(id));
    if (newBlocks.length + newSnapshots.length > 0) await repository.loadIndex({ signal });
    const owner = { repositoryId: repository.id, appId };
    const damaged: DamagedBlock[] = [];
    for (let from = 0; from < newBlocks.length + newSnapshots.length; from += savedAtOnce) {
      const part = [...newBlocks, ...newSnapshots].slice(from, from + savedAtOnce);
      const found = await readNew({ repository, snapshots: part, signal });
      await this.#store.save(owner, {
        addedBlocks: found.blocks,
        addedBases: found.bases,
        removedBlocks: [],
        removedBases: [],
      });
      for (const [id, encoded] of found.blocks) known.blocks.set(id, decodeBlock(id, encoded));
      for (const [id, bases] of found.bases) known.bases.set(id, bases);
      damaged.push(...found.damaged);
    }
    const removedBlocks = missing(known.blocks, walBlocks);
    const removedBases = missing(known.bases, appSnapshots);
    await this.#store.save(owner, { addedBlocks: new Map(), addedBases: new Map(), removedBlocks, removedBases });
    for (const id of removedBlocks) known.blocks.delete(id);
    for (const id of removedBases) known.bases.delete(id);
    const changed = newBlocks.length + newSnapshots.length + removedBlocks.length + removedBases.length;
    entry.facts = factsOf({ entry, damaged, readAtMs, changed: changed > 0 });
    return entry.facts;
  }

  /** Breaks off what runs behind answers, and waits for it. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed.abort();
    await Promise.allSettled(this.#running.values());
  }
}

function keyOf({ repository, appId }: Pick<ReadFacts, 'repository' | 'appId'>): string {
  return `${repository.id} ${appId}`;
}

function missing(known: ReadonlyMap<string, unknown>, present: readonly Snapshot[]): string[] {
  const ids = new Set(present.map(({ id }) => id));
  return [...known.keys()].filter((id) => !ids.has(id));
}

function factsOf(options: {
  readonly entry: Entry;
  readonly damaged: readonly DamagedBlock[];
  readonly readAtMs: number;
  readonly changed: boolean;
}): AppFacts {
  const { entry, damaged, readAtMs, changed } = options;
  const { facts, known } = entry;
  if (facts && !changed) return { ...facts, readAtMs };
  return {
    readAtMs,
    version: (facts?.version ?? 0) + 1,
    blocks: [...known.blocks.values()],
    bases: [...known.bases].flatMap(([id, bases]) => bases.map((base) => baseFacts(id, base))),
    damaged,
  };
}

async function readNew(options: {
  readonly repository: Repository;
  readonly snapshots: readonly Snapshot[];
  readonly signal: AbortSignal;
}): Promise<Found> {
  const { repository, snapshots, signal } = options;
  const found: Found = { blocks: new Map(), bases: new Map(), damaged: [] };
  const histories = new Map<string, Promise<string | null>>();
  await mapConcurrently(snapshots, readsAtOnce, async (snapshot) => {
    try {
      if (isWalBlock(snapshot)) {
        found.blocks.set(snapshot.id, await readBlock({ repository, snapshot, signal, histories }));
      } else {
        found.bases.set(snapshot.id, basesOf(await readManifest(repository, snapshot, { signal })));
      }
    } catch (error) {
      if (!isLost(error)) throw error;
      // A snapshot whose manifest is lost is told by the check; here it is one without base backups.
      if (!isWalBlock(snapshot)) found.bases.set(snapshot.id, []);
      else
        found.damaged.push({
          component: snapshot.tags?.find((tag) => tag.startsWith('component:'))?.slice('component:'.length) ?? '',
          snapshotId: snapshot.id,
          time: snapshot.time,
          message: error.message,
        });
    }
  });
  return found;
}

async function readBlock(options: {
  readonly repository: Repository;
  readonly snapshot: Snapshot;
  readonly signal: AbortSignal;
  /** Of this look: the same file is in every block of a timeline. */
  readonly histories: Map<string, Promise<string | null>>;
}): Promise<EncodedBlock> {
  const { repository, snapshot, signal, histories } = options;
  const block = await readWalBlock(repository, snapshot, signal);
  if (!block.histories.includes(block.timeline)) return encodeBlock(block, null);
  const key = `${block.systemId} ${block.timeline}`;
  const reading = histories.get(key) ?? readHistory(repository, snapshot, block.timeline, signal);
  histories.set(key, reading);
  return encodeBlock(block, await reading);
}

async function readHistory(
  repository: Repository,
  snapshot: Snapshot,
  timeline: number,
  signal: AbortSignal,
): Promise<string> {
  const path = historyPath(timeline);
  const content = await collectBytes(readFileContent(repository, { treeId: snapshot.tree, path, signal }));
  return content.toString('utf8');
}
