// Short-lived containers of ours, from an image that is already on the host: never started ones through which the archive
// calls reach a volume, and started ones for a single command. Always removed, also after a failure or a cancellation;
// those that a killed process left are found by their label.

import { AppError, isAppError, mapConcurrently } from '@varve/base';
import type { ContainerCreateOptions } from 'dockerode';
import { abortable, type Connection } from './connection.ts';
import { logTail } from './control.ts';
import { helperLabel } from './labels.ts';

export interface HelperMount {
  readonly type: 'volume' | 'bind';
  /** Volume name, or path on the engine's host. */
  readonly source: string;
  /** Where it appears in the helper. */
  readonly target: string;
  readonly readOnly?: boolean | undefined;
}

export interface HelperOptions {
  /** Name or id of an image on the host; nothing is pulled. */
  readonly image: string;
  readonly mounts: readonly HelperMount[];
  /** Whose helper it is; leftovers of other runs are removed by {@link removeLeftoverHelpers}. */
  readonly run: string;
  readonly signal?: AbortSignal | undefined;
}

/** Calls `use` with the id of a created, never started container, and removes it afterwards. */
export async function withHelperContainer<T>(
  connection: Connection,
  options: HelperOptions,
  use: (containerId: string) => Promise<T>,
): Promise<T> {
  const id = await createHelper(connection, options, { Cmd: ['true'] });
  try {
    return await use(id);
  } finally {
    await removeHelper(connection, id);
  }
}

export interface RunHelperOptions extends HelperOptions {
  /** Replaces entrypoint and command of the image; runs as root without a network. */
  readonly command: readonly string[];
}

/** Runs one command to its end in a helper. `output` holds the last lines of both streams. */
export async function runHelper(
  connection: Connection,
  options: RunHelperOptions,
): Promise<{ exitCode: number; output: string }> {
  const { signal } = options;
  const id = await createHelper(connection, options, {
    Entrypoint: options.command.slice(0, 1),
    Cmd: options.command.slice(1),
    User: '0:0',
  });
  try {
    const container = connection.docker.getContainer(id);
    await startHelper(connection, id, options);
    const result = (await connection.request(
      'wait for a helper container',
      () => container.wait(abortable(signal)),
      signal,
    )) as { StatusCode: number };
    return { exitCode: result.StatusCode, output: await logTail(connection, id, { lines: 20, signal }) };
  } finally {
    await removeHelper(connection, id);
  }
}

/**
 * Removes every helper on the engine that does not belong to one of `keepRuns`; with `runs`, only helpers of those. The
 * number removed.
 */
export async function removeLeftoverHelpers(
  connection: Connection,
  options: {
    readonly keepRuns?: readonly string[];
    readonly runs?: readonly string[] | undefined;
    readonly signal?: AbortSignal | undefined;
  } = {},
): Promise<number> {
  const { signal, keepRuns = [], runs } = options;
  const filters = { label: [helperLabel] };
  const found = await connection.request(
    'list helper containers',
    () => connection.docker.listContainers({ all: true, filters, ...abortable(signal) }),
    signal,
  );
  const leftovers = found.filter(({ Labels }) => {
    const run = Labels[helperLabel] ?? '';
    return !keepRuns.includes(run) && (runs === undefined || runs.includes(run));
  });
  await mapConcurrently(leftovers, 4, (summary) => removeHelper(connection, summary.Id));
  return leftovers.length;
}

async function createHelper(
  connection: Connection,
  options: HelperOptions,
  process: Partial<ContainerCreateOptions>,
): Promise<string> {
  const { signal } = options;
  try {
    const container = await connection.request(
      `create a helper container from ${options.image}`,
      () =>
        connection.docker.createContainer({
          Image: options.image,
          ...process,
          Labels: { [helperLabel]: options.run },
          NetworkDisabled: true,
          Healthcheck: { Test: ['NONE'] },
          HostConfig: {
            NetworkMode: 'none',
            Mounts: options.mounts.map((mount) => ({
              Type: mount.type,
              Source: mount.source,
              Target: mount.target,
              ReadOnly: mount.readOnly ?? false,
              // Without this the engine copies the image's files into an empty volume.
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
    throw new AppError('DOCKER_NOT_FOUND', `The image ${options.image} for a helper container is not on the host.`, {
      hint: `Fetch it with \`docker pull ${options.image}\`, or start the app once.`,
      cause: error,
    });
  }
}

async function startHelper(connection: Connection, id: string, options: RunHelperOptions): Promise<void> {
  const program = options.command[0] ?? '';
  try {
    await connection.request(
      `start ${program} in a helper container`,
      () => connection.docker.getContainer(id).start(abortable(options.signal)),
      options.signal,
    );
  } catch (error) {
    const text = isAppError(error) ? error.message : '';
    if (!/executable file not found|no such file or directory/.test(text)) throw error;
    throw new AppError(
      'DOCKER_COMMAND_FAILED',
      `The image ${options.image} has no ${program}, which is needed to work on a volume that this process cannot reach.`,
      {
        hint: 'Give Varve the path of the volumes (mount /var/lib/docker/volumes into its container), or name an image that has a shell.',
        cause: error,
      },
    );
  }
}

/** Not bound to any signal: a cancelled run cleans up too. Anonymous volumes of the image go with it. */
async function removeHelper(connection: Connection, id: string): Promise<void> {
  try {
    await connection.request(`remove helper container ${id}`, () =>
      connection.docker.getContainer(id).remove({ force: true, v: true }),
    );
  } catch (error) {
    const isGoneOrGoing =
      isAppError(error, 'DOCKER_NOT_FOUND') || (isAppError(error) && error.context['status'] === 409);
    if (!isGoneOrGoing) throw error;
  }
}
