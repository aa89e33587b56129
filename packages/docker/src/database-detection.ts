// Which containers hold a PostgreSQL cluster or an Odoo server, told from image, environment, ports and mounts. Pure.
// Sources: the official images' documentation (docker-library/postgres, odoo/docker).

import type { Secret } from '@varve/base';
import type { Container, ContainerMount } from './container.ts';

export interface PostgresService {
  readonly service: string;
  readonly containerId: string;
  readonly containerName: string;
  /** Superuser of the official image's contract: POSTGRES_USER, `postgres` when unset. */
  readonly user: string;
  readonly password: Secret | undefined;
  /** POSTGRES_PASSWORD_FILE: path in the container of a file that holds the password. */
  readonly passwordFile: string | undefined;
  /** POSTGRES_DB, or the user's name: the database made at the first start; not the only one. */
  readonly database: string;
  readonly port: number;
  /** PGDATA in the container. */
  readonly dataPath: string;
  /** The mount that holds `dataPath`; undefined when the cluster lives in the container's own layer and dies with it. */
  readonly dataMount: ContainerMount | undefined;
}

const postgresImages = new Set([
  'postgres',
  'postgresql',
  'postgis',
  'pgvector',
  'timescaledb',
  'timescaledb-ha',
  'pgvecto-rs',
  'alpine-postgres',
]);
const notServers = /(backup|exporter|bouncer|pgpool|pgadmin|client|upgrade|proxy)/;

/** The PostgreSQL cluster of a container, undefined when there is none. Clients that only carry PG variables are not taken. */
export function detectPostgres(container: Container): PostgresService | undefined {
  const environment = container.environment;
  const [repository] = imageParts(container.image);
  const imageName = repository.split('/').at(-1) ?? '';
  if (notServers.test(imageName)) return undefined;
  const named = postgresImages.has(imageName);
  const byEnvironment =
    environment.has('PGDATA') ||
    environment.has('POSTGRES_USER') ||
    environment.has('POSTGRES_PASSWORD') ||
    environment.has('POSTGRES_PASSWORD_FILE') ||
    environment.has('POSTGRES_HOST_AUTH_METHOD');
  const byPort = container.ports.some((port) => port.containerPort === 5432 && port.protocol === 'tcp');
  const byMount = container.mounts.some((mount) => looksLikePostgresFolder(mount.destination));
  // An unknown image is a server when it carries two marks: an application has the variables, a proxy the port.
  if (!named && [byEnvironment, byPort, byMount].filter(Boolean).length < 2) return undefined;
  const dataPath = dataPathOf(container);
  const dataMount = mountHolding(container.mounts, dataPath);
  if (!runsServer(container) && !isNamedMount(dataMount)) return undefined;
  const user = environment.get('POSTGRES_USER') || environment.get('POSTGRESQL_USERNAME') || 'postgres';
  return {
    service: container.service,
    containerId: container.id,
    containerName: container.name,
    user,
    password: environment.secret('POSTGRES_PASSWORD') ?? environment.secret('POSTGRESQL_PASSWORD'),
    passwordFile: environment.get('POSTGRES_PASSWORD_FILE') || environment.get('POSTGRESQL_PASSWORD_FILE') || undefined,
    database: environment.get('POSTGRES_DB') || environment.get('POSTGRESQL_DATABASE') || user,
    port: portOf(environment.get('PGPORT')),
    dataPath,
    dataMount,
  };
}

/** True for an Odoo server: image name, mount at /var/lib/odoo, or ODOO_RC. */
export function isOdoo(container: Container): boolean {
  const [repository] = imageParts(container.image);
  const imageName = repository.split('/').at(-1) ?? '';
  return (
    imageName === 'odoo' ||
    container.environment.has('ODOO_RC') ||
    container.mounts.some((mount) => mount.destination === '/var/lib/odoo')
  );
}

/** The mount with the longest destination that is `path` or a folder above it. */
export function mountHolding(mounts: readonly ContainerMount[], path: string): ContainerMount | undefined {
  return mounts
    .filter((mount) => path === mount.destination || path.startsWith(mount.destination.replace(/\/*$/, '/')))
    .sort((a, b) => b.destination.length - a.destination.length)[0];
}

/** A database image also serves to run `pg_dump` by cron or a shell script: its program tells, if its mounts do not. */
function runsServer({ entrypoint, command }: Container): boolean {
  if (shells.has(baseName(entrypoint[0] ?? ''))) return [...entrypoint, ...command].some(namesServer);
  const [program = ''] = command;
  if (program === '' || program.startsWith('-')) return true;
  if (['postgres', 'postmaster', 'patroni', 'docker-entrypoint.sh', 'run.sh'].includes(baseName(program))) return true;
  return command.some(namesServer);
}

/** Entrypoints that replace the image's own and run anything. */
const shells = new Set(['sh', 'ash', 'bash', 'dash', 'env', 'sleep', 'tail']);

function namesServer(word: string): boolean {
  return /(^|[\s/])(postgres|postmaster|pg_ctl|docker-entrypoint\.sh)(\s|$)/.test(word);
}

function baseName(path: string): string {
  return path.split('/').at(-1) ?? '';
}

/** The images declare a volume, so every container of them has at least an anonymous one. */
function isNamedMount(mount: ContainerMount | undefined): boolean {
  return mount !== undefined && !(mount.type === 'volume' && /^[0-9a-f]{64}$/.test(mount.name ?? ''));
}

/** PGDATA of the official images is in their environment: /var/lib/postgresql/data, from 18 on /var/lib/postgresql/18/docker. */
function dataPathOf(container: Container): string {
  const set = container.environment.get('PGDATA');
  if (set) return set.replace(/(.)\/+$/, '$1');
  const [repository, tag] = imageParts(container.image);
  if (repository.includes('bitnami')) return '/bitnami/postgresql/data';
  const major = Number(container.environment.get('PG_MAJOR') ?? /^(\d+)/.exec(tag)?.[1] ?? 0);
  return major >= 18 ? `/var/lib/postgresql/${major}/docker` : '/var/lib/postgresql/data';
}

function looksLikePostgresFolder(destination: string): boolean {
  return destination.startsWith('/var/lib/postgresql') || destination.startsWith('/bitnami/postgresql');
}

function portOf(text: string | undefined): number {
  const port = Number(text);
  return Number.isInteger(port) && port > 0 && port < 65_536 ? port : 5432;
}

/** `registry:5000/team/postgres:16@sha256:…` → [`registry:5000/team/postgres`, `16`]. */
function imageParts(image: string): readonly [string, string] {
  const [plain = ''] = image.toLowerCase().split('@');
  const colon = plain.lastIndexOf(':');
  return colon > plain.lastIndexOf('/') ? [plain.slice(0, colon), plain.slice(colon + 1)] : [plain, ''];
}
