import { AccountSASPermissions, BlobServiceClient } from '@azure/storage-blob';
import { describeStorageContract, findAzurite, startAzurite, type AzuriteServer } from '@varve/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openStorage, type Storage } from '../src/index.ts';

const quick = { attempts: 3, firstDelayMs: 1, maxDelayMs: 10 };
const name = 'ab'.repeat(32);
const azurite = findAzurite(import.meta.filename);

describe.skipIf(!azurite)(`Azurite${azurite ? '' : ' [skipped: azurite is not installed]'}`, () => {
  let peer: AzuriteServer;
  let count = 0;
  beforeAll(async () => {
    peer = await startAzurite(azurite ?? '');
  }, 90_000);
  afterAll(async () => {
    await peer[Symbol.asyncDispose]();
  });

  function open(location: string, connectionString = peer.connectionString): Storage & AsyncDisposable {
    const environment = { AZURE_STORAGE_CONNECTION_STRING: connectionString };
    const storage = openStorage(location, { environment, retry: quick });
    return Object.assign(storage, { [Symbol.asyncDispose]: () => storage.close() });
  }

  describeStorageContract('Azure Blob Storage', async () => ({
    storage: open(`azure:contract-${++count}:/some/where`),
    dispose: async () => {},
  }));

  test('a wrong key is denied, a container that is missing named, and neither shows the key', async () => {
    const key = Buffer.from('not the key').toString('base64');
    await using denied = open('azure:wrong:/', peer.connectionString.replace(/AccountKey=[^;]*/, `AccountKey=${key}`));
    await expect(denied.create()).rejects.toMatchObject({
      code: 'STORAGE_DENIED',
      hint: expect.stringContaining('AZURE_ACCOUNT_KEY'),
    });
    await using missing = open('azure:missing:/');
    await expect(missing.save({ type: 'index', name }, Buffer.from('x'))).rejects.toMatchObject({
      code: 'STORAGE_LOCATION_INVALID',
      hint: expect.stringContaining('no such container'),
    });
    await using broken = open('azure:broken:/', 'AccountKey=geheim');
    const failure = broken.create();
    await expect(failure).rejects.toMatchObject({ code: 'STORAGE_DENIED' });
    await expect(failure).rejects.not.toThrow(/geheim/);
  });

  test('a shared access signature lets in for what it allows, and is not shown', async () => {
    await using full = open('azure:signed:/');
    await full.create();
    const service = BlobServiceClient.fromConnectionString(peer.connectionString);
    const signed = (permissions: string): string => {
      const sas = service.generateAccountSasUrl(
        new Date(Date.now() + 3_600_000),
        AccountSASPermissions.parse(permissions),
        'sco',
      );
      const url = new URL(sas);
      return `BlobEndpoint=${url.origin}${url.pathname};SharedAccessSignature=${url.search.slice(1)}`;
    };
    await using storage = open('azure:signed:/', signed('rwdlac'));
    await storage.create();
    await storage.save({ type: 'index', name }, Buffer.from('x'));
    expect(await Array.fromAsync(storage.list('index'))).toEqual([{ name, sizeBytes: 1 }]);
    await using reader = open('azure:signed:/', signed('rl'));
    expect(await reader.load({ type: 'index', name })).toEqual(Buffer.from('x'));
    const failure = reader.remove({ type: 'index', name });
    await expect(failure).rejects.toMatchObject({ code: 'STORAGE_DENIED' });
    await expect(failure).rejects.not.toThrow(/sig=[^[]/);
  });

  test('the server tells its time', async () => {
    await using storage = open('azure:time:/');
    await storage.create();
    const time = await storage.serverTime?.();
    expect(Math.abs((time?.getTime() ?? 0) - Date.now())).toBeLessThan(5000);
  });
});

describe('a location after azure: or gs:', () => {
  test('is a container and a path', () => {
    for (const location of ['azure:', 'azure:container', 'azure::/path', 'gs:bucket', 'gs::/']) {
      expect(() => openStorage(location)).toThrow(expect.objectContaining({ code: 'STORAGE_LOCATION_INVALID' }));
    }
    expect(openStorage('gs:bucket:/path').location).toBe('gs:bucket:/path');
  });

  test('needs an account in the environment', async () => {
    const storage = openStorage('azure:container:/', { environment: {} });
    await expect(storage.create()).rejects.toMatchObject({
      code: 'STORAGE_DENIED',
      hint: expect.stringContaining('AZURE_ACCOUNT_NAME'),
    });
  });
});
