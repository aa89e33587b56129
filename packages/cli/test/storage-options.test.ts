import { randomBytes } from 'node:crypto';
import { readdir, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { jsonError, makeLab, type Lab } from './launcher.ts';

// Many programs one after the other, on machines that may be busy.
vi.setConfig({ testTimeout: 120_000 });

let lab: Lab;
beforeAll(async () => {
  lab = await makeLab();
});
afterAll(() => lab[Symbol.asyncDispose]());

describe('the options of a storage', () => {
  test('reach it, and those that do not exist are refused', async () => {
    const repo = ['--repo', lab.path('repo'), '--password-file', lab.path('password')];
    const limits = ['--limit-upload', '100000', '--limit-download', '0'];
    const made = await lab.run(['repo', 'init', ...repo, '-o', 'local.connections=3', ...limits]);
    expect(made.exitCode).toBe(0);
    for (const [given, said] of [
      ['local.nothing=1', 'local.connections'],
      ['s4.region=x', 's3.'],
      ['s3.region', '-o s3.region=eu-west-1'],
      ['local.connections=0', '1 to 1000'],
    ] as const) {
      const refused = await lab.run(['repo', 'snapshots', ...repo, '-o', given, '--json']);
      expect(refused.exitCode).toBe(2);
      expect(jsonError(refused)).toMatchObject({ code: 'USAGE_INVALID', hint: expect.stringContaining(said) });
    }
    const rate = await lab.run(['repo', 'snapshots', ...repo, '--limit-upload', 'fast']);
    expect(rate).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('whole number') });
  });

  test('hold a transfer back', async () => {
    const repo = ['--repo', lab.path('repo'), '--password-file', lab.path('password')];
    await writeFile(lab.path('random'), randomBytes(400 * 1024));
    const startedAt = performance.now();
    const outcome = await lab.run(['repo', 'backup', ...repo, '--limit-upload', '100', lab.path('random')]);
    expect(outcome.exitCode).toBe(0);
    // The first second's worth goes at once, the rest waits for its turn.
    expect(performance.now() - startedAt).toBeGreaterThan(2900);
  });

  test('a place is tried without being connected; what is connected keeps its options', async () => {
    const tried = await lab.run(['connect', lab.path('place'), '--check-only', '-o', 'local.connections=1']);
    expect(tried).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(/^ok +overwrite-refused/m) });
    expect(tried.stdout).toContain('does what a repository relies on');
    const left = await readdir(lab.path('place', 'data'), { recursive: true });
    expect(left.filter((name) => name.length > 2)).toEqual([]);
    const kit = await lab.run(['recovery-kit', '--json']);
    expect(jsonError(kit)).toMatchObject({ code: 'REPOSITORY_NOT_FOUND' });
    const connected = await lab.run(['connect', lab.path('place'), '--create', '-o', 'local.connections=1']);
    expect(connected.exitCode).toBe(0);
    const shown = await lab.run(['recovery-kit']);
    expect(shown.stdout).toContain(`restic -r ${lab.path('place')} -o local.connections=1 snapshots`);
  });

  test('a place that is not fit says so by its exit code, in JSON too', async () => {
    await using server = await listen((_, response) => response.writeHead(403).end());
    const outcome = await lab.run(['repo', 'validate', '--repo', `rest:${server.url}/`, '--json']);
    expect(outcome.exitCode).toBe(5);
    expect(JSON.parse(outcome.stdout)).toMatchObject({
      message_type: 'summary',
      num_errors: 1,
      checks: expect.arrayContaining([expect.objectContaining({ name: 'create', outcome: 'failed' })]),
    });
  });
});

async function listen(
  answer: (...args: Parameters<NonNullable<Parameters<typeof createServer>[1]>>) => void,
): Promise<AsyncDisposable & { readonly url: string }> {
  const server: Server = createServer((request, response) => answer(request, response)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  return {
    url: `http://127.0.0.1:${address !== null && typeof address === 'object' ? address.port : 0}`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
