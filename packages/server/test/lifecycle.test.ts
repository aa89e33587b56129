import { mkdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { varveEventSchema, type Job, type VarveEvent } from '@varve/contract';
import { describe, expect, test } from 'vitest';
import { startServer } from '../src/index.ts';
import { startTestServer, type TestServer } from './server-fixture.ts';

/** The events of a stream as they come. */
async function* events(response: Response): AsyncGenerator<VarveEvent | 'heartbeat'> {
  let text = '';
  for await (const chunk of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
    text += chunk;
    const messages = text.split('\n\n');
    text = messages.pop() ?? '';
    for (const message of messages) {
      if (message.startsWith(':')) yield 'heartbeat';
      const data = /^data: (.*)$/m.exec(message)?.[1];
      if (data !== undefined) yield varveEventSchema.parse(JSON.parse(data));
    }
  }
}

async function addFolderApp(it: TestServer): Promise<void> {
  const files = join(it.folder, 'files');
  await mkdir(files);
  await writeFile(join(files, 'a.txt'), 'hello');
  const response = await it.call('POST', '/api/apps', { type: 'host', id: 'files', folders: [files] });
  expect(response.status).toBe(201);
}

describe('the event stream', () => {
  test('tells of a job from its start to its end', async () => {
    await using it = await startTestServer();
    await it.signUp();
    await addFolderApp(it);
    const stream = await it.call('GET', '/api/events');
    expect(stream.headers.get('content-type')).toContain('text/event-stream');
    const started = await it.call('POST', '/api/apps/files/snapshots', { name: 'first' });
    expect(started.status).toBe(202);
    const { id } = (await started.json()) as Job;
    const states: string[] = [];
    for await (const event of events(stream)) {
      if (event === 'heartbeat' || event.type !== 'job' || event.job.id !== id) continue;
      states.push(event.job.state);
      if (!['queued', 'running'].includes(event.job.state)) break;
    }
    expect(states.at(-1)).toBe('succeeded');
    const list = (await (await it.call('GET', '/api/apps/files/snapshots')).json()) as { name: string | null }[];
    expect(list.map(({ name }) => name)).toEqual(['first']);
  });

  test('beats while nothing happens, and ends for a user who signed out', async () => {
    await using it = await startTestServer({ heartbeatMs: 200 });
    await it.signUp();
    const stream = events(await it.call('GET', '/api/events'));
    expect((await stream.next()).value).toBe('heartbeat');
    await it.call('POST', '/api/sign-out');
    const rest = await Array.fromAsync(stream);
    expect(rest.length).toBeLessThan(5);
  });
});

describe('closing', () => {
  test('ends open event streams and idle connections, and frees the port', async () => {
    await using it = await startTestServer();
    await it.signUp();
    const stream = await it.call('GET', '/api/events');
    const ended = Array.fromAsync(events(stream));
    const startedAt = performance.now();
    await it.server.close();
    await ended;
    expect(performance.now() - startedAt).toBeLessThan(3000);
    await expect(fetch(`${it.server.url}/healthz`)).rejects.toThrow('fetch failed');
    await it.server.close();
  });

  test('happens when the signal aborts', async () => {
    const controller = new AbortController();
    await using it = await startTestServer({ signal: controller.signal });
    controller.abort();
    await it.server.closed;
    await expect(fetch(`${it.server.url}/healthz`)).rejects.toThrow('fetch failed');
  });
});

describe('listening', () => {
  test('on a port that is taken says so and what to do', async () => {
    await using it = await startTestServer();
    const taken = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => taken.once('listening', resolve));
    const address = taken.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    try {
      const attempt = startServer({ varve: it.varve, listen: `127.0.0.1:${port}`, webRoot: it.folder });
      await expect(attempt).rejects.toMatchObject({
        code: 'SERVER_ADDRESS_IN_USE',
        hint: expect.stringContaining('--listen'),
      });
    } finally {
      await new Promise((resolve) => taken.close(resolve));
    }
  });

  test('where other machines reach it needs to be allowed', async () => {
    await using it = await startTestServer();
    const attempt = startServer({ varve: it.varve, listen: '0.0.0.0:0', webRoot: it.folder });
    await expect(attempt).rejects.toMatchObject({
      code: 'USAGE_INVALID',
      hint: expect.stringContaining('--allow-remote'),
    });
    await using server = await startServer({
      varve: it.varve,
      listen: '0.0.0.0:0',
      allowRemote: true,
      webRoot: it.folder,
    });
    expect((await fetch(server.url.replace('0.0.0.0', '127.0.0.1') + '/healthz')).status).toBe(200);
  });

  test.each(['ftp://x', 'https://x/path', 'nonsense', 'https://user@x'])(
    'refuses the public URL %s',
    async (publicUrl) => {
      await expect(startTestServer({ publicUrl })).rejects.toMatchObject({ code: 'USAGE_INVALID' });
    },
  );
});
