// How the programs of a database component are run and where they connect: in its container, or on this host by URL.

import assert from 'node:assert';
import { AppError, isAppError, Secret } from '@varve/base';
import type { DatabaseComponent } from '@varve/contract';
import { detectPostgres, type Container, type DockerEngine, type DockerProject } from '@varve/docker';
import {
  hostToolRunner,
  parsePostgresUrl,
  type DatabaseTarget,
  type PostgresLocation,
  type ToolRunner,
} from '@varve/postgres';
import type { SecretReader } from '../../use-case.ts';
import { collectBytes } from '../collect-bytes.ts';
import { containerTools } from './container-tools.ts';
import type { WayMemory } from './database-way.ts';

export interface DatabaseAccess {
  readonly runner: ToolRunner;
  readonly target: DatabaseTarget;
  /** The container that runs the server; null for a URL. */
  readonly container: Container | null;
  /** What the URL says; null for a container. */
  readonly location: PostgresLocation | null;
  /** The Engine of the container; null for a URL. */
  readonly docker: DockerEngine | null;
  /** Which way to the server worked, kept by `openDatabase`. */
  readonly memory: WayMemory;
  /** The same component as it is at this moment: maybe another container, another password. Throws as {@link databaseAccess}. */
  refresh(signal: AbortSignal): Promise<DatabaseAccess>;
}

export interface DatabaseAccessInput {
  readonly component: DatabaseComponent;
  readonly secrets: SecretReader;
  /** Given when the app is a Docker app. */
  readonly project: { readonly docker: DockerEngine; readonly project: DockerProject } | null;
  readonly signal: AbortSignal;
  readonly memory?: WayMemory | undefined;
}

/** ARCHIVE_SOURCE_MISSING when the container is not there, SETTINGS_INVALID when the URL's secret is not. */
export async function databaseAccess(input: DatabaseAccessInput): Promise<DatabaseAccess> {
  const { component } = input;
  return component.source.type === 'container'
    ? accessInContainer(input, component.source)
    : accessByUrl(input, component.source);
}

type ContainerSource = Extract<DatabaseComponent['source'], { type: 'container' }>;
type UrlSource = Extract<DatabaseComponent['source'], { type: 'url' }>;

/** The container of a service that runs a database, running ones first; undefined when there is none. */
export function databaseContainer(project: DockerProject, service: string): Container | undefined {
  const containers = project.containers.filter((container) => container.service === service);
  return containers.find(({ state }) => state === 'running') ?? containers[0];
}

async function accessInContainer(input: DatabaseAccessInput, source: ContainerSource): Promise<DatabaseAccess> {
  const container = input.project === null ? undefined : databaseContainer(input.project.project, source.service);
  if (input.project === null || container === undefined) {
    throw new AppError(
      'ARCHIVE_SOURCE_MISSING',
      `The container of the database service "${source.service}" is not there.`,
      {
        hint: 'Create the containers of the app again (docker compose up -d), or remove this component from the app.',
        context: { service: source.service },
      },
    );
  }
  const { docker } = input.project;
  const memory = input.memory ?? { found: null };
  const service = detectPostgres(container);
  const password =
    service?.password ?? (await passwordFromFile(docker, container, service?.passwordFile, input.signal));
  return {
    runner: containerTools(docker, container.id),
    target: {
      user: source.user,
      database: 'postgres',
      port: source.port,
      ...(password === undefined ? {} : { password }),
    },
    container,
    location: null,
    docker,
    memory,
    refresh: async (signal) => {
      const project = await inspectAgain(docker, input.project?.project, signal);
      return databaseAccess({ ...input, project: { docker, project }, signal, memory });
    },
  };
}

/** The project with the containers that it has now; without any when it is gone. */
async function inspectAgain(
  docker: DockerEngine,
  known: DockerProject | undefined,
  signal: AbortSignal,
): Promise<DockerProject> {
  assert(known, 'a container belongs to a project');
  try {
    const project = await docker.inspectProject(known.name, { signal });
    return project.kind === known.kind ? project : { ...known, containers: [] };
  } catch (error) {
    if (isAppError(error, 'DOCKER_NOT_FOUND')) return { ...known, containers: [] };
    throw error;
  }
}

async function passwordFromFile(
  docker: DockerEngine,
  container: Container,
  path: string | undefined,
  signal: AbortSignal,
): Promise<Secret | undefined> {
  if (path === undefined || container.state !== 'running') return undefined;
  const process = await docker.exec(container.id, { command: ['cat', '--', path], signal });
  const bytes = await collectBytes(process.stdout);
  const { exitCode } = await process.finished;
  const text = bytes.toString('utf8').trim();
  return exitCode === 0 && text !== '' ? new Secret(text) : undefined;
}

async function accessByUrl(input: DatabaseAccessInput, source: UrlSource): Promise<DatabaseAccess> {
  const url = await input.secrets.get(source.urlSecret);
  if (url === undefined) {
    throw new AppError(
      'SETTINGS_INVALID',
      `The URL of the database "${input.component.name}" (${source.display}) is not stored here.`,
      {
        hint: 'Add the app again with the URL of its database.',
        context: { secret: source.urlSecret },
      },
    );
  }
  const memory = input.memory ?? { found: null };
  const location = parsePostgresUrl(url, { defaultUser: 'postgres' });
  return {
    runner: hostToolRunner(input.component.binDirectory === undefined ? {} : { binDir: input.component.binDirectory }),
    target: {
      user: location.user,
      database: location.database,
      host: location.socketPath ?? location.host,
      port: location.port,
      password: location.password,
      tls: location.socketPath === undefined ? location.tls : undefined,
      tlsCaFile: location.tlsCaFile,
    },
    container: null,
    location,
    docker: null,
    memory,
    refresh: (signal) => databaseAccess({ ...input, signal, memory }),
  };
}
