import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openStorage, type Environment } from '../src/index.ts';
import { retryAfterOf } from '../src/retry-after.ts';

const retry = { attempts: 1, firstDelayMs: 1, maxDelayMs: 1 };
const config = { type: 'config', name: '' } as const;

describe('over TLS', () => {
  let folder: string;
  let server: Server;
  let address: string;
  /** Whether the last client showed a certificate that the server trusts. */
  let isKnown = false;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'varve-tls-'));
    const files = ['-keyout', join(folder, 'key'), '-out', join(folder, 'certificate')];
    const name = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1'];
    const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1'];
    await promisify(execFile)('openssl', ['req', '-x509', '-nodes', '-days', '2', ...curve, ...name, ...files]);
    const [key, cert] = await Promise.all(['key', 'certificate'].map((file) => readFile(join(folder, file))));
    await writeFile(join(folder, 'both'), Buffer.concat([cert ?? '', key ?? ''] as Buffer[]));
    const options = { key, cert, ca: cert, requestCert: true, rejectUnauthorized: false };
    server = createServer(options, (request, response) => {
      isKnown = (request.socket as TLSSocket).authorized;
      response.writeHead(404).end();
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const bound = server.address();
    address = `https://127.0.0.1:${bound !== null && typeof bound === 'object' ? bound.port : 0}`;
  });
  afterAll(async () => {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
    await rm(folder, { recursive: true });
  });

  const kinds = [
    ['REST', () => `rest:${address}/`, {}],
    ['S3', () => `s3:${address}/bucket`, { AWS_ACCESS_KEY_ID: 'id', AWS_SECRET_ACCESS_KEY: 'key' }],
    ['Google', () => 'gs:bucket:/', {}],
  ] as const;

  test.each(kinds)('%s trusts what RESTIC_CACERT names and shows RESTIC_TLS_CLIENT_CERT', async (_, location, more) => {
    const codeWith = async (environment: Environment): Promise<unknown> => {
      const all = { STORAGE_EMULATOR_HOST: address, ...more, ...environment };
      const storage = openStorage(location(), { environment: all, retry });
      const code = await storage.stat(config).catch((error: unknown) => error);
      await storage.close();
      return code;
    };
    expect(await codeWith({})).toMatchObject({
      code: 'STORAGE_DENIED',
      hint: expect.stringContaining('RESTIC_CACERT'),
    });
    const ca = { RESTIC_CACERT: join(folder, 'certificate') };
    expect(await codeWith(ca)).toMatchObject({ code: 'STORAGE_FILE_NOT_FOUND' });
    expect(isKnown).toBe(false);
    const both = { ...ca, RESTIC_TLS_CLIENT_CERT: join(folder, 'both') };
    expect(await codeWith(both)).toMatchObject({ code: 'STORAGE_FILE_NOT_FOUND' });
    expect(isKnown).toBe(true);
    const missing = { RESTIC_CACERT: join(folder, 'nothing') };
    expect(await codeWith(missing)).toMatchObject({
      code: 'STORAGE_DENIED',
      message: expect.stringContaining('RESTIC_CACERT'),
    });
  });
});

describe('Retry-After', () => {
  test('is seconds or a date, and anything else is nothing', () => {
    const now = new Date('2026-01-01T00:00:00Z');
    expect(
      ['120', ' 0 ', 'Thu, 01 Jan 2026 00:00:30 GMT', 'Wed, 31 Dec 2025 23:00:00 GMT', 'soon', '', undefined].map(
        (text) => retryAfterOf(text, now),
      ),
    ).toEqual([120_000, 0, 30_000, 0, undefined, undefined, undefined]);
  });
});
