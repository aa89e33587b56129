// Fills the catalogue from the manifests in the repository: all snapshots, and every app as its newest snapshot knew it.

import type { App, Manifest } from '@varve/contract';
import type { Installation } from '../installation.ts';
import { syncSnapshots } from './sync-snapshots.ts';

/** The app of the newest manifest of each id; the manifests come oldest first. */
function newestApps(manifests: readonly Manifest[]): Map<string, App> {
  return new Map(manifests.map(({ app }) => [app.id, app]));
}

/**
 * Adds apps that are not known here; known ones stay as they are. Passwords of databases are in no manifest: a database
 * that is reached by URL needs it again. Yields how many apps were added and how many snapshots there are.
 * REPOSITORY_NOT_FOUND when no repository is connected.
 */
export async function rebuild(
  parts: Pick<Installation, 'repositoryStore' | 'pool' | 'apps' | 'snapshots' | 'logger'>,
): Promise<{ readonly apps: number; readonly snapshots: number }> {
  const { id: repositoryId } = await parts.repositoryStore.require();
  const repository = await parts.pool.get(repositoryId);
  const { manifests, count } = await syncSnapshots({ ...parts, repository, everything: true });
  let added = 0;
  for (const app of newestApps(manifests).values()) {
    if (await parts.apps.find(app.id)) continue;
    await parts.apps.add({ ...app, repositoryId });
    added++;
  }
  return { apps: added, snapshots: count };
}
