import { readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import { dockerLab, suiteName } from '@varve/testing';
import { execa } from 'execa';
import { afterAll, describe, expect, test } from 'vitest';

const launcher = fileURLToPath(new URL('../../../varve', import.meta.url));
const lab = await dockerLab();
const minutes = 60_000;

const demoFolders = (): string[] => readdirSync(tmpdir()).filter((name) => name.startsWith('varve-demo-'));

function expectProof(output: string): void {
  const proofs = output.split('\n').filter((line) => /^ {3}[✓✗]/.test(line));
  // Seven facts of the whole app, then the orders of the database that went back to a second.
  expect(proofs).toHaveLength(9);
  expect(output).toMatch(/✓ all \d+ deleted orders are back\n.*are the price/);
  expect(proofs.filter((line) => line.includes('✗'))).toEqual([]);
  expect(output).toContain('0 invoice files');
  expect(output).toContain('Everything is back');
}

/** Runs the launcher, and interrupts it when a line has this text, after `then`. */
async function runUntil(
  text: string,
  options: readonly string[],
  then?: (output: string) => Promise<void>,
): Promise<{ readonly output: string; readonly exitCode: number | undefined }> {
  const env = lab.available ? { DOCKER_HOST: lab.host } : {};
  const child = execa(launcher, options, { all: true, reject: false, env });
  let output = '';
  for await (const line of child.iterable({ from: 'all' })) {
    output += `${line}\n`;
    if (!line.includes(text)) continue;
    await then?.(output);
    child.kill('SIGINT');
  }
  return { output, exitCode: (await child).exitCode };
}

describe('the demonstration', () => {
  const name =
    'without Docker brings every row, file and commit back, serves the page until it is interrupted, and removes what it made';
  test(name, { timeout: 4 * minutes }, async () => {
    const before = demoFolders();
    const options = ['demo', '--no-docker', '--listen', '127.0.0.1:0'];
    const { output, exitCode } = await runUntil('Ctrl-C ends', options, async (text) => {
      const url = /The page is at (\S+)/.exec(text)?.[1] ?? '';
      const state = (await (await fetch(`${url}/api/session`)).json()) as { setupNeeded: boolean };
      expect(state.setupNeeded).toBe(false);
      expect((await fetch(`${url}/api/apps`)).status).toBe(401);
    });
    expect(output).toContain('on a PostgreSQL that came with npm');
    expectProof(output);
    expect(output).toContain('sign in as demo@example.com');
    expect(output).not.toContain('warning:');
    expect([0, 130]).toContain(exitCode);
    expect(demoFolders()).toEqual(before);
  });
});

describe.skipIf(!lab.available)(suiteName('the demonstration in Docker', lab), () => {
  afterAll(() => lab[Symbol.asyncDispose]());

  test(
    'says that it fetches an image, goes on without Docker when that fails, and removes what it made when it is interrupted',
    { timeout: 4 * minutes },
    async () => {
      const before = demoFolders();
      const options = ['demo', '--no-serve', '--image', '127.0.0.1:9/none'];
      const { output, exitCode } = await runUntil('on a PostgreSQL that came with npm', options);
      expect(output).toContain('Docker fetches the image 127.0.0.1:9/none');
      expect(output).toContain('cannot be pulled: the demonstration runs without Docker');
      expect(exitCode).toBe(130);
      expect(demoFolders()).toEqual(before);
    },
  );

  test(
    'brings every row, file and commit back, and removes its containers and volumes',
    { timeout: 5 * minutes },
    async () => {
      const { stdout } = await execa(launcher, ['demo', '--no-serve', '--image', lab.image], {
        env: { DOCKER_HOST: lab.host },
      });
      expect(stdout).toContain('The app runs in Docker');
      expectProof(stdout);
      const filter = 'label=com.docker.compose.project=varve-demo-shop';
      expect(await lab.docker('ps', '-aq', '--filter', filter)).toBe('');
      expect(await lab.docker('volume', 'ls', '-q', '--filter', filter)).toBe('');
    },
  );
});
