// The whole way in a real browser against the real server: make the owner, add an app of folders and a git checkout, see its
// first snapshot, damage it, restore it, and find its files as they were.

import { execFileSync, spawn } from 'node:child_process';
import type { ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { chromiumPath, launchBrowser, visit } from './browser.ts';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const skipReason = chromiumPath === undefined ? ' (skipped: no Chromium)' : '';
if (skipReason !== '') console.log(`the real server in a browser${skipReason}`);

interface RealServer extends AsyncDisposable {
  readonly url: string;
  readonly setupToken: string;
}

/** `varve server` on a free loopback port; it finds no Docker. */
async function startRealServer(folder: string): Promise<RealServer> {
  const child: ChildProcessByStdio<null, Readable, Readable> = spawn(
    process.execPath,
    [join(root, 'packages/cli/src/main.ts'), 'server', '--listen', '127.0.0.1:0', '--json'],
    {
      env: { ...process.env, VARVE_DATA: join(folder, 'data'), DOCKER_HOST: `unix://${folder}/none.sock` },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  const errors: string[] = [];
  child.stderr.on('data', (chunk: Buffer) => errors.push(chunk.toString()));
  const exited = once(child, 'exit');
  for await (const line of createInterface({ input: child.stdout })) {
    const { url, setupToken } = JSON.parse(line) as { url: string; setupToken: string };
    return {
      url,
      setupToken,
      async [Symbol.asyncDispose]() {
        child.kill('SIGTERM');
        await exited;
      },
    };
  }
  throw new Error(`varve server ended: ${errors.join('')}`);
}

async function makeApp(folder: string): Promise<{ files: string; code: string }> {
  const files = join(folder, 'shop/uploads');
  const code = join(folder, 'shop/code');
  await mkdir(files, { recursive: true });
  await mkdir(code, { recursive: true });
  await writeFile(join(files, 'invoice.txt'), 'Invoice 1: 100 EUR\n');
  await writeFile(join(files, 'photo.bin'), Buffer.alloc(3_000_000, 7));
  await writeFile(join(code, 'app.py'), 'print("shop")\n');
  const git = (...parameters: string[]): void => {
    execFileSync('git', ['-c', 'user.name=Ana', '-c', 'user.email=ana@example.com', ...parameters], { cwd: code });
  };
  git('init', '--quiet');
  git('add', '.');
  git('commit', '--quiet', '-m', 'first');
  return { files, code };
}

describe.skipIf(skipReason !== '')(`the real server in a browser${skipReason}`, () => {
  let browser: Browser;
  let folder: string;

  beforeAll(async () => {
    execFileSync(process.execPath, [join(root, 'scripts/build-web.ts')]);
    browser = await launchBrowser();
    folder = await mkdtemp(join(tmpdir(), 'varve-web-'));
  });

  afterAll(async () => {
    await browser.close();
    await rm(folder, { recursive: true, force: true });
  });

  test('an app is protected, damaged and brought back from the pages alone', { timeout: 180_000 }, async () => {
    await using server = await startRealServer(folder);
    await using visitor = await visit(browser, server.url, { language: 'en', theme: 'light', width: 1280 });
    const { page } = visitor;
    page.setDefaultTimeout(60_000);
    const app = await makeApp(folder);

    await page.goto(server.url);
    await page.getByLabel('Name').fill('Ana');
    await page.getByLabel('E-mail').fill('ana@example.com');
    await page.getByLabel('Password').fill('correct horse battery');
    await page.getByLabel('Setup token').fill(server.setupToken);
    await page.getByRole('button', { name: 'Create the account' }).click();
    await page.getByRole('heading', { name: 'No app is protected yet' }).waitFor();

    await page.getByRole('link', { name: 'Folders and databases' }).click();
    await page.getByLabel('Short name').fill('shop');
    await page.getByLabel('Display name').fill('Shop');
    await page.getByLabel('Folders', { exact: true }).fill(app.files);
    await page.getByLabel('Git checkouts').fill(app.code);
    await page.getByRole('button', { name: 'Add and take the first snapshot' }).click();
    await page.getByRole('heading', { name: 'Shop', exact: true }).waitFor();
    await page.getByRole('link', { name: /^Restore the snapshot of/ }).waitFor();
    await page.getByText('Protected', { exact: true }).waitFor();

    await rm(join(app.files, 'photo.bin'));
    await writeFile(join(app.files, 'invoice.txt'), 'Invoice 1: 0 EUR\n');
    await writeFile(join(app.code, 'app.py'), 'broken\n');

    await page.getByRole('link', { name: /^Open the snapshot of/ }).click();
    await page.getByText('uncommitted').or(page.getByText('without changes')).first().waitFor();
    await page.getByRole('button', { name: 'volumes', exact: true }).click();
    await page.getByRole('button', { name: basename(app.files), exact: true }).click();
    const download = page.waitForEvent('download');
    await page.getByRole('link', { name: 'Download invoice.txt' }).click();
    expect((await download).suggestedFilename()).toBe('invoice.txt');
    expect(await readFile(await (await download).path(), 'utf8')).toBe('Invoice 1: 100 EUR\n');
    await page.getByRole('link', { name: 'Restore', exact: true }).click();
    await page.getByLabel('Name of the app').fill('Shop');
    await page.getByRole('button', { name: 'Restore now' }).click();
    await page.getByText('The app is back', { exact: true }).waitFor();
    expect(await readFile(join(app.files, 'invoice.txt'), 'utf8')).toBe('Invoice 1: 100 EUR\n');
    expect((await readFile(join(app.files, 'photo.bin'))).equals(Buffer.alloc(3_000_000, 7))).toBe(true);
    expect(await readFile(join(app.code, 'app.py'), 'utf8')).toBe('print("shop")\n');

    await page.getByRole('link', { name: 'Undo this restore' }).waitFor();
    await page.getByRole('link', { name: 'To the snapshots' }).click();
    await page.getByText('Before a restore').first().waitFor();
    await page.getByRole('link', { name: 'Settings' }).click();
    await page.getByText('/repository').first().waitFor();
    await page.getByText('Not checked yet.').waitFor();
    await page.getByRole('button', { name: 'Free space…' }).click();
    await page.getByText('There is nothing to free').waitFor();
    await page.getByRole('dialog').getByRole('button', { name: 'Close' }).last().click();
    await page.getByRole('button', { name: 'Test this storage' }).click();
    await page.getByText('The storage does what a repository relies on.').waitFor();
    await page.getByText('A file is never replaced').waitFor();
    await page.getByRole('link', { name: 'Apps', exact: true }).click();
    await page.getByRole('link', { name: 'Show the recovery kit' }).click();
    await page.getByLabel('Your password').fill('correct horse battery');
    await page.getByRole('button', { name: 'Show the kit' }).click();
    await page.getByText('Password of the repository').waitFor();
    expect(visitor.complaints).toEqual([]);
  });
});
