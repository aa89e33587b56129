// An installation as the API would describe it: apps in every state, snapshots over months, jobs, alerts. For the pages only.

import { appSnapshotSchema, manifestSchema, policySchema } from '@varve/contract';
import type {
  Alert,
  App,
  AppOverview,
  AppSnapshot,
  DiscoveredApp,
  DoctorCheck,
  Job,
  Maintenance,
  Manifest,
  Protection,
  RestorePlan,
} from '@varve/contract';

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
const dayMs = 24 * hourMs;

export interface Fixtures {
  readonly overviews: AppOverview[];
  readonly snapshots: Map<string, AppSnapshot[]>;
  readonly jobs: Job[];
  readonly maintenance: Maintenance;
  readonly alerts: Alert[];
  readonly discovered: DiscoveredApp[];
  readonly doctor: DoctorCheck[];
}

/** `2026-11-23T00:00:00.000Z` */
function iso(time: number): string {
  return new Date(time).toISOString();
}

function hexId(seed: string): string {
  let state = 2_166_136_261;
  for (const character of seed) state = Math.imul(state ^ character.charCodeAt(0), 16_777_619) >>> 0;
  let id = '';
  while (id.length < 64) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    id += state.toString(16).padStart(8, '0');
  }
  return id.slice(0, 64);
}

const odooComponents: App['components'] = [
  {
    kind: 'database',
    name: 'db',
    engine: 'postgresql',
    method: 'dump',
    source: { type: 'container', service: 'db', user: 'odoo', port: 5432 },
    excludes: [],
    wal: true,
  },
  {
    kind: 'volume',
    name: 'web-data',
    source: { type: 'docker-volume', volume: 'ferreteria_odoo-web-data' },
    excludes: ['sessions'],
  },
  { kind: 'code', name: 'addons', path: '/srv/ferreteria/addons' },
  { kind: 'config', name: 'compose', files: ['/srv/ferreteria/docker-compose.yml', '/srv/ferreteria/.env'] },
];

function makeApp(options: {
  id: string;
  name: string;
  now: number;
  components?: App['components'];
  ageDays?: number;
}): App {
  return {
    id: options.id,
    name: options.name,
    origin: { type: 'docker', project: options.id, grouping: 'compose' },
    components: options.components ?? odooComponents,
    policy: policySchema.parse({ schedule: { timeZone: 'Europe/Madrid' } }),
    repositoryId: 'local',
    createdAt: iso(options.now - (options.ageDays ?? 200) * dayMs),
  };
}

function makeSnapshot(appId: string, time: number, changes: Partial<AppSnapshot> = {}): AppSnapshot {
  const id = hexId(`${appId} ${time}`);
  return appSnapshotSchema.parse({
    id,
    appId,
    time: iso(time),
    kind: 'scheduled',
    name: null,
    description: null,
    partial: false,
    bytes: 4_812_000_000 + (Number.parseInt(id.slice(0, 5), 16) % 9_000_000),
    bytesAdded: 3_000_000 + (Number.parseInt(id.slice(5, 10), 16) % 60_000_000),
    files: 18_204 + (Number.parseInt(id.slice(0, 2), 16) % 40),
    durationMs: 41_300,
    commit: 'a1b2c3d4e5f60718293a4b5c6d7e8f9001122334',
    walLsn: '2F/8A0113C8',
    ...changes,
  });
}

/** Every 4 hours for three days, daily for a week, weekly and monthly before; some of other kinds. */
function odooSnapshots(now: number): AppSnapshot[] {
  const latest = now - 12 * minuteMs;
  const times = new Set<number>();
  for (let index = 0; index < 18; index++) times.add(latest - index * 4 * hourMs);
  for (let day = 3; day < 9; day++) times.add(latest - day * dayMs);
  for (const day of [15, 22, 29, 58, 88, 119]) times.add(latest - day * dayMs);
  const list = [...times].map((time) => makeSnapshot('ferreteria', time));
  list.push(
    makeSnapshot('ferreteria', now - 26 * hourMs, {
      kind: 'manual',
      name: 'Before the stock count',
      description: 'All counts of 2025 entered, nothing posted yet.',
    }),
    makeSnapshot('ferreteria', now - 5 * dayMs + hourMs, { kind: 'pre-deploy', name: 'Release 18.0.4' }),
    makeSnapshot('ferreteria', now - 5 * dayMs + 2 * hourMs, { kind: 'pre-restore' }),
    // Taken by the job `job-restored`, which can be undone with it.
    makeSnapshot('ferreteria', now - 2 * hourMs + 5_000, { kind: 'pre-restore', name: 'Before restoring a1b2c3d4' }),
    makeSnapshot('ferreteria', now - 7 * dayMs - hourMs, { partial: true, commit: null }),
  );
  return list;
}

function protection(changes: Partial<Protection>): Protection {
  return {
    level: 'protected',
    lastSnapshotAt: null,
    lastSnapshotId: null,
    lastSnapshotPartial: false,
    snapshotCount: 0,
    oldestSnapshotAt: null,
    nextRunAt: null,
    failure: null,
    runningJobId: null,
    ...changes,
  };
}

function finishedJob(appId: string, time: number, changes: Partial<Job> = {}): Job {
  return {
    id: `job-${hexId(`${appId} ${time} ${changes.type ?? ''}`).slice(0, 12)}`,
    type: 'snapshot',
    appId,
    requestedBy: 'schedule',
    state: 'succeeded',
    createdAt: iso(time),
    startedAt: iso(time + 200),
    finishedAt: iso(time + 41_500),
    progress: null,
    snapshotId: hexId(`${appId} ${time}`),
    error: null,
    problems: [],
    result: null,
    ...changes,
  };
}

const refused = {
  code: 'DATABASE_AUTH_FAILED',
  message: 'The server at db:5432 refused the password of "odoo" (28P01).',
  hint: 'Check POSTGRES_PASSWORD of the service "db".',
};

/** A run every 4 hours for 40 days, with a day of failures and a day without any run. */
function odooJobs(now: number): Job[] {
  const jobs: Job[] = [];
  for (let index = 0; index < 240; index++) {
    const time = now - 12 * minuteMs - index * 4 * hourMs - minuteMs;
    const age = Math.floor(now / dayMs) - Math.floor(time / dayMs);
    if (age === 12 || age === 13) continue;
    const failed = age === 19 || age === 20 || (age === 4 && index % 6 === 1);
    jobs.push(finishedJob('ferreteria', time, failed ? { state: 'failed', error: refused, snapshotId: null } : {}));
  }
  return jobs;
}

export function makeFixtures(now: number): Fixtures {
  const odoo = makeApp({ id: 'ferreteria', name: 'Ferretería Central', now });
  const web = makeApp({ id: 'website', name: 'Website', now, components: odooComponents.slice(1), ageDays: 60 });
  const cloud = makeApp({
    id: 'nextcloud',
    name: 'Nextcloud',
    now,
    components: odooComponents.slice(0, 2),
    ageDays: 80,
  });
  const crm = makeApp({ id: 'crm', name: 'CRM', now, ageDays: 30 });
  const wiki = makeApp({
    id: 'wiki',
    name: 'Team wiki of the whole company, old and new pages',
    now,
    components: odooComponents.slice(0, 1),
    ageDays: 0,
  });
  const snapshots = new Map<string, AppSnapshot[]>([
    ['ferreteria', odooSnapshots(now)],
    ['website', [makeSnapshot('website', now - 9 * hourMs), makeSnapshot('website', now - 33 * hourMs)]],
    ['nextcloud', [makeSnapshot('nextcloud', now - 50 * hourMs)]],
    ['crm', [makeSnapshot('crm', now - 3 * hourMs)]],
    ['wiki', []],
  ]);
  const running: Job = {
    ...finishedJob('crm', now - 40_000),
    id: 'job-running',
    requestedBy: 'user:Ana',
    state: 'running',
    finishedAt: null,
    snapshotId: null,
    progress: {
      step: 'volume:web-data',
      filesDone: 7_431,
      filesTotal: 18_204,
      bytesDone: 1_902_000_000,
      bytesTotal: 4_812_000_000,
      bytesPerSecond: 58_000_000,
      secondsLeft: 50,
      current: 'filestore/crm/3f/3f8a1c0d9e7b2a4c5d6e7f8091a2b3c4d5e6f708',
    },
  };
  const next = iso(Math.ceil(now / (4 * hourMs)) * 4 * hourMs);
  const facts = (
    appId: string,
  ): Pick<Protection, 'snapshotCount' | 'lastSnapshotAt' | 'lastSnapshotId' | 'oldestSnapshotAt'> => {
    const list = (snapshots.get(appId) ?? []).toSorted((a, b) => Date.parse(b.time) - Date.parse(a.time));
    return {
      snapshotCount: list.length,
      lastSnapshotAt: list[0]?.time ?? null,
      lastSnapshotId: list[0]?.id ?? null,
      oldestSnapshotAt: list.at(-1)?.time ?? null,
    };
  };
  const overviews: AppOverview[] = [
    { app: odoo, protection: protection({ ...facts('ferreteria'), nextRunAt: next }), bytes: 4_812_000_000 },
    {
      app: web,
      protection: protection({ ...facts('website'), level: 'failing', nextRunAt: next, failure: refused }),
      bytes: 812_000_000,
    },
    {
      app: cloud,
      protection: protection({ ...facts('nextcloud'), level: 'late', nextRunAt: next }),
      bytes: 92_000_000_000,
    },
    {
      app: crm,
      protection: protection({ ...facts('crm'), nextRunAt: next, runningJobId: running.id }),
      bytes: 4_812_000_000,
    },
    { app: wiki, protection: protection({ level: 'never', nextRunAt: next }), bytes: null },
  ];
  const jobs: Job[] = [
    running,
    finishedJob('website', now - hourMs, { state: 'failed', error: refused, snapshotId: null }),
    finishedJob('ferreteria', now - 2 * hourMs, { type: 'restore', requestedBy: 'user:Ana', id: 'job-restored' }),
    finishedJob('nextcloud', now - 50 * hourMs, {
      state: 'partial',
      problems: [{ path: '/data/ana/files/locked.docx', message: 'permission denied' }],
      requestedBy: 'cli',
    }),
    ...repositoryJobs(now),
    ...odooJobs(now),
  ].toSorted((a, b) => Date.parse(b.createdAt) - Date.parse(a.createdAt));
  const maintenance: Maintenance = {
    prune: {
      pendingSince: iso(now - 2 * hourMs),
      nextAt: iso(now + 9 * hourMs),
      last: jobs.find(({ id }) => id === 'job-prune') ?? null,
    },
    check: {
      nextAt: iso(now + 4 * dayMs),
      nextScope: { data: 'part', part: 3, parts: 4 },
      last: jobs.find(({ id }) => id === 'job-check') ?? null,
    },
  };
  return {
    overviews,
    snapshots,
    jobs,
    maintenance,
    alerts: makeAlerts(now),
    discovered: makeDiscovered(),
    doctor: makeDoctor(),
  };
}

/** A check that found nothing, one that found damage, a prune. */
function repositoryJobs(now: number): Job[] {
  const check = {
    type: 'check' as const,
    snapshots: 34,
    packs: 2833,
    errors: 0,
    warnings: 0,
    affectedCount: 0,
    affected: [],
  };
  const of = (time: number, changes: Partial<Job>): Job => ({
    ...finishedJob('nextcloud', time, { snapshotId: null, ...changes }),
    appId: null,
  });
  const reason = 'bytes of it are damaged (blob 5c3a1f0b99)';
  const paths = ['2f/2f81c04d8e', '9a/9ab2774f10'].map((name) => `/volumes/web-data/filestore/ferreteria/${name}`);
  const affected = paths.flatMap((path) =>
    ['a', 'b', 'c'].map((id) => ({ snapshotId: hexId(id), path, type: 'file' as const, reason })),
  );
  return [
    of(now - 60 * hourMs, {
      type: 'check',
      id: 'job-check',
      result: { ...check, scope: { data: 'part', part: 2, parts: 4 }, bytesRead: 12_000_000_000 },
    }),
    of(now - 9 * dayMs, {
      type: 'check',
      id: 'job-damage',
      state: 'failed',
      error: {
        code: 'REPOSITORY_DAMAGED',
        message: `The check found 2 errors in the repository. Affected: 6 files and folders, among them ${paths.join(', ')}.`,
        hint: 'The job lists what damage has reached. Copy the repository, then see the repairs of varve repo.',
      },
      result: { ...check, scope: { data: 'all' }, bytesRead: 48_200_000_000, errors: 2, affectedCount: 6, affected },
    }),
    of(now - 15 * hourMs, {
      type: 'prune',
      id: 'job-prune',
      result: {
        type: 'prune',
        packsRemoved: 240,
        bytesRemoved: 4_100_000_000,
        packsWritten: 20,
        bytesWritten: 320_000_000,
      },
    }),
  ];
}

function makeAlerts(now: number): Alert[] {
  const alert = { closedAt: null, notifiedAt: iso(now - hourMs), notifyProblem: null };
  return [
    {
      ...alert,
      id: 'a1',
      appId: 'website',
      code: 'job-failed',
      message: refused.message,
      openedAt: iso(now - hourMs),
    },
    {
      ...alert,
      id: 'a2',
      appId: 'nextcloud',
      code: 'backup-late',
      message: 'The newest good snapshot of Nextcloud is 50 hours old; the limit is 24 hours.',
      openedAt: iso(now - 26 * hourMs),
      notifiedAt: null,
      notifyProblem: 'smtp.example.com:587 did not answer within 10 s.',
    },
    {
      ...alert,
      id: 'a3',
      appId: 'ferreteria',
      code: 'snapshot-partial',
      message: 'One file could not be read.',
      openedAt: iso(now - 7 * dayMs),
      closedAt: iso(now - 7 * dayMs + 4 * hourMs),
    },
  ];
}

function makeDiscovered(): DiscoveredApp[] {
  const container = (service: string, image: string) => ({
    name: `shop-${service}-1`,
    service,
    image,
    state: 'running',
  });
  return [
    {
      suggestedId: 'shop',
      name: 'shop',
      origin: { type: 'docker', project: 'shop', grouping: 'compose' },
      components: odooComponents,
      containers: [container('web', 'odoo:18.0'), container('db', 'postgres:16')],
      isOdoo: true,
      notSaved: [
        { what: '/tmp (tmpfs of shop-web-1)', reason: 'A tmpfs lives in memory only.' },
        { what: '/var/run/docker.sock', reason: 'A socket has no content.' },
      ],
      addedAs: null,
    },
    {
      suggestedId: 'metrics',
      name: 'metrics',
      origin: { type: 'docker', project: 'metrics', grouping: 'compose' },
      components: odooComponents.slice(1, 2),
      containers: [container('grafana', 'grafana/grafana:11')],
      isOdoo: false,
      notSaved: [],
      addedAs: 'ferreteria',
    },
  ];
}

function makeDoctor(): DoctorCheck[] {
  return [
    { name: 'docker', state: 'ok', message: 'Docker 27.3 answers at unix:///var/run/docker.sock.', hint: null },
    { name: 'repository', state: 'ok', message: '/var/lib/varve/repository can be read and written.', hint: null },
    {
      name: 'data-directory',
      state: 'warning',
      message: '8.1 GiB of 200 GiB are free where the repository lies.',
      hint: 'Free some space or thin out old snapshots.',
    },
    {
      name: 'clock',
      state: 'failed',
      message: 'The clock is 4 minutes behind the storage.',
      hint: 'Turn on time synchronisation (timedatectl set-ntp true).',
    },
  ];
}

export function makeManifest(app: App, snapshot: AppSnapshot): Manifest {
  const digest = 'sha256:9f3c1d2e4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0';
  return manifestSchema.parse({
    format: 'varve-app-snapshot',
    formatVersion: 1,
    varveVersion: '0.1.0',
    app,
    kind: snapshot.kind,
    name: snapshot.name,
    description: snapshot.description,
    consistency: 'live',
    startedAt: snapshot.time,
    finishedAt: iso(Date.parse(snapshot.time) + snapshot.durationMs),
    components: [
      {
        kind: 'database',
        name: 'db',
        method: 'dump',
        path: '/databases/db',
        serverVersion: '16.4',
        systemId: '7301234567890123456',
        walLsn: snapshot.walLsn,
        walEndLsn: null,
        timeline: 1,
        databases: [
          {
            name: 'ferreteria',
            path: 'dump/ferreteria.dump',
            bytes: 1_204_000_000,
            owner: 'odoo',
            encoding: 'UTF8',
            collate: 'C',
            ctype: 'C',
          },
          {
            name: 'ferreteria_test',
            path: 'dump/ferreteria_test.dump',
            bytes: 310_000_000,
            owner: 'odoo',
            encoding: 'UTF8',
            collate: 'C',
            ctype: 'C',
          },
        ],
        globalsPath: '/databases/db/dump/globals.sql',
        bytes: 1_514_000_000,
      },
      {
        kind: 'volume',
        name: 'web-data',
        path: '/volumes/web-data',
        source: '/var/lib/docker/volumes/ferreteria_odoo-web-data/_data',
        readThrough: 'host',
        dockerVolume: { name: 'ferreteria_odoo-web-data', driver: 'local', labels: {}, options: {} },
        files: 18_190,
        bytes: 3_298_000_000,
      },
      {
        kind: 'code',
        name: 'addons',
        path: '/code/addons',
        source: '/srv/ferreteria/addons',
        commit: 'a1b2c3d4e5f60718293a4b5c6d7e8f9001122334',
        branch: '18.0',
        dirty: true,
        remotes: { origin: 'git@example.com:ferreteria/addons.git' },
        bytes: 4_200_000,
      },
      {
        kind: 'config',
        name: 'compose',
        path: '/config/compose',
        files: [{ source: '/srv/ferreteria/docker-compose.yml', path: '/config/compose/docker-compose.yml' }],
        containers: [
          {
            name: 'ferreteria-web-1',
            service: 'web',
            image: 'odoo:18.0',
            imageId: digest,
            imageDigest: digest,
            wasRunning: true,
          },
          {
            name: 'ferreteria-db-1',
            service: 'db',
            image: 'postgres:16',
            imageId: digest,
            imageDigest: null,
            wasRunning: true,
          },
        ],
      },
    ],
    problems: snapshot.partial
      ? [{ path: '/volumes/web-data/filestore/ferreteria/3f/3f8a1c0d', message: 'permission denied' }]
      : [],
  });
}

export function makePlan(
  app: App,
  snapshot: AppSnapshot,
  request: { safetySnapshot: boolean; components: string[] | undefined },
): RestorePlan {
  const containers = ['ferreteria-web-1', 'ferreteria-db-1'];
  const wants = (name: string): boolean => request.components === undefined || request.components.includes(name);
  const steps: RestorePlan['steps'] = [
    ...(request.safetySnapshot ? [{ type: 'safety-snapshot' as const }] : []),
    { type: 'stop-containers', containers },
    ...(wants('web-data')
      ? [
          {
            type: 'restore-volume' as const,
            component: 'web-data',
            target: '/var/lib/docker/volumes/ferreteria_odoo-web-data/_data',
            files: 18_190,
            bytes: 3_298_000_000,
            recreate: false,
          },
        ]
      : []),
    ...(wants('addons')
      ? [
          {
            type: 'restore-code' as const,
            component: 'addons',
            target: '/srv/ferreteria/addons',
            fromCommit: 'ffeeddccbbaa99887766554433221100ffeeddcc',
            toCommit: 'a1b2c3d4e5f60718293a4b5c6d7e8f9001122334',
            withLocalChanges: true,
          },
        ]
      : []),
    { type: 'start-database', component: 'db', containers: ['ferreteria-db-1'] },
    ...(wants('db')
      ? [
          {
            type: 'restore-database' as const,
            component: 'db',
            method: 'dump' as const,
            databases: ['ferreteria', 'ferreteria_test'],
            bytes: 1_514_000_000,
          },
        ]
      : []),
    { type: 'start-containers', containers },
    { type: 'wait-healthy', containers },
  ];
  const warnings: RestorePlan['warnings'] = [
    {
      code: 'newer-data-lost',
      subject: app.id,
      message: 'What changed in db, web-data, addons after this snapshot is replaced.',
    },
  ];
  if (!request.safetySnapshot) {
    warnings.push({
      code: 'no-safety-snapshot',
      subject: app.id,
      message: 'Without a safety snapshot the present state cannot be brought back.',
    });
  }
  if (snapshot.partial) {
    warnings.push({
      code: 'snapshot-partial',
      subject: snapshot.id,
      message: 'One file could not be read when the snapshot was made.',
    });
  }
  return {
    appId: app.id,
    snapshotId: snapshot.id,
    snapshotTime: snapshot.time,
    steps,
    bytes: 4_812_000_000,
    files: 18_204,
    warnings,
    fingerprint: hexId(`${snapshot.id} ${request.safetySnapshot} ${request.components?.join() ?? ''}`),
  };
}
