// Plans a recovery: finds what leads to the target, looks at where it goes, says what would be done, and refuses what cannot be.
// Changes nothing.

import { createHash } from 'node:crypto';
import { statfs } from 'node:fs/promises';
import { AppError, formatBytes } from '@varve/base';
import type { App, DatabaseComponent, RecoveryPlan, RecoveryRequest } from '@varve/contract';
import { formatLsn, formatUnixMicros, parseLsn, type Lsn } from '@varve/postgres';
import type { Repository } from '@varve/repository';
import { projectOf } from '../components/docker-project.ts';
import {
  savedTablespaces,
  tablespacesWarning,
  type SavedTablespace,
} from '../components/database/saved-tablespaces.ts';
import { readManifest } from '../snapshot/describe-snapshot.ts';
import type { RunContext } from '../use-case.ts';
import { chooseRecovery, type RecoveryChoice } from './choose-recovery.ts';
import { dockerSite, hasOtherImage } from './docker-site.ts';
import { dockerSteps, type DockerInPlace } from './in-place-docker.ts';
import { checkHostPlace, hostSteps, type HostInPlace } from './in-place-host.ts';
import { readRecoveryLog, type RecoveryLog } from './recovery-log.ts';
import { hostSite, type RecoverySite } from './recovery-site.ts';

/** Measured on two slow cores: a base backup is written at disk speed, log is replayed by one process. */
const baseBytesPerSecond = 100 * 1024 ** 2;
const logBytesPerSecond = 50 * 1024 ** 2;
const startSeconds = 5;
/** Segments that lie ready, and those that the server keeps. */
const logSpaceBytes = 512 * 1024 ** 2;

export interface PlanRecoveryInput {
  readonly app: App;
  readonly request: RecoveryRequest;
}

/** What the plan was made from. */
export interface RecoveryScope {
  readonly app: App;
  readonly component: DatabaseComponent;
  readonly repository: Repository;
  readonly log: RecoveryLog;
  readonly choice: RecoveryChoice;
  /** Of the base backup. */
  readonly tablespaces: readonly SavedTablespace[];
  readonly site: RecoverySite;
  readonly inPlace: HostInPlace | DockerInPlace | null;
  /** The container runs another image than when the backup was made. */
  readonly hasOtherImage: boolean;
}

/** RECOVERY_UNREACHABLE, RECOVERY_POINT_AMBIGUOUS, RESTORE_TARGET_INVALID. */
export async function planRecovery(context: RunContext, input: PlanRecoveryInput): Promise<RecoveryPlan> {
  return (await planWithScope(context, input)).plan;
}

/** The plan and what it was made from. */
export async function planWithScope(
  context: RunContext,
  { app, request }: PlanRecoveryInput,
): Promise<{ readonly plan: RecoveryPlan; readonly scope: RecoveryScope }> {
  const component = databaseOf(app, request.component);
  refuseOddWishes(request);
  const repository = await context.openRepository(app.repositoryId);
  const { signal } = context;
  const log = await readRecoveryLog({ repository, appId: app.id, component: component.name, signal });
  const choice = await chooseRecovery({
    repository,
    log,
    target: request.target,
    timeline: request.timeline,
    snapshotLsn: await snapshotLsn(repository, component.name, request, signal),
    signal,
  });
  refuseNewTablespaces(choice);
  const { base } = choice;
  const tablespaces = await savedTablespaces(repository, {
    treeId: base.snapshot.tree,
    name: base.saved.name,
    signal,
  });
  const found = { app, component, repository, log, choice, tablespaces };
  const scope = { ...found, ...(await siteOf(context, { ...found, request })) };
  return { plan: await planOf(scope, request), scope };
}

type Sited = Pick<RecoveryScope, 'site' | 'inPlace' | 'hasOtherImage'>;
type Unsited = Omit<RecoveryScope, keyof Sited> & { readonly request: RecoveryRequest };

/** Where it is recovered, and what place it takes. */
async function siteOf(context: RunContext, input: Unsited): Promise<Sited> {
  const { app, component, repository, choice, request } = input;
  const { destination } = request;
  const { signal } = context;
  const isInPlace = destination.type === 'in-place';
  if (component.source.type === 'url') {
    const { serverVersion } = choice.base.saved;
    const site = await hostSite({ component, serverVersion, destination });
    return { site, inPlace: isInPlace ? await checkHostPlace(input) : null, hasOtherImage: false };
  }
  const project = await projectOf(context, app);
  if (project === null) throw new AppError('INTERNAL', `${app.id} has a database in a container and no containers.`);
  const site = await dockerSite({ component, project, repository, choice, destination, signal });
  const { data } = site;
  return {
    site,
    inPlace: isInPlace && data !== null ? { type: 'docker', app, component, project, data } : null,
    hasOtherImage: data !== null && hasOtherImage(data.container, choice),
  };
}

/** The one that was named, or the only one. */
export function databaseOf(app: App, name: string | undefined): DatabaseComponent {
  const databases = app.components.filter((component): component is DatabaseComponent => component.kind === 'database');
  const found = name === undefined ? databases : databases.filter((database) => database.name === name);
  const captured = found.filter((database) => database.wal === true || database.method !== 'dump');
  const [only, ...others] = captured.length > 0 ? captured : found;
  if (only !== undefined && others.length === 0) return only;
  const names = databases.map((database) => database.name).join(', ');
  if (only === undefined) {
    throw new AppError(
      'RESTORE_TARGET_INVALID',
      `${app.id} has no database${name === undefined ? '' : ` "${name}"`}.`,
      {
        hint: names === '' ? 'Recovery to a point in time is for PostgreSQL databases.' : `It has: ${names}.`,
      },
    );
  }
  throw new AppError('RESTORE_TARGET_INVALID', `${app.id} has several databases: ${names}.`, {
    hint: 'Name one of them.',
  });
}

function refuseOddWishes({ destination, whenReached }: RecoveryRequest): void {
  if (whenReached === 'pause' && destination.type !== 'sandbox') {
    throw new AppError('USAGE_INVALID', 'Only a sandbox can pause where it stops.', {
      hint: 'Recover into a sandbox, look at it, then recover in place to the same point.',
    });
  }
}

async function snapshotLsn(
  repository: Repository,
  component: string,
  { target }: RecoveryRequest,
  signal: AbortSignal,
): Promise<Lsn | undefined> {
  if (target.type !== 'snapshot') return undefined;
  const snapshot = await repository.findSnapshot(target.snapshotId);
  await repository.loadIndex({ signal });
  const { components } = await readManifest(repository, snapshot, { signal });
  const saved = components.find((one) => one.kind === 'database' && one.name === component);
  return saved?.kind === 'database' && saved.method === 'dump' && saved.walLsn !== null
    ? parseLsn(saved.walLsn)
    : undefined;
}

/** The log has the absolute path of a tablespace that is made: replaying it would write where the original does. */
function refuseNewTablespaces({ cluster, base, stop }: RecoveryChoice): void {
  for (const block of cluster.blocks) {
    for (const { lsn, path } of block.tablespacesCreated) {
      if (path === '' || parseLsn(lsn) < base.startLsn || parseLsn(lsn) > stop.lsn) continue;
      throw new AppError(
        'RECOVERY_UNREACHABLE',
        `A tablespace was made at ${path} between the base backup and the target, and replaying that would write there.`,
        { hint: 'Recover to a point before, or take a base backup after tablespaces were made.' },
      );
    }
  }
}

async function planOf(scope: RecoveryScope, request: RecoveryRequest): Promise<RecoveryPlan> {
  const { app, component, choice, site, inPlace } = scope;
  const { base, stop, way, segmentBytes } = choice;
  const needed = way.segments.slice(0, stop.segmentsNeeded);
  const fromLsn = formatLsn(base.startLsn);
  const toLsn = formatLsn(stop.lsn);
  const walBytes = needed.reduce((sum, { bytes }) => sum + bytes, 0);
  const time = (micros: number | undefined): string | null => (micros === undefined ? null : formatUnixMicros(micros));
  const timelines = [
    ...new Set([base.timeline, ...way.steps.filter((s) => s.startLsn < stop.lsn).map((s) => s.timeline)]),
  ];
  const bytes =
    base.saved.bytes + Math.min(walBytes, logSpaceBytes) + Math.min(needed.length * segmentBytes, logSpaceBytes);
  const plan: Omit<RecoveryPlan, 'fingerprint'> = {
    appId: app.id,
    component: component.name,
    target: request.target,
    destination: request.destination,
    whenReached: request.whenReached,
    systemId: base.systemId,
    serverVersion: base.saved.serverVersion,
    base: {
      snapshotId: base.snapshot.id,
      time: base.snapshot.time,
      timeline: base.timeline,
      startLsn: fromLsn,
      endLsn: formatLsn(base.endLsn),
      bytes: base.saved.bytes,
    },
    wal: { fromLsn, toLsn, segments: needed.length, bytes: walBytes, timelines },
    stop: {
      timeline: stop.timeline,
      lsn: toLsn,
      lastCommitAt: time(stop.lastCommit?.unixMicros),
      nextCommitAt: time(stop.nextCommit?.unixMicros),
    },
    estimate: {
      seconds: Math.ceil(startSeconds + base.saved.bytes / baseBytesPerSecond + walBytes / logBytesPerSecond),
      bytes,
    },
    steps: [
      ...(inPlace !== null && request.safetySnapshot ? [{ type: 'safety-snapshot' as const }] : []),
      { type: 'restore-base', snapshotId: base.snapshot.id, target: site.target, bytes: base.saved.bytes },
      { type: 'replay-wal', fromLsn, toLsn, segments: needed.length, bytes: walBytes },
      { type: request.whenReached },
      ...(request.destination.type === 'sandbox' ? [] : [{ type: 'shut-down' as const }]),
      ...(inPlace === null ? [] : inPlace.type === 'host' ? hostSteps(app, inPlace) : dockerSteps(inPlace)),
    ],
    warnings: await warningsOf(scope, request, bytes),
  };
  return { ...plan, fingerprint: fingerprintOf(plan) };
}

/** The end of what there is moves all the time, as does free space: a plan for it stays the same when more has come. */
function fingerprintOf(plan: Omit<RecoveryPlan, 'fingerprint'>): string {
  const isMoving = plan.target.type === 'latest';
  const { stop, steps, warnings } = plan;
  const facts = {
    ...plan,
    wal: null,
    estimate: null,
    stop: isMoving ? null : stop,
    steps: steps.map((step) => (step.type === 'replay-wal' ? step.type : step)),
    warnings: warnings.filter(({ code }) => code !== 'low-space').map(({ code, subject }) => [code, subject]),
  };
  return createHash('sha256').update(JSON.stringify(facts)).digest('hex');
}

type Warning = RecoveryPlan['warnings'][number];

async function warningsOf(scope: RecoveryScope, request: RecoveryRequest, bytes: number): Promise<Warning[]> {
  const { app, component, choice, site } = scope;
  const warnings: Warning[] = [];
  if (request.destination.type === 'in-place') {
    const until =
      choice.stop.lastCommit === undefined
        ? `position ${formatLsn(choice.stop.lsn)}`
        : formatUnixMicros(choice.stop.lastCommit.unixMicros);
    warnings.push({
      code: 'newer-data-lost',
      subject: component.name,
      message: `Everything that was committed in "${component.name}" after ${until} is replaced. A sandbox beside it keeps both.`,
    });
    if (app.components.some(({ kind }) => kind === 'volume' || kind === 'code')) {
      warnings.push({
        code: 'database-only',
        subject: app.id,
        message: 'Only the database goes back: volumes and code stay as they are, and may not fit it.',
      });
    }
    if (!request.safetySnapshot) {
      warnings.push({
        code: 'no-safety-snapshot',
        subject: app.id,
        message:
          'Without a safety snapshot the present state can only be brought back as far as its log is in the repository.',
      });
    }
  }
  const { destination } = request;
  const moved = tablespacesWarning(scope.tablespaces, { isInPlace: destination.type === 'in-place' });
  if (moved !== undefined && destination.type !== 'sandbox')
    warnings.push({ code: 'tablespaces', subject: component.name, message: moved });
  const { serverVersion } = choice.base.saved;
  if (site.programsVersion !== null && site.programsVersion !== serverVersion.split(' ')[0]) {
    warnings.push({
      code: 'other-version',
      subject: component.name,
      message: `The database was saved from PostgreSQL ${serverVersion} and is recovered with ${site.programsVersion}.`,
    });
  }
  if (scope.hasOtherImage) {
    warnings.push({
      code: 'other-image',
      subject: component.name,
      message:
        'The container has another image than when the base backup was made. Where its C library sorts texts in another way, indexes on texts have to be built anew (REINDEX).',
    });
  }
  if (site.spaceFolder !== null) {
    const { bavail, bsize } = await statfs(site.spaceFolder);
    if (bavail * bsize < bytes) {
      warnings.push({
        code: 'low-space',
        subject: component.name,
        message: `${formatBytes(bavail * bsize)} are free in ${site.spaceFolder}, and the recovery needs about ${formatBytes(bytes)}.`,
      });
    }
  }
  return warnings;
}
