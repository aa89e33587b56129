// Timelines, captures and recovery plans as the API would give them: a database with a gap, a recovery in place and named points;
// one whose capture has just begun and stands still.

import {
  databaseTimelineSchema,
  recoveryPlanSchema,
  sandboxSchema,
  timelineSchema,
  walCaptureSchema,
} from '@varve/contract';
import type {
  AppSnapshot,
  RecoveryPlan,
  RecoveryRequest,
  Sandbox,
  Timeline,
  WalCapture,
  WalSettings,
} from '@varve/contract';

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
const dayMs = 24 * hourMs;
const place = { systemId: '7301234567890123456', timeline: 2, branch: 'current' } as const;

export function makeTimeline(
  appId: string,
  { now, snapshots, from }: { readonly now: number; readonly snapshots: readonly AppSnapshot[]; readonly from: number },
): Timeline {
  const databases = { ferreteria: ferreteria(now), wiki: wiki(now) };
  return timelineSchema.parse({
    appId,
    readAt: new Date(now).toISOString(),
    databases: Object.entries(databases).flatMap(([id, database]) => (id === appId ? [database] : [])),
    snapshots: snapshots
      .filter(({ time }) => Date.parse(time) >= from)
      .toSorted((a, b) => Date.parse(a.time) - Date.parse(b.time))
      .map(({ id, time, kind, name, partial }) => ({
        id,
        time,
        kind,
        name,
        partial,
        bases: kind === 'scheduled' && appId === 'ferreteria' ? ['db'] : [],
      })),
  });
}

function ferreteria(now: number) {
  const ago = (ms: number): string => new Date(now - ms).toISOString();
  const range = {
    ...place,
    baseSnapshotId: 'b'.repeat(64),
    firstCommitAt: null,
    lastCommitAt: null,
    commits: 48_211,
    clockSteps: [],
  };
  return databaseTimelineSchema.parse({
    component: 'db',
    captured: true,
    systemId: place.systemId,
    timeline: 2,
    ranges: [
      { ...range, fromLsn: '2F/10000028', toLsn: '2F/5A000000', fromAt: ago(7 * dayMs), toAt: ago(17.4 * hourMs) },
      {
        ...range,
        fromLsn: '2F/6B000028',
        toLsn: '2F/8A0113C8',
        fromAt: ago(15.2 * hourMs),
        toAt: ago(4_000),
        commits: 9_120,
      },
      {
        ...range,
        branch: 'abandoned',
        timeline: 1,
        fromLsn: '2F/7A000028',
        toLsn: '2F/7C000000',
        fromAt: ago(6.5 * hourMs),
        toAt: ago(5 * hourMs),
        commits: 402,
      },
    ],
    gaps: [
      {
        ...place,
        timeline: 1,
        reason: 'slot-lost',
        message: 'The server had given up the slot.',
        fromLsn: '2F/5A000000',
        toLsn: '2F/66000000',
        fromAt: ago(17.4 * hourMs),
        toAt: ago(16.1 * hourMs),
        detectedAt: ago(16 * hourMs),
        healedAt: ago(15.2 * hourMs),
      },
    ],
    unreachable: [
      {
        ...place,
        timeline: 1,
        reason: 'behind-gap',
        hasEnded: true,
        fromLsn: '2F/66000000',
        toLsn: '2F/6B000028',
        fromAt: ago(16.1 * hourMs),
        toAt: ago(15.2 * hourMs),
      },
    ],
    points: [
      { ...place, name: 'before the price list', lsn: '2F/89000000', at: ago(2.2 * hourMs), reachable: true },
      { ...place, name: 'month closed', lsn: '2F/70000000', at: ago(11 * hourMs), reachable: true },
    ],
    restarts: [
      { ...place, lsn: '2F/7A000028', at: ago(4.9 * hourMs) },
      { ...place, lsn: '2F/50000028', at: ago(20 * hourMs) },
    ],
    branches: [
      { ...place, timeline: 1, parent: null, serverVersion: '16.4' },
      { ...place, parent: { timeline: 1, lsn: '2F/7A000028' }, serverVersion: '16.4' },
    ],
    damaged: [],
    nearest: null,
  });
}

function wiki(now: number) {
  return databaseTimelineSchema.parse({
    component: 'db',
    captured: true,
    systemId: '7301234567890123457',
    timeline: 1,
    ranges: [],
    gaps: [],
    unreachable: [
      {
        systemId: '7301234567890123457',
        timeline: 1,
        branch: 'current',
        reason: 'capture-began',
        hasEnded: false,
        fromLsn: '0/3000000',
        toLsn: '0/9000000',
        fromAt: new Date(now - 3 * hourMs).toISOString(),
        toAt: new Date(now - 40 * minuteMs).toISOString(),
      },
    ],
    points: [],
    restarts: [],
    branches: [],
    damaged: [],
    nearest: null,
  });
}

/** What a server needs for its archive_command; ready where Varve was told where to read. */
export function makeWalSettings(directory: string, isReady: boolean): WalSettings {
  const hint = 'Put it into postgresql.conf, then restart the server.';
  return {
    component: 'db',
    directory,
    lines: ['archive_mode = on', `archive_command = '… ${directory} …'`, 'archive_timeout = 60'],
    needsRestart: !isReady,
    obstacles: isReady ? [] : [{ severity: 'blocks', message: 'archive_mode is off', hint }],
  };
}

export function makeCaptures(appId: string, now: number): WalCapture[] {
  const ago = (ms: number): string => new Date(now - ms).toISOString();
  const capture = walCaptureSchema.parse({
    appId,
    component: 'db',
    slot: 'varve_3f8a_db',
    state: 'streaming',
    since: ago(5 * hourMs),
    problem: null,
    commitProblem: null,
    systemId: place.systemId,
    timeline: 2,
    serverLsn: '2F/8A0113C8',
    capturedLsn: '2F/8A0113C8',
    committedLsn: '2F/8A0113C8',
    completeAt: ago(4_000),
    lastCommitAt: ago(4_000),
    spoolBytes: 12_000_000,
    spoolLimitBytes: 2_000_000_000,
    way: 'stream',
    archive: null,
    slotFacts: {
      checkedAt: ago(8_000),
      retainedBytes: 16_800_000,
      status: 'reserved',
      safeBytes: 8_500_000_000,
      keepLimitBytes: 8_600_000_000,
    },
    gap: null,
    hasBaseBackup: true,
    updatedAt: ago(1_000),
  });
  if (appId === 'ferreteria') return [capture];
  if (appId !== 'wiki') return [];
  const problem = { code: 'DATABASE_AUTH_FAILED', message: 'The server refused the password of "odoo".', hint: null };
  return [{ ...capture, state: 'stopped', problem, slotFacts: null, completeAt: ago(40 * minuteMs) }];
}

/** One that can be read only, one that runs, one whose server stopped; all of one app. */
export function makeSandboxes(now: number): Sandbox[] {
  const ago = (ms: number): string => new Date(now - ms).toISOString();
  const stoppedAt = { timeline: 2, lsn: '2F/84000190', lastCommitAt: ago(2.3 * hourMs) };
  const docker = (id: string, state: Sandbox['state']): unknown => ({
    id,
    appId: 'ferreteria',
    component: 'db',
    createdAt: ago(2 * hourMs),
    state,
    serverVersion: '16.4',
    stoppedAt,
    folder: null,
    container: `varve-recovery-${id}`,
    volume: `varve-recovery-${id}`,
    connection: {
      host: null,
      port: null,
      socketFolder: '/var/lib/varve-recovery/socket',
      user: 'odoo',
      command: `docker exec -it varve-recovery-${id} psql -h /var/lib/varve-recovery/socket -U odoo -d postgres`,
    },
  });
  return [
    sandboxSchema.parse(docker('3f8a1c0d', 'paused')),
    sandboxSchema.parse(docker('77e0b2a4', 'running')),
    sandboxSchema.parse(docker('a01c9d55', 'stopped')),
  ];
}

export function makeRecoveryPlan(appId: string, request: RecoveryRequest, now: number): RecoveryPlan {
  const ago = (ms: number): string => new Date(now - ms).toISOString();
  const inPlace = request.destination.type === 'in-place';
  const containers = ['ferreteria-web-1', 'ferreteria-db-1'];
  return recoveryPlanSchema.parse({
    appId,
    component: 'db',
    target: request.target,
    destination: request.destination,
    whenReached: request.whenReached,
    systemId: place.systemId,
    serverVersion: '16.4',
    base: {
      snapshotId: 'b'.repeat(64),
      time: ago(4.2 * hourMs),
      timeline: 2,
      startLsn: '2F/84000028',
      endLsn: '2F/84000190',
      bytes: 1_514_000_000,
    },
    wal: { fromLsn: '2F/84000028', toLsn: '2F/89FFF130', segments: 6, bytes: 100_663_296, timelines: [2] },
    stop: { timeline: 2, lsn: '2F/89FFF130', lastCommitAt: ago(7_400), nextCommitAt: ago(4_000) },
    estimate: { seconds: 95, bytes: 1_800_000_000 },
    steps: [
      ...(inPlace && request.safetySnapshot ? [{ type: 'safety-snapshot' }] : []),
      { type: 'restore-base', snapshotId: 'b'.repeat(64), target: 'ferreteria-db-recovered', bytes: 1_514_000_000 },
      { type: 'replay-wal', fromLsn: '2F/84000028', toLsn: '2F/89FFF130', segments: 6, bytes: 100_663_296 },
      { type: request.whenReached },
      ...(inPlace
        ? [
            { type: 'stop-containers', containers },
            { type: 'swap-data', dataDirectory: '/var/lib/postgresql/data' },
            { type: 'start-containers', containers },
            { type: 'wait-healthy', containers },
          ]
        : []),
    ],
    warnings: inPlace
      ? [
          { code: 'newer-data-lost', subject: 'db', message: 'Commits of the last 7 seconds are not in it.' },
          { code: 'database-only', subject: 'ferreteria', message: 'Only the database goes back.' },
        ]
      : [{ code: 'scheduled-jobs', subject: 'db', message: 'Extensions such as pg_cron run there as well.' }],
    fingerprint: `recovery-${request.destination.type}-${request.whenReached}`,
  });
}
