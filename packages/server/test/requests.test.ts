import { request } from 'node:http';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { errorCode, owner, startTestServer, type TestServer } from './server-fixture.ts';

let it: TestServer;

beforeAll(async () => {
  it = await startTestServer({ publicUrl: 'http://varve.example.org' });
  await it.signUp();
});

afterAll(() => it[Symbol.asyncDispose]());

function listeningPort(): number {
  return it.port;
}

/** fetch does not let a test choose the Host header. */
function getWithHost(host: string | undefined): Promise<number> {
  return new Promise((resolve, reject) => {
    const call = request({ host: '127.0.0.1', port: listeningPort(), path: '/api/session', setHost: false });
    if (host !== undefined) call.setHeader('Host', host);
    call.on('response', (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    });
    call.on('error', reject);
    call.end();
  });
}

describe('the host of a request', () => {
  test.each([
    'localhost',
    'localhost:8470',
    '127.0.0.1:1',
    '[::1]:8470',
    '192.168.1.5',
    'varve.example.org',
    'VARVE.example.org:80',
    'my.localhost',
  ])('may be %s', async (host) => {
    expect(await getWithHost(host)).toBe(200);
  });

  test.each([
    'evil.example.com',
    'varve.example.org.evil.com',
    'localhost.evil.com',
    '127.0.0.1.nip.io',
    'a b',
    'x@localhost',
  ])('may not be %s, as it is when a page rebinds its name', async (host) => {
    expect([400, 403]).toContain(await getWithHost(host));
  });

  test('must be there', async () => {
    expect([400, 403]).toContain(await getWithHost(undefined));
  });
});

describe('a change', () => {
  const signIn = { email: owner.email, password: owner.password };

  test.each([
    ['the page of another site', { origin: 'https://evil.example.com' }],
    ['a page without origin', { origin: 'null' }],
    ['another port of this host', { origin: 'http://127.0.0.1:1' }],
    ['another site, by the browser', { 'sec-fetch-site': 'cross-site' }],
    ['a sibling site, by the browser', { 'sec-fetch-site': 'same-site' }],
  ])('is refused from %s', async (_, headers: Record<string, string>) => {
    const response = await it.call('POST', '/api/sign-in', signIn, { headers });
    expect(response.status).toBe(403);
    expect(await errorCode(response)).toBe('AUTH_FORBIDDEN');
  });

  test('is taken from our own page, from the public URL and from programs', async () => {
    const own = `http://127.0.0.1:${listeningPort()}`;
    for (const headers of [
      { origin: own, 'sec-fetch-site': 'same-origin' },
      { origin: 'http://varve.example.org' },
      {},
    ]) {
      const given: Record<string, string> = { ...headers };
      expect((await it.call('POST', '/api/sign-in', signIn, { headers: given })).status).toBe(200);
    }
  });

  test('must be JSON, which a form cannot send', async () => {
    for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x']) {
      const response = await it.call('POST', '/api/sign-in', JSON.stringify(signIn), {
        headers: { 'content-type': type },
      });
      expect(response.status).toBe(400);
    }
  });

  test('may have 1 MiB and no more', async () => {
    const big = (size: number): string => JSON.stringify({ email: owner.email, password: 'x'.repeat(size) });
    expect((await it.call('POST', '/api/sign-in', big(1024 * 1024 - 100))).status).toBe(400);
    const refused = await it.call('POST', '/api/sign-in', big(1024 * 1024 + 1));
    expect(refused.status).toBe(413);
    expect(await errorCode(refused)).toBe('REQUEST_TOO_LARGE');
  });

  test('must say how long it is', async () => {
    const status = await new Promise((resolve, reject) => {
      const headers = { 'content-type': 'application/json', 'transfer-encoding': 'chunked' };
      const call = request({ host: '127.0.0.1', port: it.port, path: '/api/sign-in', method: 'POST', headers });
      call.on('response', (response) => {
        response.resume();
        resolve(response.statusCode);
      });
      call.on('error', reject);
      call.end('{}');
    });
    expect(status).toBe(400);
  });
});

describe('an answer', () => {
  test('carries the headers that keep browsers careful, and is not cached', async () => {
    for (const path of ['/api/session', '/api/apps', '/api/nothing', '/', '/healthz']) {
      const { headers } = await it.call('GET', path);
      const policy = headers.get('content-security-policy') ?? '';
      expect(policy).toContain("script-src 'self';");
      expect(policy).toContain("frame-ancestors 'none'");
      expect(headers.get('x-content-type-options')).toBe('nosniff');
      expect(headers.get('referrer-policy')).toBe('no-referrer');
      expect(headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);
      if (path.startsWith('/api')) expect(headers.get('cache-control')).toBe('no-store');
    }
  });

  test('never allows another origin to read it', async () => {
    const response = await it.call('GET', '/api/session', undefined, {
      headers: { origin: 'https://evil.example.com' },
    });
    expect(response.headers.get('access-control-allow-origin')).toBeNull();
  });
});
