import { randomBytes } from 'node:crypto';
import { execFileSync } from 'node:child_process';
import { chmod, mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Download } from '@varve/app';
import { newAppSchema, newSnapshotSchema, snapshotFolderSchema } from '@varve/contract';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { contentDisposition } from '../src/routes/content-disposition.ts';
import { downloadStream } from '../src/routes/download-stream.ts';
import { errorCode, startTestServer, type TestServer } from './server-fixture.ts';

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

let it: TestServer;
let base: string;
const big = randomBytes(30_000_000);
const oddName = 'año "2026"; filename=x\n%41.txt';

beforeAll(async () => {
  it = await startTestServer();
  await it.signUp();
  const files = join(it.folder, 'files');
  await mkdir(join(files, 'sub'), { recursive: true });
  await writeFile(join(files, 'big.bin'), big);
  await writeFile(join(files, oddName), 'odd\n');
  await writeFile(join(files, 'sub', 'inner.txt'), 'inner\n');
  await writeFile(join(files, 'empty'), '');
  await symlink('sub/inner.txt', join(files, 'link'));
  await it.varve.addApp(newAppSchema.parse({ type: 'host', id: 'shop', folders: [files] }));
  const job = await it.varve.startSnapshot('shop', newSnapshotSchema.parse({}), 'test');
  expect(await it.varve.waitForJob(job.id)).toMatchObject({ state: 'succeeded' });
  base = '/api/apps/shop/snapshots/latest';
});

afterAll(() => it[Symbol.asyncDispose]());

async function list(query: string): Promise<ReturnType<typeof snapshotFolderSchema.parse>> {
  const response = await it.call('GET', `${base}/files${query}`);
  expect(response.status).toBe(200);
  return snapshotFolderSchema.parse(await response.json());
}

function download(path: string, format = 'file', init: { signal?: AbortSignal } = {}): Promise<Response> {
  return it.call('GET', `${base}/download?${new URLSearchParams({ path, format }).toString()}`, undefined, init);
}

async function locks(): Promise<string[]> {
  return readdir(join(it.varve.dataDirectory, 'repository', 'locks'));
}

describe('a snapshot', () => {
  test('is listed folder by folder, folders first, page by page', async () => {
    const root = await list('');
    expect(root.entries.map(({ name, type }) => [name, type])).toEqual([
      ['volumes', 'folder'],
      ['manifest.json', 'file'],
    ]);
    const folder = await list('?path=/volumes/files/');
    expect(folder).toMatchObject({ path: '/volumes/files', total: 5 });
    const shown = new Map(folder.entries.map((entry) => [entry.name, entry]));
    expect(folder.entries[0]).toMatchObject({ name: 'sub', path: '/volumes/files/sub', type: 'folder', bytes: null });
    expect(shown.get('big.bin')).toMatchObject({ type: 'file', bytes: big.length, target: null });
    expect(shown.get('link')).toMatchObject({ type: 'link', target: 'sub/inner.txt' });
    const { mtimeMs } = await stat(join(it.folder, 'files', 'big.bin'));
    expect(Date.parse(shown.get('big.bin')?.modifiedAt ?? '')).toBe(Math.floor(mtimeMs));
    const second = await list('?path=/volumes/files&offset=3&limit=1');
    expect(second.entries.map(({ path }) => path)).toEqual([folder.entries[3]?.path]);
    expect(second.total).toBe(5);
  });

  test('says what is not there, and refuses what is no path', async () => {
    for (const [query, code] of [
      ['?path=/nothing', 'PATH_NOT_FOUND'],
      ['?path=/manifest.json', 'PATH_NOT_FOUND'],
      ['?path=/volumes/../manifest.json/x', 'PATH_NOT_FOUND'],
      ['?path=volumes', 'USAGE_INVALID'],
      ['?limit=0', 'USAGE_INVALID'],
    ] as const)
      expect(`${query} ${await errorCode(await it.call('GET', `${base}/files${query}`))}`).toBe(`${query} ${code}`);
    expect(await errorCode(await it.call('GET', '/api/apps/shop/snapshots/ffff/files'))).toBe('SNAPSHOT_NOT_FOUND');
    expect(await errorCode(await it.call('GET', '/api/apps/ghost/snapshots/latest/files'))).toBe('APP_NOT_FOUND');
  });
});

describe('a download', () => {
  test('of a file is the file, with its length, and leaves no lock', async () => {
    const response = await download('/volumes/files/big.bin');
    expect(response.headers.get('content-type')).toBe('application/octet-stream');
    expect(response.headers.get('content-length')).toBe(String(big.length));
    expect(response.headers.get('content-disposition')).toBe(
      `attachment; filename="big.bin"; filename*=UTF-8''big.bin`,
    );
    expect(response.headers.get('cache-control')).toBe('no-store');
    expect(Buffer.from(await response.arrayBuffer()).equals(big)).toBe(true);
    await vi.waitFor(async () => expect(await locks()).toEqual([]));
    expect((await (await download('/volumes/files/empty')).arrayBuffer()).byteLength).toBe(0);
  });

  test('of a file with an odd name has a name that is safe in a header', async () => {
    const { entries } = await list('?path=/volumes/files');
    const odd = entries.find(({ name }) => name.startsWith('año'));
    const response = await download(odd?.path ?? '');
    expect(await response.text()).toBe('odd\n');
    expect(response.headers.get('content-disposition')).toMatch(
      /^attachment; filename="[ -!#-[\]-~]*"; filename\*=UTF-8''[\w%.~!-]+$/,
    );
  });

  test.each(['tar', 'zip'])('of a folder is a %s with everything below it', async (format) => {
    const response = await download('/volumes/files', format);
    expect(response.headers.get('content-disposition')).toMatch(
      new RegExp(`filename="shop-\\d{4}-\\d\\d-\\d\\d-\\d{4}-files\\.${format}"`),
    );
    const bytes = Buffer.from(await response.arrayBuffer());
    if (format === 'zip') {
      expect(bytes.subarray(0, 4).toString('latin1')).toBe('PK\u0003\u0004');
      expect(bytes.subarray(-22, -18).toString('latin1')).toBe('PK\u0005\u0006');
      expect(bytes.includes('sub/inner.txt')).toBe(true);
      return;
    }
    const path = join(it.folder, 'files.tar');
    await writeFile(path, bytes);
    const read = (name: string): Buffer => execFileSync('tar', ['-xOf', path, name], { maxBuffer: 2 * big.length });
    expect(read('sub/inner.txt').toString()).toBe('inner\n');
    expect(read('big.bin').equals(big)).toBe(true);
  });

  test('of the whole snapshot is an archive, and of a folder as a file is refused', async () => {
    const whole = await download('/', 'tar');
    expect(whole.headers.get('content-disposition')).toMatch(/filename="shop-[\d-]+\.tar"/);
    await whole.arrayBuffer();
    for (const path of ['/', '/volumes']) expect(await errorCode(await download(path))).toBe('PATH_NOT_FOUND');
    expect(await errorCode(await download('/nothing', 'zip'))).toBe('PATH_NOT_FOUND');
    await vi.waitFor(async () => expect(await locks()).toEqual([]));
  });

  test('that is asked for its head only reads nothing', async () => {
    const response = await it.call('HEAD', `${base}/download?path=/volumes/files/big.bin`);
    expect([response.status, response.headers.get('content-length')]).toEqual([200, String(big.length)]);
    await vi.waitFor(async () => expect(await locks()).toEqual([]));
  });

  test('holds a lock while it runs, and ends when the reader leaves', async () => {
    const gone = new AbortController();
    const response = await download('/volumes/files/big.bin', 'file', { signal: gone.signal });
    const reader = response.body?.getReader();
    await reader?.read();
    expect(await locks()).toHaveLength(1);
    gone.abort();
    await vi.waitFor(async () => expect(await locks()).toEqual([]), 10_000);
  });

  test('is for users only', async () => {
    const response = await fetch(`http://127.0.0.1:${it.port}${base}/download?path=/manifest.json`);
    expect([response.status, await errorCode(response)]).toEqual([401, 'AUTH_REQUIRED']);
  });

  // The last one: the repository is damaged after it.
  test('of something damaged is cut off, so that nobody takes it for whole', async () => {
    const data = join(it.varve.dataDirectory, 'repository', 'data');
    for (const entry of await readdir(data, { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath, entry.name);
      if (!entry.isFile() || (await stat(path)).size < 1_000_000) continue;
      const bytes = await readFile(path);
      bytes.fill(0, bytes.length >> 1, (bytes.length >> 1) + 64);
      await chmod(path, 0o600);
      await writeFile(path, bytes);
    }
    for (const format of ['file', 'zip']) {
      const broken = download('/volumes/files/big.bin', format).then((response) => response.arrayBuffer());
      await expect(broken).rejects.toThrow('terminated');
    }
    await vi.waitFor(async () => expect(await locks()).toEqual([]), 10_000);
  });
});

describe('the name of a download', () => {
  test.each([
    ['report.pdf', `attachment; filename="report.pdf"; filename*=UTF-8''report.pdf`],
    ['a"b\\c/d.txt', `attachment; filename="a_b_c_d.txt"; filename*=UTF-8''a_b_c_d.txt`],
    ['x\r\nSet-Cookie: y', `attachment; filename="x__Set-Cookie_ y"; filename*=UTF-8''x__Set-Cookie_%20y`],
    ['..', `attachment; filename="_"; filename*=UTF-8''_`],
    ['.htaccess', `attachment; filename="_htaccess"; filename*=UTF-8''_htaccess`],
    ['\u202egpj.exe', `attachment; filename="_gpj.exe"; filename*=UTF-8''_gpj.exe`],
    ['', `attachment; filename="download"; filename*=UTF-8''download`],
    ["it's (1)", `attachment; filename="it's (1)"; filename*=UTF-8''it%27s%20%281%29`],
    ['niño.txt', `attachment; filename="ni_o.txt"; filename*=UTF-8''ni%C3%B1o.txt`],
  ])('%j is safe in a header', (name, header) => {
    expect(contentDisposition(name)).toBe(header);
  });

  test('is cut, with its extension kept', () => {
    expect(contentDisposition(`${'x'.repeat(300)}.tar`)).toContain(`filename="${'x'.repeat(116)}.tar"`);
  });
});

describe('the stream of a download', () => {
  /** A download of ten parts that tells how many were read and whether it was disposed of. */
  function counted() {
    const seen = { read: 0, disposed: 0, cutOff: 0, failures: [] as unknown[] };
    const gone = new AbortController();
    const content = async function* (): AsyncGenerator<Uint8Array> {
      for (let part = 0; part < 10; part++) {
        seen.read++;
        yield new Uint8Array([part]);
      }
    };
    const download: Download = {
      name: 'x',
      bytes: null,
      content: content(),
      [Symbol.asyncDispose]: async () => void seen.disposed++,
    };
    const stream = (stallMs: number): ReadableStream<Uint8Array> =>
      downloadStream(download, {
        gone,
        stallMs,
        onFailure: (error) => seen.failures.push(error),
        cutOff: () => void seen.cutOff++,
      });
    return { seen, gone, stream };
  }

  test('reads no further ahead of its reader than one part', async () => {
    const { seen, gone, stream } = counted();
    const reader = stream(60_000).getReader();
    expect((await reader.read()).value).toEqual(new Uint8Array([0]));
    await new Promise((resolve) => setImmediate(resolve));
    expect(seen.read).toBeLessThanOrEqual(2);
    await reader.cancel();
    expect(gone.signal.aborted).toBe(true);
    expect(seen).toMatchObject({ disposed: 1, failures: [] });
  });

  test('is ended when its reader takes nothing any more', async () => {
    const { seen, gone, stream } = counted();
    const reader = stream(20).getReader();
    await reader.read();
    await vi.waitFor(() => expect(seen).toMatchObject({ disposed: 1, cutOff: 1 }));
    expect(gone.signal.reason).toMatchObject({ code: 'CANCELLED' });
  });

  test('that is read to its end is disposed of once, and not cut off', async () => {
    const { seen, stream } = counted();
    expect((await new Response(stream(60_000)).arrayBuffer()).byteLength).toBe(10);
    expect(seen).toEqual({ read: 10, disposed: 1, cutOff: 0, failures: [] });
  });
});
