// What tests of the engine share: a temporary data directory with a real catalogue and the stores on it.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLogger, type Clock } from '@varve/base';
import { appSchema, type App, type AppSnapshot, type PolicyInput, type SnapshotKind } from '@varve/contract';
import { FakeClock } from '@varve/testing';
import { AppStore } from '../src/apps/app-store.ts';
import { SnapshotStore } from '../src/apps/snapshot-store.ts';
import { openCatalogue } from '../src/catalogue/catalogue.ts';
import { JobEngine } from '../src/jobs/job-engine.ts';
import { JobLog } from '../src/jobs/job-log.ts';
import { JobStore } from '../src/jobs/job-store.ts';
import { currentOwner } from '../src/jobs/process-owner.ts';
import { loadSecretKey } from '../src/secrets/secret-key.ts';
import { openSecretStore } from '../src/secrets/secret-store.ts';
import { SettingsStore } from '../src/settings/settings-store.ts';

export const repositoryId = 'a'.repeat(64);

/** A temporary folder that goes with its owner. */
export async function temporaryFolder(): Promise<{ readonly path: string } & AsyncDisposable> {
  const path = await mkdtemp(join(tmpdir(), 'varve-app-'));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

/** An app of one folder. */
export function exampleApp(id: string, overrides: { policy?: PolicyInput; createdAt?: string } = {}): App {
  return appSchema.parse({
    id,
    name: `App ${id}`,
    origin: { type: 'host' },
    components: [{ kind: 'volume', name: 'files', source: { type: 'folder', path: '/srv/files' } }],
    policy: overrides.policy ?? {},
    repositoryId,
    createdAt: overrides.createdAt ?? '2026-01-01T00:00:00.000Z',
  });
}

/** A snapshot as the catalogue keeps it; `number` makes its id. */
export function exampleSnapshot(
  number: number,
  facts: { appId: string; time: string; kind?: SnapshotKind; partial?: boolean },
): AppSnapshot {
  return {
    id: number.toString(16).padStart(64, '0'),
    appId: facts.appId,
    time: facts.time,
    kind: facts.kind ?? 'manual',
    name: null,
    description: null,
    partial: facts.partial ?? false,
    bytes: 1000,
    bytesAdded: 100,
    files: 3,
    durationMs: 5,
    commit: null,
    walLsn: null,
  };
}

/** A data directory with a catalogue, one (imaginary) repository and everything that works on rows. */
export async function startEngine(options: { readonly clock?: Clock } = {}) {
  const folder = await temporaryFolder();
  const clock = options.clock ?? new FakeClock('2026-01-01T00:00:00.000Z');
  const catalogue = openCatalogue(join(folder.path, 'catalogue.sqlite'));
  await catalogue.queries
    .insertInto('repositories')
    .values({
      id: repositoryId,
      name: 'main',
      location: '/nowhere',
      created_at: clock.now().toISOString(),
      recovery_kit_confirmed_at: null,
    })
    .execute();
  const secrets = await openSecretStore(
    join(folder.path, 'secrets'),
    await loadSecretKey(join(folder.path, 'secret.key')),
  );
  const jobs = new JobStore({ catalogue, clock });
  const log = new JobLog({ catalogue, clock });
  const owner = currentOwner();
  const engine = new JobEngine({
    catalogue,
    jobs,
    log,
    clock,
    logger: silentLogger,
    owner,
    endDeadJobs: () => Promise.resolve(),
  });
  return {
    path: folder.path,
    clock,
    catalogue,
    secrets,
    settings: new SettingsStore({ catalogue, secrets }),
    apps: new AppStore(catalogue),
    snapshots: new SnapshotStore({ catalogue, clock }),
    jobs,
    log,
    owner,
    engine,
    async [Symbol.asyncDispose]() {
      await engine.shutdown();
      await catalogue[Symbol.asyncDispose]();
      await folder[Symbol.asyncDispose]();
    },
  };
}
