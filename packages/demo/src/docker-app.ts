// The business app in Docker: a Compose project with PostgreSQL, a volume of files and a bind-mounted git checkout.

import { randomBytes } from 'node:crypto';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isAppError, messageOf, throwIfAborted } from '@varve/base';
import { execa, type ExecaError } from 'execa';
import { Client } from 'pg';
import type { BusinessApp } from './business-app.ts';
import { freePort } from './free-port.ts';
import { fillDatabase, writeCode, writeInvoiceFiles } from './business-data.ts';

const project = 'varve-demo-shop';

interface DockerOptions {
  readonly folder: string;
  /** Image with PostgreSQL and a shell. */
  readonly image: string;
}

function composeFile(image: string): string {
  return `services:
  db:
    image: ${image}
    environment:
      POSTGRES_USER: shop
      POSTGRES_PASSWORD: \${SHOP_PASSWORD}
      POSTGRES_DB: shop
    ports: ["127.0.0.1::5432"]
    volumes: ["db-data:/var/lib/postgresql/data"]
    healthcheck:
      test: ["CMD-SHELL", "pg_isready -U shop -d shop -h 127.0.0.1"]
      interval: 1s
      timeout: 3s
      retries: 60
  web:
    image: ${image}
    entrypoint: ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.2; done"]
    volumes: ["files:/srv/files", "./code:/srv/code"]
    depends_on: ["db"]
volumes:
  db-data: {}
  files: {}
`;
}

async function findCompose(): Promise<readonly string[] | undefined> {
  for (const command of [['docker', 'compose'], ['docker-compose']]) {
    const [program, ...parameters] = command;
    if (!program) continue;
    const { exitCode } = await execa(program, [...parameters, 'version'], { reject: false, stdio: 'ignore' });
    if (exitCode === 0) return command;
  }
  return undefined;
}

/** Why Docker cannot be used for the demonstration, or the Compose command to use. Fetches the image when it is not there. */
export async function findDocker(options: {
  readonly image: string;
  readonly print: (line: string) => void;
  readonly signal: AbortSignal;
}): Promise<{ compose: readonly string[] } | { reason: string }> {
  const { image, print, signal } = options;
  const engine = await execa('docker', ['version', '--format', '{{.Server.Version}}'], {
    reject: false,
    timeout: 10_000,
  });
  if (engine.exitCode !== 0) return { reason: 'No Docker Engine answers' };
  const compose = await findCompose();
  if (!compose) return { reason: 'Docker answers, but `docker compose` is not installed' };
  const there = await execa('docker', ['image', 'inspect', image], { reject: false, stdio: 'ignore' });
  if (there.exitCode === 0) return { compose };
  print(`Docker fetches the image ${image}; this may take minutes the first time …`);
  const pull = await execa('docker', ['pull', '--quiet', image], {
    reject: false,
    timeout: 300_000,
    stdio: 'ignore',
    cancelSignal: signal,
  });
  throwIfAborted(signal);
  if (pull.exitCode !== 0) return { reason: `Docker answers, but the image ${image} cannot be pulled` };
  return { compose };
}

async function waitForDatabase(port: number, password: string): Promise<void> {
  const deadline = Date.now() + 90_000;
  for (;;) {
    const client = new Client({ host: '127.0.0.1', port, user: 'shop', password, database: 'shop' });
    client.on('error', () => {});
    try {
      await client.connect();
      await client.end();
      return;
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 300));
    }
  }
}

/** Starts the Compose project below `folder`, filled with its data; disposing it removes containers and volumes. */
export async function startDockerApp(options: DockerOptions, compose: readonly string[]): Promise<BusinessApp> {
  const { folder, image } = options;
  const password = randomBytes(18).toString('base64url');
  const codeFolder = join(folder, 'code');
  const seedFolder = join(folder, 'seed');
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'compose.yaml'), composeFile(image));
  await writeFile(join(folder, '.env'), `SHOP_PASSWORD=${password}\n`, { mode: 0o600 });
  await writeCode(codeFolder);
  await writeInvoiceFiles(seedFolder);

  const [program = 'docker', ...first] = compose;
  const runCompose = async (...parameters: string[]): Promise<string> => {
    const all = [...first, '--project-name', project, '--file', join(folder, 'compose.yaml'), ...parameters];
    const { stdout } = await execa(program, all, { cwd: folder });
    return stdout.trim();
  };
  const docker = async (...parameters: string[]): Promise<string> => (await execa('docker', parameters)).stdout;
  const containerOf = (service: string): Promise<string> => runCompose('ps', '-q', service);
  const portOf = async (): Promise<number> => {
    const address = await docker('port', await containerOf('db'), '5432/tcp');
    return Number(address.split('\n')[0]?.split(':').at(-1));
  };

  await runCompose('down', '--volumes', '--remove-orphans');
  await runCompose('up', '--detach');
  await waitForDatabase(await portOf(), password);
  await docker('cp', `${seedFolder}/.`, `${await containerOf('web')}:/srv/files`);
  await rm(seedFolder, { recursive: true });

  // The published port changes when the container is started again, so each connection asks for it.
  const connect = async (copy?: { readonly port: number }): Promise<Client> => {
    const port = copy?.port ?? (await portOf());
    await waitForDatabase(port, password);
    const client = new Client({ host: '127.0.0.1', port, user: 'shop', password, database: 'shop' });
    client.on('error', () => {});
    await client.connect();
    return client;
  };
  const client = await connect();
  await fillDatabase(client);
  await client.end();

  return {
    description: `The app runs in Docker: Compose project ${project}, image ${image}.`,
    codeFolder,
    newApp: { type: 'docker', project, name: 'Demo shop', id: 'demo-shop' },
    connect,
    freePort,
    async hashFiles() {
      const script = 'cd /srv/files && find . -type f -exec sha256sum {} +';
      const lines = (await docker('exec', await containerOf('web'), 'sh', '-c', script)).split('\n').filter(Boolean);
      return new Map(lines.map((line) => [line.slice(68), line.slice(0, 64)]));
    },
    async removeFiles() {
      await docker('exec', await containerOf('web'), 'rm', '-rf', '/srv/files/invoices');
    },
    async [Symbol.asyncDispose]() {
      await runCompose('down', '--volumes', '--remove-orphans');
    },
  };
}

/** The last line that a failed command wrote, for a sentence. */
export function lastLineOf(error: unknown): string {
  if (isAppError(error)) return error.message;
  const { stderr } = error as Partial<ExecaError>;
  return (typeof stderr === 'string' && stderr.trim().split('\n').at(-1)) || messageOf(error);
}
