import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describeStorageContract, startSwiftServer, swiftServerMissing, type SwiftServer } from '@varve/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openStorage, type Storage } from '../src/index.ts';
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

  function open(path: string, changes: Record<string, string> = {}, settings = {}): Storage & AsyncDisposable {
    const environment = { AWS_ACCESS_KEY_ID: peer.accessKey, AWS_SECRET_ACCESS_KEY: peer.secretKey, ...changes };
    const storage = openStorage(`s3:${peer.endpoint}/${path}`, { environment, settings, retry: quick });
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
});
