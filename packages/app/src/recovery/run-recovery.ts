// Runs a recovery exactly as its plan was shown. Everything is made beside what is there; only when the recovered cluster was
// shut down cleanly does it take a place. Whatever fails before, or is cancelled, is removed.

import { rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { AppError, messageOf, throwIfAborted } from '@varve/base';
import type { JobResult, RecoveryPlan, RecoveryRequest, Sandbox } from '@varve/contract';
import { finishDataFolder, formatLsn, formatUnixMicros, moveTablespaceLinks, readPgControl } from '@varve/postgres';
import { lockRepository } from '@varve/repository';
import type { Problem, RunContext } from '../use-case.ts';
import type { RecoveredState } from './follow-recovery.ts';
import { swapInContainer } from './in-place-docker.ts';
import { swapInOnHost } from './in-place-host.ts';
import { planWithScope, type PlanRecoveryInput, type RecoveryScope } from './plan-recovery.ts';
import { recoverCluster } from './recover-cluster.ts';
import { newRecoveryId } from './recovery-place.ts';
import type { RecoveryRecord, RecoveryRecords } from './recovery-records.ts';
import { placeNames } from './recovery-server.ts';
import type { OpenSite } from './recovery-site.ts';
import { removeRecovery, sandboxOf } from './sandboxes.ts';

/** How long a recovery waits for a prune or a forget, before it begins. */
const lockWaitMs = 15 * 60_000;

export interface RunRecoveryInput extends PlanRecoveryInput {
  /** Of the plan that was shown; null for a run that nobody was shown (a proof). */
  readonly fingerprint: string | null;
  readonly records: RecoveryRecords;
  /** Its sandbox goes away with the job, also when the process of the job dies. */
  readonly isProof?: boolean;
  /** Called before an in-place recovery when it is wanted; its failure ends the recovery before anything is changed. */
  readonly takeSafetySnapshot: () => Promise<{ readonly snapshotId: string }>;
}

export interface RecoveredDatabase {
  readonly plan: RecoveryPlan;
  readonly state: RecoveredState;
  readonly sandbox: Sandbox | null;
  readonly folder: string | null;
  readonly problems: readonly Problem[];
  readonly seconds: number;
}

/** RESTORE_PLAN_STALE before anything is made; RECOVERY_FAILED, and the errors of the plan. */
export async function runRecovery(context: RunContext, input: RunRecoveryInput): Promise<RecoveredDatabase> {
  const startedAt = context.clock.now().getTime();
  const enter = (step: string): void => context.report({ step, filesDone: 0, bytesDone: 0 });
  enter('plan');
  const { plan, scope } = await planWithScope(context, input);
  if (input.fingerprint !== null && plan.fingerprint !== input.fingerprint) {
    throw new AppError('RESTORE_PLAN_STALE', 'What can be recovered changed since the plan was made.', {
      hint: 'Look at the new plan, then confirm it.',
    });
  }
  logPlan(context, plan);
  if (scope.inPlace !== null && input.request.safetySnapshot) {
    enter('safety-snapshot');
    const { snapshotId } = await input.takeSafetySnapshot();
    context.log('info', `The present state is in the safety snapshot ${snapshotId.slice(0, 8)}.`);
  }
  enter('lock');
  await using lock = await lockRepository(scope.repository, {
    ...context.lockOwner,
    exclusive: false,
    waitMs: lockWaitMs,
    signal: context.signal,
  });
  // Without the lock somebody could delete what is being read.
  const locked = { ...context, signal: AbortSignal.any([context.signal, lock.signal]) };
  const done = await recover(locked, { ...input, plan, scope });
  return { ...done, plan, seconds: (context.clock.now().getTime() - startedAt) / 1000 };
}

/** What a job keeps of it. */
export function recoveryResult(done: RecoveredDatabase): JobResult {
  const { plan, state, sandbox, folder, seconds } = done;
  return {
    type: 'recovery',
    component: plan.component,
    timeline: state.timeline,
    lsn: formatLsn(state.lsn),
    lastCommitAt: state.lastCommitMicros === null ? null : formatUnixMicros(state.lastCommitMicros),
    segments: state.segments,
    seconds,
    sandbox,
    folder,
  };
}

function logPlan(context: RunContext, { base, wal, stop }: RecoveryPlan): void {
  context.log('info', `Beginning with the base backup ${base.snapshotId.slice(0, 8)} of ${base.time}.`);
  const last = stop.lastCommitAt === null ? '' : `; the last transaction is of ${stop.lastCommitAt}`;
  context.log('info', `Replaying ${wal.segments} segments up to ${stop.lsn} on timeline ${stop.timeline}${last}.`);
}

type RecoverInput = RunRecoveryInput & { readonly plan: RecoveryPlan; readonly scope: RecoveryScope };

async function recover(context: RunContext, input: RecoverInput): Promise<Omit<RecoveredDatabase, 'plan' | 'seconds'>> {
  const { records, scope, request } = input;
  let record = await newRecord(context, input);
  await records.put(record);
  let isKept = false;
  try {
    const open = await scope.site.open(record.id, record, context.signal);
    record = { ...record, place: { ...record.place, folder: open.folder } };
    const state = await recoverCluster({
      context,
      repository: scope.repository,
      log: scope.log,
      choice: scope.choice,
      tablespaces: scope.tablespaces,
      place: open.place,
      server: open.server,
      whenReached: request.whenReached,
      listen: open.listen,
      withoutJobs: request.destination.type === 'sandbox',
      users: record.users,
    });
    logState(context, state);
    if (request.destination.type === 'sandbox') {
      const made = { ...record, isMade: input.isProof !== true, ...madeOf(record, open, state, request) };
      await records.put(made);
      isKept = true;
      return { state, sandbox: await sandboxOf(made, context), folder: null, problems: [] };
    }
    return { ...(await takePlace(context, input, { record, open, state })), state };
  } finally {
    if (!isKept) await removeOrKeepNoted(context, records, record);
  }
}

/** What cannot be removed now stays written down: the next opening tries again. */
async function removeOrKeepNoted(context: RunContext, records: RecoveryRecords, record: RecoveryRecord): Promise<void> {
  try {
    await removeRecovery(record, context);
    await records.remove(record.id);
  } catch (error) {
    context.log('error', `What the recovery ${record.id} made could not be removed yet: ${messageOf(error)}`);
  }
}

async function newRecord(context: RunContext, { scope, request, plan }: RecoverInput): Promise<RecoveryRecord> {
  const id = newRecoveryId();
  return {
    id,
    runId: context.runId,
    appId: scope.app.id,
    component: scope.component.name,
    createdAt: context.clock.now().toISOString(),
    purpose: request.destination.type === 'sandbox' ? 'sandbox' : 'work',
    isMade: false,
    isPaused: request.whenReached === 'pause',
    serverVersion: plan.serverVersion,
    stoppedAt: null,
    connection: null,
    users: await usersOf(context, scope),
    ...(await scope.site.record(id)),
  };
}

/** Roles that the database is likely to have: ours, then those that own its databases. */
async function usersOf(context: RunContext, { component, choice }: RecoveryScope): Promise<string[]> {
  const { source } = component;
  const owners = choice.base.saved.databases.map(({ owner }) => owner);
  if (source.type === 'container') return [...new Set([source.user, ...owners])];
  const url = (await context.secrets.get(source.urlSecret))?.reveal();
  const user = url !== undefined && URL.canParse(url) ? decodeURIComponent(new URL(url).username) : '';
  return [...new Set([user, ...owners])].filter((name) => name !== '');
}

function logState(context: RunContext, { lsn, timeline, lastCommitMicros, segments }: RecoveredState): void {
  const last = lastCommitMicros === null ? '' : `, the last transaction is of ${formatUnixMicros(lastCommitMicros)}`;
  context.log(
    'info',
    `The server replayed to ${formatLsn(lsn)} with ${segments} files and is on timeline ${timeline}${last}.`,
  );
}

function madeOf(
  record: RecoveryRecord,
  open: OpenSite,
  state: RecoveredState,
  { whenReached }: RecoveryRequest,
): Pick<RecoveryRecord, 'stoppedAt' | 'connection' | 'isPaused' | 'users'> {
  const { publishedPort, place } = open;
  const container = record.place.type === 'docker' ? record.place.container : null;
  const address = publishedPort === null ? `-h ${place.socketThere}` : `-h 127.0.0.1 -p ${publishedPort}`;
  const psql = `psql ${address} -U ${state.user} -d postgres`;
  return {
    stoppedAt: {
      timeline: state.timeline,
      lsn: formatLsn(state.lsn),
      lastCommitAt: state.lastCommitMicros === null ? null : formatUnixMicros(state.lastCommitMicros),
    },
    connection: {
      host: publishedPort === null ? null : '127.0.0.1',
      port: publishedPort,
      socketFolder: place.socketHere,
      user: state.user,
      command:
        container === null
          ? psql
          : `docker exec -it ${container} psql -h ${place.socketThere} -U ${state.user} -d postgres`,
    },
    isPaused: whenReached === 'pause',
    users: [...new Set([state.user, ...record.users])],
  };
}

/** Shuts the recovered cluster down, and moves it to where it belongs. */
async function takePlace(
  context: RunContext,
  { app, request, scope }: RecoverInput,
  { record, open }: { readonly record: RecoveryRecord; readonly open: OpenSite; readonly state: RecoveredState },
): Promise<Pick<RecoveredDatabase, 'sandbox' | 'folder' | 'problems'>> {
  throwIfAborted(context.signal);
  const { place, server } = open;
  const data = join(place.here, placeNames.data);
  await server.stop('fast');
  await finishDataFolder({
    dataDirectory: data,
    keepSettingsAt: join(place.here, placeNames.ownSettings),
    owner: place.owner,
  });
  if (!(await readPgControl(data)).isShutDown)
    throw new AppError('RECOVERY_FAILED', 'The recovered server did not shut down cleanly.');
  const { placedAt } = scope.site;
  if (placedAt !== null) await moveTablespaceLinks({ dataDirectory: data, seenAs: placedAt, owner: place.owner });
  if (scope.inPlace !== null) {
    const { inPlace } = scope;
    const problems =
      inPlace.type === 'host'
        ? await swapInOnHost(context, { app, inPlace, recovered: data })
        : await swapInContainer(context, { inPlace, recovered: data, id: record.id });
    return { sandbox: null, folder: null, problems };
  }
  const folder = request.destination.type === 'folder' ? request.destination.path.replace(/\/+$/, '') : dirname(data);
  // An empty folder in its place is replaced.
  await rename(data, folder);
  return { sandbox: null, folder, problems: [] };
}
