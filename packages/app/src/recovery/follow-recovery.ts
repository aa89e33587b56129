// Watches a recovering server until it is where it should be, or ends: by the file with which it claims its data folder, its
// log, and, once it lets somebody in, by asking it.

import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError, isAppError, sleep, throwIfAborted } from '@varve/base';
import {
  connectPostgres,
  parseLsn,
  parseUnixMicros,
  readPostmasterPid,
  type Lsn,
  type PgConnection,
  type WalExchange,
} from '@varve/postgres';
import type { RunContext } from '../use-case.ts';
import {
  lastFailure,
  logTail,
  placeNames,
  socketPort,
  type RecoveryPlace,
  type RecoveryServer,
} from './recovery-server.ts';

const pollMs = 100;
/** The server writes its process id first of all. */
const launchMs = 30_000;

/** Where the server is. */
export interface RecoveredState {
  readonly timeline: number;
  /** What it has replayed to. */
  readonly lsn: Lsn;
  /** Of the last transaction that it replayed; null when it replayed none. */
  readonly lastCommitMicros: number | null;
  readonly segments: number;
  /** Who could log in. */
  readonly user: string;
  readonly isSuperuser: boolean;
}

export interface FollowInput {
  readonly context: Pick<RunContext, 'signal'>;
  readonly place: RecoveryPlace;
  readonly server: RecoveryServer;
  readonly exchange: Pick<WalExchange, 'failure'>;
  readonly whenReached: 'promote' | 'pause';
  readonly listen?: { readonly port: number } | undefined;
  readonly users: readonly string[];
}

/** RECOVERY_FAILED with the server's own words when it ends before. */
export async function followRecovery(input: FollowInput): Promise<RecoveredState> {
  const { context, place, server, exchange, whenReached } = input;
  const launchedAt = Date.now();
  const data = join(place.here, placeNames.data);
  let wasSeen = false;
  for (;;) {
    throwIfAborted(context.signal);
    const isRunning = await server.isRunning();
    wasSeen ||= isRunning;
    if (!isRunning && (wasSeen || Date.now() - launchedAt > launchMs || (await hasFailed(place)))) {
      if (exchange.failure !== undefined) throw exchange.failure;
      throw await serverEnded(place);
    }
    const state = (await readPostmasterPid(data))?.state;
    // Ready means that it lets somebody in, which a hot standby does as well.
    const isThere = state === 'ready' && (whenReached === 'pause' || !(await isMarkedForRecovery(data)));
    const reached = isThere ? await look(input) : undefined;
    if (reached !== undefined) return reached;
    await sleep(pollMs, { signal: context.signal });
  }
}

async function hasFailed(place: RecoveryPlace): Promise<boolean> {
  return lastFailure(await logTail(place)) !== undefined;
}

async function isMarkedForRecovery(data: string): Promise<boolean> {
  return stat(join(data, 'recovery.signal')).then(
    () => true,
    () => false,
  );
}

/** Undefined while it has not come to its pause, or to the end of its recovery. */
async function look(input: FollowInput): Promise<RecoveredState | undefined> {
  const { connection, user } = await openSession(input);
  await using open = connection;
  const [result] = await open.query(
    `select pg_last_wal_replay_lsn(), to_char(pg_last_xact_replay_timestamp() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
       pg_is_in_recovery(), (select rolsuper from pg_roles where rolname = current_user),
       case when pg_is_in_recovery() then pg_is_wal_replay_paused() end,
       case when not pg_is_in_recovery() then left(pg_walfile_name(pg_current_wal_lsn()), 8) end,
       (pg_control_recovery()).min_recovery_end_timeline`,
    { signal: input.context.signal },
  );
  const [lsn, time, inRecovery, isSuperuser, isPaused, timeline, recoveryTimeline] = result?.rows[0] ?? [];
  if (input.whenReached === 'pause' ? isPaused !== 't' : inRecovery === 't') return undefined;
  return {
    lsn: parseLsn(lsn ?? '0/0'),
    lastCommitMicros: parseUnixMicros(time ?? '') ?? null,
    timeline: inRecovery === 't' ? Number(recoveryTimeline) : Number.parseInt(timeline ?? '0', 16),
    segments: 0,
    user,
    isSuperuser: isSuperuser === 't',
  };
}

/** Through the socket, where nobody is asked for a password; as the first of the users that the database has. */
export async function openSession(
  input: Pick<FollowInput, 'place' | 'listen' | 'users'> & {
    readonly context: { readonly signal: AbortSignal };
    readonly database?: string;
  },
): Promise<{ readonly connection: PgConnection; readonly user: string }> {
  const { place, listen, users, context } = input;
  let failure: unknown;
  for (const user of new Set([...users, 'postgres'])) {
    try {
      const connection = await connectPostgres({
        host: 'localhost',
        port: listen?.port ?? socketPort,
        socketPath: place.socketHere,
        user,
        database: input.database ?? 'postgres',
        applicationName: 'varve recovery',
        tls: 'disable',
        signal: context.signal,
      });
      return { connection, user };
    } catch (error) {
      // No such role at that time: another one is tried.
      if (!isAppError(error, 'DATABASE_AUTH_FAILED') && !isAppError(error, 'DATABASE_QUERY_FAILED')) throw error;
      failure = error;
    }
  }
  throw failure;
}

async function serverEnded(place: RecoveryPlace): Promise<AppError> {
  const log = await logTail(place);
  const words = lastFailure(log) ?? (log.trim().split('\n').slice(-3).join(' ') || 'it left no word in its log');
  return new AppError('RECOVERY_FAILED', `The recovering server ended before it was there: ${words}`, {
    hint: 'Nothing that was there was touched. The log of the job has more.',
  });
}
