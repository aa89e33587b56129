// Named volumes: whether they exist, where their files are, making one again that vanished, emptying one.

import { AppError, isAppError } from '@varve/base';
import type { VolumeInspectInfo } from 'dockerode';
import { abortable, type Connection } from './connection.ts';
import type { ContainerMount } from './container.ts';
import { isMountPoint, visiblePath } from './host-paths.ts';
import { runHelper } from './helper-container.ts';

interface ScopeOptions {
  readonly signal?: AbortSignal | undefined;
}

/** What it takes to make a volume again. */
export interface VolumeSpec {
  readonly name: string;
  readonly driver?: string | undefined;
  readonly labels?: Readonly<Record<string, string>> | undefined;
  /** Driver options (`type`, `o`, `device` …). May hold a password (CIFS): encrypt, never log. */
  readonly options?: Readonly<Record<string, string>> | undefined;
}

/** The spec of an existing volume, undefined when there is none of that name. */
export async function inspectVolume(
  connection: Connection,
  name: string,
  options: ScopeOptions = {},
): Promise<VolumeSpec | undefined> {
  const info = await volumeInfo(connection, name, options);
  return info && { name: info.Name, driver: info.Driver, labels: info.Labels ?? {}, options: info.Options ?? {} };
}

/**
 * The folder of a volume, bind mount or volume name that this process can read, or undefined: then use a helper container.
 * Volumes of other drivers, and local ones with driver options, count only while they are mounted.
 */
export async function volumeHostPath(
  connection: Connection,
  volume: string | ContainerMount,
  options: ScopeOptions = {},
): Promise<string | undefined> {
  if (typeof volume !== 'string' && volume.type === 'bind') return visiblePath(connection, volume.source);
  const name = typeof volume === 'string' ? volume : volume.name;
  if (name === undefined || (typeof volume !== 'string' && volume.type !== 'volume')) return undefined;
  const info = await volumeInfo(connection, name, options);
  if (!info?.Mountpoint) return undefined;
  const path = await visiblePath(connection, info.Mountpoint);
  if (path === undefined) return undefined;
  const isPlain = info.Driver === 'local' && Object.keys(info.Options ?? {}).length === 0;
  return isPlain || (await isMountPoint(path)) ? path : undefined;
}

/** Makes the volume unless one of that name exists. True when it was made. */
export async function ensureVolume(
  connection: Connection,
  spec: VolumeSpec,
  options: ScopeOptions = {},
): Promise<boolean> {
  if (await volumeInfo(connection, spec.name, options)) return false;
  await connection.request(
    `create volume ${spec.name}`,
    () =>
      connection.docker.createVolume({
        Name: spec.name,
        Driver: spec.driver ?? 'local',
        Labels: { ...spec.labels },
        DriverOpts: { ...spec.options },
        ...abortable(options.signal),
      }),
    options.signal,
  );
  return true;
}

export interface EmptyVolumeOptions extends ScopeOptions {
  /** An image on the host that has `find`; the app's own. */
  readonly image: string;
  readonly run: string;
}

/** Deletes everything in a volume, keeping the volume. DOCKER_COMMAND_FAILED when the image has no `find`. */
export async function emptyVolume(
  connection: Connection,
  volume: string | ContainerMount,
  options: EmptyVolumeOptions,
): Promise<void> {
  const target = '/varve/volume';
  const source = helperSource(volume);
  const command = ['find', target, '-mindepth', '1', '-delete'];
  const result = await runHelper(connection, {
    image: options.image,
    run: options.run,
    mounts: [{ ...source, target }],
    command,
    signal: options.signal,
  });
  if (result.exitCode !== 0) {
    throw new AppError(
      'DOCKER_COMMAND_FAILED',
      `Emptying ${source.source} in a container of ${options.image} ended with exit code ${result.exitCode}: ${result.output.trim()}`,
      {
        context: { exitCode: result.exitCode },
      },
    );
  }
}

/** The mount of a helper container for a volume name or a container's mount. */
export function helperSource(volume: string | ContainerMount): {
  readonly type: 'volume' | 'bind';
  readonly source: string;
} {
  if (typeof volume === 'string') return { type: 'volume', source: volume };
  if (volume.type === 'volume' && volume.name !== undefined) return { type: 'volume', source: volume.name };
  if (volume.type === 'bind') return { type: 'bind', source: volume.source };
  throw new AppError(
    'DOCKER_REQUEST_FAILED',
    `The mount at ${volume.destination} is neither a volume nor a bind mount; it holds nothing that lasts.`,
  );
}

async function volumeInfo(
  connection: Connection,
  name: string,
  options: ScopeOptions,
): Promise<VolumeInspectInfo | undefined> {
  const { signal } = options;
  try {
    return await connection.request(
      `inspect volume ${name}`,
      () => connection.docker.getVolume(name).inspect(abortable(signal)),
      signal,
    );
  } catch (error) {
    if (isAppError(error, 'DOCKER_NOT_FOUND')) return undefined;
    throw error;
  }
}
