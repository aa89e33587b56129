import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Storage as GoogleLibrary } from '@google-cloud/storage';
import {
  describeStorageContract,
  rcloneAvailable,
  startFaultProxy,
  startGcsServer,
  type GcsServer,
} from '@varve/testing';
import { OAuth2Client } from 'google-auth-library';
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import { openStorage, validateStorage, type Storage } from '../src/index.ts';

const quick = { attempts: 3, firstDelayMs: 1, maxDelayMs: 10 };
const name = 'ab'.repeat(32);

describe('the stand-in for Google Cloud Storage', () => {
  let peer: GcsServer;
  let folder: string;
  let count = 0;
  beforeAll(async () => {
    // Pages so small that every list has several.
    peer = await startGcsServer({ pageSize: 7 });
    folder = await mkdtemp(join(tmpdir(), 'varve-gcs-'));
    await writeFile(join(folder, 'account.json'), peer.serviceAccount, { mode: 0o600 });
  });
  afterAll(async () => {
    await peer[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  });

  function open(location: string, changes: Record<string, string> = {}): Storage & AsyncDisposable {
    const environment = {
      STORAGE_EMULATOR_HOST: peer.endpoint,
      GOOGLE_PROJECT_ID: 'test-project',
      ...(Object.keys(changes).length === 0 ? { GOOGLE_ACCESS_TOKEN: peer.token } : changes),
    };
    const storage = openStorage(location, { environment, retry: quick });
    return Object.assign(storage, { [Symbol.asyncDispose]: () => storage.close() });
  }

  describeStorageContract('Google Cloud Storage', async () => ({
    storage: open(`gs:contract-${++count}:/some/where`),
    dispose: async () => {},
  }));

  test('passes every check of a storage, its clock included, with the key of a service account', async () => {
    await using storage = open('gs:account:/', { GOOGLE_APPLICATION_CREDENTIALS: join(folder, 'account.json') });
    const checks = await validateStorage(storage);
    expect(checks.filter(({ outcome }) => outcome !== 'passed')).toEqual([]);
    expect(peer.requests).toContain('POST /token');
  });

  test('a token that is not taken, a key that is missing or foreign, and a missing bucket are told apart', async () => {
    await using wrongToken = open('gs:errors:/', { GOOGLE_ACCESS_TOKEN: 'geheim' });
    const denied = wrongToken.create();
    await expect(denied).rejects.toMatchObject({
      code: 'STORAGE_DENIED',
      hint: expect.stringContaining('GOOGLE_ACCESS_TOKEN'),
    });
    await expect(denied).rejects.not.toThrow(/geheim/);
    await using noFile = open('gs:errors:/', { GOOGLE_APPLICATION_CREDENTIALS: join(folder, 'nothing.json') });
    await expect(noFile.create()).rejects.toMatchObject({ code: 'STORAGE_DENIED' });
    const foreign = peer.serviceAccount.replace('varve@', 'somebody@');
    await writeFile(join(folder, 'foreign.json'), foreign);
    await using other = open('gs:errors:/', { GOOGLE_APPLICATION_CREDENTIALS: join(folder, 'foreign.json') });
    await expect(other.create()).rejects.toMatchObject({
      code: 'STORAGE_DENIED',
      hint: expect.stringContaining('GOOGLE_APPLICATION_CREDENTIALS'),
    });
    await using missing = open('gs:missing:/');
    await expect(missing.save({ type: 'index', name }, Buffer.from('x'))).rejects.toMatchObject({
      code: 'STORAGE_LOCATION_INVALID',
      hint: expect.stringContaining('no such bucket'),
    });
  });

  test('a bucket that is missing is told by the request, not by the text of the answer', async () => {
    await using proxy = await startFaultProxy(peer.endpoint);
    const body = JSON.stringify({ error: { code: 404, message: 'Not Found', errors: [{ reason: 'notFound' }] } });
    proxy.misbehave(() => ({ kind: 'answer', status: 404, body }));
    const access = { STORAGE_EMULATOR_HOST: proxy.url, GOOGLE_PROJECT_ID: '', GOOGLE_ACCESS_TOKEN: peer.token };
    await using storage = open('gs:texts:/', access);
    const missing = { code: 'STORAGE_LOCATION_INVALID', hint: expect.stringContaining('no such bucket') };
    await expect(storage.create()).rejects.toMatchObject(missing);
    await expect(storage.save({ type: 'index', name }, Buffer.from('x'))).rejects.toMatchObject(missing);
    await expect(storage.load({ type: 'index', name })).rejects.toMatchObject({ code: 'STORAGE_FILE_NOT_FOUND' });
  });

  test('Google’s own client for Node agrees with it and with us', async () => {
    await using storage = open('gs:library:/repo', {
      STORAGE_EMULATOR_HOST: peer.endpoint,
      GOOGLE_ACCESS_TOKEN: peer.token,
    });
    await storage.create();
    const data = Buffer.from('some content');
    await storage.save({ type: 'index', name }, data);
    const authClient = new OAuth2Client();
    authClient.setCredentials({ access_token: peer.token });
    // The variable, which a developer may have set, goes before the option.
    vi.stubEnv('STORAGE_EMULATOR_HOST', undefined);
    onTestFinished(() => void vi.unstubAllEnvs());
    const library = new GoogleLibrary({
      apiEndpoint: peer.endpoint,
      useAuthWithCustomEndpoint: true,
      authClient,
      retryOptions: { autoRetry: false },
    });
    const bucket = library.bucket('library');
    const [found] = await bucket.file(`repo/index/${name}`).download();
    expect(found).toEqual(data);
    const other = `repo/index/${'cd'.repeat(32)}`;
    await bucket.file(other).save(data, { resumable: false, preconditionOpts: { ifGenerationMatch: 0 } });
    expect(await storage.load({ type: 'index', name: 'cd'.repeat(32) })).toEqual(data);
    const [files] = await bucket.getFiles({ prefix: 'repo/' });
    expect(files.map((file) => file.name)).toHaveLength(2);
    const again = bucket.file(other).save(data, { resumable: false, preconditionOpts: { ifGenerationMatch: 0 } });
    await expect(again).rejects.toMatchObject({ code: 412 });
    const wrong = { metadata: { md5Hash: '1B2M2Y8AsgTpgAmY7PhCfg==' } };
    const damaged = bucket.file('repo/damaged').save(data, { resumable: false, ...wrong });
    await expect(damaged).rejects.toMatchObject({ code: 400, message: expect.stringContaining('calculated MD5') });
    expect(await bucket.file('repo/damaged').exists()).toEqual([false]);
  });

  test('rclone, with Google’s client for Go, writes what we read, in pieces too, and reads what we wrote', async (context) => {
    if (!(await rcloneAvailable())) return context.skip('rclone is not installed');
    const rclone = async (...args: string[]): Promise<Buffer> => {
      const account = join(folder, 'account.json');
      const all = [...args, '--gcs-endpoint', `${peer.endpoint}/storage/v1/`, '--gcs-service-account-file', account];
      const env = { ...process.env, RCLONE_CONFIG: '/dev/null' };
      return (await promisify(execFile)('rclone', all, { env, encoding: 'buffer', timeout: 15_000 })).stdout;
    };
    await using storage = open('gs:rclone:/repo');
    await storage.create();
    const data = randomBytes(20 * 1024 * 1024);
    await writeFile(join(folder, name), data);
    await rclone('copyto', join(folder, name), `:gcs:rclone/repo/data/ab/${name}`);
    expect(data.equals(await storage.load({ type: 'pack', name }))).toBe(true);
    const small = randomBytes(1000);
    await storage.save({ type: 'index', name }, small);
    expect(small.equals(await rclone('cat', `:gcs:rclone/repo/index/${name}`))).toBe(true);
    const listed = (await rclone('lsf', '-R', '--files-only', ':gcs:rclone/repo')).toString('utf8');
    expect(listed.trim().split('\n').sort()).toEqual([`data/ab/${name}`, `index/${name}`]);
  });
});
