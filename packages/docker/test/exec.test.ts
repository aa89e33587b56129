// Processes in real containers: streams both ways, exit codes, cancellation.

import { createHash } from 'node:crypto';
import { isAppError, Secret, sleep } from '@varve/base';
import { dockerLab, suiteName } from '@varve/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { connectDocker, type DockerEngine } from '../src/index.ts';
import { labContainer, type LabContainer } from './lab-container.ts';

const lab = await dockerLab();
const mebibyte = 1024 * 1024;

describe.skipIf(!lab.available)(suiteName('a process in a container', lab), () => {
  let engine: DockerEngine;
  let container: LabContainer;

  beforeAll(async () => {
    engine = await connectDocker({ host: lab.host });
    container = await labContainer(lab);
  });

  afterAll(async () => {
    await container[Symbol.asyncDispose]();
    await lab[Symbol.asyncDispose]();
  });

  async function isRunning(pattern: string): Promise<boolean> {
    return (await lab.docker('top', container.id, '-eo', 'pid,args'))
      .split('\n')
      .some((line) => line.includes(pattern));
  }

  async function expectGone(pattern: string): Promise<void> {
    await expect.poll(() => isRunning(pattern), { timeout: 10_000 }).toBe(false);
  }

  test('yields its output, the end of its standard error and its exit code', async () => {
    const result = await engine.execCollect(container.id, { command: ['sh', '-c', 'echo out; echo err >&2; exit 3'] });
    expect({ ...result, stdout: result.stdout.toString() }).toEqual({ stdout: 'out\n', stderr: 'err\n', exitCode: 3 });
  });

  test('yields 50 MiB unchanged to a slow reader', async () => {
    const process = await engine.exec(container.id, {
      command: ['sh', '-c', 'yes 0123456789abcde | head -c 52428800; echo done >&2'],
    });
    const hash = createHash('sha256');
    let size = 0;
    let chunks = 0;
    for await (const piece of process.stdout) {
      hash.update(piece);
      size += piece.length;
      if (chunks++ % 200 === 0) await sleep(5);
    }
    const expected = createHash('sha256')
      .update(Buffer.alloc(50 * mebibyte, '0123456789abcde\n'))
      .digest('hex');
    expect([size, hash.digest('hex')]).toEqual([50 * mebibyte, expected]);
    expect(await process.finished).toEqual({ exitCode: 0, stderr: 'done\n' });
  });

  test('is held back by a reader that pauses: memory does not grow with the output', async () => {
    const process = await engine.exec(container.id, { command: ['sh', '-c', 'yes | head -c 83886080'] });
    const before = globalThis.process.memoryUsage.rss();
    let size = 0;
    for await (const piece of process.stdout) {
      if (size === 0) await sleep(1500);
      size += piece.length;
    }
    expect(size).toBe(80 * mebibyte);
    expect(globalThis.process.memoryUsage.rss() - before).toBeLessThan(60 * mebibyte);
  });

  test('gets its standard input and the end of it', async () => {
    async function* input(): AsyncGenerator<Uint8Array> {
      for (let n = 0; n < 200; n++) yield Buffer.alloc(mebibyte / 4, n % 251);
    }
    const hash = createHash('sha256');
    for await (const piece of input()) hash.update(piece);
    const result = await engine.execCollect(container.id, { command: ['sha256sum'], stdin: input() });
    expect(result.stdout.toString()).toBe(`${hash.digest('hex')}  -\n`);
    expect(result.exitCode).toBe(0);
  });

  test('reads and writes at the same time', async () => {
    async function* input(): AsyncGenerator<Uint8Array> {
      for (let n = 0; n < 80; n++) yield Buffer.alloc(mebibyte / 4, 65);
    }
    const process = await engine.exec(container.id, { command: ['cat'], stdin: input() });
    let size = 0;
    for await (const piece of process.stdout) size += piece.length;
    expect(size).toBe(20 * mebibyte);
    expect((await process.finished).exitCode).toBe(0);
  });

  test('may end without reading its input: its words and exit code are seen, and the input is let go', async () => {
    for (let round = 0; round < 10; round++) {
      let isClosed = false;
      const input = async function* (): AsyncGenerator<Uint8Array> {
        try {
          for (;;) yield Buffer.alloc(mebibyte / 4);
        } finally {
          isClosed = true;
        }
      };
      const result = await engine.execCollect(container.id, {
        command: ['sh', '-c', 'echo out; echo no, thanks >&2; exit 4'],
        stdin: input(),
      });
      expect({ ...result, stdout: result.stdout.toString() }).toEqual({
        stdout: 'out\n',
        stderr: 'no, thanks\n',
        exitCode: 4,
      });
      expect(isClosed).toBe(true);
    }
  });

  test('ends also when its input would wait forever', async () => {
    async function* input(): AsyncGenerator<Uint8Array> {
      yield Buffer.from('x');
      await new Promise(() => {});
    }
    const result = await engine.execCollect(container.id, { command: ['head', '-c', '1'], stdin: input() });
    expect(result).toMatchObject({ exitCode: 0 });
    expect(result.stdout.toString()).toBe('x');
  });

  test('gets secrets by its environment, out of sight of the process list', async () => {
    const env = { PGPASSWORD: new Secret('hunter2') };
    const process = await engine.exec(container.id, { command: ['sh', '-c', 'printf %s "$PGPASSWORD"; sleep 1'], env });
    const args = await lab.docker('top', container.id, '-eo', 'pid,args');
    const pieces: Uint8Array[] = [];
    for await (const piece of process.stdout) pieces.push(piece);
    expect(Buffer.concat(pieces).toString()).toBe('hunter2');
    expect(args).not.toContain('hunter2');
  });

  test('runs as another user and in another folder', async () => {
    const result = await engine.execCollect(container.id, {
      command: ['sh', '-c', 'id -un; pwd'],
      user: 'postgres',
      workingDir: '/var',
    });
    expect(result.stdout.toString()).toBe('postgres\n/var\n');
  });

  test('is killed in the container, children too, when the caller cancels', async () => {
    const controller = new AbortController();
    const command = ['sh', '-c', 'sleep 4242 & echo started; wait'];
    const process = await engine.exec(container.id, { command, user: 'postgres', signal: controller.signal });
    const reading = (async () => {
      for await (const piece of process.stdout) if (String(piece).includes('started')) controller.abort();
    })();
    await expect(reading).rejects.toMatchObject({ code: 'CANCELLED' });
    await expect(process.finished).rejects.toMatchObject({ code: 'CANCELLED' });
    await expectGone('sleep 4242');
  });

  test('is killed when it ignores SIGTERM', async () => {
    const controller = new AbortController();
    const command = ['sh', '-c', 'trap "" TERM; echo started; while true; do sleep 0.5; : 4343; done'];
    const process = await engine.exec(container.id, { command, signal: controller.signal });
    for await (const piece of process.stdout) {
      if (!String(piece).includes('started')) continue;
      controller.abort();
      break;
    }
    await expect(process.finished).rejects.toMatchObject({ code: 'CANCELLED' });
    await expectGone('4343');
  });

  test('is killed when it changed its user, from the host', async () => {
    const controller = new AbortController();
    const command = [
      'setpriv',
      '--reuid=postgres',
      '--regid=postgres',
      '--clear-groups',
      'sh',
      '-c',
      'echo started; sleep 4444',
    ];
    const process = await engine.exec(container.id, { command, signal: controller.signal });
    const reading = (async () => {
      for await (const piece of process.stdout) if (String(piece).includes('started')) controller.abort();
    })();
    await expect(reading).rejects.toMatchObject({ code: 'CANCELLED' });
    expect((await lab.docker('top', container.id, '-eo', 'pid,args')).includes('sh -c echo started; sleep 4444')).toBe(
      false,
    );
  });

  test('is killed when the reader stops early', async () => {
    const process = await engine.exec(container.id, { command: ['sh', '-c', 'yes; : 4545'] });
    for await (const _ of process.stdout) break;
    await expect(process.finished).rejects.toMatchObject({ code: 'CANCELLED' });
    await expectGone('4545');
  });

  test('is killed, not fed a false end of file, when its input fails', async () => {
    async function* input(): AsyncGenerator<Uint8Array> {
      yield Buffer.from('half of it');
      await sleep(200);
      throw new Error('the source broke');
    }
    const command = ['sh', '-c', 'cat > /tmp/half; touch /tmp/committed'];
    const process = await engine.exec(container.id, { command, stdin: input() });
    await expect(process.finished).rejects.toMatchObject({
      code: 'DOCKER_COMMAND_FAILED',
      message: expect.stringContaining('the source broke') as string,
    });
    const { exitCode } = await engine.execCollect(container.id, { command: ['test', '-e', '/tmp/committed'] });
    expect(exitCode).toBe(1);
  });

  test('that does not exist ends with 126 or 127', async () => {
    const { exitCode } = await engine.execCollect(container.id, { command: ['no-such-program'] });
    expect([126, 127]).toContain(exitCode);
    const output = engine.execOutput(container.id, { command: ['no-such-program'] });
    await expect(Array.fromAsync(output)).rejects.toMatchObject({
      code: 'DOCKER_COMMAND_FAILED',
      hint: expect.stringContaining('no-such-program') as string,
    });
  });

  test('that must succeed throws after its last byte when it fails', async () => {
    const seen: string[] = [];
    const output = engine.execOutput(container.id, {
      command: ['sh', '-c', 'echo partial; echo disk full >&2; exit 1'],
    });
    const reading = (async () => {
      for await (const piece of output) seen.push(String(piece));
    })();
    await expect(reading).rejects.toMatchObject({
      code: 'DOCKER_COMMAND_FAILED',
      message: expect.stringContaining('disk full') as string,
    });
    expect(seen).toEqual(['partial\n']);
  });

  test('with more output than the caller takes fails and ends', async () => {
    await expect(
      engine.execCollect(container.id, { command: ['yes', '4646'], maxOutputBytes: 1000 }),
    ).rejects.toMatchObject({ code: 'DOCKER_COMMAND_FAILED' });
    await expectGone('4646');
  });

  test('cannot start in a container that is absent, stopped or paused', async () => {
    await expect(engine.exec('no-such-container', { command: ['true'] })).rejects.toMatchObject({
      code: 'DOCKER_NOT_FOUND',
    });
    await using other = await labContainer(lab);
    await engine.pause(other.id);
    await expect(engine.exec(other.id, { command: ['true'] })).rejects.toMatchObject({ code: 'DOCKER_REQUEST_FAILED' });
    await engine.unpause(other.id);
    await engine.stop(other.id, { timeoutS: 0 });
    await expect(engine.exec(other.id, { command: ['true'] })).rejects.toMatchObject({ code: 'DOCKER_REQUEST_FAILED' });
  });

  test('whose container is removed meanwhile ends with its exit code or an error, never hangs', async () => {
    await using other = await labContainer(lab);
    const process = await engine.exec(other.id, { command: ['sh', '-c', 'echo started; sleep 1000'] });
    const reading = (async () => {
      for await (const piece of process.stdout)
        if (String(piece).includes('started')) await lab.docker('rm', '-f', other.name);
    })();
    await reading.catch(() => {});
    const outcome = await process.finished.catch((error: unknown) => error);
    expect(isAppError(outcome) || (outcome as { exitCode: number }).exitCode === 137).toBe(true);
  });

  test('refuses environment names that would smuggle another variable', async () => {
    await expect(engine.exec(container.id, { command: ['true'], env: { 'A=B': 'c' } })).rejects.toMatchObject({
      code: 'USAGE_INVALID',
    });
  });
});
