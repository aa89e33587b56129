// Containers of ours that run a server for longer than one command: from an image that is already on the host, with nothing
// of the app's but the mounts that are named. Whoever makes one removes it; its label says whose it is.

import { AppError, isAppError } from '@varve/base';
import { abortable, type Connection } from './connection.ts';
import type { HelperMount } from './helper-container.ts';
import { serverLabel } from './labels.ts';

export interface ServerContainerOptions {
  /** Name or id of an image on the host; nothing is pulled. */
  readonly image: string;
  readonly name: string;
  /** Value of the label by which it is found. */
  readonly owner: string;
  /** Replaces entrypoint and command of the image. */
  readonly command: readonly string[];
  /** `uid:gid` */
  readonly user: string;
  readonly mounts: readonly HelperMount[];
  /** Published on loopback; without, the container has no network. */
  readonly publish?: { readonly containerPort: number; readonly hostPort: number } | undefined;
  /** How the engine asks it to stop; the image's signal unless given. */
  readonly stopSignal?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Creates the container, not started. DOCKER_NOT_FOUND without the image. */
export async function createServerContainer(connection: Connection, options: ServerContainerOptions): Promise<string> {
  const { image, name, publish, signal } = options;
  const port = publish === undefined ? undefined : `${publish.containerPort}/tcp`;
  try {
    const container = await connection.request(
      `create the container ${name} from ${image}`,
      () =>
        connection.docker.createContainer({
          name,
          Image: image,
          Entrypoint: options.command.slice(0, 1),
          Cmd: options.command.slice(1),
          User: options.user,
          Labels: { [serverLabel]: options.owner },
          Healthcheck: { Test: ['NONE'] },
          ...(options.stopSignal === undefined ? {} : { StopSignal: options.stopSignal }),
          ...(port === undefined ? { NetworkDisabled: true } : { ExposedPorts: { [port]: {} } }),
          HostConfig: {
            ...(port === undefined
              ? { NetworkMode: 'none' }
              : { PortBindings: { [port]: [{ HostIp: '127.0.0.1', HostPort: String(publish?.hostPort) }] } }),
            RestartPolicy: { Name: 'no' },
            Mounts: options.mounts.map((mount) => ({
              Type: mount.type,
              Source: mount.source,
              Target: mount.target,
              ReadOnly: mount.readOnly ?? false,
              ...(mount.type === 'volume'
                ? { VolumeOptions: { NoCopy: true, Labels: {}, DriverConfig: { Name: '', Options: {} } } }
                : {}),
            })),
          },
          ...abortable(signal),
        }),
      signal,
    );
    return container.id;
  } catch (error) {
    if (!isAppError(error, 'DOCKER_NOT_FOUND')) throw error;
    throw new AppError('DOCKER_NOT_FOUND', `The image ${image} is not on the host.`, {
      hint: `Fetch it with \`docker pull ${image}\`, or start the app once.`,
      cause: error,
    });
  }
}

/** Removes a container by id or name, running or not, with its anonymous volumes. Idempotent; not bound to any signal. */
export async function removeServerContainer(connection: Connection, id: string): Promise<void> {
  try {
    await connection.request(`remove the container ${id}`, () =>
      connection.docker.getContainer(id).remove({ force: true, v: true }),
    );
  } catch (error) {
    const isGoneOrGoing =
      isAppError(error, 'DOCKER_NOT_FOUND') || (isAppError(error) && error.context['status'] === 409);
    if (!isGoneOrGoing) throw error;
  }
}

/** Removes a volume that we made. Idempotent. DOCKER_REQUEST_FAILED while a container uses it. */
export async function removeVolume(connection: Connection, name: string): Promise<void> {
  try {
    await connection.request(`remove the volume ${name}`, () => connection.docker.getVolume(name).remove());
  } catch (error) {
    if (!isAppError(error, 'DOCKER_NOT_FOUND')) throw error;
  }
}
