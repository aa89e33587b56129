// Every page in a real browser, in both languages, light and dark, narrow and wide: no complaint, no serious accessibility
// violation, nothing wider than the window. Screenshots are left in a folder that is printed at the end.

import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { axeViolations, chromiumPath, launchBrowser, overflow, visit } from './browser.ts';
import type { Look } from './browser.ts';
import { startFixtureServer } from './fixture-server.ts';
import type { FixtureServer, Scenario } from './fixture-server.ts';

const webRoot = fileURLToPath(new URL('../dist', import.meta.url));
const missing = chromiumPath === undefined ? ['no Chromium'] : [];
if (missing.length > 0) console.log(`skipped pages in a browser: ${missing.join(', ')}`);

/** With VARVE_SCREENSHOTS=folder every look is taken; without it two that have each language, theme and width once. */
const takesAllLooks = process.env['VARVE_SCREENSHOTS'] !== undefined;
const looks: readonly Look[] = [
  { language: 'en', theme: 'light', width: 1280 },
  { language: 'es', theme: 'dark', width: 390 },
  ...(takesAllLooks
    ? ([
        { language: 'es', theme: 'dark', width: 1280 },
        { language: 'en', theme: 'dark', width: 390 },
      ] as const)
    : []),
];

interface Stop {
  readonly name: string;
  readonly scenario: Scenario;
  readonly path: string;
  /** Done after the page is there, before it is judged. */
  readonly act?: (page: Page) => Promise<void>;
}

let browser: Browser;
let server: FixtureServer;
let screenshots: string;

describe.skipIf(missing.length > 0)(
  `pages in a browser${missing.length > 0 ? ` (skipped: ${missing.join(', ')})` : ''}`,
  () => {
    beforeAll(async () => {
      execFileSync(process.execPath, [fileURLToPath(new URL('../../../scripts/build-web.ts', import.meta.url))]);
      browser = await launchBrowser();
      server = await startFixtureServer({ webRoot, scenario: 'full' });
      screenshots = process.env['VARVE_SCREENSHOTS'] ?? (await mkdtemp(join(tmpdir(), 'varve-pages-')));
      await mkdir(screenshots, { recursive: true });
    });

    afterAll(async () => {
      await server[Symbol.asyncDispose]();
      await browser.close();
      console.log(`screenshots of the pages: ${screenshots}`);
    });

    for (const look of looks) {
      const name = `${look.language}-${look.theme}-${look.width}`;
      test(`each page is whole, accessible and fits in ${name}`, { timeout: 240_000 }, async () => {
        await using visitor = await visit(browser, server.url, look);
        const { page } = visitor;
        const found: string[] = [];
        for (const [index, stop] of (await stops()).entries()) {
          server.scenario = stop.scenario;
          await page.goto(`${server.url}${stop.path}`);
          await settled(page);
          await stop.act?.(page);
          await page.screenshot({
            path: join(screenshots, `${name}-${String(index).padStart(2, '0')}-${stop.name}.png`),
            fullPage: true,
          });
          for (const violation of await axeViolations(page)) found.push(`${stop.name}: ${violation}`);
          const wider = await overflow(page);
          if (wider > 0) found.push(`${stop.name}: ${wider} px too wide`);
          await resize(page, look.width < 600 ? 360 : 1600);
          const resized = await overflow(page);
          if (resized > 0) found.push(`${stop.name}: ${resized} px too wide in another window`);
          await resize(page, look.width);
          const theme = await page.evaluate(() => document.documentElement.dataset['theme']);
          if (theme !== look.theme) found.push(`${stop.name}: theme ${theme}`);
          const language = await page.evaluate(() => document.documentElement.lang);
          if (language !== look.language) found.push(`${stop.name}: language ${language}`);
        }
        expect(found).toEqual([]);
        expect(visitor.complaints).toEqual([]);
      });
    }

    // A window that is made smaller or larger is checked above; these have their width from the start.
    for (const width of takesAllLooks ? [360, 768, 1600] : []) {
      test(`no page is wider than a window of ${width} pixels`, { timeout: 120_000 }, async () => {
        await using visitor = await visit(browser, server.url, { language: 'es', theme: 'light', width });
        const wide: string[] = [];
        for (const stop of await stops()) {
          server.scenario = stop.scenario;
          await visitor.page.goto(`${server.url}${stop.path}`);
          await settled(visitor.page);
          if (['apps', 'app', 'snapshot'].includes(stop.name) && width !== 768) {
            await visitor.page.screenshot({ path: join(screenshots, `width-${width}-${stop.name}.png`) });
          }
          const wider = await overflow(visitor.page);
          if (wider > 0) wide.push(`${stop.name}: ${wider} px`);
        }
        expect(wide).toEqual([]);
      });
    }

    async function stops(): Promise<Stop[]> {
      const response = await fetch(`${server.url}/api/apps/ferreteria/snapshots`);
      const snapshots = (await response.json()) as { id: string; name: string | null; partial: boolean }[];
      const named = snapshots.find(({ name }) => name !== null)?.id ?? '';
      const partial = snapshots.find((snapshot) => snapshot.partial)?.id ?? '';
      const full: readonly Omit<Stop, 'scenario'>[] = [
        { name: 'apps', path: '/' },
        { name: 'app', path: '/apps/ferreteria' },
        { name: 'app-day', path: '/apps/ferreteria', act: chooseDay },
        { name: 'app-failing', path: '/apps/website' },
        { name: 'app-never', path: '/apps/wiki' },
        { name: 'snapshot-dialog', path: '/apps/ferreteria', act: (page) => openDialog(page, 'main .bg-accent') },
        {
          name: 'policy-dialog',
          path: '/apps/ferreteria',
          act: (page) => openDialog(page, '[aria-labelledby=policy-title] button'),
        },
        {
          name: 'retention-dialog',
          path: '/apps/ferreteria',
          act: (page) => openDialog(page, '[aria-labelledby=policy-title] dd button'),
        },
        { name: 'snapshot', path: `/apps/ferreteria/snapshots/${named}` },
        {
          name: 'snapshot-files',
          path: `/apps/ferreteria/snapshots/${named}`,
          act: async (page) => {
            for (const name of ['volumes', 'filestore']) await page.getByRole('button', { name, exact: true }).click();
            await page.locator('[aria-current=location]', { hasText: 'filestore' }).waitFor();
            await page.waitForFunction(() => document.querySelector('.shimmer') === null);
          },
        },
        { name: 'snapshot-partial', path: `/apps/ferreteria/snapshots/${partial}` },
        { name: 'restore', path: `/apps/ferreteria/snapshots/${named}/restore` },
        { name: 'moment-month', path: '/apps/ferreteria', act: chooseMonth },
        { name: 'moment-gap', path: '/apps/ferreteria', act: chooseGap },
        { name: 'point-dialog', path: '/apps/ferreteria', act: (page) => openDialog(page, '.lucide-flag') },
        { name: 'moment-left', path: '/apps/ferreteria', act: chooseLeft },
        {
          name: 'sandbox-dialog',
          path: '/apps/ferreteria',
          act: (page) => openDialog(page, '[aria-labelledby=sandboxes-title] button[aria-label]'),
        },
        { name: 'recover', path: '/apps/ferreteria/recover?database=db' },
        { name: 'recover-in-place', path: '/apps/ferreteria/recover?database=db', act: chooseInPlace },
        { name: 'jobs', path: '/jobs' },
        { name: 'job-running', path: '/jobs/job-running' },
        { name: 'job-restored', path: '/jobs/job-restored' },
        { name: 'job-failed', path: `/jobs/${await failedJobId()}` },
        { name: 'job-check', path: '/jobs/job-check' },
        { name: 'job-damage', path: '/jobs/job-damage' },
        { name: 'job-prune', path: '/jobs/job-prune' },
        { name: 'add-docker', path: '/apps/add' },
        { name: 'add-host', path: '/apps/add?kind=host' },
        { name: 'alerts', path: '/alerts' },
        { name: 'settings', path: '/settings' },
        { name: 'recovery-kit', path: '/settings#recovery-kit', act: showKit },
        { name: 'free-space', path: '/settings', act: (page) => openDialog(page, '.lucide-recycle') },
        {
          name: 'maintenance-dialog',
          path: '/settings',
          act: (page) => openDialog(page, '.lucide-sliders-horizontal'),
        },
        { name: 'account-menu', path: '/', act: (page) => page.locator('header button').last().click() },
        { name: 'not-found', path: '/nowhere' },
        { name: 'app-unknown', path: '/apps/unknown' },
      ];
      return [
        { name: 'setup', scenario: 'setup', path: '/' },
        { name: 'sign-in', scenario: 'signed-out', path: '/' },
        { name: 'apps-empty', scenario: 'empty', path: '/' },
        { name: 'jobs-empty', scenario: 'empty', path: '/jobs' },
        { name: 'alerts-empty', scenario: 'empty', path: '/alerts' },
        ...full.map((stop): Stop => Object.assign({ scenario: 'full' as const }, stop)),
      ];
    }

    async function failedJobId(): Promise<string> {
      const response = await fetch(`${server.url}/api/jobs?appId=website`);
      return ((await response.json()) as { id: string }[])[0]?.id ?? '';
    }
  },
);

/** The page is there: a heading, and nothing that still loads. */
async function settled(page: Page): Promise<void> {
  await page.locator('h1, [role=alert]').first().waitFor();
  await page.waitForFunction(() => document.querySelector('.shimmer') === null);
}

/** Another width of the window, once what depends on it was drawn anew. */
async function resize(page: Page, width: number): Promise<void> {
  await page.setViewportSize({ width, height: page.viewportSize()?.height ?? 900 });
  await page.evaluate(
    () => new Promise<void>((resolve) => requestAnimationFrame(() => requestAnimationFrame(() => resolve()))),
  );
}

async function chooseDay(page: Page): Promise<void> {
  const days = page.locator('[aria-labelledby=timeline-title] ol button');
  await days.nth(-2).click();
}

async function openDialog(page: Page, selector: string): Promise<void> {
  await page.locator(selector).first().click();
  await page.locator('[role=dialog]').waitFor();
  await page.waitForFunction(() => document.querySelector('.shimmer') === null);
}

async function chooseMonth(page: Page): Promise<void> {
  await page.locator('input[name=window]').last().check();
  await page.waitForFunction(() => document.querySelector('.shimmer') === null);
}

async function chooseLeft(page: Page): Promise<void> {
  await page.locator('[aria-labelledby=moment-title] select').first().selectOption('1');
}

/** Seventeen hours back there is no log. */
async function chooseGap(page: Page): Promise<void> {
  await page.locator('[role=slider]').focus();
  for (let step = 0; step < 34; step++) await page.keyboard.press(step < 8 ? 'PageDown' : 'ArrowLeft');
  await page.locator('summary').click();
}

async function chooseInPlace(page: Page): Promise<void> {
  await page.locator('input[name=destination]').last().check();
  await page.locator('form').waitFor();
}

async function showKit(page: Page): Promise<void> {
  await page.locator('[role=dialog] input').fill('correct horse battery');
  await page.locator('[role=dialog] button[type=submit]').click();
  await page.locator('[role=dialog] pre').waitFor();
}
