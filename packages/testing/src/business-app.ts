// A small real business app under Docker Compose: PostgreSQL, a web service that keeps writing a file and the row that names
// it, two named volumes, a git checkout as a bind mount. Every instance has a project name of its own and goes away whole.

import { randomBytes } from 'node:crypto';
import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import type { DockerLab } from './docker-lab.ts';

const sources = fileURLToPath(new URL('../lab/business-app/', import.meta.url));

export interface BusinessApp extends AsyncDisposable {
  /** Compose project; volumes are `<project>_db-data` and `<project>_files`. */
  readonly project: string;
  /** Holds compose.yaml, .env and the checkout. */
  readonly folder: string;
  readonly composeFile: string;
  /** A git work tree, mounted at /srv/app of `web`: two commits on `main`, clean. */
  readonly checkout: string;
  readonly database: { readonly user: string; readonly name: string; readonly password: string };
  /** Runs Compose for this project. */
  compose(...parameters: readonly string[]): Promise<string>;
  containerId(service: 'db' | 'web'): Promise<string>;
  /** Runs SQL as the app's user inside the database container; rows unaligned, columns separated by `|`. */
  sql(statement: string): Promise<string>;
}

export interface BusinessAppOptions {
  /** Rows in the table `orders` (id, customer, amount, note). Default 1,000. */
  readonly orders?: number;
  /** Files in the volume `files` under `documents/`, besides what the web service writes. Default 50. */
  readonly documents?: number;
}

/** Starts the app and fills it. Takes some 10 s. Dispose removes containers, volumes, network and folder. */
export async function startBusinessApp(lab: DockerLab, options: BusinessAppOptions = {}): Promise<BusinessApp> {
  const folder = await mkdtemp(join(tmpdir(), 'varve-app-'));
  const app = describeApp(lab, folder);
  try {
    await writeFolder(app, lab.image);
    await app.compose('up', '-d');
    await fill(lab, app, options);
    return app;
  } catch (error) {
    await app[Symbol.asyncDispose]();
    throw error;
  }
}

/** The command that runs Compose here: the plugin, or docker-compose; undefined when there is neither. */
export async function findComposeCommand(): Promise<readonly string[] | undefined> {
  for (const candidate of [['docker', 'compose'], ['docker-compose']]) {
    const [program = '', ...rest] = candidate;
    if ((await execa(program, [...rest, 'version'], { reject: false })).exitCode === 0) return candidate;
  }
  return undefined;
}

function describeApp(lab: DockerLab, folder: string): BusinessApp {
  const project = `shop-${randomBytes(4).toString('hex')}`;
  const password = randomBytes(12).toString('hex');
  const composeFile = join(folder, 'compose.yaml');
  const compose = async (...parameters: readonly string[]): Promise<string> => {
    const [program, ...rest] = (await findComposeCommand()) ?? [];
    if (program === undefined) throw new Error('Compose is not installed.');
    const env = { DOCKER_HOST: lab.host };
    const result = await execa(program, [...rest, '-p', project, '-f', composeFile, ...parameters], {
      cwd: folder,
      env,
    });
    return result.stdout;
  };
  const ofProject = `label=com.docker.compose.project=${project}`;
  const containerId = async (service: string): Promise<string> => {
    // By the command line of Docker: that of docker-compose 1 takes seconds.
    const ofService = `label=com.docker.compose.service=${service}`;
    return (await lab.docker('ps', '-a', '-q', '--no-trunc', '--filter', ofProject, '--filter', ofService)).trim();
  };
  return {
    project,
    folder,
    composeFile,
    checkout: join(folder, 'checkout'),
    database: { user: 'shop', name: 'shop', password },
    compose,
    containerId,
    sql: async (statement) => {
      const id = await containerId('db');
      return lab.docker(
        'exec',
        id,
        'psql',
        '-X',
        '-A',
        '-t',
        '-v',
        'ON_ERROR_STOP=1',
        '-U',
        'shop',
        '-d',
        'shop',
        '-c',
        statement,
      );
    },
    [Symbol.asyncDispose]: async () => {
      // By label too: a test may have removed the Compose file.
      const labels = ['--filter', ofProject, '-q'];
      await removeAll(lab, ['ps', '-a', ...labels], ['rm', '-f', '-v']);
      await removeAll(lab, ['volume', 'ls', ...labels], ['volume', 'rm', '-f']);
      await removeAll(lab, ['network', 'ls', ...labels], ['network', 'rm']);
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function removeAll(lab: DockerLab, list: readonly string[], remove: readonly string[]): Promise<void> {
  const ids = (await lab.docker(...list)).split('\n').filter((id) => id !== '');
  if (ids.length > 0) await lab.docker(...remove, ...ids);
}

async function writeFolder(app: BusinessApp, image: string): Promise<void> {
  await writeFile(join(app.folder, '.env'), `LAB_IMAGE=${image}\nDB_PASSWORD=${app.database.password}\n`, {
    mode: 0o600,
  });
  await mkdir(app.checkout, { recursive: true });
  await copyFile(join(sources, 'compose.yaml'), app.composeFile);
  await copyFile(join(sources, 'web.sh'), join(app.checkout, 'web.sh'));
  const git = (...parameters: readonly string[]) =>
    execa(
      'git',
      ['-c', 'user.name=Shop', '-c', 'user.email=shop@example.org', '-c', 'commit.gpgsign=false', ...parameters],
      { cwd: app.checkout },
    );
  await git('init', '-q', '-b', 'main');
  await git('add', '.');
  await git('commit', '-q', '-m', 'First version');
  await writeFile(join(app.checkout, 'settings.ini'), 'currency = EUR\nlanguage = es\n');
  await git('add', '.');
  await git('commit', '-q', '-m', 'Settings');
}

/** Rows and files whose content follows from their number, so that a restore can be compared. */
async function fill(lab: DockerLab, app: BusinessApp, options: BusinessAppOptions): Promise<void> {
  const { orders = 1000, documents = 50 } = options;
  await app.sql(`
    CREATE TABLE uploads (id bigserial PRIMARY KEY, path text NOT NULL UNIQUE, made_at timestamptz NOT NULL DEFAULT now());
    CREATE TABLE orders (id bigserial PRIMARY KEY, customer text NOT NULL, amount numeric(12,2) NOT NULL, note text);
    INSERT INTO orders (customer, amount, note)
      SELECT 'customer ' || (n % 97), n * 1.25, repeat(md5(n::text), 4) FROM generate_series(1, ${orders}) AS n;`);
  const script = `mkdir -p /var/lib/app/files/documents && cd /var/lib/app/files/documents &&
    for n in $(seq 1 ${documents}); do seq 1 $((n * 10)) > "invoice-$n.txt"; done &&
    ln -s invoice-1.txt latest && ln invoice-1.txt same-inode.txt && mkdir -m 0750 private && chown -R 1234:1235 . && chmod 0600 invoice-2.txt`;
  await lab.docker('exec', await app.containerId('web'), 'sh', '-c', script);
}
