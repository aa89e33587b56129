// Stops, starts, pauses containers and reads their logs. Each call is idempotent: a container that is already as asked for
// is left alone (the engine answers 304, or 409 for pause).

import { abortable, type Connection } from './connection.ts';
import { isAppError } from '@varve/base';
import { FrameDecoder } from './stream-frames.ts';

interface ControlOptions {
  readonly signal?: AbortSignal | undefined;
}

export interface StopOptions extends ControlOptions {
  /** Seconds between SIGTERM and SIGKILL; the container's own setting, mostly 10 s, by default. */
  readonly timeoutS?: number | undefined;
}

/** Stops a container and waits until it stopped. A database wants `timeoutS` of minutes: killed, it must recover. */
export async function stopContainer(connection: Connection, id: string, options: StopOptions = {}): Promise<void> {
  const { signal, timeoutS } = options;
  const query = timeoutS === undefined ? {} : { t: timeoutS };
  await tolerating(304, () =>
    connection.request(
      `stop container ${id}`,
      () => connection.docker.getContainer(id).stop({ ...query, ...abortable(signal) }),
      signal,
    ),
  );
}

export async function startContainer(connection: Connection, id: string, options: ControlOptions = {}): Promise<void> {
  const { signal } = options;
  await tolerating(304, () =>
    connection.request(
      `start container ${id}`,
      () => connection.docker.getContainer(id).start(abortable(signal)),
      signal,
    ),
  );
}

/** Freezes every process of a running container (cgroup freezer). DOCKER_REQUEST_FAILED when it does not run. */
export async function pauseContainer(connection: Connection, id: string, options: ControlOptions = {}): Promise<void> {
  if (await isPaused(connection, id, options)) return;
  const { signal } = options;
  await connection.request(
    `pause container ${id}`,
    () => connection.docker.getContainer(id).pause(abortable(signal)),
    signal,
  );
}

export async function unpauseContainer(
  connection: Connection,
  id: string,
  options: ControlOptions = {},
): Promise<void> {
  if (!(await isPaused(connection, id, options))) return;
  const { signal } = options;
  await connection.request(
    `unpause container ${id}`,
    () => connection.docker.getContainer(id).unpause(abortable(signal)),
    signal,
  );
}

export interface LogOptions extends ControlOptions {
  readonly lines?: number | undefined;
}

/** The last lines of a container's output, both streams, oldest first; 50 unless set. May hold what the app printed: secrets. */
export async function logTail(connection: Connection, id: string, options: LogOptions = {}): Promise<string> {
  const { signal } = options;
  const container = connection.docker.getContainer(id);
  const action = `read the log of container ${id}`;
  const info = await connection.request(action, () => container.inspect(abortable(signal)), signal);
  const bytes = await connection.request(
    action,
    () =>
      container.logs({ follow: false, stdout: true, stderr: true, tail: options.lines ?? 50, ...abortable(signal) }),
    signal,
  );
  // The client parses what looks like JSON, which a terminal's log can be.
  if (!Buffer.isBuffer(bytes)) return JSON.stringify(bytes);
  if (info.Config.Tty) return bytes.toString('utf8');
  const decoder = new FrameDecoder();
  return Buffer.concat(decoder.push(bytes).map((piece) => piece.data)).toString('utf8');
}

async function isPaused(connection: Connection, id: string, options: ControlOptions): Promise<boolean> {
  const { signal } = options;
  const info = await connection.request(
    `inspect container ${id}`,
    () => connection.docker.getContainer(id).inspect(abortable(signal)),
    signal,
  );
  return info.State.Paused;
}

async function tolerating(status: number, task: () => Promise<unknown>): Promise<void> {
  try {
    await task();
  } catch (error) {
    if (isAppError(error) && error.context['status'] === status) return;
    throw error;
  }
}
