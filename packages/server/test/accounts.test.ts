import { readFile, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { FakeClock } from '@varve/testing';
import { describe, expect, test } from 'vitest';
import { Client, errorCode, owner, startTestServer } from './server-fixture.ts';

describe('the first owner', () => {
  test('needs the setup token, and the token is used up afterwards', async () => {
    await using it = await startTestServer();
    expect(it.server.setupToken).toMatch(/^[0-9A-Z]{5}(-[0-9A-Z]{5}){3}$/);
    const wrong = await it.call('POST', '/api/setup', { ...owner, setupToken: 'AAAAA-AAAAA-AAAAA-AAAAA' });
    expect(wrong.status).toBe(403);
    expect(await (await it.call('GET', '/api/session')).json()).toMatchObject({ setupNeeded: true, user: null });

    const tokenFile = join(it.varve.dataDirectory, 'setup-token');
    expect((await stat(tokenFile)).mode & 0o777).toBe(0o600);
    expect((await readFile(tokenFile, 'utf8')).trim()).toBe(it.server.setupToken);

    await it.signUp();
    expect(await (await it.call('GET', '/api/session')).json()).toMatchObject({
      setupNeeded: false,
      user: { email: owner.email },
    });
    expect(await readdir(it.varve.dataDirectory)).not.toContain('setup-token');
    const second = await it.call('POST', '/api/setup', {
      ...owner,
      email: 'b@example.com',
      setupToken: it.server.setupToken,
    });
    expect(await errorCode(second)).toBe('AUTH_SETUP_DONE');
  });

  test('is only one when several claim at once', async () => {
    await using it = await startTestServer();
    const claims = ['a', 'b', 'c'].map((name) =>
      new Client(it.server.url).call('POST', '/api/setup', {
        ...owner,
        email: `${name}@example.com`,
        setupToken: it.server.setupToken,
      }),
    );
    const statuses = (await Promise.all(claims)).map((response) => response.status);
    expect(statuses.toSorted((a, b) => a - b)).toEqual([200, 409, 409]);
  });

  test('may type the token without hyphens and in lower case', async () => {
    await using it = await startTestServer();
    const setupToken = it.server.setupToken?.toLowerCase().replaceAll('-', ' ');
    expect((await it.call('POST', '/api/setup', { ...owner, setupToken })).status).toBe(200);
  });

  test('needs a password of at least 10 characters', async () => {
    await using it = await startTestServer();
    const { setupToken } = it.server;
    expect((await it.call('POST', '/api/setup', { ...owner, password: '123456789', setupToken })).status).toBe(400);
    expect((await it.call('POST', '/api/setup', { ...owner, password: '1234567890', setupToken })).status).toBe(200);
  });
});

describe('a session', () => {
  test('is a cookie that scripts cannot read and other sites cannot send, and ends with sign-out', async () => {
    await using it = await startTestServer();
    await it.signUp();
    const client = new Client(it.server.url);
    const signIn = await client.call('POST', '/api/sign-in', { email: owner.email, password: owner.password });
    expect(signIn.status).toBe(200);
    const [cookie = ''] = signIn.headers.getSetCookie();
    expect(cookie).toMatch(/; HttpOnly/);
    expect(cookie).toMatch(/; SameSite=Lax/);
    expect(cookie).not.toMatch(/; Secure/);
    const copied = client.cookie;
    expect((await client.call('GET', '/api/apps')).status).toBe(200);
    expect((await client.call('POST', '/api/sign-out')).status).toBe(204);
    expect(client.cookie).toBe('');
    const replay = await fetch(`${it.server.url}/api/apps`, { headers: { cookie: copied } });
    expect(replay.status).toBe(401);
  });

  test('has a Secure cookie when browsers come in by https', async () => {
    await using it = await startTestServer({ publicUrl: 'https://varve.example.org' });
    const response = await it.call('POST', '/api/setup', { ...owner, setupToken: it.server.setupToken });
    expect(response.headers.getSetCookie()[0]).toMatch(/^__Secure-varve\.session_token=.*; Secure/);
    expect(response.headers.get('strict-transport-security')).toBe('max-age=31536000');
  });

  test('does not tell a wrong address from a wrong password', async () => {
    await using it = await startTestServer();
    await it.signUp();
    const client = new Client(it.server.url);
    const password = await client.call('POST', '/api/sign-in', { email: owner.email, password: 'wrong' });
    const address = await client.call('POST', '/api/sign-in', { email: 'nobody@example.com', password: 'wrong' });
    expect(password.status).toBe(401);
    expect(await password.json()).toEqual(await address.json());
  });

  test('cannot be guessed: after ten failures the address waits, then may try again', async () => {
    const clock = new FakeClock('2026-01-01T00:00:00Z');
    await using it = await startTestServer({ clock });
    await it.signUp();
    const client = new Client(it.server.url);
    const attempts = Array.from({ length: 10 }, () =>
      client.call('POST', '/api/sign-in', { email: owner.email, password: 'wrong' }),
    );
    for (const response of await Promise.all(attempts)) expect(response.status).toBe(401);
    const right = { email: owner.email, password: owner.password };
    const refused = await client.call('POST', '/api/sign-in', right);
    expect(refused.status).toBe(429);
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(60);
    clock.advance(15 * 60_000);
    expect((await client.call('POST', '/api/sign-in', right)).status).toBe(200);
  });

  test('does not show the recovery kit without the password', async () => {
    await using it = await startTestServer();
    await it.signUp();
    const wrong = await it.call('POST', '/api/repository/recovery-kit', { password: 'wrong' });
    expect(await errorCode(wrong)).toBe('AUTH_FORBIDDEN');
    const right = await it.call('POST', '/api/repository/recovery-kit', { password: owner.password });
    expect(await errorCode(right)).toBe('REPOSITORY_NOT_FOUND');
  });
});
