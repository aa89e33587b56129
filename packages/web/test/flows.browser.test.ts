// What people do in the pages, in a real browser against fixtures: the requests that go out and what is shown while the
// event stream speaks.

import { execFileSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { chromiumPath, launchBrowser, visit } from './browser.ts';
import type { Visitor } from './browser.ts';
import { startFixtureServer } from './fixture-server.ts';
import type { FixtureServer, Scenario } from './fixture-server.ts';

const webRoot = fileURLToPath(new URL('../dist', import.meta.url));
const wide = { language: 'en', theme: 'light', width: 1280 } as const;
const skipReason = chromiumPath === undefined ? ' (skipped: no Chromium)' : '';
if (skipReason !== '') console.log(`flows in a browser${skipReason}`);

let browser: Browser;

describe.skipIf(skipReason !== '')(`flows in a browser${skipReason}`, () => {
  beforeAll(async () => {
    execFileSync(process.execPath, [fileURLToPath(new URL('../../../scripts/build-web.ts', import.meta.url))]);
    browser = await launchBrowser();
  });

  afterAll(() => browser.close());

  test('the owner is made with the token of the address, and sees what can be protected', async () => {
    await using stage = await open('setup', '/#token=abc-123');
    const { page, server } = stage;
    await page.getByLabel('Name').fill('Ana');
    await page.getByLabel('E-mail').fill('ana@example.com');
    await page.getByLabel('Password').fill('short');
    await page.getByRole('button', { name: 'Create the account' }).click();
    await page.getByText('The password needs at least 10 characters.').waitFor();
    await page.getByLabel('Password').fill('correct horse battery');
    await page.getByRole('button', { name: 'Create the account' }).click();
    await page.getByRole('heading', { name: 'No app is protected yet' }).waitFor();
    expect(server.requests.find(({ line }) => line === 'POST /setup')?.body).toEqual({
      name: 'Ana',
      email: 'ana@example.com',
      password: 'correct horse battery',
      setupToken: 'abc-123',
    });
    expect(new URL(page.url()).hash).toBe('');
    expect(stage.complaints).toEqual([]);
  });

  test('a wrong password is told with its remedy, and signing in leads to the page that was asked for', async () => {
    await using stage = await open('signed-out', '/jobs');
    const { page } = stage;
    await page.getByLabel('E-mail').fill('ana@example.com');
    await page.getByLabel('Password').fill('wrong password');
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('alert').getByText('Check both and try again.').waitFor();
    await page.getByLabel('Password').fill('correct horse battery');
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('heading', { name: 'Jobs', exact: true }).waitFor();
    expect(stage.complaints).toEqual([]);
  });

  test('one click protects a discovered app and takes its first snapshot', async () => {
    await using stage = await open('empty', '/');
    await stage.page.getByRole('button', { name: 'Protect shop' }).click();
    await expect.poll(() => stage.server.requests.map(({ line }) => line)).toContain('POST /apps');
    expect(stage.server.requests.find(({ line }) => line === 'POST /apps')?.body).toEqual({
      type: 'docker',
      project: 'shop',
      id: 'shop',
      name: 'shop',
      withoutComponents: [],
      code: [],
    });
  });

  test('a restore asks for the name of the app, then shows its steps live and how it ended', async () => {
    await using stage = await open('full', '/apps/ferreteria');
    const { page, server } = stage;
    await page
      .getByRole('link', { name: /^Restore the snapshot of/ })
      .first()
      .click();
    const run = page.getByRole('button', { name: 'Restore now' });
    await page.getByLabel('Name of the app').fill('ferreteria');
    await run.click();
    await page.getByText('This is not the name of the app.').waitFor();
    expect(server.requests.some(({ line }) => line.endsWith('/restores'))).toBe(false);
    await page.getByLabel('Take a snapshot of the present state first').uncheck();
    await page.getByText('No safety snapshot: this restore cannot be undone').waitFor();
    await page.getByLabel('Take a snapshot of the present state first').check();
    await page.getByLabel('Only some components').check();
    await page.getByLabel('addons').uncheck();
    await expect.poll(() => page.getByText('Set the code of addons').count()).toBe(0);
    await page.getByLabel('Name of the app').fill('Ferretería Central');
    await run.click();
    await page.getByRole('heading', { name: 'Restore of Ferretería Central' }).waitFor();
    await server.play('restore-database:db');
    await page.locator('[aria-current=step]', { hasText: 'db' }).waitFor();
    await page.getByText('Step restore-database:db.').waitFor();
    await server.play();
    await page.getByText('The app is back', { exact: true }).waitFor();
    expect(server.requests.find(({ line }) => line.endsWith('/restores'))?.body).toMatchObject({
      safetySnapshot: true,
      components: ['db', 'web-data'],
      fingerprint: expect.stringMatching(/^[0-9a-f]{64}$/) as string,
    });
    expect(stage.complaints).toEqual([]);
  });

  test('the kit is shown for the password only, downloaded, confirmed, and then no longer asked for', async () => {
    await using stage = await open('full', '/');
    const { page, server } = stage;
    await page.getByRole('link', { name: 'Show the recovery kit' }).click();
    await page.getByLabel('Your password').fill('correct horse battery');
    await page.getByRole('button', { name: 'Show the kit' }).click();
    const download = page.waitForEvent('download');
    await page.getByRole('button', { name: 'Download as text' }).click();
    const text = await readFile(await (await download).path(), 'utf8');
    expect(text).toContain('gravel-otter-lantern-sixteen-maple-quartz');
    const confirm = page.getByRole('button', { name: 'Confirm' });
    expect(await confirm.isDisabled()).toBe(true);
    await page.getByLabel('I have stored it outside this machine').check();
    await confirm.click();
    await page.getByText('You confirmed that it is kept elsewhere.').waitFor();
    expect(server.requests.map(({ line }) => line)).toContain('POST /repository/recovery-kit/confirm');
    await page.getByRole('link', { name: 'Apps', exact: true }).click();
    await page.getByRole('heading', { name: 'Apps', exact: true }).waitFor();
    expect(await page.getByText('Keep the recovery kit somewhere else').count()).toBe(0);
    expect(stage.complaints).toEqual([]);
  });

  test('the storage is tested, and what it does not do is shown with the remedy', async () => {
    await using stage = await open('full', '/settings');
    const { page } = stage;
    await page.getByRole('button', { name: 'Test this storage' }).click();
    await page.getByText('The storage is not fit for a repository as it is.').waitFor();
    const checks = page.getByRole('list', { name: 'What was tried' }).getByRole('listitem');
    expect(await checks.count()).toBe(8);
    expect(await checks.nth(6).textContent()).toContain('it may run append-only');
    expect(await checks.nth(7).textContent()).toContain('Not tried.');
    expect(stage.complaints).toEqual([]);
  });

  test('free space shows its plan in words before anything goes, and then the job live', async () => {
    await using stage = await open('full', '/settings');
    const { page, server } = stage;
    await page.getByText('structure and part 2 of 4 of the data').waitFor();
    await page.getByRole('button', { name: 'Free space…' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByText('6.1 GiB in 425 packs will be freed').waitFor();
    await dialog.getByText('34 snapshots and stay').waitFor();
    expect(server.requests.map(({ line }) => line)).not.toContain('POST /repository/prune');
    await dialog.getByRole('button', { name: 'Free the space' }).click();
    await page.getByRole('heading', { name: 'Freeing space' }).waitFor();
    await server.play('prune-repack');
    await page.getByText('Copying what is used').first().waitFor();
    await server.play();
    await page.getByText('Copying what is used').first().waitFor({ state: 'hidden' });
    expect(stage.complaints).toEqual([]);
  });

  test('what runs by itself is changed without touching the e-mail', async () => {
    await using stage = await open('full', '/settings');
    const { page, server } = stage;
    await page.getByRole('button', { name: 'Change what runs by itself' }).click();
    await page.getByLabel('How often').selectOption('30');
    await page.getByLabel('All data is read').selectOption('0');
    await page.getByText('Bytes that went bad on the disk are not noticed.').waitFor();
    await page.getByLabel('Give back the space of removed snapshots').uncheck();
    await page.getByRole('dialog').getByRole('button', { name: 'Save' }).click();
    await page.getByRole('dialog').waitFor({ state: 'hidden' });
    expect(server.requests.find(({ line }) => line === 'PUT /settings')?.body).toEqual({
      maintenance: { prune: false, check: true, checkEveryDays: 30, readDataDays: 0 },
    });
    expect(stage.complaints).toEqual([]);
  });

  test('language and theme are switched at once and kept', async () => {
    await using stage = await open('full', '/');
    const { page } = stage;
    await page.getByRole('button', { name: /Account and appearance/ }).click();
    await page.getByRole('menuitemradio', { name: 'Español' }).click();
    await page.getByRole('heading', { name: '2 aplicaciones necesitan atención' }).waitFor();
    await page.getByRole('button', { name: /Cuenta y apariencia/ }).click();
    await page.getByRole('menuitemradio', { name: 'Oscuro' }).click();
    await page.reload();
    await page.getByRole('heading', { name: 'Aplicaciones', exact: true }).waitFor();
    expect(await themeAndLanguage(page)).toEqual(['dark', 'es']);
    expect(stage.complaints).toEqual([]);
  });

  test('a lost event stream is told and comes back by itself', async () => {
    await using stage = await open('full', '/');
    const { page, server } = stage;
    await page.getByRole('heading', { name: 'Apps', exact: true }).waitFor();
    await server.listener();
    server.dropEvents();
    await page.getByText('Reconnecting…').waitFor();
    server.acceptEvents();
    await page.getByText('Reconnecting…').waitFor({ state: 'hidden' });
  });

  test('the timeline is walked with arrow keys, and a day shows its snapshots only', async () => {
    await using stage = await open('full', '/apps/ferreteria');
    const { page } = stage;
    const days = page.locator('[aria-labelledby=timeline-title] ol button');
    await days.last().focus();
    await page.keyboard.press('ArrowLeft');
    await page.keyboard.press('Enter');
    await page.getByRole('button', { name: /^Only/ }).waitFor();
    const shown = await page.locator('[aria-labelledby=snapshots-title] li time:first-child').allTextContents();
    expect(new Set(shown.filter((text) => text.includes(',')).map((text) => text.split(',')[0])).size).toBe(1);
    await page.getByRole('button', { name: /^Only/ }).click();
    expect(await page.getByRole('button', { name: /^Only/ }).count()).toBe(0);
  });

  test('a moment is chosen on the strip by keys, and one without log says why and offers the nearest', async () => {
    await using stage = await open('full', '/apps/ferreteria');
    const { page } = stage;
    const strip = page.getByRole('slider', { name: 'Moment to go back to' });
    await page.getByText('Everything that is stored: the last commit is of').waitFor();
    await strip.focus();
    await page.keyboard.press('ArrowLeft');
    await page.getByRole('status').getByText('Everything committed until').waitFor();
    expect(await strip.getAttribute('aria-valuetext')).toContain('can be reached');
    for (let press = 0; press < 8; press++) await page.keyboard.press('PageDown');
    for (let press = 0; press < 40; press++) await page.keyboard.press('ArrowLeft');
    await page.getByText('Log is missing there: the server had given up the replication slot').waitFor();
    expect(await strip.getAttribute('aria-valuetext')).toContain('cannot be reached');
    expect(await page.getByRole('link', { name: 'Go back to this moment' }).count()).toBe(0);
    await page.getByRole('button', { name: /^Use / }).first().click();
    await page.getByRole('link', { name: 'Go back to this moment' }).waitFor();
    expect(stage.complaints).toEqual([]);
  });

  test('a typed time is taken in its zone, and a named point by its name', async () => {
    await using stage = await open('full', '/apps/ferreteria');
    const { page, server } = stage;
    const moment = page.getByLabel('Moment', { exact: true });
    await page.getByLabel('Time zone').selectOption('UTC');
    const time = new Date(Date.now() - 3 * 3_600_000).toISOString().slice(0, 19);
    await moment.fill(time);
    const link = page.getByRole('link', { name: 'Go back to this moment' });
    expect(await link.getAttribute('href')).toContain(encodeURIComponent(`${time}.000Z`));
    await page
      .getByLabel('Or choose')
      .selectOption((await page.getByRole('option', { name: /before the price list/ }).getAttribute('value')) ?? '');
    await link.click();
    await page.getByText('To the point “before the price list”').waitFor();
    await page.getByText('Replay the log up to the moment').waitFor();
    await page.getByLabel('Only to look').check();
    await page.getByText('Stop there and wait, read-only').waitFor();
    await page.getByRole('button', { name: 'Make the sandbox' }).click();
    await page.getByRole('heading', { name: 'Recovery to a point in time of Ferretería Central' }).waitFor();
    await server.play();
    expect(server.requests.find(({ line }) => line.endsWith('/recoveries'))?.body).toEqual({
      component: 'db',
      target: { type: 'name', name: 'before the price list' },
      destination: { type: 'sandbox' },
      whenReached: 'pause',
      safetySnapshot: true,
      fingerprint: 'recovery-sandbox-pause',
    });
    expect(stage.complaints).toEqual([]);
  });

  test('a recovery in place asks for the name of the app', async () => {
    await using stage = await open('full', '/apps/ferreteria/recover?database=db');
    const { page, server } = stage;
    await page.getByLabel('In place of the present database').check();
    await page.getByText('Volumes and code stay as they are, and may not fit it.').waitFor();
    const run = page.getByRole('button', { name: 'Restore now' });
    await page.getByLabel('Name of the app').fill('Ferretería');
    await run.click();
    await page.getByText('This is not the name of the app.').waitFor();
    expect(server.requests.some(({ line }) => line.endsWith('/recoveries'))).toBe(false);
    await page.getByLabel('Name of the app').fill('Ferretería Central');
    await run.click();
    await page.getByRole('heading', { name: 'Recovery to a point in time of Ferretería Central' }).waitFor();
    expect(server.requests.find(({ line }) => line.endsWith('/recoveries'))?.body).toMatchObject({
      target: { type: 'latest' },
      destination: { type: 'in-place' },
      whenReached: 'promote',
      fingerprint: 'recovery-in-place-promote',
    });
    expect(stage.complaints).toEqual([]);
  });

  test('what a recovery left behind is chosen as a history of its own, and the plan is made on its timeline', async () => {
    await using stage = await open('full', '/apps/ferreteria');
    const { page, server } = stage;
    const history = page.getByLabel('History');
    const strip = page.getByRole('slider', { name: 'Moment to go back to' });
    await history.selectOption('1');
    const before = Date.now() - 5 * 3_600_000;
    await expect
      .poll(async () => Math.abs(Number(await strip.getAttribute('aria-valuenow')) - before / 1000))
      .toBeLessThan(120);
    expect(await page.getByRole('option', { name: /before the price list/ }).count()).toBe(0);
    await page.getByRole('link', { name: 'Go back to this moment' }).click();
    await page.getByText('on the history that was left behind (timeline 1)').waitFor();
    await page.getByRole('button', { name: 'Make the sandbox' }).click();
    await page.getByRole('heading', { name: 'Recovery to a point in time of Ferretería Central' }).waitFor();
    expect(server.requests.find(({ line }) => line.endsWith('/recoveries'))?.body).toMatchObject({
      target: { type: 'latest' },
      timeline: 1,
    });
    expect(stage.complaints).toEqual([]);
  });

  test('a sandbox tells how it is opened, takes changes when it is let, and is removed after a question', async () => {
    await using stage = await open('full', '/apps/ferreteria');
    const { page, server } = stage;
    const rows = page.getByRole('region', { name: 'Sandboxes' }).getByRole('listitem');
    await expect.poll(() => rows.count()).toBe(3);
    await rows.filter({ hasText: 'Read-only' }).getByText('docker exec -it varve-recovery-3f8a1c0d psql').waitFor();
    expect(await rows.filter({ hasText: 'Stopped' }).getByText('docker exec').count()).toBe(0);
    await page.getByRole('button', { name: 'Let it take changes' }).click();
    await page.getByRole('button', { name: 'Let it take changes' }).waitFor({ state: 'hidden' });
    await page.getByRole('button', { name: 'Remove the sandbox 3f8a1c0d' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByText('varve-recovery-3f8a1c0d').waitFor();
    expect(server.requests.some(({ line }) => line.startsWith('DELETE'))).toBe(false);
    await dialog.getByRole('button', { name: 'Remove' }).click();
    await dialog.waitFor({ state: 'hidden' });
    expect(await rows.count()).toBe(2);
    expect(server.requests.map(({ line }) => line)).toContain('DELETE /sandboxes/3f8a1c0d');
    expect(stage.complaints).toEqual([]);
  });

  test('this moment is marked by a name; the capture is turned off after a question', async () => {
    await using stage = await open('full', '/apps/ferreteria');
    const { page, server } = stage;
    await page.getByRole('button', { name: 'Mark this moment' }).click();
    const name = page.getByLabel('Name', { exact: true });
    await name.fill('x'.repeat(64));
    await page.getByText('At most 63 bytes.').waitFor();
    await name.fill('before the audit');
    await page.getByRole('button', { name: 'Mark it' }).click();
    await page.getByText('“before the audit” is in the log').waitFor();
    expect(server.requests.find(({ line }) => line.endsWith('/points'))?.body).toEqual({
      name: 'before the audit',
      component: 'db',
    });
    await page.getByRole('dialog').getByRole('button', { name: 'Close' }).last().click();
    await page.getByRole('button', { name: 'Stop capturing' }).click();
    expect(server.requests.some(({ line }) => line === 'PUT /apps/ferreteria/wal')).toBe(false);
    await page.getByRole('dialog').getByRole('button', { name: 'Stop capturing' }).click();
    await page.getByRole('dialog').waitFor({ state: 'hidden' });
    expect(server.requests.find(({ line }) => line === 'PUT /apps/ferreteria/wal')?.body).toEqual({
      enabled: false,
      component: 'db',
    });
    expect(stage.complaints).toEqual([]);
  });

  test('log comes through a folder only when the server hands it over', async () => {
    await using stage = await open('full', '/apps/ferreteria');
    const { page, server } = stage;
    await page.getByRole('button', { name: 'By archive_command' }).click();
    const dialog = page.getByRole('dialog');
    const show = dialog.getByRole('button', { name: 'Show the settings' });
    await dialog.getByLabel('Folder, as the server sees it').fill('/with "quotes"');
    await dialog.getByText('An absolute path without quotes').waitFor();
    expect(await show.isDisabled()).toBe(true);
    await dialog.getByLabel('Folder, as the server sees it').fill('/wal-archive');
    await show.click();
    await dialog.getByText('archive_mode = on').waitFor();
    await dialog.getByText('Varve does not do that for you').waitFor();
    await dialog.getByText('archive_mode is off').waitFor();
    const use = dialog.getByRole('button', { name: 'Take the log from this folder' });
    expect(await use.isDisabled()).toBe(true);
    await dialog.getByLabel('The same folder, as Varve sees it').fill('/srv/wal');
    await show.click();
    await dialog.getByText('The server has what it needs').waitFor();
    await use.click();
    await dialog.waitFor({ state: 'hidden' });
    expect(server.requests.find(({ line }) => line === 'PUT /apps/ferreteria/wal')?.body).toEqual({
      enabled: true,
      component: 'db',
      archive: { directory: '/wal-archive', readFrom: '/srv/wal' },
    });
    expect(stage.complaints).toEqual([]);
  });

  test('what retention does to old log is said before it runs', async () => {
    await using stage = await open('full', '/apps/ferreteria');
    await stage.page.getByRole('button', { name: 'Thin out now' }).click();
    await stage.page.getByText('Log of db before the window goes: 26 blocks, 2.7 GiB').waitFor();
    expect(stage.complaints).toEqual([]);
  });

  test('a policy is edited with its next runs and what its retention would do, then saved', async () => {
    await using stage = await open('full', '/apps/ferreteria');
    const { page, server } = stage;
    await page.getByRole('button', { name: 'Edit the policy' }).click();
    await page.getByLabel('How often').selectOption('own');
    await page.getByLabel('Cron expression').fill('never');
    await page.getByText('This is not a valid cron expression.').waitFor();
    expect(await page.getByRole('button', { name: 'Save' }).isDisabled()).toBe(true);
    await page.getByLabel('Cron expression').fill('30 3 * * *');
    await page.getByLabel('Daily').fill('0');
    await page.getByLabel('Weekly').fill('0');
    await page.getByLabel('Monthly').fill('0');
    await page.getByText('Keep at least one snapshot').waitFor();
    await page.getByLabel('Any second of the last … days').fill('14');
    await page.getByLabel('Store every … seconds').fill('5');
    await page.getByLabel('Last', { exact: true }).fill('3');
    await page.getByText('3 stay').waitFor();
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByRole('dialog').waitFor({ state: 'hidden' });
    expect(server.requests.find(({ line }) => line.endsWith('/policy'))?.body).toMatchObject({
      schedule: { enabled: true, cron: '30 3 * * *', timeZone: 'Europe/Madrid' },
      pointInTime: { windowDays: 14, commitSeconds: 5 },
      retention: { keepLast: 3, keepDaily: 0, keepWeekly: 0, keepMonthly: 0 },
    });
    expect(stage.complaints).toEqual([]);
  });

  test('how a database is saved is changed in place', async () => {
    await using stage = await open('full', '/apps/ferreteria');
    const { page, server } = stage;
    await page.getByRole('button', { name: 'Change how db is saved' }).click();
    await page.getByLabel('How it is saved').selectOption('both');
    await page.getByLabel('At most, in MB/s').fill('20.5');
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByRole('dialog').waitFor({ state: 'hidden' });
    expect(server.requests.find(({ line }) => line === 'PUT /apps/ferreteria/databases/db')?.body).toEqual({
      method: 'both',
      maxRateKBps: 20_500,
    });
    expect(stage.complaints).toEqual([]);
  });
});

interface Stage extends Visitor {
  readonly server: FixtureServer;
}

async function open(scenario: Scenario, path: string): Promise<Stage> {
  const server = await startFixtureServer({ webRoot, scenario });
  const visitor = await visit(browser, server.url, wide);
  await visitor.page.goto(`${server.url}${path}`);
  return {
    page: visitor.page,
    complaints: visitor.complaints,
    server,
    async [Symbol.asyncDispose]() {
      await visitor[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
    },
  };
}

function themeAndLanguage(page: Page): Promise<(string | undefined)[]> {
  return page.evaluate(() => [document.documentElement.dataset['theme'], document.documentElement.lang]);
}
