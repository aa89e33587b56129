// What the catalogue keeps of captures: how each stands, for every process that asks, and which replication slots were made.

import type { Clock } from '@varve/base';
import { appSchema, walCaptureSchema, type App, type WalCapture } from '@varve/contract';
import { noteChange } from '../catalogue/changes.ts';
import type { Catalogue } from '../catalogue/catalogue.ts';
import { readJson } from '../catalogue/json.ts';
import type { WalOwner } from '../wal-archive/wal-block-files.ts';

/** A slot that was made: on which server, for which component of an app as it was then. */
export interface MadeSlot {
  readonly slot: string;
  readonly component: string;
  readonly app: App;
}

export class CaptureStore {
  readonly #catalogue: Catalogue;
  readonly #clock: Clock;

  constructor(options: { readonly catalogue: Catalogue; readonly clock: Clock }) {
    this.#catalogue = options.catalogue;
    this.#clock = options.clock;
  }

  /** Replaces what is known; does nothing when the app is gone. With `isNews` those who follow events are told. */
  async save(capture: WalCapture, { isNews }: { readonly isNews: boolean }): Promise<void> {
    const { appId, component, updatedAt } = capture;
    await this.#catalogue.write(async (queries) => {
      const app = await queries.selectFrom('apps').select('id').where('id', '=', appId).executeTakeFirst();
      if (!app) return;
      await queries
        .replaceInto('wal_captures')
        .values({ app_id: appId, component, state_json: JSON.stringify(capture), updated_at: updatedAt })
        .execute();
      if (isNews) await noteChange(queries, 'app', appId);
    });
  }

  async remove({ appId, component }: WalOwner): Promise<void> {
    await this.#catalogue.write(async (queries) => {
      await queries.deleteFrom('wal_captures').where('app_id', '=', appId).where('component', '=', component).execute();
      await noteChange(queries, 'app', appId);
    });
  }

  /** By component; of all apps when none is named. */
  async list(appId?: string): Promise<WalCapture[]> {
    let query = this.#catalogue.queries.selectFrom('wal_captures').select(['state_json', 'app_id']);
    if (appId !== undefined) query = query.where('app_id', '=', appId);
    const rows = await query.orderBy('app_id').orderBy('component').execute();
    return rows.map((row) => readJson(walCaptureSchema, row.state_json, `WAL capture of ${row.app_id}`));
  }

  /** Remembers a slot before it is made. */
  async addSlot({ slot, component, app }: MadeSlot): Promise<void> {
    await this.#catalogue.queries
      .replaceInto('wal_slots')
      .values({ slot, component, app_json: JSON.stringify(app), made_at: this.#clock.now().toISOString() })
      .execute();
  }

  async removeSlot(slot: string): Promise<void> {
    await this.#catalogue.queries.deleteFrom('wal_slots').where('slot', '=', slot).execute();
  }

  async slots(): Promise<MadeSlot[]> {
    const rows = await this.#catalogue.queries.selectFrom('wal_slots').selectAll().orderBy('slot').execute();
    return rows.map(({ slot, component, app_json: json }) => ({
      slot,
      component,
      app: readJson(appSchema, json, `app of the replication slot ${slot}`),
    }));
  }
}
