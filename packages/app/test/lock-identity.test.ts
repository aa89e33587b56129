import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { newAppSchema } from '@varve/contract';
import { lockRepository } from '@varve/repository';
import { describe, expect, test, vi } from 'vitest';
import { openVarve } from '../src/index.ts';
import { openInstallation } from '../src/installation.ts';
import { loadInstallationId, RunningProcess } from '../src/installation-identity.ts';
import { currentOwner } from '../src/jobs/process-owner.ts';
import { temporaryFolder } from './engine-fixture.ts';

vi.setConfig({ testTimeout: 60_000 });

const inContainer = ['unshare', '--pid', '--uts', '--fork', '--kill-child', '--mount-proc'];
const canUnshare = spawnSync(inContainer[0] ?? '', [...inContainer.slice(1), 'hostname', 'elsewhere']).status === 0;

/** An installation whose app `slow` stops so slowly that a snapshot of it holds its lock. */
async function installation() {
  const folder = await temporaryFolder();
  const dataDirectory = join(folder.path, 'data');
  const files = join(folder.path, 'files');
  await mkdir(files);
  await writeFile(join(files, 'a.txt'), 'first');
  const options = { dataDirectory, dockerHost: `unix://${folder.path}/no.sock` };
  await using varve = await openVarve(options);
  await varve.addApp(
    newAppSchema.parse({
      type: 'host',
      id: 'slow',
      folders: [files],
      stopCommand: ['sleep', '60'],
      startCommand: ['true'],
      policy: { consistency: 'stop', schedule: { enabled: false } },
    }),
  );
  return {
    options,
    dataDirectory,
    locks: () => readdir(join(dataDirectory, 'repository', 'locks')),
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

/** A process that holds a lock; in a PID namespace and with a host name of its own when asked. */
async function holder(dataDirectory: string, around: readonly string[] = []): Promise<ChildProcess> {
  const program = join(import.meta.dirname, 'processes', 'snapshot-and-hold.ts');
  const [command, ...args] = [...around, process.execPath, program, dataDirectory, 'slow'];
  const child = spawn(command ?? '', args, { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(child.stdout, 'data');
  return child;
}

async function kill(child: ChildProcess): Promise<void> {
  const closed = once(child, 'close');
  child.kill('SIGKILL');
  await closed;
}

describe('a lock of a process that was killed', () => {
  test('is released by the next start, with its job ended', async () => {
    await using i = await installation();
    const child = await holder(i.dataDirectory);
    {
      // Beside it, another process of the installation opens and closes, as the command line does beside the server.
      await using varve = await openVarve(i.options);
      expect((await varve.listJobs())[0]).toMatchObject({ state: 'running' });
    }
    expect(await i.locks()).toHaveLength(1);
    await kill(child);
    expect(await i.locks()).toHaveLength(1);
    await using varve = await openVarve(i.options);
    expect((await varve.listJobs())[0]).toMatchObject({ state: 'failed', error: { code: 'JOB_INTERRUPTED' } });
    expect(await i.locks()).toEqual([]);
  });

  test('in another container of this host keeps others out while it lives, and is released when it does not', async (context) => {
    if (!canUnshare) context.skip('this user may not make namespaces with unshare');
    await using i = await installation();
    const child = await holder(i.dataDirectory, [...inContainer, 'sh', '-c', 'hostname elsewhere && exec "$@"', 'sh']);
    await using parts = await openInstallation(i.options);
    const { id } = await parts.repositoryStore.require();
    const repository = await parts.pool.get(id);
    const alone = { ...parts.lockOwner, exclusive: true };
    await expect(lockRepository(repository, alone)).rejects.toMatchObject({ code: 'REPOSITORY_LOCKED' });
    expect(await i.locks()).toHaveLength(1);
    // Somebody else's installation knows nothing of it.
    await kill(child);
    await expect(lockRepository(repository, { exclusive: true, ownerId: 'other' })).rejects.toMatchObject({
      code: 'REPOSITORY_LOCKED',
    });
    {
      await using lock = await lockRepository(repository, alone);
      expect(lock.signal.aborted).toBe(false);
      expect(await i.locks()).toHaveLength(1);
    }
    expect(await i.locks()).toEqual([]);
  });
});

describe('the identity of an installation', () => {
  test('is made once, whoever asks first, and survives a lost catalogue', async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, 'installation.id');
    const ids = await Promise.all([1, 2, 3].map(() => loadInstallationId(path)));
    expect(new Set(ids).size).toBe(1);
    expect(await loadInstallationId(path)).toBe(ids[0]);
    expect((await readFile(path, 'utf8')).trim()).toBe(ids[0]);
    await writeFile(path, 'nonsense');
    await expect(loadInstallationId(path)).rejects.toMatchObject({ code: 'CATALOGUE_UNUSABLE' });
  });

  test('knows its running processes, and leaves nothing of those that ended', async () => {
    await using folder = await temporaryFolder();
    const running = join(folder.path, 'running');
    await mkdir(running);
    await writeFile(join(running, 'earlier-boot.1.2.3-aaaa'), '');
    const { boot, namespace: pidSpace, pid, startedAt: started } = currentOwner();
    const me = { boot, pidSpace, pid, started };
    {
      await using first = await RunningProcess.announce(running);
      {
        await using second = await RunningProcess.announce(running);
        expect(await second.isRunning(me)).toBe(true);
        expect(await readdir(running)).toHaveLength(2);
      }
      expect(await first.isRunning(me)).toBe(true);
      expect(await first.isRunning({ ...me, pid: pid + 1 })).toBe(false);
      expect(await first.isRunning({ ...me, started: '1' })).toBe(false);
      // Left by one that was killed: a file that nobody holds.
      const [name = ''] = await readdir(running);
      const dead = name.replace(`.${pid}.`, '.999999.');
      await writeFile(join(running, dead), '');
      expect(await first.isRunning({ ...me, pid: 999_999 })).toBe(false);
      await using third = await RunningProcess.announce(running);
      expect(await readdir(running)).not.toContain(dead);
      expect(await third.isRunning(me)).toBe(true);
    }
    expect(await readdir(running)).toEqual([]);
  });

  test('starts in many processes at once, each of which is known to run', async () => {
    await using folder = await temporaryFolder();
    const running = join(folder.path, 'running');
    const all = await Promise.all(Array.from({ length: 20 }, () => RunningProcess.announce(running)));
    expect(await readdir(running)).toHaveLength(20);
    await Promise.all(all.map((one) => one[Symbol.asyncDispose]()));
    expect(await readdir(running)).toEqual([]);
  });
});
