// One run of the demonstration: makes the app, opens a Varve of its own beside it, tells the story, then serves the page
// until it is stopped. Whatever was started is stopped and whatever was written is removed at the end.

import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { openVarve, type Varve } from '@varve/app';
import { isAppError, type Logger } from '@varve/base';
import { startServer, type RunningServer } from '@varve/server';
import type { BusinessApp } from './business-app.ts';
import { makeDemoFolder, removeAbandonedDemos } from './demo-folder.ts';
import { findDocker, lastLineOf, startDockerApp } from './docker-app.ts';
import { startEmbeddedApp } from './embedded-app.ts';
import { createOwner } from './owner-account.ts';
import { tellStory } from './story.ts';

export interface DemoOptions {
  readonly print: (line: string) => void;
  readonly logger: Logger;
  /** Ends the demonstration: Ctrl-C. */
  readonly signal: AbortSignal;
  /** Leave the page running after the story. */
  readonly serve: boolean;
  /** auto: in Docker where an engine answers. never: always on the PostgreSQL from npm. */
  readonly docker: 'auto' | 'never';
  /** PostgreSQL image for the Docker variant. */
  readonly image: string;
  /** Host and port of the page, e.g. `127.0.0.1:8470`. */
  readonly listen: string;
  readonly webRoot: string;
}

async function startApp(options: DemoOptions, folder: string): Promise<BusinessApp> {
  await mkdir(folder);
  if (options.docker === 'never') return startEmbeddedApp(folder);
  const found = await findDocker(options);
  if ('reason' in found) {
    options.print(`${found.reason}: the demonstration runs without Docker.`);
    return startEmbeddedApp(folder);
  }
  try {
    return await startDockerApp({ folder, image: options.image }, found.compose);
  } catch (error) {
    options.print(`The app does not start in Docker (${lastLineOf(error)}): the demonstration runs without it.`);
    await rm(folder, { recursive: true, force: true });
    await mkdir(folder);
    return startEmbeddedApp(folder);
  }
}

/** The page is at its usual address, or at any free port when another program has that. */
async function startOnFreePort(options: DemoOptions, varve: Varve): Promise<RunningServer> {
  const { listen, webRoot, signal } = options;
  // A refused request (a visitor who has not signed in) is told in the page; here it would say nothing to anybody.
  const logger: Logger = { ...options.logger, warn() {} };
  try {
    return await startServer({ varve, listen, logger, webRoot, signal });
  } catch (error) {
    if (!isAppError(error, 'SERVER_ADDRESS_IN_USE')) throw error;
    options.print(`\n${error.message} The page takes another port.`);
    return startServer({ varve, listen: '127.0.0.1:0', logger, webRoot, signal });
  }
}

async function servePage(options: DemoOptions, varve: Varve): Promise<void> {
  await using server = await startOnFreePort(options, varve);
  options.print(`\nThe page is at ${server.url}`);
  if (server.setupToken !== undefined) {
    const owner = await createOwner(server.url, server.setupToken);
    options.print(`   sign in as ${owner.email} with the password ${owner.password.reveal()}`);
  }
  options.print('   Ctrl-C ends the demonstration and removes everything it made.');
  await new Promise<void>((resolve) => {
    if (options.signal.aborted) resolve();
    else options.signal.addEventListener('abort', () => resolve(), { once: true });
  });
  await server.closed;
}

/** Runs the demonstration; throws when what came back is not what was there. */
export async function runDemo(options: DemoOptions): Promise<void> {
  await removeAbandonedDemos();
  const folder = await makeDemoFolder();
  try {
    await using app = await startApp(options, join(folder, 'app'));
    await using varve = await openVarve({
      dataDirectory: join(folder, 'varve'),
      logger: options.logger,
      signal: options.signal,
      // Captures the log of the database, as the server does.
      runInBackground: true,
    });
    await tellStory({ varve, app, print: options.print, signal: options.signal });
    if (options.serve) await servePage(options, varve);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
