// Tar streams out of and into a container's file system; works on stopped and never started containers too, with their
// volumes mounted by the engine. The engine truncates times to seconds and carries no extended attributes but capabilities:
// read the host path where that matters. Docker Engine API 1.41, ContainerArchive and PutContainerArchive.

import { Readable } from 'node:stream';
import { AppError, cancelledError, isAppError, throwIfAborted } from '@varve/base';
import { abortable, type Connection } from './connection.ts';
import { engineError } from './engine-errors.ts';

interface ArchiveOptions {
  readonly signal?: AbortSignal | undefined;
}

/**
 * `path` of a container as a tar stream. A folder `/a/b` comes as entries `b/`, `b/…`: one leading component to strip.
 * Reading starts with the first `next()`. DOCKER_NOT_FOUND for no such container or path.
 */
export async function* readArchive(
  connection: Connection,
  containerId: string,
  path: string,
  options: ArchiveOptions = {},
): AsyncGenerator<Uint8Array, void, void> {
  const { signal } = options;
  const action = `read ${path} of container ${containerId}`;
  const stream = (await connection.request(
    action,
    () => connection.docker.getContainer(containerId).getArchive({ path, ...abortable(signal) }),
    signal,
  )) as Readable;
  const onAbort = (): void => void stream.destroy(cancelledError(signal));
  signal?.addEventListener('abort', onAbort, { once: true });
  if (signal?.aborted) onAbort();
  try {
    for await (const chunk of stream) yield chunk as Uint8Array;
  } catch (error) {
    throw engineError(error, { endpoint: connection.endpoint, action, signal });
  } finally {
    signal?.removeEventListener('abort', onAbort);
    stream.destroy();
  }
  throwIfAborted(signal);
}

/**
 * Unpacks a tar stream into the folder `path`, which must exist; owners, modes and times are those of the tar. What is there
 * and not in the tar stays. When `tar` throws, its error comes out and part of the files may have been written.
 */
export async function writeArchive(
  connection: Connection,
  containerId: string,
  path: string,
  tar: AsyncIterable<Uint8Array>,
  options: ArchiveOptions = {},
): Promise<void> {
  const { signal } = options;
  const action = `write ${path} of container ${containerId}`;
  throwIfAborted(signal);
  let sourceError: unknown;
  const source = Readable.from(
    remembering(tar, (error) => (sourceError = error)),
    { objectMode: false, highWaterMark: 256 * 1024 },
  );
  try {
    await connection.request(
      action,
      () => connection.docker.getContainer(containerId).putArchive(source, { path, ...abortable(signal) }),
      signal,
    );
  } catch (error) {
    if (sourceError === undefined || signal?.aborted) throw error;
    if (isAppError(sourceError)) throw sourceError;
    throw new AppError(
      'DOCKER_REQUEST_FAILED',
      `The tar stream failed that should go to ${path} of container ${containerId}.`,
      { cause: sourceError },
    );
  } finally {
    source.destroy();
  }
}

async function* remembering(
  tar: AsyncIterable<Uint8Array>,
  onError: (error: unknown) => void,
): AsyncGenerator<Uint8Array, void, void> {
  try {
    yield* tar;
  } catch (error) {
    onError(error);
    throw error;
  }
}
