// The shell script that a recovering server calls, and who answers it: exit codes are what the server decides by.

import { spawn } from 'node:child_process';
import { access, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AppError } from '@varve/base';
import { afterEach, describe, expect, test } from 'vitest';
import { fetchScript, restoreCommand } from '../src/recovery/fetch-script.ts';
import { WalExchange, type WalFileSource } from '../src/recovery/wal-exchange.ts';

const segmentBytes = 1024 * 1024;
const folders: string[] = [];
afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true });
});

async function temporary(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'varve exchange’s-'));
  folders.push(folder);
  await mkdir(join(folder, 'pg_wal'));
  return folder;
}

const nameOf = (n: number): string => `0000000100000000${n.toString(16).toUpperCase().padStart(8, '0')}`;

async function* bytesOf(data: Uint8Array): AsyncGenerator<Uint8Array> {
  yield data;
}

const sourceOf = (files: ReadonlyMap<string, Uint8Array>): WalFileSource => ({
  open: async (name) => {
    const data = files.get(name);
    return data && bytesOf(data);
  },
});

/** Runs the command as the server does: system(3), in the data folder, with %f and %p replaced. */
async function fetch(
  folder: string,
  name: string,
  options: { readonly shell?: readonly string[]; readonly script?: string } = {},
): Promise<{ readonly code: number; readonly stderr: string }> {
  const script = options.script ?? join(folder, 'wal', 'fetch');
  const command = restoreCommand(script)
    .replaceAll('%%', '\0')
    .replaceAll('%f', name)
    .replaceAll('%p', `pg_wal/RECOVERYXLOG`);
  const [program = 'sh', ...before] = options.shell ?? ['sh'];
  const child = spawn(program, [...before, '-c', command.replaceAll('\0', '%')], { cwd: folder });
  let stderr = '';
  child.stderr.on('data', (data: Buffer) => (stderr += data.toString()));
  const code = await new Promise<number>((resolve) => child.once('close', (exit) => resolve(exit ?? -1)));
  return { code, stderr };
}

const taken = (folder: string): Promise<Buffer> => readFile(join(folder, 'pg_wal', 'RECOVERYXLOG'));

const shells: (readonly string[])[] = [];
for (const shell of [['sh'], ['bash'], ['busybox', 'sh']]) {
  const [program = ''] = shell;
  const paths = (process.env['PATH'] ?? '').split(':').map((path) => join(path, program));
  const found = await Promise.any(paths.map((path) => access(path))).then(
    () => true,
    () => false,
  );
  if (found) shells.push(shell);
}

describe.each(shells.map((shell) => ({ shell })))('the script in $shell', ({ shell }) => {
  test('ends with 0 for a file, padded to its size, and with 1 only for what is proven to be absent', async () => {
    const folder = await temporary();
    const files = new Map([
      [nameOf(1), Buffer.alloc(segmentBytes, 1)],
      [nameOf(2), Buffer.alloc(1000, 2)],
      ['00000002.history', Buffer.from('1\t0/3000000\treason\n')],
    ]);
    await using exchange = await WalExchange.start({
      folder: join(folder, 'wal'),
      sequence: [nameOf(1), nameOf(2)],
      source: sourceOf(files),
      segmentBytes,
      owner: undefined,
    });
    expect((await fetch(folder, nameOf(1), { shell })).code).toBe(0);
    expect(await taken(folder)).toEqual(Buffer.alloc(segmentBytes, 1));
    expect((await fetch(folder, nameOf(2), { shell })).code).toBe(0);
    expect(await taken(folder)).toEqual(Buffer.concat([Buffer.alloc(1000, 2), Buffer.alloc(segmentBytes - 1000)]));
    expect((await fetch(folder, '00000002.history', { shell })).code).toBe(0);
    expect((await taken(folder)).toString()).toBe('1\t0/3000000\treason\n');
    expect((await fetch(folder, nameOf(3), { shell })).code).toBe(1);
    expect((await fetch(folder, '00000003.history', { shell })).code).toBe(1);
    // Asked for again, as a server does at the end of its recovery.
    expect((await fetch(folder, nameOf(1), { shell })).code).toBe(0);
    expect(exchange.failure).toBeUndefined();
  });

  test('ends with 255 when nobody answers any more, and when anything else is wrong', async () => {
    const folder = await temporary();
    const place = join(folder, 'wal');
    for (const name of ['asked', 'ready', 'absent', 'failed']) await mkdir(join(place, name), { recursive: true });
    await writeFile(join(place, 'fetch'), fetchScript(1));
    await writeFile(join(place, 'alive'), '1 1\n');
    const silent = await fetch(folder, nameOf(1), { shell });
    expect(silent).toMatchObject({ code: 255, stderr: expect.stringContaining('does not answer any more') });
    await rm(join(place, 'alive'));
    expect((await fetch(folder, nameOf(1), { shell })).code).toBe(255);
    // The target cannot be written.
    await writeFile(join(place, 'ready', nameOf(1)), 'x');
    await rm(join(folder, 'pg_wal'), { recursive: true });
    expect((await fetch(folder, nameOf(1), { shell })).code).toBe(255);
    await rm(place, { recursive: true });
    expect((await fetch(folder, nameOf(1), { shell })).code).toBe(255);
  });

  test.each(['KILL', 'TERM', 'HUP'])(
    'that is ended by SIG%s is a failure, not a file that is absent',
    async (signal) => {
      const folder = await temporary();
      const script = join(folder, 'fetch');
      // As our script waits, and is ended from outside.
      await writeFile(script, `kill -${signal} $$; while true; do sleep 1; done\n`);
      expect((await fetch(folder, nameOf(1), { shell, script })).code).toBe(255);
    },
  );
});

describe('the exchange', () => {
  test('answers an error of the repository as a failure, with its words', async () => {
    const folder = await temporary();
    const source: WalFileSource = {
      open: () => Promise.reject(new AppError('REPOSITORY_DAMAGED', 'A pack is damaged.')),
    };
    await using exchange = await WalExchange.start({
      folder: join(folder, 'wal'),
      sequence: [],
      source,
      segmentBytes,
      owner: undefined,
    });
    expect(await fetch(folder, nameOf(1))).toMatchObject({
      code: 255,
      stderr: expect.stringContaining('A pack is damaged.'),
    });
    expect(exchange.failure).toMatchObject({ code: 'REPOSITORY_DAMAGED' });
  });

  test('tries again what may succeed, and the script waits for it', async () => {
    const folder = await temporary();
    let tries = 0;
    const source: WalFileSource = {
      open: async () => {
        tries += 1;
        if (tries < 3) throw new AppError('STORAGE_UNREACHABLE', 'No answer.', { retry: true });
        return bytesOf(Buffer.alloc(segmentBytes, 9));
      },
    };
    await using exchange = await WalExchange.start({
      folder: join(folder, 'wal'),
      sequence: [nameOf(1)],
      source,
      segmentBytes,
      owner: undefined,
    });
    expect((await fetch(folder, nameOf(1))).code).toBe(0);
    expect(exchange.failure).toBeUndefined();
  });

  test('keeps no more ready than its window, goes on as files are taken, and drops what was passed over', async () => {
    const folder = await temporary();
    const sequence = Array.from({ length: 40 }, (_, n) => nameOf(n));
    const files = new Map(sequence.map((name, n) => [name, Buffer.alloc(segmentBytes, n)]));
    const takenCounts: number[] = [];
    await using exchange = await WalExchange.start({
      folder: join(folder, 'wal'),
      sequence,
      source: sourceOf(files),
      segmentBytes,
      owner: undefined,
      windowBytes: 4 * segmentBytes,
      onTaken: (count) => takenCounts.push(count),
    });
    const ready = (): Promise<string[]> => readdir(join(folder, 'wal', 'ready'));
    await expect.poll(async () => (await ready()).length).toBe(4);
    for (let n = 0; n < 20; n++) {
      expect((await fetch(folder, nameOf(n))).code).toBe(0);
      expect(await taken(folder)).toEqual(files.get(nameOf(n)));
      expect((await ready()).length).toBeLessThanOrEqual(4);
    }
    // The server jumps ahead: what lies between is dropped, and the window moves.
    expect((await fetch(folder, nameOf(33))).code).toBe(0);
    await expect.poll(async () => (await ready()).toSorted()).toEqual([34, 35, 36, 37].map(nameOf));
    await expect.poll(() => takenCounts.at(-1)).toBe(34);
    // 20 that were taken, up to 4 that were dropped, the one that was jumped to, 4 that lie ready: none was read twice.
    expect(exchange.servedCount).toBeLessThanOrEqual(29);
    expect((await stat(join(folder, 'wal', 'ready', nameOf(34)))).size).toBe(segmentBytes);
  });

  test('that is closed answers absent for everything else, when nobody is there any more as well', async () => {
    const folder = await temporary();
    {
      await using exchange = await WalExchange.start({
        folder: join(folder, 'wal'),
        sequence: [],
        source: sourceOf(new Map()),
        segmentBytes,
        owner: undefined,
      });
      await exchange.close();
    }
    expect((await fetch(folder, '00000002.history')).code).toBe(1);
  });
});
