// Named rights of one process among all that have the installation open, such as the right to capture a database. A claim ends when
// it is released, when its process is certainly dead, or, where nobody can look at the process, when its time is over.

import type { Clock } from '@varve/base';
import type { Catalogue } from '../catalogue/catalogue.ts';
import { ownerState, parseOwner, sameOwner, type ProcessOwner } from './process-owner.ts';

export interface ClaimsOptions {
  readonly catalogue: Catalogue;
  readonly clock: Clock;
  readonly owner: ProcessOwner;
}

export class Claims {
  readonly #options: ClaimsOptions;

  constructor(options: ClaimsOptions) {
    this.#options = options;
  }

  /** Takes a right, or keeps it for longer; false when another process has it. */
  async take(name: string, durationMs: number): Promise<boolean> {
    const { catalogue, clock, owner } = this.#options;
    const nowMs = clock.now().getTime();
    return catalogue.write(async (queries) => {
      const row = await queries.selectFrom('claims').selectAll().where('name', '=', name).executeTakeFirst();
      if (row && row.until_ms > nowMs) {
        const holder = parseOwner(row.owner_json);
        if (!sameOwner(holder, owner) && ownerState(holder, owner) !== 'dead') return false;
      }
      await queries
        .replaceInto('claims')
        .values({ name, owner_json: JSON.stringify(owner), until_ms: nowMs + durationMs })
        .execute();
      return true;
    });
  }

  /** Whether a process has a right now, as far as can be told. */
  async isTaken(name: string): Promise<boolean> {
    const { catalogue, clock, owner } = this.#options;
    const row = await catalogue.queries.selectFrom('claims').selectAll().where('name', '=', name).executeTakeFirst();
    return (
      row !== undefined &&
      row.until_ms > clock.now().getTime() &&
      ownerState(parseOwner(row.owner_json), owner) !== 'dead'
    );
  }

  /** Gives a right back; one that another process has stays. */
  async release(name: string): Promise<void> {
    const { catalogue, owner } = this.#options;
    await catalogue.queries
      .deleteFrom('claims')
      .where('name', '=', name)
      .where('owner_json', '=', JSON.stringify(owner))
      .execute();
  }
}
