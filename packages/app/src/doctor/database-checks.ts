// What doctor looks at for a database: does it answer as it is saved, which way leads to it and why the others do not, and
// can its WAL be captured.

import assert from 'node:assert';
import { isAppError, messageOf } from '@varve/base';
import type { App, DatabaseComponent, DoctorCheck } from '@varve/contract';
import {
  captureObstacles,
  describeCaptureFacts,
  listDatabases,
  readCaptureFacts,
  readServerFacts,
} from '@varve/postgres';
import { databaseAccess, type DatabaseAccess } from '../components/database/database-access.ts';
import { openDatabase, probeDatabase, type TriedWay } from '../components/database/database-location.ts';
import { projectOf } from '../components/docker-project.ts';
import type { Installation } from '../installation.ts';
import { readArchiveReadiness } from '../wal-capture/archive-readiness.ts';
import { checked, type Finding } from './check.ts';

const wayNames: Readonly<Record<TriedWay['kind'], string>> = {
  url: 'by its URL',
  network: 'over the Docker network',
  'published-port': 'through a published port',
  'unix-socket': 'by its Unix socket',
  container: 'through its container',
};

interface DatabaseCheck {
  readonly component: DatabaseComponent;
  readonly access: DatabaseAccess;
  readonly signal: AbortSignal;
}

/** The checks of one database; `label` begins their names. */
export async function databaseChecks(
  app: App,
  component: DatabaseComponent,
  options: { readonly parts: Installation; readonly label: string; readonly signal: AbortSignal },
): Promise<readonly DoctorCheck[]> {
  const { parts, label, signal } = options;
  let check: DatabaseCheck | undefined;
  const first = await checked(label, async () => {
    const project = await projectOf({ docker: () => parts.docker.get(), signal }, app);
    check = { component, access: await databaseAccess({ component, secrets: parts.secrets, project, signal }), signal };
    return answers(check);
  });
  const found = check;
  if (found === undefined) return [first];
  const more = found.access.container === null ? [] : [checked(`${label}:way`, () => ways(found))];
  return [
    first,
    ...(await Promise.all([
      ...more,
      checked(`${label}:capture`, () => (component.walArchive ? archiveCapture(app, found, parts) : capture(found))),
    ])),
  ];
}

/** Asked the way it is saved: a base backup needs the replication protocol and none of PostgreSQL's programs. */
async function answers({ component, access, signal }: DatabaseCheck): Promise<Finding> {
  if (component.method !== 'dump') {
    // Where log comes through a folder there may be no replication, and base backups read the data folder.
    const replication = component.walArchive === undefined;
    await using connection = await openDatabase(access, { replication, signal });
    const { version } = await readServerFacts(connection, { signal });
    if (component.method === 'base') {
      return { state: 'ok', message: `PostgreSQL ${version} answers and lets Varve take base backups.` };
    }
  }
  const databases = await listDatabases(access.runner, access.target, { signal });
  return { state: 'ok', message: `It answers and has ${databases.length} databases.` };
}

async function ways({ access, signal }: DatabaseCheck): Promise<Finding> {
  const tried = await probeDatabase(access, { signal });
  const works = tried.find(({ problem }) => problem === null);
  const others = tried
    .filter(({ problem }) => problem !== null)
    .map(({ kind, problem }) => `${wayNames[kind]}: ${problem?.replace(/\.$/, '')}`);
  const rest = others.length === 0 ? '' : ` Not usable: ${others.join('; ')}.`;
  if (works !== undefined) {
    return { state: 'ok', message: `It is reached ${wayNames[works.kind]} (${works.address}).${rest}` };
  }
  return {
    state: 'warning',
    message: `Nothing but programs inside of its container reach it.${rest}`,
    hint: 'Dumps need nothing else. For base backups and point-in-time recovery let Varve reach the network of the container, or publish its port on loopback.',
  };
}

/** Log that comes through a folder: archiving, its command, the folder. */
async function archiveCapture(app: App, { component, signal }: DatabaseCheck, parts: Installation): Promise<Finding> {
  const archive = component.walArchive;
  assert(archive, 'its log comes through a folder');
  const input = { app, component, secrets: parts.secrets, docker: () => parts.docker.get(), signal };
  const { facts, error, place, obstacles } = await readArchiveReadiness(input, archive);
  if (error !== undefined) throw error;
  const [first] = obstacles;
  const timeout = facts?.timeoutSeconds ?? 0;
  if (first === undefined) {
    const message = `Its WAL comes by archive_command through ${place ?? archive.directory}, at most about ${timeout} s late (archive_timeout).`;
    return { state: 'ok', message };
  }
  const isBlocked = first.severity === 'blocks';
  const verdict = isBlocked ? 'Its WAL does not come into the archive folder' : 'Its WAL comes by archive_command, but';
  return {
    state: isBlocked ? 'failed' : 'warning',
    message: `${verdict}: ${obstacles.map(({ message }) => message).join('; ')}.`,
    hint: obstacles.map(({ hint }) => hint).join(' '),
  };
}

/** Dumps do without; with base backups, or where it is on, it is a fault when WAL cannot be captured. */
async function capture({ component, access, signal }: DatabaseCheck): Promise<Finding> {
  const isCaptured = component.wal === true;
  const needsIt = isCaptured || component.method !== 'dump';
  const state = needsIt ? 'failed' : 'warning';
  let connection;
  try {
    connection = await openDatabase(access, { replication: true, signal });
  } catch (error) {
    if (!isAppError(error)) throw error;
    return {
      state,
      message: `Its WAL cannot be captured: ${messageOf(error)}`,
      hint: (await hbaHint(access, error.code, signal)) ?? error.hint ?? 'See the log of the server.',
    };
  }
  await using session = connection;
  const facts = await readCaptureFacts(session, { signal });
  const obstacles = captureObstacles(facts, { ownSenders: isCaptured ? 2 : 1, ownSlots: isCaptured ? 1 : 0 });
  const [first] = obstacles;
  if (first === undefined) return { state: 'ok', message: `Its WAL can be captured: ${describeCaptureFacts(facts)}.` };
  const isBlocked = first.severity === 'blocks';
  const verdict = isBlocked ? 'Its WAL cannot be captured' : 'Its WAL can be captured, but';
  // While it is saved by dumps alone nothing keeps WAL, so nothing is at risk yet.
  const riskState = needsIt ? 'warning' : 'ok';
  return {
    state: isBlocked ? state : riskState,
    message: `${verdict}: ${obstacles.map(({ message }) => message).join('; ')}.`,
    hint: obstacles.map(({ hint }) => hint).join(' '),
  };
}

/** Let in for SQL and not for replication: a rule of pg_hba.conf is missing, not a password. */
async function hbaHint(access: DatabaseAccess, code: string, signal: AbortSignal): Promise<string | undefined> {
  if (code !== 'DATABASE_AUTH_FAILED') return undefined;
  try {
    await using _ = await openDatabase(access, { signal });
    return `The user ${access.target.user} is let in for SQL and not for replication: look for rules in pg_hba.conf that refuse it.`;
  } catch (error) {
    if (!isAppError(error)) throw error;
    return undefined;
  }
}
