import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  describeStorageContract,
  quickTemporaryFolder,
  rcloneAvailable,
  resticAvailable,
  runRestic,
} from '@varve/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openStorage, type Storage } from '../src/index.ts';
import { splitWords } from '../src/rclone/split-words.ts';

const quick = { attempts: 3, firstDelayMs: 1, maxDelayMs: 10 };
const name = 'ab'.repeat(32);
const rclone = await rcloneAvailable();

describe.skipIf(!rclone)(`rclone with a local remote${rclone ? '' : ' [skipped: rclone is not installed]'}`, () => {
  let folder: string;
  let count = 0;
  let environment: Record<string, string | undefined>;
  beforeAll(async () => {
    folder = await mkdtemp(join(quickTemporaryFolder(), 'varve-rclone-'));
    await writeFile(join(folder, 'rclone.conf'), `[here]\ntype = alias\nremote = ${folder}\n`);
    environment = { PATH: process.env['PATH'], HOME: folder, RCLONE_CONFIG: join(folder, 'rclone.conf') };
  });
  afterAll(async () => {
    await rm(folder, { recursive: true });
  });

  function open(path: string, settings: Record<string, string> = {}): Storage & AsyncDisposable {
    const storage = openStorage(`rclone:here:${path}`, { environment, settings, retry: quick });
    return Object.assign(storage, { [Symbol.asyncDispose]: () => storage.close() });
  }

  describeStorageContract('rclone', async () => ({ storage: open(`contract/${++count}`), dispose: async () => {} }));

  test('restic reads through the same remote what it wrote, and we list it', async (context) => {
    if (!(await resticAvailable())) return context.skip('restic is not installed');
    const env = { RCLONE_CONFIG: environment['RCLONE_CONFIG'] ?? '', HOME: folder };
    await runRestic({ repo: 'rclone:here:restic', password: 'p' }, ['init'], { env });
    await using storage = open('restic');
    expect(await Array.fromAsync(storage.list('key'))).toHaveLength(1);
  });

  test('a program that dies is started again, and one that cannot live is named with what it said', async () => {
    await using storage = open('dies');
    await storage.create();
    const children = await childrenNamed('rclone', 'here:dies');
    expect(children).toHaveLength(1);
    for (const pid of children) process.kill(pid, 'SIGKILL');
    await storage.save({ type: 'index', name }, Buffer.from('x'));
    expect(Buffer.from(await storage.load({ type: 'index', name })).toString()).toBe('x');

    const unknown = openStorage('rclone:nowhere:x', { environment, retry: quick });
    await expect(unknown.create()).rejects.toMatchObject({
      code: 'STORAGE_UNREACHABLE',
      message: expect.stringMatching(/exit code 1.*didn't find section in config file/s),
      hint: expect.stringContaining('rclone lsd'),
    });
    await unknown.close();
  });

  test('a program that is missing is named', async () => {
    await using storage = open('x', { 'rclone.program': '/nonexistent/rclone' });
    await expect(storage.create()).rejects.toMatchObject({
      code: 'STORAGE_UNREACHABLE',
      hint: expect.stringContaining('Install rclone'),
    });
  });

  test('closing ends the program', async () => {
    const storage = open('closed');
    await storage.create();
    expect(await childrenNamed('rclone', 'here:closed')).toHaveLength(1);
    await storage.close();
    expect(await childrenNamed('rclone', 'here:closed')).toEqual([]);
  });
});

describe('a location after rclone:', () => {
  test('is a remote, and hides the password of one on the fly', () => {
    for (const location of ['rclone:', 'rclone: ', 'rclone:--config=x']) {
      expect(() => openStorage(location)).toThrow(expect.objectContaining({ code: 'STORAGE_LOCATION_INVALID' }));
    }
    expect(openStorage('rclone::sftp,host=h,pass=geheim:path').location).toBe(
      'rclone::sftp,host=h,pass=[redacted]:path',
    );
  });

  test('has a command that is split as restic splits it', () => {
    expect(splitWords(`ssh user@host  'forced rclone' "a \\"b\\"" c\\ d ''`)).toEqual([
      'ssh',
      'user@host',
      'forced rclone',
      'a "b"',
      'c d',
      '',
    ]);
  });
});

/** The processes of this test by program and a word of their command line. */
async function childrenNamed(program: string, word: string): Promise<number[]> {
  const found: number[] = [];
  for (const entry of await readdir('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    const words = (await readFile(`/proc/${entry}/cmdline`, 'utf8').catch(() => '')).split('\0');
    const status = await readFile(`/proc/${entry}/status`, 'utf8').catch(() => '');
    const isOurs = new RegExp(`^PPid:\\s*${process.pid}$`, 'm').test(status) && !/^State:\s*Z/m.test(status);
    if (isOurs && words[0] === program && words.includes(word)) found.push(Number(entry));
  }
  return found;
}
