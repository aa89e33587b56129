import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestServer, type TestServer } from './server-fixture.ts';

let folder: string;
let it: TestServer;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'varve-web-'));
  await mkdir(join(folder, 'dist', 'assets'), { recursive: true });
  await writeFile(join(folder, 'secret.txt'), 'not for you');
  await writeFile(join(folder, 'dist', 'index.html'), '<title>Varve</title>');
  await writeFile(join(folder, 'dist', 'assets', 'index-a1b2c3.js'), 'export {}');
  it = await startTestServer({ webRoot: join(folder, 'dist') });
});

afterAll(async () => {
  await it[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

/** Sends a path as it is; fetch would tidy it up. */
function getRaw(path: string): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const call = request({ host: '127.0.0.1', port: it.port, path }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (chunk: string) => (body += chunk));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
    });
    call.on('error', reject);
    call.end();
  });
}

describe('the pages', () => {
  test.each(['/', '/index.html', '/apps', '/apps/shop/snapshots', '/sign-in?next=%2Fapps'])(
    '%s is the UI, fresh each time',
    async (path) => {
      const response = await it.call('GET', path);
      expect(response.status).toBe(200);
      expect(response.headers.get('content-type')).toBe('text/html; charset=utf-8');
      expect(response.headers.get('cache-control')).toBe('no-cache');
      expect(await response.text()).toBe('<title>Varve</title>');
    },
  );

  test('assets with a hash in their name are kept by browsers', async () => {
    const response = await it.call('GET', '/assets/index-a1b2c3.js');
    expect(response.headers.get('content-type')).toBe('text/javascript; charset=utf-8');
    expect(response.headers.get('cache-control')).toBe('public, max-age=31536000, immutable');
  });

  test('a missing asset is an error, not a page', async () => {
    expect((await it.call('GET', '/assets/old-000000.js')).status).toBe(404);
  });

  test.each([
    '/../secret.txt',
    '/assets/../../secret.txt',
    '/%2e%2e/secret.txt',
    '/..%2fsecret.txt',
    '/%2e%2e%2fsecret.txt',
    '/assets/%2e%2e%2f%2e%2e%2fsecret.txt',
    '/%00',
    '/%E0%A4%A',
  ])('%s does not lead out of the folder', async (path) => {
    const { body, status } = await getRaw(path);
    expect(body).not.toContain('not for you');
    expect([200, 400, 404]).toContain(status);
  });

  test('say how to build them when they are missing', async () => {
    await using bare = await startTestServer({ webRoot: join(folder, 'nothing') });
    const response = await bare.call('GET', '/');
    expect(response.status).toBe(503);
    expect(await response.text()).toContain('npm run build:web');
  });
});
