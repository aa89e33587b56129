// Turns what an Engine shows into apps that can be added as they are: every source of data once, databases by pg_dump
// instead of by their files, checkouts as code, and a reason for everything that would not be saved.

import { basename, join } from 'node:path';
import { isAppError } from '@varve/base';
import type { Component, DiscoveredApp } from '@varve/contract';
import {
  detectPostgres,
  isOdoo,
  type DockerEngine,
  type ContainerMount,
  type DockerProject,
  type PostgresService,
} from '@varve/docker';
import { findCheckoutRoot, holdsTrackedFiles } from '../components/code/checkout.ts';
import { openGit } from '../components/code/git.ts';
import type { DiscoverAppsInput } from '../use-case.ts';
import { ComponentNames, suggestAppId } from './component-names.ts';
import { hostPathReason, isInside, pathKind } from './host-paths.ts';

interface Draft {
  readonly names: ComponentNames;
  readonly components: Component[];
  readonly configFiles: Set<string>;
  readonly notSaved: { what: string; reason: string }[];
  readonly signal: AbortSignal | undefined;
}

/** The apps of one Engine, by name. DOCKER_… when the Engine fails. Reads folders and checkouts; changes nothing. */
export async function discoverApps(input: DiscoverAppsInput): Promise<DiscoveredApp[]> {
  const projects = await input.docker.listProjects({ signal: input.signal });
  const found: DiscoveredApp[] = [];
  const ids = new Set<string>();
  for (const project of projects) {
    const app = await describeProject(project, input);
    let suggestedId = app.suggestedId;
    for (let number = 2; ids.has(suggestedId); number++) suggestedId = `${app.suggestedId.slice(0, 60)}-${number}`;
    ids.add(suggestedId);
    found.push({ ...app, suggestedId });
  }
  return found;
}

async function describeProject(
  project: DockerProject,
  { docker, apps, signal }: DiscoverAppsInput,
): Promise<DiscoveredApp> {
  const grouping = project.kind === 'compose' ? 'compose' : 'label';
  const draft: Draft = { names: new ComponentNames(), components: [], configFiles: new Set(), notSaved: [], signal };
  const databases = addDatabases(project, draft);
  await addMounts(project, databases, draft);
  await addMemoryFolders(project, docker, draft);
  await addConfig(project, draft);
  const added = apps.find(
    ({ origin }) => origin.type === 'docker' && origin.project === project.name && origin.grouping === grouping,
  );
  return {
    suggestedId: suggestAppId(project.name),
    name: project.name,
    origin: { type: 'docker', project: project.name, grouping },
    components: draft.components,
    containers: project.containers.map(({ name, service, image, state }) => ({ name, service, image, state })),
    isOdoo: project.containers.some(isOdoo),
    notSaved: draft.notSaved,
    addedAs: added?.id ?? null,
  };
}

function addDatabases(project: DockerProject, draft: Draft): readonly PostgresService[] {
  const databases: PostgresService[] = [];
  for (const container of project.containers) {
    const postgres = detectPostgres(container);
    if (!postgres || databases.some(({ service }) => service === postgres.service)) continue;
    databases.push(postgres);
    draft.components.push({
      kind: 'database',
      name: draft.names.take(postgres.service),
      engine: 'postgresql',
      method: 'dump',
      source: { type: 'container', service: postgres.service, user: postgres.user, port: postgres.port },
      excludes: [],
    });
  }
  return databases;
}

async function addMounts(project: DockerProject, databases: readonly PostgresService[], draft: Draft): Promise<void> {
  const mounts = new Map<string, { mount: ContainerMount; service: string }>();
  for (const { service, mounts: own } of project.containers) {
    for (const mount of own) {
      const key = `${mount.type}:${mount.type === 'volume' ? mount.name : mount.source}${mount.type === 'tmpfs' ? mount.destination : ''}`;
      if (!mounts.has(key)) mounts.set(key, { mount, service });
    }
  }
  const folders: string[] = [];
  const entries = [...mounts.values()].sort((a, b) => compareText(a.mount.source, b.mount.source));
  for (const { mount, service } of entries) {
    const what = `${mount.type === 'volume' ? mount.name : mount.source || mount.destination} (${service}:${mount.destination})`;
    const database = databases.find(({ dataMount }) => dataMount !== undefined && sameSource(dataMount, mount));
    if (database) {
      draft.notSaved.push({
        what,
        reason: `it holds the files of the PostgreSQL cluster "${database.service}", which is saved with pg_dump instead`,
      });
    } else if (mount.type === 'volume') addVolume(project, mount, what, draft);
    else if (mount.type === 'bind') await addBind(mount, what, { databases, folders, draft });
    else
      draft.notSaved.push({
        what,
        reason: mount.type === 'tmpfs' ? 'it lives in memory only' : 'Varve cannot read mounts of this type',
      });
  }
}

function addVolume(project: DockerProject, mount: ContainerMount, what: string, draft: Draft): void {
  const volume = mount.name ?? '';
  if (volume === '' || /^[0-9a-f]{64}$/.test(volume)) {
    const reason =
      'it is an anonymous volume, which is lost when the container is made anew: give it a name to have it saved';
    draft.notSaved.push({ what, reason });
    return;
  }
  const prefix = `${project.name}_`;
  const name = draft.names.take(volume.startsWith(prefix) ? volume.slice(prefix.length) : volume);
  draft.components.push({ kind: 'volume', name, source: { type: 'docker-volume', volume }, excludes: [] });
}

/** `tmpfs` of a service is no mount of its container; only the full inspection has it. */
async function addMemoryFolders(project: DockerProject, docker: DockerEngine, draft: Draft): Promise<void> {
  for (const { id, service } of project.containers) {
    // A container that vanished meanwhile has none.
    const found = await docker.inspectRaw(id, { signal: draft.signal }).catch((error: unknown) => {
      if (isAppError(error, 'DOCKER_NOT_FOUND')) return null;
      throw error;
    });
    for (const path of Object.keys(found?.HostConfig.Tmpfs ?? {})) {
      draft.notSaved.push({ what: `${service}:${path}`, reason: 'it lives in memory only' });
    }
  }
}

interface BindScope {
  readonly databases: readonly PostgresService[];
  /** Folders that a component has already; sorted mounts put parents first. */
  readonly folders: string[];
  readonly draft: Draft;
}

async function addBind(mount: ContainerMount, what: string, { databases, folders, draft }: BindScope): Promise<void> {
  const path = mount.source.replace(/(.)\/+$/, '$1');
  const kind = await pathKind(path);
  const reason = hostPathReason(path) ?? reasonOfKind(kind);
  if (reason !== null) {
    draft.notSaved.push({ what, reason });
    return;
  }
  if (folders.some((folder) => isInside(path, folder))) return;
  if (kind === 'file') {
    draft.configFiles.add(path);
    return;
  }
  const checkout = kind === 'folder' ? await checkoutOf(path, draft.signal) : null;
  if (checkout !== null) {
    const known = draft.components.some((component) => component.kind === 'code' && component.path === checkout);
    if (!known) draft.components.push({ kind: 'code', name: draft.names.take(basename(checkout)), path: checkout });
    return;
  }
  folders.push(path);
  const excludes = databases.flatMap(({ dataMount }) =>
    dataMount?.type === 'bind' && isInside(dataMount.source, path) ? [dataMount.source.slice(path.length)] : [],
  );
  draft.components.push({
    kind: 'volume',
    name: draft.names.take(basename(path)),
    source: { type: 'folder', path },
    excludes,
  });
}

function reasonOfKind(kind: Awaited<ReturnType<typeof pathKind>>): string | null {
  if (kind === 'socket') return 'a socket holds no data';
  return kind === 'other' ? 'it is a device or a pipe, which holds no files' : null;
}

/** Root of the checkout that has files of this folder under version control; null when none has. */
async function checkoutOf(path: string, signal: AbortSignal | undefined): Promise<string | null> {
  const root = await findCheckoutRoot(path);
  if (root === null || hostPathReason(root) !== null) return null;
  if (root === path) return root;
  const git = await openGit(root, { signal });
  return (await holdsTrackedFiles(git, path, signal)) ? root : null;
}

async function addConfig(project: DockerProject, draft: Draft): Promise<void> {
  const { workingDir } = project;
  const wanted = [...project.configFiles, ...(workingDir === undefined ? [] : [join(workingDir, '.env')])];
  for (const file of wanted) {
    if ((await pathKind(file)) === 'file') draft.configFiles.add(file);
    else if (project.configFiles.includes(file)) {
      draft.notSaved.push({ what: file, reason: 'the Compose file is not there, or cannot be seen from here' });
    }
  }
  draft.components.push({
    kind: 'config',
    name: draft.names.take('config'),
    files: [...draft.configFiles].sort(compareText).slice(0, 100),
  });
  const checkout = workingDir === undefined ? null : await findCheckoutRoot(workingDir);
  if (checkout === null || hostPathReason(checkout) !== null) return;
  if (draft.components.some((component) => component.kind === 'code' && component.path === checkout)) return;
  draft.notSaved.push({
    what: checkout,
    reason: 'this git checkout is not mounted into a container: name it when you add the app to have it saved',
  });
}

function sameSource(a: ContainerMount, b: ContainerMount): boolean {
  if (a.type !== b.type) return false;
  return a.type === 'volume' ? a.name === b.name : a.source === b.source;
}

function compareText(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
