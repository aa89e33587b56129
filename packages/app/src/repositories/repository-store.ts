// Which repository this installation uses. Its location is in the catalogue; location and password together are sealed
// beside it, so that a lost catalogue is rebuilt without anybody typing a password.

import { AppError, Secret, type Clock } from '@varve/base';
import type { Catalogue } from '../catalogue/catalogue.ts';
import type { RepositoryRow } from '../catalogue/schema.ts';
import type { OpenStorageOptions } from '@varve/storage';
import type { RepositoryPlace } from '../facade.ts';
import type { SecretStore } from '../secrets/secret-store.ts';

const secretPrefix = 'repository:';
const pendingName = `${secretPrefix}pending`;

/** How to open a repository. */
export interface RepositoryAccess extends RepositoryPlace {
  readonly password: Secret;
}

/** What the storage room is told besides the location. */
export function storageOptionsOf({
  settings,
  uploadBytesPerSecond,
  downloadBytesPerSecond,
}: RepositoryPlace): OpenStorageOptions {
  return { settings, uploadBytesPerSecond, downloadBytesPerSecond };
}

function sealedOf({ location, password, ...how }: RepositoryAccess): Secret {
  return new Secret(
    JSON.stringify({ location, ...storageOptionsOf({ location, ...how }), password: password.reveal() }),
  );
}

function accessOf(sealed: Secret): RepositoryAccess {
  const { password, ...place } = JSON.parse(sealed.reveal()) as RepositoryPlace & { readonly password: string };
  return { ...place, password: new Secret(password) };
}

export class RepositoryStore {
  readonly #catalogue: Catalogue;
  readonly #secrets: SecretStore;
  readonly #clock: Clock;

  constructor(options: { readonly catalogue: Catalogue; readonly secrets: SecretStore; readonly clock: Clock }) {
    this.#catalogue = options.catalogue;
    this.#secrets = options.secrets;
    this.#clock = options.clock;
  }

  /** The repository in use; undefined when there is none yet. */
  current(): Promise<RepositoryRow | undefined> {
    return this.#catalogue.queries
      .selectFrom('repositories')
      .selectAll()
      .orderBy('created_at', 'desc')
      .limit(1)
      .executeTakeFirst();
  }

  /** REPOSITORY_NOT_FOUND when there is none yet. */
  async require(): Promise<RepositoryRow> {
    const row = await this.current();
    if (row) return row;
    throw new AppError('REPOSITORY_NOT_FOUND', 'There is no repository yet.', {
      hint: 'Add an app: a local repository is made with it. Or connect one of your own first.',
    });
  }

  /** Location and password of a repository. REPOSITORY_NOT_FOUND, REPOSITORY_PASSWORD_MISSING. */
  async access(repositoryId: string): Promise<RepositoryAccess> {
    const row = await this.#catalogue.queries
      .selectFrom('repositories')
      .select('location')
      .where('id', '=', repositoryId)
      .executeTakeFirst();
    if (!row) {
      throw new AppError('REPOSITORY_NOT_FOUND', `The repository ${repositoryId} is not known here.`, {
        hint: 'Connect it again with its location and password.',
        context: { repositoryId },
      });
    }
    const sealed = await this.#secrets.get(secretPrefix + repositoryId);
    if (sealed) return { ...accessOf(sealed), location: row.location };
    throw new AppError(
      'REPOSITORY_PASSWORD_MISSING',
      `The password of the repository at ${row.location} is not there.`,
      {
        hint: 'Connect the repository again with the password from the recovery kit.',
        context: { repositoryId },
      },
    );
  }

  /** Keeps the access to a repository that is about to be made, so that a crash right after does not lose its password. */
  setPending(access: RepositoryAccess): Promise<void> {
    return this.#secrets.set(pendingName, sealedOf(access));
  }

  /** The access of a making that was interrupted; undefined when there is none. */
  async pending(): Promise<RepositoryAccess | undefined> {
    const sealed = await this.#secrets.get(pendingName);
    return sealed && accessOf(sealed);
  }

  /** Remembers a repository as the one in use; known ones get the new location and password. */
  async save(id: string, access: RepositoryAccess): Promise<RepositoryRow> {
    await this.#secrets.set(secretPrefix + id, sealedOf(access));
    await this.#catalogue.queries
      .insertInto('repositories')
      .values({
        id,
        name: 'main',
        location: access.location,
        created_at: this.#clock.now().toISOString(),
        recovery_kit_confirmed_at: null,
      })
      .onConflict((conflict) => conflict.column('id').doUpdateSet({ location: access.location }))
      .execute();
    await this.#secrets.remove(pendingName);
    return this.require();
  }

  /** Forgets all repositories but one; their files and sealed passwords stay. */
  async forgetOthers(id: string): Promise<void> {
    await this.#catalogue.queries.deleteFrom('repositories').where('id', '!=', id).execute();
  }

  /** Whether an app saves to a repository other than this one. */
  async othersInUse(id: string): Promise<boolean> {
    const row = await this.#catalogue.queries
      .selectFrom('apps')
      .select('id')
      .where('repository_id', '!=', id)
      .limit(1)
      .executeTakeFirst();
    return row !== undefined;
  }

  async confirmRecoveryKit(id: string): Promise<void> {
    await this.#catalogue.queries
      .updateTable('repositories')
      .set({ recovery_kit_confirmed_at: this.#clock.now().toISOString() })
      .where('id', '=', id)
      .execute();
  }

  /** Something left it that was no snapshot of an app: there is space to give back. */
  async noteForgotten(id: string, at: Date): Promise<void> {
    await this.#catalogue.queries
      .updateTable('repositories')
      .set({ forgotten_at: at.toISOString() })
      .where('id', '=', id)
      .execute();
  }

  /** A prune that began at this time has given everything back that was forgotten until then. */
  async notePruned(id: string, startedAt: Date): Promise<void> {
    await this.#catalogue.queries
      .updateTable('repositories')
      .set({ forgotten_at: null })
      .where('id', '=', id)
      .where('forgotten_at', '<=', startedAt.toISOString())
      .execute();
  }

  /** A scheduled check found its part of the data good: the next one is next. */
  async noteDataChecked(id: string): Promise<void> {
    await this.#catalogue.queries
      .updateTable('repositories')
      .set(({ eb }) => ({ data_checks: eb('data_checks', '+', 1) }))
      .where('id', '=', id)
      .execute();
  }

  /** Puts repositories that are only known by their sealed access back into an empty catalogue; yields how many. */
  async restoreFromSecrets(): Promise<number> {
    const prefixed = (await this.#secrets.names()).filter(
      (name) => name.startsWith(secretPrefix) && name !== pendingName,
    );
    for (const name of prefixed) {
      const sealed = await this.#secrets.get(name);
      if (sealed) await this.save(name.slice(secretPrefix.length), accessOf(sealed));
    }
    return prefixed.length;
  }
}
