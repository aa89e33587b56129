// Finds what can be protected: Compose projects by their labels, and other containers grouped by `varve.app=<name>`.
// `varve.exclude=true` leaves a container out; our own helpers and Compose's one-off runs are never part of an app.

import { isAppError, mapConcurrently, AppError } from '@varve/base';
import type { ContainerInspectInfo } from 'dockerode';
import { composeFilePaths, readComposeDependencies } from './compose-file.ts';
import { composeLabels, containerFromInspect, type Container } from './container.ts';
import { abortable, type Connection } from './connection.ts';
import { helperLabel } from './labels.ts';

export const appLabel = 'varve.app';
export const excludeLabel = 'varve.exclude';
const inspectConcurrency = 8;

/** One app as the engine shows it. */
export interface DockerProject {
  readonly name: string;
  readonly kind: 'compose' | 'labelled';
  /** Compose's working folder on the engine's host. */
  readonly workingDir: string | undefined;
  /** Absolute paths on the engine's host; they may not exist any more, or not be visible from here. */
  readonly configFiles: readonly string[];
  /** Sorted by service, then name. Stopped ones are among them. */
  readonly containers: readonly Container[];
}

interface ScopeOptions {
  readonly signal?: AbortSignal | undefined;
}

/** All projects, sorted by name. Containers that vanish meanwhile are left out. */
export async function listProjects(
  connection: Connection,
  options: ScopeOptions = {},
): Promise<readonly DockerProject[]> {
  const { signal } = options;
  const summaries = await connection.request(
    'list the containers',
    () => connection.docker.listContainers({ all: true, ...abortable(signal) }),
    signal,
  );
  const wanted = summaries.filter((summary) => groupOf(summary.Labels ?? {}) !== undefined);
  const digests = new ImageDigests(connection);
  const containers = await mapConcurrently(wanted, inspectConcurrency, (summary) =>
    readContainer(connection, digests, summary.Id, signal),
  );
  const groups = new Map<string, { kind: DockerProject['kind']; name: string; containers: Container[] }>();
  for (const container of containers) {
    const group = container && groupOf(container.labels);
    if (!container || !group) continue;
    const key = `${group.kind}:${group.name}`;
    const known = groups.get(key) ?? { ...group, containers: [] };
    known.containers.push(container);
    groups.set(key, known);
  }
  const projects = await Promise.all([...groups.values()].map((group) => buildProject(group)));
  return projects.sort((a, b) => compareText(a.name, b.name) || compareText(a.kind, b.kind));
}

/** The project of that name, a Compose project before a labelled group. DOCKER_NOT_FOUND when no container carries the name. */
export async function inspectProject(
  connection: Connection,
  name: string,
  options: ScopeOptions = {},
): Promise<DockerProject> {
  const projects = await listProjects(connection, options);
  const found = projects.find((project) => project.name === name);
  if (found) return found;
  throw new AppError('DOCKER_NOT_FOUND', `No container belongs to a Compose project or app named "${name}".`, {
    hint:
      projects.length === 0
        ? 'No apps were found on this engine at all.'
        : `Found: ${projects.map((project) => project.name).join(', ')}.`,
  });
}

/** One container by id or name. DOCKER_NOT_FOUND. */
export async function inspectContainer(
  connection: Connection,
  id: string,
  options: ScopeOptions = {},
): Promise<Container> {
  const info = await inspectRaw(connection, id, options);
  return containerFromInspect(info, await new ImageDigests(connection).of(info.Image));
}

/** The engine's own JSON, as `docker inspect` prints it. Holds the environment with its passwords: encrypt it, never log it. */
export function inspectRaw(
  connection: Connection,
  id: string,
  options: ScopeOptions = {},
): Promise<ContainerInspectInfo> {
  const { signal } = options;
  return connection.request(
    `inspect container ${id}`,
    () => connection.docker.getContainer(id).inspect(abortable(signal)),
    signal,
  );
}

/** Where a container belongs, undefined when Varve leaves it alone. */
function groupOf(labels: Readonly<Record<string, string>>): Pick<DockerProject, 'kind' | 'name'> | undefined {
  if (labels[excludeLabel]?.toLowerCase() === 'true' || labels[helperLabel] !== undefined) return undefined;
  if (labels[composeLabels.oneOff]?.toLowerCase() === 'true') return undefined;
  const project = labels[composeLabels.project];
  if (project) return { kind: 'compose', name: project };
  const app = labels[appLabel];
  return app ? { kind: 'labelled', name: app } : undefined;
}

async function readContainer(
  connection: Connection,
  digests: ImageDigests,
  id: string,
  signal: AbortSignal | undefined,
): Promise<Container | undefined> {
  try {
    const info = await inspectRaw(connection, id, { signal });
    return containerFromInspect(info, await digests.of(info.Image));
  } catch (error) {
    if (isAppError(error, 'DOCKER_NOT_FOUND')) return undefined;
    throw error;
  }
}

async function buildProject(group: {
  kind: DockerProject['kind'];
  name: string;
  containers: Container[];
}): Promise<DockerProject> {
  const label = (name: string): string | undefined =>
    group.containers.map((container) => container.labels[name]).find((value) => value);
  const workingDir = label(composeLabels.workingDir);
  const configFiles = composeFilePaths(label(composeLabels.configFiles) ?? '', workingDir);
  // docker-compose 1.x writes no depends_on label: then the files say it.
  const unlabelled = group.containers.some((container) => container.labels[composeLabels.dependsOn] === undefined);
  const fromFiles = unlabelled ? await readComposeDependencies(configFiles) : new Map<string, never>();
  const containers = group.containers.map((container) =>
    container.labels[composeLabels.dependsOn] === undefined
      ? { ...container, dependsOn: fromFiles.get(container.service) ?? [] }
      : container,
  );
  containers.sort((a, b) => compareText(a.service, b.service) || compareText(a.name, b.name));
  return { name: group.name, kind: group.kind, workingDir, configFiles, containers };
}

/** Registry digests by image id, asked for once each. */
class ImageDigests {
  readonly #connection: Connection;
  readonly #known = new Map<string, Promise<string | undefined>>();

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  of(imageId: string): Promise<string | undefined> {
    const known = this.#known.get(imageId);
    if (known) return known;
    const asked = this.#ask(imageId);
    this.#known.set(imageId, asked);
    return asked;
  }

  async #ask(imageId: string): Promise<string | undefined> {
    try {
      const image = await this.#connection.request(`inspect image ${imageId}`, () =>
        this.#connection.docker.getImage(imageId).inspect(),
      );
      return image.RepoDigests?.[0];
    } catch (error) {
      // The image of a running container can have been deleted by force.
      if (isAppError(error, 'DOCKER_NOT_FOUND')) return undefined;
      throw error;
    }
  }
}

function compareText(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
