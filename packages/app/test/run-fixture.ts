// A repository in a temporary folder and the context that a job gives to a use case, with a journal that is kept in memory
// and can be looked at.

import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AppError, Secret, silentLogger, systemClock } from '@varve/base';
import { policySchema, type App, type Component, type PolicyInput } from '@varve/contract';
import { connectDocker } from '@varve/docker';
import { createRepository, type Repository } from '@varve/repository';
import { openStorage } from '@varve/storage';
import { planRestore } from '../src/restore/plan-restore.ts';
import { RecoveryRecords } from '../src/recovery/recovery-records.ts';
import { runRestore } from '../src/restore/run-restore.ts';
import { takeSnapshot } from '../src/snapshot/take-snapshot.ts';
import type {
  RestoredApp,
  RunContext,
  StepProgress,
  StoppedRecord,
  StoppedThing,
  TakenSnapshot,
} from '../src/use-case.ts';

export interface RunFixture extends AsyncDisposable {
  /** Everything of the test is below it; other users may pass through. */
  readonly folder: string;
  readonly repository: Repository;
  readonly repo: string;
  readonly password: string;
  readonly recoveries: RecoveryRecords;
  /** What is recorded and not cleared. */
  readonly journal: Map<string, StoppedThing>;
  readonly log: string[];
  readonly steps: StepProgress[];
  readonly secrets: Map<string, Secret>;
  context(signal?: AbortSignal): RunContext;
  app(
    components: readonly Component[],
    options?: { readonly policy?: PolicyInput; readonly origin?: App['origin'] },
  ): App;
  snapshot(app: App, kind?: 'manual' | 'pre-restore'): Promise<TakenSnapshot>;
  /** Plans and runs, as the facade does. */
  restore(
    app: App,
    taken: TakenSnapshot,
    options?: { readonly components?: readonly string[]; readonly safetySnapshot?: boolean },
  ): Promise<RestoredApp>;
  snapshotCount(): Promise<number>;
}

export async function runFixture(options: { readonly dockerHost?: string } = {}): Promise<RunFixture> {
  const folder = await mkdtemp(join(tmpdir(), 'varve-run-'));
  await chmod(folder, 0o755);
  const repo = join(folder, 'repository');
  const password = 'correct horse battery staple';
  const storage = openStorage(repo);
  const repository = await createRepository({
    storage,
    password: new Secret(password),
    keyDerivation: { N: 1024, r: 8, p: 1 },
  });
  const journal = new Map<string, StoppedThing>();
  const log: string[] = [];
  const steps: StepProgress[] = [];
  const secrets = new Map<string, Secret>();
  let recorded = 0;
  const context = (signal = new AbortController().signal): RunContext => ({
    runId: 'test-run',
    signal,
    clock: systemClock,
    logger: silentLogger,
    docker: async () => {
      if (options.dockerHost === undefined) throw new AppError('DOCKER_UNREACHABLE', 'This test has no Docker Engine.');
      return connectDocker({ host: options.dockerHost });
    },
    openRepository: async () => repository,
    lockOwner: {},
    secrets: { get: async (name) => secrets.get(name) },
    report: (progress) => steps.push(progress),
    log: (level, message) => log.push(`${level}: ${message}`),
    stopped: {
      record: async (things) =>
        things.map((thing): StoppedRecord => {
          const id = String(++recorded);
          journal.set(id, thing);
          return { id, thing };
        }),
      clear: async (id) => void journal.delete(id),
    },
    hostName: 'test-host',
    version: '0.0.0-test',
  });
  const recoveries = new RecoveryRecords(join(folder, 'recoveries'));
  const fixture: RunFixture = {
    folder,
    recoveries,
    repository,
    repo,
    password,
    journal,
    log,
    steps,
    secrets,
    context,
    app: (components, { policy = {}, origin = { type: 'host' as const } } = {}) => ({
      id: 'shop',
      name: 'Shop',
      origin,
      components: [...components],
      policy: policySchema.parse(policy),
      repositoryId: repository.id,
      createdAt: new Date().toISOString(),
    }),
    snapshot: (app, kind = 'manual') => takeSnapshot(context(), { app, kind }),
    restore: async (app, taken, { components, safetySnapshot = false } = {}) => {
      const input = { app, snapshotId: taken.snapshot.id, manifest: taken.manifest, components, safetySnapshot };
      const { fingerprint } = await planRestore(context(), input);
      return runRestore(context(), {
        ...input,
        fingerprint,
        recoveries,
        takeSafetySnapshot: async () => ({
          snapshotId: (await takeSnapshot(context(), { app, kind: 'pre-restore' })).snapshot.id,
        }),
      });
    },
    snapshotCount: async () => (await repository.listSnapshots()).length,
    [Symbol.asyncDispose]: async () => {
      await repository[Symbol.asyncDispose]();
      await storage.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
  return fixture;
}
