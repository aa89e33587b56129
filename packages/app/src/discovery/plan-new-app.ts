// Turns the user's wish for an app into components, having looked at what is named: folders must be there, checkouts must
// be checkouts, URLs must be readable. Passwords leave as secrets and are not part of a component.

import { realpath } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { AppError, Secret } from '@varve/base';
import type { Component, DiscoveredApp, NewApp } from '@varve/contract';
import { parsePostgresUrl } from '@varve/postgres';
import { findCheckoutRoot } from '../components/code/checkout.ts';
import { capturedMethod } from '../wal-capture/turn-capture.ts';
import type { PlannedApp } from '../use-case.ts';
import { ComponentNames } from './component-names.ts';
import { hostPathReason, pathKind } from './host-paths.ts';

/** Changes nothing. APP_NOT_FOUND for an unknown project, APP_INVALID for what cannot be protected. */
export async function planNewApp(options: {
  readonly input: NewApp;
  readonly discovered: readonly DiscoveredApp[];
  readonly signal?: AbortSignal | undefined;
}): Promise<PlannedApp> {
  const { input, discovered } = options;
  return input.type === 'docker' ? planDockerApp(input, discovered) : planHostApp(input);
}

async function planDockerApp(
  input: Extract<NewApp, { type: 'docker' }>,
  discovered: readonly DiscoveredApp[],
): Promise<PlannedApp> {
  const app = discovered.find(({ origin }) => origin.type === 'docker' && origin.project === input.project);
  if (!app) {
    const names = discovered.map(({ name }) => name).join(', ');
    throw new AppError(
      'APP_NOT_FOUND',
      `The Docker Engine has no Compose project or labelled app "${input.project}".`,
      {
        hint: names === '' ? 'Start the app first, then run discovery again.' : `Found: ${names}.`,
        context: { project: input.project },
      },
    );
  }
  const unknown = input.withoutComponents.find((name) => !app.components.some((component) => component.name === name));
  if (unknown !== undefined) {
    throw invalid(
      `The app ${app.name} has no component "${unknown}" to leave out.`,
      `It has: ${app.components.map(({ name }) => name).join(', ')}.`,
    );
  }
  const components: Component[] = app.components
    .filter(({ name }) => !input.withoutComponents.includes(name))
    .map((component) => asWished(component, input));
  const names = new ComponentNames();
  for (const { name } of app.components) names.take(name);
  for (const path of input.code) {
    const root = await checkoutRoot(path);
    const known = components.some((component) => component.kind === 'code' && component.path === root);
    if (!known) components.push({ kind: 'code', name: names.take(basename(root)), path: root });
  }
  if (components.length === 0)
    throw invalid(`Nothing of the app ${app.name} would be saved.`, 'Leave out fewer components.');
  return { id: input.id ?? app.suggestedId, name: input.name ?? app.name, origin: app.origin, components, secrets: [] };
}

/** A database is saved as asked for; discovery only finds it. */
function asWished(component: Component, input: Extract<NewApp, { type: 'docker' }>): Component {
  if (component.kind !== 'database') return component;
  const { databaseMethod, maxRateKBps, wal } = input;
  return {
    ...component,
    method: wal ? capturedMethod(databaseMethod) : databaseMethod,
    ...(maxRateKBps === undefined ? {} : { maxRateKBps }),
    ...(wal ? { wal } : {}),
  };
}

async function planHostApp(input: Extract<NewApp, { type: 'host' }>): Promise<PlannedApp> {
  const names = new ComponentNames();
  const components: Component[] = [];
  const secrets: { name: string; value: Secret }[] = [];
  for (const database of input.databases) {
    const { component, secret } = await planDatabase(database, input.id, names);
    components.push(component);
    secrets.push(secret);
  }
  for (const folder of input.folders) {
    const path = await existing(folder, 'folder');
    const reason = hostPathReason(path);
    if (reason !== null)
      throw invalid(
        `The folder ${path} cannot be part of an app: ${reason}.`,
        'Name the folders that hold the data of the app.',
      );
    components.push({
      kind: 'volume',
      name: names.take(basename(path)),
      source: { type: 'folder', path },
      excludes: [],
    });
  }
  for (const path of input.code) {
    const root = await checkoutRoot(path);
    components.push({ kind: 'code', name: names.take(basename(root)), path: root });
  }
  const files = await Promise.all(input.configFiles.map((file) => existing(file, 'file')));
  if (files.length > 0) components.push({ kind: 'config', name: names.take('config'), files });
  if (components.length === 0)
    throw invalid(`The app ${input.id} has nothing to save.`, 'Name at least one folder, database or git checkout.');
  return {
    id: input.id,
    name: input.name ?? input.id,
    origin: {
      type: 'host',
      ...(input.stopCommand === undefined ? {} : { stopCommand: input.stopCommand }),
      ...(input.startCommand === undefined ? {} : { startCommand: input.startCommand }),
    },
    components,
    secrets,
  };
}

type NewDatabase = Extract<NewApp, { type: 'host' }>['databases'][number];

async function planDatabase(database: NewDatabase, appId: string, names: ComponentNames) {
  const location = parsePostgresUrl(database.url, { defaultUser: 'postgres' });
  const name = names.take(database.name);
  const urlSecret = `app-${appId}-database-${name}`.slice(0, 100);
  if (database.method === 'base' && database.dataDirectory === undefined) {
    throw invalid(
      `The database ${name} is to be saved by its files, and its data folder is not named.`,
      'Name the data folder: it is needed to put the files back. "SHOW data_directory" tells it.',
    );
  }
  const dataDirectory =
    database.dataDirectory === undefined ? undefined : await existing(database.dataDirectory, 'folder');
  const where = location.socketPath ?? location.host;
  const component: Component = {
    kind: 'database',
    name,
    engine: 'postgresql',
    method: database.wal ? capturedMethod(database.method) : database.method,
    source: {
      type: 'url',
      urlSecret,
      display: `postgresql://${location.user}@${where}:${location.port}/${location.database}`.slice(0, 500),
    },
    ...(database.readThrough === undefined ? {} : { readThrough: database.readThrough }),
    ...(dataDirectory === undefined ? {} : { dataDirectory }),
    ...(database.binDirectory === undefined ? {} : { binDirectory: await existing(database.binDirectory, 'folder') }),
    excludes: [],
    ...(database.maxRateKBps === undefined ? {} : { maxRateKBps: database.maxRateKBps }),
    ...(database.wal ? { wal: true } : {}),
  };
  return { component, secret: { name: urlSecret, value: new Secret(database.url) } };
}

async function existing(path: string, kind: 'folder' | 'file'): Promise<string> {
  const found = await pathKind(path);
  if (found === kind) return join(await realpath(path));
  const problem = found === 'missing' ? 'does not exist, or cannot be read' : `is not a ${kind}`;
  throw invalid(`${path} ${problem}.`, `Give the path of a ${kind} on this host.`);
}

async function checkoutRoot(path: string): Promise<string> {
  const root = await findCheckoutRoot(path);
  if (root !== null && hostPathReason(root) === null) return root;
  throw invalid(`${path} is not in a git checkout.`, 'Name a folder that git knows, or add it as a folder.');
}

function invalid(message: string, hint: string): AppError {
  return new AppError('APP_INVALID', message, { hint });
}
