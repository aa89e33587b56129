// The catalogue's copy of what the repository says about WAL blocks and base backups, so that a new process reads a year of it
// from one file in place of thousands of packs.

import type { Catalogue } from '../catalogue/catalogue.ts';
import type { StoredBase } from './base-facts.ts';
import { decodeBlock, type BlockFacts, type EncodedBlock } from './block-facts.ts';

export interface FactsOwner {
  readonly repositoryId: string;
  readonly appId: string;
}

export interface KnownFacts {
  readonly blocks: Map<string, BlockFacts>;
  /** By snapshot; empty for one without base backups. */
  readonly bases: Map<string, readonly StoredBase[]>;
}

export interface FactChanges {
  readonly addedBlocks: ReadonlyMap<string, EncodedBlock>;
  readonly addedBases: ReadonlyMap<string, readonly StoredBase[]>;
  readonly removedBlocks: readonly string[];
  readonly removedBases: readonly string[];
}

export class FactStore {
  readonly #catalogue: Catalogue;

  constructor(catalogue: Catalogue) {
    this.#catalogue = catalogue;
  }

  async load({ repositoryId, appId }: FactsOwner): Promise<KnownFacts> {
    const { queries } = this.#catalogue;
    const blocks = await queries
      .selectFrom('wal_blocks')
      .select(['id', 'facts_json', 'segments'])
      .where('repository_id', '=', repositoryId)
      .where('app_id', '=', appId)
      .execute();
    const bases = await queries
      .selectFrom('base_backups')
      .select(['snapshot_id', 'bases_json'])
      .where('repository_id', '=', repositoryId)
      .where('app_id', '=', appId)
      .execute();
    return {
      blocks: new Map(
        blocks.map(({ id, facts_json, segments }) => [id, decodeBlock(id, { json: facts_json, segments })]),
      ),
      bases: new Map(bases.map(({ snapshot_id, bases_json }) => [snapshot_id, JSON.parse(bases_json) as StoredBase[]])),
    };
  }

  async save({ repositoryId, appId }: FactsOwner, changes: FactChanges): Promise<void> {
    const { addedBlocks, addedBases, removedBlocks, removedBases } = changes;
    const count = addedBlocks.size + addedBases.size + removedBlocks.length + removedBases.length;
    if (count === 0) return;
    const owner = { repository_id: repositoryId, app_id: appId };
    await this.#catalogue.write(async (queries) => {
      for (const [id, { json, segments }] of addedBlocks)
        await queries
          .replaceInto('wal_blocks')
          .values({ ...owner, id, facts_json: json, segments })
          .execute();
      for (const [snapshot_id, bases] of addedBases)
        await queries
          .replaceInto('base_backups')
          .values({ ...owner, snapshot_id, bases_json: JSON.stringify(bases) })
          .execute();
      for (const id of removedBlocks)
        await queries.deleteFrom('wal_blocks').where('repository_id', '=', repositoryId).where('id', '=', id).execute();
      for (const id of removedBases)
        await queries
          .deleteFrom('base_backups')
          .where('repository_id', '=', repositoryId)
          .where('snapshot_id', '=', id)
          .execute();
    });
  }
}
