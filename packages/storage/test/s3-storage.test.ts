import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  S3Client,
} from '@aws-sdk/client-s3';
import { AppError } from '@varve/base';
import {
  describeStorageContract,
  startFaultProxy,
  startSwiftServer,
  swiftServerMissing,
  type FaultProxy,
  type SwiftServer,
} from '@varve/testing';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { openStorage, validateStorage, type Storage } from '../src/index.ts';
import { abortAbandoned } from '../src/s3/s3-multipart.ts';
import { parseS3Location } from '../src/s3/s3-location.ts';

const quick = { attempts: 3, firstDelayMs: 1, maxDelayMs: 10 };
const name = 'ab'.repeat(32);
const missing = swiftServerMissing();

describe.skipIf(missing)(`OpenStack Swift with s3api${missing ? ` [skipped: ${missing}]` : ''}`, () => {
  let folder: string;
  let peer: SwiftServer;
  let count = 0;
  // restic itself cannot write there: this Swift refuses the chunked signatures (aws-chunked) that restic's client makes.
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'varve-s3-'));
    peer = await startSwiftServer(folder);
  }, 90_000);
  afterAll(async () => {
    await peer[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  });

  function open(path: string, changes: Record<string, string> = {}): Storage & AsyncDisposable {
    return openAt(peer.endpoint, path, changes, {});
  }

  function openAt(
    endpoint: string,
    path: string,
    changes: Record<string, string>,
    settings: Record<string, string>,
  ): Storage & AsyncDisposable {
    const environment = { AWS_ACCESS_KEY_ID: peer.accessKey, AWS_SECRET_ACCESS_KEY: peer.secretKey, ...changes };
    const storage = openStorage(`s3:${endpoint}/${path}`, { environment, settings, retry: quick });
    return Object.assign(storage, { [Symbol.asyncDispose]: () => storage.close() });
  }

  describeStorageContract('S3', async () => ({
    storage: open(`contract-${++count}/some/where`),
    dispose: async () => {},
  }));

  test('wrong keys and a missing bucket are told apart, with what to do', async () => {
    await using wrongSecret = open('errors', { AWS_SECRET_ACCESS_KEY: 'wrong' });
    await expect(wrongSecret.save({ type: 'index', name }, Buffer.from('x'))).rejects.toMatchObject({
      code: 'STORAGE_DENIED',
      hint: expect.stringContaining('AWS_SECRET_ACCESS_KEY'),
    });
    await using wrongId = open('errors', { AWS_ACCESS_KEY_ID: 'test:nobody' });
    await expect(Array.fromAsync(wrongId.list('index'))).rejects.toMatchObject({ code: 'STORAGE_DENIED' });
    await using noBucket = open('no-such-bucket');
    await expect(noBucket.save({ type: 'index', name }, Buffer.from('x'))).rejects.toMatchObject({
      code: 'STORAGE_LOCATION_INVALID',
      hint: expect.stringContaining('no such bucket'),
    });
  });

  test('a bucket is asked for by a region that it is not in', async () => {
    await using storage = open('region', { AWS_DEFAULT_REGION: 'eu-west-1' });
    await expect(storage.load({ type: 'index', name })).rejects.toMatchObject({ code: 'STORAGE_LOCATION_INVALID' });
  });

  describe('in parts', () => {
    const large = randomBytes(33 * 1024 * 1024);
    const handle = { type: 'pack', name } as const;
    let proxy: FaultProxy;
    beforeAll(async () => {
      proxy = await startFaultProxy(peer.endpoint);
    });
    afterEach(() => proxy.misbehave(undefined));
    afterAll(() => proxy[Symbol.asyncDispose]());

    /** Uploads that were begun and neither completed nor aborted, and objects that are there. */
    async function leftIn(bucket: string): Promise<{ uploads: number; objects: number }> {
      const client = new S3Client({
        endpoint: peer.endpoint,
        region: peer.region,
        forcePathStyle: true,
        credentials: { accessKeyId: peer.accessKey, secretAccessKey: peer.secretKey },
      });
      const { Uploads = [] } = await client.send(new ListMultipartUploadsCommand({ Bucket: bucket }));
      const { Contents = [] } = await client.send(new ListObjectsV2Command({ Bucket: bucket }));
      client.destroy();
      return { uploads: Uploads.length, objects: Contents.length };
    }

    function through(bucket: string, settings: Record<string, string> = {}): Storage & AsyncDisposable {
      return openAt(proxy.url, bucket, {}, settings);
    }

    test('a large file comes back as it was saved, and is not replaced', async () => {
      await using storage = through('parts');
      await storage.create();
      // In two buffers, whose border is inside of a part.
      await storage.save(handle, [large.subarray(0, 20_000_001), large.subarray(20_000_001)]);
      expect(large.equals(await storage.load(handle))).toBe(true);
      expect(await storage.load(handle, { offset: -1000 })).toEqual(large.subarray(-1000));
      await expect(storage.save(handle, large)).rejects.toMatchObject({ code: 'STORAGE_FILE_EXISTS' });
      expect(await leftIn('parts')).toEqual({ uploads: 0, objects: 1 });
      expect(proxy.requests.filter(({ url }) => url.includes('partNumber=')).length).toBe(3);
    });

    test('a part whose connection breaks is sent again, and no other', async () => {
      await using storage = through('broken-part');
      await storage.create();
      let broken = 0;
      const before = proxy.requests.length;
      proxy.misbehave(({ url }) => {
        if (!url.includes('partNumber=2') || ++broken > 1) return undefined;
        return { kind: 'cut-request', afterBytes: 1_000_000 };
      });
      await storage.save(handle, large);
      expect(large.equals(await storage.load(handle))).toBe(true);
      const parts = proxy.requests.slice(before).flatMap(({ url }) => /partNumber=(\d)/.exec(url)?.[1] ?? []);
      expect(parts.sort()).toEqual(['1', '2', '2', '3']);
    });

    test('what is damaged on the way is refused and sent again, whole or the part alone', async () => {
      await using storage = through('damaged');
      await storage.create();
      for (const [data, pattern, expected] of [
        [large.subarray(0, 3_000_000), /damaged\/data/, 2],
        [large, /partNumber=2/, 2],
      ] as const) {
        const digest = createHash('sha256').update(data).digest('hex');
        let count = 0;
        proxy.misbehave(({ method, url }) => {
          if (method !== 'PUT' || !pattern.test(url) || ++count > 1) return undefined;
          return { kind: 'damage-request', atByte: 1_000_000 };
        });
        await storage.save({ type: 'pack', name: digest }, data);
        expect(count).toBe(expected);
        expect(data.equals(await storage.load({ type: 'pack', name: digest }))).toBe(true);
      }
    });

    test('an upload that is refused in the middle, or cancelled, is aborted and leaves nothing', async () => {
      await using storage = through('refused-part');
      await storage.create();
      const body = '<Error><Code>AccessDenied</Code><Message>no</Message></Error>';
      proxy.misbehave(({ url }) => (url.includes('partNumber=3') ? { kind: 'answer', status: 403, body } : undefined));
      await expect(storage.save(handle, large)).rejects.toMatchObject({ code: 'STORAGE_DENIED' });
      expect(await leftIn('refused-part')).toEqual({ uploads: 0, objects: 0 });
      const controller = new AbortController();
      proxy.misbehave(({ url }) => {
        if (url.includes('partNumber=2')) controller.abort();
        return undefined;
      });
      const { signal } = controller;
      await expect(storage.save(handle, large, { signal })).rejects.toMatchObject({ code: 'CANCELLED' });
      expect(await leftIn('refused-part')).toEqual({ uploads: 0, objects: 0 });
    });

    test('the answer to the last request may be lost: what is there then is ours', async () => {
      await using storage = through('lost-answer');
      await storage.create();
      let lost = 0;
      proxy.misbehave(({ method, url }) => {
        const isComplete = method === 'POST' && url.includes('uploadId=');
        return isComplete && ++lost === 1 ? { kind: 'lose-answer' } : undefined;
      });
      await storage.save(handle, large);
      expect(large.equals(await storage.load(handle))).toBe(true);
      expect(await leftIn('lost-answer')).toEqual({ uploads: 0, objects: 1 });
    });

    test('what a process that died has begun is aborted a day later, not before', async () => {
      const client = new S3Client({
        endpoint: peer.endpoint,
        region: peer.region,
        forcePathStyle: true,
        credentials: { accessKeyId: peer.accessKey, secretAccessKey: peer.secretKey },
      });
      await client.send(new CreateBucketCommand({ Bucket: 'abandoned' }));
      const begin = new CreateMultipartUploadCommand({ Bucket: 'abandoned', Key: 'repo/data/aa/x' });
      await client.send(begin);
      const context = { client, bucket: 'abandoned', toError: () => new AppError('STORAGE_UNREACHABLE', 'away') };
      const options = { prefix: 'repo/', signal: undefined };
      await abortAbandoned(context, { ...options, now: new Date(Date.now() + 23 * 3_600_000) });
      expect((await leftIn('abandoned')).uploads).toBe(1);
      await abortAbandoned(context, { ...options, prefix: 'other/', now: new Date(Date.now() + 48 * 3_600_000) });
      expect((await leftIn('abandoned')).uploads).toBe(1);
      await abortAbandoned(context, { ...options, now: new Date(Date.now() + 25 * 3_600_000) });
      expect((await leftIn('abandoned')).uploads).toBe(0);
      client.destroy();
    });
  });

  describe('with settings for files', () => {
    let proxy: FaultProxy;
    beforeAll(async () => {
      proxy = await startFaultProxy(peer.endpoint);
    });
    afterAll(() => proxy[Symbol.asyncDispose]());

    /** The header of the request that stored a file of each kind. */
    async function headersOf(
      bucket: string,
      header: string,
      settings: Record<string, string>,
    ): Promise<Record<string, string | string[] | undefined>> {
      await using storage = openAt(proxy.url, bucket, {}, settings);
      await storage.create();
      const found: Record<string, string | string[] | undefined> = {};
      for (const [label, type, rarelyRead] of kinds) {
        const before = proxy.requests.length;
        const data = randomBytes(10);
        const hash = createHash('sha256').update(data).digest('hex');
        const saved = storage.save({ type, name: type === 'config' ? '' : hash }, data, { rarelyRead });
        // Swift knows one class only; what it was asked for is what counts.
        await saved.catch((error: unknown) => expect(String(error)).toContain('InvalidStorageClass'));
        const put = proxy.requests.slice(before).find(({ method }) => method === 'PUT');
        found[label] = put?.headers[header];
      }
      return found;
    }
    const kinds = [
      ['config', 'config', false],
      ['lock', 'lock', false],
      ['snapshot', 'snapshot', false],
      ['trees', 'pack', false],
      ['data', 'pack', true],
    ] as const;

    test('what is throttled waits as long as it is told to, and is then done', async () => {
      await using storage = openAt(proxy.url, 'throttled', {}, {});
      await storage.create();
      let count = 0;
      const body = '<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>';
      const fault = { kind: 'answer', status: 503, headers: { 'retry-after': '1' }, body } as const;
      proxy.misbehave(({ method }) => (method === 'PUT' && ++count === 1 ? fault : undefined));
      const before = proxy.requests.length;
      await storage.save({ type: 'index', name }, Buffer.from('x'));
      proxy.misbehave(undefined);
      const [first, second] = proxy.requests.slice(before).filter(({ method }) => method === 'PUT');
      expect((second?.at ?? 0) - (first?.at ?? 0)).toBeGreaterThan(990);
    });

    test('an archive class is for packs of data only, another for every file', async () => {
      const glacier = await headersOf('class-1', 'x-amz-storage-class', { 's3.storage-class': 'GLACIER' });
      expect(glacier).toEqual({ data: 'GLACIER' });
      const seldom = await headersOf('class-2', 'x-amz-storage-class', { 's3.storage-class': 'STANDARD_IA' });
      expect(Object.values(seldom)).toEqual(Array.from({ length: 5 }, () => 'STANDARD_IA'));
    });

    test('a retention is put on every file but locks', async () => {
      const settings = { 's3.object-lock-mode': 'compliance', 's3.object-lock-days': '30' };
      const date = 'x-amz-object-lock-retain-until-date';
      const { lock, ...others } = await headersOf('lock-1', date, settings);
      expect(lock).toBeUndefined();
      for (const until of Object.values(others)) {
        expect(Math.abs(Date.parse(String(until)) - Date.now() - 30 * 86_400_000)).toBeLessThan(60_000);
      }
      expect(proxy.requests.filter((each) => each.headers['x-amz-object-lock-mode'] === 'COMPLIANCE')).toHaveLength(4);
    });

    test('the first version of the list finds the same', async () => {
      await using storage = openAt(proxy.url, 'list-1', {}, { 's3.list-objects-v1': 'true' });
      await storage.create();
      const names = Array.from({ length: 5 }, (_, index) => String(index).repeat(64));
      for (const each of names) await storage.save({ type: 'index', name: each }, Buffer.from(each));
      const found = await Array.fromAsync(storage.list('index'), (info) => info.name);
      expect(found.sort()).toEqual(names);
      const lists = proxy.requests.filter(({ method, url }) => method === 'GET' && url.includes('prefix='));
      expect(lists.at(-1)?.url).not.toContain('list-type=2');
    });
  });

  test('a clock here that is off is corrected by what the server says, and measured', async () => {
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() - 2 * 3_600_000 });
    try {
      await using storage = open('skew');
      await storage.create();
      await storage.save({ type: 'index', name }, Buffer.from('x'));
      const checks = await validateStorage(storage);
      expect(checks.at(-1)).toMatchObject({ name: 'clock', outcome: 'failed' });
      expect(checks.at(-1)?.detail).toMatch(/clock here is 7\d{3} s behind/);
    } finally {
      vi.useRealTimers();
    }
  });

  test('the server tells its time', async () => {
    await using storage = open('time');
    await storage.create();
    const time = await storage.serverTime?.();
    expect(Math.abs((time?.getTime() ?? 0) - Date.now())).toBeLessThan(5000);
  });
});

describe('a location after s3:', () => {
  test('is read as restic reads it', () => {
    const amazon = { endpoint: null, region: undefined, bucket: 'bucket', prefix: '' };
    expect(parseS3Location('s3:s3.amazonaws.com/bucket')).toEqual(amazon);
    expect(parseS3Location('s3:bucket/a/b/')).toEqual({ ...amazon, prefix: 'a/b' });
    expect(parseS3Location('s3:s3.eu-west-1.amazonaws.com/bucket')).toEqual({ ...amazon, region: 'eu-west-1' });
    expect(parseS3Location('s3:https://host:9000/bucket/p')).toEqual({
      endpoint: 'https://host:9000',
      region: undefined,
      bucket: 'bucket',
      prefix: 'p',
    });
    expect(parseS3Location('s3:host.example/bucket').endpoint).toBe('https://host.example');
    expect(parseS3Location('s3://localhost/bucket').endpoint).toBe('https://localhost');
    expect(parseS3Location('s3:http://127.0.0.1:80/bucket').endpoint).toBe('http://127.0.0.1:80');
  });

  test('without a bucket, or with keys in it, is refused', () => {
    for (const location of ['s3:', 's3:host.example', 's3:https://host/', 's3:https://id:key@host/bucket']) {
      expect(() => openStorage(location)).toThrow(expect.objectContaining({ code: 'STORAGE_LOCATION_INVALID' }));
    }
    expect(() => openStorage('s3:bucket', { settings: { 's3.bucket-lookup': 'x' } })).toThrow(/bucket-lookup/);
  });

  test('takes the settings of a lock only together and in bounds', () => {
    const lock = (mode: string | undefined, days: string | undefined) => () => {
      const given = Object.entries({ 's3.object-lock-mode': mode, 's3.object-lock-days': days });
      const settings = Object.fromEntries(given.filter(([, value]) => value !== undefined)) as Record<string, string>;
      return openStorage('s3:bucket', { settings });
    };
    expect(lock('governance', '1')).not.toThrow();
    expect(lock('COMPLIANCE', '36500')).not.toThrow();
    for (const [mode, days] of [
      ['governance', undefined],
      [undefined, '1'],
      ['governance', '0'],
      ['governance', '36501'],
      ['governance', '1.5'],
      ['never', '1'],
    ] as const) {
      expect(lock(mode, days)).toThrow(expect.objectContaining({ code: 'USAGE_INVALID' }));
    }
    expect(() => openStorage('s3:bucket', { settings: { 's3.list-objects-v1': 'yes' } })).toThrow(/list-objects-v1/);
  });
});
