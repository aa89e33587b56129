// Everything that a restore relies on, looked up once: the snapshot, the app's containers as they are now, and for each
// part of the snapshot the component that it goes back to. Looks and changes nothing.

import { AppError } from '@varve/base';
import type {
  App,
  CodeComponent,
  Component,
  DatabaseComponent,
  Manifest,
  SavedCode,
  SavedComponent,
  SavedConfig,
  SavedDatabase,
  SavedVolume,
  VolumeComponent,
} from '@varve/contract';
import { stopOrder, type Container } from '@varve/docker';
import type { Repository, Snapshot } from '@varve/repository';
import { projectOf, type ProjectOnEngine } from '../components/docker-project.ts';
import { databaseContainer } from '../components/database/database-access.ts';
import { isOwnContainer } from '../quiesce/quiesce.ts';
import type { PlanRestoreInput, RunContext } from '../use-case.ts';
import { savedForRestore } from './saved-for-restore.ts';
import { readRecreation, type Recreation } from './recreate-containers.ts';

export type Part =
  | { readonly kind: 'volume'; readonly saved: SavedVolume; readonly component: VolumeComponent }
  | { readonly kind: 'code'; readonly saved: SavedCode; readonly component: CodeComponent }
  | { readonly kind: 'database'; readonly saved: SavedDatabase; readonly component: DatabaseComponent };

export interface RestoreScope {
  readonly app: App;
  readonly manifest: Manifest;
  readonly repository: Repository;
  readonly snapshot: Snapshot;
  /** In the order in which they are put back: volumes, code, databases. */
  readonly parts: readonly Part[];
  readonly project: ProjectOnEngine | null;
  /** Containers that are gone and how they are made again; null when none is gone, or nobody knows how. */
  readonly recreation: Recreation | null;
  /** Services of the snapshot that have no container now. */
  readonly missingServices: readonly string[];
}

/** RESTORE_TARGET_INVALID for an unknown component, SNAPSHOT_NOT_FOUND, DOCKER_UNREACHABLE. */
export async function readScope(context: RunContext, input: PlanRestoreInput): Promise<RestoreScope> {
  const { app, manifest, snapshotId } = input;
  const { signal } = context;
  const repository = await context.openRepository(app.repositoryId);
  const snapshot = (await repository.readSnapshots({ signal })).snapshots.find(({ id }) => id === snapshotId);
  if (snapshot === undefined) {
    throw new AppError(
      'SNAPSHOT_NOT_FOUND',
      `The snapshot ${snapshotId.slice(0, 8)} is not in the repository any more.`,
      {
        hint: 'Choose another snapshot.',
      },
    );
  }
  await repository.loadIndex({ signal });
  const parts = selectParts(input);
  const project = await projectOf(context, app);
  const services = new Set(project?.project.containers.map(({ service }) => service));
  const saved = manifest.components
    .filter((component): component is SavedConfig => component.kind === 'config')
    .flatMap(({ containers }) => containers);
  const missing =
    project === null ? [] : saved.filter(({ service, wasRunning }) => wasRunning && !services.has(service));
  const missingServices = [...new Set(missing.map(({ service }) => service))].sort();
  const recreation =
    missingServices.length === 0 || project === null
      ? null
      : await readRecreation({ repository, treeId: snapshot.tree, manifest, project, signal });
  return { app, manifest, repository, snapshot, parts, project, recreation, missingServices };
}

const order = { volume: 0, code: 1, database: 2, config: 3 } as const;

function selectParts({ app, manifest, components }: PlanRestoreInput): Part[] {
  const unknown = components?.find((name) => !manifest.components.some((saved) => saved.name === name));
  if (unknown !== undefined) {
    throw new AppError('RESTORE_TARGET_INVALID', `The snapshot has no component "${unknown}".`, {
      hint: `It has: ${manifest.components.map(({ name }) => name).join(', ')}.`,
    });
  }
  const wanted = manifest.components.filter(({ name }) => components === undefined || components.includes(name));
  return wanted.flatMap((saved) => partOf(saved, app, manifest)).sort((a, b) => order[a.kind] - order[b.kind]);
}

/** A component that the app has no more goes back to where it was when the snapshot was made. */
function partOf(saved: SavedComponent, app: App, manifest: Manifest): Part[] {
  const find = (components: readonly Component[]): Component | undefined =>
    components.find(({ kind, name }) => kind === saved.kind && name === saved.name);
  const component = find(app.components) ?? find(manifest.app.components);
  if (saved.kind === 'volume' && component?.kind === 'volume') return [{ kind: 'volume', saved, component }];
  if (saved.kind === 'code' && component?.kind === 'code') return [{ kind: 'code', saved, component }];
  if (saved.kind === 'database' && component?.kind === 'database') {
    return [{ kind: 'database', saved: savedForRestore(saved, component), component }];
  }
  return [];
}

/** Whether the part's database is put back by its server, which has to run meanwhile. */
export function needsServer(part: Part): part is Extract<Part, { kind: 'database' }> {
  return part.kind === 'database' && part.component.source.type === 'container';
}

/** Containers of databases that are restored, one per service. */
export function databaseContainers({ parts, project }: RestoreScope): readonly Container[] {
  if (project === null) return [];
  const services = new Set(
    parts
      .filter(needsServer)
      .flatMap(({ component }) => (component.source.type === 'container' ? [component.source.service] : [])),
  );
  return [...services].flatMap((service) => databaseContainer(project.project, service) ?? []);
}

/** Running containers to stop, dependents first: all of the app but the databases, unless these mount what is put back. */
export function containersToStop(scope: RestoreScope): readonly Container[] {
  if (scope.project === null || scope.parts.length === 0) return [];
  const databases = new Set(databasesOf(scope.app));
  const running = scope.project.project.containers.filter(
    (container) =>
      ['running', 'restarting', 'paused'].includes(container.state) &&
      !isOwnContainer(container) &&
      (!databases.has(container.service) || mountsRestored(container, scope)),
  );
  return stopOrder(running).order;
}

function databasesOf(app: App): readonly string[] {
  return app.components.flatMap((component) =>
    component.kind === 'database' && component.source.type === 'container' ? [component.source.service] : [],
  );
}

function mountsRestored(container: Container, { parts }: RestoreScope): boolean {
  const restored = new Set(
    parts.flatMap((part) =>
      part.kind === 'volume'
        ? [part.component.source.type === 'docker-volume' ? part.component.source.volume : part.component.source.path]
        : [],
    ),
  );
  return container.mounts.some(({ type, name, source }) => restored.has(type === 'volume' ? (name ?? '') : source));
}
