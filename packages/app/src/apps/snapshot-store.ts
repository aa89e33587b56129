// The catalogue's copy of the snapshots in the repository, so that lists need no repository.

import { AppError, type Clock } from '@varve/base';
import type { AppSnapshot, SnapshotKind, TimelineSnapshot } from '@varve/contract';
import { sql } from 'kysely';
import { noteChange } from '../catalogue/changes.ts';
import type { Catalogue, CatalogueQueries } from '../catalogue/catalogue.ts';

/** What an app's overview says about its snapshots. */
export interface SnapshotFacts {
  readonly count: number;
  readonly newest: AppSnapshot | null;
  readonly oldestAt: string | null;
}

/** A snapshot on a timeline. */
export type SnapshotMark = Omit<TimelineSnapshot, 'bases'>;

const parse = (row: { readonly snapshot_json: string }): AppSnapshot => JSON.parse(row.snapshot_json) as AppSnapshot;

function insert(queries: CatalogueQueries, repositoryId: string, snapshot: AppSnapshot): Promise<unknown> {
  return queries
    .replaceInto('snapshots')
    .values({
      repository_id: repositoryId,
      id: snapshot.id,
      app_id: snapshot.appId,
      // One form for all, so that times sort as text whatever zone and precision they came with.
      time: new Date(snapshot.time).toISOString(),
      partial: snapshot.partial ? 1 : 0,
      snapshot_json: JSON.stringify(snapshot),
    })
    .execute();
}

export class SnapshotStore {
  readonly #catalogue: Catalogue;
  readonly #clock: Clock;

  constructor(options: { readonly catalogue: Catalogue; readonly clock: Clock }) {
    this.#catalogue = options.catalogue;
    this.#clock = options.clock;
  }

  /** Adds snapshots; those that are known are replaced. */
  async add(repositoryId: string, snapshots: readonly AppSnapshot[]): Promise<void> {
    if (snapshots.length === 0) return;
    await this.#catalogue.write(async (queries) => {
      for (const snapshot of snapshots) await insert(queries, repositoryId, snapshot);
      for (const appId of new Set(snapshots.map((snapshot) => snapshot.appId))) await noteChange(queries, 'app', appId);
    });
  }

  /** Forgets snapshots that are gone from the repository, and notes that it has space to give back. Idempotent. */
  async remove(repositoryId: string, ids: readonly string[]): Promise<void> {
    if (ids.length === 0) return;
    await this.#catalogue.write(async (queries) => {
      const apps = new Set<string>();
      for (const id of ids) {
        const row = await queries
          .deleteFrom('snapshots')
          .where('repository_id', '=', repositoryId)
          .where('id', '=', id)
          .returning('app_id')
          .executeTakeFirst();
        if (row) apps.add(row.app_id);
      }
      for (const appId of apps) await noteChange(queries, 'app', appId);
      if (apps.size === 0) return;
      const forgotten_at = this.#clock.now().toISOString();
      await queries.updateTable('repositories').set({ forgotten_at }).where('id', '=', repositoryId).execute();
    });
  }

  /** Ids of all snapshots of a repository that are known here. */
  async ids(repositoryId: string): Promise<Set<string>> {
    const rows = await this.#catalogue.queries
      .selectFrom('snapshots')
      .select('id')
      .where('repository_id', '=', repositoryId)
      .execute();
    return new Set(rows.map((row) => row.id));
  }

  /** Newest first. */
  async list(appId: string): Promise<AppSnapshot[]> {
    const rows = await this.#catalogue.queries
      .selectFrom('snapshots')
      .select('snapshot_json')
      .where('app_id', '=', appId)
      .orderBy('time', 'desc')
      .orderBy('id')
      .execute();
    return rows.map(parse);
  }

  /** What a timeline shows of those of a time, both ends included; oldest first. */
  async between(
    appId: string,
    { from, to }: { readonly from?: string | undefined; readonly to?: string | undefined },
  ): Promise<SnapshotMark[]> {
    let query = this.#catalogue.queries
      .selectFrom('snapshots')
      .select((column) => [
        'id',
        'time',
        'partial',
        sql<SnapshotKind>`${column.ref('snapshot_json')} ->> 'kind'`.as('kind'),
        sql<string | null>`${column.ref('snapshot_json')} ->> 'name'`.as('name'),
      ])
      .where('app_id', '=', appId);
    if (from !== undefined) query = query.where('time', '>=', new Date(from).toISOString());
    if (to !== undefined) query = query.where('time', '<=', new Date(to).toISOString());
    const rows = await query.orderBy('time').orderBy('id').execute();
    return rows.map(({ id, time, partial, kind, name }) => ({ id, time, kind, name, partial: partial === 1 }));
  }

  /** By id, unique beginning of an id, or `latest`. SNAPSHOT_NOT_FOUND, SNAPSHOT_AMBIGUOUS. */
  async find(appId: string, name: string): Promise<AppSnapshot> {
    let query = this.#catalogue.queries
      .selectFrom('snapshots')
      .select('snapshot_json')
      .where('app_id', '=', appId)
      .orderBy('time', 'desc')
      .limit(name === 'latest' ? 1 : 2);
    if (name !== 'latest') {
      const isId = /^[0-9a-f]{1,64}$/.test(name);
      query = isId ? query.where('id', '>=', name).where('id', '<=', `${name}g`) : query.where('id', '=', '');
    }
    const found = (await query.execute()).map(parse);
    const [first] = found;
    if (first === undefined) {
      throw new AppError('SNAPSHOT_NOT_FOUND', `The app ${appId} has no snapshot "${name}".`, {
        hint: 'Give an id, its beginning, or "latest".',
        context: { appId, name },
      });
    }
    if (found.length > 1) {
      throw new AppError('SNAPSHOT_AMBIGUOUS', `"${name}" is the beginning of more than one snapshot of ${appId}.`, {
        hint: 'Give more digits of the id.',
        context: { appId, name },
      });
    }
    return first;
  }

  async facts(appId: string): Promise<SnapshotFacts> {
    const { count, oldest } = await this.#catalogue.queries
      .selectFrom('snapshots')
      .select(({ fn }) => [fn.countAll<number>().as('count'), fn.min('time').as('oldest')])
      .where('app_id', '=', appId)
      .executeTakeFirstOrThrow();
    return { count, newest: count === 0 ? null : await this.find(appId, 'latest'), oldestAt: oldest ?? null };
  }
}
