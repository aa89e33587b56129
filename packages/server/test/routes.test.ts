import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { silentLogger, systemClock } from '@varve/base';
import { jobSchema, maintenanceSchema, prunePreviewSchema, settingsSchema, storageCheckSchema } from '@varve/contract';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { openAccounts } from '../src/accounts/accounts.ts';
import { createHttpApp } from '../src/http-app.ts';
import { publicApiRoutes } from '../src/middleware/session.ts';
import { errorCode, startTestServer, type TestServer } from './server-fixture.ts';

interface OpenApiDocument {
  readonly openapi: string;
  readonly paths: Readonly<
    Record<string, Readonly<Record<string, { readonly responses: object; readonly security?: unknown[] }>>>
  >;
  readonly components: { readonly schemas: Readonly<Record<string, unknown>> };
}

let it: TestServer;
let routes: { method: string; path: string }[];

beforeAll(async () => {
  it = await startTestServer();
  await it.signUp();
  using accounts = await openAccounts({
    varve: it.varve,
    baseUrl: 'http://127.0.0.1',
    clock: systemClock,
    logger: silentLogger,
  });
  const app = createHttpApp({
    varve: it.varve,
    accounts,
    logger: silentLogger,
    version: it.varve.version,
    shutdown: new AbortController().signal,
    webRoot: it.folder,
    publicUrl: undefined,
    heartbeatMs: 1000,
    listenHost: '127.0.0.1',
  });
  routes = app.routes.filter(({ method, path }) => method !== 'ALL' && !path.includes('*'));
});

afterAll(() => it[Symbol.asyncDispose]());

async function openApi(): Promise<OpenApiDocument> {
  return (await (await it.call('GET', '/api/openapi.json')).json()) as OpenApiDocument;
}

describe('the routes of the API', () => {
  test('are all described by the OpenAPI document, and nothing else is', async () => {
    const document = await openApi();
    const described = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    );
    const served = routes.map(({ method, path }) => `${method} ${path.replaceAll(/:(\w+)/g, '{$1}')}`);
    expect(new Set(described)).toEqual(new Set(served));
    expect(described.length).toBeGreaterThan(25);
  });

  test('refer only to schemas that the document has', async () => {
    const document = await openApi();
    expect(document.openapi).toBe('3.1.0');
    const references = [...JSON.stringify(document).matchAll(/"#\/components\/schemas\/(\w+)"/g)].map(
      (match) => match[1],
    );
    expect(references.length).toBeGreaterThan(20);
    for (const name of references) expect(Object.keys(document.components.schemas)).toContain(name);
  });

  test('say of themselves that they are open exactly when they are', async () => {
    const document = await openApi();
    const open = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.entries(methods)
        .filter(([, route]) => route.security?.length === 0)
        .map(([method]) => `${method.toUpperCase()} ${path}`),
    );
    expect(new Set(open)).toEqual(new Set([...publicApiRoutes, 'GET /healthz']));
  });

  test('answer nobody without a session but for the few that make one', async () => {
    const closed = routes.filter(
      ({ method, path }) => path !== '/healthz' && !publicApiRoutes.has(`${method} ${path}`),
    );
    expect(closed.length).toBeGreaterThan(20);
    for (const { method, path } of closed) {
      const url = it.server.url + path.replaceAll(/:\w+/g, 'some-id');
      const body = method === 'GET' ? null : '{}';
      const response = await fetch(url, { method, body, headers: { 'content-type': 'application/json' } });
      expect(`${method} ${path} ${response.status}`).toBe(`${method} ${path} 401`);
      expect(await errorCode(response)).toBe('AUTH_REQUIRED');
    }
  });

  test('refuse a forged session cookie', async () => {
    const cookie =
      'varve.session_token=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA.BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB%3D';
    const response = await fetch(`${it.server.url}/api/apps`, { headers: { cookie } });
    expect(response.status).toBe(401);
  });

  test('that do not exist are an error in the shape of the API', async () => {
    const response = await it.call('GET', '/api/nothing');
    expect(response.status).toBe(404);
    expect(await errorCode(response)).toBe('REQUEST_NOT_FOUND');
  });
});

describe('requests', () => {
  test('with unknown fields in the body are refused by name', async () => {
    const response = await it.call('POST', '/api/apps', { type: 'host', id: 'a', folders: ['/tmp'], colour: 'red' });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({
      error: { code: 'USAGE_INVALID', message: expect.stringContaining('colour') },
    });
  });

  test('with an unknown query are refused', async () => {
    expect((await it.call('GET', '/api/apps?nonsense=1')).status).toBe(400);
    expect((await it.call('GET', '/api/jobs?limit=0')).status).toBe(400);
  });

  test('with a malformed body or app id are refused', async () => {
    expect(await errorCode(await it.call('POST', '/api/apps', '{"type":'))).toBe('USAGE_INVALID');
    expect(await errorCode(await it.call('GET', '/api/apps/UPPER'))).toBe('USAGE_INVALID');
  });

  test('for an app that is not there end with its own code', async () => {
    for (const [method, path, body] of [
      ['GET', '/api/apps/ghost', undefined],
      ['DELETE', '/api/apps/ghost', undefined],
      ['GET', '/api/apps/ghost/snapshots', undefined],
      ['POST', '/api/apps/ghost/snapshots', {}],
      ['GET', '/api/apps/ghost/timeline', undefined],
      ['POST', '/api/apps/ghost/points', { name: 'x' }],
      ['GET', '/api/apps/ghost/retention', undefined],
      ['PUT', '/api/apps/ghost/databases/db', { method: 'both' }],
      ['GET', '/api/apps/ghost/wal', undefined],
      ['PUT', '/api/apps/ghost/wal', { enabled: true }],
      ['PUT', '/api/apps/ghost/wal', { enabled: true, archive: { directory: '/wal-archive' } }],
      ['GET', '/api/apps/ghost/wal/settings?directory=/wal-archive', undefined],
    ] as const) {
      const response = await it.call(method, path, body);
      expect(`${method} ${path} ${response.status} ${await errorCode(response)}`).toBe(
        `${method} ${path} 404 APP_NOT_FOUND`,
      );
    }
    expect(await errorCode(await it.call('GET', '/api/jobs/ghost'))).toBe('JOB_NOT_FOUND');
  });
});

describe('reading', () => {
  test('lists are empty and settings are at their defaults in a fresh installation', async () => {
    expect(await (await it.call('GET', '/api/apps')).json()).toEqual([]);
    expect(await (await it.call('GET', '/api/jobs')).json()).toEqual([]);
    expect(await (await it.call('GET', '/api/alerts?open=true')).json()).toEqual([]);
    expect(await (await it.call('GET', '/api/settings')).json()).toMatchObject({
      email: { enabled: false },
      emailPasswordSet: false,
    });
    expect(await (await it.call('GET', '/api/doctor')).json()).toEqual(
      expect.arrayContaining([expect.objectContaining({ state: expect.any(String) })]),
    );
  });

  test('discovery says why Docker could not be asked', async () => {
    const answer = (await (await it.call('GET', '/api/apps/discover')).json()) as {
      dockerProblem: { code: string } | null;
    };
    expect(answer.dockerProblem?.code).toBe('DOCKER_UNREACHABLE');
  });
});

describe('the test of the storage', () => {
  test('needs a repository, and yields each check as an event', async () => {
    const none = await it.call('POST', '/api/repository/test', {});
    expect([none.status, await errorCode(none)]).toEqual([404, 'REPOSITORY_NOT_FOUND']);
    const location = join(it.folder, 'tested');
    await it.varve.connectRepository({ location, create: true });
    const response = await it.call('POST', '/api/repository/test', {});
    expect(response.headers.get('content-type')).toContain('text/event-stream');
    const events = (await response.text()).matchAll(/^data: (.*)$/gm);
    const checks = Array.from(events, ([, data = '']) => storageCheckSchema.parse(JSON.parse(data)));
    expect(checks.map(({ name }) => name)).toEqual(storageCheckSchema.shape.name.options);
    expect(checks.filter(({ outcome }) => outcome === 'failed')).toEqual([]);
  });

  test('ends when whoever asked goes away, and then another may begin', async () => {
    const gone = new AbortController();
    const response = await it.call('POST', '/api/repository/test', {}, { signal: gone.signal });
    await response.body?.getReader().read();
    gone.abort();
    await vi.waitFor(async () => {
      const again = await it.call('POST', '/api/repository/test', {});
      expect(again.status).toBe(200);
      await again.text();
    }, 15_000);
    const left = await readdir(join(it.folder, 'tested', 'data'), { recursive: true });
    expect(left.filter((name) => name.length > 2)).toEqual([]);
  });

  test('is for users only', async () => {
    const response = await fetch(`http://127.0.0.1:${it.port}/api/repository/test`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{}',
    });
    expect(response.status).toBe(401);
  });
});

describe('the care of the repository', () => {
  test('is described, previewed and done, one job at a time', async () => {
    const maintenance = await it.call('GET', '/api/repository/maintenance');
    expect(maintenanceSchema.parse(await maintenance.json())).toMatchObject({
      prune: { pendingSince: null, nextAt: null, last: null },
      check: { nextScope: { data: 'part', part: 1, parts: 4 }, last: null },
    });
    const preview = await it.call('POST', '/api/repository/prune/preview', {});
    expect(prunePreviewSchema.parse(await preview.json())).toMatchObject({ snapshots: 0, freedBytes: 0 });
    const started = await it.call('POST', '/api/repository/prune', {});
    expect(started.status).toBe(202);
    const job = jobSchema.parse(await started.json());
    expect(job).toMatchObject({ type: 'prune', appId: null, requestedBy: 'user:Ana' });
    expect(await it.varve.waitForJob(job.id)).toMatchObject({ state: 'succeeded' });
  });

  test('is set beside e-mail, and each without the other', async () => {
    const wanted = { prune: false, check: true, checkEveryDays: 30, readDataDays: 0 };
    const answer = await it.call('PUT', '/api/settings', { maintenance: wanted });
    expect(settingsSchema.parse(await answer.json())).toMatchObject({ email: { enabled: false }, maintenance: wanted });
    const wrong = await it.call('PUT', '/api/settings', { maintenance: { ...wanted, checkEveryDays: 0 } });
    expect(await errorCode(wrong)).toBe('USAGE_INVALID');
  });
});

// Last: the first app makes a repository.
describe('an app with a database', () => {
  test('has the way in which it is saved changed, and nothing else', async () => {
    const database = { url: 'postgresql://nobody@127.0.0.1:1/postgres' };
    const added = await it.call('POST', '/api/apps', { type: 'host', id: 'saved', databases: [database] });
    expect(added.status).toBe(201);
    const change = { method: 'both', maxRateKBps: 20_000 };
    const changed = await it.call('PUT', '/api/apps/saved/databases/db', change);
    expect(await changed.json()).toMatchObject({ id: 'saved', components: [{ name: 'db', ...change }] });
    const slow = await it.call('PUT', '/api/apps/saved/databases/db', { maxRateKBps: 31 });
    expect([slow.status, await errorCode(slow)]).toEqual([400, 'USAGE_INVALID']);
    const free = await it.call('PUT', '/api/apps/saved/databases/db', { maxRateKBps: null });
    expect(((await free.json()) as { components: object[] }).components[0]).not.toHaveProperty('maxRateKBps');
    const other = await it.call('PUT', '/api/apps/saved/databases/other', { method: 'dump' });
    expect(await errorCode(other)).toBe('APP_INVALID');
    expect((await it.call('DELETE', '/api/apps/saved')).status).toBe(204);
  });
});
