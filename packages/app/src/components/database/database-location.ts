// A session with the server of a database component, wherever it runs: by URL, over the Docker network, through a published
// port, by a Unix socket in a mount, or through the container itself, whichever works, tried in that order and remembered.

import { AppError, isAppError, messageOf, throwIfAborted } from '@varve/base';
import {
  connectPostgres,
  readServerIdentity,
  serverIdentityByTool,
  type ConnectOptions,
  type PgConnection,
  type ServerIdentity,
} from '@varve/postgres';
import type { DatabaseAccess } from './database-access.ts';
import type { DatabaseWay, DatabaseWayKind } from './database-way.ts';
import { databaseWays } from './database-ways.ts';

export interface OpenDatabaseOptions {
  /** For base backups and WAL: a session that takes replication commands as well as SQL. */
  readonly replication?: boolean | undefined;
  readonly signal: AbortSignal;
  readonly applicationName?: string | undefined;
}

/** What became of a way. */
export interface TriedWay {
  readonly kind: DatabaseWayKind;
  /** Null when there was nothing to try. */
  readonly address: string | null;
  /** Null when it works. */
  readonly problem: string | null;
}

/**
 * Opens a session by the first way that works and is proven to lead to the right server. Throws DATABASE_UNREACHABLE or
 * DATABASE_AUTH_FAILED with what each way said, DATABASE_DENIED (no REPLICATION attribute), DATABASE_QUERY_FAILED, CANCELLED.
 */
export async function openDatabase(access: DatabaseAccess, options: OpenDatabaseOptions): Promise<PgConnection> {
  return (await openWay(access, options)).connection;
}

/**
 * Where `receiveWal` and others that connect again and again find the server. Every call looks at the app anew: a container
 * that was made again has another address, and maybe another password. Throws as {@link openDatabase}; while the container
 * or its Engine is gone DATABASE_UNREACHABLE, worth a retry.
 */
export function databaseLocation(
  access: DatabaseAccess,
  options: { readonly signal: AbortSignal },
): () => Promise<ConnectOptions> {
  return async () => {
    const current = await access.refresh(options.signal).catch((error: unknown) => {
      throw mayComeBack(error);
    });
    const { way, connection } = await openWay(current, { ...options, replication: true });
    await connection.close();
    return way.options;
  };
}

/** A container that is being made again is not there for a while. */
function mayComeBack(error: unknown): unknown {
  if (!isAppError(error, 'ARCHIVE_SOURCE_MISSING') && !isAppError(error, 'DOCKER_UNREACHABLE')) return error;
  const { message, hint, context } = error;
  const hinted = hint === undefined ? {} : { hint };
  return new AppError('DATABASE_UNREACHABLE', message, { ...hinted, context, retry: true, cause: error });
}

/** Tries every way, whether or not an earlier one works. For doctor. */
export async function probeDatabase(
  access: DatabaseAccess,
  options: OpenDatabaseOptions,
): Promise<readonly TriedWay[]> {
  const { ways, missing } = await databaseWays(access, options.signal);
  const tried: TriedWay[] = [];
  for (const way of ways) {
    const outcome = await tryWay(access, way, options);
    if ('connection' in outcome) await outcome.connection.close();
    const problem = 'connection' in outcome ? null : messageOf(outcome.error);
    tried.push({ kind: way.kind, address: addressOf(way.options), problem });
  }
  return [...tried, ...missing.map(({ kind, reason }) => ({ kind, address: null, problem: reason }))];
}

interface OpenWay {
  readonly connection: PgConnection;
  readonly way: DatabaseWay;
}

async function openWay(access: DatabaseAccess, options: OpenDatabaseOptions): Promise<OpenWay> {
  const key = access.container === null ? 'url' : `${access.container.id} ${access.container.startedAt}`;
  const { memory } = access;
  if (memory.found?.key === key) {
    const { way } = memory.found;
    const connection = await connectBy(way, options).catch((error: unknown) => passOver(error, options.signal));
    if (!(connection instanceof AppError)) return { connection, way };
    memory.found = null;
  }
  const { ways, missing } = await databaseWays(access, options.signal);
  const failures: AppError[] = [];
  for (const way of ways) {
    const outcome = await tryWay(access, way, options);
    if ('connection' in outcome) {
      memory.found = { key, way };
      return { connection: outcome.connection, way };
    }
    failures.push(outcome.error);
  }
  throw noWay(
    access,
    failures,
    missing.map(({ reason }) => reason),
  );
}

/** A session, or why this way does not lead to the server. What another way would say as well is thrown. */
async function tryWay(
  access: DatabaseAccess,
  way: DatabaseWay,
  options: OpenDatabaseOptions,
): Promise<{ readonly connection: PgConnection } | { readonly error: AppError }> {
  let connection: PgConnection | undefined;
  try {
    connection = await connectBy(way, options);
    if (way.needsProof) await assertSameServer(access, connection, options.signal);
    return { connection };
  } catch (error) {
    await connection?.close();
    return { error: passOver(error, options.signal) };
  }
}

function connectBy(way: DatabaseWay, { signal, replication, applicationName }: OpenDatabaseOptions) {
  return connectPostgres({
    ...way.options,
    signal,
    ...(replication ? { replication: 'database' } : {}),
    ...(applicationName === undefined ? {} : { applicationName }),
  });
}

/** Failures of a way; all others are those of the server or of the caller. */
function passOver(error: unknown, signal: AbortSignal): AppError {
  throwIfAborted(signal);
  const codes = ['DATABASE_UNREACHABLE', 'DATABASE_AUTH_FAILED', 'DATABASE_PROTOCOL'] as const;
  if (isAppError(error) && codes.some((code) => isAppError(error, code))) return error;
  throw error;
}

/** Throws DATABASE_UNREACHABLE when the session is with another server than that of the container, or nothing proves it. */
async function assertSameServer(access: DatabaseAccess, connection: PgConnection, signal: AbortSignal): Promise<void> {
  const expected = await identityInContainer(access, signal);
  const reached = await readServerIdentity(connection, { signal });
  if (expected === reached) return;
  throw new AppError(
    'DATABASE_UNREACHABLE',
    `At ${connection.server.address} another server answers than that of container ${access.container?.name ?? ''}.`,
  );
}

/** Asked inside of the container: by psql, or where the image has none through a relay. */
async function identityInContainer(access: DatabaseAccess, signal: AbortSignal): Promise<ServerIdentity> {
  try {
    return await serverIdentityByTool(access.runner, access.target, { signal });
  } catch (error) {
    throwIfAborted(signal);
    const { ways } = await databaseWays(access, signal);
    for (const { options } of ways.filter(({ kind }) => kind === 'container')) {
      try {
        await using connection = await connectPostgres({ ...options, signal });
        return await readServerIdentity(connection, { signal });
      } catch (failure) {
        passOver(failure, signal);
      }
    }
    throw error;
  }
}

function addressOf(options: ConnectOptions): string {
  return options.stream?.address ?? options.socketPath ?? `${options.host}:${options.port}`;
}

/** One failure is told as it is. Of several each says its own. */
function noWay(access: DatabaseAccess, failures: readonly AppError[], missing: readonly string[]): AppError {
  const [only] = failures;
  if (only !== undefined && failures.length === 1 && access.container === null) return only;
  const isRefused = failures.length > 0 && failures.every((failure) => isAppError(failure, 'DATABASE_AUTH_FAILED'));
  const reasons = [...failures.map(({ message }) => message), ...missing.map((reason) => `${reason}.`)];
  return new AppError(
    isRefused ? 'DATABASE_AUTH_FAILED' : 'DATABASE_UNREACHABLE',
    `No way leads to the database in container ${access.container?.name ?? ''}: ${reasons.join(' ')}`,
    {
      hint: isRefused
        ? 'The password in the environment of the container is not that of the user any more: set it, or change it back.'
        : 'Start the container; let Varve reach its network or publish its port; or use an image that has bash, socat, nc or perl.',
      context: { container: access.container?.name },
      retry: failures.some(({ retry }) => retry),
      cause: failures.at(-1),
    },
  );
}
