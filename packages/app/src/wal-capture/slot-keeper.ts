// Drops the replication slots that nobody wants any more: of apps that were removed, of components whose capture was turned off. A
// slot that stays fills the disk of its server, so each is remembered from before it is made until it is surely gone.

import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isAppError, messageOf, type Clock, type Logger } from '@varve/base';
import type { App, DatabaseComponent } from '@varve/contract';
import { dropSlot, readSlot } from '@varve/postgres';
import type { AppStore } from '../apps/app-store.ts';
import { openDatabase } from '../components/database/database-location.ts';
import type { DockerConnection } from '../docker-connection.ts';
import type { SecretStore } from '../secrets/secret-store.ts';
import { captureAccess } from './capture-location.ts';
import type { CaptureStore, MadeSlot } from './capture-store.ts';
import { capturedDatabases, isStreamed } from './captured-databases.ts';
import { slotNameOf } from './slot-name.ts';

export interface SlotKeeperOptions {
  readonly apps: AppStore;
  readonly captures: CaptureStore;
  readonly secrets: SecretStore;
  readonly docker: DockerConnection;
  readonly installationId: string;
  /** Folder of all spools. */
  readonly folder: string;
  readonly clock: Clock;
  readonly logger: Logger;
}

const firstDelayMs = 5000;
const longestDelayMs = 3_600_000;

/** What became of a slot that is to go. `kept`: it is in use, or its server does not answer. */
type Outcome = { readonly isGone: true } | { readonly isGone: false; readonly reason: string };

export class SlotKeeper {
  readonly #options: SlotKeeperOptions;
  readonly #later = new Map<string, { readonly untilMs: number; readonly delayMs: number }>();

  constructor(options: SlotKeeperOptions) {
    this.#options = options;
  }

  /** Tries those whose time has come. Never throws for a server that does not answer. */
  async turn(signal: AbortSignal): Promise<void> {
    const { captures, clock, logger } = this.#options;
    for (const made of await this.#unwanted()) {
      const nowMs = clock.now().getTime();
      const later = this.#later.get(made.slot);
      if (later && nowMs < later.untilMs) continue;
      const outcome = await this.#drop(made, signal);
      if (outcome.isGone) {
        await captures.removeSlot(made.slot);
        this.#later.delete(made.slot);
        await this.#forget(made);
        continue;
      }
      const delayMs = Math.min(longestDelayMs, later ? later.delayMs * 2 : firstDelayMs);
      this.#later.set(made.slot, { untilMs: nowMs + delayMs, delayMs });
      logger.warn('a replication slot could not be dropped yet', { slot: made.slot, reason: outcome.reason });
    }
  }

  async #unwanted(): Promise<MadeSlot[]> {
    const { apps, captures, installationId } = this.#options;
    const made = await captures.slots();
    if (made.length === 0) return [];
    const wanted = new Set(
      (await apps.list())
        .flatMap((app) => capturedDatabases(app))
        .filter((database) => isStreamed(database))
        .map(({ owner }) => slotNameOf(installationId, owner)),
    );
    return made.filter(({ slot }) => !wanted.has(slot));
  }

  async #drop({ slot, app, component: name }: MadeSlot, signal: AbortSignal): Promise<Outcome> {
    const { secrets, docker } = this.#options;
    const component = databaseOf(app, name);
    if (!component) return { isGone: true };
    try {
      const access = await captureAccess({ app, component, secrets, docker: () => docker.get(), signal });
      await using connection = await openDatabase(access, { replication: true, signal });
      const facts = await readSlot(connection, slot, { signal });
      if (!facts) return { isGone: true };
      if (facts.isActive) return { isGone: false, reason: `it is in use by server process ${facts.activePid ?? '?'}` };
      await dropSlot(connection, slot, { signal });
      return { isGone: true };
    } catch (error) {
      if (!isAppError(error)) throw error;
      return { isGone: false, reason: messageOf(error) };
    }
  }

  /** What was kept for the sake of the slot goes with it. */
  async #forget({ app, component: name }: MadeSlot): Promise<void> {
    const { apps, secrets, folder } = this.#options;
    if ((await apps.find(app.id)) !== undefined) return;
    const component = databaseOf(app, name);
    if (component?.source.type === 'url') await secrets.remove(component.source.urlSecret);
    await rm(join(folder, app.id, name), { recursive: true, force: true });
  }
}

function databaseOf(app: App, name: string): DatabaseComponent | undefined {
  return app.components.find(
    (component): component is DatabaseComponent => component.kind === 'database' && component.name === name,
  );
}
