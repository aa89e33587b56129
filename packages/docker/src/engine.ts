// The room's surface in one object: an open engine. Every method maps the engine's errors to AppErrors with DOCKER_ codes
// and takes `signal` where it waits. Holds no state but the connection.

import type { Duplex } from 'node:stream';
import type { ContainerInspectInfo } from 'dockerode';
import { readArchive, writeArchive } from './archive.ts';
import { composeUp, type ComposeUpOptions } from './compose-cli.ts';
import { openConnection, type Connection, type ConnectOptions, type EngineVersion } from './connection.ts';
import type { Container, ContainerMount } from './container.ts';
import {
  logTail,
  pauseContainer,
  startContainer,
  stopContainer,
  unpauseContainer,
  type LogOptions,
  type StopOptions,
} from './control.ts';
import { inspectContainer, inspectProject, inspectRaw, listProjects, type DockerProject } from './discovery.ts';
import { endpointUrl } from './endpoint.ts';
import { collectExec, execInContainer, execOutput } from './exec.ts';
import { openExecStream } from './exec-stream.ts';
import type { CollectedResult, CollectOptions, ExecOptions, ExecProcess, ExecResult } from './exec-types.ts';
import { waitHealthy, type WaitHealthyOptions } from './health.ts';
import {
  removeLeftoverHelpers,
  runHelper,
  withHelperContainer,
  type HelperOptions,
  type RunHelperOptions,
} from './helper-container.ts';
import {
  createServerContainer,
  removeServerContainer,
  removeVolume,
  type ServerContainerOptions,
} from './server-container.ts';
import {
  emptyVolume,
  ensureVolume,
  inspectVolume,
  volumeHostPath,
  type EmptyVolumeOptions,
  type VolumeSpec,
} from './volumes.ts';

interface ScopeOptions {
  readonly signal?: AbortSignal | undefined;
}

/** Connects as the docker command line would, within 5 s. DOCKER_UNREACHABLE with the remedy. */
export async function connectDocker(options: ConnectOptions = {}): Promise<DockerEngine> {
  return new DockerEngine(await openConnection(options));
}

/** Made by {@link connectDocker}. Requests use a connection each: there is nothing to close. */
export class DockerEngine {
  readonly #connection: Connection;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  version(): EngineVersion {
    return this.#connection.version;
  }

  /** The endpoint in the form of DOCKER_HOST. */
  get url(): string {
    return endpointUrl(this.#connection.endpoint);
  }

  listProjects(options: ScopeOptions = {}): Promise<readonly DockerProject[]> {
    return listProjects(this.#connection, options);
  }

  inspectProject(name: string, options: ScopeOptions = {}): Promise<DockerProject> {
    return inspectProject(this.#connection, name, options);
  }

  inspectContainer(id: string, options: ScopeOptions = {}): Promise<Container> {
    return inspectContainer(this.#connection, id, options);
  }

  inspectRaw(id: string, options: ScopeOptions = {}): Promise<ContainerInspectInfo> {
    return inspectRaw(this.#connection, id, options);
  }

  stop(id: string, options: StopOptions = {}): Promise<void> {
    return stopContainer(this.#connection, id, options);
  }

  start(id: string, options: ScopeOptions = {}): Promise<void> {
    return startContainer(this.#connection, id, options);
  }

  pause(id: string, options: ScopeOptions = {}): Promise<void> {
    return pauseContainer(this.#connection, id, options);
  }

  unpause(id: string, options: ScopeOptions = {}): Promise<void> {
    return unpauseContainer(this.#connection, id, options);
  }

  logTail(id: string, options: LogOptions = {}): Promise<string> {
    return logTail(this.#connection, id, options);
  }

  waitHealthy(ids: readonly string[], options: WaitHealthyOptions): Promise<void> {
    return waitHealthy(this.#connection, ids, options);
  }

  exec(containerId: string, options: ExecOptions): Promise<ExecProcess> {
    return execInContainer(this.#connection, containerId, options);
  }

  execCollect(containerId: string, options: CollectOptions): Promise<CollectedResult> {
    return collectExec(this.#connection, containerId, options);
  }

  execOutput(containerId: string, options: ExecOptions): AsyncGenerator<Uint8Array, ExecResult, void> {
    return execOutput(this.#connection, containerId, options);
  }

  execStream(containerId: string, options: Omit<ExecOptions, 'stdin'>): Promise<Duplex> {
    return openExecStream(this.#connection, containerId, options);
  }

  readArchive(containerId: string, path: string, options: ScopeOptions = {}): AsyncGenerator<Uint8Array, void, void> {
    return readArchive(this.#connection, containerId, path, options);
  }

  writeArchive(
    containerId: string,
    path: string,
    tar: AsyncIterable<Uint8Array>,
    options: ScopeOptions = {},
  ): Promise<void> {
    return writeArchive(this.#connection, containerId, path, tar, options);
  }

  withHelperContainer<T>(options: HelperOptions, use: (containerId: string) => Promise<T>): Promise<T> {
    return withHelperContainer(this.#connection, options, use);
  }

  runHelper(options: RunHelperOptions): Promise<{ exitCode: number; output: string }> {
    return runHelper(this.#connection, options);
  }

  removeLeftoverHelpers(
    options: {
      readonly keepRuns?: readonly string[];
      readonly runs?: readonly string[] | undefined;
      readonly signal?: AbortSignal | undefined;
    } = {},
  ): Promise<number> {
    return removeLeftoverHelpers(this.#connection, options);
  }

  createServerContainer(options: ServerContainerOptions): Promise<string> {
    return createServerContainer(this.#connection, options);
  }

  removeServerContainer(id: string): Promise<void> {
    return removeServerContainer(this.#connection, id);
  }

  removeVolume(name: string): Promise<void> {
    return removeVolume(this.#connection, name);
  }

  volumeHostPath(volume: string | ContainerMount, options: ScopeOptions = {}): Promise<string | undefined> {
    return volumeHostPath(this.#connection, volume, options);
  }

  inspectVolume(name: string, options: ScopeOptions = {}): Promise<VolumeSpec | undefined> {
    return inspectVolume(this.#connection, name, options);
  }

  async volumeExists(name: string, options: ScopeOptions = {}): Promise<boolean> {
    return (await inspectVolume(this.#connection, name, options)) !== undefined;
  }

  ensureVolume(spec: VolumeSpec, options: ScopeOptions = {}): Promise<boolean> {
    return ensureVolume(this.#connection, spec, options);
  }

  emptyVolume(volume: string | ContainerMount, options: EmptyVolumeOptions): Promise<void> {
    return emptyVolume(this.#connection, volume, options);
  }

  composeUp(options: ComposeUpOptions): Promise<void> {
    return composeUp(this.#connection.endpoint, options);
  }
}
