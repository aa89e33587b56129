// A server that answers the API from fixtures and plays jobs over the event stream, so that every state of a page can be looked
// at. A played job goes on when the test says so, never by the clock: how fast the page or the machine is does not matter. It
// serves the built pages under a stricter content security policy than the real server's.

import { EventEmitter, once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { extname, join, normalize } from 'node:path';
import type {
  Job,
  JobDetails,
  MadeRestorePoint,
  Policy,
  PrunePreview,
  RestorePlan,
  Sandbox,
  SnapshotEntry,
  SnapshotFolder,
  StorageCheck,
  VarveEvent,
} from '@varve/contract';
import { recoveryRequestSchema, storageCheckSchema } from '@varve/contract';
import { makeFixtures, makeManifest, makePlan } from './fixtures.ts';
import type { Fixtures } from './fixtures.ts';
import { makeCaptures, makeWalSettings, makeRecoveryPlan, makeSandboxes, makeTimeline } from './timeline-fixtures.ts';

/** setup: no owner yet. signed-out: an owner, nobody signed in. empty: no app. full: apps in every state. */
export type Scenario = 'setup' | 'signed-out' | 'empty' | 'full';

export interface FixtureServer extends AsyncDisposable {
  readonly url: string;
  /** Every request to the API as `METHOD /path`, with its body. */
  readonly requests: { readonly line: string; readonly body: unknown }[];
  scenario: Scenario;
  /** Resolves when a page listens to the events. */
  listener(): Promise<void>;
  /** Ends all event streams and refuses new ones until `acceptEvents`, as a restart of the server would. */
  dropEvents(): void;
  acceptEvents(): void;
  /** Lets the job that was started last go on up to and into a step, once a page listens; without a step, to its end. */
  play(step?: string): Promise<void>;
}

interface State {
  readonly now: number;
  readonly fixtures: Fixtures;
  readonly details: Map<string, JobDetails>;
  readonly streams: Set<ServerResponse>;
  /** Of the job that was started last: what it still has to do. */
  played: { readonly id: string; readonly steps: readonly string[]; next: number } | undefined;
  readonly requests: { readonly line: string; readonly body: unknown }[];
  readonly changes: EventEmitter;
  refusesEvents: boolean;
  scenario: Scenario;
  kitConfirmed: boolean;
  sandboxes: readonly Sandbox[];
}

interface Answer {
  readonly status?: number;
  readonly body?: unknown;
  /** Server-sent events in place of a body. */
  readonly events?: readonly unknown[];
}

const policy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'self'",
].join('; ');

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
};

export async function startFixtureServer(options: { webRoot: string; scenario: Scenario }): Promise<FixtureServer> {
  const now = Date.now();
  const state: State = {
    now,
    fixtures: makeFixtures(now),
    details: new Map(),
    streams: new Set(),
    played: undefined,
    requests: [],
    changes: new EventEmitter(),
    refusesEvents: false,
    scenario: options.scenario,
    kitConfirmed: false,
    sandboxes: makeSandboxes(now),
  };
  const server = createServer((request, response) => {
    handle(state, options.webRoot, request, response).catch((error: unknown) => {
      response.writeHead(500, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ error: { code: 'INTERNAL', message: String(error), hint: null } }));
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return {
    url: `http://127.0.0.1:${address.port}`,
    requests: state.requests,
    get scenario() {
      return state.scenario;
    },
    set scenario(scenario) {
      state.scenario = scenario;
    },
    listener: () => listener(state),
    dropEvents: () => {
      state.refusesEvents = true;
      for (const stream of state.streams) stream.destroy();
    },
    acceptEvents: () => {
      state.refusesEvents = false;
    },
    play: (step) => play(state, step),
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

async function handle(
  state: State,
  webRoot: string,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const url = new URL(request.url ?? '/', 'http://fixture');
  if (!url.pathname.startsWith('/api/')) return serveFile(webRoot, url.pathname, response);
  const path = url.pathname.slice('/api'.length);
  if (path === '/events') return openStream(state, response);
  const body = await readBody(request);
  const line = `${request.method} ${path}`;
  state.requests.push({ line, body });
  const answer = answerTo(state, line, url.searchParams, body);
  if (answer.events) {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.end(answer.events.map((event) => `event: check\ndata: ${JSON.stringify(event)}\n\n`).join(''));
    return;
  }
  response.writeHead(answer.status ?? 200, { 'content-type': 'application/json' });
  response.end(JSON.stringify(answer.body));
}

async function serveFile(webRoot: string, path: string, response: ServerResponse): Promise<void> {
  const name = extname(path) === '' ? '/index.html' : path;
  const file = await readFile(join(webRoot, normalize(name))).catch(() => undefined);
  response.writeHead(file === undefined ? 404 : 200, {
    'content-type': types[extname(name)] ?? 'application/octet-stream',
    'content-security-policy': policy,
  });
  response.end(file);
}

async function readBody(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const text = Buffer.concat(chunks).toString();
  return text === '' ? null : (JSON.parse(text) as unknown);
}

function openStream(state: State, response: ServerResponse): void {
  if (state.refusesEvents) {
    response.destroy();
    return;
  }
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
  response.write(': hello\n\n');
  state.streams.add(response);
  response.on('close', () => state.streams.delete(response));
  state.changes.emit('listener');
}

async function listener(state: State): Promise<void> {
  while (state.streams.size === 0) await once(state.changes, 'listener');
}

function emit(state: State, event: VarveEvent): void {
  for (const stream of state.streams) stream.write(`event: message\ndata: ${JSON.stringify(event)}\n\n`);
}

const notFound = (code: string): Answer => ({
  status: 404,
  body: { error: { code, message: 'There is none of that id.', hint: null } },
});

/** A server that lets nothing be removed. */
const storageChecks = storageCheckSchema.shape.name.options.map((name): StorageCheck => {
  const hint = name === 'remove' ? 'The server does not let files be deleted: it may run append-only.' : null;
  const outcome = name === 'remove' ? 'failed' : name === 'clock' ? 'skipped' : 'passed';
  return {
    name,
    outcome,
    detail: 'What was seen.',
    hint,
    code: hint === null ? null : 'STORAGE_DENIED',
    durationMs: 12,
  };
});

function answerTo(state: State, line: string, query: URLSearchParams, body: unknown): Answer {
  const { fixtures, scenario } = state;
  const overviews = scenario === 'full' ? fixtures.overviews : [];
  switch (line) {
    case 'GET /session': {
      const user =
        scenario === 'full' || scenario === 'empty' ? { id: 'u1', email: 'ana@example.com', name: 'Ana' } : null;
      return { body: { setupNeeded: scenario === 'setup', user, version: '0.1.0' } };
    }
    case 'POST /setup':
    case 'POST /sign-in': {
      const { password } = body as { password: string };
      if (password === 'wrong password') {
        const hint = 'Check both and try again.';
        return {
          status: 401,
          body: { error: { code: 'AUTH_INVALID', message: 'E-mail or password is wrong.', hint } },
        };
      }
      state.scenario = line === 'POST /setup' ? 'empty' : 'full';
      return { body: { setupNeeded: false, user: null, version: '0.1.0' } };
    }
    case 'POST /sign-out':
      state.scenario = 'signed-out';
      return { body: null };
    case 'GET /apps':
      return { body: overviews };
    case 'GET /apps/discover':
      return { body: { apps: fixtures.discovered, dockerProblem: null } };
    case 'GET /jobs': {
      const appId = query.get('appId');
      const jobs = scenario === 'full' ? fixtures.jobs : [];
      const limit = Number(query.get('limit') ?? 50);
      return { body: jobs.filter((job) => appId === null || job.appId === appId).slice(0, limit) };
    }
    case 'GET /alerts':
      return {
        body:
          scenario === 'full' ? fixtures.alerts.filter((a) => query.get('open') === null || a.closedAt === null) : [],
      };
    case 'GET /repository':
      return { body: scenario === 'full' ? repositoryInfo(state) : null };
    case 'POST /repository/check':
      return { status: 202, body: fixtures.jobs.find(({ id }) => id === 'job-check') };
    case 'GET /repository/maintenance':
      return { body: scenario === 'full' ? fixtures.maintenance : null };
    case 'POST /repository/prune/preview':
      return { body: prunePreview };
    case 'POST /repository/prune':
      return { status: 202, body: playJob(state, 'prune', null, ['prune-find', 'prune-repack', 'prune-remove']) };
    case 'POST /repository/test':
      return { events: storageChecks };
    case 'POST /repository/recovery-kit':
      return { body: recoveryKit };
    case 'POST /repository/recovery-kit/confirm':
      state.kitConfirmed = true;
      return { body: null };
    case 'GET /sandboxes':
      return { body: scenario === 'full' ? state.sandboxes : [] };
    case 'GET /settings':
    case 'PUT /settings':
      return { body: settings };
    case 'POST /settings/test-email': {
      const message = 'smtp.example.com:587 did not answer within 10 s.';
      return { status: 502, body: { error: { code: 'EMAIL_FAILED', message, hint: 'Check host and port.' } } };
    }
    case 'GET /doctor':
      return { body: fixtures.doctor };
    default:
      return answerToOne(state, line, query, body);
  }
}

/** Promotes or removes one, so that the next list shows it. */
function answerToSandbox(state: State, id: string, part: string | undefined): Answer {
  const sandbox = state.sandboxes.find((one) => one.id === id);
  if (sandbox === undefined) return notFound('SANDBOX_NOT_FOUND');
  const rest = state.sandboxes.filter((one) => one !== sandbox);
  const promoted: Sandbox = { ...sandbox, state: 'running' };
  state.sandboxes = part === 'promotion' ? [promoted, ...rest] : rest;
  return { body: part === 'promotion' ? promoted : null };
}

/** Requests about one app, snapshot or job. */
function answerToOne(state: State, line: string, query: URLSearchParams, body: unknown): Answer {
  const { fixtures } = state;
  const [method, path = ''] = line.split(' ');
  const [, area, id = '', part, partId, action] = path.split('/');
  if (area === 'jobs') {
    const details = detailsOf(state, id);
    if (details === undefined) return notFound('JOB_NOT_FOUND');
    return { body: part === 'cancel' ? { ...details.job, state: 'cancelled' } : details };
  }
  if (area === 'sandboxes') return answerToSandbox(state, id, part);
  const overview = fixtures.overviews.find(({ app }) => app.id === id);
  if (area !== 'apps' || overview === undefined) return notFound('APP_NOT_FOUND');
  const snapshots = fixtures.snapshots.get(id) ?? [];
  if (part === undefined) return { body: method === 'DELETE' ? null : overview };
  if (part === 'databases') return { body: overview.app };
  if (part === 'policy') return { body: { ...overview.app, policy: body as Policy } };
  const daysAgo = (days: number): string => new Date(state.now - days * 86_400_000).toISOString();
  if (part === 'retention') {
    const keep = snapshots
      .slice(0, 12)
      .map((snapshot) => ({ snapshot, reasons: ['daily snapshot', 'weekly snapshot'] }));
    const removeWal = [{ component: 'db', blocks: 26, bytes: 2_914_000_000, fromAt: daysAgo(9), toAt: daysAgo(7.2) }];
    return { body: { keep, remove: snapshots.slice(12), removeWal, fingerprint: 'f1' } };
  }
  if (part === 'timeline')
    return { body: makeTimeline(id, { now: state.now, snapshots, from: Date.parse(query.get('from') ?? '') }) };
  if (part === 'wal' && partId === 'settings')
    return { body: makeWalSettings(query.get('directory') ?? '', query.get('readFrom') !== null) };
  if (part === 'wal') return { body: method === 'PUT' ? overview.app : makeCaptures(id, state.now) };
  if (part === 'points')
    return { status: 201, body: madePoint(body as { name: string; component: string }, state.now) };
  if (part === 'recovery-plans') return { body: makeRecoveryPlan(id, recoveryRequestSchema.parse(body), state.now) };
  if (part === 'recoveries')
    return { status: 202, body: playJob(state, 'recovery', id, ['restore-base', 'replay-wal', 'promote']) };
  if (part === 'snapshots' && method === 'POST')
    return { status: 202, body: playJob(state, 'snapshot', id, ['database:db', 'volume:web-data', 'commit']) };
  if (part === 'snapshots' && partId === undefined) return { body: snapshots };
  const wanted = partId ?? (body as { snapshotId: string }).snapshotId;
  const snapshot = snapshots.find((one) => one.id === wanted);
  if (snapshot === undefined) return notFound('SNAPSHOT_NOT_FOUND');
  if (part === 'snapshots' && action === 'files') return { body: folderOf(snapshot.id, query.get('path') ?? '/') };
  if (part === 'snapshots') return { body: { snapshot, manifest: makeManifest(overview.app, snapshot) } };
  const request = body as { safetySnapshot: boolean; components?: string[] };
  const plan = makePlan(overview.app, snapshot, {
    safetySnapshot: request.safetySnapshot,
    components: request.components,
  });
  if (part === 'restore-plans') return { body: plan };
  return { status: 202, body: playJob(state, 'restore', id, stepNames(plan)) };
}

function madePoint(
  { name, component }: { readonly name: string; readonly component: string },
  now: number,
): MadeRestorePoint {
  const at = new Date(now).toISOString();
  return { component, name, systemId: '7301234567890123456', timeline: 2, lsn: '2F/8A0113C8', at };
}

/** The same few things in every folder but the top one. */
function folderOf(snapshotId: string, path: string): SnapshotFolder {
  const modifiedAt = '2026-11-20T08:15:00.000Z';
  const at = (name: string): string => `${path === '/' ? '' : path}/${name}`;
  const entry = (name: string, changes: Partial<SnapshotEntry>): SnapshotEntry => ({
    name,
    path: at(name),
    type: 'file',
    bytes: null,
    modifiedAt,
    target: null,
    ...changes,
  });
  const folder = { type: 'folder' } as const;
  const entries =
    path === '/'
      ? [
          ...['code', 'config', 'databases', 'volumes'].map((name) => entry(name, folder)),
          entry('manifest.json', { bytes: 4_812 }),
        ]
      : [
          entry('filestore', folder),
          entry('sessions', { ...folder, modifiedAt: null }),
          entry('Facturas de proveedores 2026, segundo trimestre (definitivo, revisado).xlsx', { bytes: 1_204_224 }),
          entry('current', { type: 'link', target: '../releases/18.0.4' }),
          entry('odoo.log', { bytes: 734_003_200 }),
          entry('queue.sock', { type: 'other' }),
        ];
  return { snapshotId, path, total: path === '/' ? entries.length : 1206, entries };
}

function stepNames(plan: RestorePlan): string[] {
  return plan.steps.map((step) => ('component' in step ? `${step.type}:${step.component}` : step.type));
}

function detailsOf(state: State, jobId: string): JobDetails | undefined {
  const known = state.details.get(jobId);
  if (known !== undefined) return known;
  const job = state.fixtures.jobs.find(({ id }) => id === jobId);
  if (job === undefined) return undefined;
  const time = job.startedAt ?? job.createdAt;
  const log: JobDetails['log'] = [
    { time, level: 'info', message: 'Database "db": PostgreSQL 16.4, 2 databases.' },
    { time, level: 'info', message: 'Volume "web-data": 18,190 files, read through the host.' },
    { time, level: 'warning', message: 'filestore/crm/3f/3f8a1c0d: changed while it was read; read again.' },
  ];
  if (job.error !== null) log.push({ time, level: 'error', message: job.error.message });
  return { job, log };
}

/** Starts a job that goes on when it is played: one step after the other, with bytes and a log line each. */
function playJob(state: State, type: Job['type'], appId: string | null, steps: readonly string[]): Job {
  const now = new Date().toISOString();
  const job: Job = {
    id: `played-${state.details.size + 1}`,
    type,
    appId,
    requestedBy: 'user:Ana',
    state: 'running',
    createdAt: now,
    startedAt: now,
    finishedAt: null,
    progress: null,
    snapshotId: null,
    error: null,
    problems: [],
    result: null,
  };
  state.details.set(job.id, { job, log: [] });
  state.played = { id: job.id, steps, next: 0 };
  return job;
}

async function play(state: State, until?: string): Promise<void> {
  await listener(state);
  const { played } = state;
  if (played === undefined) throw new Error('no job was started');
  const { id, steps } = played;
  const end = until === undefined ? steps.length : steps.indexOf(until) + 1;
  if (end <= played.next && until !== undefined) throw new Error(`the job has no step ${until} before it`);
  for (; played.next < end; played.next += 1)
    playStep(state, id, steps[played.next] ?? '', (played.next + 0.5) / steps.length);
  if (until === undefined)
    change(state, id, { state: 'succeeded', finishedAt: new Date().toISOString(), progress: null });
}

function playStep(state: State, jobId: string, step: string, fraction: number): void {
  const total = 4_812_000_000;
  change(state, jobId, {
    progress: {
      step,
      filesDone: Math.round(18_204 * fraction),
      filesTotal: 18_204,
      bytesDone: Math.round(total * fraction),
      bytesTotal: total,
      bytesPerSecond: 61_000_000,
      secondsLeft: Math.round(80 * (1 - fraction)),
      current: 'filestore/ferreteria/3f/3f8a1c0d9e7b',
    },
  });
  const details = state.details.get(jobId);
  const entry = { time: new Date().toISOString(), level: 'info' as const, message: `Step ${step}.` };
  details?.log.push(entry);
  emit(state, { type: 'job-log', jobId, line: entry });
}

function change(state: State, jobId: string, changes: Partial<Job>): void {
  const details = state.details.get(jobId);
  if (details === undefined) return;
  const job = { ...details.job, ...changes };
  state.details.set(jobId, { ...details, job });
  emit(state, { type: 'job', job });
}

function repositoryInfo(state: State) {
  return {
    id: '5b1f6c2a9d3e48f7a0b1c2d3e4f50617283940a1b2c3d4e5f60718293a4b5c6d',
    name: 'local',
    location: '/var/lib/varve/repository',
    state: 'ready',
    problem: null,
    freeBytes: 188_000_000_000,
    recoveryKitConfirmed: state.kitConfirmed,
  };
}

const recoveryKit = {
  location: '/var/lib/varve/repository',
  password: 'gravel-otter-lantern-sixteen-maple-quartz',
  repositoryId: '5b1f6c2a9d3e48f7a0b1c2d3e4f50617283940a1b2c3d4e5f60718293a4b5c6d',
  commands: [
    'export RESTIC_PASSWORD=…',
    'restic -r /var/lib/varve/repository snapshots --tag varve',
    'restic -r /var/lib/varve/repository restore latest --tag app:ferreteria --target ./ferreteria',
  ],
};

const settings = {
  email: {
    enabled: true,
    host: 'smtp.example.com',
    port: 587,
    security: 'starttls',
    user: 'varve',
    from: 'varve@example.com',
    to: ['ana@example.com', 'ops@example.com'],
    language: 'es',
  },
  emailPasswordSet: true,
  maintenance: { prune: true, check: true, checkEveryDays: 7, readDataDays: 28 },
};

const prunePreview: PrunePreview = {
  snapshots: 34,
  sizeBytes: 48_200_000_000,
  sizeAfterBytes: 41_700_000_000,
  freedBytes: 6_500_000_000,
  usedBytes: 40_100_000_000,
  unusedAfterBytes: 1_600_000_000,
  maxUnusedPercent: 5,
  remove: { packs: 301, bytes: 5_050_000_000 },
  repack: { packs: 122, bytes: 2_040_000_000, unusedBytes: 1_420_000_000 },
  unreferenced: { packs: 2, bytes: 30_000_000 },
  keptPacks: 2410,
};
